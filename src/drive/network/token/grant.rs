//! What a token endpoint's answer says: a grant, an OAuth error, or neither.
//!
//! In: status and body, where the token and its life stand. Out: a grant, or what is wrong with the answer. Liberal in what is read; of what
//! cannot be read only the kind is told.

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;

use crate::lifecycle::{TokenFailure, oauth_code};
use crate::sample::RequestAnswer;
use crate::scenario::keys::{ClientCredentials, EXPIRES_POINTER, TOKEN_POINTER};

/// A life in seconds is less than this, some thirty years; a Unix time is more.
const LEAST_UNIX_S: f64 = 1e9;
/// A Unix time in seconds is less than this, the year 5138; one in milliseconds is more, for it is after 1973.
const LEAST_UNIX_MS: f64 = 1e11;

/// Where an answer has the token, and how long it lives.
#[derive(Debug, Clone, Copy)]
pub(in crate::drive) struct Places<'a> {
    token: &'a str,
    expires: &'a str,
    /// The time, in microseconds since 1970.
    unix_us: u64,
}

impl<'a> Places<'a> {
    /// Where RFC 6749 §5.1 has them.
    pub(in crate::drive::network) const fn standard(unix_us: u64) -> Self {
        Self { token: TOKEN_POINTER, expires: EXPIRES_POINTER, unix_us }
    }

    /// Where a group looks for them.
    pub(in crate::drive) fn of(credentials: &'a ClientCredentials, unix_us: u64) -> Self {
        Self { token: &credentials.token_pointer, expires: &credentials.expires_pointer, unix_us }
    }

    fn is_standard(self) -> bool {
        self.token == TOKEN_POINTER && self.expires == EXPIRES_POINTER
    }
}

/// What an answer is that brings no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::drive) struct Unreadable {
    pub(in crate::drive) failure: TokenFailure,
    pub(in crate::drive) answer: RequestAnswer,
    /// What stands where the token, or its life, should.
    pub(in crate::drive) instead: Option<&'static str>,
}

impl Unreadable {
    pub(super) const fn error(answer: RequestAnswer) -> Self {
        Self { failure: TokenFailure::Error, answer, instead: None }
    }

    fn instead(answer: RequestAnswer, value: Option<&Value>) -> Self {
        Self { instead: Some(kind_of(value)), ..Self::error(answer) }
    }
}

/// What a token endpoint grants (RFC 6749 §5.1).
#[derive(Debug)]
pub(in crate::drive) struct TokenGrant {
    pub(in crate::drive) access_token: SecretString,
    /// How long it lives, where that is known.
    pub(in crate::drive) life: Option<Duration>,
    pub(in crate::drive) refresh_token: Option<SecretString>,
    /// The scopes that were granted, separated by spaces, where the answer says so.
    scope: Option<Box<str>>,
    /// Of the answer that brought it; 0: it came otherwise.
    pub(super) status: u16,
    /// Whether its answer says that anybody can show it: its `token_type` is another than `DPoP`.
    pub(in crate::drive) is_bearer: bool,
}

/// An answer as RFC 6749 has it, without a look at anything else in it.
#[derive(Deserialize)]
struct Standard<'a> {
    access_token: SecretString,
    #[serde(default)]
    expires_in: Option<f64>,
    #[serde(default)]
    refresh_token: Option<SecretString>,
    #[serde(default, borrow)]
    scope: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    token_type: Option<Cow<'a, str>>,
}

impl TokenGrant {
    /// The bare token.
    pub(super) fn bare(token: &str, unix_us: u64) -> Self {
        let access_token = SecretString::from(token);
        let life = life_of_jwt(token, unix_us);
        Self { access_token, life, refresh_token: None, scope: None, status: 0, is_bearer: false }
    }

    /// A token that its client signed.
    pub(super) const fn minted(access_token: SecretString, life: Duration) -> Self {
        Self { access_token, life: Some(life), refresh_token: None, scope: None, status: 0, is_bearer: false }
    }

    /// Whether fewer scopes were granted than these. What an answer does not say is as it was asked for (RFC 6749 §5.1). `offline_access` asks for a refresh token, and
    /// `…/.default` for whatever was agreed: neither comes back.
    pub(in crate::drive) fn lacks(&self, asked: &[String]) -> bool {
        let Some(granted) = self.scope.as_deref() else { return false };
        let comes_back = |scope: &str| scope != "offline_access" && !scope.ends_with("/.default");
        let has = |scope: &str| granted.split([' ', ',']).any(|other| other == scope);
        asked.iter().any(|scope| comes_back(scope) && !has(scope))
    }

    fn standard(body: &[u8], unix_us: u64) -> Option<Self> {
        let Standard { access_token, expires_in, refresh_token, scope, token_type } =
            serde_json::from_slice(body).ok()?;
        let text = access_token.expose_secret();
        if text.is_empty() || expires_in.is_some_and(|seconds| seconds >= LEAST_UNIX_S) {
            return None;
        }
        let told = expires_in.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let life = told.or_else(|| life_of_jwt(text, unix_us));
        let (scope, is_bearer) = (scope.map(|scope| scope.into()), is_bearer(token_type.as_deref()));
        Some(Self { access_token, life, refresh_token, scope, status: 0, is_bearer })
    }

    fn at(body: &Value, places: Places<'_>) -> Result<Self, Unreadable> {
        let token = body.pointer(places.token);
        let text = token.and_then(Value::as_str).filter(|text| !text.is_empty());
        let text = text.ok_or_else(|| Unreadable::instead(RequestAnswer::NoAccessToken, token))?;
        let told = match body.pointer(places.expires) {
            None | Some(Value::Null) => None,
            Some(value) => read_life(value, places.unix_us)
                .map_err(|()| Unreadable::instead(RequestAnswer::UnreadableField, Some(value)))?,
        };
        let parent = places.token.rsplit_once('/').map_or("", |(parent, _)| parent);
        let beside = |name: &str| body.pointer(&format!("{parent}/{name}")).or_else(|| body.get(name));
        let refresh = beside("refresh_token").and_then(Value::as_str).filter(|text| !text.is_empty());
        Ok(Self {
            access_token: SecretString::from(text),
            life: told.or_else(|| life_of_jwt(text, places.unix_us)),
            refresh_token: refresh.map(SecretString::from),
            scope: beside("scope").and_then(scopes_in),
            status: 0,
            is_bearer: is_bearer(beside("token_type").and_then(Value::as_str)),
        })
    }
}

/// Whether `token_type` (RFC 6749 §7.1) is another than that of bound tokens. An answer without one says nothing.
fn is_bearer(token_type: Option<&str>) -> bool {
    token_type.is_some_and(|name| !name.eq_ignore_ascii_case("DPoP"))
}

/// Scopes as a text, or as a list of texts.
fn scopes_in(value: &Value) -> Option<Box<str>> {
    match value {
        Value::String(text) => Some(text.as_str().into()),
        Value::Array(list) => {
            let texts: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
            Some(texts.join(" ").into())
        }
        _ => None,
    }
}

/// What kind of value stands there.
fn kind_of(value: Option<&Value>) -> &'static str {
    match value {
        None => "nothing",
        Some(Value::Null) => "null",
        Some(Value::Bool(_)) => "a_boolean",
        Some(Value::Number(_)) => "a_number",
        Some(Value::String(text)) if text.is_empty() => "an_empty_text",
        Some(Value::String(_)) => "a_text",
        Some(Value::Array(_)) => "a_list",
        Some(Value::Object(_)) => "an_object",
    }
}

/// How long a token lives that an answer says so of; `None`: it does not tell.
fn read_life(value: &Value, unix_us: u64) -> Result<Option<Duration>, ()> {
    let number = match value {
        Value::Number(number) => number.as_f64().ok_or(())?,
        Value::String(text) => match text.trim().parse::<f64>() {
            Ok(number) => number,
            Err(_) => return Ok(Some(until(unix_us_of(text.trim()).ok_or(())?, unix_us))),
        },
        _ => return Err(()),
    };
    Ok(if number >= LEAST_UNIX_MS {
        Some(until(number * 1e3, unix_us))
    } else if number >= LEAST_UNIX_S {
        Some(until(number * 1e6, unix_us))
    } else {
        Duration::try_from_secs_f64(number).ok()
    })
}

/// A date, in microseconds since 1970; without a time zone it is in UTC.
fn unix_us_of(text: &str) -> Option<f64> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Some(at.as_microsecond() as f64);
    }
    if let Ok(at) = text.parse::<jiff::civil::DateTime>() {
        let at = jiff::tz::TimeZone::UTC.to_timestamp(at).ok()?;
        return Some(at.as_microsecond() as f64);
    }
    let at = httpdate::parse_http_date(text).ok()?;
    Some(at.duration_since(std::time::UNIX_EPOCH).ok()?.as_micros() as f64)
}

/// From now until then; nothing where that is past.
fn until(then_us: f64, unix_us: u64) -> Duration {
    Duration::try_from_secs_f64((then_us - unix_us as f64) / 1e6).unwrap_or_default()
}

/// How long a token lives that is a JWT, by its `exp` (RFC 7519 §4.1.4). Its signature is not looked at.
fn life_of_jwt(token: &str, unix_us: u64) -> Option<Duration> {
    #[derive(Deserialize)]
    struct Claims {
        exp: f64,
    }
    let mut parts = token.split('.');
    let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
    let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    (parts.next().is_none() && claims.exp.is_finite()).then(|| until(claims.exp * 1e6, unix_us))
}

/// Reads an answer: a grant, an OAuth error (RFC 6749 §5.2), or neither.
pub(in crate::drive) fn read_answer(
    status: u16,
    body: &[u8],
    places: Places<'_>,
) -> Result<TokenGrant, Unreadable> {
    if (200..300).contains(&status) {
        let standard = places.is_standard().then(|| TokenGrant::standard(body, places.unix_us));
        let grant = match standard.flatten() {
            Some(grant) => grant,
            None => {
                let body =
                    serde_json::from_slice(body).map_err(|_| Unreadable::error(RequestAnswer::NotJson))?;
                TokenGrant::at(&body, places)?
            }
        };
        return Ok(TokenGrant { status, ..grant });
    }
    if status < 400 {
        return Err(Unreadable::error(RequestAnswer::UnexpectedStatus));
    }
    let is_oauth = oauth_code(body).is_some() && status < 500 && status != 429;
    let failure = if is_oauth { TokenFailure::Refused } else { TokenFailure::Error };
    Err(Unreadable { failure, ..Unreadable::error(RequestAnswer::Refused) })
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
            let answer = read_answer(*status, body, Places::standard(0))
                .err()
                .map(|wrong| (wrong.failure, wrong.answer));
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
            let grant = read_answer(200, body.as_bytes(), Places::standard(0)).unwrap();
            assert_eq!(grant.life, life_s.map(Duration::from_secs), "{expires_in}");
        }
        for expires_in in ["\"soon\"", "[]", "true"] {
            let body = format!("{{\"access_token\":\"t\",\"expires_in\":{expires_in}}}");
            let wrong =
                read_answer(200, body.as_bytes(), Places::standard(0)).err().map(|wrong| wrong.answer);
            assert_eq!(wrong, Some(RequestAnswer::UnreadableField), "{expires_in}");
        }
    }

    #[test]
    fn a_token_never_shows() {
        let grant = read_answer(200, br#"{"access_token":"very-secret"}"#, Places::standard(0)).unwrap();
        assert!(!format!("{grant:?}").contains("very-secret"));
    }

    #[test]
    fn tokens_and_their_lives_are_found_where_the_scenario_says() {
        let now = 1_700_000_000_000_000;
        let exp = URL_SAFE_NO_PAD.encode("{\"exp\":1700000090}");
        let jwt = format!("h.{exp}.s");
        // (what stands at /e, the life in seconds)
        let rows = [
            ("60", Some(60)),
            ("\"3600\"", Some(3_600)),
            ("1700000300", Some(300)),
            ("1700000300000", Some(300)),
            ("\"1700000300000\"", Some(300)),
            ("\"2023-11-14T22:13:50Z\"", Some(30)),
            ("\"2023-11-14T23:13:50+01:00\"", Some(30)),
            ("\"2023-11-14T22:13:50\"", Some(30)),
            ("\"Tue, 14 Nov 2023 22:13:50 GMT\"", Some(30)),
            ("1600000000", Some(0)),
            ("null", None),
        ];
        let places = Places { token: "/d/t", expires: "/e", unix_us: now };
        let read = |token: &str, e: &str| {
            let body = format!(
                "{{\"d\":{{\"t\":\"{token}\",\"refresh_token\":\"r\",\"scope\":[\"a\",\"b\"]}},\"e\":{e}}}"
            );
            read_answer(200, body.as_bytes(), places).map_err(|wrong| (wrong.answer, wrong.instead))
        };
        for (e, life_s) in rows {
            let grant = read("t", e).unwrap();
            assert_eq!(grant.life, life_s.map(Duration::from_secs), "{e}");
            assert!(grant.refresh_token.is_some());
            let asked =
                |scopes: &[&str]| grant.lacks(&scopes.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
            assert!(!asked(&[]) && !asked(&["b", "offline_access"]) && !asked(&["api://x/.default"]));
            assert!(asked(&["a", "c"]));
        }
        assert_eq!(read(&jwt, "null").unwrap().life, Some(Duration::from_secs(90)));
        assert_eq!(
            read(&jwt, "5").unwrap().life,
            Some(Duration::from_secs(5)),
            "the answer goes before the token"
        );
        assert_eq!(TokenGrant::bare(&jwt, now).life, Some(Duration::from_secs(90)));
        assert_eq!(read("", "5").unwrap_err(), (RequestAnswer::NoAccessToken, Some("an_empty_text")));
        assert_eq!(read("t", "{}").unwrap_err(), (RequestAnswer::UnreadableField, Some("an_object")));
        assert_eq!(read("t", "\"soon\"").unwrap_err(), (RequestAnswer::UnreadableField, Some("a_text")));
        let elsewhere = read_answer(200, br#"{"access_token":"t"}"#, places).unwrap_err();
        assert_eq!((elsewhere.answer, elsewhere.instead), (RequestAnswer::NoAccessToken, Some("nothing")));
    }
}
