//! Handshakes in which more stands than a token: signatures, URLs, headers.

use resurge::sample::{Cause, Outcome};
use tempfile::TempDir;

use super::{Case, compare};

const SIGNATURES: &str = "path = \"/prod\"\nrequired_scopes = []\n[target.signatures]\nservice = \"execute-api\"\nregion = \"eu-1\"\nkeys = [{ access_key_id = \"AKID\", secret_access_key = \"right\" }, { access_key_id = \"ASIA\", secret_access_key = \"right\", session_token = \"session\" }]\n";

fn signed(name: &'static str, keys: &str, refused: Option<(Outcome, Option<Cause>)>) -> Case {
    let sign = format!(
        "token = {{ grant = \"none\" }}\n[groups.connect.sign]\nkind = \"aws-sigv4\"\nservice = \"execute-api\"\n{keys}\n"
    );
    Case::new(name, SIGNATURES, &sign, refused)
}

#[test]
fn both_drivers_judge_signed_handshakes_alike() {
    let right = "region = \"eu-1\"\naccess_key_id = \"AKID\"\nsecret_access_key = \"right\"\n";
    let session = right.replace("AKID", "ASIA") + "session_token = \"session\"\n";
    let is_403 = |cause| Some((Outcome::Http403, Some(cause)));
    let unknown = is_403(Cause::UnknownToken);
    let reused = right.to_owned() + "expires = \"2s\"\non_reconnect = \"reuse\"\n";
    let cases = [
        signed("query", right, None),
        signed("session-token", &session, None),
        signed("header", &(session.clone() + "signature_in = \"header\"\n"), None),
        signed("wrong-key", &right.replace("right", "wrong"), unknown),
        signed("unknown-key", &right.replace("AKID", "AKIX"), unknown),
        signed("no-session-token", &right.replace("AKID", "ASIA"), unknown),
        signed("region", &right.replace("eu-1", "us-1"), unknown),
        signed("reused", &reused, is_403(Cause::ExpiredToken)),
        signed("reused-in-time", &(right.to_owned() + "on_reconnect = \"reuse\"\n"), None),
        Case::new("unsigned", SIGNATURES, "token = { grant = \"none\" }\n", is_403(Cause::NoToken)),
        Case::new(
            "a-token-instead",
            SIGNATURES,
            "token = { client_id = \"c\", client_secret = \"s\" }\n",
            is_403(Cause::NoToken),
        ),
    ];
    compare(&TempDir::new().unwrap(), &cases);
}
