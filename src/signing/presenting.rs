//! Requests that a client signs (AWS Signature Version 4): a presigned URL, or headers.
//!
//! In: where a request goes, credentials, the time. Out: what is sent with it.

use secrecy::{ExposeSecret as _, SecretString};

use super::canonical::{Request, empty_hash, read_query};
use super::digests::{hex, hmac_sha256, sha256, urlencode};

/// The algorithm's name.
pub(super) const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// How long a presigned URL may be good at most: a week.
pub const LONGEST_LIFE_S: u64 = 7 * 24 * 60 * 60;

/// What a signature is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purpose {
    /// The service's name in signatures, as `execute-api`.
    pub service: String,
    /// The region.
    pub region: String,
    /// Whether a session token is signed, or only sent beside the signature.
    pub signs_session_token: bool,
}

/// What a client signs with.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The access key's id.
    pub access_key: String,
    /// The secret that belongs to it.
    pub secret_key: SecretString,
    /// With temporary credentials: the session token.
    pub session_token: Option<SecretString>,
}

impl Credentials {
    fn session_token(&self) -> Option<&str> {
        self.session_token.as_ref().map(|token| token.expose_secret())
    }
}

/// A time as signatures have it: `20150830T123600Z`.
#[must_use]
pub fn date_of(unix_s: u64) -> String {
    let second = i64::try_from(unix_s).unwrap_or(i64::MAX);
    let at = jiff::Timestamp::from_second(second).unwrap_or_default();
    at.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// What belongs to a signature: `20150830/us-east-1/service/aws4_request`.
fn scope(date: &str, purpose: &Purpose) -> String {
    format!("{}/{}/{}/aws4_request", date.get(..8).unwrap_or(date), purpose.region, purpose.service)
}

/// What is signed of a canonical request.
pub(super) fn to_sign(date: &str, purpose: &Purpose, canonical: &str) -> String {
    format!("{ALGORITHM}\n{date}\n{}\n{}", scope(date, purpose), hex(&sha256(canonical.as_bytes())))
}

/// The key that signs on one day, for one purpose.
pub(super) fn key_of(secret: &SecretString, date: &str, purpose: &Purpose) -> Vec<u8> {
    let day = date.get(..8).unwrap_or(date);
    let first = SecretString::from(format!("AWS4{}", secret.expose_secret()));
    let steps = [day, &purpose.region, &purpose.service, "aws4_request"];
    steps
        .iter()
        .fold(first.expose_secret().as_bytes().to_vec(), |key, text| hmac_sha256(&key, text.as_bytes()))
}

fn sign(text: &str, date: &str, credentials: &Credentials, purpose: &Purpose) -> String {
    hex(&hmac_sha256(&key_of(&credentials.secret_key, date, purpose), text.as_bytes()))
}

/// A GET without anything beside its host: a handshake, before it is signed.
fn bare_get<'a>((path, query): (&'a str, &str), authority: &str) -> Request<'a> {
    Request {
        method: "GET",
        path,
        query: read_query(query),
        headers: vec![("host".to_owned(), authority.to_owned())],
        body_hash: empty_hash(),
    }
}

/// The query of a presigned GET. `query` is that of its URL, `authority` its host and port; it is good for `expires_s` from `unix_s` on.
#[must_use]
pub fn sign_query(
    (path, query): (&str, &str),
    authority: &str,
    credentials: &Credentials,
    purpose: &Purpose,
    (unix_s, expires_s): (u64, u64),
) -> String {
    sign_query_of(bare_get((path, query), authority), credentials, purpose, (unix_s, expires_s))
}

/// The same of any request.
pub(super) fn sign_query_of(
    mut request: Request<'_>,
    credentials: &Credentials,
    purpose: &Purpose,
    (unix_s, expires_s): (u64, u64),
) -> String {
    let date = date_of(unix_s);
    let mut put = |name: &str, value: &str| {
        request.query.push((name.as_bytes().to_vec(), value.as_bytes().to_vec()));
    };
    put("X-Amz-Algorithm", ALGORITHM);
    put("X-Amz-Credential", &format!("{}/{}", credentials.access_key, scope(&date, purpose)));
    put("X-Amz-Date", &date);
    put("X-Amz-Expires", &expires_s.to_string());
    let signed_headers = request.signed_headers();
    let mut put = |name: &str, value: &str| {
        request.query.push((name.as_bytes().to_vec(), value.as_bytes().to_vec()));
    };
    put("X-Amz-SignedHeaders", &signed_headers);
    let token = credentials.session_token();
    if let Some(token) = token.filter(|_| purpose.signs_session_token) {
        put("X-Amz-Security-Token", token);
    }
    let signature = sign(&to_sign(&date, purpose, &request.canonical()), &date, credentials, purpose);
    let pairs = request.query.iter().map(|(name, value)| format!("{}={}", urlencode(name), urlencode(value)));
    let mut text = pairs.collect::<Vec<_>>().join("&");
    text.push_str("&X-Amz-Signature=");
    text.push_str(&signature);
    if let Some(token) = token.filter(|_| !purpose.signs_session_token) {
        text.push_str("&X-Amz-Security-Token=");
        text.push_str(&urlencode(token.as_bytes()));
    }
    text
}

/// The headers of a signed GET, by their names.
#[must_use]
pub fn sign_headers(
    (path, query): (&str, &str),
    authority: &str,
    credentials: &Credentials,
    purpose: &Purpose,
    unix_s: u64,
) -> Vec<(&'static str, String)> {
    sign_headers_of(bare_get((path, query), authority), credentials, purpose, unix_s)
}

/// The same of any request.
pub(super) fn sign_headers_of(
    mut request: Request<'_>,
    credentials: &Credentials,
    purpose: &Purpose,
    unix_s: u64,
) -> Vec<(&'static str, String)> {
    let date = date_of(unix_s);
    let mut sent = vec![("X-Amz-Date", date.clone())];
    request.headers.push(("x-amz-date".to_owned(), date.clone()));
    if let Some(token) = credentials.session_token() {
        if purpose.signs_session_token {
            request.headers.push(("x-amz-security-token".to_owned(), token.to_owned()));
        }
        sent.push(("X-Amz-Security-Token", token.to_owned()));
    }
    request.headers.sort_unstable();
    let signature = sign(&to_sign(&date, purpose, &request.canonical()), &date, credentials, purpose);
    let Credentials { access_key, .. } = credentials;
    let (scope, names) = (scope(&date, purpose), request.signed_headers());
    let authorization =
        format!("{ALGORITHM} Credential={access_key}/{scope}, SignedHeaders={names}, Signature={signature}");
    sent.push(("Authorization", authorization));
    sent
}
