//! How long clients were away, by the target's own clock.
//!
//! In: the target's close frames that leave, handshakes that it admitted, both with the number of the client. Out: a histogram of the times
//! between. It is what the clients' own figures are held against.

use std::collections::HashMap;

use hdrhistogram::Histogram;

use crate::clock::Moment;

/// The longest time that is told from a longer one: a day, in microseconds.
const MAX_US: u64 = 24 * 60 * 60 * 1_000_000;
/// Clients that are remembered as being away.
const MOST_AWAY: usize = 1_000_000;

/// Clients that are away, and how long others were.
#[derive(Debug, Default)]
pub(super) struct Returns {
    away: HashMap<u64, Moment>,
    /// Microseconds; `None` until somebody has come back.
    back: Option<Histogram<u64>>,
    /// Nobody asks for them.
    is_off: bool,
}

impl Returns {
    /// From now on nobody is remembered.
    pub(super) fn turn_off(&mut self) {
        self.is_off = true;
    }

    /// The close frame for client `number` leaves.
    pub(super) fn left(&mut self, number: u64, at: Moment) {
        if self.is_off {
            return;
        }
        if self.away.len() < MOST_AWAY || self.away.contains_key(&number) {
            self.away.insert(number, at);
        }
    }

    /// Client `number` is admitted.
    pub(super) fn back(&mut self, number: u64, at: Moment) {
        let Some(left) = self.away.remove(&number) else { return };
        let us = u64::try_from(at.since(left).as_micros()).unwrap_or(MAX_US);
        if self.back.is_none() {
            self.back = Histogram::new_with_bounds(1, MAX_US, 3).ok();
        }
        if let Some(back) = &mut self.back {
            back.saturating_record(us.max(1));
        }
    }

    /// Microseconds away, to three digits, and how many were away for so long; in ascending order.
    pub(super) fn steps(&self) -> Vec<(u64, u64)> {
        let values = self.back.iter().flat_map(Histogram::iter_recorded);
        values.map(|value| (value.value_iterated_to(), value.count_at_value())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Moment {
        Moment::from_ns(ms * 1_000_000)
    }

    #[test]
    fn who_was_closed_and_comes_back_is_counted_once() {
        let mut returns = Returns::default();
        returns.back(1, at(5));
        assert_eq!(returns.steps(), [], "it never left");
        returns.left(1, at(10));
        returns.left(2, at(10));
        returns.back(1, at(11));
        returns.back(1, at(900));
        returns.left(2, at(20));
        returns.back(2, at(21));
        assert_eq!(returns.steps(), [(1_000, 2)]);
        assert!(returns.away.is_empty());
    }
}
