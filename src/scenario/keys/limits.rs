//! `[limits]`: ceilings on a load that leaves this machine.
//!
//! In: the table. Out: ceilings.

use std::time::Duration;

use crate::declare::{above_zero, int, rate, table};

table! {
    /// How much load on others a scenario may plan. Load on this machine, and in virtual time, has no ceiling.
    #[derive(Copy, PartialEq)]
    default pub struct Limits {
        /// Clients in all groups together.
        max_clients: u64 = 100_000 => int::<u64>(1..=u64::MAX / 2);
        /// Connects that are planned within a second: starts, and clients that come back from a storm of theirs.
        max_rate: f64 = 1_000.0 => rate();
        /// The run's duration.
        max_duration: Duration = Duration::from_secs(24 * 60 * 60) => above_zero();
    }
}
