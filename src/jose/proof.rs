//! Proofs that a client holds the key to which its token is bound (DPoP, RFC 9449 §4).
//!
//! In: a key, a request; or a proof. Out: a proof; what it says, once its own key has signed it. Whether it fits a request is for others to say.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::jwk::{PublicKey, base64url, sha256};
use super::signing::SigningKey;
use super::{Parts, claims_in, with_signature};

/// `typ` of a proof.
const TYPE: &str = "dpop+jwt";
/// The longest proof that is looked at.
const LONGEST: usize = 8 * 1024;

/// What a proof is for.
#[derive(Debug, Clone, Copy)]
pub struct ProofOf<'a> {
    /// The request's method.
    pub method: &'a str,
    /// Its URI, without query and fragment.
    pub uri: &'a str,
    /// The time, in seconds since 1970.
    pub issued_s: u64,
    /// A name that no other proof has.
    pub id: &'a str,
    /// What the server wants to see in it.
    pub nonce: Option<&'a str>,
    /// The token that is shown with it.
    pub token: Option<&'a str>,
}

/// A proof that its key signed.
#[derive(Debug, Clone, PartialEq)]
pub struct Proof {
    /// The thumbprint of the key (RFC 7638).
    pub thumbprint: [u8; 32],
    /// `htm`.
    pub method: String,
    /// `htu`.
    pub uri: String,
    /// `iat`.
    pub issued_s: f64,
    /// `jti`.
    pub id: String,
    /// `nonce`.
    pub nonce: Option<String>,
    /// `ath`.
    pub token_hash: Option<String>,
}

/// What is wrong with a proof by itself (RFC 9449 §4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProofFault {
    /// It is no JWT, or lacks a claim.
    Malformed,
    /// Its `typ` is another.
    Type,
    /// Its `alg` is none by which one key signs and another checks.
    Algorithm,
    /// Its `jwk` is no public key of that algorithm.
    Key,
    /// Its key did not sign it.
    Signature,
}

/// `ath`: the hash of a token.
#[must_use]
pub fn token_hash(token: &str) -> String {
    base64url(&sha256(token.as_bytes()))
}

/// A key that signs proofs, with what all of them begin with. It is never printed.
#[derive(Debug)]
pub struct ProofKey {
    key: Arc<SigningKey>,
    /// The header of its proofs, encoded.
    header: Box<str>,
}

impl ProofKey {
    /// The key, as proofs are signed by it; `None` where both sides know it.
    #[must_use]
    pub fn new(key: Arc<SigningKey>) -> Option<Self> {
        let mut header = Map::new();
        header.insert("typ".into(), TYPE.into());
        header.insert("alg".into(), key.algorithm().name().into());
        header.insert("jwk".into(), PublicKey::of(&key)?.jwk().into());
        // A map of values is always writable.
        let header = base64url(&serde_json::to_vec(&header).unwrap_or_default()).into();
        Some(Self { key, header })
    }

    /// A proof; `None` where the system has no randomness.
    #[must_use]
    pub fn prove(&self, of: ProofOf<'_>) -> Option<String> {
        let hash = of.token.map(token_hash);
        let claims = Claims {
            htm: of.method,
            htu: of.uri,
            iat: of.issued_s,
            jti: of.id,
            nonce: of.nonce,
            ath: hash.as_deref(),
        };
        let claims = base64url(&serde_json::to_vec(&claims).unwrap_or_default());
        let input = format!("{}.{claims}", self.header);
        let signature = self.key.sign(input.as_bytes())?;
        Some(with_signature(&input, &signature))
    }
}

/// A proof of the key of that thumbprint, which nobody signs: for a client and a target in the same process.
#[must_use]
pub fn stand_in(thumbprint: [u8; 32], of: ProofOf<'_>) -> String {
    let hash = of.token.map(token_hash);
    let claims = Claims {
        htm: of.method,
        htu: of.uri,
        iat: of.issued_s,
        jti: of.id,
        nonce: of.nonce,
        ath: hash.as_deref(),
    };
    // Texts and numbers are always writable.
    serde_json::to_string(&(thumbprint, claims)).unwrap_or_default()
}

/// Reads a proof that nobody signed.
///
/// # Errors
/// It is none.
pub fn read_stand_in(text: &str) -> Result<Proof, ProofFault> {
    let (thumbprint, claims): ([u8; 32], Map<String, Value>) =
        serde_json::from_str(text).map_err(|_| ProofFault::Malformed)?;
    proof_of(thumbprint, &claims)
}

/// The claims of a proof (RFC 9449 §4.2).
#[derive(Serialize)]
struct Claims<'a> {
    htm: &'a str,
    htu: &'a str,
    iat: u64,
    jti: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ath: Option<&'a str>,
}

/// Reads a proof.
///
/// # Errors
/// What is wrong with it.
pub fn read_proof(text: &str) -> Result<Proof, ProofFault> {
    let parts = Parts::of(text).filter(|_| text.len() <= LONGEST).ok_or(ProofFault::Malformed)?;
    if parts.header.get("typ").and_then(Value::as_str) != Some(TYPE) {
        return Err(ProofFault::Type);
    }
    let algorithm = parts.algorithm().filter(|algorithm| !algorithm.is_shared());
    let algorithm: Algorithm = algorithm.ok_or(ProofFault::Algorithm)?;
    let jwk = parts.header.get("jwk").and_then(Value::as_object);
    // A private key is no proof's to show.
    let jwk = jwk.filter(|jwk| !jwk.contains_key("d")).ok_or(ProofFault::Key)?;
    let key = PublicKey::of_jwk(jwk).ok_or(ProofFault::Key)?;
    let verifying = key.verifying(algorithm).ok_or(ProofFault::Key)?;
    if !verifying.verifies(parts.input.as_bytes(), &parts.signature) {
        return Err(ProofFault::Signature);
    }
    proof_of(key.thumbprint(), &claims_in(&parts).ok_or(ProofFault::Malformed)?)
}

/// What the claims of a proof by the key of that thumbprint say.
fn proof_of(thumbprint: [u8; 32], claims: &Map<String, Value>) -> Result<Proof, ProofFault> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
    let needed = |name: &str| text(name).filter(|text| !text.is_empty()).ok_or(ProofFault::Malformed);
    Ok(Proof {
        thumbprint,
        method: needed("htm")?,
        uri: needed("htu")?,
        issued_s: claims.get("iat").and_then(Value::as_f64).ok_or(ProofFault::Malformed)?,
        id: needed("jti")?,
        nonce: text("nonce"),
        token_hash: text("ath"),
    })
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    #[test]
    fn the_proof_of_rfc_9449_is_read() {
        // Section 4.1 and, with a token, section 7.1.
        let key = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19";
        let token_request = format!(
            "{key}.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
        );
        let proof = read_proof(&token_request).unwrap();
        assert_eq!(base64url(&proof.thumbprint), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
        assert_eq!((proof.method.as_str(), proof.issued_s), ("POST", 1_562_262_616.0));
        assert_eq!((proof.uri.as_str(), proof.nonce), ("https://server.example.com/token", None));
        assert_eq!(
            token_hash("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"),
            "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"
        );
    }

    #[test]
    fn what_is_proved_is_read_and_what_was_touched_is_not() {
        let key = || ProofKey::new(Arc::new(SigningKey::generate(Algorithm::Es256).unwrap())).unwrap();
        let of = ProofOf {
            method: "GET",
            uri: "https://s/e",
            issued_s: 7,
            id: "1",
            nonce: Some("n"),
            token: Some("t"),
        };
        let text = key().prove(of).unwrap();
        let proof = read_proof(&text).unwrap();
        assert_eq!((proof.nonce.as_deref(), proof.token_hash), (Some("n"), Some(token_hash("t"))));
        let stolen = ProofKey { header: key().header, ..key() }.prove(of).unwrap();
        assert_eq!(read_proof(&stolen), Err(ProofFault::Signature));
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let rest = text.split_once('.').unwrap().1;
        let private = serde_json::json!({ "typ": TYPE, "alg": "ES256", "jwk": { "kty": "EC", "d": "x" } });
        for (header, fault) in [
            (r#"{"typ":"JWT","alg":"ES256"}"#, ProofFault::Type),
            (r#"{"typ":"dpop+jwt","alg":"HS256"}"#, ProofFault::Algorithm),
            (r#"{"typ":"dpop+jwt","alg":"none"}"#, ProofFault::Algorithm),
            (r#"{"typ":"dpop+jwt","alg":"ES256","jwk":{}}"#, ProofFault::Key),
            (&private.to_string(), ProofFault::Key),
        ] {
            assert_eq!(read_proof(&format!("{}.{rest}", encode(header))), Err(fault), "{header}");
        }
        assert_eq!(read_proof("a.b"), Err(ProofFault::Malformed));
    }
}
