//! Waiting for one's turn at the token endpoint, where requests at once are limited.
//!
//! In: the limit. Out: a slot; and how long the longest wait for one was, for it is this program's, not the target's.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::clock::Clock;
use crate::drive::network::group_sink::GroupSink;
use crate::sample::Counter;

/// The longest waits of a worker's clients for what this machine lacks: a connection of a token pool, a processor.
#[derive(Debug, Default)]
pub(in crate::drive::network) struct PoolWaits {
    max_us: AtomicU64,
    /// The longest wait for a processor that signs a token.
    mint_max_us: AtomicU64,
}

impl PoolWaits {
    fn note(&self, wait: Duration) {
        let us = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        self.max_us.fetch_max(us, Ordering::Relaxed);
    }

    pub(super) fn note_mint(&self, wait: Duration) {
        let us = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        self.mint_max_us.fetch_max(us, Ordering::Relaxed);
    }

    /// The longest wait for a processor that signs a token, so far.
    pub(in crate::drive::network) fn mint_max(&self) -> Duration {
        Duration::from_micros(self.mint_max_us.load(Ordering::Relaxed))
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
