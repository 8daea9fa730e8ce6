//! The target's decisions, without I/O.
//!
//! In: `(now, event)`: token requests, handshakes, ends of sessions, storms. Out: what the service answers, and exact counts.
//! Opens no socket, reads no clock, draws only from the seed that it was given; so the server and the virtual-time driver
//! share it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Moment;
use crate::random::{Draws, Purpose, Stream};
use crate::sample::Cause;
use crate::scenario::keys::{
    Delay, FaultKind, FaultStage, Invalidation, RefusalManner, RefusalStatus, StatusFault, TargetRules,
};

use crate::scenario::keys::RouteDoes;

use super::capacity::Capacities;
use super::counters::TargetCounters;
use super::delay;
use super::faults::FaultDraws;
use super::handle::Shown;
use super::jwt::{TokenWriter, Told};
use super::limits::{Bar, Barred, ClientKey, ClientLimits, TOO_MANY_TOKENS};
use super::registry::{MOST_DEAD, Standing, TokenId, TokenRegistry};
use super::returns::Returns;
use super::routes::{cause_of, over_limit};
use super::session::{Ended, Session, SessionId};
use super::tally::Tally;
use super::tickets::TicketBook;
use super::token::{self, Grant, Issued, TokenAnswer, TokenError, TokenRefusal, TokenRequest};
use super::windows::{Counted, Windows};

/// The service: its tokens, its open sessions, its counts.
#[derive(Debug)]
pub struct TargetState {
    pub(super) rules: Arc<TargetRules>,
    pub(super) tokens: TokenRegistry,
    pub(super) refresh_tokens: TokenRegistry,
    pub(super) writer: TokenWriter,
    pub(super) tickets: TicketBook,
    pub(super) windows: Windows,
    /// The newest token of each client id; kept only where a newer one ends it.
    newest: HashMap<String, TokenId>,
    limits: ClientLimits,
    /// In the order of their upgrades, so that a storm strikes the same ones for the same seed.
    pub(super) sessions: BTreeMap<SessionId, Open>,
    /// The sessions that a token opened; kept only where its end is theirs.
    pub(super) holders: HashMap<TokenId, Vec<SessionId>>,
    /// Sessions that are to be told that what they hold has ended.
    pub(super) hold_ended: Vec<SessionId>,
    last_session: u64,
    upgrade_delays: Stream,
    token_delays: Stream,
    pub(super) capacities: Capacities,
    pub(super) storms: Draws,
    faults: FaultDraws,
    pub(super) tally: Tally,
    pub(super) returns: Returns,
}

/// What a session was opened with, or has shown since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    /// Nothing yet: the token comes in a message.
    Nothing,
    /// A token.
    Token(TokenId),
    /// A ticket.
    Ticket(TokenId),
}

/// An open session.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) holds: Holds,
    pub(super) client: Option<ClientKey>,
    /// The number that the client goes by, where it told one.
    stream: Option<u64>,
    is_closing: bool,
}

/// The answer to an upgrade request.
#[derive(Debug)]
pub enum Handshake {
    /// 101: a session has begun, and must be ended by [`TargetState::end_session`].
    Admitted {
        /// The session.
        session: Session,
        /// The session whose place it takes: to be closed with [`TargetRules::displaced_code`].
        displaced: Option<SessionId>,
    },
    /// An HTTP refusal.
    Refused(HandshakeRefusal),
}

/// Why a handshake is refused, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandshakeRefusal {
    /// The HTTP status.
    pub status: u16,
    /// The true cause.
    pub cause: Cause,
    /// What a full refusal says in its body: a code and a sentence.
    pub words: (&'static str, &'static str),
    /// `Retry-After`.
    pub retry_after: Option<Duration>,
}

/// Which kind of request a connection brought first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstRequest {
    /// To the token endpoint.
    Token,
    /// To a control endpoint.
    Control,
    /// To the WebSocket endpoint, or anywhere else.
    Events,
}

/// A storm that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum StormError {
    /// No server may send that code (RFC 6455 §7.4).
    #[error("close code {0} cannot be sent: use 1000 to 1003, 1007 to 1013, or 3000 to 4999")]
    Code(u16),
    /// Not a share.
    #[error("fraction {0} is not a share: use a number above 0 and up to 1")]
    Fraction(f64),
}

impl TargetState {
    /// A service by `rules`, fresh. The same seed gives the same tokens, delays and storms.
    #[must_use]
    pub fn new(rules: TargetRules, seed: u64) -> Self {
        let keeps_clients = rules.tickets.is_some_and(|tickets| tickets.per_client.is_some())
            || rules.routes.iter().any(|route| route.does == RouteDoes::ListTickets);
        Self {
            refresh_tokens: TokenRegistry::of(Purpose::TargetRefresh, seed, MOST_DEAD),
            writer: TokenWriter::new(rules.token_format, seed),
            capacities: Capacities::of(&rules, seed),
            rules: Arc::new(rules),
            tokens: TokenRegistry::new(seed, MOST_DEAD),
            tickets: TicketBook::new(seed, keeps_clients),
            windows: Windows::default(),
            newest: HashMap::new(),
            limits: ClientLimits::default(),
            sessions: BTreeMap::new(),
            holders: HashMap::new(),
            hold_ended: Vec::new(),
            last_session: 0,
            upgrade_delays: Stream::new(seed, Purpose::TargetDelay, 0),
            token_delays: Stream::new(seed, Purpose::TargetDelay, 1),
            storms: Draws::new(seed, Purpose::TargetStorm, 0),
            faults: FaultDraws::new(seed),
            tally: Tally::default(),
            returns: Returns::default(),
        }
    }

    /// Calendar time of the moment zero, in microseconds since 1970: for tokens that tell when they were issued.
    pub const fn set_origin(&mut self, unix_us: u64) {
        self.writer.set_origin(unix_us);
    }

    /// Where the access token of that text stands.
    pub(super) fn standing(&self, now: Moment, text: &str) -> Standing {
        self.writer.read(text).map_or(Standing::Unknown, |id| self.tokens.look_up(now, &id))
    }

    /// The rules.
    #[must_use]
    pub fn rules(&self) -> &Arc<TargetRules> {
        &self.rules
    }

    /// How long the next upgrade's answer is held back.
    pub fn next_upgrade_delay(&mut self) -> Duration {
        delay::sample(self.rules.upgrade_delay, &mut self.upgrade_delays)
    }

    /// How long the next token's answer is held back.
    pub fn next_token_delay(&mut self) -> Duration {
        delay::sample(self.rules.token_delay, &mut self.token_delays)
    }

    /// The fault that strikes what happens at that stage now, if any; what it does is up to the caller, who says when it is done with
    /// [`TargetState::count_fault`].
    pub fn strike(&mut self, now: Moment, stage: FaultStage) -> Option<FaultKind> {
        self.faults.strike(&self.rules.faults, now, stage)
    }

    /// How long a fault holds something back.
    pub fn next_fault_delay(&mut self, delay: Delay) -> Duration {
        self.faults.next_delay(delay)
    }

    /// A fault was carried out.
    pub fn count_fault(&mut self, fault: &FaultKind) {
        self.tally.inject(fault);
    }

    /// Refuses an upgrade request by a fault. It counts as a refusal, for the client gets one.
    pub fn refuse_by_fault(&mut self, fault: StatusFault) -> HandshakeRefusal {
        let StatusFault { status, retry_after } = fault;
        let cause = if status == 429 { Cause::RateLimited } else { Cause::Edge };
        self.tally.refuse(status, cause);
        HandshakeRefusal { status, cause, words: ("fault", "refused by a fault"), retry_after }
    }

    /// Answers a token request.
    pub fn token_request(&mut self, now: Moment, request: TokenRequest<'_>) -> TokenAnswer {
        let (id, grant) = match self.grant_token(now, request, request.refresh_token.map(Shown::Text)) {
            Ok(granted) => granted,
            Err(refused) => return refused,
        };
        let expires_in = self.rules.token_life;
        let told = Told {
            client_id: request.client_id.unwrap_or_default(),
            scope: grant.scope.as_deref().or(request.scope).unwrap_or_default(),
            issued: now,
            expires: now + expires_in,
        };
        let access_token = self.writer.write(id, told);
        let refresh_token = self.issue_refresh_token(now, request).map(TokenId::text);
        TokenAnswer::Issued(Issued { access_token, expires_in, scope: grant.scope, refresh_token })
    }

    /// Decides on a token request, which may show this refresh token; counts and issues.
    pub(super) fn grant_token(
        &mut self,
        now: Moment,
        request: TokenRequest<'_>,
        refresh: Option<Shown<'_>>,
    ) -> Result<(TokenId, Grant), TokenAnswer> {
        if let Some(limited) = self.count_token_request(now, request) {
            return Err(TokenAnswer::Limited(limited));
        }
        if self.tokens.is_full(now) || self.refresh_tokens.is_full(now) {
            self.tally.limit_token_request();
            return Err(TokenAnswer::Limited(TOO_MANY_TOKENS));
        }
        let decided = token::decide(&self.rules, request, refresh.is_some_and(|refresh| !refresh.is_empty()));
        let decided = decided.and_then(|grant| self.use_refresh_token(now, request, refresh).map(|()| grant));
        let grant = decided.map_err(|refusal| TokenAnswer::Refused(self.refuse_token(refusal)))?;
        let expires = now + self.rules.token_life;
        let client = ClientLimits::are_needed(&self.rules)
            .then(|| self.limits.key(request.client_id.unwrap_or_default()));
        let id = self.tokens.issue(now, expires, grant.is_sufficient, client);
        if self.rules.invalidation == Invalidation::OnNewToken {
            let client = request.client_id.unwrap_or_default().to_owned();
            if let Some(older) = self.newest.insert(client, id) {
                self.invalidate(older);
            }
        }
        self.tally.tokens_issued += 1;
        Ok((id, grant))
    }

    /// Counts a token request; the refusal, where it is one too many.
    fn count_token_request(&mut self, now: Moment, request: TokenRequest<'_>) -> Option<HandshakeRefusal> {
        let limit = self.rules.token_limit?;
        let client = self.limits.key(request.client_id.unwrap_or_default());
        let usage = self.windows.count(now, Counted::TokenRequests(client), limit);
        usage.is_over().then(|| {
            self.tally.limit_token_request();
            over_limit(limit, usage, "too many token requests of this client id")
        })
    }

    /// Takes the refresh token of a request that shows one. Where tokens rotate, it is used up.
    fn use_refresh_token(
        &mut self,
        now: Moment,
        request: TokenRequest<'_>,
        refresh: Option<Shown<'_>>,
    ) -> Result<(), TokenRefusal> {
        let (Some(shown), Some(rules)) = (refresh, self.rules.refresh_tokens) else { return Ok(()) };
        if request.grant_type != Some("refresh_token") {
            return Ok(());
        }
        let refuse = |description| TokenRefusal {
            error: TokenError::InvalidGrant,
            description,
            used_basic: request.used_basic,
        };
        match shown.standing(now, &self.refresh_tokens) {
            Standing::Good(id) => {
                if rules.rotate {
                    self.refresh_tokens.invalidate(id);
                }
                Ok(())
            }
            Standing::Stale => Err(refuse("the refresh token was used before")),
            Standing::Expired => Err(refuse("the refresh token expired")),
            Standing::Unknown | Standing::Insufficient => Err(refuse("the refresh token is unknown")),
        }
    }

    /// A refresh token to go with an access token: always at first, and at a refresh where they rotate.
    pub(super) fn issue_refresh_token(&mut self, now: Moment, request: TokenRequest<'_>) -> Option<TokenId> {
        let rules = self.rules.refresh_tokens?;
        let is_refresh = request.grant_type == Some("refresh_token");
        (!is_refresh || rules.rotate).then(|| self.refresh_tokens.issue(now, now + rules.life, true, None))
    }

    /// Counts a refusal of the token endpoint, and gives it back: for faults found before the request could be read.
    pub fn refuse_token(&mut self, refusal: TokenRefusal) -> TokenRefusal {
        self.tally.refuse_token(refusal.error);
        refusal
    }

    /// Answers an upgrade request that brought this token, for the message stream of that number.
    pub fn handshake(&mut self, now: Moment, credential: Option<&str>, stream: Option<u64>) -> Handshake {
        self.handshake_with(now, credential.map(Shown::Text), stream)
    }

    pub(super) fn handshake_with(
        &mut self,
        now: Moment,
        credential: Option<Shown<'_>>,
        stream: Option<u64>,
    ) -> Handshake {
        let holds = match self.credential(now, credential) {
            Ok(holds) => holds,
            Err(cause) => {
                let status = status_of(self.rules.refusal_status, cause);
                let words = words_of(cause);
                return self.refuse(now, HandshakeRefusal { status, cause, words, retry_after: None });
            }
        };
        let client = match holds {
            Holds::Nothing => None,
            Holds::Token(token) => self.tokens.client_of(token),
            Holds::Ticket(ticket) => self.tickets.client_of(ticket),
        };
        let leave =
            client.map_or(Ok(()), |client| self.limits.ask(now, client, &self.rules, &mut self.windows));
        match leave {
            Ok(()) => self.admit(now, holds, client, stream),
            Err(barred) => self.refuse(now, refusal_of_bar(barred, self.rules.refusal_status)),
        }
    }

    /// What a handshake shows: a ticket where there are such, a token, or nothing where the token comes in a message.
    fn credential(&self, now: Moment, shown: Option<Shown<'_>>) -> Result<Holds, Cause> {
        if let Some(tickets) = self.rules.tickets {
            return match shown {
                None if tickets.optional => Ok(Holds::Nothing),
                // A ticket is a text; whatever else is shown is none.
                Some(Shown::Text(text)) => cause_of(Some(self.tickets.look_up(now, text))).map(Holds::Ticket),
                Some(Shown::Token(_)) => cause_of(Some(Standing::Unknown)).map(Holds::Ticket),
                None => cause_of(None).map(Holds::Ticket),
            };
        }
        let standing = match shown {
            None if self.rules.message_token.is_some() => return Ok(Holds::Nothing),
            None => None,
            Some(Shown::Text(text)) => Some(self.standing(now, text)),
            Some(Shown::Token(id)) => Some(self.tokens.standing_of(now, id)),
        };
        cause_of(standing).map(Holds::Token)
    }

    /// Refuses a handshake in the way that the rules have. Where a session is opened for it, it is one like any other, but good
    /// for nothing.
    fn refuse(&mut self, now: Moment, refusal: HandshakeRefusal) -> Handshake {
        match &self.rules.refusal_manner {
            RefusalManner::Status => self.tally.refuse(refusal.status, refusal.cause),
            manner => self.tally.refuse_otherwise(manner.name(), refusal.cause),
        }
        if !matches!(self.rules.refusal_manner, RefusalManner::Socket { .. }) {
            return Handshake::Refused(refusal);
        }
        let id = self.next_session();
        self.sessions
            .insert(id, Open { holds: Holds::Nothing, client: None, stream: None, is_closing: false });
        self.tally.upgrades += 1;
        let session = Session::refused(id, Arc::clone(&self.rules), refusal, now);
        Handshake::Admitted { session, displaced: None }
    }

    const fn next_session(&mut self) -> SessionId {
        self.last_session += 1;
        SessionId(self.last_session)
    }

    fn admit(
        &mut self,
        now: Moment,
        holds: Holds,
        client: Option<ClientKey>,
        stream: Option<u64>,
    ) -> Handshake {
        let id = self.next_session();
        let by_client = client.and_then(|client| self.limits.open(client, id, &self.rules));
        let by_ticket = match (holds, self.rules.tickets) {
            (Holds::Ticket(ticket), Some(rules)) => self.tickets.open(ticket, id, rules),
            _ => None,
        };
        let displaced = by_client.or(by_ticket);
        self.sessions.insert(id, Open { holds, client, stream, is_closing: false });
        self.pick_up(holds, id);
        self.tally.upgrades += 1;
        if let (Holds::Token(token), Invalidation::OnUse) = (holds, self.rules.invalidation) {
            self.tokens.invalidate(token);
        }
        if let Some(displaced) = displaced {
            self.begin_close(now, displaced);
        }
        if let Some(number) = stream {
            self.returns.back(number, now);
        }
        let mut session = Session::open(id, Arc::clone(&self.rules), stream, now);
        session.set_hold_end(self.end_of(holds));
        Handshake::Admitted { session, displaced }
    }

    /// The target is about to send a close frame. What the end of the session takes away is gone from here on: a client
    /// that comes back the moment it sees the frame must not find its token good.
    pub fn begin_close(&mut self, now: Moment, id: SessionId) {
        let open = self.sessions.get(&id).filter(|open| !open.is_closing);
        if let Some(number) = open.and_then(|open| open.stream) {
            self.returns.left(number, now);
        }
        self.begin_silence(now, id);
    }

    /// The target is done with a session, and does not tell its client.
    pub fn begin_silence(&mut self, now: Moment, id: SessionId) {
        if let Some(open) = self.sessions.get_mut(&id) {
            open.is_closing = true;
            let (holds, client) = (open.holds, open.client);
            self.disconnect(now, id, holds, client);
        }
    }

    /// How long the clients that the target closed were away: microseconds to three digits, and how many.
    #[must_use]
    pub fn returns(&self) -> Vec<(u64, u64)> {
        self.returns.steps()
    }

    /// A session has ended. A session ends once: a second end of it is ignored.
    pub fn end_session(&mut self, now: Moment, id: SessionId, ended: Ended) {
        if let Some(open) = self.sessions.remove(&id) {
            self.tally.close(ended);
            self.disconnect(now, id, open.holds, open.client);
        }
    }

    fn disconnect(&mut self, now: Moment, id: SessionId, holds: Holds, client: Option<ClientKey>) {
        self.put_down(holds, id);
        if let Some(client) = client {
            self.limits.leave(now, client, id, &self.rules);
        }
        match holds {
            Holds::Token(token) if self.rules.invalidation == Invalidation::OnDisconnect => {
                self.invalidate(token);
            }
            Holds::Ticket(ticket) => self.tickets.leave(ticket, id),
            _ => {}
        }
    }

    /// Picks the sessions that a storm strikes: this share of those that are not closing yet, rounded, at random. They
    /// count as closing from here on.
    ///
    /// # Errors
    /// A code that cannot be sent, or a fraction outside (0, 1].
    pub fn storm(&mut self, now: Moment, code: u16, fraction: f64) -> Result<Vec<SessionId>, StormError> {
        if !is_sendable(code) {
            return Err(StormError::Code(code));
        }
        if !(fraction > 0.0 && fraction <= 1.0) {
            return Err(StormError::Fraction(fraction));
        }
        let struck = self.pick(fraction);
        Ok(self.strike_sessions(now, &struck))
    }

    /// This share of the sessions that are not closing yet, rounded, at random.
    pub fn pick(&mut self, fraction: f64) -> Vec<SessionId> {
        let mut left = self.sessions.values().filter(|open| !open.is_closing).count();
        // Exact for any count that fits into memory.
        let mut wanted = (left as f64 * fraction).round() as usize;
        let mut picked = Vec::with_capacity(wanted);
        // Selection sampling: each subset of the wanted size is as likely as any other (Knuth, TAOCP 2, algorithm 3.4.2 S).
        for (&id, _) in self.sessions.iter().filter(|(_, open)| !open.is_closing) {
            if (self.storms.next_unit() * left as f64) < wanted as f64 {
                picked.push(id);
                wanted -= 1;
            }
            left -= 1;
        }
        picked
    }

    /// A storm strikes these sessions; answers with those that were open and not closing yet. They count as closing from here on.
    pub fn strike_sessions(&mut self, now: Moment, sessions: &[SessionId]) -> Vec<SessionId> {
        let mut struck = Vec::with_capacity(sessions.len());
        for id in sessions {
            let Some(open) = self.sessions.get_mut(id).filter(|open| !open.is_closing) else { continue };
            open.is_closing = true;
            let (holds, client) = (open.holds, open.client);
            if let Some(number) = open.stream {
                self.returns.left(number, now);
            }
            self.disconnect(now, *id, holds, client);
            struck.push(*id);
        }
        struck
    }

    /// A TCP connection was accepted.
    pub fn count_accepted(&mut self) {
        self.tally.accepted += 1;
    }

    /// A connection's first request was of this kind.
    pub fn count_first_request(&mut self, first: FirstRequest) {
        match first {
            FirstRequest::Token => self.tally.accepted_token += 1,
            FirstRequest::Control => self.tally.accepted_control += 1,
            FirstRequest::Events => self.tally.accepted_events += 1,
        }
    }

    /// A data message was sent.
    pub fn count_message_sent(&mut self) {
        self.tally.messages_sent += 1;
    }

    /// A data message was received.
    pub fn count_message_received(&mut self) {
        self.tally.messages_received += 1;
    }

    /// A request was not for this service, or no HTTP.
    pub fn count_bad_request(&mut self) {
        self.tally.bad_requests += 1;
    }

    /// All counts.
    #[must_use]
    pub fn counters(&self) -> TargetCounters {
        self.tally.counters(self.sessions.len() as u64)
    }
}

/// The status of a refusal for this cause.
pub(super) const fn status_of(rule: RefusalStatus, cause: Cause) -> u16 {
    match (rule, cause) {
        (RefusalStatus::Always(status), _) => status,
        (
            RefusalStatus::Rfc6750,
            Cause::NoToken | Cause::UnknownToken | Cause::StaleToken | Cause::ExpiredToken,
        ) => 401,
        (RefusalStatus::Rfc6750, _) => 403,
    }
}

fn refusal_of_bar(barred: Barred, rule: RefusalStatus) -> HandshakeRefusal {
    let cause = barred.why.cause();
    let (status, words) = match barred.why {
        Bar::Locked => {
            (status_of(rule, cause), ("client.locked", "the client id was disconnected a moment ago"))
        }
        Bar::TooManySessions => {
            (status_of(rule, cause), ("too.many.sessions", "the client id has all its sessions open"))
        }
        Bar::TooManyHandshakes(status) => {
            (status, ("too.many.requests", "too many handshakes of this client id"))
        }
    };
    HandshakeRefusal { status, cause, words, retry_after: barred.retry_after }
}

/// Code and sentence of a refusal for the token's sake.
pub(super) const fn words_of(cause: Cause) -> (&'static str, &'static str) {
    match cause {
        Cause::NoToken => ("token.missing", "no access token was sent"),
        Cause::StaleToken => ("token.stale", "the access token was invalidated"),
        Cause::ExpiredToken => ("token.expired", "the access token expired"),
        Cause::MissingScope => ("missing.scope", "the access token lacks a required scope"),
        _ => ("token.unknown", "the access token is unknown"),
    }
}

/// Whether a server may send `code` in a close frame: assigned by RFC 6455 §7.4.1 or its registry, or free for use, and
/// understood by clients of RFC 6455.
#[must_use]
pub const fn is_sendable(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1013 | 3000..=4999)
}
