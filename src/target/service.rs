//! What the target does beside guarding a handshake: routes that issue tickets, tokens that come in messages.
//!
//! In: `(now, event)`. Out: what a route answers, whether a message's token is good, and exact counts. No I/O, no clock.

use std::collections::HashMap;
use std::time::Duration;

use crate::clock::Moment;
use crate::sample::Cause;
use crate::scenario::model::HandshakeLimit;

use super::limits::ClientKey;
use super::registry::{Standing, TokenId};
use super::rules::{HandshakeRefusal, Holds, TargetState, status_of, words_of};
use super::session::SessionId;

/// What a route answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteAnswer {
    /// What its rules say.
    Answered {
        /// The ticket that was issued for it.
        ticket: Option<String>,
        /// Where the requests of its token stand.
        usage: Option<Usage>,
    },
    /// A refusal.
    Refused(HandshakeRefusal, Option<Usage>),
}

/// The requests of a token in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// How many were counted.
    pub count: u32,
    /// How many are allowed.
    pub allowed: u32,
    /// How long until the window ends.
    pub reset: Duration,
}

/// The windows of all tokens, by route.
#[derive(Debug, Default)]
pub(super) struct Windows {
    open: HashMap<(usize, TokenId), (Moment, u32)>,
}

/// This many windows are kept before those that have ended are dropped.
const MOST_WINDOWS: usize = 10_000;

impl Windows {
    fn count(&mut self, now: Moment, key: (usize, TokenId), limit: HandshakeLimit) -> Usage {
        if self.open.len() >= MOST_WINDOWS {
            self.open.retain(|_, (began, _)| now < *began + limit.per);
        }
        let window = self.open.entry(key).or_insert((now, 0));
        if now >= window.0 + limit.per {
            *window = (now, 0);
        }
        window.1 = window.1.saturating_add(1);
        Usage { count: window.1, allowed: limit.count, reset: (window.0 + limit.per).since(now) }
    }
}

impl TargetState {
    /// Answers a request for route `index` that brought this token.
    pub fn route(&mut self, now: Moment, index: usize, credential: Option<&str>) -> RouteAnswer {
        let rules = std::sync::Arc::clone(&self.rules);
        let Some(route) = rules.routes.get(index) else {
            return RouteAnswer::Answered { ticket: None, usage: None };
        };
        let mut usage = None;
        let mut client = None;
        if route.needs_token {
            let token = match self.token_standing(now, credential) {
                Ok(token) => token,
                Err(cause) => return RouteAnswer::Refused(self.refuse_route(cause), None),
            };
            client = self.tokens.client_of(token);
            if let Some(limit) = route.limit {
                let counted = self.windows.count(now, (index, token), limit);
                if counted.count > limit.count {
                    let refusal = HandshakeRefusal {
                        status: limit.status,
                        cause: Cause::RateLimited,
                        words: ("too.many.requests", "too many requests of this token"),
                        retry_after: Some(counted.reset),
                    };
                    self.tally.refuse_route(limit.status, Cause::RateLimited);
                    return RouteAnswer::Refused(refusal, Some(counted));
                }
                usage = Some(counted);
            }
        }
        let wants_ticket = route.body.variables().any(|name| name == "ticket");
        let ticket = if wants_ticket { self.issue_ticket(now, client) } else { None };
        self.tally.routes_answered += 1;
        RouteAnswer::Answered { ticket, usage }
    }

    fn issue_ticket(&mut self, now: Moment, client: Option<ClientKey>) -> Option<String> {
        let rules = self.rules.tickets?;
        self.tally.tickets_issued += 1;
        Some(self.tickets.issue(now, rules, client).text())
    }

    /// A ticket for the client of this session, to be told in it; `None` where there are none.
    pub fn ticket_for(&mut self, now: Moment, session: SessionId) -> Option<String> {
        let client = self.sessions.get(&session).and_then(|open| open.client);
        self.issue_ticket(now, client)
    }

    fn refuse_route(&mut self, cause: Cause) -> HandshakeRefusal {
        let status = status_of(self.rules.refusal_status, cause);
        self.tally.refuse_route(status, cause);
        HandshakeRefusal { status, cause, words: words_of(cause), retry_after: None }
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
        if let Some(open) = self.sessions.get_mut(&session) {
            open.holds = Holds::Token(token);
        }
        Ok(self.tokens.expiry_of(token))
    }
}

/// A good token, or the cause of the refusal.
pub(super) fn cause_of(standing: Option<Standing>) -> Result<TokenId, Cause> {
    Err(match standing {
        Some(Standing::Good(token)) => return Ok(token),
        Some(Standing::Unknown) => Cause::UnknownToken,
        Some(Standing::Stale) => Cause::StaleToken,
        Some(Standing::Expired) => Cause::ExpiredToken,
        Some(Standing::Insufficient) => Cause::MissingScope,
        None => Cause::NoToken,
    })
}
