//! The one HDR setting of the project: microseconds, three significant digits.
//!
//! In: durations. Out: counts by value, percentiles, bytes for the journal. Values above 24 h count as 24 h. Percentiles are
//! HdrHistogram's: the highest value equivalent to the one at that rank.

use std::time::Duration;

use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2DeflateSerializer, V2Serializer};

use super::encoding::{DIGITS, HistogramError, MAX_US, packed_counts};

/// A histogram of durations.
#[derive(Debug, Clone, PartialEq)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        Self::new()
    }
}

impl Latencies {
    /// An empty histogram. It grows with the values that it is given.
    #[must_use]
    pub fn new() -> Self {
        // The bounds are constants that the library accepts; the fallback differs only in not growing.
        let mut histogram = Histogram::new(DIGITS).unwrap_or_else(|_| Histogram::new_from(&empty()));
        histogram.auto(true);
        Self(histogram)
    }

    /// Adds a value.
    pub fn record(&mut self, value: Duration) {
        self.record_us(u64::try_from(value.as_micros()).unwrap_or(u64::MAX));
    }

    /// Adds a value in microseconds.
    pub fn record_us(&mut self, us: u64) {
        self.record_many(us, 1);
    }

    /// Adds a value in microseconds `count` times.
    pub fn record_many(&mut self, us: u64, count: u64) {
        // Within the bounds, and the histogram grows: a value is never refused.
        let recorded = self.0.record_n(us.min(MAX_US), count);
        debug_assert!(recorded.is_ok(), "{us}");
    }

    /// Adds every value of another histogram.
    pub fn merge(&mut self, other: &Self) {
        let added = self.0.add(&other.0);
        debug_assert!(added.is_ok(), "histograms of one setting add");
    }

    /// Takes every value of `part` out again, which was merged into it or recorded in both.
    pub fn subtract(&mut self, part: &Self) {
        let mut rest = Self::new();
        let largest = part.0.max();
        for value in self.0.iter_recorded() {
            let us = value.value_iterated_to();
            // Beyond its range a histogram answers with the count of its last bucket.
            let taken = if us <= largest { part.0.count_at(us) } else { 0 };
            let count = value.count_since_last_iteration().saturating_sub(taken);
            if count > 0 {
                rest.record_many(us, count);
            }
        }
        *self = rest;
    }

    /// Takes out of both what both have. Whether the other one has anything left.
    pub(super) fn cancel(&mut self, other: &mut Self) -> bool {
        let both = Self::common(self, other);
        if both.count() > 0 {
            self.subtract(&both);
            other.subtract(&both);
        }
        other.count() > 0
    }

    /// The values that both have.
    fn common(a: &Self, b: &Self) -> Self {
        let mut both = Self::new();
        let largest = a.0.max();
        for value in b.0.iter_recorded() {
            let us = value.value_iterated_to();
            let here = if us <= largest { a.0.count_at(us) } else { 0 };
            both.record_many(us, value.count_since_last_iteration().min(here));
        }
        both
    }

    /// The values in ascending order: each in microseconds, as [`Self::percentile_us`] gives it, and how many are at or
    /// below it.
    pub fn steps(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let mut below = 0;
        self.0.iter_recorded().map(move |value| {
            below += value.count_since_last_iteration();
            (value.value_iterated_to().min(self.max_us()), below)
        })
    }

    /// The buckets that have values, in ascending order: the lowest and the highest value of each, in microseconds, and how many are in it.
    pub(super) fn buckets(&self) -> impl Iterator<Item = (u64, u64, u64)> + '_ {
        self.0.iter_recorded().map(|value| {
            let us = value.value_iterated_to();
            (self.0.lowest_equivalent(us), us, value.count_since_last_iteration())
        })
    }

    /// How many values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The value in microseconds below or at which `percentile` (0..100) of all values lie; 0 when there are none.
    #[must_use]
    pub fn percentile_us(&self, percentile: f64) -> u64 {
        if self.0.is_empty() {
            return 0;
        }
        // A hair below, as HdrHistogram's Java implementation has it: 99.9 % of 1,000 values are 999, whatever a double makes of it.
        self.0.value_at_quantile((percentile / 100.0).next_down()).min(self.max_us())
    }

    /// The least value in microseconds.
    #[must_use]
    pub fn min_us(&self) -> u64 {
        if self.0.is_empty() { 0 } else { self.0.min() }
    }

    /// The largest value in microseconds.
    #[must_use]
    pub fn max_us(&self) -> u64 {
        self.0.max()
    }

    /// Arithmetic mean in microseconds.
    #[must_use]
    pub fn mean_us(&self) -> f64 {
        self.0.mean()
    }

    /// Standard deviation in microseconds.
    #[must_use]
    pub fn stddev_us(&self) -> f64 {
        self.0.stdev()
    }

    /// The sum of all values in microseconds, as precise as the histogram is.
    #[must_use]
    pub fn sum_us(&self) -> f64 {
        self.mean_us() * self.count() as f64
    }

    /// HdrHistogram V2 encoding.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // Writing to memory does not fail.
        let written = V2Serializer::new().serialize(&self.0, &mut bytes);
        debug_assert!(written.is_ok());
        bytes
    }

    /// HdrHistogram V2 encoding, deflated, as interval logs hold it.
    #[must_use]
    pub fn to_deflated_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let written = V2DeflateSerializer::new().serialize(&self.0, &mut bytes);
        debug_assert!(written.is_ok());
        bytes
    }

    /// Reads what [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`HistogramError`] when the bytes are none, or of another setting.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HistogramError> {
        let mut histogram = Self::new();
        histogram.add_bytes(bytes)?;
        Ok(histogram)
    }

    /// Adds every value of what [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`HistogramError`] when the bytes are none, or of another setting; then nothing is added.
    pub fn add_bytes(&mut self, bytes: &[u8]) -> Result<(), HistogramError> {
        for (us, count) in packed_counts(bytes)? {
            self.record_many(us, count);
        }
        Ok(())
    }
}

fn empty() -> Histogram<u64> {
    Histogram::new_from(&Latencies::default().0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[u64]) -> Latencies {
        let mut histogram = Latencies::new();
        values.iter().for_each(|value| histogram.record_us(*value));
        histogram
    }

    #[test]
    fn percentiles_are_those_of_the_values() {
        let histogram = of(&(1..=1_000).collect::<Vec<_>>());
        assert_eq!(histogram.percentile_us(50.0), 500);
        assert_eq!(histogram.percentile_us(99.9), 999);
        assert_eq!((histogram.min_us(), histogram.max_us(), histogram.count()), (1, 1_000, 1_000));
        assert_eq!(Latencies::new().percentile_us(99.0), 0);
    }

    #[test]
    fn nothing_is_too_large() {
        let histogram = of(&[u64::MAX, 5]);
        assert_eq!(histogram.count(), 2);
        assert!(histogram.max_us() >= MAX_US && histogram.max_us() < MAX_US + MAX_US / 500);
    }

    proptest! {
        #[test]
        fn merging_is_recording_together(a in prop::collection::vec(0_u64..10_000_000_000, 0..50), b in prop::collection::vec(0_u64..1_000, 0..50)) {
            let mut merged = of(&a);
            merged.merge(&of(&b));
            let mut together = a.clone();
            together.extend(&b);
            let together = of(&together);
            for percentile in [0.0, 50.0, 99.0, 100.0] {
                prop_assert_eq!(merged.percentile_us(percentile), together.percentile_us(percentile));
            }
            prop_assert_eq!(merged.count(), together.count());
        }

        #[test]
        fn steps_are_the_percentiles_and_a_part_comes_out_again(a in prop::collection::vec(0_u64..10_000_000_000, 1..50), b in prop::collection::vec(0_u64..1_000_000, 0..50)) {
            let whole = of(&a);
            for (us, below) in whole.steps() {
                prop_assert_eq!(whole.percentile_us(100.0 * below as f64 / a.len() as f64), us);
            }
            prop_assert_eq!(whole.steps().last(), Some((whole.max_us(), a.len() as u64)));
            let mut both = of(&a);
            both.merge(&of(&b));
            both.subtract(&of(&b));
            prop_assert_eq!(both.steps().collect::<Vec<_>>(), whole.steps().collect::<Vec<_>>());
        }

        #[test]
        fn bytes_read_back(values in prop::collection::vec(0_u64..100_000_000_000, 0..50)) {
            let histogram = of(&values);
            let back = Latencies::from_bytes(&histogram.to_bytes()).unwrap();
            prop_assert_eq!(back.count(), histogram.count());
            prop_assert_eq!(back.percentile_us(99.0), histogram.percentile_us(99.0));
        }
    }
}
