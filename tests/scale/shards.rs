//! Runs in several processes: nothing is lost in the merge, and all together are one run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use crate::shard_runs::{assert_no_process_is_left, merge};
use crate::support::coming_and_going::coming_and_going;
use crate::support::output::said;
use crate::support::program::resurge;
use crate::support::run_folder::json;
use crate::support::scene::Scene;

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
how = "rst"
fraction = "50%"
[thresholds]
"reconnect_success_rate{group:a}" = ["rate == 100%"]
"handshake_403_rate{group:b}" = ["rate == 100%"]
"#;

fn stormy() -> Scene {
    Scene::new(STORMY)
}

#[test]
fn sums_are_exact_and_the_same_for_one_two_and_three_shards() {
    let scenario = stormy();
    let runs = [("1", "one"), ("2", "two"), ("3", "three")].map(|(shards, out)| {
        let more = ["--shards", shards, "--set", "groups.0.token.client_id=x"];
        (shards, out, start(&scenario, out, &more))
    });
    let mut tables = Vec::new();
    for (shards, out, run) in runs {
        let output = run.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        let json = json(&scenario.path(out));
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
            assert!(scenario.path(out).join(file).is_file(), "{file}");
        }
        for path in walk(&scenario.path(out)) {
            let bytes = fs::read(&path).unwrap();
            let found = bytes.windows(13).any(|part| part == b"hidden-secret");
            assert!(!found, "a secret is in {}", path.display());
        }
    }
    assert!(!tables[0][0].contains("\"ok\":21}"), "the storm threw somebody off: {tables:?}");
    assert_eq!(tables[1], tables[0], "two shards");
    assert_eq!(tables[2], tables[0], "three shards");
    assert_no_process_is_left(&scenario);
    // The shards' own folders merge to the very same files, in any order.
    let shard = |n: u32| scenario.path("three").join("shards").join(n.to_string());
    let merged = scenario.path("merged");
    let output = merge(&[shard(3), shard(1), shard(2)], &merged);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    for file in ["summary.csv", "outcomes.csv", "closes.csv", "timeseries.csv"] {
        let read = |folder: &Path| fs::read_to_string(folder.join(file)).unwrap();
        assert_eq!(read(&merged), read(&scenario.path("three")), "{file}");
    }
    let start = |n: u32| {
        resurge::record::read_journal(&shard(n).join("journal.bin")).unwrap().manifest.started_unix_us
    };
    assert_eq!((start(1), start(2)), (start(2), start(3)), "all have one origin");
    // One is missing: the others are merged all the same, and it is told.
    let partly = scenario.path("partly");
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
            vec![shard(1), scenario.path("two").join("shards/2")],
            "the number of shards is 3 in the first and 2 in the second",
        ),
        (vec![shard(1), scenario.path("nowhere")], "nowhere"),
    ] {
        let output = merge(&inputs, &scenario.path("refused"));
        assert_eq!(output.status.code(), Some(65), "{part}: {}", said(&output));
        assert!(said(&output).contains(part), "{part}: {}", said(&output));
        assert!(!scenario.path("refused").exists(), "nothing is written");
    }
}

/// Starts a run whose secret is in its environment.
fn start(scenario: &Scene, out: &str, more: &[&str]) -> Child {
    let mut command = scenario.command(out, more);
    command.env("SHARDS_TEST_SECRET", "hidden-secret").stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
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
    let runs = ["1/2", "2/2"].map(|shard| {
        let out = shard.replace('/', "-of-");
        let run = start(&scenario, &out, &["--shard", shard]);
        (shard, out, run)
    });
    for (shard, out, run) in runs {
        let output = run.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        assert!(
            said(&output).contains(&format!("shard {}", shard.replace('/', " of "))),
            "{}",
            said(&output)
        );
        folders.push(scenario.path(&out));
    }
    let output = merge(&folders, &scenario.path("whole"));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let json = json(&scenario.path("whole"));
    assert_eq!(json["accounting"]["all"]["counters"]["clients_started"], 30);
    assert_eq!(json["reconciliation"]["exact"], true);
    assert!(said(&output).contains("30 clients in 2 shards"), "{}", said(&output));
    // A share is no run to compare the whole with.
    let mut compare = resurge();
    let output = compare.arg("compare").arg(&folders[0]).arg(scenario.path("whole")).output().unwrap();
    assert_eq!(output.status.code(), Some(65), "{}", said(&output));
    assert!(said(&output).contains("it holds only shard 1 of 2"), "{}", said(&output));
}

#[test]
fn a_threshold_over_all_shards_ends_the_run() {
    let text = format!(
        "{}[thresholds]\ndisconnects = [{{ expr = \"count < 20\", abort_on_fail = true, delay = \"1s\" }}]\n",
        coming_and_going(30, "60s")
    );
    let scenario = Scene::new(&text);
    let output = scenario.command("run", &["--shards", "2"]).output().unwrap();
    assert_eq!(output.status.code(), Some(99), "{}", said(&output));
    assert!(said(&output).contains("ended early by disconnects: count < 20"), "{}", said(&output));
    assert_no_process_is_left(&scenario);
}

#[test]
fn progress_and_metrics_show_all_shards_as_one() {
    let scenario = Scene::new(&coming_and_going(30, "60s"));
    let output = resurge()
        .arg("run")
        .arg(scenario.file())
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
        .arg(scenario.path("shown"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("30/30 connected"), "{}", said(&output));
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
        "health.max_stall=60s",
        "health.max_delay=60s",
        "health.max_saturated_share=100%",
        "thresholds.lag=[\"max < 60s\"]",
        "thresholds.reconnect_latency=[\"max < 60s\"]",
        "thresholds.clients_started=[\"count == 300\"]",
        "thresholds.disconnects=[\"count == 300\"]",
    ];
    let mut command = resurge();
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
    let text = coming_and_going(30, "2s")
        .replace("[target]\n", "[target]\naddresses = [\"127.0.0.1\", \"127.0.0.2\", \"127.0.0.3\"]\n");
    let text = format!("{text}connect = {{ source_addresses = [\"127.0.0.4\", \"127.0.0.5\"] }}\n");
    let scenario = Scene::new(&text);
    let output = scenario.command("run", &["--shards", "2"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(json(&scenario.path("run"))["reconciliation"]["exact"], true, "{}", said(&output));
}
