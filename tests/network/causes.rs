//! Causes that clients claim, against the truth that the target knows: over all invalidations, ways to refuse and client lifecycles.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use resurge::sample::{Cause, Outcome};
use tempfile::TempDir;

use crate::support::alone::alone;
use crate::support::in_process::run_file;

/// Runs at once: most of their time is waiting.
const AT_ONCE: usize = 24;
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
        "invalidation = \"never\"\nrequired_scopes = [\"y\"]\n[[target.clients]]\nid = \"c\"\nsecret = \"s\"\nscopes = [\"x\"]",
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
/// How a target refuses: its profile, and what is changed of it.
const TARGETS: [(&str, &str); 10] = [
    ("forum", ""),
    ("forum", "refusal_detail = \"bare\""),
    ("forum", "refusal_detail = \"html\""),
    ("forum", "refusal_status = \"rfc6750\""),
    ("forum", "refusal_status = \"rfc6750\"\nrefusal_detail = \"bare\""),
    ("forum", "refusal_status = \"rfc6750\"\nrefusal_detail = \"html\""),
    ("bearer", ""),
    ("phoenix", ""),
    ("ticket", ""),
    ("genesys", ""),
];
/// A client of the profile `genesys` makes a channel before each handshake.
const CHANNEL: &str = "[groups.connect]\nurl = \"{uri}\"\ntoken_in = \"nowhere\"\n[[groups.prepare.steps]]\nmethod = \"POST\"\npath = \"/api/v2/notifications/channels\"\nheaders = { Authorization = \"Bearer {token}\" }\nsave = { uri = \"/connectUri\" }\n";

const CREDENTIALS: &str = "client_id = \"c\"\nclient_secret = \"s\"\nrefetch_marker";

/// Claims and truths of a run, by cause.
type Causes = BTreeMap<Cause, u64>;

fn run_world(folder: &Path, world: usize, target: usize) -> (Causes, Causes) {
    let (_, rules, token) = WORLDS[world];
    let (profile, changed) = TARGETS[target];
    let name = format!("w{world}-{target}-{profile}");
    let credentials = CREDENTIALS.replace("refetch_marker", "");
    let token = token
        .replace("REUSE", &format!("{credentials}on_reconnect = \"reuse\""))
        .replace("FETCH", &format!("{credentials}on_reconnect = \"fetch\""));
    let connect = match profile {
        "genesys" => CHANNEL,
        "phoenix" | "ticket" => "[groups.connect]\ntoken_in = { query = \"access_token\" }\n",
        _ => "",
    };
    // A file may not say a thing twice; what a world says of the idle timeout comes last.
    let text = format!(
        "duration = \"1500ms\"\n[target]\nprofile = \"{profile}\"\nidle_timeout = \"300ms\"\n{changed}\n{rules}\n[[groups]]\nname = \"g\"\nclients = 3\n[groups.token]\n{token}\n{connect}[groups.reconnect]\nbackoff = {{ kind = \"constant\", base = \"100ms\" }}\nrefetch_on = []\nhonour_retry_after = false\n"
    );
    let path = folder.join(format!("{name}.toml"));
    std::fs::write(&path, &text).unwrap();
    let model = run_file(&path, &[], folder.join(&name)).model;
    let mut claims = Causes::new();
    for ((_, outcome, cause), n) in &model.all.attempts {
        if let (Outcome::Http401 | Outcome::Http403 | Outcome::StepRefused, Some(cause)) = (outcome, cause) {
            *claims.entry(*cause).or_default() += n;
        }
    }
    let mut truths = Causes::new();
    let counters = model.end.as_ref().unwrap().target_counters.clone().unwrap();
    for refused in counters.refused.iter().chain(&counters.routes_refused) {
        *truths.entry(refused.cause).or_default() += refused.count;
    }
    (claims, truths)
}

#[test]
fn a_cause_that_is_claimed_is_the_true_one() {
    let _alone = alone();
    let folder = TempDir::new().unwrap();
    let cases: Vec<_> =
        (0..WORLDS.len()).flat_map(|world| (0..TARGETS.len()).map(move |target| (world, target))).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some(&(world, target)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            done.push((world, target, run_world(folder.path(), world, target)));
        }
        done
    };
    let mut results: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    results.sort_unstable_by_key(|(world, target, _)| (*world, *target));
    let mut faults = Vec::new();
    let mut unclaimed: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    let mut refused = BTreeMap::<&str, u64>::new();
    for (world, target, (claims, truths)) in results {
        let (profile, changed) = TARGETS[target];
        let name = format!("{}, {profile}, {changed}", WORLDS[world].0);
        let (claimed, true_sum): (u64, u64) = (claims.values().sum(), truths.values().sum());
        *refused.entry(profile).or_default() += true_sum;
        if (true_sum == 0 && profile == "forum") || claimed != true_sum {
            faults.push(format!("{name}: {claimed} refusals here, {true_sum} there"));
        }
        for (cause, n) in claims.iter().filter(|(cause, _)| **cause != Cause::Unknown) {
            if truths.get(cause).copied().unwrap_or(0) < *n {
                faults.push(format!("{name}: claims {cause} × {n}, the truth is {truths:?}"));
            }
        }
        if claims.contains_key(&Cause::Unknown) {
            unclaimed.entry((profile, changed)).or_default().push(WORLDS[world].0);
        }
    }
    assert!(refused.len() == 5 && refused.values().all(|n| *n > 20), "{refused:?}");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    // How often no cause is claimed, of the worlds.
    let table: String = unclaimed
        .iter()
        .map(|((profile, changed), names)| {
            let changed = changed.replace("refusal_", "").replace('\n', ", ");
            format!("{profile} {changed}: {} of {}: {}\n", names.len(), WORLDS.len(), names.join("; "))
        })
        .collect();
    insta::assert_snapshot!(table, @r#"
    forum detail = "bare": 9 of 11: stale after the disconnect; a newer token; used twice; expired, and the client's clock is slow; stale, then expired as well; no scope; of another world; locked; too many
    forum detail = "html": 9 of 11: stale after the disconnect; a newer token; used twice; expired, and the client's clock is slow; stale, then expired as well; no scope; of another world; locked; too many
    forum status = "rfc6750", detail = "bare": 9 of 11: stale after the disconnect; a newer token; used twice; expired, and the client's clock is slow; stale, then expired as well; no scope; of another world; locked; too many
    forum status = "rfc6750", detail = "html": 9 of 11: stale after the disconnect; a newer token; used twice; expired, and the client's clock is slow; stale, then expired as well; no scope; of another world; locked; too many
    genesys : 1 of 11: of another world
    phoenix : 9 of 11: stale after the disconnect; a newer token; used twice; expired, and the client's clock is slow; stale, then expired as well; no scope; of another world; locked; too many
    "#);
}
