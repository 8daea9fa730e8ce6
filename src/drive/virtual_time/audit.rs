//! What must always hold in a run in virtual time, looked at while it goes on.
//!
//! In: each event and each step of a client; now and then the whole world. Out: a sentence for each thing that does not hold. It costs time,
//! so that only tests ask for it.

use std::collections::BTreeSet;

use crate::clock::Moment;
use crate::lifecycle::{Action, Event};
use crate::sample::{Counter, Sample};
use crate::scenario::keys::{Grant, OnReconnect};
use crate::service::handle::TokenHandle;

use super::clients::{Clients, Doing};
use super::group::Group;
use super::network::ClientEnd;
use super::queue::Kind;
use super::request::Stage;
use super::slab::Key;
use super::transit::Transit;

/// Faults that are told; more say nothing new.
const MOST_FAULTS: usize = 20;

/// What an audit keeps.
#[derive(Debug)]
pub(super) struct Audit {
    every: u64,
    clients: Vec<Watched>,
    faults: Vec<String>,
}

/// What is kept of a client.
#[derive(Debug, Clone, Copy, Default)]
struct Watched {
    /// Whether it is at an attempt.
    attempts: bool,
    /// Whether it has a session that has not ended.
    sessions: u8,
    /// It has kept a session beside the next one, and is not known to be done with that.
    keeps: bool,
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

    fn fault(&mut self, fault: String) {
        if self.faults.len() < MOST_FAULTS {
            self.faults.push(fault);
        }
    }

    pub(super) fn moment(&mut self, before: Moment, now: Moment) {
        if now < before {
            self.fault(format!("time goes back from {before:?} to {now:?}"));
        }
    }

    /// A client is told something.
    pub(super) fn event(&mut self, number: u32, doing: Doing, token: Option<TokenHandle>, event: &Event) {
        if doing == Doing::Done {
            self.fault(format!("client {number} is done, and is told {event:?}"));
        }
        let watched = &mut self.clients[number as usize];
        match event {
            Event::Connected(_) => watched.session_token = token,
            Event::KeptEnded { .. } => watched.keeps = false,
            Event::Ended(_) | Event::Closed { .. } => watched.dead = watched.session_token.take(),
            _ => {}
        }
    }

    /// A client has answered.
    pub(super) fn step(
        &mut self,
        number: u32,
        token: Option<TokenHandle>,
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
                    let names = &group.rules.reconnect.refetch_on;
                    let is_named = end.answer.as_ref().is_some_and(|answer| {
                        names.iter().any(|name| name.fits(answer.code, answer.words.as_deref()))
                    });
                    if is_named {
                        watched.dead = token;
                    }
                }
                Sample::TakeBack(told) if matches!(**told, Sample::Attempt(_)) => watched.attempts = true,
                Sample::Count(Counter::Upgrades, _) => {
                    watched.sessions += 1;
                    if watched.sessions > 1 + u8::from(watched.keeps) {
                        self.fault(format!("client {number} has {} sessions at once", watched.sessions));
                    }
                }
                Sample::SessionEnd(_) if watched.sessions == 0 => {
                    self.fault(format!("client {number} ends a session that it does not have"));
                }
                Sample::SessionEnd(_) => watched.sessions -= 1,
                _ => {}
            }
        }
        match action {
            Action::Keep { .. } => watched.keeps = true,
            Action::FetchToken { .. } | Action::Prepare | Action::Connect => watched.attempts = true,
            Action::Finish(_) if watched.attempts || watched.sessions > 0 => {
                self.fault(format!("client {number} is done in the middle of something: {watched:?}"));
            }
            _ => {}
        }
        if *action == Action::Connect
            && fetches_always(group)
            && watched.dead.is_some()
            && watched.dead == token
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

/// What an audit looks at.
pub(super) struct Everything<'a> {
    pub(super) transit: &'a Transit,
    pub(super) clients: &'a Clients,
}

impl Audit {
    /// Looks at every client: each is done, or waits for something that will come.
    pub(super) fn look_at(&mut self, everything: &Everything<'_>) {
        let Everything { transit: Transit { queue, network, requests }, clients } = everything;
        let pending: BTreeSet<(u8, u32, u32)> =
            queue.iter().map(|event| (event.kind as u8, event.index, event.generation)).collect();
        let comes = |kind: Kind, key: Key| pending.contains(&(kind as u8, key.index, key.generation));
        let mut alive = 0;
        for (number, slot) in clients.slots() {
            alive += u32::from(slot.doing() != Doing::Done);
            let own = Key { index: number, generation: 0 };
            let wakes = slot.armed() != Moment::NEVER && comes(Kind::Wake, own);
            let request = requests.get(slot.request());
            let link = network.link(slot.link());
            let fine = match slot.doing() {
                Doing::Outside | Doing::Done => true,
                Doing::Sleeping => wakes,
                Doing::Fetching | Doing::Connecting => request.is_some_and(|request| match request.stage() {
                    Stage::InPool | Stage::Shared => true,
                    Stage::Queued => comes(Kind::Timeout, slot.request()),
                    _ => comes(Kind::Stage, slot.request()),
                }),
                // A session that idles may wait for nothing but the run's end, as one whose peer has fallen silent.
                Doing::Holding => link.is_some_and(|link| {
                    let ends = comes(Kind::ToClient, slot.link());
                    link.client_end() == ClientEnd::Open && (!link.target_is_gone() || ends)
                }),
                Doing::Ending(_) | Doing::Leaving(..) => comes(Kind::Known, slot.link()),
            };
            if !fine {
                self.fault(format!(
                    "client {number} is stuck: {:?}, until {:?}, {request:?}, {link:?}",
                    slot.doing(),
                    slot.until()
                ));
            }
        }
        if alive != clients.alive() {
            self.fault(format!("{alive} clients are not done, {} are counted", clients.alive()));
        }
    }

    /// Groups with one token had so many requests for it under way at once.
    pub(super) fn in_flight(&mut self, too_many: impl Iterator<Item = (usize, u32)>) {
        for (group, in_flight) in too_many {
            self.fault(format!("group {group} had {in_flight} requests for its one token under way"));
        }
    }

    /// What is left when nothing more is to happen. Answers with all that was found.
    pub(super) fn finish(mut self, everything: &Everything<'_>) -> Vec<String> {
        let alive = everything.clients.alive();
        if alive > 0 {
            self.fault(format!("{alive} clients are not done, and nothing more is to happen"));
        }
        let (requests, stage) = everything.transit.requests.left();
        let links = everything.transit.network.links().count();
        if links + requests > 0 {
            let first = everything.transit.network.links().next();
            self.fault(format!(
                "{links} sessions ({first:?}) and {requests} requests ({stage:?}) are left over"
            ));
        }
        self.faults
    }
}
