//! How late the generator may be, as typed data.
//!
//! In: nothing. Out: limits with their defaults.

use std::time::Duration;

/// How late the generator may be before its numbers are not to be believed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Health {
    /// 99th percentile of the clients' lag.
    pub max_lag_p99: Duration,
    /// Longest stall of the event loop.
    pub max_stall: Duration,
    /// Delay of the event loop at an attempt's end up to which it is not looked at: its median, and a tenth of its 99th percentile.
    pub max_delay: Duration,
    /// The share that it may be of the latencies' same percentile, 0..1.
    pub max_delay_share: f64,
    /// The share of attempts that may end in seconds in which the event loop had no rest, 0..1.
    pub max_saturated_share: f64,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            max_lag_p99: Duration::from_millis(250),
            max_stall: Duration::from_millis(500),
            max_delay: Duration::from_millis(2),
            max_delay_share: 0.03,
            max_saturated_share: 0.05,
        }
    }
}
