//! What a coordinator publishes, and what stands in the run's key-value store.
//!
//! In: a checked scenario. Out: JSON. No secret is in it: the text holds references, which each worker resolves where it runs.

use serde::{Deserialize, Serialize};

use super::super::shards::Order;

/// Version of what is said over NATS.
pub(super) const PROTOCOL: u32 = 1;

/// The key under which the run stands.
pub(super) const RUN_KEY: &str = "run";

/// A run that waits for its workers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RunSpec {
    /// [`PROTOCOL`] of the coordinator.
    pub(super) protocol: u32,
    /// Its version.
    pub(super) tool_version: String,
    /// Where it runs.
    pub(super) by: String,
    /// The scenario's name.
    pub(super) scenario: String,
    /// Its text as run: overrides applied, secrets as references only.
    pub(super) text: String,
    /// Its hash.
    pub(super) hash: String,
    /// How many shares there are.
    pub(super) workers: u32,
    /// Whether each worker writes its attempts.
    pub(super) attempts: bool,
}

/// Who has taken a share. The revision of its key is the *epoch*.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claim {
    /// Where it runs.
    pub(super) by: String,
}

/// The key of a share.
pub(super) fn claim_key(shard: u32) -> String {
    format!("claim.{shard}")
}

/// The keys of the orders, in order.
pub(super) const ORDER_KEYS: &str = "order.*";

/// The key of an order.
pub(super) fn order_key(number: u64) -> String {
    format!("order.{number:08}")
}

/// An order, and for whom.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Addressed {
    /// The share; `None`: all of them.
    pub(super) to: Option<u32>,
    /// What it is to do.
    pub(super) order: Order,
}

/// What a coordinator's clock says, in nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    /// When it heard the question.
    pub(super) heard_ns: i64,
    /// When it answered.
    pub(super) told_ns: i64,
}

/// The header that names a worker's epoch.
pub(super) const EPOCH: &str = "Resurge-Epoch";
/// The header of a piece of a journal: its first byte's place.
pub(super) const AT: &str = "Resurge-At";

/// Where this process runs, as others are told.
pub(super) fn here() -> String {
    let host = rustix::system::uname();
    format!("{} (process {})", host.nodename().to_string_lossy(), std::process::id())
}
