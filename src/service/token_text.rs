//! What the token endpoint grants, in the words that go over the wire.
//!
//! In: the rules, a token, the time. Out: the body of the answer (RFC 6749 §5.1), or the rules' own. No I/O, no clock.

use std::time::Duration;

use serde::Serialize;

use crate::scenario::keys::TargetRules;

/// A successful answer (RFC 6749 §5.1).
#[derive(Serialize)]
struct Success<'a> {
    access_token: &'a str,
    token_type: &'a str,
    expires_in: serde_json::Number,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
}

/// What is granted.
#[derive(Clone, Copy)]
pub struct Granted<'a> {
    /// The token.
    pub access_token: &'a str,
    /// `Bearer` or `DPoP`.
    pub token_type: &'static str,
    /// Its life, as it is told.
    pub expires_in: Duration,
    /// The scopes, where they are told.
    pub scope: Option<&'a str>,
    /// The refresh token that goes with it.
    pub refresh_token: Option<&'a str>,
}

/// The body of an answer that grants a token, at a time in seconds since 1970.
#[must_use]
pub fn granted_text(rules: &TargetRules, granted: Granted<'_>, unix_s: u64) -> String {
    let Granted { access_token, token_type, expires_in, scope, refresh_token } = granted;
    let expires_in = seconds(expires_in);
    if let Some(template) = &rules.token_body {
        return template.render(|name| match name {
            "token" => Some(access_token.to_owned()),
            "expires_in" => Some(expires_in.to_string()),
            "expires_at" => {
                let life = expires_in.as_f64().unwrap_or_default();
                Some((unix_s + life as u64).to_string())
            }
            "scope" => scope.map(str::to_owned),
            "refresh_token" => refresh_token.map(str::to_owned),
            _ => None,
        });
    }
    // Texts and numbers are always writable.
    serde_json::to_string(&Success { access_token, token_type, expires_in, scope, refresh_token })
        .unwrap_or_default()
}

/// Whole seconds as RFC 6749 has them; a fraction only where the rules ask for a life that has one.
fn seconds(life: Duration) -> serde_json::Number {
    let fraction = (life.subsec_nanos() > 0).then(|| serde_json::Number::from_f64(life.as_secs_f64()));
    fraction.flatten().unwrap_or_else(|| life.as_secs().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_told_in_whole_seconds_where_it_has_them() {
        let text = |ms| seconds(Duration::from_millis(ms)).to_string();
        assert_eq!([text(86_400_000), text(1_500), text(300)], ["86400", "1.5", "0.3"]);
    }
}
