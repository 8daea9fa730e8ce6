//! What the target does beside guarding a handshake: routes about tickets and their topics, tokens that come in messages.
//!
//! In: `(now, event)`. Out: what a route answers, whether a message's token is good, and exact counts. No I/O, no clock.

use std::sync::Arc;

use crate::clock::Moment;
use crate::sample::Cause;
use crate::scenario::keys::LimitOf;
use crate::scenario::keys::{Route, RouteDoes};

use super::client_key::ClientKey;
use super::open::{Holds, Open};
use super::refusal::{HandshakeRefusal, over_limit, status_of, words_of};
use super::registry::{Standing, TokenId, cause_of};
use super::rules::TargetState;
use super::session::SessionId;
use super::tickets::TooManyTopics;
use super::windows::{Counted, Usage};

/// A request for a route.
#[derive(Debug, Clone, Copy, Default)]
pub struct RouteRequest<'a> {
    /// The token that it brought.
    pub credential: Option<&'a str>,
    /// The ticket that its path names.
    pub ticket: Option<&'a str>,
    /// The topics that its body names; `None`: none that can be read.
    pub topics: Option<&'a [String]>,
}

/// What a route answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteAnswer {
    /// What its rules say.
    Answered(Answered),
    /// A refusal.
    Refused(HandshakeRefusal, Vec<RequestUsage>),
}

/// What a route's texts are filled with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answered {
    /// The ticket that was issued, or that the path names.
    pub ticket: Option<String>,
    /// When its life ends.
    pub expires: Option<Moment>,
    /// The topics or tickets that are listed.
    pub entities: Vec<String>,
    /// Where the limits stand.
    pub usage: Vec<RequestUsage>,
}

/// Where a limit stands after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestUsage {
    /// The index of the limit of all routes; `None`: the route's own.
    pub limit: Option<usize>,
    /// Where its window stands.
    pub usage: Usage,
}

impl TargetState {
    /// Answers a request for route `index`.
    pub fn route(&mut self, now: Moment, index: usize, request: RouteRequest<'_>) -> RouteAnswer {
        let rules = Arc::clone(&self.rules);
        let Some(route) = rules.routes.get(index) else { return RouteAnswer::Answered(Answered::default()) };
        let mut usage = Vec::new();
        let mut asker = Asker::default();
        if route.needs_token {
            let token = match self.token_standing(now, request.credential) {
                Ok(token) => token,
                Err(cause) => {
                    return RouteAnswer::Refused(self.refuse_route(refusal_of(&self.rules, cause)), usage);
                }
            };
            asker = Asker { token: Some(token), client: self.tokens.client_of(token) };
            if let Err(refusal) = self.count_request(now, index, route, asker, &mut usage) {
                return RouteAnswer::Refused(self.refuse_route(refusal), usage);
            }
        }
        match self.carry_out(now, route, asker, request) {
            Ok(answered) => {
                self.tally.answer_route();
                RouteAnswer::Answered(Answered { usage, ..answered })
            }
            Err(refusal) => RouteAnswer::Refused(self.refuse_route(refusal), usage),
        }
    }

    /// Counts a request by every limit that looks at it; the first that is over refuses it.
    fn count_request(
        &mut self,
        now: Moment,
        index: usize,
        route: &Route,
        asker: Asker,
        usage: &mut Vec<RequestUsage>,
    ) -> Result<(), HandshakeRefusal> {
        let rules = Arc::clone(&self.rules);
        let own =
            route.limit.zip(asker.token).map(|(limit, token)| (None, Counted::Route(index, token), limit));
        let common = rules.request_limits.iter().enumerate().filter_map(|(n, common)| {
            let counted = match common.of {
                LimitOf::Token => Counted::Token(n, asker.token?),
                LimitOf::Client => Counted::Client(n, asker.client?),
            };
            Some((Some(n), counted, common.limit))
        });
        for (limit_index, counted, limit) in own.into_iter().chain(common) {
            let counted = self.windows.count(now, counted, limit);
            usage.push(RequestUsage { limit: limit_index, usage: counted });
            if counted.is_over() {
                return Err(over_limit(limit, counted, "too many requests"));
            }
        }
        Ok(())
    }

    /// Does what a route does.
    fn carry_out(
        &mut self,
        now: Moment,
        route: &Route,
        asker: Asker,
        request: RouteRequest<'_>,
    ) -> Result<Answered, HandshakeRefusal> {
        match route.does {
            RouteDoes::Answer => {
                let headers = route.headers.iter().flat_map(|(_, value)| value.variables());
                let wants_ticket = route.body.variables().chain(headers).any(|name| name == "ticket");
                let ticket =
                    if wants_ticket { self.issue_ticket(now, asker.client, asker.token) } else { None };
                Ok(ticket.map_or_else(Answered::default, |id| self.about(id)))
            }
            RouteDoes::ListTickets => {
                let tickets =
                    asker.client.map(|client| self.tickets.of_client(now, client)).unwrap_or_default();
                Ok(Answered {
                    entities: tickets.into_iter().map(TokenId::text).collect(),
                    ..Answered::default()
                })
            }
            does => {
                let ticket = self.named_ticket(now, asker, request.ticket).ok_or_else(not_found)?;
                self.about_ticket(now, does, ticket, request.topics)
            }
        }
    }

    /// Does what a route does with the ticket that its path names.
    fn about_ticket(
        &mut self,
        now: Moment,
        does: RouteDoes,
        ticket: TokenId,
        topics: Option<&[String]>,
    ) -> Result<Answered, HandshakeRefusal> {
        match does {
            RouteDoes::EndTicket => self.end_ticket(ticket),
            RouteDoes::AddTopics | RouteDoes::ReplaceTopics => {
                let topics =
                    topics.ok_or_else(|| bad_request("the body must be like [{\"id\":\"topic\"}]"))?;
                let replaces = does == RouteDoes::ReplaceTopics;
                self.set_topics(now, ticket, topics, replaces)
                    .map_err(|TooManyTopics| bad_request("there are more topics than a ticket may have"))?;
            }
            RouteDoes::DropTopics => {
                // None are never too many.
                let _ = self.set_topics(now, ticket, &[], true);
            }
            _ => {}
        }
        let about = self.about(ticket);
        Ok(match does {
            RouteDoes::FindTicket | RouteDoes::EndTicket => about,
            _ => Answered { entities: self.tickets.topics_of(ticket), ..about },
        })
    }

    fn about(&self, ticket: TokenId) -> Answered {
        let expires = Some(self.tickets.expiry_of(ticket));
        Answered { ticket: Some(ticket.text()), expires, ..Answered::default() }
    }

    fn set_topics(
        &mut self,
        now: Moment,
        ticket: TokenId,
        topics: &[String],
        replaces: bool,
    ) -> Result<(), TooManyTopics> {
        let Some(rules) = self.rules.tickets else { return Ok(()) };
        self.tickets.set_topics(now, ticket, topics, replaces, rules)
    }

    /// A message of this session adds topics to its ticket.
    ///
    /// # Errors
    /// They are too many, or there is no ticket.
    pub fn add_topics(
        &mut self,
        now: Moment,
        session: SessionId,
        topics: &[String],
    ) -> Result<(), RefusedTopics> {
        match self.sessions.get(&session).map(Open::holds) {
            Some(Holds::Ticket(ticket)) if self.tickets.is_good(now, ticket) => {
                self.set_topics(now, ticket, topics, false).map_err(|TooManyTopics| RefusedTopics)
            }
            _ => Err(RefusedTopics),
        }
    }

    /// The ticket of that text, if it is good and the asker's own.
    fn named_ticket(&self, now: Moment, asker: Asker, text: Option<&str>) -> Option<TokenId> {
        match self.tickets.look_up(now, text?) {
            Standing::Good(id) if self.tickets.client_of(id) == asker.client => Some(id),
            _ => None,
        }
    }

    fn issue_ticket(
        &mut self,
        now: Moment,
        client: Option<ClientKey>,
        token: Option<TokenId>,
    ) -> Option<TokenId> {
        let rules = self.rules.tickets?;
        self.tally.issue_ticket();
        let (id, evicted) = self.tickets.issue(now, rules, client, token);
        if let Some(evicted) = evicted {
            self.tally.evict_ticket();
            self.tell_ticket_end(evicted);
        }
        Some(id)
    }

    /// A ticket for the client of this session, to be told in it; `None` where there are none.
    pub fn ticket_for(&mut self, now: Moment, session: SessionId) -> Option<String> {
        let client = self.sessions.get(&session).and_then(Open::client);
        self.issue_ticket(now, client, None).map(TokenId::text)
    }

    fn refuse_route(&mut self, refusal: HandshakeRefusal) -> HandshakeRefusal {
        self.tally.refuse_route(refusal.status, refusal.cause);
        refusal
    }

    fn token_standing(&self, now: Moment, credential: Option<&str>) -> Result<TokenId, Cause> {
        cause_of(credential.map(|text| self.standing(now, text)))
    }

    /// A message of this session brought a token. Answers with when it expires.
    ///
    /// # Errors
    /// Why it is no good.
    pub fn authenticate(
        &mut self,
        now: Moment,
        session: SessionId,
        credential: &str,
    ) -> Result<Moment, Cause> {
        let token = self.token_standing(now, Some(credential))?;
        if let Some(before) = self.sessions.get(&session).map(Open::holds) {
            self.put_down(before, session);
        }
        if let Some(open) = self.sessions.get_mut(&session) {
            open.show(Holds::Token(token));
        }
        self.pick_up(Holds::Token(token), session);
        Ok(self.tokens.expiry_of(token))
    }
}

/// Topics that were not added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusedTopics;

/// Who asks.
#[derive(Debug, Clone, Copy, Default)]
struct Asker {
    token: Option<TokenId>,
    client: Option<ClientKey>,
}

fn refusal_of(rules: &crate::scenario::keys::TargetRules, cause: Cause) -> HandshakeRefusal {
    let status = status_of(rules.refusal_status, cause);
    HandshakeRefusal { status, cause, words: words_of(cause), retry_after: None }
}

const fn not_found() -> HandshakeRefusal {
    let words = ("not.found", "there is no such ticket");
    HandshakeRefusal { status: 404, cause: Cause::ForbiddenOther, words, retry_after: None }
}

const fn bad_request(sentence: &'static str) -> HandshakeRefusal {
    let words = ("bad.request", sentence);
    HandshakeRefusal { status: 400, cause: Cause::ForbiddenOther, words, retry_after: None }
}
