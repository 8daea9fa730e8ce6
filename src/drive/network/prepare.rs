//! The requests before a handshake, over HTTP.
//!
//! In: the group's steps, a client's token and variables. Out: variables filled, or why not. What an answer says is kept in variables
//! alone, and never logged.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION,
    RETRY_AFTER, USER_AGENT, WWW_AUTHENTICATE,
};
use http::response::Parts;
use secrecy::ExposeSecret;
use tokio::time::timeout;
use url::Url;

use crate::declare::is_secret_header;
use crate::lifecycle::{ConnectFailure, Evidence};
use crate::sample::{Request, RequestAnswer, RequestEnd, Sample};
use crate::scenario::keys::{PrepareRules, Step, StepPlace};

use super::cookies::Jar;
use super::echo::without_echo;
use super::endpoint::{PRODUCT, basic_credentials};
use super::group_sink::GroupSink;
use super::http::{HttpClient, HttpFailure, HttpRequest};
use super::retry_after::parse_retry_after;
use super::saving::{StepAnswer, cookie_lines, save};
use super::variables::{Renderer, Variables};
use super::word_book::WordBook;

/// The most cookies of a step's answers that are looked at for what is saved.
const MOST_COOKIES: usize = 100;
/// The most that is read of an answer.
const ANSWER_CAP: usize = 256 * 1024;

/// Makes the requests of a group's clients on one worker.
pub(super) struct Preparer {
    sink: GroupSink,
    words: WordBook,
    http: Arc<HttpClient>,
    /// Scheme, host and port of requests that name only a path.
    base: String,
}

/// A request as it is sent.
struct Asked {
    url: Url,
    headers: HeaderMap,
    body: Bytes,
    /// All that stands in it which a service might send back.
    sent: Vec<u8>,
}

/// Fills a client's variables anew: first what they hold at first, then what the steps bring; those are made by `preparer`, where there
/// are any.
pub(super) async fn prepare(
    preparer: Option<&Preparer>,
    rules: &PrepareRules,
    client: Renderer<'_>,
    jar: Option<Jar>,
) -> Result<Variables, ConnectFailure> {
    prepare_noting(preparer, rules, client, jar, &mut None).await
}

/// The same; `reached` names the step that is made, and so the one at which it ends.
pub(super) async fn prepare_noting<'r>(
    preparer: Option<&Preparer>,
    rules: &'r PrepareRules,
    client: Renderer<'_>,
    jar: Option<Jar>,
    reached: &mut Option<&'r str>,
) -> Result<Variables, ConnectFailure> {
    let mut variables = Variables::with_jar(jar);
    for (name, template) in &rules.variables {
        let value = client.with(&variables).render(template);
        variables.set(name, value);
    }
    for (index, step) in (0_u8..).zip(&rules.steps) {
        *reached = Some(&step.name);
        let preparer = preparer.ok_or(ConnectFailure::Protocol)?;
        preparer.make(index, step, client, &mut variables).await?;
    }
    Ok(variables)
}

/// What a step's answer says, or why there is none to go on with.
type Answered = Result<Whole, StepFault>;

/// The answer at the end of a step's redirects.
struct Whole {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
    /// What the answers have set, from the first on.
    cookies: Vec<String>,
    url: Url,
}

/// A step that came to nothing.
struct StepFault {
    failure: ConnectFailure,
    answer: RequestAnswer,
    status: Option<u16>,
}

impl StepFault {
    const fn new(failure: ConnectFailure, answer: RequestAnswer) -> Self {
        Self { failure, answer, status: None }
    }

    /// No request can be made of what the variables hold.
    const fn not_sent() -> Self {
        Self::new(ConnectFailure::Protocol, RequestAnswer::NotSent)
    }

    fn with_status(self, status: u16) -> Self {
        Self { status: Some(status), ..self }
    }

    /// The service's own word for why it refuses.
    fn word(&self) -> Option<&str> {
        match &self.failure {
            ConnectFailure::Http(evidence) if self.answer == RequestAnswer::Refused => {
                evidence.body_code.as_deref().or(evidence.bearer_error.as_deref())
            }
            _ => None,
        }
    }
}

impl From<HttpFailure> for StepFault {
    fn from(failed: HttpFailure) -> Self {
        let answer = failed.answer();
        Self::new(failure_of_step(failed), answer)
    }
}

impl Preparer {
    /// Asks over `http`; a step that names only a path, below `base`. How each request ends is told to `sink`.
    pub(super) fn new(sink: GroupSink, http: Arc<HttpClient>, base: String) -> Self {
        Self { sink, words: WordBook::default(), http, base }
    }

    /// Makes the request of a step, and fills `variables` from its answer.
    async fn make(
        &self,
        index: u8,
        step: &Step,
        client: Renderer<'_>,
        variables: &mut Variables,
    ) -> Result<(), ConnectFailure> {
        let began = self.sink.clock().now();
        let asked =
            timeout(step.timeout, self.ask(step, client.with(variables).at_once(), variables.jar())).await;
        let answered = match asked {
            Ok(answered) => answered.and_then(|whole| keep(step, variables, &whole)),
            Err(_) => Err(StepFault::new(ConnectFailure::Timeout, RequestAnswer::Timeout)),
        };
        let now = self.sink.clock().now();
        let (answer, status, error) = match &answered {
            Ok(status) => (RequestAnswer::Ok, Some(*status), None),
            Err(fault) => (fault.answer, fault.status, fault.word().map(|word| self.words.keep(index, word))),
        };
        let request = Request::Step(index);
        let end = RequestEnd { request, answer, status, error, latency: now.since(began) };
        self.sink.send(now, Sample::Request(Box::new(end))).await;
        answered.map(drop).map_err(|fault| fault.failure)
    }

    async fn ask(&self, step: &Step, client: Renderer<'_>, jar: Option<&Jar>) -> Answered {
        let Asked { mut url, mut headers, mut body, mut sent } =
            asked(step, &self.base, client).ok_or_else(StepFault::not_sent)?;
        let mut method: Method = step.method.name().parse().map_err(|_| StepFault::not_sent())?;
        let (mut cookies, mut left) = (Vec::new(), step.redirects);
        loop {
            let (head, text) =
                self.exchange(&method, &url, &headers, &body, client.number(), jar, &mut sent).await?;
            let now_s = self.sink.clock().unix_us_now() / 1_000_000;
            for line in cookie_lines(&head.headers) {
                if let Some(jar) = jar {
                    jar.take(&url, line, now_s);
                }
                if cookies.len() < MOST_COOKIES {
                    cookies.push(line.to_owned());
                }
            }
            if let Some(next) = next_of(&url, &head).filter(|_| left > 0) {
                left -= 1;
                redirect(&head, &mut method, &mut body, &mut headers);
                let is_elsewhere = next.origin() != url.origin();
                if is_elsewhere {
                    leave_secrets_behind(&mut headers);
                }
                // What stood in the body was for the first of them.
                if !is_elsewhere || body.is_empty() {
                    url = next;
                    continue;
                }
            }
            let code = head.status.as_u16();
            let is_expected =
                if step.expect.is_empty() { head.status.is_success() } else { step.expect.contains(&code) };
            if is_expected {
                return Ok(Whole { status: code, headers: head.headers, body: text, cookies, url });
            }
            log::debug!("{}: answered with {code}", step.name);
            return Err(self.refusal(&head, &text, &sent).with_status(code));
        }
    }

    /// One request of a step; what stands in it is added to `sent`.
    #[expect(clippy::too_many_arguments, reason = "all of a request, and where it goes")]
    async fn exchange(
        &self,
        method: &Method,
        url: &Url,
        headers: &HeaderMap,
        body: &Bytes,
        number: u32,
        jar: Option<&Jar>,
        sent: &mut Vec<u8>,
    ) -> Result<(Parts, Bytes), StepFault> {
        let target = self.http.target(url.clone()).ok_or_else(StepFault::not_sent)?;
        let mut headers = headers.clone();
        for (name, value) in target.headers() {
            headers.entry(name).or_insert_with(|| value.clone());
        }
        let now_s = self.sink.clock().unix_us_now() / 1_000_000;
        let cookies = jar.filter(|_| !headers.contains_key(COOKIE)).and_then(|jar| jar.header(url, now_s));
        if let Some(value) = cookies.and_then(|cookies| secret_value(&cookies)) {
            sent.extend([b"\n", value.as_bytes()].concat());
            headers.insert(COOKIE, value);
        }
        let request = HttpRequest::new(method.clone(), &headers, body, ANSWER_CAP);
        Ok(self.http.send(&target, number, request).await?)
    }

    /// What an answer says that no step expects.
    fn refusal(&self, head: &Parts, body: &[u8], sent: &[u8]) -> StepFault {
        let code = head.status.as_u16();
        // One below 400 is an error, and no refusal.
        let what = if code < 400 { RequestAnswer::UnexpectedStatus } else { RequestAnswer::Refused };
        let header = |name: HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok());
        let retry_after =
            header(RETRY_AFTER).and_then(|text| parse_retry_after(text, self.sink.clock().unix_us_now()));
        let evidence =
            Evidence::read(code, header(WWW_AUTHENTICATE), header(CONTENT_TYPE), body, retry_after);
        let failure = ConnectFailure::Http(Box::new(without_echo(evidence, sent)));
        StepFault::new(failure, what)
    }
}

/// Fills `variables` from the answer of a step; answers with its status.
fn keep(step: &Step, variables: &mut Variables, whole: &Whole) -> Result<u16, StepFault> {
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
fn next_of(url: &Url, head: &Parts) -> Option<Url> {
    if !matches!(head.status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let next = url.join(head.headers.get(LOCATION)?.to_str().ok()?).ok()?;
    let has_user = !next.username().is_empty() || next.password().is_some();
    (matches!(next.scheme(), "http" | "https") && !has_user).then_some(next)
}

/// What is asked after a redirect: after 301 and 302 a POST becomes a GET, as browsers have it, after 303 all but a HEAD.
fn redirect(head: &Parts, method: &mut Method, body: &mut Bytes, headers: &mut HeaderMap) {
    let becomes_get = match head.status.as_u16() {
        301 | 302 => *method == Method::POST,
        303 => *method != Method::HEAD,
        _ => false,
    };
    if becomes_get {
        *method = Method::GET;
        *body = Bytes::new();
        headers.remove(CONTENT_TYPE);
    }
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

fn failure_of_step(failure: HttpFailure) -> ConnectFailure {
    match failure {
        HttpFailure::Connect(failure) => failure,
        HttpFailure::LocalLimit => ConnectFailure::LocalLimit,
        HttpFailure::Broken => ConnectFailure::Reset,
        HttpFailure::TooLarge => ConnectFailure::Protocol,
    }
}
