//! The service's side of a run: its rules, its endpoints with their queues, its sessions.
//!
//! In: requests that have come to an endpoint, frames, storms. Out: what becomes of each request; frames over the network. The rules
//! themselves are those of the server on the network ([`crate::service`]). The token endpoint is in `tokens`.

mod tokens;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use hyper::Uri;

use crate::clock::Moment;
use crate::lifecycle::{ConnectFailure, Evidence};
use crate::scenario::keys::{FaultKind, FaultStage, RefusalManner, TargetRules, TokenFormat};
use crate::service::capacity::{Arrival, Endpoint, Place};
use crate::service::counters::TargetCounters;
use crate::service::handle::Credential;
use crate::service::message::{MessageText, Schedule};
use crate::service::pages::{Page, PageRequest};
use crate::service::presented::{Over, UpgradeLook};
use crate::service::rules::{FirstRequest, Handshake, HandshakeRefusal, TargetState};
use crate::service::session::{Session, SessionId};

use super::frame::ToTarget;
use super::queue::{EventQueue, Kind};
use super::refusal::EvidenceBook;
use super::served_sessions::{Home, Reach, ServedSessions};
use super::slab::{Beside, Key};
use super::token_answer::TokenSays;
use super::transit::Transit;

/// A request at an endpoint.
#[derive(Debug, Default)]
struct Visit {
    fault: Option<FaultKind>,
    /// How long its answer is held back.
    delay: Duration,
    /// Where it waits.
    place: Option<Place>,
}

/// Who waits at an endpoint.
#[derive(Debug, Default)]
struct WaitingLine {
    first: u64,
    requests: VecDeque<Key>,
}

impl WaitingLine {
    fn put(&mut self, place: Place, key: Key) {
        if self.requests.is_empty() {
            self.first = place.0;
        }
        self.requests.push_back(key);
    }

    /// Who waits there; those before are gone.
    fn take(&mut self, place: Place) -> Key {
        loop {
            let Some(key) = self.requests.pop_front() else { return Key::NONE };
            self.first += 1;
            if self.first > place.0 {
                return key;
            }
        }
    }
}

/// What becomes of a request that an endpoint has read.
#[derive(Debug)]
pub(super) enum Reception {
    /// It was worked off at once.
    Done,
    /// A server works on it until then.
    Begun(Moment),
    /// It waits for a server.
    Waits,
    /// It is refused at once.
    Refused(HandshakeRefusal),
}

/// What the token endpoint answers.
#[derive(Debug, Clone, Copy)]
pub(super) enum TokenReply {
    /// Nothing.
    Hangs,
    Says(TokenSays),
}

/// What the WebSocket endpoint answers.
#[derive(Debug)]
pub(super) enum UpgradeReply {
    /// Nothing.
    Hangs,
    /// A refusal; whether it is of something in front of the service.
    Refused(HandshakeRefusal, IsEdge),
    /// What is no answer to a client.
    Fails(ConnectFailure),
    /// A session; and which one makes room for it.
    Admitted { session: Session, displaced: Option<SessionId> },
}

/// What a handshake shows.
#[derive(Clone, Copy)]
pub(super) enum Shows<'a> {
    /// A token, by itself; the page that it is of; whose it is.
    Handle { credential: Option<Credential<'a>>, origin: Option<&'a str>, number: u32 },
    /// A request that is written out.
    Written { headers: &'a HeaderMap, uri: &'a Uri, over: Over },
}

impl UpgradeReply {
    /// Whether it is the rules' own, and no fault's.
    pub(super) const fn is_by_the_rules(&self) -> bool {
        matches!(self, Self::Refused(_, IsEdge(false)) | Self::Admitted { .. })
    }
}

/// Whether something in front of the service speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IsEdge(pub(super) bool);

/// The service.
pub(super) struct ServiceSide {
    target: TargetState,
    rules: Arc<TargetRules>,
    sessions: ServedSessions,
    visits: Beside<Visit>,
    token_line: WaitingLine,
    upgrade_line: WaitingLine,
    evidence: EvidenceBook,
    message_text: MessageText,
    start_unix_us: u64,
    /// Whether its tokens would be JWTs on a network.
    is_jwt: bool,
    home: Home,
    /// Those who were warned of each of its storms.
    warned: Vec<Vec<SessionId>>,
}

impl ServiceSide {
    pub(super) fn new(rules: TargetRules, seed: u64, (address, start_unix_us): (String, u64)) -> Self {
        let sessions = ServedSessions::new(rules.token_end.is_some() || rules.ticket_end.is_told());
        let home = Home { ws: if rules.tls { "wss" } else { "ws" }, address, origin_us: start_unix_us };
        let warned = vec![Vec::new(); rules.storms.len()];
        // A token is itself here, and its text that of an opaque one.
        let is_jwt = rules.token_format == TokenFormat::Jwt;
        let rules = TargetRules { token_format: TokenFormat::Opaque, ..rules };
        let mut target = TargetState::new(rules, seed);
        target.set_origin(start_unix_us);
        target.forget_returns();
        target.take_stand_in_proofs();
        Self {
            rules: Arc::clone(target.rules()),
            message_text: MessageText::of(target.rules()),
            target,
            sessions,
            visits: Beside::default(),
            token_line: WaitingLine::default(),
            upgrade_line: WaitingLine::default(),
            evidence: EvidenceBook::default(),
            start_unix_us,
            is_jwt,
            home,
            warned,
        }
    }

    pub(super) fn rules(&self) -> &Arc<TargetRules> {
        &self.rules
    }

    pub(super) fn counters(&self) -> TargetCounters {
        self.target.final_counters()
    }

    /// When the message of that number was due for a client that named itself, or did not.
    pub(super) fn message_due(&self, number: Option<u32>, sequence: u64) -> Moment {
        let every = self.rules.messages_every.unwrap_or(Duration::MAX);
        Schedule::new(every, number.map(u64::from)).due(sequence)
    }

    /// The text of a message that was due at `due`.
    pub(super) fn message_text(&self, sequence: u64, due: Moment) -> String {
        self.message_text.write(sequence, self.start_unix_us.saturating_add(due.as_us()))
    }

    /// Whether the service has read a request.
    pub(super) fn has_seen(&self, key: Key) -> bool {
        self.visits.get(key).is_some()
    }

    /// The service accepts a connection. `Some`: it does not read from it until then.
    pub(super) fn accept(&mut self, now: Moment, first: FirstRequest) -> Option<Moment> {
        self.target.count_accepted();
        if let Some(FaultKind::AcceptSlow { delay }) = self.strike(now, FaultStage::Accept) {
            return Some(now + self.target.next_fault_delay(delay));
        }
        self.target.count_first_request(first);
        None
    }

    /// The service reads from a connection at last.
    pub(super) fn count_first_request(&mut self, first: FirstRequest) {
        self.target.count_first_request(first);
    }

    /// A connection brought a request where TLS should begin.
    pub(super) fn count_without_tls(&mut self, key: Key) {
        self.visits.insert(key, Visit::default());
        self.target.count_accepted();
        self.target.count_bad_request();
    }

    /// A request for another path than an endpoint's has come.
    pub(super) fn refuse_path(&mut self, key: Key) -> HandshakeRefusal {
        self.visits.insert(key, Visit::default());
        self.target.refuse_path()
    }

    /// An endpoint has read a request.
    pub(super) fn take_up(&mut self, now: Moment, key: Key, endpoint: Endpoint) -> Reception {
        let fault = self.strike(
            now,
            match endpoint {
                Endpoint::Token => FaultStage::Token,
                Endpoint::Upgrade => FaultStage::Upgrade,
            },
        );
        let mut delay = match endpoint {
            Endpoint::Token => self.target.next_token_delay(),
            Endpoint::Upgrade => self.target.next_upgrade_delay(),
        };
        if let Some(FaultKind::TokenSlow { delay: slow }) = fault {
            delay += self.target.next_fault_delay(slow);
        }
        let arrival = self.target.arrive(now, endpoint);
        let place = if let Arrival::Waits(place) = arrival { Some(place) } else { None };
        self.visits.insert(key, Visit { fault, delay, place });
        match arrival {
            Arrival::Unlimited => Reception::Done,
            Arrival::Begun(done) => Reception::Begun(done),
            Arrival::Waits(place) => {
                self.line(endpoint).put(place, key);
                Reception::Waits
            }
            Arrival::Full => Reception::Refused(self.target.refuse_over_capacity(endpoint)),
        }
    }

    const fn line(&mut self, endpoint: Endpoint) -> &mut WaitingLine {
        match endpoint {
            Endpoint::Token => &mut self.token_line,
            Endpoint::Upgrade => &mut self.upgrade_line,
        }
    }

    /// A server of `endpoint` is done, and takes the next: which request, and when that is done.
    pub(super) fn server_done(
        &mut self,
        queue: &mut EventQueue,
        endpoint: Endpoint,
    ) -> Option<(Key, Moment)> {
        let (place, done) = self.target.finish(queue.now(), endpoint)?;
        queue.put(done, Kind::ServerDone, endpoint_index(endpoint));
        let key = self.line(endpoint).take(place);
        let visit = self.visits.get_mut(key).filter(|visit| visit.place == Some(place))?;
        visit.place = None;
        Some((key, done))
    }

    /// A request leaves the queue of its endpoint, if it waits there.
    pub(super) fn leave_queue(&mut self, key: Key, endpoint: Endpoint) {
        if let Some(place) = self.visits.get_mut(key).and_then(|visit| visit.place.take()) {
            self.target.leave_queue(endpoint, place);
        }
    }

    /// How long the answer to a request is held back.
    pub(super) fn holds_back(&self, key: Key) -> Duration {
        self.visits.get(key).map_or(Duration::ZERO, |visit| visit.delay)
    }

    /// Answers a request for a page.
    pub(super) fn page(&mut self, transit: &mut Transit, request: PageRequest<'_>) -> Page {
        let page = self.target.page(transit.now(), request);
        self.tell_hold_ends(transit);
        page
    }

    /// Answers a handshake.
    pub(super) fn answer_upgrade(&mut self, now: Moment, key: Key, shows: Shows<'_>) -> UpgradeReply {
        let fault = self.visits.get(key).and_then(|visit| visit.fault);
        match fault {
            Some(FaultKind::UpgradeStall) => return UpgradeReply::Hangs,
            Some(FaultKind::UpgradeStatus(status)) => {
                return UpgradeReply::Refused(self.target.refuse_by_fault(status), IsEdge(true));
            }
            Some(FaultKind::ResetBeforeUpgrade | FaultKind::ResetDuringUpgrade) => {
                return UpgradeReply::Fails(ConnectFailure::Reset);
            }
            Some(FaultKind::WrongAccept | FaultKind::UnsolicitedSubprotocol) => {
                return UpgradeReply::Fails(ConnectFailure::Protocol);
            }
            _ => {}
        }
        match self.decide(now, shows) {
            Handshake::Refused(refusal) => match self.rules.refusal_manner {
                RefusalManner::Reset => UpgradeReply::Fails(ConnectFailure::Reset),
                RefusalManner::Silence => UpgradeReply::Hangs,
                _ => UpgradeReply::Refused(refusal, IsEdge(false)),
            },
            Handshake::Admitted { mut session, displaced } => {
                if let Some(fault) = fault {
                    session.plan_fault(fault);
                }
                UpgradeReply::Admitted { session, displaced }
            }
        }
    }

    fn decide(&mut self, now: Moment, shows: Shows<'_>) -> Handshake {
        match shows {
            Shows::Handle { credential, origin, number } => {
                let refused = self.target.refuse_origin(now, origin);
                let stream = Some(u64::from(number));
                refused.unwrap_or_else(|| self.target.handle_handshake(now, credential, stream))
            }
            Shows::Written { headers, uri, over } => {
                let unix_us = self.start_unix_us.saturating_add(now.as_us());
                let look = UpgradeLook::of(&self.rules, (headers, uri), over, || unix_us);
                look.decide(&mut self.target, now)
            }
        }
    }

    /// The nonce that the next proofs are to have.
    pub(super) fn proof_nonce(&self, now: Moment, is_handshake: bool) -> Option<String> {
        self.target.proof_nonce(now, is_handshake)
    }

    /// What a client reads in a refusal.
    pub(super) fn evidence(&mut self, refusal: HandshakeRefusal, edge: IsEdge) -> Evidence {
        self.evidence.read(&self.rules, refusal, edge.0)
    }

    /// A session has begun over `link`, whose client takes messages of at most `longest` bytes.
    pub(super) fn open_session(&mut self, transit: &mut Transit, link: Key, session: Session, longest: u32) {
        let reach = &mut Reach { target: &mut self.target, transit, home: &self.home };
        self.sessions.open(reach, link, session, longest);
    }

    /// A session makes room for another, and others hear that their token has ended.
    pub(super) fn settle_admission(&mut self, transit: &mut Transit, displaced: Option<SessionId>) {
        let code = self.rules.displaced_code;
        let reach = &mut Reach { target: &mut self.target, transit, home: &self.home };
        if let Some(displaced) = displaced {
            self.sessions.displace(reach, displaced, code);
        }
        self.sessions.tell_hold_ends(reach);
    }

    fn tell_hold_ends(&mut self, transit: &mut Transit) {
        self.sessions.tell_hold_ends(&mut Reach { target: &mut self.target, transit, home: &self.home });
    }

    /// The next moment of a session has come.
    pub(super) fn wake_session(&mut self, transit: &mut Transit, link: Key, at: Moment) {
        self.sessions.wake(&mut Reach { target: &mut self.target, transit, home: &self.home }, link, at);
    }

    /// A frame, or the connection's end, has come to the target.
    pub(super) fn receive(&mut self, transit: &mut Transit, link: Key, frame: ToTarget) {
        self.sessions.receive(
            &mut Reach { target: &mut self.target, transit, home: &self.home },
            link,
            frame,
        );
    }

    /// The client of a session has fallen silent: a close frame on its way will not be answered.
    pub(super) fn client_is_silent(&mut self, transit: &mut Transit, link: Key) {
        self.sessions.arm(&mut Reach { target: &mut self.target, transit, home: &self.home }, link);
    }

    /// The target is probed; `true`: it restarts.
    pub(super) fn probe(&mut self) -> bool {
        self.target.probe()
    }

    /// A storm strikes this share of the sessions.
    pub(super) fn storm(&mut self, transit: &mut Transit, code: u16, fraction: f64) {
        match self.target.storm(transit.now(), code, fraction) {
            Ok(struck) => {
                let reach = &mut Reach { target: &mut self.target, transit, home: &self.home };
                self.sessions.strike(reach, &struck, code);
            }
            Err(error) => log::error!("a storm could not be: {error}"),
        }
    }

    /// The target warns of a storm of its own schedule.
    pub(super) fn warn(&mut self, transit: &mut Transit, storm: usize) {
        let fraction = self.rules.storms[storm].fraction;
        let warned = self.target.pick(fraction);
        let reach = &mut Reach { target: &mut self.target, transit, home: &self.home };
        self.sessions.warn(reach, &warned, storm);
        self.warned[storm] = warned;
    }

    /// A storm strikes those who were warned of it.
    pub(super) fn strike_warned(&mut self, transit: &mut Transit, storm: usize) {
        let warned = std::mem::take(&mut self.warned[storm]);
        let struck = self.target.strike_sessions(transit.now(), &warned);
        let code = self.rules.storms[storm].code;
        let reach = &mut Reach { target: &mut self.target, transit, home: &self.home };
        self.sessions.strike(reach, &struck, code);
    }

    /// The fault that strikes now at that stage, if any. What strikes a session is counted when it does, all else here.
    fn strike(&mut self, now: Moment, stage: FaultStage) -> Option<FaultKind> {
        if self.rules.faults.is_empty() {
            return None;
        }
        let fault = self.target.strike(now, stage)?;
        if fault.after().is_none() {
            self.target.count_fault(&fault);
        }
        Some(fault)
    }
}

/// An endpoint, as an event names it.
pub(super) const fn endpoint_index(endpoint: Endpoint) -> u32 {
    match endpoint {
        Endpoint::Token => 0,
        Endpoint::Upgrade => 1,
    }
}
