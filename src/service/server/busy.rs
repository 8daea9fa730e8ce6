//! How much is in flight at the target.
//!
//! In: guards that are held while something is. Out: a way to wait until nothing is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

/// Counts what is in flight.
#[derive(Debug, Default)]
pub(super) struct Busy {
    count: AtomicUsize,
    quiet: Notify,
}

/// Something in flight, until it is dropped.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Busy>);

impl Busy {
    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        self.count.fetch_add(1, Ordering::AcqRel);
        InFlight(Arc::clone(self))
    }

    /// Waits until nothing is in flight; `false` when `timeout` came first.
    pub(super) async fn wait_until_quiet(&self, timeout: Duration) -> bool {
        let quiet = async {
            loop {
                let mut notified = std::pin::pin!(self.quiet.notified());
                // Registered before the count is read, so that no notification is lost between the two.
                notified.as_mut().enable();
                if self.count.load(Ordering::Acquire) == 0 {
                    return;
                }
                notified.await;
            }
        };
        tokio::time::timeout(timeout, quiet).await.is_ok()
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.quiet.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_quiet_when_the_last_guard_is_gone() {
        let busy = Arc::new(Busy::default());
        assert!(busy.wait_until_quiet(Duration::ZERO).await);
        let (first, second) = (busy.begin(), busy.begin());
        drop(first);
        assert!(!busy.wait_until_quiet(Duration::from_millis(1)).await);
        let (is_quiet, ()) =
            tokio::join!(busy.wait_until_quiet(Duration::from_secs(60)), async { drop(second) });
        assert!(is_quiet);
    }
}
