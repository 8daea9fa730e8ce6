//! JWTs that others signed: tokens that clients mint, assertions (RFC 7523), subject tokens (RFC 8693).
//!
//! In: a JWT, the key and what it is to say, the time. Out: who it is of, what it may, when it ends; or why it is not taken. No I/O, no clock.

use serde_json::{Map, Value};

use crate::jose::JwtFault;
use crate::scenario::keys::Trusted;

/// What a JWT says that is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    /// `client_id`, else `sub`.
    pub(super) client: String,
    /// Its scopes.
    pub(super) scopes: Vec<String>,
    /// When it ends, in seconds since 1970.
    pub(super) expires_s: u64,
    /// It is not taken before that: its `nbf`, and its `iat`, for nobody issues a token in the future.
    pub(super) begins_s: u64,
}

/// So far may a signer's clock be ahead (RFC 7519 §4.1.5: "some small leeway").
pub(super) const LEEWAY_S: u64 = 5;

impl Said {
    /// Whether its time has come and is not over.
    pub(super) const fn holds_at(&self, unix_s: u64) -> bool {
        self.begins_s <= unix_s.saturating_add(LEEWAY_S) && unix_s < self.expires_s
    }
}

/// Why a JWT is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    /// It is none.
    NoJwt,
    /// It names a key that is not known.
    Key,
    /// Its signature is not that of its key.
    Signature,
    /// It is for others.
    Audience,
    /// Another one issued it.
    Issuer,
    /// It has no end.
    Endless,
}

impl Wrong {
    /// What a refusal says of it: a code and a sentence.
    pub(super) const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::NoJwt => ("token.unknown", "the access token is unknown"),
            Self::Key => ("token.key", "the access token names a key that is not known here"),
            Self::Signature => {
                ("token.signature", "the signature of the access token is not that of its key")
            }
            Self::Audience => ("token.audience", "the access token is for another audience"),
            Self::Issuer => ("token.issuer", "the access token is of another issuer"),
            Self::Endless => ("token.endless", "the access token has no exp"),
        }
    }
}

/// Reads a JWT: its signature, its audience, its issuer. Whether its time is over is for the caller to say.
pub(super) fn read(text: &str, trusted: &Trusted) -> Result<Said, Wrong> {
    let claims = trusted.keys.claims(text).map_err(|fault| match fault {
        JwtFault::Malformed => Wrong::NoJwt,
        JwtFault::UnknownKey => Wrong::Key,
        JwtFault::Signature => Wrong::Signature,
    })?;
    let fits = |wanted: &Option<String>, name: &str| {
        wanted.as_ref().is_none_or(|wanted| texts(&claims, name).iter().any(|text| text == wanted))
    };
    if !fits(&trusted.audience, "aud") {
        return Err(Wrong::Audience);
    }
    if !fits(&trusted.issuer, "iss") {
        return Err(Wrong::Issuer);
    }
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let seconds = |name: &str| claims.get(name).and_then(Value::as_f64).map(|seconds| seconds as u64);
    let scopes = ["scope", "scp"].into_iter().flat_map(|name| texts(&claims, name));
    Ok(Said {
        client: text("client_id").or(text("sub")).unwrap_or_default().to_owned(),
        scopes: scopes.flat_map(|text| text.split(' ').map(str::to_owned).collect::<Vec<_>>()).collect(),
        expires_s: seconds("exp").ok_or(Wrong::Endless)?,
        begins_s: seconds("nbf").max(seconds("iat")).unwrap_or_default(),
    })
}

/// A claim that is a text, or a list of texts.
fn texts(claims: &Map<String, Value>, name: &str) -> Vec<String> {
    match claims.get(name) {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::jose::{Algorithm, SigningKey, VerifyingKey, signing_input, with_signature};

    #[test]
    fn a_jwt_is_taken_by_its_key_its_audience_and_its_issuer() {
        let key = SigningKey::read(Algorithm::Hs256, "k").unwrap();
        let sign = |claims: &str| {
            let header = serde_json::from_str("{\"alg\":\"HS256\"}").unwrap();
            let input = signing_input(&header, &serde_json::from_str(claims).unwrap());
            with_signature(&input, &key.sign(input.as_bytes()).unwrap())
        };
        let trusted = |audience: Option<&str>, issuer: Option<&str>| Trusted {
            keys: Arc::new(VerifyingKey::read(Algorithm::Hs256, "k").unwrap().into()),
            audience: audience.map(str::to_owned),
            issuer: issuer.map(str::to_owned),
        };
        let token = sign(r#"{"sub":"c","aud":["x","y"],"iss":"i","exp":5,"scope":"a b"}"#);
        let said =
            Said { client: "c".into(), scopes: vec!["a".into(), "b".into()], expires_s: 5, begins_s: 0 };
        assert_eq!(read(&token, &trusted(None, None)), Ok(said.clone()));
        assert_eq!(read(&token, &trusted(Some("y"), Some("i"))), Ok(said));
        assert_eq!(read(&token, &trusted(Some("z"), None)), Err(Wrong::Audience));
        assert_eq!(read(&token, &trusted(None, Some("j"))), Err(Wrong::Issuer));
        assert_eq!(read(&sign("{\"sub\":\"c\"}"), &trusted(None, None)), Err(Wrong::Endless));
        let early = read(&sign(r#"{"exp":200,"iat":90,"nbf":100}"#), &trusted(None, None)).unwrap();
        let at = [94, 95, 199, 200].map(|now| early.holds_at(now));
        assert_eq!(at, [false, true, true, false], "from 100 on, with a leeway of 5 s, until 200");
        assert_eq!(read(&token[..token.len() - 2], &trusted(None, None)), Err(Wrong::NoJwt));
    }
}
