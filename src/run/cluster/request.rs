//! What a worker is asked for.
//!
//! In: the command line. Out: plain data.

use std::path::PathBuf;
use std::time::Duration;

use super::link::ClusterLink;
use super::names::RunName;

/// What a worker is to do.
#[derive(Debug, Clone)]
pub struct WorkRequest {
    /// The NATS server.
    pub link: ClusterLink,
    /// The run.
    pub run: RunName,
    /// The share, from 1; `None`: a free one.
    pub index: Option<u32>,
    /// Whether this is one of the further processes of a worker.
    pub is_part: bool,
    /// Its folder; `None`: one under `reports/`.
    pub out: Option<PathBuf>,
    /// Hosts that the user of this machine authorised.
    pub authorised: Vec<String>,
    /// Whether events may run commands and signal processes here.
    pub allow_commands: bool,
    /// How long the run is waited for, and a time that is known well enough.
    pub wait: Duration,
    /// How long the run goes on without its coordinator; `None`: to its planned end.
    pub orphan_grace: Option<Duration>,
    /// How long the coordinator may take for the rest of the journal, once the share has ended.
    pub upload_within: Duration,
}
