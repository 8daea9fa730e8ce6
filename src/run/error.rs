//! Why there was no run, and the exit code that says it.

use std::path::PathBuf;

use crate::drive::network::{ContextError, Forbidden, TlsError};
use crate::exit_code::ExitCode;
use crate::plan::BudgetError;
use crate::record::{JournalError, MergeError};
use crate::scenario::ScenarioError;

use super::calibrate::CalibrateError;
use super::folder::FolderError;

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
    /// Events would run commands, and the user has not allowed it.
    #[error(
        "{scenario} does this on this machine, and nothing was begun:\n  {}\nIf that is what you want, add --allow-commands",
        events.join("\n  ")
    )]
    CommandsNotAllowed {
        /// Its name.
        scenario: String,
        /// What its events do, in words.
        events: Vec<String>,
    },
    /// The machines of a run cannot be led, or joined.
    #[cfg(feature = "cluster")]
    #[error(transparent)]
    Cluster(#[from] super::cluster::ClusterError),
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
        "{shards} shards are more than the scenario has clients ({clients}): name at most {clients}, or --shards auto where one machine runs it"
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
    /// Not all shards could begin in time, and none did.
    #[error("{} not ready within {} s; none was started", words_of(missing, *of), within.as_secs())]
    NotReady {
        /// Which.
        missing: Vec<u32>,
        /// Of how many.
        of: u32,
        /// How long they had.
        within: std::time::Duration,
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
            Self::NotAuthorised(_) | Self::CommandsNotAllowed { .. } => ExitCode::NotAuthorised,
            Self::Budget(_) | Self::SourceAddress { .. } => ExitCode::NotValid,
            Self::Folder(FolderError::Exists { .. }) | Self::TooManyShards { .. } | Self::NoFile { .. } => {
                ExitCode::Usage
            }
            Self::Shard { exit_code, .. } => *exit_code,
            Self::Interrupted => ExitCode::Interrupted,
            Self::Merge(_) | Self::NotReady { .. } => ExitCode::Incomplete,
            #[cfg(feature = "cluster")]
            Self::Cluster(error) => error.exit_code(),
            Self::Folder(_) | Self::Tls(_) | Self::Context(_) | Self::Journal(_) | Self::Start { .. } => {
                ExitCode::Unexpected
            }
        }
    }
}

/// Which shards of how many, as the subject of a sentence.
fn words_of(shards: &[u32], of: u32) -> String {
    let named: Vec<String> = shards.iter().take(20).map(u32::to_string).collect();
    let more = shards.len().saturating_sub(named.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let (noun, verb) = if shards.len() == 1 { ("shard", "was") } else { ("shards", "were") };
    format!("{noun} {}{more} of {of} {verb}", named.join(", "))
}
