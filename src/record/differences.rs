//! Differences of two clocks, which may be below zero: how long messages took, by their senders' clocks.
//!
//! In: signed microseconds. Out: the least and the largest, exactly; how many are below zero; the same as latencies from any zero. They are kept as distances
//! from a base near the first of them, so that a clock that is hours ahead costs no precision. Parts of different bases stay apart when they merge: whatever
//! the order, nothing is rounded twice.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::encoding::{HistogramError, MAX_COUNT, add_count, packed_counts};
use super::histogram::Latencies;

/// Bases are multiples of this (about 16 ms): processes with the same clocks share one.
const BASE_STEP_US: i64 = 1 << 14;

/// How far values lie from their base.
#[derive(Debug, Clone, PartialEq, Default)]
struct Distances {
    /// Of those at or above it.
    above: Latencies,
    /// Of those below it.
    below: Latencies,
}

/// Differences of two clocks.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Differences {
    by_base: BTreeMap<i64, Distances>,
    /// How many are below zero.
    pub below_zero: u64,
    /// The least and the largest, in microseconds; `None`: there are none.
    pub range_us: Option<(i64, i64)>,
}

/// [`Differences`] as the journal holds them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct PackedDifferences {
    /// Each base, and the histograms of the distances above it and below it; nothing where there are none.
    by_base: Vec<(i64, Vec<u8>, Vec<u8>)>,
    below_zero: u64,
    range_us: Option<(i64, i64)>,
}

/// The base of a stream whose first difference is this.
pub(super) const fn base_of(first_us: i64) -> i64 {
    first_us.saturating_sub(first_us.rem_euclid(BASE_STEP_US))
}

impl Differences {
    /// Adds a value as its distance from `base_us`.
    pub(super) fn record(&mut self, us: i64, base_us: i64) {
        let distances = self.by_base.entry(base_us).or_default();
        let distance = us.abs_diff(base_us);
        let side = if us >= base_us { &mut distances.above } else { &mut distances.below };
        side.record_us(distance);
        self.below_zero += u64::from(us < 0);
        self.range_us = joined(self.range_us, Some((us, us)));
    }

    /// Adds others.
    pub fn merge(&mut self, other: &Self) {
        for (base, distances) in &other.by_base {
            let own = self.by_base.entry(*base).or_default();
            own.above.merge(&distances.above);
            own.below.merge(&distances.below);
        }
        add_count(&mut self.below_zero, other.below_zero);
        self.range_us = joined(self.range_us, other.range_us);
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        let counts = self.by_base.values().map(|distances| distances.above.count() + distances.below.count());
        counts.sum()
    }

    /// The least, in microseconds.
    #[must_use]
    pub fn least_us(&self) -> Option<i64> {
        self.range_us.map(|(least, _)| least)
    }

    /// The values from `zero_us` on; what is below it counts as none.
    #[must_use]
    pub fn latencies_from(&self, zero_us: i64) -> Latencies {
        let mut latencies = Latencies::new();
        let (least, most) = self.range_us.unwrap_or_default();
        let mut add = |us: i64, count| {
            let us = us.clamp(least, most.max(least)).saturating_sub(zero_us);
            latencies.record_many(u64::try_from(us).unwrap_or(0), count);
        };
        for (base, distances) in &self.by_base {
            let signed = |us: u64| i64::try_from(us).unwrap_or(i64::MAX);
            for (_, highest, count) in distances.above.buckets() {
                add(base.saturating_add(signed(highest)), count);
            }
            for (lowest, _, count) in distances.below.buckets() {
                add(base.saturating_sub(signed(lowest)), count);
            }
        }
        latencies
    }

    pub(super) fn pack(&self) -> PackedDifferences {
        let by_base = self.by_base.iter().map(|(base, distances)| {
            (*base, packed_or_nothing(&distances.above), packed_or_nothing(&distances.below))
        });
        PackedDifferences { by_base: by_base.collect(), below_zero: self.below_zero, range_us: self.range_us }
    }
}

impl PackedDifferences {
    /// The same without what was measured.
    pub(super) const fn counts(&self) -> Self {
        Self { by_base: Vec::new(), below_zero: self.below_zero, range_us: self.range_us }
    }

    /// Checks what was read from a file.
    pub(super) fn check(&self) -> Result<(), HistogramError> {
        let is_ordered = self.range_us.is_none_or(|(least, most)| least <= most);
        if self.below_zero > MAX_COUNT || !is_ordered {
            return Err(HistogramError);
        }
        self.by_base.iter().try_for_each(|(_, above, below)| check_packed(above).and(check_packed(below)))
    }

    pub(super) fn add_to(&self, differences: &mut Differences) {
        for (base, above, below) in &self.by_base {
            let own = differences.by_base.entry(*base).or_default();
            add_packed(&mut own.above, above);
            add_packed(&mut own.below, below);
        }
        add_count(&mut differences.below_zero, self.below_zero);
        differences.range_us = joined(differences.range_us, self.range_us);
    }
}

/// A histogram's bytes; none where it has no values.
pub(super) fn packed_or_nothing(histogram: &Latencies) -> Vec<u8> {
    if histogram.count() == 0 { Vec::new() } else { histogram.to_bytes() }
}

/// Checks bytes that [`packed_or_nothing`] may have made.
pub(super) fn check_packed(bytes: &[u8]) -> Result<(), HistogramError> {
    if bytes.is_empty() { Ok(()) } else { packed_counts(bytes).map(drop) }
}

/// Adds a histogram whose bytes were checked when they were read, or packed by ourselves.
pub(super) fn add_packed(histogram: &mut Latencies, bytes: &[u8]) {
    if !bytes.is_empty() {
        let added = histogram.add_bytes(bytes);
        debug_assert!(added.is_ok());
    }
}

fn joined(one: Option<(i64, i64)>, other: Option<(i64, i64)>) -> Option<(i64, i64)> {
    match (one, other) {
        (Some((least, most)), Some((other_least, other_most))) => {
            Some((least.min(other_least), most.max(other_most)))
        }
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[i64], base: i64) -> Differences {
        let mut differences = Differences::default();
        values.iter().for_each(|us| differences.record(*us, base_of(base)));
        differences
    }

    #[test]
    fn a_clock_that_is_hours_ahead_costs_no_precision() {
        let ahead = -3 * 3_600_000_000_i64;
        let values: Vec<i64> = (1..=1_000).map(|n| ahead + n * 10).collect();
        let differences = of(&values, values[500]);
        assert_eq!((differences.count(), differences.below_zero), (1_000, 1_000));
        let least = differences.least_us().unwrap();
        assert_eq!(least, ahead + 10);
        let relative = differences.latencies_from(least);
        for (percentile, truth) in [(50.0, 4_990.0), (99.0, 9_890.0), (100.0, 9_990.0)] {
            let got = relative.percentile_us(percentile) as f64;
            assert!((got - truth).abs() <= 20.0, "p{percentile}: {got}, not {truth}");
        }
        // By the raw values nothing is left.
        assert_eq!(differences.latencies_from(0).max_us(), 0);
    }

    #[test]
    fn nothing_is_too_far() {
        let differences = of(&[i64::MIN, i64::MAX, 0], i64::MIN);
        assert_eq!((differences.count(), differences.range_us), (3, Some((i64::MIN, i64::MAX))));
        assert_eq!(differences.latencies_from(i64::MIN).count(), 3);
        assert_eq!(of(&[5], i64::MAX).latencies_from(0).count(), 1);
    }

    proptest! {
        #[test]
        fn parts_make_the_whole_whatever_their_order_and_bases(
            values in prop::collection::vec((-100_000_i64..10_000_000, 0_usize..3), 1..80),
        ) {
            let parts: Vec<Differences> = (0..3)
                .map(|part| {
                    let own: Vec<i64> =
                        values.iter().filter(|(_, of)| *of == part).map(|(us, _)| *us).collect();
                    of(&own, own.first().copied().unwrap_or(0))
                })
                .collect();
            let merged = |order: [usize; 3]| {
                let mut all = Differences::default();
                order.into_iter().for_each(|part| all.merge(&parts[part]));
                all
            };
            let all = merged([0, 1, 2]);
            prop_assert_eq!(&merged([2, 0, 1]), &all);
            prop_assert_eq!(&merged([1, 2, 0]), &all);
            prop_assert_eq!(all.count(), values.len() as u64);
            prop_assert_eq!(all.least_us(), values.iter().map(|(us, _)| *us).min());
            prop_assert_eq!(all.below_zero, values.iter().filter(|(us, _)| *us < 0).count() as u64);
            let packed = all.pack();
            prop_assert_eq!(packed.check(), Ok(()));
            let mut back = Differences::default();
            packed.add_to(&mut back);
            prop_assert_eq!(&back, &all);
            // Each value is as near as a histogram of its distance from its base has it.
            let mut sorted: Vec<i64> = values.iter().map(|(us, _)| *us).collect();
            sorted.sort_unstable();
            let least = sorted[0];
            let relative = all.latencies_from(least);
            for (rank, us) in sorted.iter().enumerate() {
                let percentile = 100.0 * (rank + 1) as f64 / sorted.len() as f64;
                let got = relative.percentile_us(percentile) as f64;
                let truth = (us - least) as f64;
                prop_assert!((got - truth).abs() <= 2.0 + 10_100_000.0 / 500.0, "{} {}", got, truth);
            }
        }
    }
}
