//! Classic histogram buckets out of HDR histograms, without loss at their bounds.
//!
//! In: a histogram of microseconds. Out: counts between bounds in seconds. A bound is 2ⁿ or 1.5 · 2ⁿ µs, where a bucket of the HDR histogram begins
//! (2,048 sub-buckets double in width with each power of two), so no value is counted on the wrong side of it.

use crate::record::Latencies;

/// The bounds of a histogram, in the unit of its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bounds {
    /// Of latencies: 64 µs to 134 s, two to each power of two.
    Latency,
    /// Of what lasts: 131 ms to 4.8 h, one to each power of two.
    Length,
    /// Of small counts: 1 to 1,024, one to each power of two.
    Count,
}

impl Bounds {
    /// The values at which a bucket ends, the next begins.
    fn edges(self) -> Vec<u64> {
        match self {
            Self::Latency => {
                let halves = (6..27).flat_map(|power| [1 << power, 3 << (power - 1)]);
                halves.chain([1 << 27]).collect()
            }
            Self::Length => (17..=34).map(|power| 1 << power).collect(),
            // `le` is inclusive, and so is a count: 2 is below 3.
            Self::Count => (0..=10).map(|power| (1 << power) + 1).collect(),
        }
    }

    /// What `le` says of an edge: seconds, or the largest count before it.
    fn le(self, edge: u64) -> f64 {
        match self {
            // A duration below the edge was recorded below it, for microseconds are cut off and not rounded.
            Self::Latency | Self::Length => edge as f64 / 1e6,
            Self::Count => (edge - 1) as f64,
        }
    }

    /// How many values lie in each bucket, the last without an end.
    pub(super) fn count(self, histogram: Option<&Latencies>) -> Vec<(f64, u64)> {
        let edges = self.edges();
        let mut buckets: Vec<(f64, u64)> = edges.iter().map(|edge| (self.le(*edge), 0)).collect();
        buckets.push((f64::INFINITY, 0));
        let mut before = 0;
        for (value, below) in histogram.into_iter().flat_map(Latencies::steps) {
            let bucket = edges.partition_point(|edge| *edge <= value);
            buckets[bucket].1 += below - before;
            before = below;
        }
        buckets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_the_bucket_that_it_belongs_to() {
        for bounds in [Bounds::Latency, Bounds::Length] {
            for edge in bounds.edges() {
                let mut histogram = Latencies::new();
                histogram.record_us(edge - 1);
                histogram.record_us(edge);
                let buckets = bounds.count(Some(&histogram));
                let at = buckets.iter().position(|(le, _)| *le == bounds.le(edge)).unwrap();
                let counts: Vec<u64> = buckets.iter().map(|(_, count)| *count).collect();
                assert_eq!(counts[at..at + 2], [1, 1], "{edge}");
                assert_eq!(counts.iter().sum::<u64>(), 2);
            }
        }
    }

    #[test]
    fn counts_are_inclusive_and_nothing_is_beyond_the_last_bucket() {
        let mut depths = Latencies::new();
        [1, 2, 3, 1_024, 1_025, u64::MAX].iter().for_each(|depth| depths.record_us(*depth));
        let buckets = Bounds::Count.count(Some(&depths));
        let of = |le: f64| buckets.iter().find(|bucket| bucket.0 == le).map(|bucket| bucket.1);
        assert_eq!([1.0, 2.0, 4.0, 1_024.0, f64::INFINITY].map(of), [1, 1, 1, 1, 2].map(Some));
        assert_eq!(Bounds::Latency.count(None).iter().map(|bucket| bucket.1).sum::<u64>(), 0);
    }
}
