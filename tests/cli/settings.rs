//! Settings of a scenario and what they do to a run: thresholds, the seed, every option of a group beside the others.

use std::collections::BTreeMap;

use crate::runs::{Run, run_with};
use crate::support::scene::Scene;

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

/// The draws are alike; the times measured around them are not, and a busy machine ends two runs after different numbers of
/// attempts: so the first way back of each client is compared with its own in the other run.
#[test]
fn the_same_seed_backs_off_alike() {
    let run = |seed: &str| {
        let backoff = "groups.0.reconnect.backoff={ kind = \"exponential\", base = \"800ms\", max = \"1s\", jitter = \"full\" }";
        run_with(
            "scenarios/smoke.toml",
            &["--set", backoff, "--set", "duration=3s", "--seed", seed, "--attempts"],
        )
    };
    let [one, two, other] = std::thread::scope(|scope| {
        ["7", "7", "8"].map(|seed| scope.spawn(move || run(seed))).map(|run| run.join().unwrap())
    });
    assert_eq!(one.json()["scenario"]["seed"], 7);
    assert_eq!(one.json()["scenario"]["hash"], two.json()["scenario"]["hash"]);
    let (alike, unlike) = (median_difference(&one, &two), median_difference(&one, &other));
    assert!(alike < 40_000, "the same seed: {alike} µs apart");
    assert!(unlike > 80_000, "another seed: {unlike} µs apart");
}

/// By how much the first backoffs of the same clients differ in two runs: the median, in µs.
fn median_difference(one: &Run, other: &Run) -> u64 {
    let (one, other) = (first_backoffs(one), first_backoffs(other));
    let both = one.iter().filter_map(|(client, us)| other.get(client).map(|other| us.abs_diff(*other)));
    let mut differences: Vec<u64> = both.collect();
    differences.sort_unstable();
    assert!(differences.len() >= 10, "{one:?} {other:?}");
    differences[differences.len() / 2]
}

/// How long each client waited after its first disconnect until it was to try again, in µs.
fn first_backoffs(run: &Run) -> BTreeMap<String, u64> {
    let mut first = BTreeMap::new();
    for row in run.rows("attempts.csv").iter().filter(|row| row["kind"] == "reconnect") {
        let us = |column: &str| row[column].parse::<f64>().unwrap();
        first.entry(row["client"].clone()).or_insert_with(|| (us("due_us") - us("out_from_us")) as u64);
    }
    first
}

/// Every way to carry a token, to get one, to leave and to come back, in one run: the accounts close all the same.
#[test]
fn every_option_of_a_group_works_beside_the_others() {
    let run = run_with(Scene::new(OPTIONS).file().to_str().unwrap(), &[]);
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

# Of these groups nobody is to get in.
[thresholds]
"first_given_up{group:refused}" = ["count == 2"]
"first_given_up{group:tokenless}" = ["count == 2"]
"#;
