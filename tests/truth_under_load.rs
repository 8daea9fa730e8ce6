//! Truth under load: either the clients' latencies are those that the target's own clock tells, or the run is marked not valid. A harness
//! that is starved of its processor, or stopped, says so.
#![expect(clippy::unwrap_used, reason = "a test that meets what it does not expect has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tempfile::TempDir;

/// One at a time: each is to meet the load that it makes itself.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn scenario(clients: u32, over: &str, duration: &str, idle: &str, more: &str) -> String {
    format!(
        r#"
duration = "{duration}"
[target]
idle_timeout = "{idle}"
[[groups]]
name = "g"
clients = {clients}
start = {{ over = "{over}" }}
[groups.token]
client_id = "a"
client_secret = "b"
on_reconnect = "fetch"
[groups.reconnect]
backoff = {{ kind = "none" }}
{more}
"#
    )
}

/// A run's folder and its command line.
struct Run {
    home: TempDir,
}

impl Run {
    fn new(scenario: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("load.toml"), scenario).unwrap();
        Self { home }
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join("run")
    }

    /// The run, behind other words of a command line.
    fn start(&self, before: &[&str], shards: &str) -> Child {
        let program = [before, &[env!("CARGO_BIN_EXE_resurge")]].concat();
        Command::new(program[0])
            .args(&program[1..])
            .arg("run")
            .arg(self.home.path().join("load.toml"))
            .args(["--progress", "none", "--shards", shards, "--out"])
            .arg(self.folder())
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Exit code and `run.json`.
    fn end(&self, mut process: Child) -> (i32, serde_json::Value) {
        let code = process.wait().unwrap().code().unwrap();
        (code, serde_json::from_slice(&fs::read(self.folder().join("run.json")).unwrap()).unwrap())
    }
}

fn reasons(json: &serde_json::Value) -> String {
    json["verdict"]["reasons"].to_string()
}

#[test]
fn a_storm_of_fifteen_thousand_is_told_as_the_target_saw_it() {
    let _alone = alone();
    let storm = "[[storms]]\nat = \"19s\"\nby = \"target\"\ncode = 1012";
    let run = Run::new(&scenario(15_000, "15s", "30s", "never", storm));
    let (code, json) = run.end(run.start(&[], "2"));
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
    let run = Run::new(&scenario(1_000, "1s", "10s", "1s", ""));
    let busy = BusyLoops::start(8, &processor);
    let process = run.start(&["taskset", "-c", &processor], "1");
    let (code, json) = run.end(process);
    drop(busy);
    assert_eq!(code, 110, "{}", reasons(&json));
    assert!(reasons(&json).contains("the generator"), "{}", reasons(&json));
}

#[test]
fn a_harness_that_was_stopped_for_a_second_says_so() {
    let _alone = alone();
    let run = Run::new(&scenario(50, "1s", "6s", "1s", ""));
    let process = run.start(&[], "1");
    let signal = |name: &str| {
        let told = Command::new("kill").args([name, &process.id().to_string()]).status().unwrap();
        assert!(told.success());
    };
    std::thread::sleep(Duration::from_secs(3));
    signal("-STOP");
    std::thread::sleep(Duration::from_secs(1));
    signal("-CONT");
    let (code, json) = run.end(process);
    assert_eq!(code, 110, "{}", reasons(&json));
    assert!(reasons(&json).contains("stood still"), "{}", reasons(&json));
}
