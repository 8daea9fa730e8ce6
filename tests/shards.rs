//! Runs in several processes: a client does the same however many there are, nothing is lost in the merge, what dies is told, and no process is left.
//! None of it is about speed, so the limits of the generator's health are wide.

#![expect(clippy::unwrap_used, reason = "a test that meets what it does not expect has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use resurge::clock::Moment;
use resurge::lifecycle::{Action, Client, ConnectFailure, Event, GroupRules, Marks, Signs};
use resurge::plan::{Share, own_starts};
use resurge::scenario::keys::Scenario;
use resurge::scenario::load;

/// Two groups whose clients draw: backoffs after refusals, and whether a storm strikes them.
const DRAWING: &str = r#"
seed = 7
duration = "60s"
[target]
idle_timeout = "never"
[[groups]]
name = "a"
clients = 20
start = { stages = [{ clients = 5, over = "2s" }, { clients = 15, over = "10s" }] }
token = { grant = "none" }
reconnect = { backoff = { kind = "exponential", base = "100ms", max = "5s", jitter = "full" }, max_attempts = 6 }
[[groups]]
name = "b"
clients = 11
start = { rate = "5/s" }
token = { grant = "none" }
reconnect = { backoff = { kind = "exponential", base = "1s", max = "60s", jitter = "equal" } }
[[storms]]
at = "30s"
by = "client"
how = "rst"
fraction = "40%"
"#;

/// A scenario in a file of its own.
struct Written {
    home: tempfile::TempDir,
    file: PathBuf,
}

fn written(text: &str) -> Written {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("scenario.toml");
    fs::write(&file, text).unwrap();
    Written { home, file }
}

impl Written {
    fn scenario(&self) -> Scenario {
        load(&self.file, &Vec::new(), None, &|_| None).unwrap().scenario
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn command(&self, out: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_resurge"));
        command
            .arg("run")
            .arg(&self.file)
            .args(["--progress", "none", "--out"])
            .arg(self.folder(out))
            .args(more);
        command
    }

    fn run(&self, out: &str, more: &[&str]) -> Output {
        self.command(out, more).output().unwrap()
    }

    fn json(&self, out: &str) -> serde_json::Value {
        serde_json::from_str(&fs::read_to_string(self.folder(out).join("run.json")).unwrap()).unwrap()
    }

    /// Processes that have this scenario's file among their arguments, by the shard that they are.
    fn processes(&self) -> BTreeMap<String, u32> {
        let mut found = BTreeMap::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            let arguments = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
            let arguments: Vec<&str> = arguments.split('\0').collect();
            if arguments.contains(&self.file.to_str().unwrap()) {
                let shard = arguments.iter().skip_while(|argument| **argument != "--shard").nth(1);
                found.insert(shard.map_or_else(|| "parent".to_owned(), |shard| (*shard).to_owned()), pid);
            }
        }
        found
    }

    /// Waits until no process of this scenario is left.
    fn assert_no_process_is_left(&self) {
        for _ in 0..300 {
            if self.processes().is_empty() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(self.processes(), BTreeMap::new(), "still there after half a minute");
    }
}

fn said(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What a client does that is refused four times, then gets a session, then waits for what is in store for it.
fn trace(rules: &GroupRules, number: u32, due: Moment) -> Vec<String> {
    let mut client = Client::new(rules.seed, number);
    let (mut now, mut event, mut refusals) = (due, Event::Begin { due }, 0);
    let mut told = vec![format!("due {}", due.as_us())];
    for _ in 0..20 {
        let action = client.step(rules, now, event, &mut Vec::new());
        told.push(format!("{action:?}"));
        event = match action {
            Action::Sleep { until } => {
                now = until;
                Event::Due(Signs::default())
            }
            Action::Connect => {
                now = now + Duration::from_millis(3);
                let marks = Marks { began: now, ended: now, ..Marks::default() };
                refusals += 1;
                if refusals < 5 {
                    Event::ConnectFailed { marks, failure: ConnectFailure::Refused }
                } else {
                    Event::Connected(Marks { dns: Some(now), tcp: Some(now), tls: Some(now), ..marks })
                }
            }
            _ => return told,
        };
    }
    told
}

#[test]
fn a_client_does_the_same_however_many_shards_there_are() {
    let scenario = written(DRAWING).scenario();
    let traces = |of: u32| {
        let mut all = BTreeMap::new();
        for share in Share::all(of) {
            for index in 0..scenario.groups.len() {
                let rules = GroupRules::of(&scenario, index);
                for (number, due) in own_starts(&scenario, index, share) {
                    let before = all.insert(number, trace(&rules, number, due));
                    assert_eq!(before, None, "client {number} is in two shards of {of}");
                }
            }
        }
        all
    };
    let whole = traces(1);
    assert_eq!(whole.len(), 31);
    let struck = whole.values().filter(|trace| trace.last().unwrap().contains("30000000000")).count();
    assert!((6..20).contains(&struck), "a storm that strikes 40 % is in {struck} of 31 traces");
    for of in [2, 3, 7, 31] {
        assert_eq!(traces(of), whole, "{of} shards");
    }
}

/// Thirty clients, of which a storm throws off those that it has always thrown off.
const STORMY: &str = r#"
seed = 11
duration = "3s"
health = { max_lag_p99 = "60s", max_stall = "60s", max_delay = "60s", max_saturated_share = "100%" }
drain = "5s"
[target]
idle_timeout = "never"
[[groups]]
name = "a"
clients = 21
start = { over = "500ms" }
token = { client_id = "a", client_secret = { env = "SHARDS_TEST_SECRET" }, on_reconnect = "fetch" }
reconnect = { backoff = { kind = "none" } }
[[groups]]
name = "b"
clients = 9
token = { grant = "none" }
[groups.connect]
token_in = "nowhere"
[groups.reconnect]
max_attempts = 2
backoff = { kind = "constant", base = "50ms" }
[[storms]]
at = "1500ms"
by = "client"
how = { close = 4000 }
fraction = "50%"
[thresholds]
"reconnect_success_rate{group:a}" = ["rate == 100%"]
"#;

fn stormy() -> Written {
    written(&STORMY.replace("how = { close = 4000 }", "how = \"rst\""))
}

#[test]
fn sums_are_exact_and_the_same_for_one_two_and_three_shards() {
    let scenario = stormy();
    let mut tables = Vec::new();
    for (shards, out) in [("1", "one"), ("2", "two"), ("3", "three")] {
        let mut command = scenario.command(out, &["--shards", shards, "--set", "groups.0.token.client_id=x"]);
        let output = command.env("SHARDS_TEST_SECRET", "hidden-secret").output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        let json = scenario.json(out);
        assert_eq!(json["shards"]["count"].to_string(), shards);
        assert_eq!(json["accounting"]["closes"], true);
        assert_eq!(json["reconciliation"]["exact"], true, "{}", said(&output));
        let outcomes: Vec<String> = json["accounting"]["groups"]
            .as_array()
            .unwrap()
            .iter()
            .map(|group| {
                let counters = &group["counters"];
                format!(
                    "{} {} {} {}",
                    group["outcomes"],
                    counters["clients_started"],
                    counters["disconnects"],
                    counters["reconnects"]
                )
            })
            .collect();
        tables.push(outcomes);
        for file in [
            "journal.bin",
            "summary.csv",
            "timeseries.csv",
            "histograms.hlog",
            "report.html",
            "scenario.toml",
        ] {
            assert!(scenario.folder(out).join(file).is_file(), "{file}");
        }
        for path in walk(&scenario.folder(out)) {
            let bytes = fs::read(&path).unwrap();
            let found = bytes.windows(13).any(|part| part == b"hidden-secret");
            assert!(!found, "a secret is in {}", path.display());
        }
    }
    assert!(!tables[0][0].contains("\"ok\":21}"), "the storm threw somebody off: {tables:?}");
    assert_eq!(tables[1], tables[0], "two shards");
    assert_eq!(tables[2], tables[0], "three shards");
    scenario.assert_no_process_is_left();
    // The shards' own folders merge to the very same files, in any order.
    let shard = |n: u32| scenario.folder("three").join("shards").join(n.to_string());
    let merged = scenario.folder("merged");
    let output = merge(&[shard(3), shard(1), shard(2)], &merged);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    for file in ["summary.csv", "outcomes.csv", "closes.csv", "timeseries.csv"] {
        let read = |folder: &Path| fs::read_to_string(folder.join(file)).unwrap();
        assert_eq!(read(&merged), read(&scenario.folder("three")), "{file}");
    }
    let start = |n: u32| {
        resurge::record::read_journal(&shard(n).join("journal.bin")).unwrap().manifest.started_unix_us
    };
    assert_eq!((start(1), start(2)), (start(2), start(3)), "all have one origin");
    // One is missing: the others are merged all the same, and it is told.
    let partly = scenario.folder("partly");
    let output = merge(&[shard(1), shard(3)], &partly);
    assert_eq!(output.status.code(), Some(111), "{}", said(&output));
    assert!(
        said(&output)
            .contains("shard 2 of 3 is lost with its 10 clients (a 7, b 3): all its numbers are missing")
    );
    assert!(said(&output).contains("clients and target agree exactly"), "{}", said(&output));
    // What does not belong together is refused.
    for (inputs, part) in [
        (vec![shard(1), shard(1)], "both hold shard 1 of 3"),
        (
            vec![shard(1), scenario.folder("two").join("shards/2")],
            "the number of shards is 3 in the first and 2 in the second",
        ),
        (vec![shard(1), scenario.folder("nowhere")], "nowhere"),
    ] {
        let output = merge(&inputs, &scenario.folder("refused"));
        assert_eq!(output.status.code(), Some(65), "{part}: {}", said(&output));
        assert!(said(&output).contains(part), "{part}: {}", said(&output));
        assert!(!scenario.folder("refused").exists(), "nothing is written");
    }
}

fn merge(runs: &[PathBuf], out: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_resurge"))
        .arg("merge")
        .args(runs)
        .arg("--out")
        .arg(out)
        .output()
        .unwrap()
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(walk(&path));
        } else {
            files.push(path);
        }
    }
    files
}

#[test]
fn shards_that_run_alone_are_those_that_run_together() {
    let scenario = stormy();
    let mut folders = Vec::new();
    for shard in ["1/2", "2/2"] {
        let out = shard.replace('/', "-of-");
        let mut command = scenario.command(&out, &["--shard", shard]);
        let output = command.env("SHARDS_TEST_SECRET", "x").output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        assert!(
            said(&output).contains(&format!("shard {}", shard.replace('/', " of "))),
            "{}",
            said(&output)
        );
        folders.push(scenario.folder(&out));
    }
    let output = merge(&folders, &scenario.folder("whole"));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let json = scenario.json("whole");
    assert_eq!(json["accounting"]["all"]["counters"]["clients_started"], 30);
    assert_eq!(json["reconciliation"]["exact"], true);
    assert!(said(&output).contains("30 clients in 2 shards"), "{}", said(&output));
    // A share is no run to compare the whole with.
    let mut compare = Command::new(env!("CARGO_BIN_EXE_resurge"));
    let output = compare.arg("compare").arg(&folders[0]).arg(scenario.folder("whole")).output().unwrap();
    assert_eq!(output.status.code(), Some(65), "{}", said(&output));
    assert!(said(&output).contains("it holds only shard 1 of 2"), "{}", said(&output));
}

/// Clients that stay until somebody ends the run.
const LONG: &str = r#"
seed = 3
duration = "60s"
health = { max_lag_p99 = "60s", max_stall = "60s", max_delay = "60s", max_saturated_share = "100%" }
[target]
idle_timeout = "300ms"
messages_every = "40ms"
[[groups]]
name = "g"
clients = 30
token = { client_id = "a", client_secret = "b", on_reconnect = "fetch" }
reconnect = { backoff = { kind = "none" } }
# Where a client waits for more than the upgrade, the two sides' clocks are not compared: a busy machine is no fault here.
session = { ready = "first-message" }
"#;

/// Starts a run of three shards, and waits until each has written some seconds.
fn start_long(scenario: &Written, more: &[&str]) -> Child {
    let mut command = scenario.command("run", &[&["--shards", "3"], more].concat());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let has_begun = |shard: u32| {
        let journal = scenario.folder("run").join("shards").join(shard.to_string()).join("journal.bin");
        fs::metadata(journal).is_ok_and(|data| data.len() > 5_000)
    };
    for _ in 0..600 {
        if (1..=3).all(has_begun) {
            return child;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    assert!((1..=3).all(has_begun), "the shards did not begin: {}", said(&output));
    start_long(scenario, more)
}

fn send_signal(pid: u32, name: &str) {
    let status = Command::new("kill").args(["-s", name, &pid.to_string()]).status().unwrap();
    assert!(status.success());
}

#[test]
fn a_shard_that_is_killed_is_told_and_the_others_go_on() {
    let scenario = written(LONG);
    let child = start_long(&scenario, &["--set", "duration=8s"]);
    send_signal(scenario.processes()["2/3"], "KILL");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(111), "{}", said(&output));
    let told = said(&output);
    assert!(
        told.contains("INCOMPLETE") && told.contains("shard 2 of 3 is lost with its 10 clients (g 10)"),
        "{told}"
    );
    assert!(told.contains("its numbers are missing from second") && told.contains("signal 9"), "{told}");
    assert!(told.contains("what its target counted is unknown") && !told.contains("DO NOT"), "{told}");
    let json = scenario.json("run");
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
        (1..=3).map(|shard: u32| attempts_in(&scenario.folder("run/shards").join(shard.to_string()))).sum();
    assert_eq!(json["accounting"]["all"]["attempts"].as_u64(), Some(attempts));
    assert_eq!(json["accounting"]["all"]["counters"]["clients_started"], 30);
    scenario.assert_no_process_is_left();
}

/// Attempts in a journal's whole seconds.
fn attempts_in(folder: &Path) -> u64 {
    let journal = resurge::record::read_journal(&folder.join("journal.bin")).unwrap();
    let seconds = journal.intervals.iter().flat_map(|(_, groups)| groups);
    seconds.map(|tally| tally.unpack_counts().attempts_total()).sum()
}

#[test]
fn an_interrupt_drains_all_shards_and_reports_in_full() {
    let scenario = written(LONG);
    let child = start_long(&scenario, &[]);
    send_signal(child.id(), "INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(105), "{}", said(&output));
    assert!(said(&output).contains("clients and target agree exactly"), "{}", said(&output));
    assert_eq!(scenario.json("run")["ended"]["how"], "interrupted");
    scenario.assert_no_process_is_left();
}

#[test]
fn children_whose_parent_is_killed_are_gone_soon() {
    let scenario = written(LONG);
    let mut child = start_long(&scenario, &[]);
    assert_eq!(scenario.processes().len(), 4);
    child.kill().unwrap();
    child.wait().unwrap();
    scenario.assert_no_process_is_left();
    // What they had written is reported as it stands, and is a run to be merged.
    let mut report = Command::new(env!("CARGO_BIN_EXE_resurge"));
    let output = report.arg("report").arg(scenario.folder("run")).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("30 clients in 3 shards"), "{}", said(&output));
    assert!(said(&output).contains("its parent was killed before it merged its shards"), "{}", said(&output));
    let shards: Vec<PathBuf> =
        (1..=3).map(|n: u32| scenario.folder("run/shards").join(n.to_string())).collect();
    let output = merge(&shards, &scenario.folder("rescued"));
    assert!([105, 111].contains(&output.status.code().unwrap()), "{}", said(&output));
}

#[test]
fn a_threshold_over_all_shards_ends_the_run() {
    let text = format!(
        "{LONG}[thresholds]\ndisconnects = [{{ expr = \"count < 20\", abort_on_fail = true, delay = \"1s\" }}]\n"
    );
    let scenario = written(&text);
    let output = scenario.run("run", &["--shards", "2"]);
    assert_eq!(output.status.code(), Some(99), "{}", said(&output));
    assert!(said(&output).contains("ended early by disconnects: count < 20"), "{}", said(&output));
    scenario.assert_no_process_is_left();
}

#[test]
fn progress_and_metrics_show_all_shards_as_one() {
    let scenario = written(LONG);
    let output = Command::new(env!("CARGO_BIN_EXE_resurge"))
        .arg("run")
        .arg(&scenario.file)
        .args([
            "--shards",
            "2",
            "--set",
            "duration=6s",
            "--set",
            "target.idle_timeout=never",
            "--metrics",
            "0",
            "--progress",
            "plain",
            "--out",
        ])
        .arg(scenario.folder("shown"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("30/30 connected"), "{}", said(&output));
}

#[test]
fn what_cannot_begin_is_told_and_leaves_nothing_behind() {
    let scenario = written(LONG);
    let rows: [(&[&str], i32, &str); 12] = [
        (&["--shards", "0"], 2, "a number from 1 to"),
        (&["--shards", "x"], 2, "a number from 1 to"),
        (&["--shard", "3/2"], 2, "write it as I/N"),
        (&["--shard", "0/2"], 2, "write it as I/N"),
        (&["--shard", "1/2", "--shards", "2"], 2, "cannot be used with"),
        (&["--shards", "31"], 2, "31 shards are more than the scenario has clients (30)"),
        (&["--shard", "31/31"], 2, "31 shards are more than the scenario has clients (30)"),
        (&["--shards", "2", "--set", "groups.0.clients=0"], 104, "clients"),
        (&["--shards", "2", "--set", "groups.0.clients=500000"], 110, "--shards "),
        (&["--shards", "2", "--set", "target.addresses=[\"192.0.2.1\"]"], 104, "loopback"),
        (
            &["--shards", "2", "--set", "groups.0.connect.url=\"ws://192.0.2.1:9/\""],
            77,
            "--authorize 192.0.2.1",
        ),
        (
            &["--shards", "2", "--set", "groups.0.token.client_secret={env=\"SHARDS_TEST_UNSET\"}"],
            104,
            "SHARDS_TEST_UNSET",
        ),
    ];
    for (more, code, part) in rows {
        let output = scenario.run("bad", more);
        assert_eq!(output.status.code(), Some(code), "{more:?}: {}", said(&output));
        assert!(said(&output).contains(part), "{more:?}: {}", said(&output));
        assert!(!scenario.folder("bad").exists(), "{more:?}");
    }
    fs::create_dir(scenario.folder("there")).unwrap();
    let output = scenario.run("there", &["--shards", "2"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = scenario.run("bad", &["--shards", "2", "--metrics", &port]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    scenario.assert_no_process_is_left();
}

#[test]
fn check_says_how_many_shards_a_scenario_needs() {
    let check = |scenario: &str, more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_resurge"));
        let output =
            command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["check", scenario]).args(more).output();
        said(&output.unwrap())
    };
    let large = check("scenarios/hundred-thousand.toml", &["--set", "groups.0.clients=3000000"]);
    assert!(large.contains("needs --shards ") && large.contains("file descriptors in each"), "{large}");
    assert!(!check("scenarios/smoke.toml", &[]).contains("--shards"));
    let limited = check("scenarios/smoke.toml", &["--set", "target.sessions_per_client=5"]);
    assert!(
        limited.contains("in shards, each has a target of its own: sessions_per_client would hold for each"),
        "{limited}"
    );
}

#[test]
fn the_shipped_scenario_holds_at_reduced_size() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("run");
    let small = [
        "groups.0.clients=300",
        "groups.0.start={over=\"1s\"}",
        "target.idle_timeout=4s",
        "duration=6500ms",
        "health.max_lag_p99=60s",
        "thresholds.lag=[\"max < 60s\"]",
        "thresholds.reconnect_latency=[\"max < 60s\"]",
        "thresholds.clients_started=[\"count == 300\"]",
        "thresholds.disconnects=[\"count == 300\"]",
    ];
    let mut command = Command::new(env!("CARGO_BIN_EXE_resurge"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args([
        "run",
        "scenarios/hundred-thousand.toml",
        "--shards",
        "4",
    ]);
    command
        .args(small.iter().flat_map(|set| ["--set", *set]))
        .args(["--progress", "none", "--out"])
        .arg(&out);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("300 clients in 4 shards"), "{}", said(&output));
    assert!(said(&output).contains("clients and target agree exactly"), "{}", said(&output));
}

#[test]
fn clients_spread_over_the_targets_addresses_and_their_own() {
    let text = LONG.replace(
        "idle_timeout = \"300ms\"",
        "idle_timeout = \"300ms\"\naddresses = [\"127.0.0.1\", \"127.0.0.2\", \"127.0.0.3\"]",
    );
    let text = format!("{text}connect = {{ source_addresses = [\"127.0.0.4\", \"127.0.0.5\"] }}\n");
    let scenario = written(&text);
    let output = scenario.run("run", &["--shards", "2", "--set", "duration=2s"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(scenario.json("run")["reconciliation"]["exact"], true, "{}", said(&output));
}
