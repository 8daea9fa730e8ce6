//! The watchdog of a worker's event loop: how late it was, and how late it was for the clients.
//!
//! In: the clock, how many attempts have ended. Out: two histograms of how late a timer of the clients' own event loop was, asked every
//! 10 ms: of all times that it was asked, and of the attempts that ended meanwhile. The second tells what the clients' own measurements
//! may owe to it: a storm of a second counts in a run of an hour as much as it has attempts.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::drive::network::{RunShared, StopPhase};
use crate::record::Latencies;

/// How often the event loop is asked.
const EVERY: Duration = Duration::from_millis(10);

/// How late an event loop was.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// Each time that it was asked.
    pub(super) stalls: Latencies,
    /// Once for each attempt that ended meanwhile.
    pub(super) delays: Latencies,
}

impl Watched {
    pub(super) fn merge(&mut self, other: &Self) {
        self.stalls.merge(&other.stalls);
        self.delays.merge(&other.delays);
    }
}

/// Watches until the run's time is over: then all clients leave at once, and nothing is measured any more.
pub(super) async fn watch_loop(
    worker: Arc<RunShared>,
    clock: Clock,
    mut phase: watch::Receiver<StopPhase>,
) -> Watched {
    let mut watched = Watched::default();
    let mut due = clock.now() + EVERY;
    loop {
        tokio::select! {
            () = worker.sleep_until(due) => {}
            _ = phase.wait_for(|phase| *phase > StopPhase::Running) => return watched,
        }
        let now = clock.now();
        let late = now.since(due);
        watched.stalls.record(late);
        let late_us = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
        watched.delays.record_many(late_us, worker.take_attempts_ended());
        // What was missed is one stall, not many.
        due = now.max(due) + EVERY;
    }
}
