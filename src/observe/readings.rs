//! From the numbers of a page to a value of a series.
//!
//! In: what a page had, and when. Out: a value; of a counter its growth per second since the page before. A counter that goes back began anew: what it has
//! counted since nobody can tell, so it has no growth until the page after.

use std::collections::HashMap;

use crate::clock::Moment;
use crate::scenario::keys::Fold;

use super::page::Found;

/// The numbers of a series, page after page.
#[derive(Debug)]
pub struct Readings {
    fold: Fold,
    is_rate: bool,
    last: Option<(Moment, HashMap<u64, f64>)>,
}

impl Readings {
    /// None yet.
    #[must_use]
    pub const fn new(fold: Fold, is_rate: bool) -> Self {
        Self { fold, is_rate, last: None }
    }

    /// The value at `at`, when the page had `found`; `None` where there is none.
    pub fn value(&mut self, at: Moment, found: &Found) -> Option<f64> {
        if !self.is_rate {
            return self.folded(found.iter().map(|(_, value)| *value).collect());
        }
        let now: HashMap<u64, f64> = found.iter().copied().collect();
        let (since, before) = self.last.replace((at, now)).unwrap_or_default();
        let seconds = at.since(since).as_secs_f64();
        let growth = found.iter().filter_map(|(which, value)| {
            let grown = value - before.get(which)?;
            (grown >= 0.0 && seconds > 0.0).then(|| grown / seconds)
        });
        self.folded(growth.collect())
    }

    fn folded(&self, values: Vec<f64>) -> Option<f64> {
        let count = values.len();
        let folded = match self.fold {
            Fold::Sum => values.into_iter().reduce(|a, b| a + b),
            Fold::Min => values.into_iter().reduce(f64::min),
            Fold::Max => values.into_iter().reduce(f64::max),
            Fold::Avg => values.into_iter().reduce(|a, b| a + b).map(|sum| sum / count as f64),
        };
        folded.filter(|value| value.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(seconds: u64) -> Moment {
        Moment::from_ns(seconds * 1_000_000_000)
    }

    #[test]
    fn several_lines_are_folded() {
        let found = vec![(1, 4.0), (2, 1.0), (3, 7.0)];
        for (fold, expected) in [(Fold::Sum, 12.0), (Fold::Min, 1.0), (Fold::Max, 7.0), (Fold::Avg, 4.0)] {
            assert_eq!(Readings::new(fold, false).value(second(1), &found), Some(expected), "{fold:?}");
            assert_eq!(Readings::new(fold, false).value(second(1), &Vec::new()), None);
        }
        let huge = vec![(1, f64::MAX), (2, f64::MAX)];
        assert_eq!(Readings::new(Fold::Sum, false).value(second(1), &huge), None);
    }

    #[test]
    fn a_counter_grows_and_never_shrinks() {
        let mut readings = Readings::new(Fold::Sum, true);
        // (second, lines, growth)
        let rows: [(u64, Found, Option<f64>); 8] = [
            (1, vec![(1, 100.0), (2, 10.0)], None),
            (2, vec![(1, 130.0), (2, 10.0)], Some(30.0)),
            (4, vec![(1, 150.0), (2, 20.0)], Some(15.0)),
            // One began anew, and one was not there before.
            (5, vec![(1, 3.0), (2, 25.0), (3, 1_000.0)], Some(5.0)),
            (6, vec![(1, 5.0), (3, 1_001.0)], Some(3.0)),
            (7, vec![(1, 1.0)], None),
            (8, vec![], None),
            (9, vec![(1, 1.0)], None),
        ];
        for (at, found, expected) in rows {
            assert_eq!(readings.value(second(at), &found), expected, "{at}");
        }
    }
}
