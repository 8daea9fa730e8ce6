//! JSON Web Tokens (RFC 7519) as JWS in compact form (RFC 7515): keys, signatures, their check.
//!
//! In: a key as text, header and claims as JSON. Out: a token; whether a token's signature is that of a key. No I/O; a key is never printed. The
//! cryptography is ring's.

mod algorithm;
mod der;
mod jwk;
mod key_set;
mod proof;
mod signing;
mod verifying;

pub use algorithm::Algorithm;
pub use jwk::{PublicKey, base64url, sha256};
pub use key_set::{JwtFault, KeySet, KeySetFault};
pub use proof::{Proof, ProofFault, ProofKey, ProofOf, read_proof, read_stand_in, stand_in, token_hash};
pub use signing::{KeyFault, SigningKey};
pub use verifying::VerifyingKey;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

/// What is signed of a token (RFC 7515 §5.1): header and claims, encoded.
#[must_use]
pub fn signing_input(header: &Map<String, Value>, claims: &Map<String, Value>) -> String {
    // A map of values is always writable.
    let part = |map: &Map<String, Value>| URL_SAFE_NO_PAD.encode(serde_json::to_vec(map).unwrap_or_default());
    format!("{}.{}", part(header), part(claims))
}

/// The token of what was signed.
#[must_use]
pub fn with_signature(input: &str, signature: &[u8]) -> String {
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A JWS in compact form, taken apart.
struct Parts<'a> {
    /// What is signed.
    input: &'a str,
    header: Map<String, Value>,
    claims: &'a str,
    signature: Vec<u8>,
}

impl<'a> Parts<'a> {
    fn of(token: &'a str) -> Option<Self> {
        let (input, signature) = token.rsplit_once('.')?;
        let (header, claims) = input.split_once('.')?;
        let header = serde_json::from_slice(&decode(header)?).ok()?;
        Some(Self { input, header, claims, signature: decode(signature)? })
    }

    /// What its header says that signed it.
    fn algorithm(&self) -> Option<Algorithm> {
        let name = self.header.get("alg").and_then(Value::as_str)?;
        Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }
}

fn claims_in(parts: &Parts<'_>) -> Option<Map<String, Value>> {
    serde_json::from_slice(&decode(parts.claims)?).ok()
}

fn decode(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok()
}

/// The claims of a token that a key signed; `None` where it did not, or the token's header names another algorithm.
#[must_use]
pub fn verified_claims(token: &str, key: &VerifyingKey) -> Option<Map<String, Value>> {
    let parts = Parts::of(token)?;
    let is_signed =
        parts.algorithm() == Some(key.algorithm()) && key.verifies(parts.input.as_bytes(), &parts.signature);
    if is_signed { claims_in(&parts) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_token_is_the_one_of_rfc_7515() {
        // Appendix A.1 has the claims with line breaks; the signature is over what is encoded.
        let input = concat!(
            "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.",
            "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
        );
        let key = URL_SAFE_NO_PAD
            .decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
            .unwrap();
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key);
        let token = with_signature(input, ring::hmac::sign(&key, input.as_bytes()).as_ref());
        assert!(token.ends_with(".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"));
    }

    #[test]
    fn what_a_key_signed_is_verified_and_nothing_else() {
        let key = SigningKey::read(Algorithm::Hs256, "secret").unwrap();
        let verifying = VerifyingKey::read(Algorithm::Hs256, "secret").unwrap();
        let input = signing_input(&map(r#"{"alg":"HS256"}"#), &map(r#"{"sub":"c"}"#));
        let token = with_signature(&input, &key.sign(input.as_bytes()).unwrap());
        assert_eq!(verified_claims(&token, &verifying).unwrap()["sub"], "c");
        let other = VerifyingKey::read(Algorithm::Hs256, "other").unwrap();
        let stronger = VerifyingKey::read(Algorithm::Hs512, "secret").unwrap();
        assert_eq!(verified_claims(&token, &other), None);
        assert_eq!(verified_claims(&token, &stronger), None, "its header names another algorithm");
        for text in ["", ".", "..", "a.b.c", &format!("{token}x"), &token[1..]] {
            assert_eq!(verified_claims(text, &verifying), None, "{text}");
        }
    }
}
