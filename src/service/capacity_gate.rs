//! Requests at endpoints that do only so much at once.
//!
//! In: `(now, endpoint, event)`. Out: who is worked off when, or the refusal where there is no room. No I/O, no clock.

use crate::clock::Moment;
use crate::sample::Cause;
use crate::scenario::keys::StatusFault;

use super::capacity::{Arrival, Endpoint, Place};
use super::refusal::HandshakeRefusal;
use super::rules::TargetState;

impl TargetState {
    /// A request has come to `endpoint`; see [`super::capacity::CapacityQueue::arrive`].
    pub fn arrive(&mut self, now: Moment, endpoint: Endpoint) -> Arrival {
        self.capacities.at(endpoint).map_or(Arrival::Unlimited, |queue| queue.arrive(now))
    }

    /// A server of `endpoint` is done; see [`super::capacity::CapacityQueue::finish`].
    pub fn finish(&mut self, at: Moment, endpoint: Endpoint) -> Option<(Place, Moment)> {
        self.capacities.at(endpoint)?.finish(at)
    }

    /// A client that waited at `endpoint` has gone.
    pub fn leave_queue(&mut self, endpoint: Endpoint, place: Place) {
        if let Some(queue) = self.capacities.at(endpoint) {
            queue.leave(place);
        }
    }

    /// Refuses a request for which there was no room, and counts it.
    pub fn refuse_over_capacity(&mut self, endpoint: Endpoint) -> HandshakeRefusal {
        let capacity = match endpoint {
            Endpoint::Token => self.rules.token_capacity,
            Endpoint::Upgrade => self.rules.upgrade_capacity,
        };
        let StatusFault { status, retry_after } =
            capacity.map_or(StatusFault { status: 503, retry_after: None }, |capacity| capacity.over_limit);
        // What says so stands before the service, which is busy.
        let cause = if status == 429 { Cause::RateLimited } else { Cause::Edge };
        match endpoint {
            Endpoint::Token => self.tally.refuse_busy_token_request(),
            Endpoint::Upgrade => self.tally.refuse(status, cause),
        }
        HandshakeRefusal { status, cause, words: ("too.busy", "the service is busy"), retry_after }
    }
}
