//! What to change where no token comes.
//!
//! In: what a token endpoint said. Out: a piece of a sentence. A run's summary and `diagnose` share it.

use crate::sample::RequestAnswer;

/// What to change where a token endpoint refuses with that status and that code, or answers in a way that cannot be used. `None`: nothing in particular.
#[must_use]
pub fn token_hint(status: Option<u16>, code: Option<&str>, answer: RequestAnswer) -> Option<&'static str> {
    let by_answer = match answer {
        RequestAnswer::NoAccessToken => {
            Some("say where the answer has the token (token.token_pointer), or correct target.token_url")
        }
        RequestAnswer::UnreadableField => {
            Some("say where the answer has the token's life (token.expires_pointer)")
        }
        RequestAnswer::NotBound => Some(
            "register the client for bound tokens (its token_type is to be DPoP), or take token.dpop away",
        ),
        RequestAnswer::Tls => Some(
            "look at the certificates: the endpoint's, which target.ca_file can vouch for, and the one that clients show (token.certificate)",
        ),
        _ => None,
    };
    by_answer.or_else(|| by_code(code?)).or(match status? {
        405 => Some("correct target.token_url: something else than a token endpoint is there"),
        415 => Some("write the request as the endpoint reads it (token.body = \"json\" or \"form\")"),
        _ => None,
    })
}

fn by_code(code: &str) -> Option<&'static str> {
    Some(match code {
        "invalid_client" => {
            "correct token.client_id and token.client_secret, or token.auth (\"basic\" or \"body\")"
        }
        "invalid_scope" => {
            "ask for scopes that the client is registered with (token.scopes), or register it with them"
        }
        "invalid_target" => "name an audience or a resource that the endpoint knows (token.params)",
        "invalid_grant" => "correct what the grant shows: user and password, assertion, or subject token",
        "unauthorized_client" | "unsupported_grant_type" => "register the client for the grant (token.grant)",
        "invalid_dpop_proof" => {
            "let clients prove that they hold a key, by a clock that is right (token.dpop = true; dpop.clock_skew is how far it is off)"
        }
        "use_dpop_nonce" => {
            "let clients prove that they hold a key (token.dpop = true): the nonce that is asked for goes into the proof"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_endpoint_says_leads_to_a_key() {
        use RequestAnswer::{NoAccessToken, NotJson, Refused, UnreadableField};
        // (status, code, answer, the key)
        let rows = [
            (400, Some("invalid_target"), Refused, Some("token.params")),
            (400, Some("invalid_dpop_proof"), Refused, Some("token.dpop")),
            (415, None, Refused, Some("token.body")),
            (415, Some("other"), Refused, Some("token.body")),
            (200, Some("nothing"), NoAccessToken, Some("token.token_pointer")),
            (200, Some("a_list"), UnreadableField, Some("token.expires_pointer")),
            (401, Some("invalid_client"), Refused, Some("token.client_id")),
            (200, None, NotJson, None),
            (403, None, Refused, None),
        ];
        for (status, code, answer, key) in rows {
            let hint = token_hint(Some(status), code, answer);
            assert_eq!(hint.is_some(), key.is_some(), "{status} {code:?}");
            assert!(hint.unwrap_or_default().contains(key.unwrap_or_default()), "{hint:?}");
        }
    }
}
