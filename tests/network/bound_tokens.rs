//! Tokens that only their holder can show, and certificates of clients, each as a small run against the embedded target whose counters must agree.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use resurge::report::RunModel;
use resurge::sample::{Cause, Counter, Metric, Outcome};
use tempfile::TempDir;

use crate::support::in_process::run_file;
use crate::token_lifecycles::{assert_secret, run_all};

const IDLE: &str = "profile = \"bearer\"\nidle_timeout = \"500ms\"\n";
const BACK: &str = "\n[groups.reconnect]\nbackoff = { kind = \"none\" }\n";
const ONCE: &str = "\n[groups.reconnect]\nmax_attempts = 1\n";
const CLIENT: &str = "client_id = \"c\"\nclient_secret = \"s3cret-of-c\"\n";

fn count(model: &RunModel, metric: Metric) -> u64 {
    model.all.histograms.get(&metric).map_or(0, |histogram| histogram.count())
}

/// What the attempts of a run came to, in the words of whoever said it.
fn said(model: &RunModel) -> Vec<(Outcome, String)> {
    let words = |key: &resurge::sample::AttemptKey| {
        (key.outcome, key.answer.as_ref().map(|answer| answer.said()).unwrap_or_default())
    };
    model.all.attempts.keys().map(words).collect()
}

#[test]
fn bound_tokens_are_shown_with_proofs_and_nonces_are_asked_for_once() {
    let folder = TempDir::new().unwrap();
    let group = |more: &str| format!("clients = 10\n[groups.token]\n{CLIENT}dpop = true\n{more}{BACK}");
    let nonces =
        format!("{IDLE}dpop = {{ nonce = \"both\", nonce_life = \"1s\" }}\ntoken_format = \"jwt\"\n");
    let plain = format!("{IDLE}dpop = true\n");
    let (fetch, reuse) = (group("on_reconnect = \"fetch\"\n"), group(""));
    let shared = group("sharing = \"group\"\n");
    let [nonces, plain, shared] = run_all(
        folder.path(),
        [("nonces", &nonces, &fetch), ("plain", &plain, &reuse), ("shared", &nonces, &shared)],
    );
    for (name, model) in [("nonces", &nonces), ("plain", &plain), ("shared", &shared)] {
        assert!(model.all.counter(Counter::Reconnects) >= 20, "{name}");
        assert_eq!(said(model).iter().filter(|(outcome, _)| *outcome != Outcome::Ok).count(), 0, "{name}");
        assert!(count(model, Metric::PhaseToken) >= 20, "{name}: a proof goes with the token");
        assert_secret(&folder.path().join(name), "s3cret-of-c");
    }
    assert_eq!(plain.all.counter(Counter::NonceRetries), 0);
    let retries = nonces.all.counter(Counter::NonceRetries);
    // A nonce is good for one to two seconds of the four.
    assert!((10..=50).contains(&retries), "{retries}");
    assert!(shared.all.counter(Counter::NonceRetries) < 30, "the others have it from the first");
    let words: Vec<&str> = nonces
        .all
        .requests
        .values()
        .flat_map(|told| told.said.keys().filter_map(|(_, word)| word.as_ref()).map(|word| word.text()))
        .collect();
    assert!(words.iter().all(|word| *word == "use_dpop_nonce"), "{words:?}");
}

#[test]
fn who_cannot_prove_is_refused_in_words() {
    let folder = TempDir::new().unwrap();
    let bound = format!("{IDLE}dpop = true\n");
    let bearer = format!("clients = 4\n[groups.token]\n{CLIENT}{ONCE}");
    let late = format!("clients = 4\n[groups.token]\n{CLIENT}dpop = {{ clock_skew = \"-10m\" }}\n{ONCE}");
    let proves = format!("clients = 4\n[groups.token]\n{CLIENT}dpop = true\n{ONCE}");
    let lenient = format!("{IDLE}dpop = {{ required = false }}\n");
    let [bearer, late] = run_all(folder.path(), [("bearer", &bound, &bearer), ("late", &bound, &late)]);
    for model in [&bearer, &late] {
        assert_eq!(model.all.outcome(Outcome::TokenRefused), 4);
        let answer: String = model.answer.lines().collect();
        assert!(answer.contains("invalid_dpop_proof"), "{answer}");
    }
    let path = folder.path().join("unbound.toml");
    let text =
        format!("duration = \"2s\"\n[target]\nkind = \"embedded\"\n{IDLE}[[groups]]\nname = \"g\"\n{proves}");
    std::fs::write(&path, text).unwrap();
    let unbound = run_file(&path, &[], folder.path().join("unbound")).model;
    assert_eq!(unbound.all.outcome(Outcome::TokenError), 4);
    let answer: String = unbound.answer.lines().collect();
    assert!(answer.contains("not_bound"), "{answer}");
    let [lenient] = run_all(
        folder.path(),
        [("lenient", &lenient, &format!("clients = 4\n[groups.token]\n{CLIENT}{BACK}"))],
    );
    assert!(lenient.all.counter(Counter::Reconnects) >= 8, "a token without a proof, from who wants none");
}

/// An authority in a folder: `NAME.pem`, and the certificates that it makes.
pub(crate) struct Authority<'a> {
    folder: &'a Path,
    issuer: Issuer<'static, KeyPair>,
}

impl<'a> Authority<'a> {
    pub(crate) fn new(folder: &'a Path, name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        std::fs::write(folder.join(format!("{name}.pem")), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { folder, issuer: Issuer::new(params, key) }
    }

    /// Makes `NAME.pem` and `NAME.key`.
    pub(crate) fn make(&self, name: &str, until: i32) {
        self.make_from(name, 2020, until);
    }

    /// The same, good from the first of that year on.
    pub(crate) fn make_from(&self, name: &str, from: i32, until: i32) {
        let mut params = CertificateParams::new(vec![format!("{name}.example")]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        let made = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.folder.join(format!("{name}.pem")), made.pem()).unwrap();
        std::fs::write(self.folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

pub(crate) fn certificate(name: &str) -> String {
    format!("certificate = {{ chain = {{ file = \"{name}.pem\" }}, key = {{ file = \"{name}.key\" }} }}\n")
}

#[test]
fn clients_show_certificates_and_their_tokens_are_bound_to_them() {
    let folder = TempDir::new().unwrap();
    let (ours, theirs) = (Authority::new(folder.path(), "ours"), Authority::new(folder.path(), "theirs"));
    ours.make("good", 2090);
    ours.make("other", 2090);
    ours.make("expired", 2021);
    theirs.make("stranger", 2090);
    let secure = format!("{IDLE}tls = true\n");
    let target = format!(
        "{secure}client_certificates = {{ authority = {{ file = \"ours.pem\" }}, bind_tokens = true }}\nclients = [{{ id = \"c\", certificate = {{ file = \"good.pem\" }}, scopes = [\"events:read\"] }}]\n"
    );
    let own = format!("{secure}client_certificates = {{ bind_tokens = true }}\n");
    let group = |token: &str, connect: &str, rest: &str| {
        let shown =
            format!("clients = 4\n[groups.token]\nclient_id = \"c\"\nauth = \"tls_client_auth\"\n{token}");
        format!("{shown}[groups.connect]\n{connect}{rest}")
    };
    let (good, other) = (certificate("good"), certificate("other"));
    let right = group(&good, &good, BACK);
    let moved = group(&good, &other, ONCE);
    let unknown = group(&other, &other, ONCE);
    let stranger = certificate("stranger");
    let self_signed = group(&stranger, &stranger, BACK);
    let [right, moved, unknown, self_signed] = run_all(
        folder.path(),
        [
            ("right", &target, &right),
            ("moved", &target, &moved),
            ("unknown", &target, &unknown),
            ("self-signed", &own, &self_signed),
        ],
    );
    for model in [&right, &self_signed] {
        assert!(model.all.counter(Counter::Reconnects) >= 8);
        assert!(said(model).iter().all(|(outcome, _)| *outcome == Outcome::Ok), "{:?}", said(model));
    }
    let causes: Vec<_> = moved.all.attempts.keys().map(|key| (key.outcome, key.cause)).collect();
    assert_eq!(causes, [(Outcome::Http401, Some(Cause::ForbiddenOther))], "the certificate of another");
    assert_eq!(unknown.all.outcome(Outcome::TokenRefused), 4);
    for (line, name) in ["good", "other"].into_iter().flat_map(|name| {
        let text = std::fs::read_to_string(folder.path().join(format!("{name}.key"))).unwrap();
        text.lines().skip(1).take(1).map(|line| (line.to_owned(), name)).collect::<Vec<_>>()
    }) {
        assert_secret(&folder.path().join("right"), &line);
        assert_secret(&folder.path().join("moved"), name.repeat(9).as_str());
    }
}

#[test]
fn a_certificate_that_is_refused_is_refused_by_the_name_of_the_alert() {
    let folder = TempDir::new().unwrap();
    let (ours, theirs) = (Authority::new(folder.path(), "ours"), Authority::new(folder.path(), "theirs"));
    ours.make("expired", 2021);
    theirs.make("stranger", 2090);
    let target = "profile = \"bearer\"\ntls = true\nrequired_scopes = []\nclient_certificates = { authority = { file = \"ours.pem\" }, required = true }\n";
    // (the certificate, what the alert is called)
    let rows = [
        ("", "alert certificate_required"),
        ("expired", "alert certificate_expired"),
        ("stranger", "alert unknown_ca"),
    ];
    for (name, alert) in rows {
        let shown = if name.is_empty() { String::new() } else { certificate(name) };
        for (kind, group) in [
            ("session", format!("token = {{ grant = \"none\" }}\n[groups.connect]\n{shown}")),
            ("token", format!("[groups.token]\nclient_id = \"c\"\nclient_secret = \"d\"\n{shown}")),
        ] {
            let name = format!("{kind}-{name}");
            let path = folder.path().join(format!("{name}.toml"));
            let text = format!(
                "duration = \"3s\"\n[target]\nkind = \"embedded\"\n{target}[[groups]]\nname = \"g\"\nclients = 4\n{group}{ONCE}"
            );
            std::fs::write(&path, text).unwrap();
            let model = run_file(&path, &[], folder.path().join(&name)).model;
            if kind == "session" {
                assert_eq!(said(&model), [(Outcome::Tls, alert.to_owned())], "{name}");
            } else {
                let answers: Vec<&str> = model.all.requests.keys().map(|(_, answer)| answer.name()).collect();
                assert_eq!(answers, ["tls"], "{name}");
            }
        }
    }
}

#[test]
fn keys_are_chosen_by_their_names() {
    let folder = TempDir::new().unwrap();
    let key = KeyPair::generate().unwrap();
    std::fs::write(folder.path().join("own.key"), key.serialize_pem()).unwrap();
    let point = key.public_key_raw();
    let encode = |bytes: &[u8]| {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
    };
    let set = format!(
        "{{\"keys\":[{{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"new\",\"x\":\"{}\",\"y\":\"{}\"}}]}}",
        encode(&point[1..33]),
        encode(&point[33..])
    );
    std::fs::write(folder.path().join("jwks.json"), set).unwrap();
    let target = format!(
        "{IDLE}invalidation = \"never\"\nrequired_scopes = []\ntrusted = {{ jwks = {{ file = \"jwks.json\" }}, audience = \"us\" }}\n"
    );
    let group = |id: &str, audience: &str, rest: &str| {
        format!(
            "clients = 4\n[groups.token]\ngrant = \"jwt\"\nalgorithm = \"ES256\"\nkey = {{ file = \"own.key\" }}\nkey_id = \"{id}\"\nclaims = '{{\"sub\":\"c\",\"aud\":\"{audience}\"}}'\n{rest}"
        )
    };
    let (good, old, them) = (group("new", "us", BACK), group("old", "us", ONCE), group("new", "them", ONCE));
    let [good, old, them] =
        run_all(folder.path(), [("good", &target, &good), ("old", &target, &old), ("them", &target, &them)]);
    assert!(good.all.counter(Counter::Reconnects) >= 8);
    assert_eq!(said(&old), [(Outcome::Http401, "401 token.key".to_owned())]);
    assert_eq!(said(&them), [(Outcome::Http401, "401 token.audience".to_owned())]);
}
