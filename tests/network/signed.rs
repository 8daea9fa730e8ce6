//! What clients sign, in real time and in virtual time: the same scenario comes to the same numbers.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use resurge::record::Tally;
use resurge::report::{RunModel, Status};
use resurge::sample::{Cause, Counter, Metric, Outcome};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
};
use tempfile::TempDir;

use crate::both::by_both;
use crate::support::in_process::run_file;

/// A new key, in PEM.
fn pem(of: &'static EcdsaSigningAlgorithm) -> String {
    let key = EcdsaKeyPair::generate_pkcs8(of, &SystemRandom::new()).unwrap();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(key.as_ref()))
}

/// The same scenario in real time and in virtual time: 4 clients, which the target closes once, long after the shortest life of a token: on a busy machine
/// it is signed late.
fn signed_by_both(folder: &Path, name: &str, target: &str, token: &str) -> [RunModel; 2] {
    let invalidation = if name == "stale" { "on-disconnect" } else { "never" };
    let text = format!(
        "duration = \"3500ms\"\n[target]\nidle_timeout = \"never\"\ninvalidation = \"{invalidation}\"\n{target}\n[[groups]]\nname = \"g\"\nclients = 4\n[groups.reconnect]\nmax_attempts = 2\nbackoff = {{ kind = \"constant\", base = \"1ms\" }}\n[groups.token]\n{token}\n[[storms]]\nat = \"2500ms\"\nby = \"target\"\ncode = 1012\n"
    );
    by_both(folder, name, &text)
}

type Rows = BTreeMap<String, u64>;

/// What both drivers must tell alike: outcomes with their causes, requests with their answers, how often was measured what.
fn told(all: &Tally) -> Rows {
    let mut rows = Rows::new();
    for (key, count) in &all.attempts {
        *rows.entry(format!("{:?} {} {:?}", key.kind, key.outcome, key.cause)).or_default() += count;
    }
    for (key, of_answer) in &all.requests {
        for (said, count) in &of_answer.said {
            rows.insert(format!("{key:?} {said:?}"), *count);
        }
    }
    for metric in [Metric::PhaseMint, Metric::PhaseToken, Metric::TokenAge, Metric::ReconnectLatency] {
        rows.insert(metric.name().to_owned(), all.histograms.get(&metric).map_or(0, |h| h.count()));
    }
    for counter in [Counter::TokensFetched, Counter::DeadTokenHandshakes, Counter::ScopesWithheld] {
        rows.insert(counter.name().to_owned(), all.counter(counter));
    }
    rows
}

/// A case: its name, the target's keys, those of the token, the outcome and the cause of all attempts that are not let in.
type Case = (&'static str, String, String, Option<(Outcome, Option<Cause>)>);

fn cases(folder: &Path) -> Vec<Case> {
    std::fs::write(folder.join("own.pem"), pem(&ECDSA_P256_SHA256_FIXED_SIGNING)).unwrap();
    std::fs::write(folder.join("other.pem"), pem(&ECDSA_P256_SHA256_FIXED_SIGNING)).unwrap();
    std::fs::write(folder.join("users.csv"), "name,word\nann,right-1\nbob,right-2\n").unwrap();
    let users =
        "users = [{ name = \"ann\", password = \"right-1\" }, { name = \"bob\", password = \"right-2\" }]";
    let es256 = "trusted = { algorithm = \"ES256\", key = { file = \"own.pem\" }, audience = \"us\" }\n";
    let hs256 =
        "trusted = { algorithm = \"HS256\", key = \"a shared one\", audience = \"us\", issuer = \"app\" }\n";
    let scope = "required_scopes = [\"events\"]\n";
    let grants = "grants = [\"password\", \"jwt_bearer\", \"token_exchange\", \"client_credentials\"]\n";
    let client = "clients = [{ id = \"c\", secret = \"s\", scopes = [\"events\"] }]\n";
    let claims = "{\"sub\":\"user-{client}\",\"aud\":\"us\",\"iss\":\"app\",\"scope\":\"events\"}";
    let file = |name: &str| format!("algorithm = \"ES256\", key = {{ file = \"{name}\" }}");
    let shared = "algorithm = \"HS256\", key = \"a shared one\"";
    let minted = |key: &str, claims: &str| {
        let keys = key.replace(", key", "\nkey");
        format!("grant = \"jwt\"\n{keys}\nclaims = '{claims}'\non_reconnect = \"fetch\"\n")
    };
    let inline = |key: &str, claims: &str| format!("{{ {key}, claims = '{claims}' }}");
    let is_refused = |outcome, cause| Some((outcome, cause));
    let unknown = is_refused(Outcome::Http403, Some(Cause::UnknownToken));
    let no_token = is_refused(Outcome::TokenRefused, None);
    let with = |lines: &[&str]| lines.concat();
    let bearer = |key: &str, claims: &str| {
        format!("grant = \"jwt_bearer\"\non_reconnect = \"fetch\"\nassertion = {}\n", inline(key, claims))
    };
    let signs_itself = |key: &str| {
        format!("client_id = \"c\"\nauth = \"private_key_jwt\"\nclient_assertion = {{ {key} }}\n")
    };
    vec![
        ("shared", with(&[hs256, scope]), minted(shared, claims), None),
        ("private", with(&[es256, scope]), minted(&file("own.pem"), claims), None),
        ("no-pair", with(&[es256, scope]), minted(&file("other.pem"), claims), unknown),
        ("another-kind", with(&[hs256, scope]), minted(&file("own.pem"), claims), unknown),
        ("audience", with(&[es256, scope]), minted(&file("own.pem"), &claims.replace("us\"", "them\"")), unknown),
        ("issuer", with(&[hs256, scope]), minted(shared, &claims.replace("app", "another")), unknown),
        (
            "scope",
            with(&[es256, scope]),
            minted(&file("own.pem"), &claims.replace("events", "other")),
            is_refused(Outcome::Http403, Some(Cause::MissingScope)),
        ),
        (
            "stale",
            with(&[es256, scope]),
            minted(&file("own.pem"), claims).replace("\"fetch\"", "\"reuse\""),
            is_refused(Outcome::Http403, Some(Cause::StaleToken)),
        ),
        (
            "expired",
            with(&[es256, scope]),
            minted(&file("own.pem"), claims).replace("\"fetch\"", "\"reuse\"") + "life = \"1s\"\n",
            is_refused(Outcome::Http403, Some(Cause::ExpiredToken)),
        ),
        ("one-for-all", with(&[es256, scope]), minted(&file("own.pem"), claims) + "sharing = \"group\"\n", None),
        ("bearer", with(&[es256, grants]), bearer(&file("own.pem"), claims), None),
        ("stranger", with(&[es256, grants]), bearer(&file("other.pem"), claims), no_token),
        (
            "exchange",
            with(&[es256, grants, client, scope]),
            format!(
                "grant = \"token_exchange\"\nclient_id = \"c\"\nclient_secret = \"s\"\nsubject_jwt = {}\n",
                inline(&file("own.pem"), claims)
            ),
            None,
        ),
        (
            "nothing-to-exchange",
            with(&[es256, grants, client, scope]),
            "grant = \"token_exchange\"\nclient_id = \"c\"\nclient_secret = \"s\"\nsubject_token = \"user-{client}\"\n".to_owned(),
            no_token,
        ),
        (
            "users",
            with(&[grants, users, "\n"]),
            "grant = \"password\"\nfeeder = \"users.csv\"\nusername = \"{name}\"\npassword = \"{word}\"\n".to_owned(),
            None,
        ),
        (
            "wrong-password",
            with(&[grants, users, "\n"]),
            "grant = \"password\"\nusername = \"ann\"\npassword = \"wrong-{client}\"\n".to_owned(),
            no_token,
        ),
        ("own-key", with(&[es256, client, scope]), signs_itself(&file("own.pem")), None),
        ("strange-key", with(&[es256, client, scope]), signs_itself(&file("other.pem")), no_token),
        (
            "own-secret",
            with(&[client, scope]),
            "client_id = \"c\"\nclient_secret = \"s\"\nauth = \"client_secret_jwt\"\n".to_owned(),
            None,
        ),
        (
            "wrong-secret",
            with(&[client, scope]),
            "client_id = \"c\"\nclient_secret = \"x\"\nauth = \"client_secret_jwt\"\n".to_owned(),
            no_token,
        ),
        (
            "params",
            "token_params = { tenant = \"0\" }\n".to_owned(),
            "client_id = \"c\"\nclient_secret = \"s\"\nparams = { tenant = \"{client}\" }\n".to_owned(),
            no_token,
        ),
    ]
}

#[test]
fn both_drivers_judge_what_clients_sign_alike() {
    let folder = TempDir::new().unwrap();
    let cases = cases(folder.path());
    std::thread::scope(|scope| {
        for (name, target, token, refused) in &cases {
            let folder = folder.path();
            scope.spawn(move || {
                let [real, simulated] = signed_by_both(folder, name, target, token);
                let mut both = [&real, &simulated].map(|model| told(&model.all));
                if *name == "one-for-all" {
                    // How many of those that are closed one after the other find the one token too old depends on the machine.
                    both.iter_mut().for_each(|rows| rows.retain(|row, _| !row.starts_with("(Mint")));
                }
                assert_eq!(both[0], both[1], "{name}");
                for model in [&real, &simulated] {
                    assert_eq!(model.account_faults, [""; 0], "{name}");
                    let reconciliation = model.reconciliation.as_ref().unwrap();
                    assert!(reconciliation.is_exact(), "{name}: {reconciliation:?}");
                    let mut failed = model.all.attempts.iter().filter(|(key, _)| key.outcome != Outcome::Ok);
                    match refused {
                        None => assert_eq!(failed.next(), None, "{name}"),
                        Some(expected) => {
                            assert!(failed.clone().count() > 0, "{name}");
                            assert!(
                                failed.all(|(key, _)| (key.outcome, key.cause) == *expected),
                                "{name}: {:?}",
                                model.all.attempts
                            );
                        }
                    }
                }
            });
        }
    });
}

/// A run of that many clients that sign by ES384, which is slow: whether the generator says that it was busy signing.
fn says_busy(folder: &Path, name: &str, clients: u32, timeout: &str) -> (bool, RunModel) {
    std::fs::write(folder.join("p384.pem"), pem(&ECDSA_P384_SHA384_FIXED_SIGNING)).unwrap();
    let text = format!(
        "duration = \"2s\"\n[target]\nidle_timeout = \"never\"\ninvalidation = \"never\"\ntrusted = {{ algorithm = \"ES384\", key = {{ file = \"p384.pem\" }} }}\n[[groups]]\nname = \"g\"\nclients = {clients}\n[groups.reconnect]\nmax_attempts = 1\n[groups.token]\ngrant = \"jwt\"\nalgorithm = \"ES384\"\nkey = {{ file = \"p384.pem\" }}\nclaims = '{{\"sub\":\"{{client}}\",\"scope\":\"analytics:events:read\"}}'\ntimeout = \"{timeout}\"\n"
    );
    let path = folder.join(format!("{name}.toml"));
    std::fs::write(&path, text).unwrap();
    let model = run_file(&path, &[], folder.join(name)).model;
    assert_eq!(model.account_faults, [""; 0], "{name}");
    let mut faults = model.validity.iter().flat_map(|check| &check.faults);
    let says = faults.any(|fault| fault.contains("busy signing tokens"));
    (says, model)
}

#[test]
fn a_generator_that_is_busy_signing_says_so() {
    let folder = TempDir::new().unwrap();
    let (says, model) = says_busy(folder.path(), "few", 3, "10s");
    assert!(!says && model.all.outcome(Outcome::Ok) == 3, "{:?}", model.validity);
    // No machine of today signs so many in so short a time, and nobody but this machine is to blame.
    let (says, model) = says_busy(folder.path(), "many", 1_000, "4ms");
    let health = &model.end.as_ref().unwrap().health;
    // Those that had a processor at once, and were not done in time, did not wait.
    assert!(says && health.mint_timeouts > 0 && health.mint_waits > 0, "{health:?}");
    assert_eq!(
        health.mint_timeouts,
        model.all.outcome(Outcome::TokenError) + model.all.outcome(Outcome::Timeout)
    );
    assert_eq!(model.verdict.status, Status::NotValid);
}

/// Clients whose clocks are an hour slow or fast: their tokens are over already, or not yet good.
#[test]
fn a_clock_that_is_wrong_is_told_by_its_cause() {
    let folder = TempDir::new().unwrap();
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let hour = 3_600;
    let of = |issued: u64| format!("\"iat\":{issued},\"nbf\":{issued},\"exp\":{}", issued + 600);
    let cases = [
        ("right", of(now), None),
        ("slow", of(now - hour), Some(Cause::ExpiredToken)),
        ("fast", of(now + hour), Some(Cause::UnknownToken)),
        ("only-nbf", format!("\"nbf\":{}", now + hour), Some(Cause::UnknownToken)),
        ("only-iat", format!("\"iat\":{}", now + hour), Some(Cause::UnknownToken)),
    ];
    std::thread::scope(|scope| {
        for (name, times, cause) in &cases {
            let folder = folder.path();
            scope.spawn(move || {
                let text = format!(
                    "duration = \"2s\"\n[target]\nidle_timeout = \"never\"\ninvalidation = \"never\"\ntrusted = {{ algorithm = \"HS256\", key = \"a shared one\" }}\n[[groups]]\nname = \"g\"\nclients = 4\n[groups.reconnect]\nmax_attempts = 2\nbackoff = {{ kind = \"constant\", base = \"1ms\" }}\n[groups.token]\ngrant = \"jwt\"\nalgorithm = \"HS256\"\nkey = \"a shared one\"\nclaims = '{{\"sub\":\"{{client}}\",\"scope\":\"analytics:events:read\",{times}}}'\n"
                );
                let path = folder.join(format!("{name}.toml"));
                std::fs::write(&path, text).unwrap();
                let model = run_file(&path, &[], folder.join(name)).model;
                let causes: BTreeMap<_, _> =
                    model.all.attempts.iter().map(|(key, count)| ((key.outcome, key.cause), *count)).collect();
                let expected = match cause {
                    None => BTreeMap::from([((Outcome::Ok, None), 4)]),
                    cause => BTreeMap::from([((Outcome::Http403, *cause), 8)]),
                };
                assert_eq!(causes, expected, "{name}");
                assert_eq!(model.account_faults, [""; 0], "{name}");
                let said = model.answer.lines().collect::<String>();
                let words = match cause {
                    None => "All 4 clients were let in",
                    Some(Cause::ExpiredToken) => "expired",
                    _ => "does not know the token",
                };
                assert!(said.contains(words), "{name}: {said}");
            });
        }
    });
}
