//! A histogram as text can hold it.
//!
//! In: latencies. Out: a list of values and how often each was recorded, from which the same latencies are made again, to three digits.

use serde::{Deserialize, Serialize};

use super::histogram::Latencies;
use super::survival::counts;

/// Microseconds and how many, in ascending order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Steps(pub Vec<(u64, u64)>);

impl Steps {
    /// The steps of a histogram.
    #[must_use]
    pub fn of(latencies: &Latencies) -> Self {
        Self(counts(latencies).collect())
    }

    /// The histogram.
    #[must_use]
    pub fn latencies(&self) -> Latencies {
        let mut latencies = Latencies::new();
        self.0.iter().for_each(|(us, count)| latencies.record_many(*us, *count));
        latencies
    }

    /// Adds another's values.
    pub fn add(&mut self, other: &Self) {
        let mut sum = self.latencies();
        sum.merge(&other.latencies());
        *self = Self::of(&sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_and_sums_do_not_depend_on_the_order() {
        let mut latencies = Latencies::new();
        [3_u64, 3, 70_001, 2_000_000].into_iter().for_each(|us| latencies.record_us(us));
        let steps = Steps::of(&latencies);
        assert_eq!(Steps::of(&steps.latencies()), steps);
        let mut other = Latencies::new();
        other.record_us(3);
        let (mut one, mut two) = (steps.clone(), Steps::of(&other));
        one.add(&Steps::of(&other));
        two.add(&steps);
        assert_eq!(one, two);
        latencies.merge(&other);
        assert_eq!(one.latencies().count(), 5);
        assert_eq!(one.latencies().percentile_us(99.0), latencies.percentile_us(99.0));
    }
}
