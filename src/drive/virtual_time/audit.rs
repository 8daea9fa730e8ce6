//! What must always hold in a run in virtual time, looked at while it goes on.
//!
//! In: each event and each step of a client; now and then the whole world. Out: a sentence for each thing that does not hold. It costs time,
//! so that only tests ask for it.

use std::collections::BTreeSet;

use crate::clock::Moment;
use crate::lifecycle::{Action, Event};
use crate::sample::{Outcome, Sample};
use crate::scenario::keys::{Grant, OnReconnect};
use crate::service::handle::TokenHandle;

use super::client::{Doing, Slot};
use super::group::Group;
use super::queue::Kind;
use super::request::Stage;
use super::session::Side;
use super::world::World;

/// Faults that are told; more say nothing new.
const MOST_FAULTS: usize = 20;

/// What an audit keeps.
#[derive(Debug)]
pub(super) struct Audit {
    every: u64,
    clients: Vec<Watched>,
    pub(super) faults: Vec<String>,
}

/// What is kept of a client.
#[derive(Debug, Clone, Copy, Default)]
struct Watched {
    /// Whether it is at an attempt.
    attempts: bool,
    /// Whether it has a session that has not ended.
    has_session: bool,
    /// The token that its session was opened with.
    session_token: Option<TokenHandle>,
    /// A token that it knows to be dead.
    dead: Option<TokenHandle>,
}

impl Audit {
    pub(super) fn new(every: u64, clients: u32) -> Self {
        Self { every: every.max(1), clients: vec![Watched::default(); clients as usize], faults: Vec::new() }
    }

    pub(super) const fn is_due(&self, events: u64) -> bool {
        events.is_multiple_of(self.every)
    }

    pub(super) fn fault(&mut self, fault: String) {
        if self.faults.len() < MOST_FAULTS {
            self.faults.push(fault);
        }
    }

    pub(super) fn moment(&mut self, before: Moment, now: Moment) {
        if now < before {
            self.fault(format!("time goes back from {before:?} to {now:?}"));
        }
    }

    pub(super) fn leads(&mut self, group: usize, in_flight: u32, is_single_flight: bool) {
        if is_single_flight && in_flight > 1 {
            self.fault(format!("group {group} has {in_flight} requests for its one token under way"));
        }
    }

    /// A client is told something.
    pub(super) fn event(&mut self, number: u32, slot: &Slot, event: &Event) {
        if slot.doing == Doing::Done {
            self.fault(format!("client {number} is done, and is told {event:?}"));
        }
        let watched = &mut self.clients[number as usize];
        match event {
            Event::Connected(_) => watched.session_token = slot.token,
            Event::Ended(_) => watched.dead = watched.session_token.take(),
            _ => {}
        }
    }

    /// A client has answered.
    pub(super) fn step(
        &mut self,
        number: u32,
        slot: &Slot,
        group: &Group,
        samples: &[Sample],
        action: &Action,
    ) {
        let mut watched = self.clients[number as usize];
        for sample in samples {
            match sample {
                Sample::Attempt(end) => {
                    if !std::mem::take(&mut watched.attempts) {
                        self.fault(format!(
                            "client {number} has an outcome ({}) without an attempt",
                            end.outcome
                        ));
                    }
                    if end.outcome == Outcome::Ok {
                        if watched.has_session {
                            self.fault(format!("client {number} has two sessions at once"));
                        }
                        watched.has_session = true;
                    }
                    let status = match end.outcome {
                        Outcome::Http401 => 401,
                        Outcome::Http403 => 403,
                        _ => 0,
                    };
                    if group.rules.reconnect.refetch_on.contains(&status) {
                        watched.dead = slot.token;
                    }
                }
                Sample::SessionEnd(_) if !std::mem::take(&mut watched.has_session) => {
                    self.fault(format!("client {number} ends a session that it does not have"));
                }
                _ => {}
            }
        }
        match action {
            Action::FetchToken { .. } | Action::Connect => watched.attempts = true,
            Action::Finish(_) if watched.attempts || watched.has_session => {
                self.fault(format!("client {number} is done in the middle of something: {watched:?}"));
            }
            _ => {}
        }
        if *action == Action::Connect
            && fetches_always(group)
            && watched.dead.is_some()
            && watched.dead == slot.token
        {
            self.fault(format!("client {number} connects with a token that it knows to be dead"));
        }
        self.clients[number as usize] = watched;
    }
}

/// Whether the group's clients fetch a token after every disconnect.
fn fetches_always(group: &Group) -> bool {
    group.rules.token.as_ref().is_some_and(|token| {
        token.on_reconnect == OnReconnect::Fetch
            && token.fetch_on_codes.is_none()
            && !matches!(token.grant, Grant::Fixed(_))
    })
}

impl World {
    /// Looks at every client: each is done, or waits for something that will come.
    pub(super) fn audit_all(&mut self) {
        let Some(mut audit) = self.audit.take() else { return };
        let pending: BTreeSet<(u8, u32, u32)> =
            self.queue.iter().map(|event| (event.kind as u8, event.index, event.generation)).collect();
        let comes =
            |kind: Kind, index: u32, generation: u32| pending.contains(&(kind as u8, index, generation));
        let mut alive = 0;
        for (number, slot) in (0_u32..).zip(&self.clients) {
            alive += u32::from(slot.doing != Doing::Done);
            let wakes = slot.armed != Moment::NEVER && comes(Kind::Wake, number, 0);
            let request = self.requests.get(slot.request);
            let wire = self.wires.get(slot.wire);
            let fine = match slot.doing {
                Doing::Outside | Doing::Done => true,
                Doing::Sleeping => wakes,
                Doing::Fetching | Doing::Connecting => request.is_some_and(|request| match request.stage {
                    Stage::InPool | Stage::Shared => true,
                    Stage::Queued => comes(Kind::Timeout, slot.request.index, slot.request.generation),
                    _ => comes(Kind::Stage, slot.request.index, slot.request.generation),
                }),
                // A session that idles may wait for nothing but the run's end, as one whose peer has fallen silent.
                Doing::Holding => wire.is_some_and(|wire| {
                    let ends = comes(Kind::ToClient, slot.wire.index, slot.wire.generation);
                    wire.client_side == Side::Open && (wire.target_side != Side::Gone || ends)
                }),
                Doing::Ending | Doing::Leaving => comes(Kind::Known, slot.wire.index, slot.wire.generation),
            };
            if !fine {
                audit.fault(format!(
                    "client {number} is stuck: {:?}, until {:?}, {request:?}, {wire:?}",
                    slot.doing, slot.until
                ));
            }
        }
        if alive != self.alive {
            audit.fault(format!("{alive} clients are not done, {} are counted", self.alive));
        }
        self.audit = Some(audit);
    }

    /// What is left when nothing more is to happen.
    pub(super) fn audit_at_end(&mut self) -> Vec<String> {
        let Some(mut audit) = self.audit.take() else { return Vec::new() };
        if self.alive > 0 {
            audit.fault(format!("{} clients are not done, and nothing more is to happen", self.alive));
        }
        if self.wires.len() + self.requests.len() > 0 {
            let (wires, requests) = (self.wires.len(), self.requests.len());
            let sides = self.wires.iter().next().map(|(_, wire)| (wire.client_side, wire.target_side));
            let stage = self.requests.iter().next().map(|(_, request)| request.stage);
            audit.fault(format!(
                "{wires} sessions ({sides:?}) and {requests} requests ({stage:?}) are left over"
            ));
        }
        audit.faults
    }
}
