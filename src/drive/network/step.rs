//! A step before a handshake: what it asks, where its answers lead, what is kept of the last of them.
//!
//! In: a step's rules, a client's variables and cookies, answers. Out: requests, one after the other; variables filled, or why not. No I/O, no clock.

use bytes::Bytes;
use http::Method;
use http::StatusCode;
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION,
    RETRY_AFTER, USER_AGENT, WWW_AUTHENTICATE,
};
use secrecy::ExposeSecret;
use url::Url;

use crate::declare::is_secret_header;
use crate::lifecycle::{ConnectFailure, Evidence};
use crate::sample::RequestAnswer;
use crate::scenario::keys::{Step, StepPlace};

use super::cookies::Jar;
use super::echo::without_echo;
use super::endpoint::{PRODUCT, basic_credentials};
use super::retry_after::parse_retry_after;
use super::saving::{StepAnswer, cookie_lines, save};
use super::variables::{Renderer, Variables};

/// The most cookies of a step's answers that are looked at for what is saved.
const MOST_COOKIES: usize = 100;

/// A step under way: its next request.
pub(in crate::drive) struct StepWalk {
    pub(in crate::drive) method: Method,
    pub(in crate::drive) url: Url,
    headers: HeaderMap,
    pub(in crate::drive) body: Bytes,
    /// All that stands in its requests which a service might send back.
    sent: Vec<u8>,
    /// What its answers have set, from the first on.
    cookies: Vec<String>,
    /// Redirects that are yet followed.
    left: u32,
}

/// What an answer means to a step.
pub(in crate::drive) enum Turn {
    /// There is another request to be made.
    Again,
    /// It is the last: all is well.
    Done(Box<Whole>),
    Failed(StepFault),
}

/// The answer at the end of a step's redirects.
pub(in crate::drive) struct Whole {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
    /// What the answers have set, from the first on.
    cookies: Vec<String>,
    url: Url,
}

/// A step that came to nothing.
pub(in crate::drive) struct StepFault {
    pub(in crate::drive) failure: ConnectFailure,
    pub(in crate::drive) answer: RequestAnswer,
    pub(in crate::drive) status: Option<u16>,
}

impl StepFault {
    pub(in crate::drive) const fn new(failure: ConnectFailure, answer: RequestAnswer) -> Self {
        Self { failure, answer, status: None }
    }

    /// No request can be made of what the variables hold.
    pub(in crate::drive) const fn not_sent() -> Self {
        Self::new(ConnectFailure::Protocol, RequestAnswer::NotSent)
    }

    fn with_status(self, status: u16) -> Self {
        Self { status: Some(status), ..self }
    }

    /// The service's own word for why it refuses.
    pub(in crate::drive) fn word(&self) -> Option<&str> {
        match &self.failure {
            ConnectFailure::Http(evidence) if self.answer == RequestAnswer::Refused => {
                evidence.body_code.as_deref().or(evidence.bearer_error.as_deref())
            }
            _ => None,
        }
    }
}

impl StepWalk {
    /// The first request of a step, which goes below `base` where it names only a path; `None` where it cannot be sent.
    pub(in crate::drive) fn begin(step: &Step, base: &str, client: Renderer<'_>) -> Option<Self> {
        let Asked { url, headers, body, sent } = asked(step, base, client)?;
        let method = step.method.name().parse().ok()?;
        Some(Self { method, url, headers, body, sent, cookies: Vec::new(), left: step.redirects })
    }

    /// The headers of its next request, those of the place that it goes to and its cookies among them; the time is in seconds since 1970.
    pub(in crate::drive) fn headers(
        &mut self,
        of_place: &HeaderMap,
        jar: Option<&Jar>,
        now_s: u64,
    ) -> HeaderMap {
        let mut headers = self.headers.clone();
        for (name, value) in of_place {
            headers.entry(name).or_insert_with(|| value.clone());
        }
        let cookies =
            jar.filter(|_| !headers.contains_key(COOKIE)).and_then(|jar| jar.header(&self.url, now_s));
        if let Some(value) = cookies.and_then(|cookies| secret_value(&cookies)) {
            self.sent.extend([b"\n", value.as_bytes()].concat());
            headers.insert(COOKIE, value);
        }
        headers
    }

    /// The answer to its request has come; the time is in microseconds since 1970.
    pub(in crate::drive) fn take(
        &mut self,
        step: &Step,
        (status, headers, body): (StatusCode, HeaderMap, Bytes),
        jar: Option<&Jar>,
        unix_us: u64,
    ) -> Turn {
        for line in cookie_lines(&headers) {
            if let Some(jar) = jar {
                jar.take(&self.url, line, unix_us / 1_000_000);
            }
            if self.cookies.len() < MOST_COOKIES {
                self.cookies.push(line.to_owned());
            }
        }
        if let Some(next) = next_of(&self.url, status, &headers).filter(|_| self.left > 0) {
            self.left -= 1;
            self.redirect(status);
            let is_elsewhere = next.origin() != self.url.origin();
            if is_elsewhere {
                leave_secrets_behind(&mut self.headers);
            }
            // What stood in the body was for the first of them.
            if !is_elsewhere || self.body.is_empty() {
                self.url = next;
                return Turn::Again;
            }
        }
        let code = status.as_u16();
        let is_expected =
            if step.expect.is_empty() { status.is_success() } else { step.expect.contains(&code) };
        if is_expected {
            let cookies = std::mem::take(&mut self.cookies);
            let whole = Whole { status: code, headers, body, cookies, url: self.url.clone() };
            return Turn::Done(Box::new(whole));
        }
        log::debug!("{}: answered with {code}", step.name);
        Turn::Failed(self.refusal(code, &headers, &body, unix_us).with_status(code))
    }

    /// What an answer says that no step expects.
    fn refusal(&self, code: u16, headers: &HeaderMap, body: &[u8], unix_us: u64) -> StepFault {
        // One below 400 is an error, and no refusal.
        let what = if code < 400 { RequestAnswer::UnexpectedStatus } else { RequestAnswer::Refused };
        let header = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let retry_after = header(RETRY_AFTER).and_then(|text| parse_retry_after(text, unix_us));
        let evidence =
            Evidence::read(code, header(WWW_AUTHENTICATE), header(CONTENT_TYPE), body, retry_after);
        let failure = ConnectFailure::Http(Box::new(without_echo(evidence, &self.sent)));
        StepFault::new(failure, what)
    }

    /// What is asked after a redirect: after 301 and 302 a POST becomes a GET, as browsers have it, after 303 all but a HEAD.
    fn redirect(&mut self, status: StatusCode) {
        let becomes_get = match status.as_u16() {
            301 | 302 => self.method == Method::POST,
            303 => self.method != Method::HEAD,
            _ => false,
        };
        if becomes_get {
            self.method = Method::GET;
            self.body = Bytes::new();
            self.headers.remove(CONTENT_TYPE);
        }
    }
}

/// A request as it is sent.
struct Asked {
    url: Url,
    headers: HeaderMap,
    body: Bytes,
    sent: Vec<u8>,
}

/// Fills `variables` from the answer of a step; answers with its status.
pub(in crate::drive) fn keep(
    step: &Step,
    variables: &mut Variables,
    whole: &Whole,
) -> Result<u16, StepFault> {
    let Whole { status, ref headers, ref body, ref cookies, ref url } = *whole;
    let answer = StepAnswer { status, headers, body, cookies, url };
    let jar = variables.jar().cloned();
    match save(&step.save, &answer, jar.as_ref(), variables) {
        Ok(()) => Ok(status),
        Err(answer) => {
            log::debug!("{}: the answer lacks what is to be saved", step.name);
            Err(StepFault::new(ConnectFailure::Protocol, answer).with_status(status))
        }
    }
}

/// Where an answer leads (RFC 9110 §15.4); `None` where it leads nowhere that can be asked.
fn next_of(url: &Url, status: StatusCode, headers: &HeaderMap) -> Option<Url> {
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let next = url.join(headers.get(LOCATION)?.to_str().ok()?).ok()?;
    let has_user = !next.username().is_empty() || next.password().is_some();
    (matches!(next.scheme(), "http" | "https") && !has_user).then_some(next)
}

/// A redirect to another origin does not take the step's credentials along.
fn leave_secrets_behind(headers: &mut HeaderMap) {
    let secret: Vec<HeaderName> = headers
        .keys()
        .filter(|name| matches!(**name, AUTHORIZATION | COOKIE | HOST) || is_secret_header(name.as_str()))
        .cloned()
        .collect();
    for name in secret {
        headers.remove(name);
    }
}

/// The request of a step; `None` where it cannot be sent.
fn asked(step: &Step, base: &str, client: Renderer<'_>) -> Option<Asked> {
    let text = match &step.place {
        StepPlace::Url(url) => client.render(url),
        StepPlace::Path(path) => format!("{base}{}", client.render(path)),
    };
    let mut url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let mut sent = url.as_str().as_bytes().to_vec();
    let mut headers = HeaderMap::new();
    if let Some(credentials) = basic_credentials(&url) {
        // They are no part of what is asked for.
        url.set_username("").ok()?;
        url.set_password(None).ok()?;
        headers.append(AUTHORIZATION, secret_value(credentials.expose_secret())?);
    }
    for (name, value) in &step.headers {
        let value = secret_value(&client.render(value))?;
        sent.extend([b"\n", value.as_bytes()].concat());
        headers.append(HeaderName::try_from(name).ok()?, value);
    }
    let mut body = Bytes::new();
    let content_type = if let Some(template) = &step.body {
        body = client.render(template).into();
        Some(HeaderValue::try_from(&step.content_type).ok()?)
    } else if step.form.is_empty() {
        None
    } else {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in &step.form {
            let value = client.render(value);
            sent.extend([b"\n", value.as_bytes()].concat());
            form.append_pair(name, &value);
        }
        body = form.finish().into();
        Some(HeaderValue::from_static("application/x-www-form-urlencoded"))
    };
    if let Some(content_type) = content_type {
        sent.extend([b"\n", &body[..]].concat());
        headers.append(CONTENT_TYPE, content_type);
    }
    headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(PRODUCT));
    headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    Some(Asked { url, headers, body, sent })
}

fn secret_value(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
