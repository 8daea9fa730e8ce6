//! The first minute: a run without a file, a scenario to begin with, the last run found again.

use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};

use crate::support::output::{said, text};
use crate::support::program::resurge;
use crate::support::served::Served;

const QUIET: [&str; 2] = ["--progress", "none"];
/// Whatever else the machine does.
const UNTIMED: [&str; 2] = [
    "--set",
    "health={max_lag_p99=\"60s\",max_stall=\"60s\",max_delay=\"60s\",max_saturated_share=\"100%\"}",
];

fn there(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = resurge();
    command
        .current_dir(folder)
        .args(arguments)
        .env("RESURGE_CLIENT_SECRET", "s3same")
        .env("BROWSER", "/nowhere/browser");
    command.output().unwrap()
}

/// The run folders in `reports`, and all that their files say.
fn runs(folder: &Path) -> Vec<(String, String)> {
    let mut runs = Vec::new();
    for entry in fs::read_dir(folder.join("reports")).unwrap().map(|entry| entry.unwrap().path()) {
        let files = fs::read_dir(&entry).unwrap().filter_map(|file| fs::read(file.unwrap().path()).ok());
        let words = files.map(|bytes| text(&bytes)).collect::<String>();
        runs.push((entry.file_name().unwrap().to_string_lossy().into_owned(), words));
    }
    runs.sort();
    runs
}

#[test]
fn a_shipped_scenario_runs_without_a_file_also_in_shards_and_the_last_run_is_found_again() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let none = there(home, &["compare", "last"]);
    assert_eq!(
        (none.status.code(), text(&none.stderr).trim()),
        (Some(65), "error: there is no run folder in reports")
    );
    // It ends between two waves of idle closes.
    let small =
        ["--set", "duration=2600ms", "--set", "groups.0.clients=4", "--set", "groups.0.start.over=100ms"];
    let first = there(home, &[&["run", "--example", "smoke"], &QUIET[..], &small, &UNTIMED].concat());
    assert_eq!(first.status.code(), Some(0), "{}", said(&first));
    let alone = there(home, &["compare", "last"]);
    assert!(
        text(&alone.stderr).contains("there is no earlier run in reports of the scenario"),
        "{}",
        said(&alone)
    );
    let second =
        there(home, &[&["run", "example:smoke", "--shards", "2"], &QUIET[..], &small, &UNTIMED].concat());
    assert_eq!(second.status.code(), Some(0), "{}", said(&second));
    let made = runs(home);
    assert_eq!(made.len(), 2);
    let listed = text(&there(home, &["runs"]).stdout);
    let lines: Vec<&str> = listed.lines().skip(1).collect();
    assert!(
        lines.len() == 2 && lines.iter().all(|line| line.contains("pass") && line.contains("reports/smoke-")),
        "{listed}"
    );
    let last = lines[0].rsplit_once("reports/").unwrap().1;
    let page = text(&there(home, &["open", "--print"]).stdout);
    assert!(page.trim().ends_with(&format!("reports/{last}/report.html")), "{page} {last}");
    let compared = there(home, &["compare", "last"]);
    let words = text(&compared.stdout);
    assert!(
        compared.status.success() && words.contains(&format!("{last} (1 run) against the baseline smoke-")),
        "{}",
        said(&compared)
    );
    assert!(text(&there(home, &["report", "last"]).stdout).starts_with("PASS  smoke: 4 clients in 2 shards"));
}

#[test]
fn an_address_is_a_scenario_and_the_secret_is_nowhere() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let served = Served::start(resurge(), &[], Stdio::null());
    let (url, token_url) = (
        format!("ws://{}/api/v2/analytics/events", served.addr),
        format!("http://{}/oauth/token", served.addr),
    );
    let plain = ["--clients", "3", "--duration", "1500ms"];
    let without = there(home, &[&["run", &url], &plain[..], &QUIET, &UNTIMED].concat());
    let words = said(&without);
    assert!(words.contains("403") && words.contains("no_token"), "{words}");
    let with = there(
        home,
        &[
            &["run", &url, "--token-url", &token_url, "--client-id", "me", "--shards", "2"],
            &plain[..],
            &QUIET,
            &UNTIMED,
        ]
        .concat(),
    );
    assert_eq!(with.status.code(), Some(0), "{}", said(&with));
    assert!(text(&with.stdout).contains("All 3 clients were let in"), "{}", said(&with));
    for (name, words) in runs(home) {
        assert!(name.starts_with("127.0.0.1-") && name.contains("-api-v2-analytics-events-"), "{name}");
        assert!(!words.contains("s3same"), "{name}");
    }
    let wrong = there(home, &["run", "example:smoke", "--clients", "3"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("--set groups.0.clients=3"), "{}", said(&wrong));
}

#[test]
fn without_a_scenario_the_shipped_ones_are_offered() {
    let home = tempfile::tempdir().unwrap();
    for command in ["run", "simulate"] {
        let output = there(home.path(), &[command]);
        let words = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2));
        assert!(
            words.contains("deploy-storm") && words.contains(&format!("resurge {command} --example smoke")),
            "{words}"
        );
    }
    let output = there(home.path(), &["run", "--example", "deploy-strom"]);
    assert_eq!(output.status.code(), Some(104));
    assert_eq!(
        text(&output.stderr).trim(),
        "error: there is no shipped scenario deploy-strom; is deploy-storm meant?"
    );
    let printed = there(home.path(), &["examples", "auth0"]).stdout;
    assert_eq!(text(&printed), fs::read_to_string("scenarios/services/auth0.toml").unwrap());
}

#[test]
fn what_init_writes_runs_and_nothing_is_overwritten() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let made = there(home, &["init", "--clients", "3"]);
    assert!(made.status.success(), "{}", said(&made));
    let text_of = |name: &str| fs::read_to_string(home.join(name)).unwrap();
    assert!(text_of("scenario.toml").starts_with("#:schema ./resurge.schema.json\n"));
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&text_of("resurge.schema.json")).unwrap()["type"],
        "object"
    );
    let quick = ["--set", "duration=5s", "--set", "groups.0.start.over=100ms", "--set", "storms.0.at=1500ms"];
    let ran = there(home, &[&["run", "scenario.toml"], &quick[..], &QUIET, &UNTIMED].concat());
    assert_eq!(ran.status.code(), Some(0), "{}", said(&ran));
    assert!(said(&ran).contains("All 3 clients were disconnected, and all came back"), "{}", said(&ran));
    let again = there(home, &["init", "--clients", "9"]);
    assert_eq!(again.status.code(), Some(2));
    assert!(text_of("scenario.toml").contains("clients = 3"), "{}", said(&again));
    fs::write(
        home.join("k.js"),
        "ws.connect(`ws://127.0.0.1:9/${__VU}`, { headers: { 'X-Api-Key': 'hush-hush' } })",
    )
    .unwrap();
    let taken = there(home, &["init", "--from-k6", "k.js", "--out", "k.toml"]);
    let told = text(&taken.stderr);
    assert!(
        taken.status.success() && told.contains("RESURGE_URL") && told.contains("X_API_KEY"),
        "{}",
        said(&taken)
    );
    assert!(!text_of("k.toml").contains("hush-hush") && !said(&taken).contains("hush-hush"));
    for bad in ["no.js", "resurge.schema.json"] {
        let refused = there(home, &["init", "--from-har", bad, "--out", "bad.toml"]);
        assert_eq!(
            (refused.status.code(), home.join("bad.toml").exists()),
            (Some(2), false),
            "{}",
            said(&refused)
        );
    }
}

#[test]
fn a_page_that_is_not_there_and_a_browser_that_is_not_there_are_told() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    fs::create_dir_all(home.join("reports/empty")).unwrap();
    let output = there(home, &["open", "reports/empty"]);
    assert_eq!(output.status.code(), Some(65));
    assert!(text(&output.stderr).contains("--rewrite"), "{}", said(&output));
    assert_eq!(there(home, &["runs"]).status.code(), Some(65));
}

/// A profile may want another way in than a header: what is written for it comes in, and comes back after the storm.
#[test]
fn what_init_writes_for_a_profile_gets_in_there() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    for profile in ["forum", "bearer", "ticket", "phoenix", "genesys"] {
        let (file, out) = (format!("{profile}.toml"), format!("out-{profile}"));
        let made = there(home, &["init", "--profile", profile, "--out", &file]);
        assert_eq!(made.status.code(), Some(0), "{}", said(&made));
        let done = there(home, &["simulate", &file, "--out", &out, "--progress", "none"]);
        assert_eq!(done.status.code(), Some(0), "{profile}: {}", said(&done));
        let summary = fs::read_to_string(home.join(out).join("summary.csv")).unwrap();
        assert!(summary.contains("\nclients,reconnect_latency,10,"), "{profile}: {summary}");
    }
}
