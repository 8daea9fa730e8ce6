//! Exponential histograms out of HDR histograms (OpenTelemetry's metrics data model, "`ExponentialHistogram`").
//!
//! In: a histogram of microseconds, or of counts. Out: a scale and the counts of its buckets. A bucket *i* of scale *s* holds what lies in (*bⁱ*, *bⁱ⁺¹*] with *b* =
//! 2^(2^−*s*). Each value is sorted in at the finest scale once; a coarser one joins pairs of buckets, so that no count moves or is lost.

use std::collections::BTreeMap;

use crate::record::Latencies;

/// The most buckets of a histogram, as the specification has it by default.
const MOST_BUCKETS: i64 = 160;
/// The finest scale that is used.
const FINEST: i32 = 20;

/// An exponential histogram without negative values.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Exponential {
    pub(super) count: u64,
    pub(super) sum: f64,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) scale: i32,
    /// How many values are zero.
    pub(super) zeros: u64,
    /// The index of the first bucket.
    pub(super) offset: i32,
    pub(super) buckets: Vec<u64>,
}

impl Exponential {
    /// Of the values of `histogram`, each divided by `divisor`: as percentiles tell them.
    pub(super) fn of(histogram: &Latencies, divisor: f64) -> Self {
        let mut fine: BTreeMap<i64, u64> = BTreeMap::new();
        let (mut zeros, mut before) = (0, 0);
        for (value, below) in histogram.steps() {
            let count = below - before;
            before = below;
            if value == 0 {
                zeros += count;
            } else {
                *fine.entry(index(value as f64 / divisor)).or_default() += count;
            }
        }
        let (first, last) = (fine.keys().next(), fine.keys().next_back());
        let (first, last) = (first.copied().unwrap_or(0), last.copied().unwrap_or(0));
        let shift = (0..).find(|shift| (last >> shift) - (first >> shift) < MOST_BUCKETS).unwrap_or(0);
        let (first, last) = (first >> shift, last >> shift);
        let mut buckets = vec![0; if fine.is_empty() { 0 } else { (last - first + 1) as usize }];
        for (index, count) in fine {
            buckets[((index >> shift) - first) as usize] += count;
        }
        Self {
            count: histogram.count(),
            sum: histogram.sum_us() / divisor,
            min: histogram.min_us() as f64 / divisor,
            max: histogram.max_us() as f64 / divisor,
            scale: FINEST - shift,
            zeros,
            offset: first as i32,
            buckets,
        }
    }
}

/// The bucket of the finest scale that a value above zero is in.
fn index(value: f64) -> i64 {
    (value.log2() * f64::from(1 << FINEST)).ceil() as i64 - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[u64]) -> Exponential {
        let mut histogram = Latencies::new();
        values.iter().for_each(|value| histogram.record_us(*value));
        Exponential::of(&histogram, 1e6)
    }

    #[test]
    fn a_value_is_in_the_bucket_of_the_specification() {
        // Powers of two are upper bounds, which are inclusive.
        for (value, expected) in [(1.0, -1), (2.0, (1 << FINEST) - 1), (0.5, -(1 << FINEST) - 1)] {
            assert_eq!(index(value), expected, "{value}");
        }
        // A value that the histogram holds exactly.
        let mut ones = Latencies::new();
        (0..2).for_each(|_| ones.record_us(1));
        let one = Exponential::of(&ones, 1.0);
        assert_eq!((one.scale, one.offset, one.buckets, one.count), (FINEST, -1, vec![2], 2));
        let nothing = of(&[]);
        assert_eq!((nothing.count, nothing.buckets.len(), nothing.zeros), (0, 0, 0));
        assert_eq!(of(&[0, 0, 5]).zeros, 2);
    }

    proptest! {
        #[test]
        fn no_count_is_lost_and_every_percentile_is_within_its_bucket(
            values in prop::collection::vec(0_u64..86_400_000_000, 1..200)
        ) {
            let mut histogram = Latencies::new();
            values.iter().for_each(|value| histogram.record_us(*value));
            let exponential = Exponential::of(&histogram, 1e6);
            let within: u64 = exponential.buckets.iter().sum();
            prop_assert_eq!(within + exponential.zeros, histogram.count());
            prop_assert!(exponential.buckets.len() <= 160 && exponential.scale <= FINEST);
            // The scale is the finest that suffices.
            prop_assert!(exponential.scale == FINEST || exponential.buckets.len() > 79);
            let base = 2_f64.powf(2_f64.powi(-exponential.scale));
            for percentile in [50.0, 90.0, 99.0, 100.0] {
                let value = histogram.percentile_us(percentile) as f64 / 1e6;
                let rank = histogram.steps().find(|(us, _)| *us as f64 / 1e6 >= value).map_or(0, |step| step.1);
                let mut below = exponential.zeros;
                let at = exponential.buckets.iter().position(|count| {
                    below += count;
                    below >= rank
                });
                if value > 0.0 {
                    let at = f64::from(exponential.offset) + at.unwrap() as f64;
                    let (low, high) = (base.powf(at), base.powf(at + 1.0));
                    prop_assert!(low * 0.999_999 <= value && value <= high * 1.000_001, "{} in {} {}", value, low, high);
                }
            }
        }

        #[test]
        fn a_coarser_scale_joins_pairs(value in 1_u64..86_400_000_000, shift in 0..20) {
            let seconds = value as f64 / 1e6;
            let coarse = (seconds.log2() * f64::from(1 << (FINEST - shift))).ceil() as i64 - 1;
            prop_assert_eq!(index(seconds) >> shift, coarse);
        }
    }
}
