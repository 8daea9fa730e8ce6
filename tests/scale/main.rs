//! Many clients, many processes, much time, large answers: what must not grow does not, and nothing is lost.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that meets what it does not expect has failed"
)]

#[path = "../support"]
mod support {
    pub(crate) mod begun;
    pub(crate) mod coming_and_going;
    pub(crate) mod in_process;
    pub(crate) mod output;
    pub(crate) mod processes;
    pub(crate) mod program;
    pub(crate) mod requests;
    pub(crate) mod run_folder;
    pub(crate) mod scene;
    pub(crate) mod signals;
    pub(crate) mod topics;
    pub(crate) mod waiting;
}

mod lost_shards;
mod refused_shards;
mod shard_plans;
mod shard_runs;
mod shards;
mod sizes;
mod topic_truth;
mod virtual_refusals;
mod virtual_services;
mod virtual_sweep;
mod virtual_time;
