//! What takes time beside what the target's rules say, and what the network does wrong.
//!
//! In: a delay for each stage, given or measured; faults. Out: draws, each stage from a stream of its own, so that what one stage takes
//! does not change another's draws.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Moment;
use crate::random::{Purpose, Random, Stream};
use crate::scenario::keys::{Delay, NetworkFault, NetworkFaultKind, StageDelays, TimeStage};
use crate::service::delay;

/// What a stage takes.
#[derive(Debug, Clone, PartialEq)]
pub enum StageTime {
    /// By a distribution.
    Given(Delay),
    /// As it was measured.
    Measured(Arc<MeasuredTimes>),
}

/// Times that were measured, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeasuredTimes {
    /// Each time, and how many are at or below it; ascending.
    steps: Vec<(Duration, u64)>,
}

impl MeasuredTimes {
    /// From times in microseconds, ascending, and how often each was measured; `None` where there are none.
    #[must_use]
    pub fn of(counts: impl IntoIterator<Item = (u64, u64)>) -> Option<Self> {
        let mut below = 0_u64;
        let steps: Vec<(Duration, u64)> = counts
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(us, count)| {
                below = below.saturating_add(count);
                (Duration::from_micros(us), below)
            })
            .collect();
        (!steps.is_empty()).then_some(Self { steps })
    }

    /// How many were measured.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.steps.last().map_or(0, |step| step.1)
    }

    /// The time at or below which `share` (0..1) of them lie.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        // Exact for any number of times that was ever measured.
        let rank = (share * self.count() as f64) as u64;
        let at = self.steps.partition_point(|step| step.1 <= rank);
        self.steps.get(at).or(self.steps.last()).map_or(Duration::ZERO, |step| step.0)
    }
}

/// What each stage takes.
#[derive(Debug, Clone, PartialEq)]
pub struct StageTimes([StageTime; TimeStage::ALL.len()]);

impl StageTimes {
    /// As the scenario gives them.
    #[must_use]
    pub fn given(delays: &StageDelays) -> Self {
        Self(TimeStage::ALL.map(|stage| StageTime::Given(delays.get(stage))))
    }

    /// The same, with one stage as it was measured.
    pub fn measure(&mut self, stage: TimeStage, times: MeasuredTimes) {
        self.0[stage as usize] = StageTime::Measured(Arc::new(times));
    }

    /// What `stage` takes.
    #[must_use]
    pub const fn get(&self, stage: TimeStage) -> &StageTime {
        &self.0[stage as usize]
    }
}

/// The first stream that says what goes wrong at a stage.
const OF_FAULTS: u32 = 7;
/// The stream that says what signatures take, and the one that says what requests before a handshake take.
const OF_MINTS: u32 = 2 * OF_FAULTS + 1;
const OF_STEPS: u32 = OF_MINTS + 2;

/// The time model of a run.
#[derive(Debug)]
pub(super) struct TimeModel {
    times: StageTimes,
    faults: Vec<NetworkFault>,
    times_drawn: [Stream; TimeStage::ALL.len()],
    faults_drawn: [Stream; TimeStage::ALL.len()],
}

impl TimeModel {
    pub(super) fn new(times: StageTimes, faults: Vec<NetworkFault>, seed: u64) -> Self {
        let stream = |number| Stream::new(seed, Purpose::Network, number);
        let of_times = |stage| match stage {
            TimeStage::Mint => OF_MINTS,
            TimeStage::Step => OF_STEPS,
            stage => stage as u32,
        };
        Self {
            times,
            faults,
            times_drawn: TimeStage::ALL.map(|stage| stream(of_times(stage))),
            faults_drawn: TimeStage::ALL.map(|stage| stream(OF_FAULTS + stage as u32)),
        }
    }

    /// What `stage` takes this time.
    pub(super) fn draw(&mut self, stage: TimeStage) -> Duration {
        let draws = &mut self.times_drawn[stage as usize];
        match self.times.get(stage) {
            StageTime::Given(given) => delay::sample(*given, draws),
            StageTime::Measured(times) => times.quantile(draws.next_unit()),
        }
    }

    /// What goes wrong at `stage` now, if anything. Each fault of that stage whose time it is takes one draw until one strikes.
    pub(super) fn strike(&mut self, now: Moment, stage: TimeStage) -> Option<NetworkFaultKind> {
        if self.faults.is_empty() {
            return None;
        }
        let since = now.since(Moment::ZERO);
        let draws = &mut self.faults_drawn[stage as usize];
        let is_due = |fault: &&NetworkFault| {
            fault.stage == stage && fault.from <= since && fault.until.is_none_or(|until| since < until)
        };
        self.faults
            .iter()
            .filter(is_due)
            .find(|fault| draws.next_unit() < fault.share)
            .map(|fault| fault.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measured_times_come_back_as_often_as_they_were_measured() {
        assert_eq!(MeasuredTimes::of([(5, 0)]), None);
        let times = MeasuredTimes::of([(10, 1), (20, 2), (50, 1)]).unwrap();
        let us = |share| times.quantile(share).as_micros();
        assert_eq!([0.0, 0.24, 0.25, 0.74, 0.75, 0.999, 1.0].map(us), [10, 10, 20, 20, 50, 50, 50]);
        let mut stages = StageTimes::given(&StageDelays::default());
        stages.measure(TimeStage::Tcp, times);
        let mut model = TimeModel::new(stages, Vec::new(), 1);
        let drawn: Vec<u128> = (0..4_000).map(|_| model.draw(TimeStage::Tcp).as_micros()).collect();
        let count = |us| drawn.iter().filter(|drawn| **drawn == us).count();
        assert!(
            count(20).abs_diff(2_000) < 150 && count(10).abs_diff(1_000) < 150,
            "{} {}",
            count(20),
            count(10)
        );
        assert_eq!(count(10) + count(20) + count(50), 4_000);
    }

    #[test]
    fn stages_draw_from_streams_of_their_own() {
        let delays = {
            let each = Delay::Exponential { mean: Duration::from_millis(1) };
            StageDelays {
                dns: each,
                tcp: each,
                tls: each,
                upgrade: each,
                token: each,
                message: each,
                detect: each,
                mint: each,
                step: each,
            }
        };
        let run = |others: usize| {
            let mut model = TimeModel::new(StageTimes::given(&delays), Vec::new(), 3);
            (0..20)
                .map(|_| {
                    let drawn: Duration = (0..others).map(|_| model.draw(TimeStage::Upgrade)).sum();
                    assert!(others == 0 || drawn > Duration::ZERO);
                    model.draw(TimeStage::Tcp)
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(run(0), run(5));
    }

    #[test]
    fn faults_strike_their_stage_in_their_time() {
        let fault = NetworkFault {
            stage: TimeStage::Tcp,
            kind: NetworkFaultKind::Blackhole,
            share: 0.25,
            from: Duration::from_secs(1),
            until: Some(Duration::from_secs(2)),
        };
        let mut model = TimeModel::new(StageTimes::given(&StageDelays::default()), vec![fault], 1);
        let mut struck = |ms: u64, stage| {
            (0..4_000).filter(|_| model.strike(Moment::from_ns(ms * 1_000_000), stage).is_some()).count()
        };
        assert_eq!(
            (struck(999, TimeStage::Tcp), struck(2_000, TimeStage::Tcp), struck(1_500, TimeStage::Dns)),
            (0, 0, 0)
        );
        assert!(struck(1_000, TimeStage::Tcp).abs_diff(1_000) < 120);
    }
}
