//! Histograms as comparisons need them: sparse, of a known precision, many side by side.
//!
//! In: counts by bucket, as the journal's histograms hold them. Out: percentiles of any weighted sum of histograms, without making that sum.
//! With the precision of a run, percentiles are exactly those of its reports.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::record::Latencies;

/// Binary digits of a value that a histogram of a run keeps behind the first: buckets are 2^-10 of their value wide.
pub const FULL_PRECISION: u8 = 10;

/// How many values are in each bucket: its lowest value in microseconds, and the count, ascending.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Buckets(Vec<(u64, u64)>);

impl Buckets {
    /// Takes counts in any order.
    #[must_use]
    pub fn new(counts: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let mut cells: Vec<(u64, u64)> = counts.into_iter().filter(|(_, count)| *count > 0).collect();
        cells.sort_unstable_by_key(|(lowest, _)| *lowest);
        cells.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 += next.1;
            }
            same
        });
        Self(cells)
    }

    /// How many values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The buckets: lowest value in microseconds, count.
    #[must_use]
    pub fn cells(&self) -> &[(u64, u64)] {
        &self.0
    }

    /// Adds the values to a histogram of the reports' kind; `precision` is that of these buckets.
    pub fn add_to(&self, latencies: &mut Latencies, precision: u8) {
        for (lowest, count) in &self.0 {
            latencies.record_many(value_of(*lowest, precision) as u64, *count);
        }
    }

    /// The same with fewer binary digits.
    #[must_use]
    pub fn coarsened(&self, precision: u8) -> Self {
        Self::new(self.0.iter().map(|(lowest, count)| (*lowest & !(width(*lowest, precision) - 1), *count)))
    }

    /// Both together.
    #[must_use]
    pub fn merged<'b>(all: impl IntoIterator<Item = &'b Self>) -> Self {
        Self::new(all.into_iter().flat_map(|buckets| buckets.0.iter().copied()))
    }
}

/// How wide the bucket is that `value` lies in, in microseconds.
fn width(value: u64, precision: u8) -> u64 {
    let digits = 63 - u64::from(value.max(1).leading_zeros());
    1 << digits.saturating_sub(u64::from(precision))
}

/// The value that stands for a bucket: its highest in the precision of a run, as HdrHistogram has it; its middle in a coarser one, where
/// the highest would read too high.
fn value_of(lowest: u64, precision: u8) -> f64 {
    let width = width(lowest, precision);
    if precision >= FULL_PRECISION {
        (lowest + width - 1) as f64
    } else {
        lowest as f64 + (width - 1) as f64 / 2.0
    }
}

/// The rank of a percentile (0..100) among `total` values, from 1: HdrHistogram's, see [`crate::record::Latencies::percentile_us`].
fn rank(percentile: f64, total: u64) -> u64 {
    (((percentile / 100.0).next_down() * total as f64).ceil() as u64).max(1)
}

/// Histograms side by side over the same buckets, to read percentiles of their weighted sums.
#[derive(Debug, Clone)]
pub struct Stack {
    lowest: Vec<u64>,
    /// Counts up to and with each bucket, a row for each histogram.
    cumulative: Vec<Vec<u64>>,
    precision: u8,
}

impl Stack {
    /// Stacks histograms of one precision.
    #[must_use]
    pub fn new<'b>(histograms: impl IntoIterator<Item = &'b Buckets>, precision: u8) -> Self {
        let histograms: Vec<&Buckets> = histograms.into_iter().collect();
        let mut position: BTreeMap<u64, usize> =
            histograms.iter().flat_map(|buckets| buckets.0.iter().map(|cell| (cell.0, 0))).collect();
        for (index, slot) in position.values_mut().enumerate() {
            *slot = index;
        }
        let lowest: Vec<u64> = position.keys().copied().collect();
        let cumulative = histograms.iter().map(|buckets| {
            let mut row = vec![0; lowest.len()];
            for (value, count) in &buckets.0 {
                row[position[value]] = *count;
            }
            let mut sum = 0;
            row.iter_mut().for_each(|cell| {
                sum += *cell;
                *cell = sum;
            });
            row
        });
        let cumulative = cumulative.collect();
        Self { lowest, cumulative, precision }
    }

    /// The buckets of the sum in which histogram *i* counts `weights[i]` times: lowest value and count, ascending.
    #[must_use]
    pub fn weighted(&self, weights: &[u32]) -> Vec<(u64, u64)> {
        let mut below = 0;
        let cells = self.lowest.iter().enumerate().map(|(bucket, lowest)| {
            let up_to: u64 = self
                .cumulative
                .iter()
                .zip(weights)
                .map(|(row, weight)| row[bucket] * u64::from(*weight))
                .sum();
            (*lowest, up_to - std::mem::replace(&mut below, up_to))
        });
        cells.filter(|(_, count)| *count > 0).collect()
    }

    /// The value that stands for the bucket of this lowest value.
    #[must_use]
    pub fn value_of(&self, lowest: u64) -> f64 {
        value_of(lowest, self.precision)
    }

    /// A percentile (0..100) of the sum in which histogram *i* counts `weights[i]` times, in microseconds; `None` where that sum is empty.
    #[must_use]
    pub fn percentile(&self, weights: &[u32], percentile: f64) -> Option<f64> {
        let up_to = |bucket: usize| -> u64 {
            let weighted = self.cumulative.iter().zip(weights).filter(|(_, weight)| **weight > 0);
            weighted.map(|(row, weight)| row[bucket] * u64::from(*weight)).sum()
        };
        let total = up_to(self.lowest.len().checked_sub(1)?);
        if total == 0 {
            return None;
        }
        let wanted = rank(percentile, total);
        let (mut low, mut high) = (0, self.lowest.len() - 1);
        while low < high {
            let middle = low.midpoint(high);
            if up_to(middle) >= wanted { high = middle } else { low = middle + 1 }
        }
        Some(value_of(self.lowest[low], self.precision))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn both(values: &[u64]) -> (Latencies, Buckets) {
        let mut histogram = Latencies::new();
        values.iter().for_each(|value| histogram.record_us(*value));
        let lowest = |value: &u64| *value & !(width(*value, FULL_PRECISION) - 1);
        (histogram, Buckets::new(values.iter().map(|value| (lowest(value), 1))))
    }

    fn values() -> impl Strategy<Value = Vec<u64>> {
        prop::collection::vec((0_u32..36, any::<u64>()).prop_map(|(bits, n)| n % (1 << bits)), 1..60)
    }

    proptest! {
        #[test]
        fn percentiles_are_those_of_the_merged_histogram(first in values(), second in values(), twice in any::<bool>()) {
            let (mut merged, one) = both(&first);
            let (other, two) = both(&second);
            merged.merge(&other);
            if twice {
                merged.merge(&other);
            }
            let stack = Stack::new([&one, &two], FULL_PRECISION);
            for percentile in [0.0, 1.0, 50.0, 90.0, 99.0, 99.9, 100.0] {
                let ours = stack.percentile(&[1, 1 + u32::from(twice)], percentile);
                prop_assert_eq!(ours, Some(merged.percentile_us(percentile) as f64));
            }
        }

        #[test]
        fn a_coarser_histogram_is_off_by_no_more_than_half_a_bucket(values in values(), precision in 4_u8..10) {
            let (_, buckets) = both(&values);
            let coarse = buckets.coarsened(precision);
            prop_assert_eq!(coarse.count(), buckets.count());
            let exact = Stack::new([&buckets], FULL_PRECISION).percentile(&[1], 90.0).unwrap();
            let off = Stack::new([&coarse], precision).percentile(&[1], 90.0).unwrap();
            let most = exact * 0.5_f64.powi(i32::from(precision) + 1) + 1.0;
            prop_assert!((off - exact).abs() <= most + exact / 1_024.0, "{exact} {off}");
        }
    }

    #[test]
    fn nothing_has_no_percentile() {
        assert_eq!(Stack::new([], FULL_PRECISION).percentile(&[], 50.0), None);
        let buckets = Buckets::new([(5, 2)]);
        let stack = Stack::new([&buckets, &Buckets::default()], FULL_PRECISION);
        assert_eq!(stack.percentile(&[0, 3], 50.0), None);
        assert_eq!(stack.percentile(&[1, 3], 50.0), Some(5.0));
    }
}
