//! The one loop of a run in virtual time, and what happens to the whole of it: starts, storms, its end.
//!
//! In: a scenario. Out: samples, one event after the other. What an event means to a client or to the service is in [`super::world`].

use std::sync::Arc;

use crate::clock::Moment;
use crate::lifecycle::Event;
use crate::plan::{Share, own_starts, target_storms};
use crate::scenario::Arrival;
use crate::scenario::keys::{Scenario, TargetRules, TargetStorm};

use super::audit::Audit;
use super::end::{EndedBy, VirtualEnd};
use super::queue::{Happening, Kind};
use super::taker::{GoOn, SampleTaker};
use super::time_model::{StageTimes, TimeModel};
use super::world::{Parts, World};

/// What a run in virtual time is built from.
pub struct VirtualSetup<'s> {
    /// The scenario; [`super::unsupported`] must have nothing against it.
    pub scenario: &'s Scenario,
    /// Whose clients run.
    pub share: Share,
    /// The rules of the target.
    pub rules: TargetRules,
    /// What each stage takes.
    pub times: StageTimes,
    /// Calendar time of its start, in microseconds since 1970.
    pub start_unix_us: u64,
    /// As of when certificates are looked at, in microseconds since 1970.
    pub certified_at_unix_us: u64,
    /// Looks at everything each time that so many events were worked off, and at each step of a client; `None`: does not.
    pub audit_every: Option<u64>,
}

/// How far the run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Running,
    Draining,
    CutOff,
    /// Every client is done; the target sees the last sessions end.
    Over,
}

/// The clients of a group that have not started, by due start.
type Starts = std::iter::Peekable<Box<dyn Iterator<Item = Arrival> + Send>>;

/// A run in virtual time.
pub struct VirtualRun {
    world: World,
    phase: Phase,
    /// By group.
    starts: Vec<Starts>,
    storms: Vec<(Moment, u16, f64)>,
    end: Moment,
    cut_off: Moment,
    by: Option<EndedBy>,
    done_at: Moment,
}

impl VirtualRun {
    /// A run that has not begun.
    #[must_use]
    pub fn new(setup: VirtualSetup<'_>) -> Self {
        let VirtualSetup { scenario, share, rules, times, start_unix_us, certified_at_unix_us, audit_every } =
            setup;
        let times = TimeModel::new(times, scenario.simulate.faults.clone(), scenario.seed);
        let audit = audit_every.map(|every| Box::new(Audit::new(every, share.clients(scenario))));
        let groups = scenario.groups.iter().enumerate();
        let end = Moment::ZERO + scenario.duration;
        Self {
            world: World::new(Parts {
                scenario,
                share,
                rules,
                times,
                start_unix_us,
                certified_at_unix_us,
                audit,
            }),
            phase: Phase::Running,
            starts: groups.map(|(index, _)| own_starts(scenario, index, share).peekable()).collect(),
            storms: target_storms(scenario),
            end,
            cut_off: end + scenario.drain,
            by: None,
            done_at: Moment::ZERO,
        }
    }

    /// Runs it to its end.
    pub fn run(mut self, taker: &mut impl SampleTaker) -> VirtualEnd {
        self.put_in_the_beginning();
        let mut second = 0;
        let mut events = 0_u64;
        loop {
            if self.world.alive() == 0 && self.phase < Phase::Over {
                self.finish_clients();
            }
            let Some(next) = self.world.next() else { break };
            if self.phase < Phase::Over && next.as_second() > second {
                self.close_seconds(&mut second, next.as_second(), taker);
                // What was asked for at the second's end may lie before what was to come next.
                continue;
            }
            let Some(happening) = self.world.take_event() else { break };
            events += 1;
            self.happen(&happening);
            self.world.hand_over_batch(taker);
            self.world.audit_after(events);
        }
        self.world.hand_over(taker);
        taker.close_second(second);
        VirtualEnd {
            by: self.by.unwrap_or(EndedBy::ClientsDone),
            elapsed: self.done_at,
            counters: self.world.counters(),
            lost: self.world.lost(),
            events,
            faults: self.world.finish_audit(),
        }
    }

    fn put_in_the_beginning(&mut self) {
        for group in 0..self.starts.len() {
            self.put_next_start(group);
        }
        for (index, (at, ..)) in (0_u32..).zip(&self.storms) {
            self.world.put(*at, Kind::Storm, index);
        }
        let rules = Arc::clone(self.world.rules());
        for (index, storm) in (0_u32..).zip(&rules.storms) {
            self.put_target_storm(storm, index, Moment::ZERO + storm.at);
        }
        if let Some(probe) = rules.probe {
            self.world.put(Moment::ZERO + probe.every, Kind::Probe, 0);
        }
        self.world.put(self.end, Kind::End, 0);
    }

    /// Closes the seconds before `next`, one by one; stops early where the taker wants it.
    fn close_seconds(&mut self, second: &mut u64, next: u64, taker: &mut impl SampleTaker) {
        self.world.hand_over(taker);
        while *second < next {
            let closed = *second;
            *second += 1;
            if taker.close_second(closed) == GoOn::Stop && self.phase == Phase::Running {
                self.world.advance_to(Moment::from_ns(*second * 1_000_000_000));
                self.stop(EndedBy::Taker);
                return;
            }
        }
    }

    fn happen(&mut self, happening: &Happening) {
        let index = happening.index as usize;
        match happening.kind {
            Kind::Start => self.start_next(index),
            Kind::Storm => self.storm(index),
            Kind::TargetStorm => self.target_storm(happening.index),
            Kind::TargetWarning if self.phase < Phase::Over => self.world.warn(index),
            Kind::TargetWarning => {}
            Kind::Probe => self.probe(),
            Kind::End => self.stop(EndedBy::Time),
            Kind::CutOff => self.cut_off(),
            _ => self.world.happen(happening),
        }
    }

    fn put_next_start(&mut self, group: usize) {
        if let Some(arrival) = self.starts[group].peek() {
            self.world.put(arrival.at, Kind::Start, u32::try_from(group).unwrap_or(u32::MAX));
        }
    }

    fn start_next(&mut self, group: usize) {
        if self.phase > Phase::Running {
            return;
        }
        if let Some(Arrival { client, at: due, leaves }) = self.starts[group].next() {
            self.put_next_start(group);
            match client {
                Some(number) => self.world.deliver(number, Event::Begin { due, leaves }),
                None => self.world.drop_arrival(group),
            }
        }
    }

    fn storm(&mut self, index: usize) {
        if self.phase == Phase::Running {
            let (_, code, fraction) = self.storms[index];
            self.world.storm(code, fraction);
        }
    }

    fn target_storm(&mut self, index: u32) {
        if self.phase == Phase::Over {
            return;
        }
        let rules = Arc::clone(self.world.rules());
        let storm = &rules.storms[index as usize];
        match storm.warning {
            Some(_) => self.world.strike_warned(index as usize),
            None => self.world.storm(storm.code, storm.fraction),
        }
        if let Some(every) = storm.every {
            self.put_target_storm(storm, index, self.world.now() + every);
        }
    }

    /// A storm of the target's own schedule strikes at `at`; what it may say before comes before.
    fn put_target_storm(&mut self, storm: &TargetStorm, index: u32, at: Moment) {
        if storm.warning.is_some() {
            let warned = Moment::ZERO + at.since(Moment::ZERO + storm.warning_before);
            self.world.put(warned.max(self.world.now()), Kind::TargetWarning, index);
        }
        self.world.put(at, Kind::TargetStorm, index);
    }

    fn probe(&mut self) {
        let probe = self.world.rules().probe.filter(|_| self.phase != Phase::Over);
        let Some(probe) = probe else { return };
        if self.world.probe() {
            self.world.storm(probe.code, 1.0);
        }
        self.world.put(self.world.now() + probe.every, Kind::Probe, 0);
    }

    /// The run's time is over, or it is to end early: it drains.
    fn stop(&mut self, by: EndedBy) {
        if self.phase > Phase::Running {
            return;
        }
        self.phase = Phase::Draining;
        self.by = Some(by);
        let drain = self.cut_off.since(self.end);
        self.cut_off = self.world.now() + drain;
        self.world.put(self.cut_off, Kind::CutOff, 0);
        self.world.drain();
    }

    fn cut_off(&mut self) {
        if self.phase < Phase::CutOff {
            self.phase = Phase::CutOff;
            self.world.cut_off();
        }
    }

    /// Every client is done, or will never start.
    fn finish_clients(&mut self) {
        self.by.get_or_insert(EndedBy::ClientsDone);
        self.done_at = self.world.now();
        self.phase = Phase::Over;
        self.world.drop_silent_links();
    }
}
