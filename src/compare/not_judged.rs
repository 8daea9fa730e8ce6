//! Why a measure is not judged, in words.
//!
//! In: a measure, and what each side has of it. Out: the reason, with how many values would do. A measure that was to decide is never left out without a word.

use crate::units::format_count;

use super::estimate::SideEstimate;
use super::measure::{Measure, OfOutage, Quantity};

/// This many values must lie beyond a percentile: the 99th of twenty is but the largest, and says what one of them met.
const LEAST_BEYOND: f64 = 10.0;

/// Why a measure is not judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotJudged {
    /// A percentile rests on too few values.
    TooFew {
        /// How many the baseline has.
        baseline: u64,
        /// How many the candidate has.
        candidate: u64,
        /// How many each side must have.
        needs: u64,
    },
    /// A maximum is a single value.
    Maximum,
    /// The baseline has no sample of it.
    NotInBaseline,
    /// The candidate has none.
    NotInCandidate,
    /// It lies beyond what was seen, and may be either side of the other.
    Beyond,
    /// One side is 0: there is no ratio.
    Zero,
}

impl NotJudged {
    /// Why these sides of a measure cannot be told apart, whatever they are; `None` where they have enough to be looked at.
    pub(super) fn of(
        measure: &Measure,
        baseline: Option<&SideEstimate>,
        candidate: Option<&SideEstimate>,
    ) -> Option<Self> {
        let (baseline, candidate) = match (baseline, candidate) {
            (Some(baseline), Some(candidate)) => (baseline.samples, candidate.samples),
            (None, _) => return Some(Self::NotInBaseline),
            (_, None) => return Some(Self::NotInCandidate),
        };
        let percentile = percentile_of(measure)?;
        let Some(needs) = values_needed(percentile) else { return Some(Self::Maximum) };
        (baseline.min(candidate) < needs).then_some(Self::TooFew { baseline, candidate, needs })
    }

    /// Whether a comparison of more values would judge it: then it is left open, and not only elsewhere.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self, Self::TooFew { .. } | Self::Beyond | Self::Zero)
    }

    /// A name for files.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::TooFew { .. } => "too_few_values",
            Self::Maximum => "maximum",
            Self::NotInBaseline => "not_in_baseline",
            Self::NotInCandidate => "not_in_candidate",
            Self::Beyond => "beyond_what_was_seen",
            Self::Zero => "zero",
        }
    }

    /// For a column: `too few values: 120 and 118 of 1,000`.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::TooFew { baseline, candidate, needs } => format!(
                "too few values: {} and {} of the {} that it needs",
                format_count(*baseline),
                format_count(*candidate),
                format_count(*needs)
            ),
            Self::Maximum => "a maximum is one value".to_owned(),
            Self::NotInBaseline => "the baseline has no sample".to_owned(),
            Self::NotInCandidate => "the candidate has no sample".to_owned(),
            Self::Beyond => "beyond what was seen".to_owned(),
            Self::Zero => "a side is 0".to_owned(),
        }
    }
}

/// The percentile (0..100) that a measure is, where it is one.
const fn percentile_of(measure: &Measure) -> Option<f64> {
    match measure.quantity {
        Quantity::Percentile(_, percentile)
        | Quantity::Exchange(percentile)
        | Quantity::StormRecovery(percentile)
        | Quantity::Outage(_, OfOutage::Recovery(percentile)) => Some(percentile),
        _ => None,
    }
}

/// How many values a percentile (0..100) needs to be more than what a few of them met; `None`: no number will do.
#[must_use]
pub fn values_needed(percentile: f64) -> Option<u64> {
    let beyond = (percentile / 100.0).min(1.0 - percentile / 100.0);
    // 1 - 0.99 is not quite 0.01.
    (beyond > 0.0).then(|| (LEAST_BEYOND / beyond - 1e-6).ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_values_must_lie_beyond_a_percentile() {
        let rows = [
            (50.0, Some(20)),
            (90.0, Some(100)),
            (95.0, Some(200)),
            (99.0, Some(1_000)),
            (99.9, Some(10_000)),
            (100.0, None),
        ];
        for (percentile, needed) in rows {
            assert_eq!(values_needed(percentile), needed, "{percentile}");
        }
    }
}
