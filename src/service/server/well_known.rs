//! What the target tells of its tokens: its keys (RFC 7517), and where they are (OpenID Connect Discovery 1.0, RFC 8414).
//!
//! In: a path. Out: the answer, where its tokens are signed by a key that anybody may know.

use hyper::header::{CACHE_CONTROL, HeaderValue};
use hyper::{Method, StatusCode};
use serde_json::json;

use super::answer::{self, Answer};
use super::paths::{DISCOVERY_PATH, JWKS_PATH, REVOKE_PATH, TOKEN_PATH};
use super::shared::Shared;

/// What a GET of that path is answered; `None` where nothing is told there.
pub(super) fn answer(shared: &Shared, method: &Method, path: &str) -> Option<Answer> {
    if method != Method::GET || !matches!(path, JWKS_PATH | DISCOVERY_PATH) {
        return None;
    }
    let (keys, issuer) = {
        let state = shared.state();
        let writer = state.writer();
        (writer.key_set()?, writer.issuer()?.to_owned())
    };
    let told = if path == JWKS_PATH {
        keys
    } else {
        let scheme = if shared.is_secure() { "https" } else { "http" };
        let at = |path: &str| format!("{scheme}://{}{path}", shared.address);
        let proofs = shared.rules.dpop.map(|_| ["ES256", "ES384", "RS256", "PS256", "EdDSA"]);
        json!({
            "issuer": issuer,
            "token_endpoint": at(TOKEN_PATH),
            "revocation_endpoint": at(REVOKE_PATH),
            "jwks_uri": at(JWKS_PATH),
            "grant_types_supported": shared.rules.grants.iter().map(|grant| grant.on_the_wire()).collect::<Vec<_>>(),
            "response_types_supported": [],
            "subject_types_supported": ["public"],
            "dpop_signing_alg_values_supported": proofs.unwrap_or_default(),
        })
    };
    let mut answer = answer::json(StatusCode::OK, &told);
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=60"));
    Some(answer)
}
