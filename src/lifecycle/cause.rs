//! Why a handshake was refused, as far as the evidence goes.
//!
//! In: what the answer said ([`Evidence`]) and what the client knows of the token that it sent. Out: a [`Cause`];
//! [`Cause::Unknown`] where the evidence does not suffice, never a guess. Sources: RFC 6750 §3 for
//! `WWW-Authenticate`, the error codes that services put into JSON bodies.

use std::time::Duration;

use serde::Deserialize;

use crate::sample::Cause;

/// What a refusal said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Evidence {
    /// HTTP status.
    pub status: u16,
    /// `error` of a `WWW-Authenticate: Bearer` challenge.
    pub bearer_error: Option<String>,
    /// Its `error_description`.
    pub bearer_description: Option<String>,
    /// `code` of a JSON body, or else its `error`.
    pub body_code: Option<String>,
    /// Whether the body is an HTML page.
    pub html: bool,
    /// `Retry-After`.
    pub retry_after: Option<Duration>,
}

/// What a client knows of the token that it sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKnowledge {
    /// It sent none.
    NotSent,
    /// It sent one whose life, as the token endpoint had told it, was over.
    Expired,
    /// It sent one.
    Sent,
}

impl Evidence {
    /// Reads what a refusal says. `body` may be cut off.
    #[must_use]
    pub fn read(
        status: u16,
        www_authenticate: Option<&str>,
        content_type: Option<&str>,
        body: &[u8],
        retry_after: Option<Duration>,
    ) -> Self {
        let challenge = www_authenticate.unwrap_or_default();
        let html = content_type.is_some_and(|kind| kind.starts_with("text/html"))
            || body.trim_ascii_start().starts_with(b"<");
        Self {
            status,
            bearer_error: parameter(challenge, "error"),
            bearer_description: parameter(challenge, "error_description"),
            body_code: body_code(body),
            html,
            retry_after,
        }
    }
}

/// The value of `name="…"` in a challenge (RFC 9110 §11.6.1).
fn parameter(challenge: &str, name: &str) -> Option<String> {
    let is_boundary = |c: char| c == ' ' || c == ',' || c == '\t';
    challenge.match_indices(name).find_map(|(at, _)| {
        let before = challenge[..at].chars().next_back();
        let value = challenge[at + name.len()..].trim_start().strip_prefix('=')?.trim_start();
        if !before.is_none_or(is_boundary) {
            return None;
        }
        let text = match value.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next(),
            None => value.split(is_boundary).next(),
        };
        text.map(str::to_owned)
    })
}

/// The code in a JSON body.
fn body_code(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Body {
        code: Option<serde_json::Value>,
        error: Option<serde_json::Value>,
    }
    let text = |value: serde_json::Value| value.as_str().map(str::to_owned);
    let body: Body = serde_json::from_slice(body).ok()?;
    body.code.and_then(text).or_else(|| body.error.and_then(text))
}

/// The cause of a 401 or 403.
#[must_use]
pub fn attribute(evidence: &Evidence, token: TokenKnowledge) -> Cause {
    if token == TokenKnowledge::NotSent {
        return Cause::NoToken;
    }
    if let Some(cause) = evidence.body_code.as_deref().and_then(of_body_code) {
        return cause;
    }
    match evidence.bearer_error.as_deref() {
        Some("insufficient_scope") => return Cause::MissingScope,
        Some("invalid_token") => return of_invalid_token(evidence, token),
        _ => {}
    }
    if evidence.html {
        return Cause::Edge;
    }
    if token == TokenKnowledge::Expired {
        return Cause::ExpiredToken;
    }
    match evidence.body_code.as_deref() {
        Some(code) if !code.is_empty() => Cause::ForbiddenOther,
        _ => Cause::Unknown,
    }
}

/// Codes that services are known to use.
fn of_body_code(code: &str) -> Option<Cause> {
    Some(match code {
        "token.stale" | "token.revoked" => Cause::StaleToken,
        "token.expired" | "credentials.expired" | "expired_token" => Cause::ExpiredToken,
        "token.unknown" | "bad.credentials" => Cause::UnknownToken,
        "token.missing" | "authentication.required" => Cause::NoToken,
        "missing.scope" | "missing.permissions" | "missing.any.permissions" | "insufficient_scope" => {
            Cause::MissingScope
        }
        "too.many.requests" => Cause::RateLimited,
        "displaced" => Cause::Displaced,
        _ => return None,
    })
}

/// `invalid_token` covers expired, revoked and malformed tokens alike: the description or the client's own clock
/// must tell which.
fn of_invalid_token(evidence: &Evidence, token: TokenKnowledge) -> Cause {
    let description = evidence.bearer_description.as_deref().unwrap_or_default().to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| description.contains(word));
    if says(&["expired"]) || token == TokenKnowledge::Expired {
        Cause::ExpiredToken
    } else if says(&["revoked", "stale", "invalidated"]) {
        Cause::StaleToken
    } else {
        Cause::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_follow_the_evidence() {
        let json = |code: &str| format!("{{\"status\":403,\"code\":\"{code}\"}}");
        // (WWW-Authenticate, content type, body, token, cause)
        type Row = (Option<&'static str>, Option<&'static str>, String, TokenKnowledge, Cause);
        let rows: &[Row] = &[
            (None, None, String::new(), TokenKnowledge::Sent, Cause::Unknown),
            (None, None, String::new(), TokenKnowledge::NotSent, Cause::NoToken),
            (None, None, String::new(), TokenKnowledge::Expired, Cause::ExpiredToken),
            (None, None, json("token.stale"), TokenKnowledge::Sent, Cause::StaleToken),
            (None, None, json("credentials.expired"), TokenKnowledge::Sent, Cause::ExpiredToken),
            (None, None, json("missing.permissions"), TokenKnowledge::Expired, Cause::MissingScope),
            (None, None, json("bad.credentials"), TokenKnowledge::Sent, Cause::UnknownToken),
            (None, None, json("not.your.day"), TokenKnowledge::Sent, Cause::ForbiddenOther),
            (
                None,
                None,
                "{\"error\":\"insufficient_scope\"}".into(),
                TokenKnowledge::Sent,
                Cause::MissingScope,
            ),
            (
                Some("Bearer error=\"insufficient_scope\""),
                None,
                String::new(),
                TokenKnowledge::Sent,
                Cause::MissingScope,
            ),
            (
                Some("Bearer realm=\"x\", error=invalid_token"),
                None,
                String::new(),
                TokenKnowledge::Sent,
                Cause::Unknown,
            ),
            (
                Some("Bearer error=\"invalid_token\", error_description=\"The token expired\""),
                None,
                String::new(),
                TokenKnowledge::Sent,
                Cause::ExpiredToken,
            ),
            (
                Some("Bearer error=\"invalid_token\", error_description=\"Token was revoked\""),
                None,
                String::new(),
                TokenKnowledge::Sent,
                Cause::StaleToken,
            ),
            (
                None,
                Some("text/html; charset=utf-8"),
                "<h1>403</h1>".into(),
                TokenKnowledge::Sent,
                Cause::Edge,
            ),
            (None, None, "  <!doctype html>".into(), TokenKnowledge::Sent, Cause::Edge),
            (None, None, "{not json".into(), TokenKnowledge::Sent, Cause::Unknown),
        ];
        for (challenge, kind, body, token, cause) in rows {
            let evidence = Evidence::read(403, *challenge, *kind, body.as_bytes(), None);
            assert_eq!(attribute(&evidence, *token), *cause, "{challenge:?} {body:?} {token:?}");
        }
    }

    #[test]
    fn error_is_not_mistaken_for_error_description() {
        let evidence = Evidence::read(401, Some("Bearer error_description=\"error=x\""), None, b"", None);
        assert_eq!(evidence.bearer_error, None);
        assert_eq!(evidence.bearer_description.as_deref(), Some("error=x"));
    }
}
