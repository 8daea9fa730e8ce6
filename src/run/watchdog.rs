//! The watchdog of a worker's event loop: how long it stood still.
//!
//! In: the clock. Out: a histogram of how late a timer of the clients' own event loop was, asked every 10 ms.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::drive::network::RunShared;
use crate::record::Latencies;

/// How often the event loop is asked.
const EVERY: Duration = Duration::from_millis(10);

/// Watches until `stop` is sent or dropped; answers with the stalls.
pub(super) async fn watch(
    worker: Arc<RunShared>,
    clock: Clock,
    mut stop: oneshot::Receiver<()>,
) -> Latencies {
    let mut stalls = Latencies::new();
    let mut due = clock.now() + EVERY;
    loop {
        tokio::select! {
            () = worker.sleep_until(due) => {}
            _ = &mut stop => return stalls,
        }
        let now = clock.now();
        stalls.record(now.since(due));
        // What was missed is one stall, not many.
        due = now.max(due) + EVERY;
    }
}
