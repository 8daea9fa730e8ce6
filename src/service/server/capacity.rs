//! Requests that wait for a server of an endpoint with a capacity.
//!
//! In: a request that has arrived. Out: when it was worked off, or its refusal. Who is next is decided by the rules; here is only the
//! waiting. A client that goes lets go of its place.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::clock::Moment;
use crate::service::capacity::{Arrival, Endpoint, Place};
use crate::service::refusal::HandshakeRefusal;

use super::shared::Shared;

/// Tells a request that its turn has come, and when it will have been worked off.
type Turn = oneshot::Receiver<Moment>;

/// A place that is waited at, until it is dropped.
struct Waiting<'a> {
    shared: &'a Shared,
    endpoint: Endpoint,
    place: Place,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // Whoever had its turn is not among the waiting any more.
        let mut state = self.shared.state();
        if self.shared.waiters.lock().remove(&(self.endpoint, self.place)).is_some() {
            state.leave_queue(self.endpoint, self.place);
        }
    }
}

impl Shared {
    /// Has a request worked off that arrived then; answers with when it was done: `arrived` where there is no capacity to be held.
    pub(super) async fn work_off(
        self: &Arc<Self>,
        endpoint: Endpoint,
        arrived: Moment,
    ) -> Result<Moment, HandshakeRefusal> {
        let (arrival, turn) = self.knock(endpoint, arrived)?;
        let place = match (arrival, &turn) {
            (Arrival::Begun(done), _) => {
                tokio::spawn(work(Arc::clone(self), endpoint, done));
                self.sleep_until(done).await;
                return Ok(done);
            }
            (Arrival::Waits(place), Some(_)) => place,
            _ => return Ok(arrived),
        };
        let waiting = Waiting { shared: self, endpoint, place };
        // The server goes without a word only when it is dropped, and this request with it.
        let done = match turn {
            Some(turn) => turn.await.unwrap_or(arrived),
            None => arrived,
        };
        drop(waiting);
        self.sleep_until(done).await;
        Ok(done)
    }
}

impl Shared {
    /// Puts a request before the rules. Where it has to wait, answers with where it is told of its turn.
    fn knock(
        &self,
        endpoint: Endpoint,
        arrived: Moment,
    ) -> Result<(Arrival, Option<Turn>), HandshakeRefusal> {
        let mut state = self.state();
        match state.arrive(arrived, endpoint) {
            Arrival::Full => Err(state.refuse_over_capacity(endpoint)),
            Arrival::Waits(place) => {
                let (tell, turn) = oneshot::channel();
                // Under the state's lock: a server that is done must find who is next.
                self.waiters.lock().insert((endpoint, place), tell);
                Ok((Arrival::Waits(place), Some(turn)))
            }
            arrival => Ok((arrival, None)),
        }
    }
}

/// A server at work: one request after the other until nobody waits. Each begins when the one before was due to be done, however late the
/// clock's alarm was.
async fn work(shared: Arc<Shared>, endpoint: Endpoint, mut done: Moment) {
    loop {
        shared.sleep_until(done).await;
        let mut state = shared.state();
        let Some((place, next_done)) = state.finish(done, endpoint) else { return };
        if let Some(waiter) = shared.waiters.lock().remove(&(endpoint, place)) {
            // A client that has just gone does not listen; it is worked off for nobody.
            let _ = waiter.send(next_done);
        }
        drop(state);
        done = next_done;
    }
}
