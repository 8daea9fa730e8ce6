//! What is known of a token, and what an endpoint's answers say.
//!
//! In: the answers of token endpoints. Out: a grant, or a refusal, whose text is not kept.

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::de::{Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer};

use crate::clock::Moment;
use crate::drive::network::cookies::Jar;
use crate::lifecycle::{TokenFacts, TokenFailure, oauth_code};
use crate::sample::{ErrorWord, Outcome, Request, RequestAnswer, RequestEnd};

/// A token in a client's hand: shared where the group shares it.
pub(in crate::drive::network) type Token = Arc<SecretString>;

/// What a client brings when it needs a token.
#[derive(Debug, Clone)]
pub(in crate::drive::network) struct Wish {
    /// The client's index in its group.
    pub(in crate::drive::network) index: u32,
    /// The refresh token that it holds.
    pub(in crate::drive::network) refresh: Option<Token>,
    /// A token requested earlier will not do.
    pub(in crate::drive::network) not_before: Moment,
    /// A token that expires earlier will not do.
    pub(in crate::drive::network) valid_until: Moment,
    /// The client's cookies.
    pub(in crate::drive::network) jar: Option<Jar>,
}

impl Wish {
    /// What the group's client `index` needs, which holds this refresh token.
    pub(in crate::drive::network) const fn new(
        index: u32,
        refresh: Option<Token>,
        not_before: Moment,
        valid_until: Moment,
    ) -> Self {
        Self { index, refresh, not_before, valid_until, jar: None }
    }

    /// The same of a client that keeps cookies.
    pub(in crate::drive::network) fn with_jar(self, jar: Option<Jar>) -> Self {
        Self { jar, ..self }
    }
}

/// A token that came.
#[derive(Debug)]
pub(in crate::drive::network) struct Acquired {
    pub(in crate::drive::network) token: Token,
    pub(in crate::drive::network) facts: TokenFacts,
    /// The refresh token that came with it.
    pub(in crate::drive::network) refresh: Option<Token>,
    /// Whether this call's own request brought it.
    pub(in crate::drive::network) fetched: bool,
}

impl Acquired {
    /// A token that was there already.
    pub(super) const fn from_cache(token: Token, facts: TokenFacts) -> Self {
        Self { token, facts, refresh: None, fetched: false }
    }

    /// What a request brought.
    pub(super) fn granted(grant: TokenGrant, facts: TokenFacts) -> Self {
        let TokenGrant { access_token, refresh_token, .. } = grant;
        Self { token: Arc::new(access_token), facts, refresh: refresh_token.map(Arc::new), fetched: true }
    }
}

/// Why no token came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The kind of failure.
    pub failure: TokenFailure,
    /// How long the endpoint asked to be left alone.
    pub retry_after: Option<Duration>,
    /// How the connection failed, or that the answer did not come in time; `None` where there was an answer, or nothing of the kind.
    pub connection: Option<Outcome>,
    /// The HTTP status; `None` where there was no answer.
    pub status: Option<u16>,
    /// The error code, where it is one of RFC 6749 §5.2 or one that token endpoints are known to use; [`ErrorWord::OTHER`] for any other.
    pub code: Option<&'static str>,
    /// What the request came to.
    pub answer: RequestAnswer,
}

impl From<TokenFailure> for Refusal {
    fn from(failure: TokenFailure) -> Self {
        let answer = if failure == TokenFailure::LocalLimit {
            RequestAnswer::LocalLimit
        } else {
            RequestAnswer::ConnectionBroken
        };
        Self::of(failure, answer)
    }
}

impl Refusal {
    /// A failure of which nothing more is known.
    pub(super) const fn of(failure: TokenFailure, answer: RequestAnswer) -> Self {
        Self { failure, retry_after: None, connection: None, status: None, code: None, answer }
    }

    /// What an endpoint said that grants nothing.
    pub(super) const fn said(
        Unreadable { failure, answer }: Unreadable,
        status: u16,
        code: Option<&'static str>,
        retry_after: Option<Duration>,
    ) -> Self {
        Self { failure, retry_after, connection: None, status: Some(status), code, answer }
    }

    /// A request to which there was no answer, because the connection failed so.
    pub(super) const fn of_connection(connection: Outcome, answer: RequestAnswer) -> Self {
        let failure = TokenFailure::Error;
        Self { failure, retry_after: None, connection: Some(connection), status: None, code: None, answer }
    }
}

/// The end of a request for a token that took so long.
pub(super) fn end_of(
    request: Request,
    answered: &Result<TokenGrant, Refusal>,
    latency: Duration,
) -> RequestEnd {
    match answered {
        Ok(grant) => {
            let status = (request != Request::Command).then_some(grant.status);
            RequestEnd { request, answer: RequestAnswer::Ok, status, error: None, latency }
        }
        Err(refusal) => {
            let error = refusal.code.map(ErrorWord::or_other);
            RequestEnd { request, answer: refusal.answer, status: refusal.status, error, latency }
        }
    }
}

/// What an answer is that brings no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::drive::network) struct Unreadable {
    pub(in crate::drive::network) failure: TokenFailure,
    pub(super) answer: RequestAnswer,
}

impl Unreadable {
    const fn error(answer: RequestAnswer) -> Self {
        Self { failure: TokenFailure::Error, answer }
    }
}

/// What a token endpoint grants (RFC 6749 §5.1).
#[derive(Debug, Deserialize)]
pub(in crate::drive::network) struct TokenGrant {
    pub(super) access_token: SecretString,
    /// Seconds.
    #[serde(default, deserialize_with = "seconds")]
    pub(in crate::drive::network) expires_in: Option<f64>,
    #[serde(default)]
    pub(super) refresh_token: Option<SecretString>,
    /// Of the answer that brought it; 0: it came otherwise.
    #[serde(skip)]
    status: u16,
}

/// Seconds, as the number that RFC 6749 §5.1 has, or as a text, as some services send it.
fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Seconds {
        Number(f64),
        Text(String),
    }
    match Option::deserialize(from)? {
        None => Ok(None),
        Some(Seconds::Number(seconds)) => Ok(Some(seconds)),
        // What is said of a text that is no number must not hold it.
        Some(Seconds::Text(text)) => {
            text.trim().parse().map(Some).map_err(|_| D::Error::custom("expires_in is no number"))
        }
    }
}

impl TokenGrant {
    /// The bare token.
    pub(super) fn bare(token: &str) -> Self {
        Self { access_token: SecretString::from(token), expires_in: None, refresh_token: None, status: 0 }
    }

    /// How long the token lives, where the endpoint said so.
    pub(super) fn life(&self) -> Option<Duration> {
        self.expires_in.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
    }
}

/// Reads an answer: a grant, an OAuth error (RFC 6749 §5.2), or neither.
pub(in crate::drive::network) fn read_answer(status: u16, body: &[u8]) -> Result<TokenGrant, Unreadable> {
    if (200..300).contains(&status) {
        let mut grant: TokenGrant = serde_json::from_slice(body).map_err(|_| what_is_wrong(body))?;
        grant.status = status;
        let is_empty = grant.access_token.expose_secret().is_empty();
        return if is_empty { Err(Unreadable::error(RequestAnswer::NoAccessToken)) } else { Ok(grant) };
    }
    if status < 400 {
        return Err(Unreadable::error(RequestAnswer::UnexpectedStatus));
    }
    let is_oauth = oauth_code(body).is_some() && status < 500 && status != 429;
    let failure = if is_oauth { TokenFailure::Refused } else { TokenFailure::Error };
    Err(Unreadable { failure, answer: RequestAnswer::Refused })
}

/// What is wrong with a body that is no grant.
fn what_is_wrong(body: &[u8]) -> Unreadable {
    #[derive(Deserialize)]
    struct OnlyToken {
        access_token: SecretString,
    }
    let has_token = |token: OnlyToken| !token.access_token.expose_secret().is_empty();
    Unreadable::error(if serde_json::from_slice::<IgnoredAny>(body).is_err() {
        RequestAnswer::NotJson
    } else if serde_json::from_slice(body).is_ok_and(has_token) {
        RequestAnswer::UnreadableField
    } else {
        RequestAnswer::NoAccessToken
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_as_rfc_6749_has_them() {
        let html = b"<html>502 Bad Gateway</html>".as_slice();
        // (status, body, failure and what is wrong; None: a grant)
        use RequestAnswer::{NoAccessToken, NotJson, Refused, UnexpectedStatus, UnreadableField};
        use TokenFailure::Error;
        type Row<'a> = (u16, &'a [u8], Option<(TokenFailure, RequestAnswer)>, Option<&'static str>);
        let rows: &[Row<'_>] = &[
            (200, br#"{"access_token":"t","token_type":"bearer","expires_in":60}"#, None, None),
            (200, br#"{"access_token":"t"}"#, None, None),
            (200, br#"{"access_token":""}"#, Some((Error, NoAccessToken)), None),
            (200, br#"{"access_token":7}"#, Some((Error, NoAccessToken)), None),
            (200, br#"{"token":"t"}"#, Some((Error, NoAccessToken)), None),
            (200, b"[]", Some((Error, NoAccessToken)), None),
            (200, br#"{"access_token":"t","expires_in":[]}"#, Some((Error, UnreadableField)), None),
            (200, br#"{"access_token":"t","expires_in":"#, Some((Error, NotJson)), None),
            (200, html, Some((Error, NotJson)), None),
            (302, html, Some((Error, UnexpectedStatus)), None),
            (
                400,
                br#"{"error":"invalid_scope"}"#,
                Some((TokenFailure::Refused, Refused)),
                Some("invalid_scope"),
            ),
            (
                401,
                br#"{"error":"invalid_client"}"#,
                Some((TokenFailure::Refused, Refused)),
                Some("invalid_client"),
            ),
            (400, br#"{"error":"of our own making"}"#, Some((TokenFailure::Refused, Refused)), Some("other")),
            (403, html, Some((Error, Refused)), None),
            (429, br#"{"error":"slow_down"}"#, Some((Error, Refused)), Some("slow_down")),
            (502, html, Some((Error, Refused)), None),
            (500, br#"{"error":"server_error"}"#, Some((Error, Refused)), Some("server_error")),
        ];
        for (status, body, wrong, code) in rows {
            let answer = read_answer(*status, body).err().map(|wrong| (wrong.failure, wrong.answer));
            assert_eq!(answer, *wrong, "{status} {}", String::from_utf8_lossy(body));
            assert_eq!(oauth_code(body), *code, "{status} {}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn a_life_may_be_a_number_or_a_text() {
        for (expires_in, life_s) in
            [("60", Some(60)), ("\"3\"", Some(3)), ("\" 3600 \"", Some(3_600)), ("null", None), ("-1", None)]
        {
            let body = format!("{{\"access_token\":\"t\",\"expires_in\":{expires_in}}}");
            let grant = read_answer(200, body.as_bytes()).unwrap();
            assert_eq!(grant.life(), life_s.map(Duration::from_secs), "{expires_in}");
        }
        for expires_in in ["\"soon\"", "[]", "true"] {
            let body = format!("{{\"access_token\":\"t\",\"expires_in\":{expires_in}}}");
            let wrong = read_answer(200, body.as_bytes()).err().map(|wrong| wrong.answer);
            assert_eq!(wrong, Some(RequestAnswer::UnreadableField), "{expires_in}");
        }
    }

    #[test]
    fn a_token_never_shows() {
        let grant = read_answer(200, br#"{"access_token":"very-secret"}"#).unwrap();
        assert!(!format!("{grant:?}").contains("very-secret"));
    }
}
