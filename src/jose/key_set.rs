//! The keys that check JWTs: one, or a set of which a token names its own (RFC 7517 §5).
//!
//! In: a key, or a JWK Set as text; tokens. Out: their claims, or what is wrong with them. No I/O.

use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::jwk::PublicKey;
use super::verifying::VerifyingKey;
use super::{Parts, claims_in};

/// The most keys of a set.
const MOST_KEYS: usize = 1_000;

/// Keys that check JWTs.
#[derive(Debug, Clone)]
pub struct KeySet(Vec<Known>);

#[derive(Debug, Clone)]
enum Known {
    /// The only one, whatever name a token gives it.
    One(VerifyingKey),
    /// One of a set.
    Named { key: PublicKey, id: Option<String>, algorithm: Option<Algorithm> },
}

/// Why a text is no set of keys, without the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeySetFault {
    /// It is no JSON object with a list `keys`.
    #[error("it is no JSON object with a list \"keys\" (RFC 7517 §5)")]
    NoSet,
    /// None of its keys can be used.
    #[error("none of its keys checks RS…, PS…, ES256, ES384 or EdDSA")]
    NoKey,
}

/// What is wrong with a JWT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JwtFault {
    /// It is none.
    Malformed,
    /// It names a key, or an algorithm, that is not among those that are known.
    UnknownKey,
    /// The key did not sign it.
    Signature,
}

impl From<VerifyingKey> for KeySet {
    fn from(key: VerifyingKey) -> Self {
        Self(vec![Known::One(key)])
    }
}

impl KeySet {
    /// The keys of a JWK Set. Those of other kinds, and those for encryption, are left out.
    ///
    /// # Errors
    /// Why it is none.
    pub fn read(text: &str) -> Result<Self, KeySetFault> {
        let set: Value = serde_json::from_str(text).map_err(|_| KeySetFault::NoSet)?;
        let keys = set.get("keys").and_then(Value::as_array).ok_or(KeySetFault::NoSet)?;
        let known: Vec<Known> =
            keys.iter().take(MOST_KEYS).filter_map(|key| named(key.as_object()?)).collect();
        if known.is_empty() { Err(KeySetFault::NoKey) } else { Ok(Self(known)) }
    }

    /// Whether it is a shared secret.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self.0.as_slice(), [Known::One(key)] if key.algorithm().is_shared())
    }

    /// The claims of a token that one of the keys signed: the one that it names, where it names one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn claims(&self, token: &str) -> Result<Map<String, Value>, JwtFault> {
        let parts = Parts::of(token).ok_or(JwtFault::Malformed)?;
        let algorithm = parts.algorithm().ok_or(JwtFault::UnknownKey)?;
        let id = parts.header.get("kid").and_then(Value::as_str);
        let mut fitting = self.0.iter().filter_map(|known| known.verifying(id, algorithm)).peekable();
        if fitting.peek().is_none() {
            return Err(JwtFault::UnknownKey);
        }
        if !fitting.any(|key| key.verifies(parts.input.as_bytes(), &parts.signature)) {
            return Err(JwtFault::Signature);
        }
        claims_in(&parts).ok_or(JwtFault::Malformed)
    }
}

impl Known {
    /// What checks a token of that algorithm which names this key, or none.
    fn verifying(&self, named: Option<&str>, algorithm: Algorithm) -> Option<VerifyingKey> {
        match self {
            Self::One(key) => (key.algorithm() == algorithm).then(|| key.clone()),
            Self::Named { key, id, algorithm: only } => {
                let is_named = named.is_none() || named == id.as_deref();
                let fits = is_named && only.is_none_or(|only| only == algorithm);
                fits.then(|| key.verifying(algorithm)).flatten()
            }
        }
    }
}

fn named(jwk: &Map<String, Value>) -> Option<Known> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    if text("use").is_some_and(|used| used != "sig") {
        return None;
    }
    let algorithm = match text("alg") {
        Some(name) => Some(Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name)?),
        None => None,
    };
    Some(Known::Named { key: PublicKey::of_jwk(jwk)?, id: text("kid").map(str::to_owned), algorithm })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::{SigningKey, signing_input, with_signature};

    #[test]
    fn a_token_is_checked_by_the_key_that_it_names() {
        let (old, new) = (
            SigningKey::generate(Algorithm::Es256).unwrap(),
            SigningKey::generate(Algorithm::Es256).unwrap(),
        );
        let jwk = |key: &SigningKey, id: &str| {
            let mut jwk = PublicKey::of(key).unwrap().jwk();
            jwk.insert("kid".into(), id.into());
            jwk
        };
        let set = serde_json::json!({ "keys": [
            { "kty": "oct", "k": "AA" }, { "kty": "RSA", "use": "enc", "n": "AQAB", "e": "AQAB" },
            jwk(&old, "old"), jwk(&new, "new"),
        ] });
        let set = KeySet::read(&set.to_string()).unwrap();
        let sign = |key: &SigningKey, header: &str| {
            let claims = serde_json::from_str("{\"sub\":\"c\"}").unwrap();
            let input = signing_input(&serde_json::from_str(header).unwrap(), &claims);
            with_signature(&input, &key.sign(input.as_bytes()).unwrap())
        };
        let check = |key, header| set.claims(&sign(key, header)).map(|claims| claims["sub"].clone());
        assert_eq!(check(&new, r#"{"alg":"ES256","kid":"new"}"#).unwrap(), "c");
        assert_eq!(check(&old, r#"{"alg":"ES256"}"#).unwrap(), "c", "any that fits");
        assert_eq!(check(&old, r#"{"alg":"ES256","kid":"new"}"#), Err(JwtFault::Signature));
        assert_eq!(check(&old, r#"{"alg":"ES256","kid":"older"}"#), Err(JwtFault::UnknownKey));
        assert_eq!(check(&old, r#"{"alg":"RS256","kid":"old"}"#), Err(JwtFault::UnknownKey));
        assert_eq!(check(&old, r#"{"alg":"none"}"#), Err(JwtFault::UnknownKey));
        assert_eq!(set.claims("a.b.c"), Err(JwtFault::Malformed));
    }

    #[test]
    fn what_is_no_set_is_told() {
        assert_eq!(KeySet::read("hush").err(), Some(KeySetFault::NoSet));
        assert_eq!(KeySet::read("{\"keys\":7}").err(), Some(KeySetFault::NoSet));
        assert_eq!(KeySet::read("{\"keys\":[7,{}]}").err(), Some(KeySetFault::NoKey));
    }
}
