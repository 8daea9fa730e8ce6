//! Thresholds as typed data.
//!
//! In: nothing. Out: types; their grammar is in [`super::threshold`].

use std::time::Duration;

use crate::sample::{Counter, Metric};

/// A condition that the run must hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    /// What is looked at.
    pub subject: Subject,
    /// In which group; `None`: in all together.
    pub group: Option<String>,
    /// Which number of it.
    pub aggregate: Aggregate,
    /// How it is compared.
    pub comparison: Comparison,
    /// With what: microseconds for times, 0..1 for shares, per second for rates, else a count.
    pub limit: f64,
    /// End the run when it fails, once this long has passed.
    pub abort_after: Option<Duration>,
    /// As written: `reconnect_latency{group:a}: p(99) < 1s`.
    pub source: String,
}

/// What a threshold looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A time.
    Metric(Metric),
    /// A count.
    Counter(Counter),
    /// A share of attempts.
    Share(ShareOf),
    /// All attempts.
    Attempts,
}

/// A share of attempts: numerator over the attempts that say something about the target (for
/// `local_limit_rate` and `aborted_rate`: over all).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShareOf {
    /// `handshake_403_rate`: 403s over handshakes that were answered.
    Handshake403,
    /// `handshake_401_rate`.
    Handshake401,
    /// `handshake_429_rate`.
    Handshake429,
    /// `handshake_5xx_rate`.
    Handshake5xx,
    /// `attempt_failure_rate`: attempts whose outcome is not `ok`.
    AttemptFailure,
    /// `reconnect_success_rate`: completed reconnects over disconnects after which one was wanted, but for those
    /// unfinished at the end.
    ReconnectSuccess,
    /// `local_limit_rate`.
    LocalLimit,
}

/// Which number of a subject.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Aggregate {
    /// `p(99.9)`, a percentile in (0, 100]; of times.
    Percentile(f64),
    /// `min`, of times.
    Min,
    /// `avg` or `mean`, of times.
    Mean,
    /// `max`, of times.
    Max,
    /// `count`, of times and counts.
    Count,
    /// `rate`: of shares, 0..1; of counts, per second of the run.
    Rate,
}

/// How a number is compared with a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Below,
    /// `<=`
    AtMost,
    /// `>`
    Above,
    /// `>=`
    AtLeast,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
}
