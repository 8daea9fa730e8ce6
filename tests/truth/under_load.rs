//! Truth under load: either the clients' latencies are those that the target's own clock tells, or the run is marked not valid. A harness
//! that is starved of its processor, or stopped, says so.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::scenario;
use crate::support::alone::alone;
use crate::support::begun::await_begun;
use crate::support::program::resurge_behind;
use crate::support::run_folder::json;
use crate::support::scene::Scene;
use crate::support::signals::send;

/// The run, behind other words of a command line.
fn start(scene: &Scene, before: &[&str], shards: &str) -> Child {
    let words = scene.words("run", &["--progress", "none", "--shards", shards]);
    resurge_behind(before).args(words).stdout(Stdio::null()).spawn().unwrap()
}

/// Exit code and `run.json`.
fn end(scene: &Scene, mut process: Child) -> (i32, serde_json::Value) {
    let code = process.wait().unwrap().code().unwrap();
    (code, json(&scene.path("run")))
}

fn reasons(json: &serde_json::Value) -> String {
    json["verdict"]["reasons"].to_string()
}

#[test]
fn a_storm_of_fifteen_thousand_is_told_as_the_target_saw_it() {
    let _alone = alone();
    let storm = "[[storms]]\nat = \"10s\"\nby = \"target\"\ncode = 1012\n";
    let scene = Scene::new(&(scenario(15_000, "8s", "17s", "idle_timeout = \"never\"") + storm));
    let (code, json) = end(&scene, start(&scene, &[], "2"));
    assert!(matches!(code, 0 | 110), "{code}: {}", reasons(&json));
    let reconnects = &json["reconciliation"]["reconnects"];
    assert_eq!(reconnects["target"], 15_000, "the target saw everyone come back: {reconnects}");
    let rows = reconnects["percentiles"].as_array().unwrap();
    assert_eq!(rows.len(), 2, "{reconnects}");
    for row in rows {
        let (ours, theirs) = (row["clients_us"].as_f64().unwrap(), row["target_us"].as_f64().unwrap());
        let is_true = (ours - theirs).abs() <= (0.03 * theirs).max(2_000.0);
        assert!(is_true || code == 110, "{row} in a run that looks healthy");
    }
}

/// Programs that do nothing, as fast as they can, on one processor.
struct BusyLoops(Vec<Child>);

impl BusyLoops {
    fn start(count: usize, processor: &str) -> Self {
        let start = |_| {
            let busy = ["-c", processor, "sh", "-c", "while :; do :; done"];
            Command::new("taskset").args(busy).spawn().unwrap()
        };
        Self((0..count).map(start).collect())
    }
}

impl Drop for BusyLoops {
    fn drop(&mut self) {
        for process in &mut self.0 {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }
}

/// The first processor that this process may use.
fn a_processor() -> String {
    let status = fs::read_to_string(Path::new("/proc/self/status")).unwrap();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
    list.trim().split([',', '-']).next().unwrap().to_owned()
}

#[test]
fn a_harness_that_is_starved_of_its_processor_says_so() {
    let _alone = alone();
    let processor = a_processor();
    let scene = Scene::new(&scenario(1_000, "1s", "6s", "idle_timeout = \"1s\""));
    let busy = BusyLoops::start(8, &processor);
    let process = start(&scene, &["taskset", "-c", &processor], "1");
    let (code, json) = end(&scene, process);
    drop(busy);
    assert_eq!(code, 110, "{}", reasons(&json));
    assert!(reasons(&json).contains("the generator"), "{}", reasons(&json));
}

#[test]
fn a_harness_that_was_stopped_for_a_second_says_so() {
    let _alone = alone();
    let scene = Scene::new(&scenario(50, "500ms", "4s", "idle_timeout = \"1s\""));
    let process = start(&scene, &[], "1");
    await_begun(&scene.path("run"), 1);
    send(process.id(), "STOP");
    std::thread::sleep(Duration::from_secs(1));
    send(process.id(), "CONT");
    let (code, json) = end(&scene, process);
    assert_eq!(code, 110, "{}", reasons(&json));
    assert!(reasons(&json).contains("stood still"), "{}", reasons(&json));
}
