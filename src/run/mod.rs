//! One run, from a scenario's file to its verdict.
//!
//! In: what the command line asks for. Out: a run folder and the run as reports see it. This module wires the others together; it decides
//! nothing about clients, keeps no statistics and never prints.

mod calibrate;
#[cfg(feature = "cluster")]
mod cluster;
mod conduct;
mod crew;
mod display;
mod done;
mod endpoint;
mod error;
mod events;
mod folder;
mod found;
mod interrupt;
mod listed;
mod live;
mod observe;
mod one_process;
mod otlp;
pub(crate) mod prepare;
mod request;
mod scrape;
mod shard_check;
mod shards;
mod simulate;
mod simulate_scale;
mod simulate_taker;
mod watchdog;
mod workers;

pub use calibrate::CalibrateError;
#[cfg(feature = "cluster")]
pub use cluster::{
    ClusterError, ClusterLink, ClusterRequest, NoRunName, RunName, WorkRequest, run_cluster,
    simulate_cluster, work,
};
pub use done::RunDone;
pub use error::RunError;
pub use events::{KnockError, guard_commands, mark_run};
pub use folder::{FolderError, REPORTS, folders_made, make_folder};
pub use found::{FoundError, FoundRun, is_run_folder, read_run_folder, shards_in};
pub use listed::{ListedRun, Told, list_runs};
pub use live::{LiveCommands, LiveControl, LiveFeed, LiveServer, StormAnswer, live_commands};
pub use otlp::{OtlpExporter, OtlpFeed, OtlpSettings, OtlpTally};
pub use prepare::machine_of;
pub use request::{OnProgress, RunRequest};
pub use scrape::{MetricsFeed, MetricsServer};
pub use shards::{Split, obey_parent};
pub use simulate::{
    InMemory, SimulateRequest, Simulation, VIRTUAL_START_UNIX_US, load_scaled, simulate, simulation_of,
};

use one_process::run_share;

use crate::plan::Share;

/// Runs a scenario to its end, in this process, and writes its run folder.
///
/// # Errors
/// [`RunError`] when the run cannot begin. What goes wrong later is in the result.
pub fn run(request: RunRequest) -> Result<RunDone, RunError> {
    run_share(request, Share::WHOLE)
}

/// Runs a scenario to its end, split as `split` says, and writes its run folder.
///
/// # Errors
/// [`RunError`] when the run cannot begin. What goes wrong later is in the result.
pub fn run_split(request: RunRequest, split: Split) -> Result<RunDone, RunError> {
    match split {
        Split::Share(share) => run_share(request, share),
        Split::Auto | Split::Into(_) => shards::run_shards(request, split),
    }
}

/// Simulates a scenario, in so many processes where that is more than one, and writes its run folder.
///
/// # Errors
/// [`RunError`] when the run cannot begin, or its shards would have something in common. What goes wrong later is in the result.
pub fn simulate_split(request: SimulateRequest, shards: Option<u32>) -> Result<RunDone, RunError> {
    match shards {
        Some(of) if of > 1 => shards::simulate_in_shards(request, of),
        _ => simulate(request),
    }
}
