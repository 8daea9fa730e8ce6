//! The traces of attempts: which trace the requests of an attempt belong to (W3C Trace Context).
//!
//! In: the seed, when the run began, a client, an attempt's beginning. Out: ids, the same whenever they are asked for, so that no client keeps any. No I/O.

use crate::clock::Moment;
use crate::random::{Draws, Purpose};
use crate::sample::TraceId;

/// The traces of a run. The run's beginning is in them, so that two runs of one seed have none in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traces {
    seed: u64,
}

impl Traces {
    /// Of a run with this seed that began then, in microseconds since 1970.
    #[must_use]
    pub const fn of(seed: u64, started_unix_us: u64) -> Self {
        Self { seed: seed ^ started_unix_us.wrapping_mul(0x9E37_79B9_7F4A_7C15) }
    }

    /// The trace of client `number`'s attempt that began then.
    #[must_use]
    pub fn id(&self, number: u32, began: Moment) -> TraceId {
        TraceId::of(Draws::new(self.seed, Purpose::Trace, number).u128_of(began.as_ns()))
    }

    /// The span of its request number `nth`, never 0.
    #[must_use]
    pub fn span(&self, number: u32, began: Moment, nth: u32) -> u64 {
        let place = began.as_ns().wrapping_add(1 + u64::from(nth));
        let bits = Draws::new(self.seed, Purpose::Trace, number).u128_of(place);
        // Of another attempt's id, should one have begun so many nanoseconds later, nobody would know it.
        ((bits >> 64) as u64 ^ bits as u64).max(1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_attempts_clients_or_runs_share_a_trace_and_no_two_requests_a_span() {
        let (mut ids, mut spans) = (HashSet::new(), HashSet::new());
        for traces in [Traces::of(7, 1), Traces::of(7, 2), Traces::of(8, 1)] {
            for number in 0..50 {
                for began in [0, 1, 1_000_000_000, u64::MAX].map(Moment::from_ns) {
                    assert!(ids.insert(traces.id(number, began)));
                    assert_eq!(traces.id(number, began), traces.id(number, began), "always the same");
                }
                for nth in 0..5 {
                    assert!(spans.insert(traces.span(number, Moment::from_ns(5_000), nth)));
                }
            }
        }
        assert_eq!((ids.len(), spans.len()), (600, 750));
    }
}
