//! The shipped scenarios at reduced size: each shows what it promises, and leaves a whole run folder.

use std::fs;

use crate::runs::run_with;
use crate::support::output::{text, unwrapped};
use crate::support::program::resurge;

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
        "duration=6s",
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
fn browsers_resume_their_tls_sessions_and_compress() {
    let small = ["--set", "groups.0.clients=10", "--set", "groups.1.clients=10", "--set", "duration=4s"];
    let storm = ["--set", "storms.0.at=2s"];
    // The thresholds name the shipped number of clients.
    let counts = ["reconnects", "tls_full", "tls_resumed"]
        .map(|metric| format!("thresholds.\"{metric}{{group:browsers}}\"=[\"count == 10\"]"));
    let counts = counts.iter().flat_map(|set| ["--set", set.as_str()]);
    let all: Vec<&str> = small.into_iter().chain(storm).chain(counts).collect();
    let run = run_with("scenarios/browser-fleet.toml", &all);
    assert_eq!(run.code(), 0, "{}{}", run.stdout(), run.stderr());
    run.assert_sound();
    let output = resurge().args(["report", "--details"]).arg(&run.folder).output().unwrap();
    let said = text(&output.stdout);
    for part in ["PASS", "TLS handshakes", "50.0%", "Compression"] {
        assert!(said.to_lowercase().contains(&part.to_lowercase()), "{part}\n{said}");
    }
    let json = run.json();
    let of = |group: usize, counter: &str| {
        json["accounting"]["groups"][group]["counters"][counter].as_u64().unwrap_or(0)
    };
    assert_eq!([0, 1].map(|group| of(group, "reconnects")), [10, 10]);
    assert_eq!([0, 1].map(|group| of(group, "compressed_sessions")), [20, 0]);
    assert!(of(0, "payload_bytes_in") * 2 < of(0, "plain_bytes_in"), "what is alike is sent once");
    assert!(of(0, "bytes_in") * 2 < of(1, "bytes_in"), "the same messages to both groups");
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
        "availability.csv",
        "closes.csv",
        "histograms.hlog",
        "journal.bin",
        "outages.csv",
        "outcomes.csv",
        "report.html",
        "run.json",
        "scenario.toml",
        "steps.csv",
        "summary.csv",
        "timeseries.csv",
        "tokens.csv",
    ];
    assert_eq!(names, expected);
    let copy = fs::read_to_string(run.folder.join("scenario.toml")).unwrap();
    // A demo's public word stays, so that the copy runs again as it is; what becomes of a secret is held beside the code that copies.
    assert!(copy.contains("client_secret = \"demo-secret\"") && !copy.contains("RESURGE_"), "{copy}");
    let header =
        fs::read_to_string(run.folder.join("summary.csv")).unwrap().lines().next().unwrap().to_owned();
    assert_eq!(
        header,
        "group,metric,count,min_us,mean_us,stddev_us,p50_us,p75_us,p90_us,p95_us,p99_us,p99_9_us,p99_99_us,max_us,away,longest_away_us"
    );
    for (format, file) in
        [("csv", "summary.csv"), ("json", "run.json"), ("hlog", "histograms.hlog"), ("html", "report.html")]
    {
        let output = resurge().args(["report", "--format", format]).arg(&run.folder).output().unwrap();
        assert!(output.status.success(), "{format}");
        assert_eq!(text(&output.stdout), fs::read_to_string(run.folder.join(file)).unwrap());
    }
    let report = resurge().arg("report").arg(&run.folder).output().unwrap();
    assert_eq!(unwrapped(&report.stdout), run.stdout());
}

#[test]
fn the_copy_in_a_run_folder_runs_again_as_it_is() {
    let small = ["--set", "groups.0.clients=5", "--set", "groups.0.start.over=100ms", "--set", "duration=2s"];
    let run = run_with("scenarios/smoke.toml", &small);
    assert_eq!(run.code(), 0, "{}{}", run.stdout(), run.stderr());
    let copy = run.folder.join("scenario.toml");
    let again = run_with(copy.to_str().unwrap(), &[]);
    assert_eq!(again.code(), 0, "{}{}", again.stdout(), again.stderr());
    let hash = |run: &crate::runs::Run| run.json()["scenario"]["hash"].clone();
    assert_eq!((hash(&again), hash(&again).is_string()), (hash(&run), true), "the same scenario");
}

#[test]
fn clients_come_and_go_by_one_schedule_in_a_run_in_shards_and_in_virtual_time() {
    let small = [
        "--set",
        "duration=6s",
        "--set",
        "groups.0.arrivals.stages=[{to=\"40/s\",over=\"2s\"},{hold=\"2s\"},{to=\"0/s\",over=\"2s\"}]",
        "--set",
        "groups.0.arrivals.at_most=50",
        "--set",
        "storms.0.at=3s",
        "--set",
        "thresholds={}",
    ];
    let counted = |json: &serde_json::Value| {
        let groups = json["accounting"]["groups"].as_array().unwrap();
        let of = |group: &serde_json::Value| {
            let counter = |name: &str| group["counters"][name].as_u64().unwrap_or(0);
            (counter("clients_started"), counter("arrivals_dropped"))
        };
        groups.iter().map(of).collect::<Vec<_>>()
    };
    let whole = run_with("scenarios/arrivals.toml", &small);
    assert_eq!(whole.code(), 0, "{}{}", whole.stdout(), whole.stderr());
    whole.assert_sound();
    let planned = counted(&whole.json());
    assert!(planned[0].0 > 80 && planned[0].1 > 5 && planned[1] == (60, 0), "{planned:?}");
    assert!(whole.stdout().contains("more came and were dropped"), "{}", whole.stdout());
    let rows = whole.rows("timeseries.csv");
    for (group, (started, dropped)) in ["users", "devices"].into_iter().zip(&planned) {
        let column = |name: &str| {
            let own = rows.iter().filter(|row| row["group"] == group);
            own.map(|row| row[name].parse::<u64>().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(column("clients_started").iter().sum::<u64>(), *started);
        assert_eq!(column("arrivals_dropped").iter().sum::<u64>(), *dropped);
        let there = column("clients");
        assert_eq!(there.last(), Some(&0), "all have left: {there:?}");
        // Who leaves is there until its session has ended.
        assert!((5..=70).contains(there.iter().max().unwrap()), "{there:?}");
    }
    let page = std::fs::read_to_string(whole.folder.join("report.html")).unwrap();
    for plot in ["clients-at-once", "\"arrivals\"", "arrivals-dropped"] {
        assert!(page.contains(plot), "{plot}");
    }
    let split = run_with("scenarios/arrivals.toml", &[&small[..], &["--shards", "2"]].concat());
    assert_eq!(counted(&split.json()), planned, "{}{}", split.stdout(), split.stderr());
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("simulated");
    let mut simulate = resurge();
    simulate
        .args(["simulate", "scenarios/arrivals.toml", "--progress", "none", "--out"])
        .arg(&folder)
        .args(small);
    assert_eq!(simulate.output().unwrap().status.code(), Some(0));
    assert_eq!(counted(&crate::support::run_folder::json(&folder)), planned);
}
