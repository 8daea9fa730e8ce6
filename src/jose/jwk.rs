//! Public keys as JSON (RFC 7517), and their names by content (RFC 7638).
//!
//! In: a key that signs, or a JWK. Out: the JWK, its thumbprint, what verifies by it. A key that both sides share is none of these.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::der::{rsa_numbers, rsa_public};
use super::signing::SigningKey;
use super::verifying::VerifyingKey;

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    kind: Kind,
    /// As ring takes it.
    bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl Kind {
    const fn of(algorithm: Algorithm) -> Option<Self> {
        Some(match algorithm {
            Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => return None,
            Algorithm::Es256 => Self::P256,
            Algorithm::Es384 => Self::P384,
            Algorithm::EdDsa => Self::Ed25519,
            _ => Self::Rsa,
        })
    }
}

impl PublicKey {
    /// The public half; `None` where both sides know the secret.
    #[must_use]
    pub fn of(key: &SigningKey) -> Option<Self> {
        Some(Self { kind: Kind::of(key.algorithm())?, bytes: key.public()? })
    }

    /// The key of a JWK; `None` where it is none that is known here.
    #[must_use]
    pub fn of_jwk(jwk: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let number = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
        let point = |length: usize| {
            let (x, y) = (number("x")?, number("y")?);
            (x.len() == length && y.len() == length).then(|| [&[4], x.as_slice(), y.as_slice()].concat())
        };
        let (kind, bytes) = match (text("kty")?, text("crv")) {
            ("RSA", _) => (Kind::Rsa, rsa_public(&number("n")?, &number("e")?)),
            ("EC", Some("P-256")) => (Kind::P256, point(32)?),
            ("EC", Some("P-384")) => (Kind::P384, point(48)?),
            ("OKP", Some("Ed25519")) => (Kind::Ed25519, number("x").filter(|x| x.len() == 32)?),
            _ => return None,
        };
        Some(Self { kind, bytes })
    }

    /// It as a JWK: what RFC 7638 §3.2 needs, and nothing else.
    #[must_use]
    pub fn jwk(&self) -> Map<String, Value> {
        self.members().into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
    }

    /// The members that make the key, in the order of their names.
    fn members(&self) -> Vec<(&'static str, String)> {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let text = str::to_owned;
        let half = self.bytes.len().div_ceil(2);
        match self.kind {
            Kind::Rsa => {
                let (n, e) = rsa_numbers(&self.bytes).unwrap_or_default();
                vec![("e", encode(e)), ("kty", text("RSA")), ("n", encode(n))]
            }
            Kind::P256 | Kind::P384 => {
                let curve = if self.kind == Kind::P256 { "P-256" } else { "P-384" };
                let (x, y) = (encode(&self.bytes[1..half]), encode(&self.bytes[half..]));
                vec![("crv", text(curve)), ("kty", text("EC")), ("x", x), ("y", y)]
            }
            Kind::Ed25519 => {
                vec![("crv", text("Ed25519")), ("kty", text("OKP")), ("x", encode(&self.bytes))]
            }
        }
    }

    /// Its SHA-256 thumbprint (RFC 7638).
    #[must_use]
    pub fn thumbprint(&self) -> [u8; 32] {
        let members: Vec<String> =
            self.members().iter().map(|(name, value)| format!("\"{name}\":\"{value}\"")).collect();
        sha256(format!("{{{}}}", members.join(",")).as_bytes())
    }

    /// What checks signatures of that algorithm by it; `None` where it is another kind of key.
    #[must_use]
    pub fn verifying(&self, algorithm: Algorithm) -> Option<VerifyingKey> {
        let fits = Kind::of(algorithm) == Some(self.kind);
        let key = fits.then(|| VerifyingKey::of_public(algorithm, self.bytes.clone()));
        key.flatten()
    }
}

/// The SHA-256 of bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
    hash
}

/// A hash or another few bytes as JWTs have them: base64url without padding.
#[must_use]
pub fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thumbprint_is_the_one_of_rfc_7638() {
        // Section 3.1.
        let text = r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#;
        let key = PublicKey::of_jwk(&serde_json::from_str(text).unwrap()).unwrap();
        assert_eq!(base64url(&key.thumbprint()), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        assert!(key.verifying(Algorithm::Ps384).is_some() && key.verifying(Algorithm::Es256).is_none());
    }

    #[test]
    fn keys_go_into_json_and_come_back() {
        for algorithm in [Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa] {
            let key = SigningKey::generate(algorithm).unwrap();
            let public = PublicKey::of(&key).unwrap();
            let again = PublicKey::of_jwk(&public.jwk()).unwrap();
            assert_eq!(again, public);
            let signature = key.sign(b"message").unwrap();
            assert!(again.verifying(algorithm).unwrap().verifies(b"message", &signature));
        }
        assert!(SigningKey::generate(Algorithm::Rs256).is_none(), "ring makes none");
    }

    #[test]
    fn what_is_no_key_is_none() {
        for text in [
            "{}",
            r#"{"kty":"oct","k":"c2VjcmV0"}"#,
            r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#,
            r#"{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"}"#,
            r#"{"kty":"OKP","crv":"Ed25519","x":"%%"}"#,
            r#"{"kty":"RSA","n":"AQAB"}"#,
        ] {
            assert_eq!(PublicKey::of_jwk(&serde_json::from_str(text).unwrap()), None, "{text}");
        }
        let short = r#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#;
        let short = PublicKey::of_jwk(&serde_json::from_str(short).unwrap()).unwrap();
        assert!(short.verifying(Algorithm::Rs256).is_none(), "of too few bits");
    }
}
