//! Clients that are still away when a run ends, and clients that were never in: nobody is left out, and no pass is empty.

use std::fmt::Write as _;

use crate::runs::{Run, run_with};
use crate::support::output::unwrapped;
use crate::support::program::resurge;
use crate::support::run_folder::json;
use crate::support::tables::rows;

/// The embedded target: 20 clients are cut off after a second, nearly all upgrades are refused from then on.
const AWAY: &str = r#"
name = "away"
seed = 1
duration = "3s"
drain = "1s"
[target]
kind = "embedded"
invalidation = "never"
required_scopes = []
idle_timeout = "never"
[[target.faults]]
kind = "upgrade_status"
status = 503
from = "900ms"
share = SHARE
[[groups]]
name = "g"
clients = 20
[groups.token]
client_id = "a"
client_secret = "b"
[[storms]]
at = "1s"
by = "client"
how = "rst"
fraction = "100%"
[thresholds]
reconnect_success_rate = ["rate == 100%"]
reconnect_latency = ["p(99) < 2s"]
"#;

/// The clients ask for a path that is not there.
const NEVER_IN: &str = r#"
name = "never-in"
duration = "2s"
[target]
kind = "embedded"
[[groups]]
name = "lost"
clients = 3
[groups.token]
client_id = "a"
client_secret = "b"
[groups.connect]
path = "/nowhere"
[groups.reconnect]
backoff = { kind = "constant", base = "100ms" }
max_attempts = 3
"#;

fn file(folder: &tempfile::TempDir, scenario: &str) -> String {
    let file = folder.path().join("scenario.toml");
    std::fs::write(&file, scenario).unwrap();
    file.display().to_string()
}

fn run(scenario: &str) -> Run {
    let folder = tempfile::tempdir().unwrap();
    run_with(&file(&folder, scenario), &[])
}

/// A row of a table, by column.
type Row = std::collections::BTreeMap<String, String>;

/// In virtual time: exit code, summary, `run.json`'s group, `summary.csv`'s row of the reconnect latency.
fn simulate(scenario: &str) -> (i32, String, serde_json::Value, Option<Row>) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut command = resurge();
    command.args(["simulate", &file(&folder, scenario), "--progress", "none", "--out"]).arg(&out);
    let output = command.output().unwrap();
    let json = json(&out)["accounting"]["groups"][0].clone();
    let row = rows(&out, "summary.csv").into_iter().find(|row| row["metric"] == "reconnect_latency");
    (output.status.code().unwrap(), unwrapped(&output.stdout), json, row)
}

#[test]
fn who_is_away_when_the_run_ends_fails_what_it_would_have_to_hold() {
    let run = run(&AWAY.replace("SHARE", "0.97"));
    assert_eq!(run.code(), 99, "{}{}", run.stdout(), run.stderr());
    let reconnects = &run.json()["accounting"]["groups"][0]["reconnects"];
    let number = |key: &str| reconnects[key].as_u64().unwrap();
    assert_eq!((number("wanted"), number("back") + number("away")), (20, 20), "{reconnects}");
    assert!(number("away") >= 10, "{reconnects}");
    assert!(reconnects["p99"]["value_us"].is_null(), "{reconnects}");
    let rate = number("back") as f64 / 20.0;
    assert!((reconnects["success_rate"].as_f64().unwrap() - rate).abs() < 1e-9, "{reconnects}");
    assert!(run.stdout().contains("reconnect_latency: p(99) < 2s (measured > "), "{}", run.stdout());
}

#[test]
fn every_form_tells_the_same_of_those_who_are_away() {
    let (code, summary, json, row) = simulate(&AWAY.replace("SHARE", "1.0"));
    assert_eq!(code, 99, "{summary}");
    for part in [
        "nobody came back: 20 of 20 away",
        "(measured 0.0%)",
        "20 were away when the run ended, for up to 2.00 s",
    ] {
        assert!(summary.contains(part), "{part}\n{summary}");
    }
    let row = row.unwrap();
    assert_eq!((row["count"].as_str(), row["p99_us"].as_str(), row["away"].as_str()), ("0", "", "20"));
    let longest: u64 = row["longest_away_us"].parse().unwrap();
    assert!((1_900_000..=2_100_000).contains(&longest), "{longest}");
    assert_eq!(json["reconnects"]["longest_away_us"], longest);
    assert_eq!(json["latencies"]["reconnect_latency"]["beyond_us"], longest);
    assert!(json["latencies"]["reconnect_latency"]["p50_us"].is_null(), "{json}");
    assert_eq!(json["latencies"]["reconnect_away"]["count"], 20);

    let (code, summary, json, row) = simulate(&AWAY.replace("SHARE", "1.0").replace("900ms", "2900ms"));
    assert_eq!(code, 0, "{summary}");
    assert_eq!((json["reconnects"]["away"].as_u64(), row.unwrap()["away"].as_str()), (Some(0), "0"));
}

#[test]
fn a_run_in_which_nobody_was_ever_in_is_no_pass() {
    let told =
        "the load was not achieved: none of the 3 clients of group lost ever had a session (http_4xx 9)";
    let run = run(NEVER_IN);
    assert_eq!(run.code(), 110, "{}{}", run.stdout(), run.stderr());
    assert!(run.stdout().contains(told), "{}", run.stdout());
    let (code, summary, json, _) = simulate(NEVER_IN);
    assert_eq!((code, json["never_in"].as_u64()), (110, Some(3)), "{summary}");
    assert!(
        summary.contains(told) && summary.contains("lost: 3 of 3 clients never had a session"),
        "{summary}"
    );

    let mut asked = NEVER_IN.to_owned();
    write!(asked, "[thresholds]\nfirst_given_up = [\"count == 3\"]\n").unwrap();
    let (code, summary, ..) = simulate(&asked);
    assert_eq!(code, 0, "it was asked for: {summary}");
}

#[test]
fn some_who_were_never_in_are_told_and_the_run_may_pass() {
    let half = NEVER_IN
        .replace("duration", "seed = 1\nduration")
        .replace("[groups.connect]\npath = \"/nowhere\"\n", "");
    let fault = "[[target.faults]]\nkind = \"upgrade_status\"\nstatus = 403\nshare = 0.8\n[[groups]]";
    let half = half.replace("[[groups]]", fault).replace("clients = 3", "clients = 60");
    let (code, summary, json, _) = simulate(&half);
    let never = json["never_in"].as_u64().unwrap();
    assert!((10..50).contains(&never), "{never}");
    assert_eq!(code, 0, "{summary}");
    assert!(summary.contains(&format!("lost: {never} of 60 clients never had a session")), "{summary}");
}
