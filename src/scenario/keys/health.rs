//! `[health]`: how late the generator may be.
//!
//! In: the table. Out: limits.

use std::time::Duration;

use crate::declare::{above_zero, share, table};

table! {
    /// How late the generator may be before its numbers are not to be believed.
    #[derive(Copy, PartialEq)]
    default pub struct Health {
        /// 99th percentile of the clients' lag.
        max_lag_p99: Duration = Duration::from_millis(250) => above_zero();
        /// Longest stall of the event loop.
        max_stall: Duration = Duration::from_millis(500) => above_zero();
        /// Delay of the event loop at an attempt's end up to which it is not looked at: its median, and a tenth of its 99th percentile.
        max_delay: Duration = Duration::from_millis(2) => above_zero();
        /// The share that this delay may be of the same percentile of the latencies.
        max_delay_share: f64 = 0.03 => share();
        /// The share of attempts that may end in seconds in which the event loop had no rest.
        max_saturated_share: f64 = 0.05 => share();
    }
}
