//! Ceilings on load, as typed data.
//!
//! In: nothing. Out: a type whose values were checked when a file was loaded.

use std::time::Duration;

/// How much load on others a scenario may plan: `[limits]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Clients in all groups together. Default: 100,000.
    pub max_clients: u64,
    /// Connects that are planned within a second: starts, and clients that come back from a storm of theirs. Default: 1,000.
    pub max_rate: f64,
    /// The run's duration. Default: 24 h.
    pub max_duration: Duration,
}
