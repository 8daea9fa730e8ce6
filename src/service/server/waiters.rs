//! Who waits for a server of an endpoint with a capacity.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::clock::Moment;
use crate::service::capacity::{Endpoint, Place};

/// Those who wait, by endpoint and place: each is told when a server is done with it.
#[derive(Debug, Default)]
pub(super) struct Waiters(Mutex<HashMap<(Endpoint, Place), oneshot::Sender<Moment>>>);

impl Waiters {
    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<(Endpoint, Place), oneshot::Sender<Moment>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
