//! Shards that are killed, interrupted or orphaned: what is lost is told, the others go on, and no process is left.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use crate::shard_runs::{assert_no_process_is_left, merge};
use crate::support::begun::await_begun;
use crate::support::coming_and_going::coming_and_going;
use crate::support::output::said;
use crate::support::processes::processes_of;
use crate::support::program::resurge;
use crate::support::run_folder::json;
use crate::support::scene::Scene;
use crate::support::signals::send;

/// Starts a run of three shards, and waits until each has written a second.
fn start_three(scenario: &Scene, more: &[&str]) -> Child {
    let mut command = scenario.command("run", &[&["--shards", "3"], more].concat());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    await_begun(&scenario.path("run"), 3);
    child
}

#[test]
fn a_shard_that_is_killed_is_told_and_the_others_go_on() {
    let scenario = Scene::new(&coming_and_going(30, "60s"));
    let child = start_three(&scenario, &["--set", "duration=5s"]);
    send(processes_of(&scenario.file())["2/3"], "KILL");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(111), "{}", said(&output));
    let told = said(&output);
    assert!(
        told.contains("INCOMPLETE") && told.contains("shard 2 of 3 is lost with its 10 clients (g 10)"),
        "{told}"
    );
    assert!(told.contains("its numbers are missing from second") && told.contains("signal 9"), "{told}");
    assert!(told.contains("what its target counted is unknown") && !told.contains("DO NOT"), "{told}");
    let json = json(&scenario.path("run"));
    let lost = &json["shards"]["lost"][0];
    assert_eq!((lost["shard"].as_u64(), lost["clients"]["g"].as_u64()), (Some(2), Some(10)));
    assert!(lost["from_s"].as_u64().unwrap() >= 1, "{lost}");
    assert_eq!(json["verdict"]["exit_code"], 111);
    assert_eq!(
        (json["accounting"]["closes"].as_bool(), &json["reconciliation"]),
        (Some(true), &serde_json::Value::Null)
    );
    // What is left is the sum of what the shards' journals hold.
    let attempts: u64 =
        (1..=3).map(|shard: u32| attempts_in(&scenario.path("run/shards").join(shard.to_string()))).sum();
    assert_eq!(json["accounting"]["all"]["attempts"].as_u64(), Some(attempts));
    assert_eq!(json["accounting"]["all"]["counters"]["clients_started"], 30);
    assert_no_process_is_left(&scenario);
}

/// Attempts in a journal's whole seconds.
fn attempts_in(folder: &Path) -> u64 {
    let journal = resurge::record::read_journal(&folder.join("journal.bin")).unwrap();
    let seconds = journal.intervals.iter().flat_map(|(_, groups)| groups);
    seconds.map(|tally| tally.unpack_counts().attempts_total()).sum()
}

#[test]
fn an_interrupt_drains_all_shards_and_reports_in_full() {
    let scenario = Scene::new(&coming_and_going(30, "60s"));
    let child = start_three(&scenario, &[]);
    send(child.id(), "INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(105), "{}", said(&output));
    assert!(said(&output).contains("clients and target agree exactly"), "{}", said(&output));
    assert_eq!(json(&scenario.path("run"))["ended"]["how"], "interrupted");
    assert_no_process_is_left(&scenario);
}

#[test]
fn children_whose_parent_is_killed_are_gone_soon() {
    let scenario = Scene::new(&coming_and_going(30, "60s"));
    let mut child = start_three(&scenario, &[]);
    assert_eq!(processes_of(&scenario.file()).len(), 4);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_no_process_is_left(&scenario);
    // What they had written is reported as it stands, and is a run to be merged.
    let mut report = resurge();
    let output = report.arg("report").arg(scenario.path("run")).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("30 clients in 3 shards"), "{}", said(&output));
    assert!(said(&output).contains("its parent was killed before it merged its shards"), "{}", said(&output));
    let shards: Vec<PathBuf> =
        (1..=3).map(|n: u32| scenario.path("run/shards").join(n.to_string())).collect();
    let output = merge(&shards, &scenario.path("rescued"));
    assert!([105, 111].contains(&output.status.code().unwrap()), "{}", said(&output));
}
