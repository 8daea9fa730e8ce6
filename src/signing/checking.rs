//! Signatures that a service is shown (AWS Signature Version 4).
//!
//! In: a request's query and headers. Out: what it presents; whether that is of a key, and not too old. It never fails on what strangers send.

use ring::hmac;
use secrecy::SecretString;

use super::canonical::{Query, Request, empty_hash, read_query};
use super::digests::of_hex;
use super::presenting::{ALGORITHM, LONGEST_LIFE_S, Purpose, key_of, to_sign};

/// The most headers that are signed.
const MOST_SIGNED: usize = 64;

/// Why a signature is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureFault {
    /// There is none.
    Missing,
    /// It lacks something, or is none.
    Incomplete,
    /// It is for another service or region.
    AnotherScope,
    /// Nobody knows the access key, or its session token is another.
    UnknownKey,
    /// It is of a time to come.
    NotYet,
    /// Its time is over.
    Expired,
    /// It is not the signature of that request by that key.
    Mismatch,
}

/// What a request presents.
#[derive(Clone, PartialEq, Eq)]
pub struct Presented {
    /// The access key's id.
    pub access_key: String,
    /// The session token.
    pub session_token: Option<String>,
    date: String,
    signed_s: u64,
    is_in_query: bool,
    /// `None`: it is good for as long as clocks may differ, as those in headers are, and those of clients for IoT Core that say nothing of it.
    expires_s: Option<u64>,
    day: String,
    region: String,
    service: String,
    signed_headers: Vec<String>,
    signature: Vec<u8>,
    /// The query but for the signature, and for the session token where that is in it.
    query: Query,
}

/// What stands in a query; the last of that name, as a text.
fn in_query<'q>(query: &'q Query, name: &str) -> Option<&'q str> {
    let found = query.iter().rev().find(|(other, _)| other == name.as_bytes());
    found.and_then(|(_, value)| std::str::from_utf8(value).ok())
}

/// What a request presents in its query, or else in its headers.
///
/// # Errors
/// [`SignatureFault::Missing`], [`SignatureFault::Incomplete`].
pub fn read_presented(
    query: &str,
    header: impl Fn(&str) -> Option<String>,
) -> Result<Presented, SignatureFault> {
    let mut query = read_query(query);
    if query.iter().any(|(name, _)| name == b"X-Amz-Signature" || name == b"X-Amz-Algorithm") {
        let presented = of_query(&query).ok_or(SignatureFault::Incomplete)?;
        query.retain(|(name, _)| name != b"X-Amz-Signature" && name != b"X-Amz-Security-Token");
        return Ok(Presented { query, ..presented });
    }
    let authorization = header("authorization").unwrap_or_default();
    let Some(rest) = authorization.strip_prefix(ALGORITHM) else { return Err(SignatureFault::Missing) };
    let presented = of_headers(rest, header).ok_or(SignatureFault::Incomplete)?;
    Ok(Presented { query, ..presented })
}

fn of_query(query: &Query) -> Option<Presented> {
    let get = |name: &str| in_query(query, name);
    if get("X-Amz-Algorithm")? != ALGORITHM {
        return None;
    }
    let expires_s: Option<u64> = match get("X-Amz-Expires") {
        Some(text) => Some(text.parse().ok().filter(|life| (1..=LONGEST_LIFE_S).contains(life))?),
        None => None,
    };
    let presented = presented(
        get("X-Amz-Credential")?,
        get("X-Amz-Date")?,
        get("X-Amz-SignedHeaders")?,
        get("X-Amz-Signature")?,
    )?;
    let session_token = get("X-Amz-Security-Token").map(str::to_owned);
    Some(Presented { expires_s, is_in_query: true, session_token, ..presented })
}

fn of_headers(rest: &str, header: impl Fn(&str) -> Option<String>) -> Option<Presented> {
    let get = |name: &str| {
        let mut parts = rest.split(',').filter_map(|part| part.trim().split_once('='));
        parts.find(|(other, _)| *other == name).map(|(_, value)| value)
    };
    let date = header("x-amz-date")?;
    let presented = presented(get("Credential")?, date.trim(), get("SignedHeaders")?, get("Signature")?)?;
    Some(Presented { session_token: header("x-amz-security-token"), ..presented })
}

fn presented(credential: &str, date: &str, signed_headers: &str, signature: &str) -> Option<Presented> {
    // An access key has no slash, but who knows.
    let mut parts = credential.rsplitn(5, '/');
    let (last, service, region, day, access_key) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let signed_headers: Vec<String> = signed_headers.split(';').map(str::to_ascii_lowercase).collect();
    let signed_s = read_date(date)?;
    let signature = of_hex(signature).filter(|signature| signature.len() == 32)?;
    let is_whole = last == "aws4_request"
        && date.starts_with(day)
        && day.len() == 8
        && signed_headers.len() <= MOST_SIGNED
        && signed_headers.iter().any(|name| name == "host");
    is_whole.then(|| Presented {
        access_key: access_key.to_owned(),
        session_token: None,
        date: date.to_owned(),
        signed_s,
        is_in_query: false,
        expires_s: None,
        day: day.to_owned(),
        region: region.to_owned(),
        service: service.to_owned(),
        signed_headers,
        signature,
        query: Query::new(),
    })
}

/// The time of `20150830T123600Z`, in seconds since 1970.
fn read_date(text: &str) -> Option<u64> {
    let is_date = text.len() == 16 && text.ends_with('Z') && text.as_bytes()[8] == b'T';
    let date = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok().filter(|_| is_date)?;
    jiff::tz::TimeZone::UTC.to_timestamp(date).ok()?.as_second().try_into().ok()
}

impl Presented {
    /// Whether it is for that service in that region.
    #[must_use]
    pub fn is_for(&self, purpose: &Purpose) -> bool {
        self.service == purpose.service && self.region == purpose.region && self.date.starts_with(&self.day)
    }

    /// Whether it is good by its time; clocks may differ by `tolerance_s`. The time is in microseconds since 1970.
    ///
    /// # Errors
    /// [`SignatureFault::NotYet`], [`SignatureFault::Expired`].
    pub fn check_time(&self, unix_us: u64, tolerance_s: u64) -> Result<(), SignatureFault> {
        let micros = |seconds: u64| seconds.saturating_mul(1_000_000);
        let signed = micros(self.signed_s);
        if signed > unix_us.saturating_add(micros(tolerance_s)) {
            return Err(SignatureFault::NotYet);
        }
        let life = micros(self.expires_s.unwrap_or(tolerance_s));
        if unix_us > signed.saturating_add(life) { Err(SignatureFault::Expired) } else { Ok(()) }
    }

    /// Whether it is the signature of a GET of `path` with these headers, by that secret.
    #[must_use]
    pub fn is_signed_by(
        &self,
        secret: &SecretString,
        purpose: &Purpose,
        path: &str,
        header: impl Fn(&str) -> Option<String>,
    ) -> bool {
        let Some(headers) = self.headers(header) else { return false };
        let request = Request { method: "GET", path, query: Query::new(), headers, body_hash: empty_hash() };
        self.is_of(request, secret, purpose)
    }

    /// The headers that it says are signed.
    pub(super) fn headers(&self, header: impl Fn(&str) -> Option<String>) -> Option<Vec<(String, String)>> {
        self.signed_headers.iter().map(|name| Some((name.clone(), header(name)?))).collect()
    }

    /// The same of any request; its query is the one that was read.
    pub(super) fn is_of(&self, mut request: Request<'_>, secret: &SecretString, purpose: &Purpose) -> bool {
        request.query.clone_from(&self.query);
        if let (Some(token), true, true) =
            (&self.session_token, self.is_in_query, purpose.signs_session_token)
        {
            request.query.push((b"X-Amz-Security-Token".to_vec(), token.as_bytes().to_vec()));
        }
        let text = to_sign(&self.date, purpose, &request.canonical());
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key_of(secret, &self.date, purpose));
        hmac::verify(&key, text.as_bytes(), &self.signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::presenting::{Credentials, sign_headers, sign_query};
    use super::*;

    const AT: u64 = 1_440_938_160;

    fn purpose(signs_session_token: bool) -> Purpose {
        Purpose { service: "execute-api".into(), region: "eu-central-1".into(), signs_session_token }
    }

    fn credentials(token: Option<&str>) -> Credentials {
        Credentials {
            access_key: "AKIDEXAMPLE".into(),
            secret_key: SecretString::from("hush"),
            session_token: token.map(SecretString::from),
        }
    }

    fn host(name: &str) -> Option<String> {
        (name == "host").then(|| "h:1".to_owned())
    }

    #[test]
    fn what_a_client_signs_is_taken_and_nothing_that_was_touched() {
        let secret = SecretString::from("hush");
        for (token, signs) in [(None, true), (Some("t+/="), true), (Some("t+/="), false)] {
            let purpose = purpose(signs);
            let query = sign_query(("/prod/%20", "a=b%20c"), "h:1", &credentials(token), &purpose, (AT, 60));
            let presented = read_presented(&query, host).ok().unwrap();
            assert_eq!(presented.session_token.as_deref(), token);
            assert!(presented.is_for(&purpose));
            assert!(presented.is_signed_by(&secret, &purpose, "/prod/%20", host), "{token:?} {signs}");
            assert!(!presented.is_signed_by(&SecretString::from("other"), &purpose, "/prod/%20", host));
            assert!(!presented.is_signed_by(&secret, &purpose, "/other", host));
            assert!(!presented.is_signed_by(&secret, &purpose, "/prod/%20", |_| Some("h:2".into())));
            let touched = read_presented(&query.replace("Expires=60", "Expires=61"), host).ok().unwrap();
            assert!(!touched.is_signed_by(&secret, &purpose, "/prod/%20", host));
            let sent = sign_headers(("/", "a=b"), "h:1", &credentials(token), &purpose, AT);
            let header = |name: &str| {
                let own = sent.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
                own.map(|(_, value)| value.clone()).or_else(|| host(name))
            };
            let presented = read_presented("a=b", header).ok().unwrap();
            assert!(presented.is_signed_by(&secret, &purpose, "/", header), "{sent:?}");
        }
    }

    #[test]
    fn a_signature_has_its_time() {
        let query = sign_query(("/", ""), "h:1", &credentials(None), &purpose(true), (AT, 60));
        let presented = read_presented(&query, host).ok().unwrap();
        // (seconds after it was signed, what is said)
        for (after, said) in [
            (0, Ok(())),
            (60, Ok(())),
            (61, Err(SignatureFault::Expired)),
            (-300, Ok(())),
            (-301, Err(SignatureFault::NotYet)),
        ] {
            let now = (AT as i64 + after) as u64 * 1_000_000;
            assert_eq!(presented.check_time(now, 300), said, "{after}");
        }
    }

    #[test]
    fn what_is_missing_or_incomplete_is_said() {
        let fault = |query: &str, authorization: &str| {
            let header = |name: &str| (name == "authorization").then(|| authorization.to_owned());
            read_presented(query, header).err()
        };
        let query = sign_query(("/", ""), "h:1", &credentials(None), &purpose(true), (AT, 60));
        assert_eq!(fault("", ""), Some(SignatureFault::Missing));
        assert_eq!(fault("a=b", "Bearer x"), Some(SignatureFault::Missing));
        assert_eq!(fault("", "AWS4-HMAC-SHA256 Credential=a/b/c"), Some(SignatureFault::Incomplete));
        for (from, to) in [
            ("X-Amz-Date=2", "X-Amz-Date=x"),
            ("X-Amz-Expires=60", "X-Amz-Expires=0"),
            ("X-Amz-Expires=60", "X-Amz-Expires=604801"),
            ("SignedHeaders=host", "SignedHeaders=date"),
            ("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"),
            ("X-Amz-Signature=", "X-Amz-Signature=0"),
            ("aws4_request", "aws3_request"),
            ("X-Amz-Credential=AKIDEXAMPLE%2F20150830", "X-Amz-Credential=AKIDEXAMPLE%2F20150831"),
        ] {
            let touched = query.replace(from, to);
            assert_ne!(touched, query, "{from}");
            assert_eq!(fault(&touched, ""), Some(SignatureFault::Incomplete), "{to}");
        }
    }

    proptest! {
        #[test]
        fn no_request_makes_it_panic(query in "(X-Amz-(Algorithm|Credential|Date|Expires|SignedHeaders|Signature)=|AWS4-HMAC-SHA256|[a-z0-9/%&=;é]){0,12}", text in ".{0,60}") {
            let header = |_: &str| Some(format!("AWS4-HMAC-SHA256 {text}"));
            for query in [query.as_str(), ""] {
                if let Ok(presented) = read_presented(query, header) {
                    let _ = presented.is_signed_by(&SecretString::from("x"), &purpose(true), &text, header);
                }
            }
        }
    }
}
