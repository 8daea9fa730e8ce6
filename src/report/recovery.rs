//! The recovery curve: which share of the clients that were cut off is back, by the time since.
//!
//! In: what the storms did to a group. Out: the curve, step by step, and when half, 95 % and all were back. A client that never came back stays in the
//! denominator; one that was still away when the run ended counts for as long as it was seen (Kaplan and Meier, see [`Survival`]).

use crate::record::{Latencies, Quantile, StormTally, Survival, Tally};
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
    /// How long those had been away that were still away when the run ended.
    pub away: Latencies,
}

/// A step of a recovery curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RecoveryStep {
    /// Microseconds since the storm.
    pub time_us: u64,
    /// Which share (0..1) was back by then.
    pub share: f64,
}

impl RecoveryCurve {
    /// The steps, in ascending order, as exact as the histogram is (three significant digits). Before the first, nobody is back.
    #[must_use]
    pub fn steps(&self) -> Vec<RecoveryStep> {
        let survival = self.survival();
        let steps = survival.steps().iter();
        steps.map(|step| RecoveryStep { time_us: step.time_us, share: 1.0 - step.away }).collect()
    }

    /// Microseconds until `share` (0..1) of all that were cut off were back; `None` when none was cut off, or nobody was seen since. Where some were not back
    /// by the run's end, all were not back before: that is beyond what was seen.
    #[must_use]
    pub fn time_to_us(&self, share: f64) -> Option<Quantile> {
        let time = self.survival().percentile(100.0 * share)?;
        let some_are_missing = self.back.count() < self.disconnects;
        Some(if share >= 1.0 && some_are_missing { time.or_longer(self.away.max_us()) } else { time })
    }

    /// The estimate; who is neither back nor away never comes back.
    fn survival(&self) -> Survival {
        let never = self.disconnects.saturating_sub(self.back.count() + self.away.count());
        Survival::of(&self.back, &self.away, never)
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
            let StormTally { disconnects, back, away } = struck;
            RecoveryCurve { group, storm: Some(storm), disconnects, back, away }
        })
        .collect();
    let mut back = tally.histograms.get(&Metric::ReconnectLatency).cloned().unwrap_or_default();
    let mut away = tally.histograms.get(&Metric::ReconnectAway).cloned().unwrap_or_default();
    let mut disconnects = tally.counter(Counter::Disconnects);
    for curve in &curves {
        back.subtract(&curve.back);
        away.subtract(&curve.away);
        disconnects = disconnects.saturating_sub(curve.disconnects);
    }
    curves.push(RecoveryCurve { group, storm: None, disconnects, back, away });
    curves
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::sample::{AttemptKind, AwaySample, Phases, ReadySample, Sample};

    /// What became of a client that was cut off, after so many milliseconds.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Fate {
        Back(u64),
        Away(u64),
        GaveUp,
    }

    use Fate::{Away, Back, GaveUp};

    /// A tally of clients, each struck by a storm or none.
    fn tally(clients: &[(Option<u16>, Fate)]) -> Tally {
        let mut tally = Tally::default();
        for (storm, fate) in clients {
            let storm = storm.map(StormId);
            tally.apply(&Sample::Count(Counter::Disconnects, 1));
            storm.map(Sample::StormDisconnect).iter().for_each(|sample| tally.apply(sample));
            match fate {
                Back(ms) => {
                    let latency = Duration::from_millis(*ms);
                    let (kind, phases) = (AttemptKind::Reconnect, Phases::default());
                    let ready = ReadySample { kind, storm, latency, service_time: latency, phases };
                    tally.apply(&Sample::Ready(Box::new(ready)));
                }
                Away(ms) => {
                    let away = Duration::from_millis(*ms);
                    tally.apply(&Sample::Count(Counter::ReconnectsUnfinished, 1));
                    tally.apply(&Sample::Away(AwaySample { storm, away }));
                }
                GaveUp => tally.apply(&Sample::Count(Counter::ReconnectsGivenUp, 1)),
            }
        }
        tally
    }

    fn steps(curve: &RecoveryCurve) -> Vec<(u64, f64)> {
        curve.steps().iter().map(|step| (step.time_us, step.share)).collect()
    }

    #[test]
    fn the_curve_rises_step_by_step_and_those_who_never_came_back_are_in_the_denominator() {
        let storm = Some(0);
        let clients =
            [(storm, Back(1)), (storm, Back(2)), (storm, Back(2)), (storm, GaveUp), (None, Back(7))];
        let curves = recovery_curves(None, &tally(&clients), 1);
        assert_eq!(steps(&curves[0]), [(1_000, 0.25), (2_000, 0.75)]);
        assert_eq!((curves[0].disconnects, curves[0].share_back()), (4, Some(0.75)));
        let times = [0.25, 0.5, 0.75, 0.95, 1.0].map(|share| curves[0].time_to_us(share).unwrap().words());
        assert_eq!(times, ["1.00 ms", "2.00 ms", "2.00 ms", "never", "never"]);
        assert_eq!((curves[1].storm, curves[1].disconnects), (None, 1));
        assert_eq!(
            curves[1].time_to_us(1.0),
            Some(Quantile::At(7_003)),
            "three significant digits: the highest of its bucket"
        );
    }

    #[test]
    fn who_is_still_away_counts_for_as_long_as_it_was_seen() {
        // Of four, one is back after 1 ms, one was last seen after 2 ms: of the two that are left one is back after 4 ms.
        let clients = [Back(1), Away(2), Back(4), Away(8)].map(|fate| (Some(0), fate));
        let curves = recovery_curves(None, &tally(&clients), 1);
        assert_eq!(steps(&curves[0]), [(1_000, 0.25), (4_001, 0.625)]);
        assert_eq!(curves[0].time_to_us(0.5), Some(Quantile::At(4_001)));
        assert_eq!(curves[0].time_to_us(0.95), Some(Quantile::Beyond(8_003)));
        // The estimate says so at 4 ms, and yet one was not back by the run's end.
        let last_back = recovery_curves(None, &tally(&[Away(2), Back(4)].map(|fate| (Some(0), fate))), 1);
        assert_eq!(last_back[0].time_to_us(0.95), Some(Quantile::At(4_001)));
        assert_eq!(last_back[0].time_to_us(1.0), Some(Quantile::Beyond(4_001)));
        let all_away = recovery_curves(None, &tally(&[(Some(0), Away(8))]), 1);
        assert_eq!(all_away[0].time_to_us(0.5), Some(Quantile::Beyond(8_003)));
        assert_eq!(all_away[0].share_back(), Some(0.0));
    }

    #[test]
    fn where_none_was_cut_off_nothing_is_claimed() {
        let curves = recovery_curves(Some(0), &Tally::default(), 1);
        assert_eq!(curves.len(), 2);
        for curve in curves {
            assert_eq!((steps(&curve), curve.time_to_us(0.5), curve.share_back()), (vec![], None, None));
        }
    }

    fn fate() -> impl Strategy<Value = Fate> {
        prop_oneof![(0_u64..60_000).prop_map(Back), (0_u64..60_000).prop_map(Away), Just(GaveUp)]
    }

    proptest! {
        #[test]
        fn no_disconnect_is_lost_between_the_curves(
            clients in prop::collection::vec((prop::option::of(0_u16..3), fate()), 0..60),
        ) {
            let tally = tally(&clients);
            let curves = recovery_curves(None, &tally, 3);
            prop_assert_eq!(curves.iter().map(|curve| curve.disconnects).sum::<u64>(), clients.len() as u64);
            let (mut back, mut away) = (Latencies::new(), Latencies::new());
            for curve in &curves {
                let here: Vec<Fate> = clients
                    .iter()
                    .filter(|(storm, _)| storm.map(usize::from) == curve.storm)
                    .map(|(_, fate)| *fate)
                    .collect();
                let count = |wanted: fn(&Fate) -> bool| here.iter().filter(|fate| wanted(fate)).count() as u64;
                prop_assert_eq!(curve.disconnects, here.len() as u64);
                prop_assert_eq!(curve.back.count(), count(|fate| matches!(fate, Back(_))));
                prop_assert_eq!(curve.away.count(), count(|fate| matches!(fate, Away(_))));
                let all_back = !here.is_empty() && here.iter().all(|fate| matches!(fate, Back(_)));
                let is_reached = matches!(curve.time_to_us(1.0), Some(Quantile::At(_)));
                prop_assert_eq!(is_reached, all_back);
                back.merge(&curve.back);
                away.merge(&curve.away);
            }
            for (merged, metric) in [(back, Metric::ReconnectLatency), (away, Metric::ReconnectAway)] {
                let all = tally.histograms.get(&metric).cloned().unwrap_or_default();
                prop_assert_eq!(merged.steps().collect::<Vec<_>>(), all.steps().collect::<Vec<_>>());
            }
        }
    }
}
