//! The runs of a folder, as far as a line can tell them.
//!
//! In: the folder that runs go to. Out: each run folder with what its `run.json` says, the last first.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Deserialize;

use crate::declare::read_capped;
use crate::report::{JOURNAL_FILE, RUN_JSON_FILE, Status};
use crate::sample::{Metric, Outcome};

use super::found::is_run_folder;

/// The largest `run.json` that is looked at.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// A run folder.
#[derive(Debug)]
pub struct ListedRun {
    /// The folder.
    pub folder: PathBuf,
    /// When its journal was last written: its end, or now.
    pub written: SystemTime,
    /// What its `run.json` says; `None`: it goes on, or was killed, or another version wrote it.
    pub told: Option<Told>,
}

/// What `run.json` says of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// Equal for two runs of the same scenario.
    pub hash: String,
    /// The scenario's name.
    pub name: String,
    /// How it came out.
    pub status: Status,
    /// Clients that the scenario has.
    pub clients: u64,
    /// Attempts.
    pub attempts: u64,
    /// 99th percentile of the reconnect latency, µs; `None`: nobody came back, or it lies beyond what was seen.
    pub reconnect_p99_us: Option<u64>,
    /// Handshakes that were refused with 403, of those that were answered.
    pub refused_403: (u64, u64),
    /// Whether it ran in virtual time.
    pub is_simulated: bool,
    /// When it began, microseconds since 1970.
    pub started_unix_us: u64,
}

/// When the run began that is shipped as `reports/sample`.
const SAMPLE_STARTED_UNIX_US: u64 = 1_796_003_974_147_634;

impl ListedRun {
    /// Whether it is the sample that comes with the program's source: it was not made here.
    #[must_use]
    pub fn is_sample(&self) -> bool {
        self.told.as_ref().is_some_and(|told| told.started_unix_us == SAMPLE_STARTED_UNIX_US)
    }
}

#[derive(Deserialize)]
struct Head {
    scenario: HeadScenario,
    verdict: HeadVerdict,
    accounting: HeadAccounting,
    simulated: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    start_unix_us: u64,
}

#[derive(Deserialize)]
struct HeadScenario {
    hash: String,
    name: String,
}

#[derive(Deserialize)]
struct HeadVerdict {
    status: Status,
}

#[derive(Deserialize)]
struct HeadAccounting {
    all: HeadGroup,
}

#[derive(Deserialize)]
struct HeadGroup {
    clients: u64,
    attempts: u64,
    outcomes: BTreeMap<Outcome, u64>,
    latencies: BTreeMap<Metric, HeadLatency>,
}

#[derive(Deserialize)]
struct HeadLatency {
    p99_us: Option<u64>,
}

/// The run folders in `folder`, the last written first.
///
/// # Errors
/// The folder cannot be read.
pub fn list_runs(folder: &Path) -> io::Result<Vec<ListedRun>> {
    let mut runs = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if is_run_folder(&path) {
            runs.push(listed(path));
        }
    }
    runs.sort_by(|a, b| b.written.cmp(&a.written).then_with(|| a.folder.cmp(&b.folder)));
    Ok(runs)
}

fn listed(folder: PathBuf) -> ListedRun {
    let written = fs::metadata(folder.join(JOURNAL_FILE)).or_else(|_| fs::metadata(&folder));
    let written = written.and_then(|file| file.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let told = read_capped(&folder.join(RUN_JSON_FILE), MOST_BYTES).ok().and_then(|text| told(&text));
    ListedRun { folder, written, told }
}

fn told(text: &str) -> Option<Told> {
    let Head { scenario, verdict, accounting, simulated, start_unix_us } = serde_json::from_str(text).ok()?;
    let HeadGroup { clients, attempts, outcomes, latencies } = accounting.all;
    let answered = outcomes.iter().filter(|(outcome, _)| outcome.is_answered()).map(|(_, count)| count).sum();
    Some(Told {
        hash: scenario.hash,
        name: scenario.name,
        status: verdict.status,
        clients,
        attempts,
        reconnect_p99_us: latencies.get(&Metric::ReconnectLatency).and_then(|latency| latency.p99_us),
        refused_403: (outcomes.get(&Outcome::Http403).copied().unwrap_or(0), answered),
        is_simulated: simulated.is_some(),
        started_unix_us: start_unix_us,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_told_and_what_is_no_run_is_left_out() {
        let runs = list_runs(&Path::new(env!("CARGO_MANIFEST_DIR")).join("reports")).unwrap();
        let sample = runs.iter().find(|run| run.folder.ends_with("sample")).unwrap();
        let told = sample.told.as_ref().unwrap();
        assert_eq!((told.status, told.clients, told.attempts), (Status::Pass, 2_000, 4_000));
        assert_eq!(told.refused_403, (0, 4_000));
        assert!(sample.is_sample(), "{}", told.started_unix_us);
        assert!(told.reconnect_p99_us.is_some_and(|us| us > 1_000_000) && !told.is_simulated);
        assert!(!runs.iter().any(|run| run.folder.ends_with("baselines")));
    }

    #[test]
    fn a_run_without_a_report_and_one_of_another_version_are_there_all_the_same() {
        let home = tempfile::tempdir().unwrap();
        for (name, text) in [("cut-off", None), ("foreign", Some("{\"scenario\":{}}"))] {
            fs::create_dir(home.path().join(name)).unwrap();
            fs::write(home.path().join(name).join(JOURNAL_FILE), "").unwrap();
            if let Some(text) = text {
                fs::write(home.path().join(name).join(RUN_JSON_FILE), text).unwrap();
            }
        }
        fs::create_dir(home.path().join("nothing")).unwrap();
        let runs = list_runs(home.path()).unwrap();
        assert_eq!(runs.iter().map(|run| run.told.is_some()).collect::<Vec<_>>(), [false, false]);
    }
}
