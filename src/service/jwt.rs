//! Tokens as they go over the wire: opaque, or as JWTs.
//!
//! In: the id of a token and what is to be told of it. Out: text; and the id again from a text. A JWT (RFC 7519) is signed with HS256
//! (RFC 7518 §3.2) by a key that each run draws anew; its claims are those of RFC 9068 §2.2. What a token may do is looked up by its
//! `jti`, never read from the claims.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde::{Deserialize, Serialize};

use crate::clock::Moment;
use crate::random::{Draws, Purpose};
use crate::scenario::keys::TokenFormat;

use super::registry::TokenId;

/// `{"alg":"HS256","typ":"at+jwt"}`.
const HEADER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6ImF0K2p3dCJ9";
const ISSUER: &str = "resurge";

/// How tokens are written.
pub(super) struct TokenWriter {
    key: Option<hmac::Key>,
    /// Calendar time of the moment zero, in seconds since 1970.
    origin_s: u64,
}

impl std::fmt::Debug for TokenWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenWriter").field("is_jwt", &self.key.is_some()).finish_non_exhaustive()
    }
}

/// What is told of a token.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told<'a> {
    pub(super) client_id: &'a str,
    pub(super) scope: &'a str,
    pub(super) issued: Moment,
    pub(super) expires: Moment,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'static str,
    sub: &'a str,
    client_id: &'a str,
    aud: &'static str,
    iat: u64,
    exp: u64,
    jti: &'a str,
    scope: &'a str,
}

#[derive(Deserialize)]
struct Id {
    jti: String,
}

impl TokenWriter {
    pub(super) fn new(format: TokenFormat, seed: u64) -> Self {
        let key = (format == TokenFormat::Jwt).then(|| {
            let mut draws = Draws::new(seed, Purpose::TargetToken, 1);
            let bytes: Vec<u8> = (0..4).flat_map(|_| draws.next_u64().to_be_bytes()).collect();
            hmac::Key::new(hmac::HMAC_SHA256, &bytes)
        });
        Self { key, origin_s: 0 }
    }

    pub(super) const fn set_origin(&mut self, unix_us: u64) {
        self.origin_s = unix_us / 1_000_000;
    }

    /// Calendar time of the moment zero, in seconds since 1970.
    pub(super) const fn origin_s(&self) -> u64 {
        self.origin_s
    }

    /// The text of a token.
    pub(super) fn write(&self, id: TokenId, told: Told<'_>) -> String {
        let jti = id.text();
        let Some(key) = &self.key else { return jti };
        let seconds = |at: Moment| self.origin_s + at.as_us() / 1_000_000;
        let claims = Claims {
            iss: ISSUER,
            sub: told.client_id,
            client_id: told.client_id,
            aud: ISSUER,
            iat: seconds(told.issued),
            exp: seconds(told.expires),
            jti: &jti,
            scope: told.scope,
        };
        // Plain strings and numbers are always writable.
        let payload = serde_json::to_vec(&claims).unwrap_or_default();
        let signed = format!("{HEADER}.{}", URL_SAFE_NO_PAD.encode(payload));
        let signature = hmac::sign(key, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    /// The id in a text; `None` where it is no token of ours: its form or its signature is wrong.
    pub(super) fn read(&self, text: &str) -> Option<String> {
        let Some(key) = &self.key else { return Some(text.to_owned()) };
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        if header != HEADER || hmac::verify(key, signed.as_bytes(), &signature).is_err() {
            return None;
        }
        let id: Id = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
        Some(id.jti)
    }
}

#[cfg(test)]
mod tests {
    use super::super::registry::TokenRegistry;
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_jwt_reads_back_and_none_that_was_touched_does() {
        let mut writer = TokenWriter::new(TokenFormat::Jwt, 7);
        writer.set_origin(1_700_000_000_000_000);
        let issued = Moment::ZERO + Duration::from_secs(5);
        let id = TokenRegistry::new(7, 9).issue(Moment::ZERO, Moment::NEVER, true, None);
        let told = Told { client_id: "c", scope: "a b", issued, expires: issued + Duration::from_secs(60) };
        let text = writer.write(id, told);
        assert_eq!(writer.read(&text), Some(id.text()));
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
        let other = TokenWriter::new(TokenFormat::Jwt, 8).write(id, told);
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
