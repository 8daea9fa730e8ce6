//! A request on its way: to the token endpoint or to the WebSocket endpoint, through the endpoint's capacity, and back.
//!
//! In: a request that a client makes. Out: its answer, or that it came to nothing, at its moment. Whatever would happen after the request's
//! deadline does not: then its client has given up, and the target counts nothing of it.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Moment;
use crate::lifecycle::{ConnectFailure, Marks};
use crate::scenario::keys::{FaultKind, FaultStage};
use crate::service::capacity::{Arrival, Endpoint, Place};
use crate::service::rules::FirstRequest;

use super::queue::Kind;
use super::slab::Key;
use super::token::{TokenAsk, TokenSays};
use super::world::World;

/// A request.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) client: u32,
    pub(super) stage: Stage,
    /// When its client gives up.
    pub(super) deadline: Moment,
    /// What the way back takes.
    pub(super) back: Duration,
    /// How long the target holds the answer back.
    delay: Duration,
    pub(super) fault: Option<FaultKind>,
    /// Whether the target has seen it.
    pub(super) is_seen: bool,
    place: Option<Place>,
    pub(super) what: What,
}

/// Where a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It waits for a connection of its group's pool.
    InPool,
    /// It waits for another client's request for the group's token.
    Shared,
    /// It is on its way to the target.
    Arriving,
    /// Its connection is open, and the target does not read from it yet.
    Unread,
    /// It waits for a server of the target.
    Queued,
    /// A server works on it.
    InService,
    /// Its answer is held back.
    HeldBack,
    /// The answer is on its way back.
    Returning,
    /// It comes to nothing, at the moment that the queue knows.
    Failing,
    /// The token of a refresh has come, and its client has yet to take it.
    Here,
}

/// What is asked for.
#[derive(Debug)]
pub(super) enum What {
    /// A token.
    Token(Box<TokenAsk>),
    /// A session.
    Session(Box<SessionAsk>),
}

/// An upgrade under way.
#[derive(Debug)]
pub(super) struct SessionAsk {
    pub(super) marks: Marks,
    /// What it comes to.
    pub(super) failure: ConnectFailure,
    /// The session that was opened.
    pub(super) wire: Key,
}

/// Who waits at the endpoints' places.
#[derive(Debug, Default)]
pub(super) struct Queues {
    token: PlaceQueue,
    upgrade: PlaceQueue,
}

#[derive(Debug, Default)]
struct PlaceQueue {
    first: u64,
    requests: VecDeque<Key>,
}

impl PlaceQueue {
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

impl Queues {
    fn at(&mut self, endpoint: Endpoint) -> &mut PlaceQueue {
        match endpoint {
            Endpoint::Token => &mut self.token,
            Endpoint::Upgrade => &mut self.upgrade,
        }
    }
}

impl Request {
    pub(super) fn new(client: u32, what: What) -> Self {
        Self {
            client,
            stage: Stage::Arriving,
            deadline: Moment::NEVER,
            back: Duration::ZERO,
            delay: Duration::ZERO,
            fault: None,
            is_seen: false,
            place: None,
            what,
        }
    }

    const fn endpoint(&self) -> Endpoint {
        match self.what {
            What::Token(_) => Endpoint::Token,
            What::Session(_) => Endpoint::Upgrade,
        }
    }
}

impl World {
    /// A request goes on at `at`, or is given up before.
    pub(super) fn go_on_at(&mut self, key: Key, stage: Stage, at: Moment) {
        let Some(request) = self.requests.get_mut(key) else { return };
        let (stage, at) =
            if at > request.deadline { (Stage::Failing, request.deadline) } else { (stage, at) };
        request.stage = stage;
        let at = at.max(self.now);
        self.put_for(at, Kind::Stage, key, 0);
    }

    /// A request comes to nothing at `at`, or at its deadline.
    pub(super) fn fail_at(&mut self, key: Key, at: Moment) {
        self.go_on_at(key, Stage::Failing, at);
    }

    /// Nothing will come of a request; its client waits until it gives up.
    pub(super) fn hangs(&mut self, key: Key) {
        self.fail_at(key, Moment::NEVER);
    }

    pub(super) fn request_goes_on(&mut self, key: Key) {
        let Some(request) = self.requests.get(key) else { return };
        match request.stage {
            Stage::Arriving => self.opens(key),
            Stage::Unread => self.arrives(key),
            Stage::InService => self.was_worked_off(key),
            Stage::HeldBack => self.decide(key),
            Stage::Returning => self.answer_is_here(key),
            Stage::Failing => self.came_to_nothing(key),
            Stage::InPool | Stage::Shared | Stage::Queued | Stage::Here => {}
        }
    }

    pub(super) fn request_times_out(&mut self, key: Key) {
        let Some(request) = self.requests.get_mut(key).filter(|request| request.stage == Stage::Queued)
        else {
            return;
        };
        request.stage = Stage::Failing;
        let (endpoint, place) = (request.endpoint(), request.place.take());
        if let Some(place) = place {
            self.target.leave_queue(endpoint, place);
        }
        self.came_to_nothing(key);
    }

    /// A request's connection is the target's.
    fn opens(&mut self, key: Key) {
        let Some(request) = self.requests.get(key) else { return };
        let first = match &request.what {
            What::Session(_) => Some(FirstRequest::Events),
            What::Token(ask) => ask.is_fresh.then_some(FirstRequest::Token),
        };
        if let Some(first) = first {
            self.target.count_accepted();
            if let Some(FaultKind::AcceptSlow { delay }) = self.strike(FaultStage::Accept) {
                let slow = self.target.next_fault_delay(delay);
                return self.go_on_at(key, Stage::Unread, self.now + slow);
            }
            self.target.count_first_request(first);
        }
        self.comes_up(key);
    }

    fn arrives(&mut self, key: Key) {
        let Some(request) = self.requests.get(key) else { return };
        self.target.count_first_request(match request.what {
            What::Session(_) => FirstRequest::Events,
            What::Token(_) => FirstRequest::Token,
        });
        self.comes_up(key);
    }

    /// The target has read a request.
    fn comes_up(&mut self, key: Key) {
        let Some(request) = self.requests.get_mut(key) else { return };
        request.is_seen = true;
        let endpoint = request.endpoint();
        if !self.is_for_endpoint(key) {
            return;
        }
        let fault = self.strike(match endpoint {
            Endpoint::Token => FaultStage::Token,
            Endpoint::Upgrade => FaultStage::Upgrade,
        });
        let mut delay = match endpoint {
            Endpoint::Token => self.target.next_token_delay(),
            Endpoint::Upgrade => self.target.next_upgrade_delay(),
        };
        if let Some(FaultKind::TokenSlow { delay: slow }) = fault {
            delay += self.target.next_fault_delay(slow);
        }
        let arrival = self.target.arrive(self.now, endpoint);
        let Some(request) = self.requests.get_mut(key) else { return };
        (request.fault, request.delay) = (fault, delay);
        match arrival {
            Arrival::Unlimited => self.was_worked_off(key),
            Arrival::Begun(done) => {
                self.go_on_at(key, Stage::InService, done);
                self.put(done, Kind::ServerDone, endpoint_index(endpoint), 0);
            }
            Arrival::Waits(place) => {
                request.stage = Stage::Queued;
                request.place = Some(place);
                let deadline = request.deadline;
                self.waiting.at(endpoint).put(place, key);
                self.put_for(deadline, Kind::Timeout, key, 0);
            }
            Arrival::Full => {
                let refusal = self.target.refuse_over_capacity(endpoint);
                match endpoint {
                    Endpoint::Token => self.token_answer(key, TokenSays::refused_over_http(refusal)),
                    Endpoint::Upgrade => self.refuse_session(key, refusal, false),
                }
            }
        }
    }

    /// A server of `endpoint` is done, and takes the next.
    pub(super) fn server_done(&mut self, endpoint: Endpoint) {
        let Some((place, done)) = self.target.finish(self.now, endpoint) else { return };
        self.put(done, Kind::ServerDone, endpoint_index(endpoint), 0);
        let key = self.waiting.at(endpoint).take(place);
        if let Some(request) = self.requests.get_mut(key).filter(|request| request.place == Some(place)) {
            request.place = None;
            self.go_on_at(key, Stage::InService, done);
        }
    }

    fn was_worked_off(&mut self, key: Key) {
        let Some(request) = self.requests.get(key) else { return };
        if request.delay.is_zero() {
            self.decide(key);
        } else {
            self.go_on_at(key, Stage::HeldBack, self.now + request.delay);
        }
    }

    fn decide(&mut self, key: Key) {
        let Some(request) = self.requests.get(key) else { return };
        match request.endpoint() {
            Endpoint::Token => self.decide_token(key),
            Endpoint::Upgrade => self.decide_session(key),
        }
    }

    /// The answer of a request leaves. Answers whether it will find its client.
    pub(super) fn answer_leaves(&mut self, key: Key) -> bool {
        let Some(request) = self.requests.get(key) else { return false };
        self.go_on_at(key, Stage::Returning, self.now + request.back);
        self.requests.get(key).is_some_and(|request| request.stage == Stage::Returning)
    }

    fn answer_is_here(&mut self, key: Key) {
        let Some(request) = self.requests.get(key) else { return };
        match request.endpoint() {
            Endpoint::Token => self.token_is_here(key),
            Endpoint::Upgrade => self.session_is_here(key),
        }
    }

    fn came_to_nothing(&mut self, key: Key) {
        let Some(request) = self.requests.get(key) else { return };
        match request.endpoint() {
            Endpoint::Token => self.no_token(key),
            Endpoint::Upgrade => self.no_session(key),
        }
    }

    /// Cuts a request off: its client has gone.
    pub(super) fn cancel(&mut self, key: Key) {
        let Some(request) = self.requests.get_mut(key) else { return };
        let (endpoint, place) = (request.endpoint(), request.place.take());
        if let Some(place) = place {
            self.target.leave_queue(endpoint, place);
        }
        match endpoint {
            Endpoint::Token => self.cancel_token(key),
            Endpoint::Upgrade => self.cancel_session(key),
        }
    }

    /// The fault that strikes now at that stage, if any. What strikes a session is counted when it does, all else here.
    fn strike(&mut self, stage: FaultStage) -> Option<FaultKind> {
        if self.rules.faults.is_empty() {
            return None;
        }
        let fault = self.target.strike(self.now, stage)?;
        if fault.after().is_none() {
            self.target.count_fault(&fault);
        }
        Some(fault)
    }
}

const fn endpoint_index(endpoint: Endpoint) -> u32 {
    match endpoint {
        Endpoint::Token => 0,
        Endpoint::Upgrade => 1,
    }
}
