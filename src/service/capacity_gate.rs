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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::scenario::keys::{Abandoned, Capacity, Delay, Probe, TargetRules};

    #[test]
    fn a_probe_that_fails_so_often_in_a_row_restarts_the_service_and_begins_anew() {
        let service = Delay::Constant(Duration::from_secs(1));
        let over_limit = StatusFault { status: 503, retry_after: None };
        let abandoned = Abandoned::Served;
        let rules = TargetRules {
            upgrade_capacity: Some(Capacity { servers: 1, service, queue: 100, over_limit, abandoned }),
            probe: Some(Probe { every: Duration::from_secs(1), waiting: 2, failures: 3, code: 1012 }),
            ..TargetRules::default()
        };
        let mut state = TargetState::new(rules, 1);
        let arrive = |state: &mut TargetState, requests: u32| {
            for _ in 0..requests {
                state.arrive(Moment::ZERO, Endpoint::Upgrade);
            }
        };
        // One is worked on, two wait: no more than may.
        arrive(&mut state, 3);
        assert_eq!([state.probe(), state.probe(), state.probe(), state.probe()], [false; 4]);
        arrive(&mut state, 1);
        assert_eq!([state.probe(), state.probe()], [false; 2]);
        state.finish(Moment::ZERO, Endpoint::Upgrade);
        assert!(!state.probe(), "it holds once, and the row is over");
        arrive(&mut state, 5);
        let restarts = [(); 7].map(|()| state.probe());
        assert_eq!(restarts, [false, false, true, false, false, true, false]);
        assert_eq!(state.counters().restarts, 2);
    }

    #[test]
    fn without_a_capacity_nobody_waits_and_without_a_probe_nobody_asks() {
        let probe = Probe { every: Duration::from_secs(1), waiting: 0, failures: 1, code: 1012 };
        let rules = TargetRules { probe: Some(probe), ..TargetRules::default() };
        assert!(!TargetState::new(rules, 1).probe() && !TargetState::new(TargetRules::default(), 1).probe());
    }
}
