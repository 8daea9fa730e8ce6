//! Token lifecycles, each as a small run against the embedded target whose counters must agree.

use std::path::Path;

use resurge::report::RunModel;
use resurge::sample::{Counter, Outcome};
use tempfile::TempDir;

use crate::support::in_process::run_file;

const HEAD: &str = "duration = \"4s\"\nseed = 1\n";

/// Runs scenarios at once, each by its name, the keys of its target and those of its group.
pub(crate) fn run_all<const N: usize>(folder: &Path, scenarios: [(&str, &str, &str); N]) -> [RunModel; N] {
    std::thread::scope(|scope| {
        let runs =
            scenarios.map(|(name, target, group)| scope.spawn(move || run_one(folder, name, target, group)));
        runs.map(|run| run.join().unwrap())
    })
}

fn run_one(folder: &Path, name: &str, target: &str, group: &str) -> RunModel {
    let path = folder.join(format!("{name}.toml"));
    let text = format!("{HEAD}[target]\nkind = \"embedded\"\n{target}\n[[groups]]\nname = \"g\"\n{group}");
    std::fs::write(&path, &text).unwrap();
    let model = run_file(&path, &[], folder.join(name)).model;
    assert!(model.account_faults.is_empty(), "{name}: {:?}", model.account_faults);
    let books = model.reconciliation.as_ref().unwrap();
    // A request that the run's end has cut off may have been granted.
    assert!(books.is_exact() || (books.unsettled > 0 && books.holds()), "{name}: {books:?}");
    model
}

/// What no file of a run may hold.
pub(crate) fn assert_secret(folder: &Path, secret: &str) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "{} holds a secret", path.display());
    }
}

#[test]
fn refresh_tokens_rotate_and_a_refused_one_is_given_up() {
    let folder = TempDir::new().unwrap();
    let credentials = "[groups.token]\ngrant = \"refresh_token\"\nclient_id = \"c\"\nclient_secret = \"s3cret-of-c\"\non_reconnect = \"fetch\"\n";
    let group = format!("clients = 10\n{credentials}");
    let rotating = "profile = \"forum\"\nidle_timeout = \"500ms\"\nrefresh_tokens = { rotate = true }\n";
    // Refresh tokens that die before they are used: the clients go back to their credentials.
    let short = "profile = \"forum\"\nidle_timeout = \"500ms\"\nrefresh_tokens = { life = \"100ms\" }\n";
    let [rotating, short] =
        run_all(folder.path(), [("rotating", rotating, &group), ("short-lived", short, &group)]);
    assert_eq!(rotating.all.counter(Counter::RefreshTokensRefused), 0);
    assert!(rotating.all.counter(Counter::TokensForReconnects) >= 20, "each reconnect fetches");
    assert_eq!(rotating.all.outcome(Outcome::Http403), 0);
    assert_secret(&folder.path().join("rotating"), "s3cret-of-c");
    assert!(short.all.counter(Counter::RefreshTokensRefused) >= 20);
    assert_eq!(short.all.outcome(Outcome::TokenRefused), 0);
    assert_eq!(short.all.outcome(Outcome::Http403), 0);
}

#[test]
fn a_shared_token_without_single_flight_is_a_stampede() {
    let folder = TempDir::new().unwrap();
    let target =
        "profile = \"forum\"\nidle_timeout = \"never\"\ninvalidation = \"never\"\ntoken_delay = \"300ms\"\n";
    let storm = "[[storms]]\nat = \"1500ms\"\nby = \"target\"\ncode = 1012\n";
    let group = |sharing: &str| {
        format!(
            "clients = 50\n[groups.token]\nclient_id = \"c\"\nclient_secret = \"s\"\non_reconnect = \"fetch\"\nsharing = \"{sharing}\"\n[groups.reconnect]\nbackoff = {{ kind = \"none\" }}\n{storm}"
        )
    };
    let (alone, crowd) = (group("group"), group("group-stampede"));
    let [alone, crowd] = run_all(folder.path(), [("alone", target, &alone), ("crowd", target, &crowd)]);
    let (alone, crowd) =
        (alone.all.counter(Counter::TokensFetched), crowd.all.counter(Counter::TokensFetched));
    assert!(alone <= 4, "one at the start, one or two for the storm: {alone}");
    assert!(crowd >= 80, "nearly every client, at the start and at the storm: {crowd}");
}

#[test]
fn credentials_come_from_a_file_one_row_a_client() {
    let folder = TempDir::new().unwrap();
    let secret = "s3cret-in-a-row";
    let rows: String = (0..20).map(|n| format!("client-{n},{secret}\n")).collect();
    std::fs::write(folder.path().join("clients.csv"), format!("client_id,client_secret\n{rows}")).unwrap();
    // Each client id may have one session: only clients with ids of their own get in.
    let target = "profile = \"bearer\"\nsessions_per_client = 1\nidle_timeout = \"never\"\n";
    let group = |clients: u32| {
        format!(
            "clients = {clients}\n[groups.token]\nfeeder = \"clients.csv\"\n[groups.reconnect]\nmax_attempts = 1\n"
        )
    };
    // Rows that run out begin again.
    let [enough, too_few] =
        run_all(folder.path(), [("enough", target, &group(20)), ("too-few", target, &group(30))]);
    assert_eq!((enough.all.outcome(Outcome::Ok), enough.all.outcome(Outcome::Http403)), (20, 0));
    assert_secret(&folder.path().join("enough"), secret);
    assert_eq!((too_few.all.outcome(Outcome::Ok), too_few.all.outcome(Outcome::Http403)), (20, 10));
}

#[test]
fn tokens_may_be_jwts_and_clocks_may_be_wrong() {
    let folder = TempDir::new().unwrap();
    let group = |more: &str| {
        format!(
            "clients = 10\n[groups.token]\nclient_id = \"c\"\nclient_secret = \"s\"\n{more}\n[groups.reconnect]\nbackoff = {{ kind = \"none\" }}\n"
        )
    };
    let jwt = "profile = \"bearer\"\ntoken_format = \"jwt\"\nidle_timeout = \"500ms\"\n";
    // A token of a second; a client that refreshes half a second before it expires never shows a dead one, unless it takes the token
    // for good three seconds longer than it is.
    let dying = "profile = \"bearer\"\ntoken_life = \"1s\"\nidle_timeout = \"300ms\"\n";
    let [jwt, right, wrong] = run_all(
        folder.path(),
        [
            ("jwt", jwt, &group("")),
            ("right", dying, &group("refresh_before_expiry = \"500ms\"\nrefresh_jitter = 0.2")),
            ("wrong", dying, &group("refresh_before_expiry = \"500ms\"\nclock_skew = \"+3s\"")),
        ],
    );
    assert!(jwt.all.counter(Counter::Reconnects) >= 20);
    assert_eq!(jwt.all.outcome(Outcome::Http401), 0);
    assert_eq!(right.all.counter(Counter::DeadTokenHandshakes), 0);
    assert!(wrong.all.counter(Counter::DeadTokenHandshakes) >= 5);
}
