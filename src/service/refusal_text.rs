//! What a refusal says, in the words that go over the wire.
//!
//! In: the rules, a refusal. Out: texts. No I/O: whoever drives the rules reads or sends them.

use crate::declare::template::Template;
use crate::sample::Cause;
use crate::scenario::keys::TargetRules;

use super::binding::is_of_proof;
use super::refusal::HandshakeRefusal;

/// The code that the rules give to the cause of a refusal.
pub(super) fn own_code(rules: &TargetRules, refusal: HandshakeRefusal) -> Option<&str> {
    rules.refusal_codes.iter().find(|(cause, _)| *cause == refusal.cause).map(|(_, code)| code.as_str())
}

/// The text of a refusal by a template; `request` gives the request a name where the template wants one.
#[must_use]
pub fn refusal_text(
    rules: &TargetRules,
    template: &Template,
    refusal: HandshakeRefusal,
    request: impl Fn() -> String,
) -> String {
    let HandshakeRefusal { status, cause, words: (usual, message), .. } = refusal;
    template.render(|name| match name {
        "status" => Some(status.to_string()),
        "code" => Some(own_code(rules, refusal).unwrap_or(usual).to_owned()),
        "message" => Some(message.to_owned()),
        "cause" => Some(cause.name().to_owned()),
        "request" => Some(request()),
        _ => None,
    })
}

/// The challenge of RFC 6750 §3, where the token is the matter, or of RFC 9449 §7.1, where its proof is. A request without one gets no error code (§3.1).
pub(super) fn challenge(cause: Cause, code: &str, description: &str) -> Option<String> {
    if is_of_proof(code) {
        let algorithms = "ES256 ES384 RS256 PS256 EdDSA";
        return Some(format!(
            "DPoP realm=\"resurge\", error=\"{code}\", error_description=\"{description}\", algs=\"{algorithms}\""
        ));
    }
    let error = match cause {
        Cause::NoToken => return Some("Bearer realm=\"resurge\"".to_owned()),
        Cause::MissingScope => "insufficient_scope",
        Cause::StaleToken | Cause::ExpiredToken | Cause::UnknownToken => "invalid_token",
        Cause::ForbiddenOther if code.starts_with("token.") => "invalid_token",
        _ => return None,
    };
    Some(format!("Bearer realm=\"resurge\", error=\"{error}\", error_description=\"{description}\""))
}

/// What a refusal by the rules says over HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RefusalSays {
    /// `WWW-Authenticate`.
    pub challenge: Option<String>,
    /// `Content-Type`; `None` where there is no body.
    pub content_type: Option<&'static str>,
    /// The body.
    pub body: String,
}

/// A page as a proxy in front of a service shows it.
pub(super) const EDGE_PAGE: &str = "<html>\r\n<head><title>Request refused</title></head>\r\n<body>\r\n\
     <center><h1>Request refused</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n";
/// A page of a service's own.
pub(super) const OWN_PAGE: &str = "<!DOCTYPE html>\n<html><head><title>Request refused</title></head>\n\
     <body><h1>Request refused</h1></body></html>\n";

/// What a refusal says over HTTP, for a driver that sends nothing over a wire. `is_edge`: it is not the service's own, but of something in front
/// of it.
#[must_use]
pub fn refusal_says(rules: &TargetRules, refusal: HandshakeRefusal, is_edge: bool) -> RefusalSays {
    use crate::scenario::keys::RefusalDetail::{Bare, Full, Html};
    let detail = if is_edge { Html } else { rules.refusal_detail };
    let HandshakeRefusal { status, cause, words: (usual, message), .. } = refusal;
    match detail {
        Bare => RefusalSays::default(),
        Html => {
            let page = if cause == Cause::Edge { EDGE_PAGE } else { OWN_PAGE };
            RefusalSays {
                challenge: None,
                content_type: Some("text/html; charset=utf-8"),
                body: page.to_owned(),
            }
        }
        Full => {
            let code = own_code(rules, refusal).unwrap_or(usual);
            let body = match &rules.refusal_body {
                Some(template) => refusal_text(rules, template, refusal, || "0".repeat(32)),
                None => serde_json::json!({ "status": status, "code": code, "message": message }).to_string(),
            };
            RefusalSays {
                // One that asks for a token, which nobody here asks for, is not made.
                challenge: challenge(cause, usual, message).filter(|_| rules.signatures.is_none()),
                content_type: Some("application/json"),
                body,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_as_the_rfc_has_them() {
        insta::assert_snapshot!(challenge(Cause::NoToken, "token", "").unwrap(), @r#"Bearer realm="resurge""#);
        insta::assert_snapshot!(challenge(Cause::StaleToken, "token", "the access token was invalidated").unwrap(), @r#"Bearer realm="resurge", error="invalid_token", error_description="the access token was invalidated""#);
        insta::assert_snapshot!(challenge(Cause::MissingScope, "token", "the access token lacks a required scope").unwrap(), @r#"Bearer realm="resurge", error="insufficient_scope", error_description="the access token lacks a required scope""#);
    }
}
