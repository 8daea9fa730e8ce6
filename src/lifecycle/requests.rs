//! What a client makes of the answer to a request beside its handshake.
//!
//! In: a body, a connection's failure. Out: an OAuth error code that may be shown, the [`RequestAnswer`] that a report tells.

use serde::Deserialize;

use crate::sample::{ErrorWord, RequestAnswer};

use super::event::ConnectFailure;

/// The codes of RFC 6749 §5.2, and others that token endpoints send.
const KNOWN_CODES: [&str; 17] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "access_denied",
    "account_disabled",
    "expired_token",
    "invalid_target",
    "invalid_dpop_proof",
    "use_dpop_nonce",
    "invalid_token",
    "server_error",
    "slow_down",
    "temporarily_unavailable",
    "unauthorized",
];

/// The `error` of a token endpoint's answer (RFC 6749 §5.2); [`ErrorWord::OTHER`] for a text that is no known code, as it may hold what must
/// not be shown.
#[must_use]
pub fn oauth_code(body: &[u8]) -> Option<&'static str> {
    #[derive(Deserialize)]
    struct Body {
        error: String,
    }
    let said = serde_json::from_slice::<Body>(body).ok()?.error;
    let known = KNOWN_CODES.into_iter().find(|code| *code == said);
    (!said.is_empty()).then_some(known.unwrap_or(ErrorWord::OTHER))
}

impl ConnectFailure {
    /// What a request came to whose connection failed so.
    #[must_use]
    pub const fn answer(&self) -> RequestAnswer {
        match self {
            Self::Dns => RequestAnswer::Dns,
            Self::Refused => RequestAnswer::TcpRefused,
            Self::Reset => RequestAnswer::TcpReset,
            Self::Timeout => RequestAnswer::Timeout,
            Self::Tls(_) => RequestAnswer::Tls,
            Self::Protocol => RequestAnswer::ConnectionBroken,
            // Nobody but a proxy answers over HTTP before the request is made.
            Self::Http(_) => RequestAnswer::ProxyRefused,
            Self::LocalLimit => RequestAnswer::LocalLimit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_codes_are_shown() {
        for (body, code) in [
            (r#"{"error":"invalid_grant","error_description":"x"}"#, Some("invalid_grant")),
            (r#"{"error":"client s3cret is locked"}"#, Some("other")),
            (r#"{"error":""}"#, None),
            (r#"{"error":{"code":401}}"#, None),
            (r#"{"code":"invalid_grant"}"#, None),
            ("<html>", None),
        ] {
            assert_eq!(oauth_code(body.as_bytes()), code, "{body}");
        }
    }
}
