//! Why the service refused, as far as the evidence goes.
//!
//! In: what was answered ([`Evidence`]) and what the client knows of the token that it sent. Out: a [`Cause`] and on what ground it is
//! claimed; [`Cause::Unknown`] where the evidence does not suffice, never a guess. Who answered is another question than why: a gateway that
//! asks a service answers with its own page. Sources: RFC 6750 §3 for `WWW-Authenticate`, RFC 9110 §15 for statuses, IANA's registry of close
//! codes, the error codes that services put into JSON bodies.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use crate::sample::{ABNORMAL_CLOSURE, Abnormal, Answer, AnsweredBy, Cause, Ground, Spoken};
use crate::scenario::keys::RefusalName;

use super::edge_page::is_edge_page;

/// The most of an answer's own words that is kept.
const MOST_WORDS: usize = 64;

/// What a refusal said. What it said in its own words may be anything, so it is not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Where it was said.
    pub spoken: Spoken,
    /// HTTP status, or close code; 0: neither.
    pub status: u16,
    /// `error` of a `WWW-Authenticate: Bearer` challenge.
    pub bearer_error: Option<String>,
    /// Its `error_description`.
    pub bearer_description: Option<String>,
    /// `code` of a JSON body, or else its `error`; the reason of a close frame; what a message says at its pointer.
    pub body_code: Option<String>,
    /// Whether the body is an HTML page.
    pub html: bool,
    /// Whether that page is one that a proxy or gateway ships with, and so not the service's.
    pub edge_page: bool,
    /// Whether the answer says that it is for the `Origin`.
    pub names_origin: bool,
    /// `Retry-After`.
    pub retry_after: Option<Duration>,
    /// How far the service's clock is ahead of ours, in seconds, where the request was signed and the answer says what time it is.
    pub clock_ahead_s: Option<i64>,
}

/// What a client knows of the token that it sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKnowledge {
    /// It sent none.
    NotSent,
    /// It sent one whose life, as the token endpoint had told it, was over.
    Expired,
    /// It sent one that was granted fewer scopes than were asked for.
    LacksScope,
    /// It sent one.
    Sent,
}

impl fmt::Debug for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            spoken,
            status,
            bearer_error,
            bearer_description,
            body_code,
            html,
            edge_page,
            names_origin,
            retry_after,
            clock_ahead_s,
        } = self;
        f.debug_struct("Evidence")
            .field("spoken", spoken)
            .field("status", status)
            .field("has_bearer_error", &bearer_error.is_some())
            .field("has_bearer_description", &bearer_description.is_some())
            .field("has_body_code", &body_code.is_some())
            .field("html", html)
            .field("edge_page", edge_page)
            .field("names_origin", names_origin)
            .field("retry_after", retry_after)
            .field("clock_ahead_s", clock_ahead_s)
            .finish()
    }
}

impl Default for Evidence {
    fn default() -> Self {
        Self::spoken(Spoken::Http, 0, None)
    }
}

/// What is made of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributed {
    /// Why.
    pub cause: Cause,
    /// On what ground.
    pub ground: Ground,
}

impl Evidence {
    /// What was said by a code or in words alone.
    fn spoken(spoken: Spoken, status: u16, words: Option<String>) -> Self {
        Self {
            spoken,
            status,
            bearer_error: None,
            bearer_description: None,
            body_code: words,
            html: false,
            edge_page: false,
            names_origin: false,
            retry_after: None,
            clock_ahead_s: None,
        }
    }

    /// What a close frame says; its reason may be empty.
    #[must_use]
    pub fn of_close(code: u16, reason: Option<&str>) -> Self {
        Self::spoken(Spoken::Close, code, reason.filter(|reason| !reason.is_empty()).map(str::to_owned))
    }

    /// What a message says that refuses the client.
    #[must_use]
    pub fn of_message(words: Option<String>) -> Self {
        Self::spoken(Spoken::Message, 0, words)
    }

    /// Nothing was said.
    #[must_use]
    pub fn silence() -> Self {
        Self::spoken(Spoken::Silence, 0, None)
    }

    /// Who answered.
    #[must_use]
    pub fn by(&self) -> AnsweredBy {
        if self.edge_page {
            return AnsweredBy::Edge;
        }
        let names_itself = self.body_code.is_some() || self.bearer_error.is_some();
        let how = self.body_code.as_deref().and_then(Abnormal::from_name);
        let breaks_off = self.status == ABNORMAL_CLOSURE && !how.is_some_and(Abnormal::is_violation);
        match self.spoken {
            // Nobody spoke, unless the service broke the protocol.
            Spoken::Close if breaks_off => AnsweredBy::Unknown,
            // Whoever speaks on the session is what the session is with.
            Spoken::Close | Spoken::Message => AnsweredBy::Service,
            Spoken::Http if names_itself => AnsweredBy::Service,
            _ => AnsweredBy::Unknown,
        }
    }

    /// What it says, where that is a sentence that a service is known to say.
    #[must_use]
    pub fn known_words(&self) -> Option<String> {
        let said = self.body_code.as_deref()?;
        AWS_WORDS.iter().find(|(words, _)| *words == said).map(|(words, _)| (*words).to_owned())
    }

    /// Whether it is one of these refusals.
    #[must_use]
    pub fn is_named_in(&self, names: &[RefusalName]) -> bool {
        names.iter().any(|name| name.fits(self.status, self.body_code.as_deref()))
    }

    /// What is kept of the answer: the code, and its words where they are few and plain.
    #[must_use]
    pub fn answer(&self, ground: Ground) -> Box<Answer> {
        let said = self.body_code.as_deref().or(self.bearer_error.as_deref());
        let words = said.filter(|words| can_be_kept(words)).map(Box::from);
        Box::new(Answer { spoken: self.spoken, code: self.status, words, by: self.by(), ground })
    }

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
            spoken: Spoken::Http,
            status,
            bearer_error: parameter(challenge, "error"),
            bearer_description: parameter(challenge, "error_description"),
            body_code: body_code(body),
            html,
            edge_page: html && is_edge_page(body),
            names_origin: names_origin(body),
            retry_after,
            clock_ahead_s: None,
        }
    }
}

/// Whether words are a code or a short sentence, and nothing that could be a token, a name or a number of somebody's.
fn can_be_kept(words: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || " _.:,'-".contains(c);
    let is_name = |word: &str| {
        let digits = word.bytes().filter(u8::is_ascii_digit).count();
        word.len() > 24 || (digits > 0 && word.len() > 6)
    };
    !words.is_empty()
        && words.len() <= MOST_WORDS
        && words.chars().all(is_plain)
        && !words.split([' ', '_', '.', ':', ',', '-']).any(is_name)
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

/// Codes that name no reason: they say the same of a token that is stale, of another world, or without the right.
const SAYS_NOTHING: [&str; 6] =
    ["bad.credentials", "unauthorized", "Unauthorized", "forbidden", "Forbidden", "access_denied"];

/// The code in a JSON body.
fn body_code(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Body {
        code: Option<serde_json::Value>,
        error: Option<serde_json::Value>,
        #[serde(alias = "Message")]
        message: Option<serde_json::Value>,
    }
    let text = |value: serde_json::Value| value.as_str().map(str::to_owned);
    let body: Body = serde_json::from_slice(body).ok()?;
    let own = body.code.and_then(text).or_else(|| body.error.and_then(text));
    own.or_else(|| of_aws(&body.message.and_then(text)?).map(str::to_owned))
}

/// What AWS's services say of a signature, in as many of their words as are always the same. API Gateway's authorizers and IoT Core say no more than
/// `Forbidden`, which names nothing.
const AWS_WORDS: [(&str, Cause); 8] = [
    ("Signature expired", Cause::ExpiredToken),
    ("The security token included in the request is expired", Cause::ExpiredToken),
    ("Signature not yet current", Cause::ForbiddenOther),
    ("The request signature we calculated does not match", Cause::UnknownToken),
    ("The security token included in the request is invalid", Cause::UnknownToken),
    ("Credential should be scoped to", Cause::UnknownToken),
    ("Missing Authentication Token", Cause::NoToken),
    ("is not authorized to perform", Cause::MissingScope),
];

fn of_aws(message: &str) -> Option<&'static str> {
    AWS_WORDS.iter().map(|(words, _)| *words).find(|words| message.contains(words))
}

/// Why the service refused, of a refusal that is attributed ([`is_attributed`]).
#[must_use]
pub fn attribute(evidence: &Evidence, token: TokenKnowledge) -> Attributed {
    let said = |cause| Attributed { cause, ground: Ground::Said };
    let known = |cause| Attributed { cause, ground: Ground::Known };
    let words = evidence.body_code.as_deref();
    if let Some(cause) = words.and_then(of_body_code) {
        return said(cause);
    }
    match evidence.bearer_error.as_deref() {
        Some("insufficient_scope") => return said(Cause::MissingScope),
        Some("invalid_token") if token != TokenKnowledge::NotSent => {
            if let Some(cause) = of_description(evidence.bearer_description.as_deref().unwrap_or_default()) {
                return said(cause);
            }
        }
        _ => {}
    }
    if let Some(cause) = of_code(evidence) {
        return said(cause);
    }
    if evidence.names_origin {
        return said(Cause::Origin);
    }
    if evidence.spoken != Spoken::Http
        && let Some(cause) = words.and_then(of_words)
    {
        return said(cause);
    }
    match token {
        TokenKnowledge::NotSent => return known(Cause::NoToken),
        TokenKnowledge::Expired => return known(Cause::ExpiredToken),
        TokenKnowledge::LacksScope | TokenKnowledge::Sent => {}
    }
    match words {
        Some(code)
            if evidence.spoken == Spoken::Http && !code.is_empty() && !SAYS_NOTHING.contains(&code) =>
        {
            said(Cause::ForbiddenOther)
        }
        // RFC 6750 §3.1: a token that lacks a scope is answered with 403.
        _ if token == TokenKnowledge::LacksScope
            && (evidence.spoken, evidence.status) == (Spoken::Http, 403) =>
        {
            known(Cause::MissingScope)
        }
        _ => Attributed { cause: Cause::Unknown, ground: Ground::Unknown },
    }
}

/// Whether a refusal is attributed: those by which a service says that this client may not come in, or not now.
#[must_use]
pub const fn is_attributed(evidence: &Evidence) -> bool {
    match evidence.spoken {
        Spoken::Http => matches!(evidence.status, 401 | 403 | 429 | 503),
        Spoken::Close | Spoken::Message => true,
        Spoken::Silence | Spoken::Tls => false,
    }
}

/// Statuses and close codes that name a reason.
const fn of_code(evidence: &Evidence) -> Option<Cause> {
    match (evidence.spoken, evidence.status) {
        (Spoken::Http, 429) | (Spoken::Close, 4429) => Some(Cause::RateLimited),
        // RFC 9110 §15.6.4; "Try Again Later" in IANA's registry.
        (Spoken::Http, 503) | (Spoken::Close, 1013) => Some(Cause::Overloaded),
        _ => None,
    }
}

/// What a close frame's reason or a message says in words.
fn of_words(words: &str) -> Option<Cause> {
    let words = words.to_ascii_lowercase();
    let says = |parts: &[&str]| parts.iter().any(|part| words.contains(part));
    if says(&["token", "jwt", "credential"])
        && let Some(cause) = of_description(&words)
    {
        return Some(cause);
    }
    if says(&["insufficient scope", "missing scope", "missing permission"]) {
        return Some(Cause::MissingScope);
    }
    if names_origin(words.as_bytes()) {
        return Some(Cause::Origin);
    }
    says(&["too many requests", "rate limit"]).then_some(Cause::RateLimited)
}

/// What servers say where they do not take an `Origin`, in lower case: Python's websockets, Tornado and Jupyter, Spring, Gorilla, and whoever says it as
/// plainly.
const ORIGIN_WORDS: [&str; 6] = [
    "invalid origin",
    "cross origin websockets not allowed",
    "invalid cors request",
    "origin not allowed",
    "origin is not allowed",
    "origin forbidden",
];

/// Whether a refusal says that it is for the `Origin`.
fn names_origin(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text).to_ascii_lowercase();
    ORIGIN_WORDS.iter().any(|words| text.contains(words))
}

/// Codes that services are known to use.
fn of_body_code(code: &str) -> Option<Cause> {
    Some(match code {
        "token.stale" | "token.revoked" | "token_revoked" => Cause::StaleToken,
        "token.expired" | "token_expired" | "credentials.expired" | "expired_token" => Cause::ExpiredToken,
        "signature.expired" => Cause::ExpiredToken,
        "token.unknown"
        | "token.key"
        | "token.signature"
        | "token.audience"
        | "token.issuer"
        | "token.endless"
        | "signature.mismatch"
        | "signature.incomplete"
        | "signature.key"
        | "signature.scope" => Cause::UnknownToken,
        "token.missing" | "authentication.required" | "signature.missing" => Cause::NoToken,
        "missing.scope" | "missing.permissions" | "missing.any.permissions" | "insufficient_scope" => {
            Cause::MissingScope
        }
        "too.many.requests" => Cause::RateLimited,
        "displaced" => Cause::Displaced,
        // Reasons of MQTT. Whether a user name, a password or a right is missing, they do not say: `bad_user_name_or_password` and `not_authorized` name nothing.
        "quota_exceeded" | "connection_rate_exceeded" => Cause::RateLimited,
        "server_unavailable" | "server_busy" => Cause::Overloaded,
        "session_taken_over" => Cause::Displaced,
        "origin.forbidden" | "origin_not_allowed" | "invalid_origin" => Cause::Origin,
        _ => return AWS_WORDS.iter().find(|(words, _)| *words == code).map(|(_, cause)| *cause),
    })
}

/// What a description says of a token that is no good: expired and revoked ones go by the same code (RFC 6750 §3.1).
fn of_description(description: &str) -> Option<Cause> {
    let description = description.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| description.contains(word));
    if says(&["expired"]) {
        Some(Cause::ExpiredToken)
    } else {
        says(&["revoked", "stale", "invalidated"]).then_some(Cause::StaleToken)
    }
}

#[cfg(test)]
#[path = "cause_tests.rs"]
mod tests;
