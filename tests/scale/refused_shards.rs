//! Runs in shards that cannot begin, and what `check` says of shards.

use std::fs;

use crate::shard_runs::assert_no_process_is_left;
use crate::support::coming_and_going::coming_and_going;
use crate::support::output::said;
use crate::support::program::resurge;
use crate::support::scene::Scene;

#[test]
fn what_cannot_begin_is_told_and_leaves_nothing_behind() {
    let scenario = Scene::new(&coming_and_going(30, "60s"));
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
        let output = scenario.command("bad", more).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{more:?}: {}", said(&output));
        assert!(said(&output).contains(part), "{more:?}: {}", said(&output));
        assert!(!scenario.path("bad").exists(), "{more:?}");
    }
    fs::create_dir(scenario.path("there")).unwrap();
    let output = scenario.command("there", &["--shards", "2"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = scenario.command("bad", &["--shards", "2", "--metrics", &port]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert_no_process_is_left(&scenario);
}

#[test]
fn check_says_how_many_shards_a_scenario_needs() {
    let check = |scenario: &str, more: &[&str]| {
        let mut command = resurge();
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
