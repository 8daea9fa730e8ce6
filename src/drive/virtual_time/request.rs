//! Requests under way: to the token endpoint or to the WebSocket endpoint, and back.
//!
//! In: a request that a client makes, and how far it has come. Out: events, at the moments at which it goes on. Whatever would happen after a
//! request's deadline does not: then its client has given up, and the target counts nothing of it.

use std::time::Duration;

use crate::clock::Moment;
use crate::service::capacity::Endpoint;

use super::queue::{EventQueue, Kind};
use super::slab::{Key, Slab};

/// A request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    client: u32,
    endpoint: Endpoint,
    /// Whether it is one before a handshake, which asks neither endpoint.
    is_step: bool,
    stage: Stage,
    /// When its client gives up.
    deadline: Moment,
    /// What the way back takes.
    back: Duration,
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

/// An answer of the service that finds no client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unheard {
    Token,
    Admission,
    Refusal,
}

impl Request {
    /// Whose it is.
    pub(super) const fn client(&self) -> u32 {
        self.client
    }

    /// Whether it is one before a handshake.
    pub(super) const fn is_step(&self) -> bool {
        self.is_step
    }

    /// What it asks.
    pub(super) const fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    /// Where it is.
    pub(super) const fn stage(&self) -> Stage {
        self.stage
    }

    /// When its client gives up.
    pub(super) const fn deadline(&self) -> Moment {
        self.deadline
    }

    /// What the way back takes.
    pub(super) const fn back(&self) -> Duration {
        self.back
    }
}

/// The requests under way.
#[derive(Debug, Default)]
pub(super) struct Requests {
    slab: Slab<Request>,
}

impl Requests {
    /// A client makes a request, at `stage`. It has no deadline yet.
    pub(super) fn begin(&mut self, client: u32, endpoint: Endpoint, stage: Stage) -> Key {
        let (deadline, back) = (Moment::NEVER, Duration::ZERO);
        self.slab.insert(Request { client, endpoint, is_step: false, stage, deadline, back })
    }

    /// A client makes a request before its handshake, and gives it up at `deadline`.
    pub(super) fn begin_step(&mut self, client: u32, deadline: Moment) -> Key {
        let (endpoint, stage, back) = (Endpoint::Token, Stage::Arriving, Duration::ZERO);
        self.slab.insert(Request { client, endpoint, is_step: true, stage, deadline, back })
    }

    pub(super) fn get(&self, key: Key) -> Option<Request> {
        self.slab.get(key).copied()
    }

    /// The request, if it is at `stage`.
    pub(super) fn at_stage(&self, key: Key, stage: Stage) -> Option<Request> {
        self.get(key).filter(|request| request.stage == stage)
    }

    /// How many are under way, and where one of them is.
    pub(super) fn left(&self) -> (usize, Option<Stage>) {
        (self.slab.len(), self.slab.iter().next().map(|(_, request)| request.stage))
    }

    /// It is gone.
    pub(super) fn remove(&mut self, key: Key) -> Option<Request> {
        self.slab.remove(key)
    }

    /// It waits at `stage` for somebody else.
    pub(super) fn wait_at(&mut self, key: Key, stage: Stage) {
        if let Some(request) = self.slab.get_mut(key) {
            request.stage = stage;
        }
    }

    /// Its client gives up then.
    pub(super) fn set_deadline(&mut self, key: Key, deadline: Moment) {
        if let Some(request) = self.slab.get_mut(key) {
            request.deadline = deadline;
        }
    }

    /// Its way back takes so long.
    pub(super) fn set_back(&mut self, key: Key, back: Duration) {
        if let Some(request) = self.slab.get_mut(key) {
            request.back = back;
        }
    }

    /// A request goes on at `at`, or is given up before.
    pub(super) fn go_on_at(&mut self, queue: &mut EventQueue, key: Key, stage: Stage, at: Moment) {
        let Some(request) = self.slab.get_mut(key) else { return };
        let (stage, at) =
            if at > request.deadline { (Stage::Failing, request.deadline) } else { (stage, at) };
        request.stage = stage;
        queue.put_for(at.max(queue.now()), Kind::Stage, key, 0);
    }

    /// A request comes to nothing at `at`, or at its deadline.
    pub(super) fn fail_at(&mut self, queue: &mut EventQueue, key: Key, at: Moment) {
        self.go_on_at(queue, key, Stage::Failing, at);
    }

    /// Nothing will come of a request; its client waits until it gives up.
    pub(super) fn hang(&mut self, queue: &mut EventQueue, key: Key) {
        self.fail_at(queue, key, Moment::NEVER);
    }

    /// A request waits in the queue of its endpoint, until its client gives up.
    pub(super) fn wait_in_queue(&mut self, queue: &mut EventQueue, key: Key) {
        let Some(request) = self.slab.get_mut(key) else { return };
        request.stage = Stage::Queued;
        queue.put_for(request.deadline, Kind::Timeout, key, 0);
    }

    /// The answer of a request leaves. Answers whether it will find its client.
    pub(super) fn answer_leaves(&mut self, queue: &mut EventQueue, key: Key) -> bool {
        let Some(request) = self.slab.get(key) else { return false };
        let at = queue.now() + request.back;
        self.go_on_at(queue, key, Stage::Returning, at);
        self.slab.get(key).is_some_and(|request| request.stage == Stage::Returning)
    }
}
