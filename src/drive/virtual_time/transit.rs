//! What is under way between the clients and the service, and what time it is.
//!
//! In: nothing of its own. Out: the queue, the network and the requests, which a client's side needs together.

use crate::clock::Moment;

use super::network::Network;
use super::queue::EventQueue;
use super::request::Requests;

/// Everything under way.
#[derive(Debug)]
pub(super) struct Transit {
    pub(super) queue: EventQueue,
    pub(super) network: Network,
    pub(super) requests: Requests,
}

impl Transit {
    /// Nothing, over that network.
    pub(super) fn new(network: Network) -> Self {
        Self { queue: EventQueue::default(), network, requests: Requests::default() }
    }

    /// What time it is.
    pub(super) const fn now(&self) -> Moment {
        self.queue.now()
    }
}
