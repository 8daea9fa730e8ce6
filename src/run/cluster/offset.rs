//! How far another machine's clock is from this one's.
//!
//! In: exchanges of four moments (RFC 5905 §8). Out: the offset, and how far off it can be at most. Pure.

use std::time::Duration;

/// A question and its answer: when each left and came, in nanoseconds of the clock of whoever noted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exchange {
    /// The question left, by the asker's clock.
    pub(super) asked_ns: i64,
    /// It came, by the other's clock.
    pub(super) heard_ns: i64,
    /// The answer left, by the other's clock.
    pub(super) told_ns: i64,
    /// It came, by the asker's clock.
    pub(super) known_ns: i64,
}

/// How far the other clock is ahead of the asker's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Offset {
    /// By so much; less than 0 where it is behind.
    pub(super) ahead_ns: i64,
    /// The truth is no further from that, however unlike the two ways are in length.
    pub(super) uncertainty: Duration,
}

impl Exchange {
    /// What it tells; `None` where its moments cannot be true.
    fn offset(self) -> Option<Offset> {
        let there_and_back = i128::from(self.known_ns) - i128::from(self.asked_ns);
        let held = i128::from(self.told_ns) - i128::from(self.heard_ns);
        let on_the_way = there_and_back - held;
        let there = i128::from(self.heard_ns) - i128::from(self.asked_ns);
        let back = i128::from(self.told_ns) - i128::from(self.known_ns);
        let ahead_ns = i64::try_from((there + back).div_euclid(2)).ok()?;
        // Half of an odd number of nanoseconds is rounded up: the bound holds.
        let uncertainty = u64::try_from(on_the_way + 1).ok()? / 2;
        (held >= 0 && on_the_way >= 0)
            .then_some(Offset { ahead_ns, uncertainty: Duration::from_nanos(uncertainty + 1) })
    }
}

/// The offset by the exchange that was shortest on its way; `None` where none can be true.
pub(super) fn best_offset(exchanges: &[Exchange]) -> Option<Offset> {
    exchanges.iter().filter_map(|exchange| exchange.offset()).min_by_key(|offset| offset.uncertainty)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever the ways take, and however far apart the clocks are.
        #[test]
        fn the_truth_is_within_the_uncertainty(
            ahead_ns in -400_000_000_000..400_000_000_000_i64,
            ways in prop::collection::vec((0..80_000_000_i64, 0..5_000_000_i64, 0..80_000_000_i64), 1..20),
        ) {
            let exchanges: Vec<Exchange> = ways.iter().enumerate().map(|(index, (there, held, back))| {
                let asked_ns = index as i64 * 200_000_000;
                let heard_ns = asked_ns + there + ahead_ns;
                let told_ns = heard_ns + held;
                Exchange { asked_ns, heard_ns, told_ns, known_ns: told_ns - ahead_ns + back }
            }).collect();
            let found = best_offset(&exchanges).unwrap();
            let off = (found.ahead_ns - ahead_ns).unsigned_abs();
            prop_assert!(off <= found.uncertainty.as_nanos() as u64, "{off} ns off, {found:?}");
            let shortest = ways.iter().map(|(there, _, back)| there + back).min().unwrap() as u64;
            prop_assert!(found.uncertainty.as_nanos() as u64 <= shortest / 2 + 2);
        }
    }

    #[test]
    fn moments_that_cannot_be_true_tell_nothing() {
        let told = |heard_ns, told_ns, known_ns| {
            best_offset(&[Exchange { asked_ns: 0, heard_ns, told_ns, known_ns }])
        };
        assert_eq!(told(10, 5, 20), None, "it was answered before it was heard");
        assert_eq!(told(0, 30, 20), None, "it was held for longer than it was away");
        assert_eq!(told(i64::MIN, i64::MAX, 0), None);
        assert!(told(10, 10, 20).is_some());
        assert_eq!(best_offset(&[]), None);
    }
}
