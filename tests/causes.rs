//! Causes that clients claim, against the truth that the target knows: over all invalidations, ways to refuse and client lifecycles.
#![expect(clippy::unwrap_used, reason = "a test that meets what it does not expect has failed")]

use std::collections::BTreeMap;
use std::path::Path;

use resurge::run::{RunRequest, run};
use resurge::sample::{Cause, Outcome};
use tempfile::TempDir;

/// A world: how a client comes to be refused.
const WORLDS: [(&str, &str, &str); 11] = [
    ("stale after the disconnect", "invalidation = \"on-disconnect\"", "REUSE"),
    ("a newer token", "invalidation = \"on-new-token\"\ntoken_delay = \"5ms\"", "REUSE"),
    ("used twice", "invalidation = \"on-use\"", "REUSE"),
    ("expired", "invalidation = \"never\"\ntoken_life = \"400ms\"", "REUSE"),
    (
        "expired, and the client's clock is slow",
        "invalidation = \"never\"\ntoken_life = \"400ms\"",
        "REUSE\nclock_skew = \"+1h\"",
    ),
    ("stale, then expired as well", "invalidation = \"on-disconnect\"\ntoken_life = \"700ms\"", "REUSE"),
    (
        "no scope",
        "invalidation = \"never\"\n[[target.clients]]\nid = \"c\"\nsecret = \"s\"\nscopes = [\"x\"]",
        "FETCH",
    ),
    ("of another world", "invalidation = \"never\"", "grant = \"fixed\"\ntoken = \"nonsense\""),
    ("none", "invalidation = \"never\"", "grant = \"none\""),
    ("locked", "invalidation = \"never\"\nclient_lock = \"200ms\"", "FETCH"),
    (
        "too many",
        "invalidation = \"never\"\nhandshake_limit = { count = 5, per = \"1s\", status = 403 }",
        "FETCH",
    ),
];
const STATUSES: [&str; 2] = ["403", "\"rfc6750\""];
const DETAILS: [&str; 3] = ["full", "bare", "html"];

const CREDENTIALS: &str = "client_id = \"c\"\nclient_secret = \"s\"\nrefetch_marker";

/// Claims and truths of a run, by cause.
type Causes = BTreeMap<Cause, u64>;

fn run_world(folder: &Path, world: usize, status: &str, detail: &str) -> (Causes, Causes) {
    let (_, rules, token) = WORLDS[world];
    let name = format!("w{world}-{}-{detail}", status.trim_matches('"'));
    let credentials = CREDENTIALS.replace("refetch_marker", "");
    let token = token
        .replace("REUSE", &format!("{credentials}on_reconnect = \"reuse\""))
        .replace("FETCH", &format!("{credentials}on_reconnect = \"fetch\""));
    let text = format!(
        "duration = \"1500ms\"\n[target]\nprofile = \"forum\"\nidle_timeout = \"300ms\"\nrefusal_status = {status}\nrefusal_detail = \"{detail}\"\n{rules}\n[[groups]]\nname = \"g\"\nclients = 3\n[groups.token]\n{token}\n[groups.reconnect]\nbackoff = {{ kind = \"constant\", base = \"100ms\" }}\nrefetch_on = []\nhonour_retry_after = false\n"
    );
    let path = folder.join(format!("{name}.toml"));
    std::fs::write(&path, &text).unwrap();
    let request = RunRequest {
        scenario: path,
        overrides: Vec::new(),
        seed: None,
        out: Some(folder.join(&name)),
        authorised: Vec::new(),
        on_progress: None,
    };
    let done = run(request);
    assert!(done.is_ok(), "{name}: {:?}\n{text}", done.err());
    let model = done.unwrap().model;
    let mut claims = Causes::new();
    for ((_, outcome, cause), n) in &model.all.attempts {
        if matches!(outcome, Outcome::Http401 | Outcome::Http403) {
            *claims.entry(cause.unwrap()).or_default() += n;
        }
    }
    let mut truths = Causes::new();
    for refused in &model.end.as_ref().unwrap().target_counters.as_ref().unwrap().refused {
        *truths.entry(refused.cause).or_default() += refused.count;
    }
    (claims, truths)
}

#[test]
fn a_cause_that_is_claimed_is_the_true_one() {
    let folder = TempDir::new().unwrap();
    let mut cases = Vec::new();
    for world in 0..WORLDS.len() {
        for status in STATUSES {
            for detail in DETAILS {
                cases.push((world, status, detail));
            }
        }
    }
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = cases
            .iter()
            .map(|&(world, status, detail)| {
                let folder = folder.path();
                scope.spawn(move || (world, status, detail, run_world(folder, world, status, detail)))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut faults = Vec::new();
    let mut unclaimed: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for (world, status, detail, (claims, truths)) in results {
        let name = WORLDS[world].0;
        let (claimed, true_sum): (u64, u64) = (claims.values().sum(), truths.values().sum());
        if true_sum == 0 || claimed != true_sum {
            faults.push(format!("{name}, {status}, {detail}: {claimed} refusals here, {true_sum} there"));
        }
        for (cause, n) in claims.iter().filter(|(cause, _)| **cause != Cause::Unknown) {
            if truths.get(cause).copied().unwrap_or(0) < *n {
                faults.push(format!(
                    "{name}, {status}, {detail}: claims {cause} × {n}, the truth is {truths:?}"
                ));
            }
        }
        if claims.contains_key(&Cause::Unknown) {
            unclaimed.entry((detail, status)).or_default().push(name);
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    // How often no cause is claimed, of the worlds.
    let table: String = unclaimed
        .iter()
        .map(|((detail, status), names)| {
            format!("{detail}, {status}: {} of {}: {}\n", names.len(), WORLDS.len(), names.join("; "))
        })
        .collect();
    insta::assert_snapshot!(table, @r#"
    bare, "rfc6750": 9 of 11: stale after the disconnect; a newer token; used twice; expired, and the client's clock is slow; stale, then expired as well; no scope; of another world; locked; too many
    bare, 403: 9 of 11: stale after the disconnect; a newer token; used twice; expired, and the client's clock is slow; stale, then expired as well; no scope; of another world; locked; too many
    html, "rfc6750": 9 of 11: stale after the disconnect; a newer token; used twice; expired, and the client's clock is slow; stale, then expired as well; no scope; of another world; locked; too many
    html, 403: 9 of 11: stale after the disconnect; a newer token; used twice; expired, and the client's clock is slow; stale, then expired as well; no scope; of another world; locked; too many
    "#);
}
