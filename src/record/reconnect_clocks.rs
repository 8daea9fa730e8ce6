//! Reconnects by two clocks: the clients' and the embedded target's own.
//!
//! In: the clients' numbers, the target's times between its close frame and the next admitted handshake of the same client. Out: both sides'
//! percentiles, and sentences where they differ: then a machine that was too busy has bent the clients' figures.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sample::Metric;
use crate::units::{format_count, format_us};

use super::histogram::Latencies;
use super::steps::Steps;
use super::tally::Tally;

/// How far the two may lie apart, as a share of the target's.
const TOLERANCE: f64 = 0.03;
/// Less than this is not looked at: two processes take as long to tell each other.
const LEAST_US: u64 = 2_000;
/// As many values must lie beyond a percentile for it to be compared.
const BEYOND: f64 = 10.0;
/// The sides are of the same reconnects where their numbers differ by no more than this share.
const SAME: f64 = 0.01;

/// The same reconnects, as the clients measured them and as the target did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReconnectClocks {
    /// How many the clients measured.
    pub clients: u64,
    /// How many the target measured.
    pub target: u64,
    /// Each percentile that was compared.
    pub percentiles: Vec<ClockRow>,
}

/// One percentile by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClockRow {
    /// 50 or 99.
    pub percentile: u8,
    /// By the clients' clock.
    pub clients_us: u64,
    /// By the target's.
    pub target_us: u64,
    /// Whether they agree, within 3 % or 2 ms.
    pub agrees: bool,
}

impl ReconnectClocks {
    /// Sets the two sides beside each other. `None` where they are not of the same reconnects: clients left by themselves, or a
    /// connection ended without a close frame, which the target cannot tell the moment of.
    #[must_use]
    pub fn of(all: &Tally, target: &Steps) -> Option<Self> {
        let ours = all.histograms.get(&Metric::ReconnectLatency)?;
        let theirs = target.latencies();
        if ours.count().abs_diff(theirs.count()) as f64 > SAME * ours.count() as f64 {
            return None;
        }
        let row = |percentile: u8| {
            let beyond = ours.count() as f64 * (1.0 - f64::from(percentile) / 100.0);
            (beyond >= BEYOND).then(|| ClockRow::of(percentile, ours, &theirs))
        };
        let percentiles: Vec<ClockRow> = [50, 99].into_iter().filter_map(row).collect();
        Some(Self { clients: ours.count(), target: theirs.count(), percentiles })
            .filter(|clocks| !clocks.percentiles.is_empty())
    }

    /// Whether they agree.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.percentiles.iter().all(|row| row.agrees)
    }

    /// Where they do not, a sentence for each percentile.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let wrong = self.percentiles.iter().filter(|row| !row.agrees);
        let told = wrong.map(|row| {
            format!(
                "p{} of {} reconnects is {} by the clients' clock and {} by the target's: this machine was too busy for latencies to be believed. Spread the load or use fewer clients",
                row.percentile,
                format_count(self.clients),
                format_us(row.clients_us),
                format_us(row.target_us),
            )
        });
        told.collect()
    }
}

impl ClockRow {
    fn of(percentile: u8, ours: &Latencies, theirs: &Latencies) -> Self {
        let clients_us = ours.percentile_us(f64::from(percentile));
        let target_us = theirs.percentile_us(f64::from(percentile));
        let apart = clients_us.abs_diff(target_us);
        let agrees = apart <= LEAST_US || apart as f64 <= TOLERANCE * target_us as f64;
        Self { percentile, clients_us, target_us, agrees }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(values_us: &[u64]) -> Tally {
        let mut latencies = Latencies::new();
        values_us.iter().for_each(|us| latencies.record_us(*us));
        let mut tally = Tally::default();
        tally.histograms.insert(Metric::ReconnectLatency, latencies);
        tally
    }

    fn clocks(ours: &[u64], theirs: &[u64]) -> Option<ReconnectClocks> {
        let theirs = Steps::of(&tally(theirs).histograms[&Metric::ReconnectLatency]);
        ReconnectClocks::of(&tally(ours), &theirs)
    }

    #[test]
    fn what_differs_is_told_and_what_cannot_be_compared_is_not() {
        let values: Vec<u64> = (1..=2_000).map(|n| n * 500).collect();
        let longer = |by: f64| values.iter().map(|us| (*us as f64 * by) as u64).collect::<Vec<_>>();
        let same = clocks(&values, &values).unwrap();
        assert!(same.agrees() && same.percentiles.len() == 2, "{same:?}");
        assert!(clocks(&longer(1.02), &values).unwrap().agrees());
        let off = clocks(&longer(1.06), &values).unwrap();
        assert!(!off.agrees());
        assert_eq!(off.faults().len(), 2);
        assert!(
            off.faults()[0].contains("530 ms by the clients' clock and 500 ms by the target's"),
            "{off:?}"
        );
        assert_eq!(clocks(&values, &values[..1_900]), None, "not the same reconnects");
        assert_eq!(clocks(&values[..9], &values[..9]), None, "too few to tell");
        assert_eq!(clocks(&values[..99], &values[..99]).unwrap().percentiles.len(), 1);
        assert!(clocks(&[1_900; 100], &[1; 100]).unwrap().agrees(), "less than two milliseconds");
        assert_eq!(clocks(&[], &[]), None);
    }
}
