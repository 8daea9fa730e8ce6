//! A run in the test's own process.

use std::path::{Path, PathBuf};

use resurge::run::{RunDone, RunRequest, run};

/// Runs a scenario whose run folder is `out`.
pub(crate) fn run_file(scenario: &Path, overrides: &[(&str, &str)], out: PathBuf) -> RunDone {
    let request = RunRequest {
        scenario: scenario.to_owned(),
        overrides: overrides.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        seed: None,
        out: Some(out),
        authorised: Vec::new(),
        attempts: false,
        allow_commands: false,
        on_progress: None,
        live: None,
    };
    run(request).unwrap_or_else(|error| panic!("{}: {error}", scenario.display()))
}
