//! A run over many machines, by way of a NATS server.
//!
//! In: a scenario and how many workers; or the name of a run. Out: one run folder at the coordinator ([`coordinator`]), whose channel to the workers is
//! [`remote`]; a share's folder at each worker ([`worker`]), whose post ([`post`]) sends what its journal grows by. The server keeps what is under way, and nothing of it
//! is the truth: each worker's own journal is.

mod claims;
mod coordinator;
mod desk;
mod error;
mod link;
mod listen;
mod names;
mod offset;
mod parts;
mod post;
mod remote;
mod request;
mod seal;
mod share;
mod spec;
mod target_lock;
mod worker;

pub use coordinator::{ClusterRequest, run_cluster, simulate_cluster};
pub use error::ClusterError;
pub use link::ClusterLink;
pub use names::{NoRunName, RunName};
pub use request::WorkRequest;
pub use worker::work;
