//! What a parent and its children say to each other: lines of JSON.
//!
//! In: orders, reports. Out: lines, each one message. Both ends are the same program; the version in the first order says so, in case the file was replaced
//! while it ran. Secrets go over it as the user typed them, and nowhere else.

use std::fmt;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::engine::StopReason;
use crate::exit_code::ExitCode;
use crate::record::{Mark, PackedTally};

/// Version of the protocol.
pub(super) const VERSION: u32 = 5;

/// What a parent tells a child.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub(in super::super) enum Order {
    /// What to run. The first order.
    Prepare(Box<Preparation>),
    /// When to start.
    Start {
        /// Microseconds since 1970.
        unix_us: u64,
        /// Shards without which the run begins.
        #[serde(default)]
        absent: Vec<u32>,
    },
    /// Drain.
    Stop {
        /// Why.
        reason: StopReason,
    },
    /// Cut everything off.
    Abort,
    /// The parent got a SIGUSR1: mark this moment.
    Mark,
    /// Somebody asks for a storm, now.
    Storm {
        /// Which of those that were asked for, from 0.
        number: u16,
        /// Share of the sessions, above 0 and up to 1.
        fraction: f64,
    },
    /// Bytes of the journal's copy were lost on the way.
    Resend {
        /// From this one on.
        from: u64,
    },
    /// Its end is known, and its whole journal is there.
    Seen,
}

/// What a child has to run. Its overrides may hold secrets.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(in super::super) struct Preparation {
    /// [`VERSION`] of the parent.
    pub(super) version: u32,
    /// The scenario's file.
    pub(super) scenario: PathBuf,
    /// Its hash, as the parent read it.
    pub(super) hash: String,
    /// Overrides of its keys.
    pub(super) overrides: Vec<(String, String)>,
    /// Override of its seed.
    pub(super) seed: Option<u64>,
    /// Hosts that the user authorised.
    pub(super) authorised: Vec<String>,
    /// Whether each attempt is written to `attempts.csv`.
    pub(super) attempts: bool,
    /// Whether events may run commands and signal processes.
    pub(super) allow_commands: bool,
    /// The child's folder.
    pub(super) out: PathBuf,
    /// In virtual time; `None`: in real time.
    pub(super) simulated: Option<Virtual>,
}

/// What a run in virtual time takes beside its scenario.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Virtual {
    /// When it begins, in microseconds since 1970.
    pub(super) start_unix_us: u64,
    /// A run whose measured times are taken.
    pub(super) calibrate: Option<PathBuf>,
}

impl fmt::Debug for Preparation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, scenario, hash, seed, authorised, attempts, allow_commands, out, .. } = self;
        let Self { overrides, simulated, .. } = self;
        let keys: Vec<&str> = overrides.iter().map(|(key, _)| key.as_str()).collect();
        f.debug_struct("Preparation")
            .field("version", version)
            .field("scenario", scenario)
            .field("hash", hash)
            .field("overrides", &keys)
            .field("seed", seed)
            .field("authorised", authorised)
            .field("attempts", attempts)
            .field("allow_commands", allow_commands)
            .field("out", out)
            .field("simulated", simulated)
            .finish()
    }
}

/// What a child tells its parent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "snake_case")]
pub(in super::super) enum Report {
    /// It can start: its target has its addresses.
    Ready,
    /// It was not ready when it should have started.
    Late {
        /// By how much, in microseconds.
        by_us: u64,
    },
    /// A second's numbers.
    Second {
        /// The groups' tallies, packed as in the journal, in base64.
        groups: String,
    },
    /// Something was done to the service, or told from outside; or what came of it.
    Mark {
        /// What.
        mark: Box<Mark>,
    },
    /// It has ended.
    Done {
        /// Why it ended.
        reason: StopReason,
        /// Its whole journal in base64, where that could not be written to its file; otherwise the file is whole.
        unwritten: Option<String>,
    },
    /// It has ended, and its journal goes out in pieces.
    Sealed {
        /// How long that is, in bytes.
        length: u64,
        /// Its SHA-256, in hexadecimal digits.
        sha256: String,
        /// Why it ended.
        reason: StopReason,
    },
    /// It cannot go on.
    Failed {
        /// The exit code that says why.
        exit_code: ExitCode,
        /// Why.
        message: String,
    },
}

/// A message as a line.
pub(super) fn line(message: &impl Serialize) -> String {
    // Plain data always has a JSON form.
    serde_json::to_string(message).unwrap_or_default() + "\n"
}

/// The message in a line; `None` when it is none.
pub(super) fn read<'t, M: Deserialize<'t>>(line: &'t str) -> Option<M> {
    serde_json::from_str(line).ok()
}

/// Bytes as a message holds them.
pub(super) fn encoded(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The bytes in a message; `None` when they are none.
pub(super) fn decoded(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Tallies as [`Report::Second`] holds them.
pub(super) fn packed(groups: &[PackedTally]) -> String {
    encoded(&postcard::to_stdvec(groups).unwrap_or_default())
}

/// The tallies in a [`Report::Second`]; `None` when they are none.
pub(super) fn unpacked(text: &str) -> Option<Vec<PackedTally>> {
    let groups: Vec<PackedTally> = postcard::from_bytes(&decoded(text)?).ok()?;
    groups.iter().all(PackedTally::is_sound).then_some(groups)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::record::Tally;
    use crate::sample::Sample;

    #[test]
    fn messages_are_lines_and_read_back() {
        let mut tally = Tally::default();
        tally.apply(&Sample::Lag(Duration::from_millis(3)));
        let groups = vec![PackedTally::of(&tally), PackedTally::of(&Tally::default())];
        let reports = [
            Report::Ready,
            Report::Late { by_us: 9 },
            Report::Second { groups: packed(&groups) },
            Report::Done { reason: StopReason::Completed, unwritten: Some(encoded(&[0, 255])) },
            Report::Failed { exit_code: ExitCode::Unexpected, message: "two\nlines".into() },
        ];
        for report in reports {
            let line = line(&report);
            assert_eq!(line.matches('\n').count(), 1, "{line}");
            assert_eq!(read::<Report>(line.trim_end()), Some(report));
        }
        let stop = Order::Stop { reason: StopReason::Threshold { threshold: "lag: max < 1s".into() } };
        assert_eq!(read::<Order>(line(&stop).trim_end()), Some(stop));
        assert_eq!(unpacked(&packed(&groups)), Some(groups));
        assert_eq!((read::<Report>("hello"), unpacked("AAECAwQ")), (None, None));
    }
}
