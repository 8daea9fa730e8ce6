//! What to run, and who is told how it goes.

use std::path::PathBuf;

use crate::record::LiveView;
use crate::scenario::Overrides;
use crate::scenario::keys::Scenario;

use super::live::LiveCommands;

/// Called once a second with how the run stands; at its start with an empty view.
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
    /// Whether each attempt is written to `attempts.csv`.
    pub attempts: bool,
    /// Whether events may run commands and signal processes.
    pub allow_commands: bool,
    /// Told how the run stands.
    pub on_progress: Option<OnProgress>,
    /// What somebody may ask of it while it goes on.
    pub live: Option<LiveCommands>,
}
