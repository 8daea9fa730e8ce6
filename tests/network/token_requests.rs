//! Token requests as data, grants, and tokens that clients sign, each as a small run against the embedded target whose counters must agree.

use resurge::sample::{Cause, Counter, Metric, Outcome};
use tempfile::TempDir;

use crate::support::in_process::run_file;
use crate::token_lifecycles::{assert_secret, run_all};

/// Closed twice a second, a reconnect each.
const IDLE: &str = "profile = \"bearer\"\nidle_timeout = \"500ms\"\n";
const BACK: &str = "\n[groups.reconnect]\nbackoff = { kind = \"none\" }\n";
const CLIENT: &str = "client_id = \"c\"\nclient_secret = \"s3cret-of-c\"\n";

#[test]
fn requests_and_answers_are_what_the_scenario_says() {
    let folder = TempDir::new().unwrap();
    let auth0 = format!(
        "{IDLE}token_request = \"json\"\ntoken_params = {{ audience = \"https://a\" }}\ntoken_body = '{{\"d\":{{\"t\":\"{{token}}\"}},\"until\":\"{{expires_at}}\"}}'\ntoken_life = \"2s\"\n"
    );
    let places =
        "token_pointer = \"/d/t\"\nexpires_pointer = \"/until\"\nrefresh_before_expiry = \"500ms\"\n";
    let asks = format!(
        "clients = 10\n[groups.token]\n{CLIENT}body = \"json\"\nparams = {{ audience = \"https://a\" }}\n"
    );
    let (right, wrong_place) =
        (format!("{asks}{places}{BACK}"), format!("{asks}[groups.reconnect]\nmax_attempts = 2\n"));
    // A client of which the target drops a scope: the answer says so, and the handshake is refused.
    let drops = format!(
        "{IDLE}excess_scopes = \"drop\"\nrequired_scopes = [\"write\"]\nrefusal_status = 403\nrefusal_detail = \"bare\"\nclients = [{{ id = \"c\", secret = \"s3cret-of-c\", scopes = [\"read\"] }}]\n"
    );
    let greedy = format!(
        "clients = 10\n[groups.token]\n{CLIENT}scopes = [\"read\", \"write\"]\n[groups.reconnect]\nmax_attempts = 2\n"
    );
    let [right, greedy] = run_all(folder.path(), [("right", &auth0, &right), ("greedy", &drops, &greedy)]);
    // The target issues tokens that the client does not find.
    let path = folder.path().join("elsewhere.toml");
    let text = format!(
        "duration = \"2s\"\n[target]\nkind = \"embedded\"\n{auth0}[[groups]]\nname = \"g\"\n{wrong_place}"
    );
    std::fs::write(&path, text).unwrap();
    let wrong_place = run_file(&path, &[], folder.path().join("elsewhere")).model;
    assert!(right.all.counter(Counter::Reconnects) >= 20);
    assert_eq!(
        (right.all.counter(Counter::DeadTokenHandshakes), right.all.outcome(Outcome::TokenError)),
        (0, 0)
    );
    assert!(
        right.all.counter(Counter::TokensFetched) >= 20,
        "they live two seconds, by the date of the answer"
    );
    assert_secret(&folder.path().join("right"), "s3cret-of-c");
    assert_eq!(wrong_place.all.outcome(Outcome::TokenError), 20);
    let said = wrong_place.answer.lines().collect::<String>();
    assert!(said.contains("gives no access_token: no_access_token 200 nothing (20 of 20)"), "{said}");
    assert_eq!(greedy.all.counter(Counter::ScopesWithheld), greedy.all.counter(Counter::TokensFetched));
    let missing = greedy.all.attempts.iter().filter(|(key, _)| key.cause == Some(Cause::MissingScope));
    assert_eq!(missing.map(|(_, count)| *count).sum::<u64>(), 20);
}

#[test]
fn grants_show_what_they_need() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("users.csv"), "name,word\nann,s3cret-of-ann\nbob,s3cret-of-bob\n")
        .unwrap();
    let target = format!(
        "{IDLE}grants = [\"password\", \"jwt_bearer\", \"token_exchange\", \"client_credentials\"]\nusers = [{{ name = \"ann\", password = \"s3cret-of-ann\" }}, {{ name = \"bob\", password = \"s3cret-of-bob\" }}]\ntrusted = {{ algorithm = \"HS384\", key = \"s3cret-key\", audience = \"us\" }}\nclients = [{{ id = \"c\", secret = \"s3cret-of-c\", scopes = [\"events\"] }}]\nrequired_scopes = [\"events\"]\n"
    );
    let open = target.lines().filter(|line| !line.starts_with("clients")).collect::<Vec<_>>().join("\n");
    let group = |token: &str| format!("clients = 4\n[groups.token]\non_reconnect = \"fetch\"\n{token}{BACK}");
    let minted = "{ algorithm = \"HS384\", key = \"s3cret-key\", claims = '{\"sub\":\"user-{client}\",\"aud\":\"us\"}' }";
    let password =
        group("grant = \"password\"\nfeeder = \"users.csv\"\nusername = \"{name}\"\npassword = \"{word}\"\n");
    let bearer = group(&format!("grant = \"jwt_bearer\"\nassertion = {minted}\n"));
    let exchange = group(&format!("grant = \"token_exchange\"\n{CLIENT}subject_jwt = {minted}\n"));
    let signs = group(&format!("{CLIENT}auth = \"client_secret_jwt\"\n"));
    let stranger = format!(
        "{}max_attempts = 1\n",
        group(&format!("grant = \"jwt_bearer\"\nassertion = {}\n", minted.replace("us", "them")))
    );
    let [password, bearer, exchange, signs, stranger] = run_all(
        folder.path(),
        [
            ("password", &open, &password),
            ("bearer", &open, &bearer),
            ("exchange", &target, &exchange),
            ("signs", &target, &signs),
            ("stranger", &open, &stranger),
        ],
    );
    for (name, model) in
        [("password", password), ("bearer", bearer), ("exchange", exchange), ("signs", signs)]
    {
        assert!(model.all.counter(Counter::Reconnects) >= 8, "{name}");
        assert_eq!(model.all.outcome(Outcome::TokenRefused), 0, "{name}");
        for secret in ["s3cret-of-ann", "s3cret-key", "s3cret-of-c"] {
            assert_secret(&folder.path().join(name), secret);
        }
    }
    assert_eq!(
        (stranger.all.outcome(Outcome::TokenRefused), stranger.all.counter(Counter::TokensFetched)),
        (4, 0)
    );
}

#[test]
fn clients_sign_their_own_tokens_in_a_phase_of_its_own() {
    let folder = TempDir::new().unwrap();
    // A session ends the life of its token; all claims are looked at.
    let target = format!(
        "{IDLE}invalidation = \"on-disconnect\"\nrequired_scopes = [\"events\"]\ntrusted = {{ algorithm = \"HS256\", key = \"s3cret-key\", audience = \"us\" }}\n"
    );
    let group = |claims: &str, more: &str| {
        format!(
            "clients = 10\n[groups.token]\ngrant = \"jwt\"\nalgorithm = \"HS256\"\nkey = \"s3cret-key\"\nclaims = '{{\"sub\":\"user-{{client}}\",{claims}}}'\n{more}"
        )
    };
    let good = "\"aud\":\"us\",\"scope\":\"events\"";
    let anew = group(good, &format!("on_reconnect = \"fetch\"\n{BACK}"));
    let once = group(good, "[groups.reconnect]\nmax_attempts = 1\n");
    let them = group("\"aud\":\"them\"", "[groups.reconnect]\nmax_attempts = 1\n");
    let [anew, once, them] = run_all(
        folder.path(),
        [("anew", &target, &anew), ("once", &target, &once), ("them", &target, &them)],
    );
    assert!(anew.all.counter(Counter::Reconnects) >= 20);
    assert_eq!((anew.all.outcome(Outcome::Http401), anew.all.counter(Counter::TokensFetched)), (0, 0));
    let values = |metric| anew.all.histograms.get(&metric).map_or(0, |histogram| histogram.count());
    assert_eq!(values(Metric::PhaseMint), anew.all.counter(Counter::Reconnects));
    assert_eq!(values(Metric::PhaseToken), 0, "nobody was asked");
    assert_secret(&folder.path().join("anew"), "s3cret-key");
    assert_eq!((once.all.outcome(Outcome::Ok), once.all.outcome(Outcome::Http401)), (10, 10));
    assert_eq!((them.all.outcome(Outcome::Ok), them.all.outcome(Outcome::Http401)), (0, 10));
}
