//! Tokens that only their holder can show: proofs of a key, certificates.

use resurge::sample::{Cause, Outcome};
use tempfile::TempDir;

use super::{Case, compare};
use crate::bound_tokens::{Authority, certificate};

const CLIENT: &str = "client_id = \"c\"\nclient_secret = \"s\"\n";

#[test]
fn both_drivers_bind_tokens_to_keys_alike() {
    let token = |more: &str| format!("[groups.token]\n{CLIENT}{more}");
    let proves = token("dpop = true\n");
    let fetches = token("dpop = true\non_reconnect = \"fetch\"\n");
    let refused = Some((Outcome::TokenRefused, None));
    let both = "dpop = { nonce = \"both\" }\n";
    let cases = [
        Case::new("bound", "dpop = true\n", &proves, None),
        Case::new("bound-anew", "dpop = true\n", &fetches, None),
        Case::new("nonces", both, &fetches, None),
        Case::new("nonces-at-tokens", "dpop = { nonce = \"token\" }\n", &fetches, None),
        Case::new("nonces-at-handshakes", "dpop = { nonce = \"handshake\" }\n", &proves, None),
        Case::new(
            "nonces-refreshed",
            "dpop = { nonce = \"both\" }\nrefresh_tokens = { life = \"1h\" }\n",
            &token("dpop = true\ngrant = \"refresh_token\"\non_reconnect = \"fetch\"\n"),
            None,
        ),
        Case::new("without-proof", "dpop = true\n", &token(""), refused),
        Case::new("by-a-wrong-clock", "dpop = true\n", &token("dpop = { clock_skew = \"-10m\" }\n"), refused),
        Case::new("lenient", "dpop = { required = false }\n", &token(""), None),
        Case::new("not-bound", "", &proves, Some((Outcome::TokenError, None))),
    ];
    compare(&TempDir::new().unwrap(), &cases);
}

#[test]
fn both_drivers_look_at_certificates_alike() {
    let folder = TempDir::new().unwrap();
    let (ours, theirs) = (Authority::new(folder.path(), "ours"), Authority::new(folder.path(), "theirs"));
    ours.make("good", 2090);
    ours.make("other", 2090);
    ours.make("expired", 2021);
    ours.make_from("early", 2085, 2090);
    theirs.make("stranger", 2090);
    let asked = "tls = true\nclient_certificates = { authority = { file = \"ours.pem\" }, bind_tokens = true }\nclients = [{ id = \"c\", certificate = { file = \"good.pem\" }, scopes = [\"analytics:events:read\"] }]\n";
    let required =
        "tls = true\nclient_certificates = { authority = { file = \"ours.pem\" }, required = true }\n";
    let group = |token: &str, connect: &str| {
        format!(
            "[groups.token]\nclient_id = \"c\"\nauth = \"tls_client_auth\"\n{token}[groups.connect]\n{connect}"
        )
    };
    let by = |name: &str| group(&certificate(name), &certificate(name));
    let tls = Some((Outcome::Tls, None));
    let none = "token = { grant = \"none\" }\n";
    let cases = [
        Case::new("known", asked, &by("good"), None),
        Case::new(
            "one-for-both",
            "tls = true\nclient_certificates = { bind_tokens = true }\n",
            &format!("[groups.token]\n{CLIENT}[groups.connect]\n{}", certificate("stranger")),
            None,
        ),
        Case::new("another-clients", asked, &by("other"), Some((Outcome::TokenRefused, None))),
        Case::new(
            "another-connection",
            asked,
            &group(&certificate("good"), &certificate("other")),
            Some((Outcome::Http403, Some(Cause::ForbiddenOther))),
        ),
        Case::new("no-certificate", required, none, tls),
        Case::new(
            "a-strangers",
            required,
            &format!("{none}[groups.connect]\n{}", certificate("stranger")),
            tls,
        ),
        Case::new("expired", required, &format!("{none}[groups.connect]\n{}", certificate("expired")), tls),
        Case::new(
            "not-yet-valid",
            required,
            &format!("{none}[groups.connect]\n{}", certificate("early")),
            tls,
        ),
        Case::new(
            "no-certificate-for-a-token",
            required,
            &format!("[groups.token]\n{CLIENT}"),
            Some((Outcome::TokenError, None)),
        ),
    ];
    compare(&folder, &cases);
}
