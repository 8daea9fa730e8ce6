//! Tokens as they go over the wire: opaque, or as JWTs.
//!
//! In: the id of a token and what is to be told of it. Out: text; and the id again from a text. A JWT (RFC 7519) is signed with HS256
//! (RFC 7518 §3.2) by a key that each run draws anew, or as the rules say; its claims are those of RFC 9068 §2.2. What a token may do is looked up by
//! its `jti`, never read from the claims.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::clock::Moment;
use crate::jose::{
    Algorithm, KeySet, PublicKey, SigningKey, VerifyingKey, base64url, signing_input, with_signature,
};
use crate::random::{Draws, Purpose};
use crate::scenario::keys::{TargetRules, TokenFormat};

use super::holder::Bound;
use super::registry::TokenId;

/// Who issued a token, and whom it is for, unless the rules say otherwise.
const ISSUER: &str = "resurge";

/// How tokens are written.
pub struct TokenWriter {
    jwt: Option<Box<Jwt>>,
    /// Calendar time of the moment zero, in seconds since 1970.
    origin_s: u64,
}

/// How JWTs are written and read.
struct Jwt {
    key: Arc<SigningKey>,
    checks: KeySet,
    header: Map<String, Value>,
    issuer: String,
    /// Whether the issuer is where the target is to be had.
    is_at_address: bool,
    audience: String,
}

/// The text of a token, that of a JWT yet to be signed: that takes time, and nobody is to wait for it.
#[derive(Clone)]
pub struct TokenText {
    text: String,
    key: Option<Arc<SigningKey>>,
}

impl TokenText {
    /// The text itself.
    #[must_use]
    pub fn text(&self) -> String {
        match &self.key {
            None => self.text.clone(),
            // A system without randomness signs nothing: the token is none.
            Some(key) => with_signature(&self.text, &key.sign(self.text.as_bytes()).unwrap_or_default()),
        }
    }
}

impl PartialEq for TokenText {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for TokenText {}

impl std::fmt::Debug for TokenText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenText").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for TokenWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenWriter").field("is_jwt", &self.jwt.is_some()).finish_non_exhaustive()
    }
}

/// What is told of a token.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told<'a> {
    pub(super) client_id: &'a str,
    pub(super) scope: &'a str,
    pub(super) issued: Moment,
    pub(super) expires: Moment,
    pub(super) bound: Option<Bound>,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    client_id: &'a str,
    aud: &'a str,
    iat: u64,
    exp: u64,
    jti: &'a str,
    scope: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<Value>,
}

#[derive(Deserialize)]
struct Id {
    jti: String,
}

impl Jwt {
    fn of(rules: &TargetRules, seed: u64) -> Option<Box<Self>> {
        if rules.token_format != TokenFormat::Jwt {
            return None;
        }
        let mut header = Map::new();
        header.insert("typ".into(), "at+jwt".into());
        let Some(signing) = &rules.token_signing else {
            let mut draws = Draws::new(seed, Purpose::TargetToken, 1);
            let secret: String = (0..4).map(|_| format!("{:016x}", draws.next_u64())).collect();
            header.insert("alg".into(), Algorithm::Hs256.name().into());
            return Some(Box::new(Self {
                key: Arc::new(SigningKey::read(Algorithm::Hs256, &secret).ok()?),
                checks: KeySet::from(VerifyingKey::read(Algorithm::Hs256, &secret).ok()?),
                header,
                issuer: ISSUER.to_owned(),
                is_at_address: false,
                audience: ISSUER.to_owned(),
            }));
        };
        header.insert("alg".into(), signing.key.algorithm().name().into());
        header.insert("kid".into(), signing.key_id.as_str().into());
        Some(Box::new(Self {
            key: Arc::clone(&signing.key),
            checks: KeySet::from(VerifyingKey::of(&signing.key)?),
            header,
            issuer: signing.issuer.clone().unwrap_or_else(|| ISSUER.to_owned()),
            is_at_address: signing.issuer.is_none(),
            audience: signing.audience.clone(),
        }))
    }
}

impl TokenWriter {
    pub(super) fn new(rules: &TargetRules, seed: u64) -> Self {
        Self { jwt: Jwt::of(rules, seed), origin_s: 0 }
    }

    pub(super) fn set_address(&mut self, address: &str) {
        if let Some(jwt) = self.jwt.as_mut().filter(|jwt| jwt.is_at_address) {
            address.clone_into(&mut jwt.issuer);
        }
    }

    /// The keys that check its tokens, as a JWK Set (RFC 7517 §5); `None` where they are nobody's to know.
    #[must_use]
    pub fn key_set(&self) -> Option<Value> {
        let jwt = self.jwt.as_ref()?;
        let mut jwk = PublicKey::of(&jwt.key)?.jwk();
        jwk.insert("use".into(), "sig".into());
        jwk.extend(
            ["alg", "kid"].map(|name| (name.to_owned(), jwt.header.get(name).cloned().unwrap_or_default())),
        );
        Some(json!({ "keys": [jwk] }))
    }

    /// Who issues its tokens; `None` where they tell nothing.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.jwt.as_ref().map(|jwt| jwt.issuer.as_str())
    }

    pub(super) const fn set_origin(&mut self, unix_us: u64) {
        self.origin_s = unix_us / 1_000_000;
    }

    /// Calendar time of the moment zero, in seconds since 1970.
    pub(super) const fn origin_s(&self) -> u64 {
        self.origin_s
    }

    /// The text of a token.
    pub(super) fn write(&self, id: TokenId, told: Told<'_>) -> TokenText {
        let jti = id.text();
        let Some(jwt) = &self.jwt else { return TokenText { text: jti, key: None } };
        let seconds = |at: Moment| self.origin_s + at.as_us() / 1_000_000;
        let cnf = told.bound.map(|bound| match bound {
            Bound::Key(thumbprint) => json!({ "jkt": base64url(&thumbprint) }),
            Bound::Certificate(hash) => json!({ "x5t#S256": base64url(&hash) }),
        });
        let claims = Claims {
            iss: &jwt.issuer,
            sub: told.client_id,
            client_id: told.client_id,
            aud: &jwt.audience,
            iat: seconds(told.issued),
            exp: seconds(told.expires),
            jti: &jti,
            scope: told.scope,
            cnf,
        };
        // Plain strings and numbers are always writable.
        let claims = match serde_json::to_value(&claims) {
            Ok(Value::Object(claims)) => claims,
            _ => Map::new(),
        };
        TokenText { text: signing_input(&jwt.header, &claims), key: Some(Arc::clone(&jwt.key)) }
    }

    /// The id in a text; `None` where it is no token of ours: its form or its signature is wrong.
    pub(super) fn read<'a>(&self, text: &'a str) -> Option<Cow<'a, str>> {
        let Some(jwt) = &self.jwt else { return Some(Cow::Borrowed(text)) };
        let claims = jwt.checks.claims(text).ok()?;
        let id: Id = serde_json::from_value(claims.into()).ok()?;
        Some(Cow::Owned(id.jti))
    }
}

#[cfg(test)]
mod tests {
    use super::super::registry::TokenRegistry;
    use super::*;
    use std::time::Duration;

    use ::base64::Engine as _;
    use ::base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use crate::scenario::keys::TokenSigning;

    fn writer(token_signing: Option<TokenSigning>, seed: u64) -> TokenWriter {
        TokenWriter::new(
            &TargetRules { token_format: TokenFormat::Jwt, token_signing, ..TargetRules::default() },
            seed,
        )
    }

    #[test]
    fn keys_that_anybody_may_know_are_told_and_check_the_tokens() {
        let key = Arc::new(SigningKey::generate(Algorithm::Es256).unwrap());
        let signing = TokenSigning { key, key_id: "k1".into(), audience: "us".into(), issuer: None };
        let mut writer = writer(Some(signing), 7);
        writer.set_address("http://h:1");
        let id = TokenRegistry::new(7, 9).issue(Moment::ZERO, Moment::NEVER, true, None);
        let bound = Some(Bound::Key([0; 32]));
        let told = Told { client_id: "c", scope: "", issued: Moment::ZERO, expires: Moment::ZERO, bound };
        let text = writer.write(id, told).text();
        assert_eq!(writer.read(&text).as_deref(), Some(id.text().as_str()));
        let told = KeySet::read(&writer.key_set().unwrap().to_string()).unwrap();
        let claims = told.claims(&text).unwrap();
        assert_eq!((claims["iss"].as_str(), claims["aud"].as_str()), (Some("http://h:1"), Some("us")));
        assert_eq!(claims["cnf"]["jkt"], "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
        assert!(super::TokenWriter::new(&TargetRules::default(), 7).key_set().is_none());
    }

    #[test]
    fn a_jwt_reads_back_and_none_that_was_touched_does() {
        let mut writer = writer(None, 7);
        writer.set_origin(1_700_000_000_000_000);
        let issued = Moment::ZERO + Duration::from_secs(5);
        let id = TokenRegistry::new(7, 9).issue(Moment::ZERO, Moment::NEVER, true, None);
        let told = Told {
            client_id: "c",
            scope: "a b",
            issued,
            expires: issued + Duration::from_secs(60),
            bound: None,
        };
        let text = writer.write(id, told).text();
        assert_eq!(writer.read(&text).as_deref(), Some(id.text().as_str()));
        let parts: Vec<&str> = text.split('.').collect();
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
        let header: serde_json::Value = serde_json::from_slice(&decode(parts[0])).unwrap();
        assert_eq!((header["alg"].as_str(), header["typ"].as_str()), (Some("HS256"), Some("at+jwt")));
        let claims: serde_json::Value = serde_json::from_slice(&decode(parts[1])).unwrap();
        assert_eq!(
            (claims["iat"].as_u64(), claims["exp"].as_u64()),
            (Some(1_700_000_005), Some(1_700_000_065))
        );
        assert_eq!(claims["sub"], "c");
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
        let other = self::writer(None, 8).write(id, told).text();
        for forged in [
            format!("{}.{}.", parts[0], parts[1]),
            format!("{none}.{}.", parts[1]),
            format!("{none}.{}.{}", parts[1], parts[2]),
            format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode("{}"), parts[2]),
            other,
            id.text(),
            String::new(),
        ] {
            assert_eq!(writer.read(&forged), None, "{forged}");
        }
    }
}
