//! Why there is nothing to start a run with.

use std::path::PathBuf;

use crate::exit_code::ExitCode;
use crate::scenario::ScenarioError;

/// Why a run on many machines cannot be launched so.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The scenario cannot be used.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// It can be read only once.
    #[error("{} is no file: it is read here and where the run is led. Write it to a file", path.display())]
    NoFile {
        /// What it is read from.
        path: PathBuf,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Somebody would have nothing to do.
    #[error(
        "{workers} workers are more than the scenario has clients ({clients}): name at most {clients} with --workers"
    )]
    TooManyWorkers {
        /// How many were asked for.
        workers: u32,
        /// How many clients there are.
        clients: u32,
    },
    /// A worker would need more ports than one address has.
    #[error(
        "a worker would need {ports} local ports of one address, and there are {most}: name more workers, {workers} at least"
    )]
    Ports {
        /// How many it would need.
        ports: u64,
        /// How many there are.
        most: u64,
        /// How many workers would do.
        workers: u64,
    },
    /// Events would run commands, and the user has not allowed it.
    #[error(
        "{scenario} does this on the machines of the workers:\n  {}\nIf that is what you want, add --allow-commands",
        events.join("\n  ")
    )]
    CommandsNotAllowed {
        /// Its name.
        scenario: String,
        /// What its events do, in words.
        events: Vec<String>,
    },
    /// The address of the NATS server is none.
    #[error("--nats {address}: {why}. Write it as nats://HOST:4222, or tls://HOST:4222")]
    Address {
        /// What the user wrote; nothing where a password may stand in it.
        address: String,
        /// What is wrong.
        why: &'static str,
    },
    /// The address holds a password.
    #[error(
        "--nats: the address holds a user or a password, which would stand in what is printed: {instead}"
    )]
    Password {
        /// What to do instead.
        instead: &'static str,
    },
    /// Others on the way could read it, or take part.
    #[error(
        "the way to {address} would be {what}. {remedy}, or --nats-insecure where the network is your own"
    )]
    Insecure {
        /// The address.
        address: String,
        /// What is missing.
        what: &'static str,
        /// What to give.
        remedy: String,
    },
    /// A name that the scheduler does not take.
    #[error("{option} {text}: {allowed}")]
    Name {
        /// The option.
        option: &'static str,
        /// What the user wrote.
        text: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// An override holds a secret.
    #[error(
        "--set holds a secret, which would stand in what is printed: write {{ env = \"NAME\" }} in the scenario"
    )]
    SecretInOverride,
    /// Files that a pod cannot have.
    #[error(
        "the scenario names {}: a pod has only files of the scenario's folder and below it. Name them relative to it, without `..`",
        files.join(", ")
    )]
    FilesElsewhere {
        /// Which.
        files: Vec<String>,
    },
    /// Files that hold secrets, or lie on a machine of their own.
    #[error(
        "the scenario names {}, which may hold secrets and go into no ConfigMap: put them into a Secret and name it with --files-secret, or \
         use {{ env = \"NAME\" }}",
        files.join(", ")
    )]
    SecretFiles {
        /// Which.
        files: Vec<String>,
    },
    /// Kubernetes keeps no more in one object.
    #[error("scenario and files have {bytes} bytes, and a ConfigMap holds {most}")]
    TooLarge {
        /// How many they have.
        bytes: usize,
        /// How many fit.
        most: usize,
    },
    /// A fault of this program.
    #[error("the text cannot be made: {0}")]
    Render(#[from] minijinja::Error),
}

impl LaunchError {
    /// The exit code that says it.
    #[must_use]
    pub const fn exit_code(&self) -> ExitCode {
        match self {
            Self::Scenario(_) => ExitCode::ScenarioInvalid,
            Self::Insecure { .. } | Self::CommandsNotAllowed { .. } => ExitCode::NotAuthorised,
            Self::Unreadable { .. } | Self::Render(_) => ExitCode::Unexpected,
            Self::NoFile { .. }
            | Self::TooManyWorkers { .. }
            | Self::Ports { .. }
            | Self::Address { .. }
            | Self::Password { .. }
            | Self::Name { .. }
            | Self::SecretInOverride
            | Self::FilesElsewhere { .. }
            | Self::SecretFiles { .. }
            | Self::TooLarge { .. } => ExitCode::Usage,
        }
    }
}
