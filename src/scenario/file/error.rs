//! Why a scenario cannot be used.

use crate::declare::Faults;
use crate::scenario::profiles::profile_names;

/// Why a scenario cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file cannot be read.
    #[error("cannot read the scenario {path}: {source}{}", missing_hint(source))]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The name of a shipped scenario is none.
    #[error("{0}")]
    NotShipped(String),
    /// An address that is no WebSocket's.
    #[error("an address in the place of a scenario is a WebSocket's: write it as ws://… or wss://…")]
    NoSocket,
    /// The name of a profile is none.
    #[error(
        "there is no profile {name}, and no file of that name: {source}. The shipped profiles are {}", profile_names().join(", ")
    )]
    NoProfile {
        /// What was asked for.
        name: String,
        /// Why the file cannot be read.
        source: std::io::Error,
    },
    /// The text has faults.
    #[error("{0}")]
    Faults(Faults),
}

/// What to do where there is no such file.
fn missing_hint(error: &std::io::Error) -> &'static str {
    if error.kind() == std::io::ErrorKind::NotFound {
        ". `resurge examples` lists the scenarios in the program (--example NAME runs one), `resurge init` writes one"
    } else {
        ""
    }
}
