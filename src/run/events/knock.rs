//! `resurge mark`: a mark in a run that goes on, from another process.
//!
//! In: the run's folder, a text. Out: the moment of the mark, or why there is none.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::exit_code::ExitCode;
use crate::machine::ask_local_socket;
use crate::report::SHARDS_FOLDER;

use super::super::found::is_run_folder;
use super::door::SOCKET;
use super::marks::check_text;

/// How long a run gets to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer.
const MOST_BYTES: u64 = 4 * 1024;

/// Why there is no mark.
#[derive(Debug, thiserror::Error)]
pub enum KnockError {
    /// The text cannot be one.
    #[error("{0}")]
    Text(String),
    /// It is no run folder.
    #[error("{} is no run folder: name the one that the run writes, as --out does", path.display())]
    NoRun {
        /// What was named.
        path: PathBuf,
    },
    /// Nobody is there.
    #[error("{} takes no marks: the run is over, or was killed, or has not begun, or workers run it: then the folder of the first takes them", path.display())]
    Nobody {
        /// The folder.
        path: PathBuf,
    },
    /// The run says no.
    #[error("{0}")]
    Refused(String),
    /// The run does not answer.
    #[error("{} does not answer: {source}", path.display())]
    Silent {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl KnockError {
    /// The exit code that says it.
    #[must_use]
    pub const fn exit_code(&self) -> ExitCode {
        match self {
            Self::Text(_) => ExitCode::Usage,
            Self::NoRun { .. } => ExitCode::Unreadable,
            Self::Nobody { .. } | Self::Refused(_) | Self::Silent { .. } => ExitCode::Unexpected,
        }
    }
}

/// Marks the present moment in the run whose folder is `run`. Answers with the time since the run's start.
///
/// # Errors
/// [`KnockError`].
pub fn mark_run(run: &Path, text: &str) -> Result<Duration, KnockError> {
    check_text(text).map_err(KnockError::Text)?;
    let first_shard = run.join(SHARDS_FOLDER).join("1");
    let doors = [run.to_owned(), first_shard.clone()];
    let Some(folder) = doors.iter().find(|folder| folder.join(SOCKET).symlink_metadata().is_ok()) else {
        let is_run = is_run_folder(run) || run.join(SHARDS_FOLDER).is_dir();
        let path = run.to_owned();
        return Err(if is_run { KnockError::Nobody { path } } else { KnockError::NoRun { path } });
    };
    let silent = |source| KnockError::Silent { path: run.to_owned(), source };
    let asked = ask_local_socket(folder, SOCKET, text, (PATIENCE, MOST_BYTES));
    let answer = asked.map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {
            KnockError::Nobody { path: run.to_owned() }
        }
        _ => silent(error),
    })?;
    match answer.trim_end().split_once(' ') {
        Some(("ok", at_us)) => match at_us.parse() {
            Ok(at_us) => Ok(Duration::from_micros(at_us)),
            Err(_) => Err(silent(io::Error::other("it answers with what is no moment"))),
        },
        Some(("no", why)) => Err(KnockError::Refused(why.to_owned())),
        _ => Err(silent(io::Error::other("it is over, or has too much to do"))),
    }
}
