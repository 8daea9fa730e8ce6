//! What a service can do at once.
//!
//! In: a table. Out: a [`Capacity`], which holds for the embedded target on the network and in virtual time alike.

use std::time::Duration;

use crate::declare::{At, above_zero, int, meaning, of, refusing_status, table, then, words};

use super::delay::Delay;
use super::fault::StatusFault;

/// The most servers of a capacity.
const MOST_SERVERS: u64 = 1_000_000;
/// The longest queue of one.
const LONGEST_QUEUE: u64 = 100_000_000;

/// How many requests a service works on at once, and what becomes of the others: c servers with one queue in front of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Capacity {
    /// Requests that are worked on at once, at least 1.
    pub servers: u32,
    /// How long each takes.
    pub service: Delay,
    /// Requests that may wait.
    pub queue: u32,
    /// How one more is refused.
    pub over_limit: StatusFault,
    /// What becomes of a request that waits when its client goes.
    pub abandoned: Abandoned,
}

words! {
    /// What becomes of a request whose client has gone while it waited. One that a server has begun with is worked off in any case.
    pub enum Abandoned {
        /// It is worked off all the same, for nobody.
        Served = "served",
        /// It leaves the queue.
        Dropped = "dropped",
    }
}

table! {
    /// How many requests are worked on at once, how long each takes, and what becomes of the others.
    pub struct CapacityKeys {
        /// Requests that are worked on at once.
        servers: u32, needed "a capacity is { servers = 4, service = { exponential = \"2ms\" }, queue = 1000 }" => int::<u32>(1..=MOST_SERVERS);
        /// How long each takes; longer than zero.
        service: Delay, needed "a capacity is { servers = 4, service = { exponential = \"2ms\" }, queue = 1000 }" => then(of::<Delay>(), takes_time);
        /// Requests that may wait.
        queue: u32 = LONGEST_QUEUE as u32 => int::<u32>(0..=LONGEST_QUEUE);
        /// Status with which one more is refused.
        over_limit: u16 = 503 => refusing_status();
        /// `Retry-After` of that refusal (RFC 9110 §10.2.3), sent in whole seconds, rounded up. Without it: none.
        retry_after: Option<Duration> = None => above_zero();
        /// What becomes of a request that waits when its client goes.
        abandoned: Abandoned = Abandoned::Served;
    }
}

fn takes_time(delay: Delay, at: &At<'_>) -> Option<Delay> {
    if delay != Delay::None {
        return Some(delay);
    }
    let message = format!("`{}` is zero: no request would ever wait", at.path);
    at.between(message, "say how long a request takes, as \"2ms\", or leave the capacity out");
    None
}

meaning! { Capacity: CapacityKeys => |keys: CapacityKeys, _: &_| {
    let CapacityKeys { servers, service, queue, over_limit: status, retry_after, abandoned } = keys;
    Some(Capacity { servers, service, queue, over_limit: StatusFault { status, retry_after }, abandoned })
} }
