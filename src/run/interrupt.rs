//! What is said when somebody wants a run to end.
//!
//! In: how long the clients may take to leave. Out: a line in the log.

use std::time::Duration;

use crate::units::format_duration;

/// Says what an interrupt does: to drain takes its time.
pub(super) fn tell_interrupt(drain: Duration) {
    let most = format_duration(drain);
    log::warn!("interrupted: the clients drain, for {most} at most; once more cuts them off");
}
