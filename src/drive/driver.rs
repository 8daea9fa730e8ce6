//! What whoever starts clients needs of a driver that runs in real time.
//!
//! In: a client's number and when its start is due. Out: the client's life, as a future.

use std::future::Future;
use std::sync::Arc;

use crate::clock::Moment;

use super::timers::Timers;

/// The clients of a group on one worker.
pub trait Driver: Send + Sync + 'static {
    /// The worker's timers.
    fn timers(&self) -> &Arc<Timers>;

    /// Runs client `number`, whose start is due at `due`, to its end; it leaves at `leaves` at the latest.
    fn drive(
        self: Arc<Self>,
        number: u32,
        due: Moment,
        leaves: Moment,
    ) -> impl Future<Output = ()> + Send + 'static;

    /// Somebody who came at `at` is not let in: too many are there.
    fn drop_arrival(&self, at: Moment) -> impl Future<Output = ()> + Send;
}
