//! The clients: each one's machine, what it waits for, and the session that it holds.
//!
//! In: events of the lifecycle, frames as a client reads them. Out: what its machine asks for, and what a frame means to it. A client does one
//! thing at a time.

use crate::clock::Moment;
use crate::lifecycle::{Action, Client, Ending, EndingHow, Event, Signs, StopPhase};
use crate::plan::{Share, first_number};
use crate::sample::{Abnormal, NORMAL_CLOSURE, Said, Sample, Word};
use crate::scenario::keys::Scenario;

use super::group::Group;
use super::pages::Pages;
use super::queue::{EventQueue, Kind};
use super::slab::Key;

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
    Ending(Ending),
    /// It leaves its session, since then and with that code.
    Leaving(Moment, u16),
    /// It is done.
    Done,
}

/// A client, and what it holds.
#[derive(Debug)]
pub(super) struct Slot {
    machine: Client,
    /// What it sleeps or holds until.
    until: Moment,
    /// When it will be woken; [`Moment::NEVER`]: it will not.
    armed: Moment,
    /// The link of its session.
    link: Key,
    /// Signs of life in its session.
    signs: Signs,
    /// The request that it waits for, or last waited for.
    request: Key,
    /// The last sequence number that it saw; [`u64::MAX`]: none.
    last_sequence: u64,
    doing: Doing,
    /// Whether its session has yet to become ready.
    awaits_ready: bool,
    /// No sequence number has been seen in this session yet.
    session_is_new: bool,
}

impl Slot {
    fn new(seed: u64, number: u32) -> Self {
        Self {
            machine: Client::new(seed, number),
            until: Moment::NEVER,
            armed: Moment::NEVER,
            link: Key::NONE,
            signs: Signs::default(),
            request: Key::NONE,
            last_sequence: u64::MAX,
            doing: Doing::Outside,
            awaits_ready: false,
            session_is_new: false,
        }
    }

    /// What is left of a client that is done.
    fn done(seed: u64) -> Self {
        Self { doing: Doing::Done, ..Self::new(seed, 0) }
    }

    pub(super) const fn doing(&self) -> Doing {
        self.doing
    }

    pub(super) const fn until(&self) -> Moment {
        self.until
    }

    pub(super) const fn armed(&self) -> Moment {
        self.armed
    }

    pub(super) const fn link(&self) -> Key {
        self.link
    }

    pub(super) const fn request(&self) -> Key {
        self.request
    }
}

/// What a message of its stream tells a client about those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Missed {
    /// Messages that it did not get.
    pub(super) messages: u64,
    /// Whether they were those of a time without a session.
    pub(super) is_outage: bool,
}

/// The clients.
#[derive(Debug)]
pub(super) struct Clients {
    slots: Pages<Slot>,
    /// What a client is that has not started, and one that is done.
    outside: Slot,
    done: Slot,
    seed: u64,
    /// The first client of each group.
    firsts: Vec<u32>,
    /// Clients in all.
    count: u32,
    /// Whose they are; the others never start.
    share: Share,
    /// Those that are not done.
    alive: u32,
    stop: StopPhase,
    /// When the run was over; `None`: it is not yet.
    over: Option<Moment>,
}

impl Clients {
    /// The clients of a scenario that are `share`'s own; none has started.
    pub(super) fn new(scenario: &Scenario, share: Share) -> Self {
        Self {
            slots: Pages::new(scenario.clients()),
            outside: Slot::new(scenario.seed, 0),
            done: Slot::done(scenario.seed),
            seed: scenario.seed,
            firsts: (0..scenario.groups.len()).map(|index| first_number(scenario, index)).collect(),
            count: scenario.clients(),
            share,
            alive: share.clients(scenario),
            stop: StopPhase::Running,
            over: None,
        }
    }

    pub(super) const fn alive(&self) -> u32 {
        self.alive
    }

    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> + use<> {
        let share = self.share;
        (0..self.count).filter(move |number| share.has(*number))
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = (u32, &Slot)> {
        self.numbers().map(|number| (number, self.slot(number)))
    }

    pub(super) fn slot(&self, number: u32) -> &Slot {
        let absent = if self.slots.is_over(number) { &self.done } else { &self.outside };
        self.slots.get(number).unwrap_or(absent)
    }

    /// The index of a client's group.
    pub(super) fn group_of(&self, number: u32) -> usize {
        self.firsts.partition_point(|first| *first <= number) - 1
    }

    fn slot_mut(&mut self, number: u32) -> &mut Slot {
        let (is_over, seed) = (self.slots.is_over(number), self.seed);
        self.slots
            .get_or_insert_with(number, || if is_over { Slot::done(seed) } else { Slot::new(seed, number) })
    }

    /// From `now` on clients stop as `phase` says.
    pub(super) fn stop(&mut self, phase: StopPhase, now: Moment) {
        self.stop = phase;
        self.over.get_or_insert(now);
    }

    /// What the run's end has to say to a client that waits.
    pub(super) const fn stop_event(&self) -> Option<Event> {
        match self.stop {
            StopPhase::Running => None,
            StopPhase::Draining => Some(Event::Stop),
            StopPhase::Aborting => Some(Event::Abort),
        }
    }

    /// Tells a client's machine what happened. Answers with what it asks for; what it tells is added to `samples`.
    pub(super) fn step(
        &mut self,
        number: u32,
        now: Moment,
        event: Event,
        group: &Group,
        samples: &mut Vec<Sample>,
    ) -> Action {
        let over = self.over;
        let machine = &mut self.slot_mut(number).machine;
        if let Some(over) = over {
            machine.stop(over);
        }
        machine.step(&group.rules, now, event, samples)
    }

    /// A client waits for a moment.
    pub(super) fn sleep(&mut self, queue: &mut EventQueue, number: u32, until: Moment) {
        let slot = self.slot_mut(number);
        slot.doing = Doing::Sleeping;
        slot.until = until;
        arm(slot, queue, number);
    }

    /// A client holds its session. Its awakening is put in by [`Self::rest`].
    pub(super) fn hold(&mut self, number: u32, until: Moment, awaits_ready: bool) {
        let slot = self.slot_mut(number);
        slot.doing = Doing::Holding;
        slot.until = until;
        slot.awaits_ready = awaits_ready;
    }

    /// A client that holds its session has nothing to do until its moment.
    pub(super) fn rest(&mut self, queue: &mut EventQueue, number: u32) {
        arm(self.slot_mut(number), queue, number);
    }

    /// A client's moment has come: what it has seen of its session's peer. `None` where it was armed anew since, or does something else.
    pub(super) fn wake(&mut self, queue: &mut EventQueue, number: u32, at: Moment) -> Option<Signs> {
        if self.slots.is_over(number) {
            return None;
        }
        let slot = self.slot_mut(number);
        if slot.armed != at {
            return None;
        }
        slot.armed = Moment::NEVER;
        if !matches!(slot.doing, Doing::Sleeping | Doing::Holding) {
            return None;
        }
        if slot.until > queue.now() {
            arm(slot, queue, number);
            return None;
        }
        Some(if slot.link == Key::NONE { Signs::default() } else { slot.signs })
    }

    /// A client gets a token.
    pub(super) fn fetch(&mut self, number: u32) {
        self.slot_mut(number).doing = Doing::Fetching;
    }

    /// A client connects.
    pub(super) fn connect(&mut self, number: u32) {
        self.slot_mut(number).doing = Doing::Connecting;
    }

    /// A client waits for the answer to a request.
    pub(super) fn wait_for(&mut self, number: u32, request: Key) {
        self.slot_mut(number).request = request;
    }

    /// A client has a session, over `link`; it `is_beside` another one.
    pub(super) fn open_session(&mut self, number: u32, now: Moment, link: Key, is_beside: bool) {
        let slot = self.slot_mut(number);
        slot.link = link;
        slot.signs = now.into();
        slot.session_is_new |= !is_beside;
    }

    /// A client has got a message of its stream over the session that it keeps: what it tells of others is told by the next session.
    pub(super) fn count_beside(&mut self, number: u32, sequence: u64) {
        let slot = self.slot_mut(number);
        if slot.last_sequence == u64::MAX || slot.last_sequence < sequence {
            slot.last_sequence = sequence;
        }
    }

    /// A client is away.
    pub(super) fn lose(&mut self, number: u32) {
        self.slot_mut(number).session_is_new = true;
    }

    /// A client has heard of its session's peer.
    /// Answers with when it had last heard before.
    pub(super) fn hear(&mut self, number: u32, now: Moment) -> Moment {
        std::mem::replace(&mut self.slot_mut(number).signs.heard, now)
    }

    /// When a client has last heard of its session's peer.
    pub(super) fn heard(&self, number: u32) -> Moment {
        self.slot(number).signs.heard
    }

    /// A client has got a pong.
    pub(super) fn hear_pong(&mut self, number: u32, now: Moment) {
        self.slot_mut(number).signs = now.into();
    }

    /// A client has got a message of its stream.
    pub(super) fn count_message(&mut self, number: u32, sequence: u64) -> Missed {
        let slot = self.slot_mut(number);
        let is_outage = std::mem::take(&mut slot.session_is_new);
        let last = std::mem::replace(&mut slot.last_sequence, sequence);
        if last == u64::MAX {
            return Missed::default();
        }
        Missed { messages: sequence.saturating_sub(last).saturating_sub(1), is_outage }
    }

    /// Whether a text may make a client's session ready.
    pub(super) fn awaits_text(&self, number: u32) -> bool {
        let slot = self.slot(number);
        slot.doing == Doing::Holding && slot.awaits_ready
    }

    /// Whether a client holds its session.
    pub(super) fn is_holding(&self, number: u32) -> bool {
        self.slot(number).doing == Doing::Holding
    }

    /// A client begins to leave its session with a close frame.
    pub(super) fn leave(&mut self, number: u32, now: Moment, code: u16) {
        self.slot_mut(number).doing = Doing::Leaving(now, code);
    }

    /// A client begins to leave the session that it keeps, over `link`: it has no other.
    pub(super) fn leave_kept(&mut self, number: u32, now: Moment, link: Key) {
        self.slot_mut(number).link = link;
        self.leave(number, now, NORMAL_CLOSURE);
    }

    /// A client reads a close frame. It acts on it when the closing handshake is through; whether it has to answer, or `None` where it knows
    /// of its session's end already.
    pub(super) fn read_close(&mut self, number: u32, now: Moment, code: u16) -> Option<Answers> {
        let slot = self.slot_mut(number);
        let (ending, answers) = match slot.doing {
            Doing::Ending(_) => return None,
            // An answer repeats our code; another code was on its way before ours arrived.
            Doing::Leaving(at, ours) if ours == code => (left(at, ours), Answers::No),
            Doing::Leaving(at, ours) => {
                let said = Said { target: Word::of(code), client: Word::of(ours) };
                (Ending { at, how: EndingHow::PeerClosed(code), said }, Answers::No)
            }
            _ => (Ending::new(now, EndingHow::PeerClosed(code)), Answers::Yes),
        };
        slot.doing = Doing::Ending(ending);
        Some(answers)
    }

    /// Whether a client has begun to leave its session.
    pub(super) fn is_leaving(&self, number: u32) -> bool {
        matches!(self.slot(number).doing, Doing::Leaving(..) | Doing::Ending(_))
    }

    /// A client reads the answer to its close frame: how its session has ended.
    pub(super) fn read_echo(&self, number: u32) -> Option<Ending> {
        match self.slot(number).doing {
            Doing::Leaving(at, ours) => Some(left(at, ours)),
            _ => None,
        }
    }

    /// The connection of a client's session has ended without a close frame: how the session has ended, unless that is known.
    pub(super) fn read_end(&self, number: u32, now: Moment, how: Abnormal) -> Option<Ending> {
        let how = EndingHow::Abnormal(how);
        match self.slot(number).doing {
            Doing::Holding => Some(Ending::new(now, how)),
            Doing::Leaving(at, ours) => Some(unanswered(at, ours, how)),
            _ => None,
        }
    }

    /// The time is up in which a client waits for the end of the session over `link`.
    pub(super) fn wait_is_over(&self, number: u32, link: Key) -> Option<WaitEnd> {
        let slot = self.slot(number);
        match slot.doing {
            _ if slot.link != link => None,
            Doing::Ending(ending) => Some(WaitEnd::Known(ending)),
            // It has waited long enough for the answer to its close frame.
            Doing::Leaving(at, ours) => {
                let how = EndingHow::Abnormal(Abnormal::Timeout);
                Some(WaitEnd::GivenUp(unanswered(at, ours, how)))
            }
            _ => None,
        }
    }

    /// A client has no session any more. Answers with the link of the one that it had.
    pub(super) fn take_link(&mut self, number: u32) -> Key {
        std::mem::replace(&mut self.slot_mut(number).link, Key::NONE)
    }

    /// A client whose start will not come.
    pub(super) fn never_starts(&mut self, number: u32) {
        if self.slot(number).doing == Doing::Outside {
            self.finish(number);
        }
    }

    /// A client is done.
    pub(super) fn finish(&mut self, number: u32) {
        self.slots.end(number);
        self.alive -= 1;
    }
}

/// Whether a close frame is to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answers {
    Yes,
    No,
}

/// How a client's wait for the end of its session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WaitEnd {
    /// The closing handshake is through.
    Known(Ending),
    /// No answer came.
    GivenUp(Ending),
}

/// The end of a session that its client left with this code.
const fn left(at: Moment, code: u16) -> Ending {
    Ending { at, how: EndingHow::Left, said: Said::by_client(Word::of(code)) }
}

/// The end of a session whose client's close frame was not answered.
const fn unanswered(at: Moment, code: u16, how: EndingHow) -> Ending {
    Ending { at, how, said: Said::by_client(Word::of(code)) }
}

/// Has a client woken at its moment. An earlier awakening finds that it is not yet time, and arms anew.
fn arm(slot: &mut Slot, queue: &mut EventQueue, number: u32) {
    let at = slot.until.max(queue.now());
    if at >= slot.armed {
        return;
    }
    slot.armed = at;
    queue.put(at, Kind::Wake, number);
}
