//! Waiting for one's turn at the token endpoint, where requests at once are limited.
//!
//! In: the limit. Out: a slot; and how long the longest wait for one was, for it is this program's, not the target's.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::clock::Clock;
use crate::drive::network::group_sink::GroupSink;
use crate::sample::Counter;

/// The longest wait of a worker's clients for a connection of a token pool.
#[derive(Debug, Default)]
pub(in crate::drive::network) struct PoolWaits {
    max_us: AtomicU64,
}

impl PoolWaits {
    fn note(&self, wait: Duration) {
        let us = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        self.max_us.fetch_max(us, Ordering::Relaxed);
    }

    /// The longest so far.
    pub(in crate::drive::network) fn max(&self) -> Duration {
        Duration::from_micros(self.max_us.load(Ordering::Relaxed))
    }
}

/// Waits for a slot, and counts the wait where there is one. `None`: there are none any more.
pub(super) async fn wait_for_slot<'a>(
    slots: &'a Semaphore,
    waits: &PoolWaits,
    clock: Clock,
    sink: &GroupSink,
) -> Option<SemaphorePermit<'a>> {
    if let Ok(slot) = slots.try_acquire() {
        return Some(slot);
    }
    let since = clock.now();
    let slot = slots.acquire().await.ok()?;
    waits.note(clock.now().since(since));
    sink.count(Counter::TokenPoolWaits).await;
    Some(slot)
}
