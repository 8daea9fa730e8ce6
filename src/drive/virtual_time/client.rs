//! A client's machine, carried out in virtual time.
//!
//! In: events of the queue. Out: what the machine asks for, done. A client does one thing at a time; a refresh of its token may be under way
//! beside its session.

use crate::clock::Moment;
use crate::lifecycle::{Action, Client, Ending, EndingHow, Event, Leave, Signs};
use crate::sample::{Counter, Sample};
use crate::service::handle::TokenHandle;

use super::queue::Kind;
use super::session::{Side, ToTarget};
use super::slab::Key;
use super::world::{Phase, World};

/// What a client is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    /// It has not started.
    Outside,
    /// It waits for a moment.
    Sleeping,
    /// It gets a token.
    Fetching,
    /// It connects.
    Connecting,
    /// It has a session.
    Holding,
    /// It has seen its session's end, and the closing handshake goes on.
    Ending,
    /// It leaves its session.
    Leaving,
    /// It is done.
    Done,
}

/// A client, and what it holds.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) machine: Client,
    pub(super) token: Option<TokenHandle>,
    pub(super) refresh_token: Option<Box<TokenHandle>>,
    /// What it sleeps or holds until.
    pub(super) until: Moment,
    /// When it will be woken; [`Moment::NEVER`]: it will not.
    pub(super) armed: Moment,
    /// Its session.
    pub(super) wire: Key,
    /// The request that it waits for.
    pub(super) request: Key,
    /// The refresh that is under way, or has come and was not taken.
    pub(super) refresh: Key,
    /// The last sequence number that it saw; [`u64::MAX`]: none.
    pub(super) last_sequence: u64,
    pub(super) group: u16,
    pub(super) doing: Doing,
    /// Whether its session has yet to become ready.
    pub(super) awaits_ready: bool,
    /// No sequence number has been seen in this session yet.
    pub(super) session_is_new: bool,
}

impl Slot {
    pub(super) fn new(seed: u64, number: u32, group: usize) -> Self {
        Self {
            machine: Client::new(seed, number),
            token: None,
            refresh_token: None,
            until: Moment::NEVER,
            armed: Moment::NEVER,
            wire: Key::NONE,
            request: Key::NONE,
            refresh: Key::NONE,
            last_sequence: u64::MAX,
            group: u16::try_from(group).unwrap_or(u16::MAX),
            doing: Doing::Outside,
            awaits_ready: false,
            session_is_new: false,
        }
    }
}

impl World {
    pub(super) fn slot(&mut self, number: u32) -> &mut Slot {
        &mut self.clients[number as usize]
    }

    pub(super) fn group_of(&self, number: u32) -> usize {
        usize::from(self.clients[number as usize].group)
    }

    pub(super) fn begin_client(&mut self, number: u32, due: Moment) {
        self.deliver(number, Event::Begin { due });
    }

    /// Tells a client what happened, and does what it asks for until it waits for something.
    pub(super) fn deliver(&mut self, number: u32, event: Event) {
        let mut next = Some(event);
        while let Some(event) = next {
            let action = self.step(number, event);
            next = self.perform(number, action);
        }
    }

    fn step(&mut self, number: u32, event: Event) -> Action {
        let is_stopping = self.phase > Phase::Running;
        let Self { clients, groups, samples, now, audit, .. } = self;
        let slot = &mut clients[number as usize];
        let group = &groups[usize::from(slot.group)];
        if is_stopping {
            slot.machine.stop();
        }
        if let Some(audit) = audit {
            audit.event(number, slot, &event);
        }
        let action = slot.machine.step(&group.rules, *now, event, samples);
        if let Some(audit) = audit {
            audit.step(number, slot, group, samples, &action);
        }
        let id = group.id;
        self.stamp(id);
        action
    }

    /// Does what a client asks for; `Some`: it is done at once.
    fn perform(&mut self, number: u32, action: Action) -> Option<Event> {
        match action {
            Action::Sleep { until } => self.sleep(number, until),
            Action::FetchToken { not_before, valid_until } => {
                self.fetch_token(number, not_before, valid_until)
            }
            // A scenario with steps is not simulated; one without has nothing to do here.
            Action::Prepare => Some(Event::Prepared),
            Action::Connect => {
                self.slot(number).doing = Doing::Connecting;
                self.connect(number);
                None
            }
            Action::Hold { until, awaiting_ready } => self.hold(number, until, awaiting_ready),
            Action::Ping => self.send(number, ToTarget::Ping),
            Action::SendKeepAlive | Action::SendHeartbeat | Action::SendRefreshed | Action::SendMessage => {
                let group = self.group_of(number);
                self.groups[group].traffic.messages_out += 1;
                self.send(number, ToTarget::Data)
            }
            Action::StartRefresh { not_before, valid_until } => {
                self.start_refresh(number, not_before, valid_until);
                Some(Event::Sent)
            }
            Action::Leave(how) => self.leave(number, how),
            Action::Finish(_) => {
                self.finish(number);
                None
            }
        }
    }

    /// What the run's end has to say to a client that waits.
    fn stop_event(&self) -> Option<Event> {
        match self.phase {
            Phase::Running => None,
            Phase::Draining => Some(Event::Stop),
            Phase::CutOff | Phase::Over => Some(Event::Abort),
        }
    }

    fn sleep(&mut self, number: u32, until: Moment) -> Option<Event> {
        if let Some(stop) = self.stop_event() {
            return Some(stop);
        }
        let slot = self.slot(number);
        slot.doing = Doing::Sleeping;
        slot.until = until;
        self.arm(number);
        None
    }

    fn hold(&mut self, number: u32, until: Moment, awaits_ready: bool) -> Option<Event> {
        if let Some(stop) = self.stop_event() {
            return Some(stop);
        }
        let slot = self.slot(number);
        slot.doing = Doing::Holding;
        slot.until = until;
        slot.awaits_ready = awaits_ready;
        if let Some(event) = self.take_refresh(number) {
            return Some(event);
        }
        self.arm(number);
        None
    }

    /// Has a client woken at its moment. An earlier awakening finds that it is not yet time, and arms anew.
    fn arm(&mut self, number: u32) {
        let now = self.now;
        let slot = self.slot(number);
        let at = slot.until.max(now);
        if at >= slot.armed {
            return;
        }
        slot.armed = at;
        self.put(at, Kind::Wake, number, 0);
    }

    pub(super) fn wake(&mut self, number: u32, at: Moment) {
        let now = self.now;
        let slot = self.slot(number);
        if slot.armed != at {
            return;
        }
        slot.armed = Moment::NEVER;
        if !matches!(slot.doing, Doing::Sleeping | Doing::Holding) {
            return;
        }
        if slot.until > now {
            return self.arm(number);
        }
        let signs = self.signs(number);
        self.deliver(number, Event::Due(signs));
    }

    fn signs(&self, number: u32) -> Signs {
        let slot = &self.clients[number as usize];
        self.wires.get(slot.wire).map_or_else(Signs::default, |wire| wire.signs)
    }

    /// The run drains: who waits is told so.
    pub(super) fn tell_stop(&mut self, number: u32) {
        match self.slot(number).doing {
            Doing::Outside => self.never_starts(number),
            Doing::Sleeping | Doing::Holding => self.deliver(number, Event::Stop),
            _ => {}
        }
    }

    /// The run is cut off.
    pub(super) fn tell_abort(&mut self, number: u32) {
        let slot = self.slot(number);
        let (doing, request, wire) = (slot.doing, slot.request, slot.wire);
        match doing {
            Doing::Outside => self.never_starts(number),
            Doing::Done => {}
            // It knows how its session ended.
            Doing::Ending => self.end_is_known(wire),
            _ => {
                self.cancel(request);
                self.deliver(number, Event::Abort);
            }
        }
    }

    fn send(&mut self, number: u32, frame: ToTarget) -> Option<Event> {
        let wire = self.slot(number).wire;
        self.send_to_target(wire, frame);
        Some(Event::Sent)
    }

    fn leave(&mut self, number: u32, how: Leave) -> Option<Event> {
        let wire = self.slot(number).wire;
        let left = Ending { at: self.now, how: EndingHow::Left };
        match how {
            Leave::Close { code } => {
                self.slot(number).doing = Doing::Leaving;
                self.begin_leaving(number, wire, code);
                return None;
            }
            Leave::Reset => {
                self.send_to_target(wire, ToTarget::Rst);
                self.client_lets_go(wire);
            }
            Leave::Abandon => {
                self.send_to_target(wire, ToTarget::Fin);
                self.client_lets_go(wire);
            }
            Leave::FallSilent => {
                self.fall_silent(wire);
                self.slot(number).wire = Key::NONE;
                return Some(Event::Due(Signs::default()));
            }
        }
        self.slot(number).wire = Key::NONE;
        Some(Event::Ended(left))
    }

    /// The session of a client has ended, as it knows now.
    pub(super) fn session_ended(&mut self, number: u32, ending: Ending) {
        let wire = std::mem::replace(&mut self.slot(number).wire, Key::NONE);
        self.client_lets_go(wire);
        self.deliver(number, Event::Ended(ending));
    }

    fn finish(&mut self, number: u32) {
        let slot = self.slot(number);
        slot.doing = Doing::Done;
        slot.until = Moment::NEVER;
        let (wire, refresh) = (slot.wire, slot.refresh);
        (slot.wire, slot.refresh) = (Key::NONE, Key::NONE);
        if let Some(open) = self.wires.get(wire).filter(|wire| wire.client_side == Side::Open) {
            let _ = open;
            self.send_to_target(wire, ToTarget::Fin);
            self.client_lets_go(wire);
        }
        if self.requests.get(refresh).is_some() {
            self.cancel(refresh);
            let group = self.groups[self.group_of(number)].id;
            self.tell(group, Sample::Count(Counter::Unsettled, 1));
        }
        self.alive -= 1;
    }
}
