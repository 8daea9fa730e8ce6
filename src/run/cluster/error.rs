//! Why a run over many machines cannot be, or a worker cannot join it.

use crate::exit_code::ExitCode;

/// Why a NATS server, or the run that it carries, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// It is no address.
    #[error("--cluster{}{address}: {why}. Write it as nats://HOST:4222, or tls://HOST:4222", if address.is_empty() { "" } else { " " })]
    Address {
        /// What the user wrote, without a password.
        address: String,
        /// What is wrong.
        why: String,
    },
    /// Others on the way could read it, and whoever reaches the port could take part.
    #[error(
        "{address} is not this machine, and the way there would be {what}. Use tls:// and --nats-creds (or a user in the address), \
         or --nats-insecure where the network is your own"
    )]
    Insecure {
        /// The address.
        address: String,
        /// What is missing.
        what: &'static str,
    },
    /// A run cannot begin with more workers than it has.
    #[error("--min-workers {least} is more than --workers {workers}")]
    Least {
        /// What was asked for.
        least: u32,
        /// How many there are.
        workers: u32,
    },
    /// Nobody answers.
    #[error(
        "no NATS server answers at {address}: {why}. Start one (nats-server -js), or name another with --cluster"
    )]
    Away {
        /// The address.
        address: String,
        /// Why.
        why: String,
    },
    /// It does not let us in.
    #[error(
        "the NATS server at {address} does not let us in: {why}. Give --nats-creds, or a user in the address"
    )]
    Refused {
        /// The address.
        address: String,
        /// Why.
        why: String,
    },
    /// It carries messages and keeps none.
    #[error(
        "the NATS server at {address} has no JetStream for us: {why}. Start it with -js, or have it allowed for this account"
    )]
    NoJetStream {
        /// The address.
        address: String,
        /// Why.
        why: String,
    },
    /// It did not do what it was asked for.
    #[error("NATS: {what}: {why}")]
    Failed {
        /// What was asked for.
        what: &'static str,
        /// Why it was not done.
        why: String,
    },
    /// A name is used once.
    #[error("there is a run `{run}` already, begun by {by}: give another name with --run")]
    NameUsed {
        /// The name.
        run: String,
        /// Who has it.
        by: String,
    },
    /// Nobody has begun it.
    #[error(
        "there is no run `{run}` at {address}, and none came within {waited_s} s: begin it with resurge run SCENARIO --cluster {address} --workers N --run {run}"
    )]
    NoRun {
        /// The name.
        run: String,
        /// The address.
        address: String,
        /// How long it was waited for.
        waited_s: u64,
    },
    /// Worker and coordinator are not the same program.
    #[error("run `{run}` is led by resurge {theirs}, and this is resurge {ours}: use the same")]
    OtherVersion {
        /// The run.
        run: String,
        /// The coordinator's version.
        theirs: String,
        /// This program's.
        ours: String,
    },
    /// Read here, the scenario is another one.
    #[error(
        "run `{run}`: the scenario means something else here ({ours}) than to its coordinator ({theirs}): files or variables that it names differ"
    )]
    OtherScenario {
        /// The run.
        run: String,
        /// The coordinator's hash.
        theirs: String,
        /// This one's.
        ours: String,
    },
    /// Somebody has that share.
    #[error("run `{run}`: share {shard} of {of} was taken by {by}: a share is run once")]
    ShareTaken {
        /// The run.
        run: String,
        /// Which.
        shard: u32,
        /// Of how many.
        of: u32,
        /// Who has it.
        by: String,
    },
    /// There is no such share.
    #[error("run `{run}` has {of} shares: there is no share {shard}")]
    NoShare {
        /// The run.
        run: String,
        /// Which.
        shard: u32,
        /// Of how many.
        of: u32,
    },
    /// It was not begun.
    #[error("run `{run}` did not begin: its coordinator called it off, or is gone")]
    CalledOff {
        /// The run.
        run: String,
    },
    /// It has begun without this worker.
    #[error(
        "run `{run}` began {late_s:.1} s ago: share {shard} of {of} is not begun late, for it would bend what all measure together"
    )]
    Begun {
        /// The run.
        run: String,
        /// Which share.
        shard: u32,
        /// Of how many.
        of: u32,
        /// How long ago.
        late_s: f64,
    },
    /// Another run has the same target.
    #[error(
        "{target} is under load by run `{run}`, begun by {by}, until {until}: both would measure each other. Wait for its end, or run all the same with --share-target"
    )]
    TargetInUse {
        /// Its host and port.
        target: String,
        /// The run that has it.
        run: String,
        /// Who began it.
        by: String,
        /// When it ends at the latest.
        until: String,
    },
    /// A worker too many.
    #[error("run `{run}`: all {of} shares are taken; this worker is not needed")]
    NoneLeft {
        /// The run.
        run: String,
        /// How many there are.
        of: u32,
    },
    /// The common start could be missed by more than is told.
    #[error(
        "run `{run}`: the time of its coordinator is known to {known_ms} ms only, and {most_ms} ms are the most: the way to NATS is too slow"
    )]
    Uncertain {
        /// The run.
        run: String,
        /// The bound of the error, in milliseconds.
        known_ms: u64,
        /// The largest bound that is accepted.
        most_ms: u64,
    },
}

impl ClusterError {
    /// The exit code that says so.
    #[must_use]
    pub const fn exit_code(&self) -> ExitCode {
        match self {
            Self::Address { .. } | Self::Least { .. } | Self::NameUsed { .. } | Self::NoShare { .. } => {
                ExitCode::Usage
            }
            Self::Insecure { .. } | Self::Refused { .. } => ExitCode::NotAuthorised,
            Self::Away { .. }
            | Self::NoJetStream { .. }
            | Self::NoRun { .. }
            | Self::Begun { .. }
            | Self::CalledOff { .. }
            | Self::Uncertain { .. }
            | Self::TargetInUse { .. }
            | Self::Failed { .. } => ExitCode::TryAgain,
            Self::OtherVersion { .. }
            | Self::OtherScenario { .. }
            | Self::ShareTaken { .. }
            | Self::NoneLeft { .. } => ExitCode::Usage,
        }
    }
}
