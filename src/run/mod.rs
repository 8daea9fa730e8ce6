//! One run, from a scenario's file to its verdict.
//!
//! In: what the command line asks for. Out: a run folder and the run as reports see it. This module wires the others together; it decides
//! nothing about clients, keeps no statistics and never prints.

mod calibrate;
mod conduct;
mod crew;
mod display;
mod folder;
mod found;
pub mod host;
pub(crate) mod prepare;
mod scrape;
mod shards;
mod signals;
mod simulate;
mod simulate_scale;
mod simulate_taker;
mod watchdog;
mod workers;

use std::path::PathBuf;
use std::sync::Arc;

pub use calibrate::CalibrateError;
pub use folder::{FolderError, folders_made, make_folder};
pub use found::{FoundError, FoundRun, is_run_folder, read_run_folder, shards_in};
pub use prepare::machine_of;
pub use scrape::{MetricsFeed, MetricsServer};
pub use shards::{Split, obey_parent};
pub use signals::{StopSignals, survive_file_size_limit};
pub use simulate::{
    InMemory, SimulateRequest, Simulation, VIRTUAL_START_UNIX_US, load_scaled, simulate, simulation_of,
};

use crate::drive::network::{ContextError, Forbidden, TlsError};
use crate::event_loop::single_loop;
use crate::exit_code::ExitCode;
use crate::plan::{BudgetError, Share, own_limits};
use crate::record::{JournalError, JournalWriter, LiveView, MergeError, read_journal};
use crate::report::{JOURNAL_FILE, RunModel, WriteFault, write_all};
use crate::scenario::Overrides;
use crate::scenario::keys::Scenario;
use crate::scenario::{ScenarioError, load_for_traffic};

/// Called once a second with how the run stands.
pub type OnProgress = Box<dyn FnMut(&Scenario, &LiveView) + Send>;

/// What to run, and how.
pub struct RunRequest {
    /// The scenario's file.
    pub scenario: PathBuf,
    /// Overrides of its keys.
    pub overrides: Overrides,
    /// Override of its seed.
    pub seed: Option<u64>,
    /// The run folder; `None`: one under `reports/`.
    pub out: Option<PathBuf>,
    /// Hosts that may be hit though they are neither loopback nor private.
    pub authorised: Vec<String>,
    /// Told how the run stands.
    pub on_progress: Option<OnProgress>,
}

/// A run that came to its end.
#[derive(Debug)]
pub struct RunDone {
    /// What it found.
    pub model: RunModel,
    /// Its folder.
    pub folder: PathBuf,
    /// Files that could not be written.
    pub write_faults: Vec<WriteFault>,
}

/// Why there was no run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The scenario cannot be used.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// There is no run folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// This machine is too small for it.
    #[error(transparent)]
    Budget(#[from] BudgetError),
    /// An address may not be hit.
    #[error(transparent)]
    NotAuthorised(#[from] Forbidden),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A group cannot be set up.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// The journal cannot be written or read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// There are more shards than clients.
    #[error(
        "{shards} shards are more than the scenario has clients ({clients}): name at most {clients}, or --shards auto"
    )]
    TooManyShards {
        /// How many shards were asked for.
        shards: u32,
        /// How many clients there are.
        clients: u32,
    },
    /// A scenario that can be read only once, for a run in which several processes read it.
    #[error("{} is no file: each shard reads the scenario for itself. Write it to a file, or run it without --shards", path.display())]
    NoFile {
        /// What it is read from.
        path: PathBuf,
    },
    /// A shard could not begin, so that none did.
    #[error("shard {shard} of {of} could not begin: {message}")]
    Shard {
        /// Which.
        shard: u32,
        /// Of how many.
        of: u32,
        /// The exit code that says why.
        exit_code: ExitCode,
        /// Why.
        message: String,
    },
    /// This machine does not have an address from which a group is to connect.
    #[error(
        "group {group}: this machine cannot connect from {address}: {source}. Take it out of connect.source_addresses, or give it to an interface"
    )]
    SourceAddress {
        /// The group.
        group: String,
        /// The address.
        address: std::net::IpAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A scenario that cannot be run in virtual time.
    #[error("{scenario} cannot be simulated:\n  {}", reasons.join("\n  "))]
    NotSimulable {
        /// Its name.
        scenario: String,
        /// Why, a sentence each, with what mends it.
        reasons: Vec<String>,
    },
    /// A run's times cannot be taken.
    #[error(transparent)]
    Calibrate(#[from] CalibrateError),
    /// The user interrupted a run that had not begun.
    #[error("interrupted before the run began")]
    Interrupted,
    /// The shards' journals cannot be merged.
    #[error(transparent)]
    Merge(#[from] MergeError),
    /// The embedded target or the runtime cannot be started.
    #[error("cannot start {what}: {source}")]
    Start {
        /// What.
        what: &'static str,
        /// Why.
        source: std::io::Error,
    },
}

impl RunError {
    /// The exit code that says it.
    #[must_use]
    pub const fn exit_code(&self) -> ExitCode {
        match self {
            Self::Scenario(_)
            | Self::NotSimulable { .. }
            | Self::Tls(TlsError::CaFile { .. } | TlsError::ClientFile { .. }) => ExitCode::ScenarioInvalid,
            Self::Calibrate(_) => ExitCode::Unreadable,
            Self::NotAuthorised(_) => ExitCode::NotAuthorised,
            Self::Budget(_) | Self::SourceAddress { .. } => ExitCode::NotValid,
            Self::Folder(FolderError::Exists { .. }) | Self::TooManyShards { .. } | Self::NoFile { .. } => {
                ExitCode::Usage
            }
            Self::Shard { exit_code, .. } => *exit_code,
            Self::Interrupted => ExitCode::Interrupted,
            Self::Merge(_) => ExitCode::Incomplete,
            Self::Folder(_) | Self::Tls(_) | Self::Context(_) | Self::Journal(_) | Self::Start { .. } => {
                ExitCode::Unexpected
            }
        }
    }
}

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

/// Runs a share of a scenario's clients in this process.
fn run_share(request: RunRequest, share: Share) -> Result<RunDone, RunError> {
    let RunRequest { scenario, overrides, seed, out, authorised, on_progress } = request;
    let loaded = load_for_traffic(&scenario, &overrides, seed, &|name| std::env::var(name).ok())?;
    check_shards(share.of(), &loaded.scenario)?;
    warn_of_own_limits(&loaded.scenario, share.of());
    let prepared = prepare::prepare_share(loaded, &authorised, share)?;
    let folder = make_folder(out.as_deref(), &prepared.scenario.name, prepared.started_unix_us())?;
    let journal_path = folder.join(JOURNAL_FILE);
    let journal = JournalWriter::create(&journal_path, &prepared.manifest)
        .map_err(|source| JournalError::Io { path: journal_path.clone(), source })?;
    let runtime = single_loop().map_err(|source| RunError::Start { what: "the runtime", source })?;
    let beside = conduct::Beside { on_progress, ..conduct::Beside::default() };
    let conducted = runtime.block_on(conduct::conduct(Arc::new(prepared), journal, beside))?;
    runtime.shutdown_background();
    let journal = match conducted.in_memory {
        Some(journal) => journal,
        None => read_journal(&journal_path)?,
    };
    let model = RunModel::new(journal);
    let write_faults = write_all(&model, &folder);
    Ok(RunDone { model, folder, write_faults })
}

/// Says which of the target's limits hold for each shard by itself.
fn warn_of_own_limits(scenario: &Scenario, of: u32) {
    let own = own_limits(scenario);
    if of > 1 && !own.is_empty() {
        let keys = own.join(", ");
        log::warn!(
            "each of {of} shards has a target of its own: {keys} holds for each, not for all together"
        );
    }
}

/// Each shard needs a client.
fn check_shards(shards: u32, scenario: &Scenario) -> Result<(), RunError> {
    let clients = scenario.clients();
    if shards > clients { Err(RunError::TooManyShards { shards, clients }) } else { Ok(()) }
}
