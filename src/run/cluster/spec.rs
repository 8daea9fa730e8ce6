//! What a coordinator publishes, and what stands in the run's key-value store.
//!
//! In: a checked scenario. Out: JSON. No secret is in it: the text holds references, which each worker resolves where it runs.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::machine::host_name;

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
    /// By what its orders are known: others who write into the run's store give none.
    pub(super) lead: String,
    /// The scenario's name.
    pub(super) scenario: String,
    /// Its text as run: overrides applied, secrets as references only.
    pub(super) text: String,
    /// Its hash.
    pub(super) hash: String,
    /// How many workers there are.
    pub(super) workers: u32,
    /// In how many processes each runs its part: so many shares it has.
    pub(super) processes: u32,
    /// Whether it is run in virtual time.
    pub(super) is_simulated: bool,
    /// When it begins then, in microseconds since 1970.
    pub(super) virtual_start_unix_us: u64,
    /// Whether each worker writes its attempts.
    pub(super) attempts: bool,
}

impl RunSpec {
    /// How many shares there are: worker `w` runs those whose number is `w`, `w` + workers, and so on.
    pub(super) const fn shares(&self) -> u32 {
        self.workers * self.processes
    }
}

/// An order, and whose it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Given {
    /// [`RunSpec::lead`].
    pub(super) lead: String,
    /// The order.
    #[serde(flatten)]
    pub(super) order: Order,
}

/// A coordinator's own, which no other has.
pub(super) fn new_lead() -> String {
    format!("{:016x}", RandomState::new().build_hasher().finish())
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

/// The keys of orders to the worker of a share, in order; `None`: to all.
pub(super) fn order_keys(to: Option<u32>) -> String {
    format!("{}*", order_prefix(to))
}

/// The key of an order.
pub(super) fn order_key(to: Option<u32>, number: u64) -> String {
    format!("{}{number:08}", order_prefix(to))
}

fn order_prefix(to: Option<u32>) -> String {
    to.map_or_else(|| "order.all.".to_owned(), |shard| format!("order.{shard}."))
}

/// What a coordinator's clock says, in nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    /// When it heard the question.
    pub(super) heard_ns: i64,
    /// When it answered.
    pub(super) told_ns: i64,
}

/// How long until something is tried again.
pub(super) const RETRY: Duration = Duration::from_millis(300);

/// The header that names a worker's epoch.
pub(super) const EPOCH: &str = "Resurge-Epoch";
/// The header of a piece of a journal: its first byte's place.
pub(super) const AT: &str = "Resurge-At";

/// Where this process runs, as others are told.
pub(super) fn here() -> String {
    format!("{} (process {})", host_name(), std::process::id())
}
