//! Everything that a run in virtual time consists of, and its one loop.
//!
//! In: a scenario. Out: samples, one event after the other. What each event means is in the files beside this one.

use std::sync::Arc;

use crate::clock::Moment;
use crate::plan::{first_number, target_storms};
use crate::sample::{GroupId, Sample, Stamped, Traffic};
use crate::scenario::keys::{Scenario, TargetRules};
use crate::service::capacity::Endpoint;
use crate::service::message::{MessageText, Schedule};
use crate::service::rules::TargetState;

use super::audit::Audit;
use super::client::{Doing, Slot};
use super::group::Group;
use super::queue::{EventQueue, Happening, Kind};
use super::refusal::EvidenceBook;
use super::request::{Queues, Request};
use super::session::{SessionIndex, Wire};
use super::slab::{Key, Slab};
use super::time_model::{StageTimes, TimeModel};
use super::{EndedBy, GoOn, Lost, SampleTaker, VirtualEnd};

/// Samples that are handed over together.
const BATCH: usize = 2_048;

/// What a run in virtual time is built from.
pub struct VirtualSetup<'s> {
    /// The scenario; [`super::unsupported`] must have nothing against it.
    pub scenario: &'s Scenario,
    /// The rules of the target.
    pub rules: TargetRules,
    /// What each stage takes.
    pub times: StageTimes,
    /// Calendar time of its start, in microseconds since 1970.
    pub start_unix_us: u64,
    /// Looks at everything each time that so many events were worked off, and at each step of a client; `None`: does not.
    pub audit_every: Option<u64>,
}

/// How far the run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Running,
    Draining,
    CutOff,
    /// Every client is done; the target sees the last sessions end.
    Over,
}

/// A run in virtual time.
pub struct World {
    pub(super) now: Moment,
    pub(super) phase: Phase,
    pub(super) queue: EventQueue,
    pub(super) groups: Vec<Group>,
    pub(super) clients: Vec<Slot>,
    pub(super) requests: Slab<Request>,
    pub(super) wires: Slab<Wire>,
    pub(super) sessions: SessionIndex,
    pub(super) waiting: Queues,
    pub(super) target: TargetState,
    pub(super) rules: Arc<TargetRules>,
    pub(super) times: TimeModel,
    pub(super) evidence: EvidenceBook,
    pub(super) message_text: MessageText,
    pub(super) start_unix_us: u64,
    storms: Vec<(Moment, u16, f64)>,
    end: Moment,
    cut_off: Moment,
    by: Option<EndedBy>,
    done_at: Moment,
    /// Clients that are not done.
    pub(super) alive: u32,
    /// Whether a session's end may be told to it by its token's.
    pub(super) tells_ends: bool,
    pub(super) lost: Lost,
    pub(super) samples: Vec<Sample>,
    out: Vec<Stamped>,
    keeps_lag: bool,
    pub(super) audit: Option<Box<Audit>>,
}

impl World {
    /// A run that has not begun.
    #[must_use]
    pub fn new(setup: VirtualSetup<'_>) -> Self {
        let VirtualSetup { scenario, rules, times, start_unix_us, audit_every } = setup;
        let groups: Vec<Group> =
            (0..scenario.groups.len()).map(|index| Group::of(scenario, index, &rules)).collect();
        let mut clients = Vec::with_capacity(scenario.clients() as usize);
        for (index, group) in scenario.groups.iter().enumerate() {
            let first = first_number(scenario, index);
            clients
                .extend((first..first + group.clients).map(|number| Slot::new(scenario.seed, number, index)));
        }
        let tells_ends = rules.token_end.is_some();
        let padding = rules.message_padding;
        let mut target = TargetState::new(rules, scenario.seed);
        target.set_origin(start_unix_us);
        target.forget_returns();
        let end = Moment::ZERO + scenario.duration;
        Self {
            now: Moment::ZERO,
            phase: Phase::Running,
            queue: EventQueue::default(),
            alive: scenario.clients(),
            groups,
            clients,
            requests: Slab::default(),
            wires: Slab::default(),
            sessions: SessionIndex::default(),
            waiting: Queues::default(),
            rules: Arc::clone(target.rules()),
            target,
            times: TimeModel::new(times, scenario.simulate.faults.clone(), scenario.seed),
            evidence: EvidenceBook::default(),
            message_text: MessageText::new(padding),
            start_unix_us,
            storms: target_storms(scenario),
            end,
            cut_off: end + scenario.drain,
            by: None,
            done_at: Moment::ZERO,
            tells_ends,
            lost: Lost::default(),
            samples: Vec::new(),
            out: Vec::with_capacity(BATCH + 64),
            keeps_lag: scenario.thresholds.iter().any(|threshold| threshold.source.starts_with("lag")),
            audit: audit_every.map(|every| Box::new(Audit::new(every, scenario.clients()))),
        }
    }

    /// Runs it to its end.
    pub fn run(mut self, taker: &mut impl SampleTaker) -> VirtualEnd {
        self.put_in_the_beginning();
        let mut second = 0;
        let mut events = 0_u64;
        loop {
            if self.alive == 0 && self.phase < Phase::Over {
                self.finish_clients();
            }
            let Some(next) = self.queue.next() else { break };
            if self.phase < Phase::Over && next.as_second() > second {
                self.close_seconds(&mut second, next.as_second(), taker);
                // What was asked for at the second's end may lie before what was to come next.
                continue;
            }
            let Some(happening) = self.queue.pop() else { break };
            events += 1;
            if let Some(audit) = &mut self.audit {
                audit.moment(self.now, happening.at);
            }
            self.now = self.now.max(happening.at);
            self.happen(happening);
            if self.out.len() >= BATCH {
                taker.take(&mut self.out);
            }
            if self.audit.as_ref().is_some_and(|audit| audit.is_due(events)) {
                self.audit_all();
            }
        }
        self.flush_traffic();
        taker.take(&mut self.out);
        taker.close_second(second);
        let faults = self.audit_at_end();
        VirtualEnd {
            by: self.by.unwrap_or(EndedBy::ClientsDone),
            elapsed: self.done_at,
            counters: self.target.counters(),
            lost: self.lost,
            events,
            faults,
        }
    }

    fn put_in_the_beginning(&mut self) {
        for index in 0..self.groups.len() {
            self.put_next_start(index);
        }
        for (index, (at, ..)) in self.storms.clone().into_iter().enumerate() {
            self.put(at, Kind::Storm, index as u32, 0);
        }
        for index in 0..self.rules.storms.len() {
            let at = Moment::ZERO + self.rules.storms[index].at;
            self.put(at, Kind::TargetStorm, index as u32, 0);
        }
        self.put(self.end, Kind::End, 0, 0);
    }

    /// Closes the seconds before `next`, one by one; stops early where the taker wants it.
    fn close_seconds(&mut self, second: &mut u64, next: u64, taker: &mut impl SampleTaker) {
        self.flush_traffic();
        taker.take(&mut self.out);
        while *second < next {
            let closed = *second;
            *second += 1;
            if taker.close_second(closed) == GoOn::Stop && self.phase == Phase::Running {
                self.now = self.now.max(Moment::from_ns(*second * 1_000_000_000));
                self.stop(EndedBy::Taker);
                return;
            }
        }
    }

    fn happen(&mut self, happening: Happening) {
        let Happening { at, kind, index, generation, extra } = happening;
        let key = Key { index, generation };
        match kind {
            Kind::Start => self.start_next(index as usize),
            Kind::Wake => self.wake(index, at),
            Kind::Stage => self.request_goes_on(key),
            Kind::Timeout => self.request_times_out(key),
            Kind::ServerDone => {
                self.server_done(if index == 0 { Endpoint::Token } else { Endpoint::Upgrade });
            }
            Kind::SessionWake => self.session_wakes(key, at),
            Kind::ToClient => self.reaches_client(key, extra),
            Kind::ToTarget => self.reaches_target(key, extra),
            Kind::Known => self.end_is_known(key),
            Kind::Storm => self.storm(index as usize),
            Kind::TargetStorm => self.target_storm(index as usize),
            Kind::End => self.stop(EndedBy::Time),
            Kind::CutOff => self.cut_off(),
        }
    }

    pub(super) fn put(&mut self, at: Moment, kind: Kind, index: u32, extra: u64) {
        self.queue.push(Happening { at, kind, index, generation: 0, extra });
    }

    pub(super) fn put_for(&mut self, at: Moment, kind: Kind, key: Key, extra: u64) {
        let Key { index, generation } = key;
        self.queue.push(Happening { at, kind, index, generation, extra });
    }

    fn put_next_start(&mut self, group: usize) {
        if let Some((_, due)) = self.groups[group].starts.peek() {
            let due = *due;
            self.put(due, Kind::Start, group as u32, 0);
        }
    }

    fn start_next(&mut self, group: usize) {
        if self.phase > Phase::Running {
            return;
        }
        if let Some((number, due)) = self.groups[group].starts.next() {
            self.put_next_start(group);
            self.begin_client(number, due);
        }
    }

    fn storm(&mut self, index: usize) {
        if self.phase > Phase::Running {
            return;
        }
        let (_, code, fraction) = self.storms[index];
        self.strike_sessions(code, fraction);
    }

    fn target_storm(&mut self, index: usize) {
        if self.phase == Phase::Over {
            return;
        }
        let rules = Arc::clone(&self.rules);
        let storm = &rules.storms[index];
        self.strike_sessions(storm.code, storm.fraction);
        if let Some(every) = storm.every {
            self.put(self.now + every, Kind::TargetStorm, index as u32, 0);
        }
    }

    /// The run's time is over, or it is to end early: it drains.
    fn stop(&mut self, by: EndedBy) {
        if self.phase > Phase::Running {
            return;
        }
        self.phase = Phase::Draining;
        self.by = Some(by);
        let drain = self.cut_off.since(self.end);
        self.cut_off = self.now + drain;
        self.put(self.cut_off, Kind::CutOff, 0, 0);
        for number in 0..self.clients.len() {
            self.tell_stop(number as u32);
        }
    }

    fn cut_off(&mut self) {
        if self.phase >= Phase::CutOff {
            return;
        }
        self.phase = Phase::CutOff;
        for number in 0..self.clients.len() {
            self.tell_abort(number as u32);
        }
    }

    /// Every client is done, or will never start.
    fn finish_clients(&mut self) {
        self.by.get_or_insert(EndedBy::ClientsDone);
        self.done_at = self.now;
        self.phase = Phase::Over;
        self.drop_silent_wires();
    }

    /// A client whose start will not come.
    pub(super) fn never_starts(&mut self, number: u32) {
        let slot = &mut self.clients[number as usize];
        if slot.doing == Doing::Outside {
            slot.doing = Doing::Done;
            self.alive -= 1;
        }
    }

    /// Stamps what a step of a client of `group` has told.
    pub(super) fn stamp(&mut self, group: GroupId) {
        let (at, keeps_lag) = (self.now, self.keeps_lag);
        // There is no generator that could be late.
        let told = self.samples.drain(..).filter(|sample| keeps_lag || !matches!(sample, Sample::Lag(_)));
        self.out.extend(told.map(|sample| Stamped { at, group, sample }));
    }

    pub(super) fn tell(&mut self, group: GroupId, sample: Sample) {
        self.out.push(Stamped { at: self.now, group, sample });
    }

    /// Tells what went over the sessions of each group since the last time.
    fn flush_traffic(&mut self) {
        for index in 0..self.groups.len() {
            let traffic = std::mem::take(&mut self.groups[index].traffic);
            if traffic != Traffic::default() {
                self.tell(self.groups[index].id, Sample::Traffic(Box::new(traffic)));
            }
        }
    }

    /// When the message of that number for client `number` was due.
    pub(super) fn message_due(&self, number: u32, sequence: u64) -> Moment {
        let every = self.rules.messages_every.unwrap_or(std::time::Duration::MAX);
        Schedule::new(every, Some(u64::from(number))).due(sequence)
    }
}
