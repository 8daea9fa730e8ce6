//! The recovery curve: which share of the clients that were cut off is back, by the time since.
//!
//! In: what the storms did to a group. Out: the exact curve, step by step, and when half, 95 % and all were back. A client that never came back
//! stays in the denominator.

use crate::record::{Latencies, Tally};
use crate::sample::{Counter, Metric, StormId};

/// How the clients of a group came back from a storm, or from every disconnect that no storm forced.
#[derive(Debug, Clone, PartialEq)]
pub struct RecoveryCurve {
    /// Index into the manifest's groups; `None`: all groups together.
    pub group: Option<usize>,
    /// Index into the manifest's storms; `None`: the disconnects that no storm forced, each with its time from its own moment.
    pub storm: Option<usize>,
    /// How many were cut off, those included that never came back.
    pub disconnects: u64,
    /// From the disconnect (a storm's: when it was due) to the ready session, of those that came back.
    pub back: Latencies,
}

/// A step of a recovery curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecoveryStep {
    /// Microseconds since the storm.
    pub time_us: u64,
    /// How many were back by then.
    pub back: u64,
}

impl RecoveryCurve {
    /// The steps, in ascending order, as exact as the histogram is (three significant digits). Before the first, nobody is back.
    pub fn steps(&self) -> impl Iterator<Item = RecoveryStep> + '_ {
        self.back.steps().map(|(time_us, back)| RecoveryStep { time_us, back })
    }

    /// Microseconds until `share` (0..1) of all that were cut off were back; `None` when they never were, or none was cut off.
    #[must_use]
    pub fn time_to_us(&self, share: f64) -> Option<u64> {
        let wanted = (share * self.disconnects as f64).ceil().max(1.0) as u64;
        self.steps().find(|step| step.back >= wanted).map(|step| step.time_us)
    }

    /// Which share (0..1) of all that were cut off came back; `None` when none was cut off.
    #[must_use]
    pub fn share_back(&self) -> Option<f64> {
        (self.disconnects > 0).then(|| self.back.count() as f64 / self.disconnects as f64)
    }
}

/// The curves of one tally: one for each of the run's `storms`, and the last for what no storm forced.
pub(super) fn recovery_curves(group: Option<usize>, tally: &Tally, storms: usize) -> Vec<RecoveryCurve> {
    let mut curves: Vec<RecoveryCurve> = (0..storms)
        .map(|storm| {
            let struck = tally.storms.get(&StormId::of(storm)).cloned().unwrap_or_default();
            RecoveryCurve { group, storm: Some(storm), disconnects: struck.disconnects, back: struck.back }
        })
        .collect();
    let mut back = tally.histograms.get(&Metric::ReconnectLatency).cloned().unwrap_or_default();
    let mut disconnects = tally.counter(Counter::Disconnects);
    for curve in &curves {
        back.subtract(&curve.back);
        disconnects = disconnects.saturating_sub(curve.disconnects);
    }
    curves.push(RecoveryCurve { group, storm: None, disconnects, back });
    curves
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::sample::{AttemptKind, Phases, ReadySample, Sample};

    /// A tally of clients, each struck by a storm or none, and back after so many milliseconds or never.
    fn tally(clients: &[(Option<u16>, Option<u64>)]) -> Tally {
        let mut tally = Tally::default();
        for (storm, back_ms) in clients {
            let storm = storm.map(StormId);
            tally.apply(&Sample::Count(Counter::Disconnects, 1));
            storm.map(Sample::StormDisconnect).iter().for_each(|sample| tally.apply(sample));
            if let Some(latency) = back_ms.map(Duration::from_millis) {
                let (kind, phases) = (AttemptKind::Reconnect, Phases::default());
                tally.apply(&Sample::Ready(Box::new(ReadySample {
                    kind,
                    storm,
                    latency,
                    service_time: latency,
                    phases,
                })));
            }
        }
        tally
    }

    #[test]
    fn the_curve_rises_step_by_step_and_those_who_never_came_back_are_in_the_denominator() {
        let clients =
            [(Some(0), Some(1)), (Some(0), Some(2)), (Some(0), Some(2)), (Some(0), None), (None, Some(7))];
        let curves = recovery_curves(None, &tally(&clients), 1);
        let steps: Vec<(u64, u64)> = curves[0].steps().map(|step| (step.time_us, step.back)).collect();
        assert_eq!(steps, [(1_000, 1), (2_000, 3)]);
        assert_eq!((curves[0].disconnects, curves[0].share_back()), (4, Some(0.75)));
        let times = [0.25, 0.5, 0.75, 0.95, 1.0].map(|share| curves[0].time_to_us(share));
        assert_eq!(times, [Some(1_000), Some(2_000), Some(2_000), None, None]);
        assert_eq!((curves[1].storm, curves[1].disconnects), (None, 1));
        assert_eq!(
            curves[1].time_to_us(1.0),
            Some(7_003),
            "three significant digits: the highest of its bucket"
        );
    }

    #[test]
    fn where_none_was_cut_off_nothing_is_claimed() {
        let curves = recovery_curves(Some(0), &Tally::default(), 1);
        assert_eq!(curves.len(), 2);
        for curve in curves {
            assert_eq!((curve.steps().count(), curve.time_to_us(0.5), curve.share_back()), (0, None, None));
        }
    }

    proptest! {
        #[test]
        fn no_disconnect_is_lost_between_the_curves(
            clients in prop::collection::vec((prop::option::of(0_u16..3), prop::option::of(0_u64..60_000)), 0..60),
        ) {
            let tally = tally(&clients);
            let curves = recovery_curves(None, &tally, 3);
            prop_assert_eq!(curves.iter().map(|curve| curve.disconnects).sum::<u64>(), clients.len() as u64);
            let mut merged = Latencies::new();
            for curve in &curves {
                let here = clients.iter().filter(|(storm, _)| storm.map(usize::from) == curve.storm);
                let (struck, back): (Vec<_>, Vec<_>) = here.map(|(_, back)| ((), back)).unzip();
                prop_assert_eq!(curve.disconnects, struck.len() as u64);
                prop_assert_eq!(curve.back.count(), back.iter().flatten().count() as u64);
                prop_assert_eq!(curve.time_to_us(1.0).is_some(), !back.is_empty() && back.iter().all(Option::is_some) || curve.disconnects == 0 && !back.is_empty());
                merged.merge(&curve.back);
            }
            let all = tally.histograms.get(&Metric::ReconnectLatency).cloned().unwrap_or_default();
            prop_assert_eq!(merged.steps().collect::<Vec<_>>(), all.steps().collect::<Vec<_>>());
        }
    }
}
