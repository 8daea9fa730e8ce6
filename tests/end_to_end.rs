//! Through the real program and real sockets: every shipped scenario at reduced size, what the run folder holds, what bad input is told.

#![expect(clippy::unwrap_used, reason = "a test that meets what it does not expect has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

fn resurge() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_resurge"));
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

/// A run in a folder of its own, with what came of it.
struct Run {
    _home: tempfile::TempDir,
    folder: PathBuf,
    output: Output,
}

fn run_with(scenario: &str, more: &[&str]) -> Run {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("run");
    let output = resurge()
        .args(["run", scenario, "--progress", "none", "--out"])
        .arg(&folder)
        .args(more)
        .output()
        .unwrap();
    Run { _home: home, folder, output }
}

impl Run {
    fn code(&self) -> i32 {
        self.output.status.code().unwrap()
    }

    fn stdout(&self) -> String {
        String::from_utf8(self.output.stdout.clone()).unwrap()
    }

    fn stderr(&self) -> String {
        String::from_utf8(self.output.stderr.clone()).unwrap()
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&fs::read_to_string(self.folder.join("run.json")).unwrap()).unwrap()
    }

    /// The rows of a CSV file, by header.
    fn rows(&self, file: &str) -> Vec<BTreeMap<String, String>> {
        csv::Reader::from_path(self.folder.join(file))
            .unwrap()
            .deserialize()
            .map(|row| row.unwrap())
            .collect()
    }

    /// Attempts of a group and kind with an outcome, and their causes.
    fn outcome(&self, group: &str, kind: &str, outcome: &str) -> (u64, Vec<String>) {
        let rows = self.rows("outcomes.csv").into_iter();
        let found: Vec<_> = rows
            .filter(|row| row["group"] == group && row["kind"] == kind && row["outcome"] == outcome)
            .collect();
        let count = found.iter().map(|row| row["count"].parse::<u64>().unwrap()).sum();
        (count, found.iter().map(|row| row["cause"].clone()).collect())
    }

    /// What must hold in every run against the embedded target that came to its end.
    fn assert_sound(&self) {
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

#[test]
fn idle_reconnect_tells_stale_tokens_from_fresh_ones() {
    let small = [
        "--set",
        "groups.0.clients=80",
        "--set",
        "groups.1.clients=20",
        "--set",
        "groups.0.start.over=500ms",
        "--set",
        "groups.1.start.over=500ms",
        "--set",
        "duration=6s",
        "--set",
        "target.idle_timeout=1s",
        "--set",
        "target.messages_every=200ms",
    ];
    let run = run_with("scenarios/idle-reconnect.toml", &small);
    assert_eq!(run.code(), 0, "{}{}", run.stdout(), run.stderr());
    run.assert_sound();
    let (stale, causes) = run.outcome("stale-token", "reconnect", "http_403");
    assert_eq!((stale, causes), (80, vec!["stale_token".to_owned()]), "four attempts of each client");
    assert_eq!(run.outcome("stale-token", "reconnect", "ok").0, 0);
    assert_eq!(run.outcome("fresh-token", "reconnect", "http_403").0, 0);
    assert!(run.outcome("fresh-token", "reconnect", "ok").0 >= 160);
    let said = run.stdout();
    for part in
        ["PASS", "stale_token 80", "100.0%", "target 1001", "clients and target agree exactly", "healthy"]
    {
        assert!(said.contains(part), "{part}\n{said}");
    }
    let missed = run.json()["accounting"]["groups"][0]["counters"]["outages_measured"].as_u64().unwrap();
    assert!(missed > 0, "outages were measured by sequence numbers");
}

#[test]
fn deploy_storm_is_a_storm_and_jitter_spreads_it() {
    let small = [
        "--set",
        "groups.0.clients=50",
        "--set",
        "groups.1.clients=50",
        "--set",
        "groups.0.start.over=500ms",
        "--set",
        "groups.1.start.over=500ms",
        "--set",
        "storms.0.at=1s",
        "--set",
        "duration=5s",
        "--set",
        "groups.1.reconnect.backoff.base=2s",
    ];
    let run = run_with("scenarios/deploy-storm.toml", &small);
    assert_eq!(run.code(), 0, "{}{}", run.stdout(), run.stderr());
    run.assert_sound();
    let closes = run.rows("closes.csv");
    for group in ["no-jitter", "full-jitter"] {
        let storm = closes.iter().find(|row| row["group"] == group && row["initiator"] == "storm").unwrap();
        assert_eq!((storm["code"].as_str(), storm["count"].as_str()), ("1012", "50"), "{group}");
    }
    let p50 = |group: &str| {
        let rows = run.rows("summary.csv");
        let row =
            rows.iter().find(|row| row["group"] == group && row["metric"] == "reconnect_latency").unwrap();
        row["p50_us"].parse::<u64>().unwrap()
    };
    assert!(p50("full-jitter") > 5 * p50("no-jitter"), "{} against {}", p50("full-jitter"), p50("no-jitter"));
}

#[test]
fn a_missing_scope_is_refused_however_fresh_the_token() {
    let small = ["--set", "groups.0.clients=10", "--set", "groups.1.clients=10", "--set", "duration=5s"];
    let run = run_with("scenarios/missing-scope.toml", &small);
    assert_eq!(run.code(), 0, "{}{}", run.stdout(), run.stderr());
    run.assert_sound();
    assert_eq!(run.outcome("without-scope", "first", "http_403"), (60, vec!["missing_scope".to_owned()]));
    assert_eq!(run.outcome("without-scope", "first", "ok").0, 0);
    assert!(run.outcome("with-scope", "first", "ok").0 == 10);
}

#[test]
fn refreshing_early_saves_the_refusals_of_expired_tokens() {
    let small = [
        "--set",
        "groups.0.clients=20",
        "--set",
        "groups.1.clients=20",
        "--set",
        "duration=8s",
        "--set",
        "target.token_life=2s",
        "--set",
        "target.idle_timeout=1500ms",
        "--set",
        "groups.0.start.over=500ms",
        "--set",
        "groups.1.start.over=500ms",
    ];
    let run = run_with("scenarios/token-expiry.toml", &small);
    assert_eq!(run.code(), 0, "{}{}", run.stdout(), run.stderr());
    run.assert_sound();
    assert_eq!(run.outcome("refresh-early", "reconnect", "http_403").0, 0);
    let (refused, causes) = run.outcome("reuse", "reconnect", "http_403");
    assert!(refused > 0);
    assert_eq!(causes, ["expired_token"]);
}

#[test]
fn smoke_leaves_a_whole_run_folder_that_can_be_reported_again() {
    let run = run_with("scenarios/smoke.toml", &[]);
    assert_eq!(run.code(), 0, "{}{}", run.stdout(), run.stderr());
    run.assert_sound();
    let mut names: Vec<String> = fs::read_dir(&run.folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let expected = [
        "closes.csv",
        "histograms.hlog",
        "journal.bin",
        "outcomes.csv",
        "report.html",
        "run.json",
        "scenario.toml",
        "summary.csv",
        "timeseries.csv",
    ];
    assert_eq!(names, expected);
    let copy = fs::read_to_string(run.folder.join("scenario.toml")).unwrap();
    assert!(!copy.contains("demo-secret") && copy.contains("RESURGE_SMOKE_CLIENT_SECRET"), "{copy}");
    let header =
        fs::read_to_string(run.folder.join("summary.csv")).unwrap().lines().next().unwrap().to_owned();
    assert_eq!(
        header,
        "group,metric,count,min_us,mean_us,stddev_us,p50_us,p75_us,p90_us,p95_us,p99_us,p99_9_us,p99_99_us,max_us"
    );
    for (format, file) in
        [("csv", "summary.csv"), ("json", "run.json"), ("hlog", "histograms.hlog"), ("html", "report.html")]
    {
        let output = resurge().args(["report", "--format", format]).arg(&run.folder).output().unwrap();
        assert!(output.status.success(), "{format}");
        assert_eq!(
            String::from_utf8(output.stdout).unwrap(),
            fs::read_to_string(run.folder.join(file)).unwrap()
        );
    }
    let text = resurge().arg("report").arg(&run.folder).output().unwrap();
    assert_eq!(String::from_utf8(text.stdout).unwrap(), run.stdout());
}

#[test]
fn a_failed_threshold_is_99_and_one_without_samples_110() {
    let failing =
        run_with("scenarios/smoke.toml", &["--set", "thresholds.reconnect_latency=[\"p(99) < 1us\"]"]);
    assert_eq!(failing.code(), 99, "{}", failing.stdout());
    assert!(failing.stdout().contains("THRESHOLD FAILED"));
    let silent = [
        "--set",
        "thresholds.phase_upgrade=[\"max < 1s\"]",
        "--set",
        "target.idle_timeout=never",
        "--set",
        "duration=1s",
    ];
    let silent = run_with("scenarios/smoke.toml", &silent);
    assert_eq!(silent.code(), 110, "{}", silent.stdout());
    assert!(silent.stdout().contains("threshold without a sample: phase_upgrade: max < 1s"));
    let aborting =
        "thresholds.reconnect_latency=[{ expr = \"max < 1us\", abort_on_fail = true, delay = \"1s\" }]";
    let aborted = run_with("scenarios/smoke.toml", &["--set", aborting, "--set", "duration=30s"]);
    assert_eq!(aborted.code(), 99, "{}", aborted.stdout());
    assert!(aborted.json()["elapsed_s"].as_f64().unwrap() < 15.0, "it ended early");
}

#[test]
fn the_same_seed_backs_off_alike() {
    let set = [
        "--set",
        "groups.0.reconnect.backoff={ kind = \"exponential\", base = \"400ms\", max = \"1s\", jitter = \"full\" }",
        "--set",
        "groups.0.clients=5",
        "--set",
        "duration=4s",
        "--seed",
        "7",
    ];
    // The draws are alike; the times measured around them are not, but for a few milliseconds.
    let backoff = |run: &Run| {
        let rows = run.rows("summary.csv");
        let row = rows.iter().find(|row| row["group"] == "all" && row["metric"] == "phase_backoff").unwrap();
        row["mean_us"].parse::<f64>().unwrap()
    };
    let (one, two) = (run_with("scenarios/smoke.toml", &set), run_with("scenarios/smoke.toml", &set));
    assert_eq!(one.json()["scenario"]["seed"], 7);
    assert_eq!(one.json()["scenario"]["hash"], two.json()["scenario"]["hash"]);
    let (a, b) = (backoff(&one), backoff(&two));
    assert!((a - b).abs() < 20_000.0, "mean backoff {a} and {b} µs");
}

/// Starts a run that would last long, and waits until its journal has an interval.
fn start_long(folder: &Path) -> Child {
    let mut child = resurge()
        .args(["run", "scenarios/smoke.toml", "--progress", "none", "--set", "duration=60s", "--out"])
        .arg(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let journal = folder.join("journal.bin");
    let begun = || fs::metadata(&journal).is_ok_and(|data| data.len() > 4_000);
    for _ in 0..200 {
        if begun() {
            return child;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(begun(), "the run did not begin: {}", String::from_utf8_lossy(&output.stderr));
    start_long(folder)
}

fn send_signal(child: &Child, name: &str) {
    let status = Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

#[test]
fn an_interrupt_drains_and_reports_in_full() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("run");
    let child = start_long(&folder);
    send_signal(&child, "INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(105));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("INTERRUPTED") && said.contains("clients and target agree exactly"), "{said}");
    assert!(folder.join("run.json").exists());
}

#[test]
fn a_killed_run_can_be_reported_up_to_its_last_second() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("run");
    let mut child = start_long(&folder);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!folder.join("run.json").exists());
    let output = resurge().arg("report").arg(&folder).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8(output.stdout).unwrap().contains("INCOMPLETE"));
    assert!(String::from_utf8(output.stderr).unwrap().contains("this run was cut off"));
}

/// A server that answers every connection with the same bytes.
fn server_that_says(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            // Whatever was asked, and however the asker takes the answer.
            let _ = stream.read(&mut request);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

fn scenario_against(folder: &Path, url: &str, token_url: &str) -> String {
    let file = folder.join("remote.toml");
    let text = format!(
        "duration = \"1s\"\ndrain = \"2s\"\n[target]\nkind = \"remote\"\nurl = \"{url}\"\ntoken_url = \"{token_url}\"\n\
         [[groups]]\nname = \"g\"\nclients = 3\n[groups.token]\nclient_id = \"a\"\nclient_secret = \"canary-7f3a\"\n"
    );
    fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn targets_that_are_none_are_told_apart() {
    let html = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\nConnection: close\r\n\r\n<html></html>";
    let grant = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 42\r\nConnection: close\r\n\r\n{\"access_token\":\"canary-t0k\",\"expires\":60}";
    let (html, grant) = (server_that_says(html), server_that_says(grant));
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    // (WebSocket address, token address, outcome)
    let rows = [
        (&nobody, &grant, "tcp_refused"),
        (&html, &grant, "protocol"),
        (&html, &html, "token_error"),
        (&html, &nobody, "token_error"),
    ];
    for (websocket, token, outcome) in rows {
        let home = tempfile::tempdir().unwrap();
        let file = scenario_against(home.path(), &format!("ws://{websocket}/"), &format!("http://{token}/"));
        let run = run_with(&file, &[]);
        assert_eq!(run.code(), 110, "{outcome}: {}{}", run.stdout(), run.stderr());
        assert!(
            run.stdout().contains("no handshake was ever answered") && run.stdout().contains(outcome),
            "{}",
            run.stdout()
        );
        for entry in fs::read_dir(&run.folder).unwrap() {
            let bytes = fs::read(entry.unwrap().path()).unwrap();
            assert!(!String::from_utf8_lossy(&bytes).contains("canary"), "a secret in the run folder");
        }
        assert!(!run.stdout().contains("canary") && !run.stderr().contains("canary"));
    }
}

#[test]
fn strangers_are_not_hit_unless_authorised() {
    let home = tempfile::tempdir().unwrap();
    // Addresses for documentation (RFC 5737): nobody is there.
    let file = scenario_against(home.path(), "ws://203.0.113.7/", "http://127.0.0.1:9/");
    let run = run_with(&file, &[]);
    assert_eq!(run.code(), 77, "{}", run.stderr());
    assert!(run.stderr().contains("--authorize 203.0.113.7"), "{}", run.stderr());
    assert!(!run.folder.exists(), "nothing was begun");
}

#[test]
fn bad_input_is_told_with_the_right_code() {
    let home = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = home.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let smoke = "scenarios/smoke.toml";
    let empty = write("empty.toml", "");
    let unset = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(smoke)).unwrap();
    let unset = write("unset.toml", &unset.replace("\"demo-secret\"", "{ env = \"RESURGE_TEST_UNSET\" }"));
    // (scenario, more arguments, code, part of the message)
    let rows: Vec<(&str, Vec<&str>, i32, &str)> = vec![
        ("no-such.toml", vec![], 104, "cannot read the scenario no-such.toml"),
        (&empty, vec![], 104, "the scenario has no `duration`"),
        (&unset, vec![], 104, "the environment variable RESURGE_TEST_UNSET is not set"),
        (smoke, vec!["--set", "groups.0.clients=many"], 104, "a whole number from 1"),
        (smoke, vec!["--set", "groups.0.clonts=1"], 104, "did you mean `clients`?"),
        (smoke, vec!["--set", "groups.0.clients=0"], 104, "is 0"),
        (smoke, vec!["--set", "duration=-5s"], 104, "a duration cannot be negative"),
        (smoke, vec!["--set", "duration=99999999999h"], 104, "at most 10 years"),
        (smoke, vec!["--set", "thresholds.reconnect_latency=[\"p(99) ~ 1s\"]"], 104, "no usable expression"),
        (smoke, vec!["--set", "groups.0.clients=90000"], 110, "ulimit -n"),
        (smoke, vec!["--set", "nonsense"], 2, "KEY=VALUE"),
        (smoke, vec!["--sett", "x=1"], 2, "--set"),
    ];
    for (scenario, more, code, part) in rows {
        let run = run_with(scenario, &more);
        assert_eq!(run.code(), code, "{scenario} {more:?}: {}{}", run.stdout(), run.stderr());
        assert!(run.stderr().contains(part), "{part}\n{}", run.stderr());
        assert!(!run.stderr().contains("panicked") && !run.folder.exists());
    }
    let exists = resurge().args(["run", smoke, "--out"]).arg(home.path()).output().unwrap();
    assert_eq!(exists.status.code(), Some(2));
    assert!(String::from_utf8(exists.stderr).unwrap().contains("is there already"));
    let unwritable = resurge().args(["run", smoke, "--out", "/proc/nowhere/run"]).output().unwrap();
    assert_eq!(unwritable.status.code(), Some(1));
    assert!(String::from_utf8(unwritable.stderr).unwrap().contains("cannot make the run folder"));
    let nothing = resurge().args(["report", "no-such-run"]).output().unwrap();
    assert_eq!(nothing.status.code(), Some(65));
}

#[test]
fn a_target_in_another_process_is_driven_alike() {
    let mut serve = resurge()
        .args(["serve", "forum", "--listen", "127.0.0.1:0", "--set", "idle_timeout=1s"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(serve.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on http://").unwrap().to_owned();
    let home = tempfile::tempdir().unwrap();
    let events = format!("ws://{address}/api/v2/analytics/events");
    let file = scenario_against(home.path(), &events, &format!("http://{address}/oauth/token"));
    let run = run_with(&file, &["--set", "duration=3s", "--set", "groups.0.token.on_reconnect=fetch"]);
    send_signal(&serve, "TERM");
    assert_eq!(serve.wait().unwrap().code(), Some(0));
    assert_eq!(run.code(), 0, "{}{}", run.stdout(), run.stderr());
    assert_eq!(run.outcome("g", "first", "ok").0, 3);
    assert!(run.outcome("g", "reconnect", "ok").0 >= 3);
}

#[test]
fn every_command_helps_with_an_example() {
    for command in ["run", "serve", "check", "report", "schema", "completions"] {
        let output = resurge().args([command, "--help"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains("Example"), "{command}: {text}");
    }
    let output =
        resurge().args(["check", "scenarios/smoke.toml", "scenarios/idle-reconnect.toml"]).output().unwrap();
    assert!(output.status.success() && String::from_utf8(output.stdout).unwrap().contains("needs at most"));
}

/// Every way to carry a token, to get one, to leave and to come back, in one run: the accounts close all the same.
#[test]
fn every_option_of_a_group_works_beside_the_others() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("options.toml");
    fs::write(&file, OPTIONS).unwrap();
    let run = run_with(file.to_str().unwrap(), &[]);
    assert_eq!(run.code(), 0, "{}{}", run.stdout(), run.stderr());
    let json = run.json();
    assert_eq!(json["accounting"]["closes"], true, "{}", run.stdout());
    assert_eq!(json["reconciliation"]["holds"], true, "{}", run.stdout());
    let counter =
        |group: usize, name: &str| json["accounting"]["groups"][group]["counters"][name].as_u64().unwrap();
    // Groups: query, subprotocol, shared, refresh, leaves, half-open, refused, tokenless.
    for (group, name) in [(0, "query"), (1, "subprotocol"), (2, "shared"), (4, "leaves"), (5, "half-open")] {
        assert!(counter(group, "reconnects") >= 5, "{name}: {}", run.stdout());
        assert_eq!(run.outcome(name, "reconnect", "http_403").0, 0, "{name}");
    }
    assert!(
        counter(2, "tokens_fetched") < counter(2, "reconnects") / 2,
        "one request serves many: {}",
        run.stdout()
    );
    assert!(
        counter(3, "tokens_fetched") > 5 && counter(3, "disconnects") == 0,
        "refreshed while connected by pings"
    );
    assert!(counter(4, "messages_out") > 0);
    assert_eq!(run.outcome("refused", "first", "token_refused").0, 4);
    assert_eq!(run.outcome("tokenless", "first", "http_403"), (2, vec!["no_token".to_owned()]));
    let closes = run.rows("closes.csv");
    let count = |group: &str, initiator: &str, code: &str| {
        let row = closes
            .iter()
            .find(|row| row["group"] == group && row["initiator"] == initiator && row["code"] == code);
        row.map_or(0, |row| row["count"].parse::<u64>().unwrap())
    };
    assert!(count("query", "storm", "4001") + count("subprotocol", "storm", "4001") > 0);
    assert!(count("leaves", "client", "1006") > 0 && count("half-open", "client", "1006") > 0);
}

const OPTIONS: &str = r#"name = "options"
duration = "6s"
drain = "3s"

[target]
idle_timeout = "2s"
messages_every = "300ms"
invalidation = "never"
token_life = "3s"

[[target.clients]]
id = "a"
secret = "b"
scopes = ["analytics:events:read"]

[[groups]]
name = "query"
clients = 5
token = { client_id = "a", client_secret = "b", on_reconnect = "fetch", auth = "basic" }
connect = { token_in = { query = "access_token" } }
session = { ready = "first-message" }

[[groups]]
name = "subprotocol"
clients = 5
token = { client_id = "a", client_secret = "b", on_reconnect = "fetch", connection = "fresh" }
connect = { token_in = { subprotocol = "bearer." } }

[[groups]]
name = "shared"
clients = 20
token = { client_id = "a", client_secret = "b", on_reconnect = "fetch", sharing = "group" }

[[groups]]
name = "refresh"
clients = 5
token = { client_id = "a", client_secret = "b", refresh_before_expiry = "1s" }
session = { keep_alive = { ping_every = "500ms", timeout = "400ms" } }

[[groups]]
name = "leaves"
clients = 5
token = { client_id = "a", client_secret = "b", on_reconnect = { fetch_if_older_than = "1s" } }
reconnect = { backoff = { kind = "constant", base = "50ms" } }
session = { send = { rate = "5/s", text = "hello" } }
[[groups.disconnects]]
after = "1s"
how = "rst"

[[groups]]
name = "half-open"
clients = 5
token = { client_id = "a", client_secret = "b", on_reconnect = "fetch" }
session = { keep_alive = { ping_every = "300ms", timeout = "200ms" } }
reconnect = { backoff = { kind = "none" } }
[[groups.disconnects]]
after = "1s"
how = "half-open"

[[groups]]
name = "refused"
clients = 2
token = { client_id = "a", client_secret = "wrong" }
reconnect = { max_attempts = 2, backoff = { kind = "constant", base = "50ms" } }

[[groups]]
name = "tokenless"
clients = 2
token = { grant = "none" }
reconnect = { give_up_on = [403] }

[[storms]]
at = "3s"
by = "client"
how = "close"
code = 4001
groups = ["query", "subprotocol"]
fraction = "60%"
"#;
