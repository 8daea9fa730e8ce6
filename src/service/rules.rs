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
    Delay, FaultKind, FaultStage, GrantType, Invalidation, RefusalManner, RouteDoes, StatusFault, TargetRules,
};

use super::binding::Bindings;
use super::capacity::{Capacities, Endpoint};
use super::client_key::ClientKey;
use super::counters::TargetCounters;
use super::delay;
use super::families::Families;
use super::fates::Fates;
use super::faults::FaultDraws;
use super::holder::Bound;
use super::jwt::{TokenWriter, Told};
use super::limits::ClientLimits;
use super::open::{Holds, Open};
pub use super::refusal::HandshakeRefusal;
use super::refusal::{NOTHING_HERE, TOO_MANY_TOKENS, over_limit, status_of, words_of};
use super::registry::{MOST_DEAD, Standing, TokenId, TokenRegistry};
use super::returns::Returns;
use super::session::{Ended, Session, SessionId};
use super::shown::Shown;
use super::tally::Tally;
use super::tickets::TicketBook;
use super::token::{self, Grant, Issued, Known, TokenAnswer, TokenRefusal, TokenRequest};
use super::topic_book::TopicBook;
use super::windows::{Counted, Windows};

/// The service: its tokens, its open sessions, its counts.
#[derive(Debug)]
pub struct TargetState {
    pub(super) rules: Arc<TargetRules>,
    pub(super) tokens: TokenRegistry,
    pub(super) refresh_tokens: TokenRegistry,
    pub(super) families: Families,
    pub(super) writer: TokenWriter,
    /// Only where tokens are bound.
    pub(super) bindings: Option<Box<Bindings>>,
    pub(super) tickets: TicketBook,
    pub(super) windows: Windows,
    /// The newest token of each client id; kept only where a newer one ends it.
    newest: HashMap<String, TokenId>,
    pub(super) limits: ClientLimits,
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
    /// How many probes in a row have failed.
    failed_probes: u32,
    pub(super) storms: Draws,
    faults: FaultDraws,
    pub(super) tally: Tally,
    pub(super) returns: Returns,
    pub(super) topics: Option<Box<TopicBook>>,
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

impl TargetState {
    /// A service by `rules`, fresh. The same seed gives the same tokens, delays and storms.
    #[must_use]
    pub fn new(mut rules: TargetRules, seed: u64) -> Self {
        let topics = rules.topics.as_mut().map(|topics| {
            topics.seed.get_or_insert(seed);
            Box::new(TopicBook::new(Fates::of(*topics)))
        });
        let keeps_clients = rules.tickets.is_some_and(|tickets| tickets.per_client.is_some())
            || rules.routes.iter().any(|route| route.does == RouteDoes::ListTickets);
        Self {
            refresh_tokens: TokenRegistry::of(Purpose::TargetRefresh, seed, MOST_DEAD),
            families: Families::of(&rules),
            writer: TokenWriter::new(&rules, seed),
            bindings: Bindings::of(&rules, seed),
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
            failed_probes: 0,
            storms: Draws::new(seed, Purpose::TargetStorm, 0),
            faults: FaultDraws::new(seed),
            tally: Tally::default(),
            returns: Returns::default(),
            topics,
        }
    }

    /// Calendar time of the moment zero, in microseconds since 1970: for tokens that tell when they were issued.
    pub const fn set_origin(&mut self, unix_us: u64) {
        self.writer.set_origin(unix_us);
    }

    /// Where the target is to be had, as `http://127.0.0.1:8080`: for tokens that tell who issued them.
    pub fn set_address(&mut self, address: &str) {
        self.writer.set_address(address);
    }

    /// How tokens are written.
    #[must_use]
    pub const fn writer(&self) -> &TokenWriter {
        &self.writer
    }

    /// Where the access token of that text stands.
    pub(super) fn standing(&self, now: Moment, text: &str) -> Standing {
        let own = self.writer.read(text).map_or(Standing::Unknown, |id| self.tokens.look_up(now, &id));
        if own != Standing::Unknown {
            return own;
        }
        self.standing_of_minted(now, text).unwrap_or(own)
    }

    /// The service is probed; `true`: that failed often enough, and it restarts. Its sessions are to be closed.
    pub fn probe(&mut self) -> bool {
        let Some(probe) = self.rules.probe else { return false };
        let waiting = self.capacities.at(Endpoint::Upgrade).map_or(0, |queue| queue.waiting());
        self.failed_probes = if waiting > probe.waiting { self.failed_probes + 1 } else { 0 };
        let restarts = self.failed_probes >= probe.failures;
        if restarts {
            self.failed_probes = 0;
            self.tally.count_restart();
        }
        restarts
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
        let refresh = request.refresh_token.map(Shown::Text);
        let (id, grant, refresh) = match self.grant_token(now, &request, refresh) {
            Ok(granted) => granted,
            Err(refused) => return refused,
        };
        let expires_in = self.rules.token_life;
        let told = Told {
            client_id: request.client_id.unwrap_or_default(),
            scope: grant.scope.as_deref().or(request.scope).unwrap_or_default(),
            issued: now,
            expires: now + expires_in,
            bound: self.bindings.as_ref().and_then(|bindings| bindings.get(id)),
        };
        let is_dpop = matches!(told.bound, Some(Bound::Key(_)));
        let access_token = self.writer.write(id, told);
        let refresh_token = refresh.map(TokenId::text);
        TokenAnswer::Issued(Issued { access_token, expires_in, scope: grant.scope, refresh_token, is_dpop })
    }

    /// Decides on a token request, which may show this refresh token; counts and issues. The last of what it answers is the refresh token that
    /// goes with the access token.
    pub(super) fn grant_token(
        &mut self,
        now: Moment,
        request: &TokenRequest<'_>,
        refresh: Option<Shown<'_>>,
    ) -> Result<(TokenId, Grant, Option<TokenId>), TokenAnswer> {
        if let Some(limited) = self.count_token_request(now, request) {
            return Err(TokenAnswer::Limited(limited));
        }
        if self.tokens.is_full(now) || self.refresh_tokens.is_full(now) {
            self.tally.limit_token_request();
            return Err(TokenAnswer::Limited(TOO_MANY_TOKENS));
        }
        let subject =
            request.param("subject_token").filter(|_| self.rules.grants.contains(&GrantType::TokenExchange));
        let known = Known {
            shows_refresh: refresh.is_some_and(|refresh| !refresh.is_empty()),
            subject_is_ours: subject
                .is_some_and(|text| matches!(self.standing(now, text), Standing::Good(_))),
            unix_s: self.writer.origin_s() + now.as_second(),
        };
        let decided = token::decide(&self.rules, request, known);
        let decided = decided.and_then(|grant| {
            let bound = self.binding_of(now, &request.holder, request.used_basic)?;
            Ok((grant, bound))
        });
        let decided = decided.and_then(|(grant, bound)| {
            self.use_refresh_token(now, request, refresh).map(|family| (grant, bound, family))
        });
        let (grant, bound, family) =
            decided.map_err(|refusal| TokenAnswer::Refused(self.refuse_token(refusal)))?;
        let expires = now + self.rules.token_life;
        let client = ClientLimits::are_needed(&self.rules)
            .then(|| self.limits.key(request.client_id.unwrap_or_default()));
        let id = self.tokens.issue(now, expires, grant.is_sufficient, client);
        if let (Some(bound), Some(bindings)) = (bound, &mut self.bindings) {
            bindings.bind(id, bound, &self.tokens);
        }
        if self.rules.invalidation == Invalidation::OnNewToken {
            let client = request.client_id.unwrap_or_default().to_owned();
            if let Some(older) = self.newest.insert(client, id) {
                self.invalidate(older);
            }
        }
        self.tally.issue_token();
        let refresh = self.issue_refresh_token(now, request);
        self.families.grow(family, id, refresh, (&self.tokens, &mut self.refresh_tokens), now);
        Ok((id, grant, refresh))
    }

    /// Counts a token request; the refusal, where it is one too many.
    fn count_token_request(&mut self, now: Moment, request: &TokenRequest<'_>) -> Option<HandshakeRefusal> {
        let limit = self.rules.token_limit?;
        let client = self.limits.key(request.client_id.unwrap_or_default());
        let usage = self.windows.count(now, Counted::TokenRequests(client), limit);
        usage.is_over().then(|| {
            self.tally.limit_token_request();
            over_limit(limit, usage, "too many token requests of this client id")
        })
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
        let adopted = match credential {
            Some(Shown::Text(text)) => self.adopt(now, text),
            _ => None,
        };
        let credential = adopted.map(Shown::Token).or(credential);
        let holds = match self.credential(now, credential) {
            Ok(holds) => holds,
            Err(cause) => {
                let status = status_of(self.rules.refusal_status, cause);
                let words = match (cause, credential) {
                    (Cause::UnknownToken, Some(Shown::Text(text))) => self.wrong_with(text).words(),
                    (Cause::UnknownToken, Some(Shown::Wrong(wrong))) => wrong.words(),
                    _ => words_of(cause),
                };
                return self.refuse(now, HandshakeRefusal { status, cause, words, retry_after: None });
            }
        };
        let client = match holds {
            // Whose a token is, is kept only where a rule looks at clients.
            Holds::Token(token) if ClientLimits::are_needed(&self.rules) => self.tokens.client_of(token),
            Holds::Nothing | Holds::Token(_) => None,
            Holds::Ticket(ticket) => self.tickets.client_of(ticket),
        };
        self.let_in(now, holds, client, stream)
    }

    /// Admits a handshake that shows what it must, if its client may have another session.
    pub(super) fn let_in(
        &mut self,
        now: Moment,
        holds: Holds,
        client: Option<ClientKey>,
        stream: Option<u64>,
    ) -> Handshake {
        let leave =
            client.map_or(Ok(()), |client| self.limits.ask(now, client, &self.rules, &mut self.windows));
        match leave {
            Ok(()) => self.admit(now, holds, client, stream),
            Err(barred) => self.refuse(now, barred.refusal(self.rules.refusal_status)),
        }
    }

    /// Refuses a handshake in the way that the rules have. Where a session is opened for it, it is one like any other, but good
    /// for nothing.
    pub(super) fn refuse(&mut self, now: Moment, refusal: HandshakeRefusal) -> Handshake {
        match &self.rules.refusal_manner {
            RefusalManner::Status => self.tally.refuse(refusal.status, refusal.cause),
            manner => self.tally.refuse_otherwise(manner.name(), refusal.cause),
        }
        if !matches!(self.rules.refusal_manner, RefusalManner::Socket { .. }) {
            return Handshake::Refused(refusal);
        }
        let id = self.next_session();
        self.sessions.insert(id, Open::refused());
        self.tally.upgrade();
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
        self.sessions.insert(id, Open::new(holds, client, stream));
        self.pick_up(holds, id);
        self.tally.upgrade();
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
        let open = self.sessions.get(&id).filter(|open| !open.is_closing());
        if let Some(number) = open.and_then(Open::stream) {
            self.returns.left(number, now);
        }
        self.begin_silence(now, id);
    }

    /// The target is done with a session, and does not tell its client.
    pub fn begin_silence(&mut self, now: Moment, id: SessionId) {
        if let Some(open) = self.sessions.get_mut(&id) {
            open.begin_closing();
            let (holds, client) = (open.holds(), open.client());
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
            self.disconnect(now, id, open.holds(), open.client());
        }
    }

    pub(super) fn disconnect(&mut self, now: Moment, id: SessionId, holds: Holds, client: Option<ClientKey>) {
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

    /// A TCP connection was accepted.
    pub fn count_accepted(&mut self) {
        self.tally.accept();
    }

    /// A connection's first request was of this kind.
    pub fn count_first_request(&mut self, first: FirstRequest) {
        match first {
            FirstRequest::Token => self.tally.begin_with_token(),
            FirstRequest::Control => self.tally.begin_with_control(),
            FirstRequest::Events => self.tally.begin_with_events(),
        }
    }

    /// A data message was sent.
    pub fn count_message_sent(&mut self) {
        self.tally.send_message();
    }

    /// A data message was received.
    pub fn count_message_received(&mut self) {
        self.tally.receive_message();
    }

    /// Refuses an upgrade on a path where there is nothing. It counts as a refusal, for the client gets one.
    pub fn refuse_path(&mut self) -> HandshakeRefusal {
        self.tally.refuse(NOTHING_HERE.status, NOTHING_HERE.cause);
        NOTHING_HERE
    }

    /// A request was not for this service, or no HTTP.
    pub fn count_bad_request(&mut self) {
        self.tally.reject_request();
    }

    /// All counts.
    #[must_use]
    pub fn counters(&self) -> TargetCounters {
        let topics = self.topics.as_ref().map(|book| book.counts());
        TargetCounters { topics, ..self.tally.counters(self.sessions.len() as u64) }
    }
}
