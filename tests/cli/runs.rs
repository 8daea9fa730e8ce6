//! A run of the program in a run folder of its own, with what came of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Output;

use crate::support::free_machine::on_a_free_machine;
use crate::support::output::{said, text, unwrapped};
use crate::support::program::resurge;
use crate::support::run_folder::json;
use crate::support::tables::rows;

/// A run, and what came of it.
pub(crate) struct Run {
    _home: tempfile::TempDir,
    pub(crate) folder: PathBuf,
    output: Output,
}

/// Runs a scenario; again, where the machine was too busy.
pub(crate) fn run_with(scenario: &str, more: &[&str]) -> Run {
    let run = || {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("run");
        let mut command = resurge();
        command.args(["run", scenario, "--progress", "none", "--out"]).arg(&folder).args(more);
        Run { output: command.output().unwrap(), _home: home, folder }
    };
    on_a_free_machine(run, |run: &Run| said(&run.output))
}

impl Run {
    pub(crate) fn code(&self) -> i32 {
        self.output.status.code().unwrap()
    }

    pub(crate) fn stdout(&self) -> String {
        unwrapped(&self.output.stdout)
    }

    pub(crate) fn stderr(&self) -> String {
        text(&self.output.stderr)
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        json(&self.folder)
    }

    pub(crate) fn rows(&self, file: &str) -> Vec<BTreeMap<String, String>> {
        rows(&self.folder, file)
    }

    /// Attempts of a group and kind with an outcome, and their causes.
    pub(crate) fn outcome(&self, group: &str, kind: &str, outcome: &str) -> (u64, Vec<String>) {
        let rows = self.rows("outcomes.csv").into_iter();
        let found: Vec<_> = rows
            .filter(|row| row["group"] == group && row["kind"] == kind && row["outcome"] == outcome)
            .collect();
        let count = found.iter().map(|row| row["count"].parse::<u64>().unwrap()).sum();
        (count, found.iter().map(|row| row["cause"].clone()).collect())
    }

    /// What must hold in every run against the embedded target that came to its end.
    pub(crate) fn assert_sound(&self) {
        let json = self.json();
        let said = format!("{}\n{}", self.stdout(), self.stderr());
        assert_eq!(json["accounting"]["closes"], true, "{said}");
        assert_eq!(json["reconciliation"]["exact"], true, "{said}");
        let mut by_group: BTreeMap<String, u64> = BTreeMap::new();
        for row in self.rows("outcomes.csv") {
            *by_group.entry(row["group"].clone()).or_default() += row["count"].parse::<u64>().unwrap();
        }
        for group in json["accounting"]["groups"].as_array().unwrap() {
            let name = group["group"].as_str().unwrap();
            let attempts = group["attempts"].as_u64().unwrap();
            assert_eq!(by_group.get(name).copied().unwrap_or(0), attempts, "{name}: outcomes.csv");
            let outcomes: u64 =
                group["outcomes"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
            assert_eq!(outcomes, attempts, "{name}: run.json");
            let rows = self.rows("timeseries.csv").into_iter().filter(|row| row["group"] == name);
            let seconds: Vec<u64> = rows.map(|row| row["attempts"].parse::<u64>().unwrap()).collect();
            assert_eq!(seconds.iter().sum::<u64>(), attempts, "{name}: timeseries.csv");
        }
        for row in self.rows("timeseries.csv") {
            let number = |key: &str| row[key].parse::<u64>().unwrap();
            let named = ["ok", "http_401", "http_403", "http_429", "http_5xx", "other_failures"].map(number);
            assert_eq!(named.iter().sum::<u64>(), number("attempts"), "each second's outcomes: {row:?}");
        }
    }
}
