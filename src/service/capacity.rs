//! How many requests the service works on at once: c servers with one queue in front of them, first come, first served.
//!
//! In: `(moment, event)`: arrivals, ends of service, clients that go. Out: when a request is worked off, whether it waits, or that there is
//! no room. No I/O, no clock; whoever drives it says when a service has ended. With exponential times between arrivals and exponential
//! service it is M/M/c (Kendall 1953).

use std::collections::VecDeque;

use crate::clock::Moment;
use crate::random::{Purpose, Stream};
use crate::scenario::keys::{Abandoned, Capacity, TargetRules};

use super::delay;

/// What may have a capacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// The token endpoint.
    Token,
    /// The WebSocket endpoint.
    Upgrade,
}

/// A place in a queue: counted up from 0, never taken twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(pub u64);

/// What becomes of a request that arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// There is no capacity to be held: it is answered at once.
    Unlimited,
    /// A server has begun with it and is done then. Whoever drives the queue calls [`CapacityQueue::finish`] at that moment.
    Begun(Moment),
    /// It waits there.
    Waits(Place),
    /// There is no room.
    Full,
}

/// The servers of an endpoint, and who waits for them.
#[derive(Debug)]
pub struct CapacityQueue {
    rules: Capacity,
    draws: Stream,
    busy: u32,
    /// Whether each place from `front` on is still waited at.
    waiting: VecDeque<bool>,
    front: u64,
    /// How many of them are.
    alive: u32,
}

impl CapacityQueue {
    /// Idle servers; `number` tells the streams of several queues of one seed apart.
    #[must_use]
    pub fn new(rules: Capacity, seed: u64, number: u32) -> Self {
        let draws = Stream::new(seed, Purpose::TargetCapacity, number);
        Self { rules, draws, busy: 0, waiting: VecDeque::new(), front: 0, alive: 0 }
    }

    /// A request has come.
    pub fn arrive(&mut self, now: Moment) -> Arrival {
        if self.busy < self.rules.servers {
            self.busy += 1;
            return Arrival::Begun(self.done_after(now));
        }
        if self.alive >= self.rules.queue {
            return Arrival::Full;
        }
        let place = Place(self.front + self.waiting.len() as u64);
        self.waiting.push_back(true);
        self.alive += 1;
        Arrival::Waits(place)
    }

    /// A server is done, at the moment that it was said to be; answers with who is next and when that is done.
    pub fn finish(&mut self, at: Moment) -> Option<(Place, Moment)> {
        while let Some(is_waited_at) = self.waiting.pop_front() {
            let place = Place(self.front);
            self.front += 1;
            if is_waited_at {
                self.alive -= 1;
                return Some((place, self.done_after(at)));
            }
        }
        self.busy = self.busy.saturating_sub(1);
        None
    }

    /// The client that waited there has gone.
    pub fn leave(&mut self, place: Place) {
        if self.rules.abandoned == Abandoned::Served {
            return;
        }
        let index = place.0.checked_sub(self.front).and_then(|index| usize::try_from(index).ok());
        if let Some(is_waited_at) = index.and_then(|index| self.waiting.get_mut(index))
            && std::mem::take(is_waited_at)
        {
            self.alive -= 1;
        }
    }

    /// How many requests wait.
    #[must_use]
    pub const fn waiting(&self) -> u32 {
        self.alive
    }

    /// How many servers work.
    #[must_use]
    pub const fn busy(&self) -> u32 {
        self.busy
    }

    fn done_after(&mut self, begun: Moment) -> Moment {
        begun + delay::sample(self.rules.service, &mut self.draws)
    }
}

/// The capacities of a service.
#[derive(Debug)]
pub(super) struct Capacities {
    token: Option<CapacityQueue>,
    upgrade: Option<CapacityQueue>,
}

impl Capacities {
    pub(super) fn of(rules: &TargetRules, seed: u64) -> Self {
        let queue = |capacity: Option<Capacity>, number| {
            capacity.map(|capacity| CapacityQueue::new(capacity, seed, number))
        };
        Self { token: queue(rules.token_capacity, 0), upgrade: queue(rules.upgrade_capacity, 1) }
    }

    pub(super) const fn at(&mut self, endpoint: Endpoint) -> Option<&mut CapacityQueue> {
        match endpoint {
            Endpoint::Token => self.token.as_mut(),
            Endpoint::Upgrade => self.upgrade.as_mut(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::keys::Delay;
    use crate::scenario::keys::StatusFault;
    use std::time::Duration;

    const fn at(ms: u64) -> Moment {
        Moment::from_ns(ms * 1_000_000)
    }

    fn queue(servers: u32, queue: u32, abandoned: Abandoned) -> CapacityQueue {
        let service = Delay::Constant(Duration::from_millis(10));
        let over_limit = StatusFault { status: 503, retry_after: None };
        CapacityQueue::new(Capacity { servers, service, queue, over_limit, abandoned }, 1, 0)
    }

    #[test]
    fn servers_take_who_came_first_and_refuse_who_finds_no_room() {
        let mut queue = queue(2, 2, Abandoned::Served);
        let arrivals = [0, 1, 2, 3, 4].map(|ms| queue.arrive(at(ms)));
        use Arrival::{Begun, Full, Waits};
        assert_eq!(arrivals, [Begun(at(10)), Begun(at(11)), Waits(Place(0)), Waits(Place(1)), Full]);
        assert_eq!(queue.finish(at(10)), Some((Place(0), at(20))));
        assert_eq!(queue.arrive(at(10)), Waits(Place(2)), "a place is free again");
        assert_eq!(queue.finish(at(11)), Some((Place(1), at(21))));
        assert_eq!(queue.finish(at(20)), Some((Place(2), at(30))));
        assert_eq!((queue.finish(at(21)), queue.finish(at(30))), (None, None));
        assert_eq!((queue.busy(), queue.waiting()), (0, 0));
        assert_eq!(queue.arrive(at(50)), Begun(at(60)));
    }

    #[test]
    fn who_goes_makes_room_only_where_the_abandoned_are_dropped() {
        for (abandoned, next, room) in [
            (Abandoned::Dropped, Some((Place(1), at(20))), true),
            (Abandoned::Served, Some((Place(0), at(20))), false),
        ] {
            let mut queue = queue(1, 2, abandoned);
            queue.arrive(at(0));
            let places = [queue.arrive(at(1)), queue.arrive(at(2))];
            assert_eq!(places, [Arrival::Waits(Place(0)), Arrival::Waits(Place(1))]);
            queue.leave(Place(0));
            queue.leave(Place(0));
            queue.leave(Place(9));
            assert_eq!(queue.arrive(at(3)) == Arrival::Full, !room, "{abandoned:?}");
            assert_eq!(queue.finish(at(10)), next, "{abandoned:?}");
        }
    }

    #[test]
    fn only_the_gone_are_left_and_the_server_rests() {
        let mut queue = queue(1, 5, Abandoned::Dropped);
        queue.arrive(at(0));
        queue.arrive(at(1));
        queue.arrive(at(2));
        queue.leave(Place(1));
        queue.leave(Place(0));
        assert_eq!(queue.finish(at(10)), None);
        assert_eq!((queue.busy(), queue.waiting()), (0, 0));
        assert_eq!(queue.arrive(at(11)), Arrival::Begun(at(21)));
        assert_eq!(queue.arrive(at(12)), Arrival::Waits(Place(2)), "a place is never taken twice");
    }
}
