//! The requests before a handshake, over HTTP.
//!
//! In: the group's steps, a client's token and variables. Out: variables filled, or why not. What an answer says is kept in variables
//! alone, and never logged.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT,
    WWW_AUTHENTICATE,
};
use http::response::Parts;
use secrecy::ExposeSecret;
use tokio::time::timeout;
use url::Url;

use crate::lifecycle::{ConnectFailure, Evidence};
use crate::sample::{Request, RequestAnswer, RequestEnd, Sample};
use crate::scenario::keys::{PrepareRules, Step, StepPlace};

use super::echo::without_echo;
use super::endpoint::{PRODUCT, basic_credentials};
use super::group_sink::GroupSink;
use super::http::{HttpClient, HttpFailure, HttpRequest};
use super::retry_after::parse_retry_after;
use super::variables::{Renderer, Variables};
use super::word_book::WordBook;

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
) -> Result<Variables, ConnectFailure> {
    prepare_noting(preparer, rules, client, &mut None).await
}

/// The same; `reached` names the step that is made, and so the one at which it ends.
pub(super) async fn prepare_noting<'r>(
    preparer: Option<&Preparer>,
    rules: &'r PrepareRules,
    client: Renderer<'_>,
    reached: &mut Option<&'r str>,
) -> Result<Variables, ConnectFailure> {
    let mut variables = Variables::default();
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
type Answered = Result<(u16, Bytes), StepFault>;

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
        let asked = timeout(step.timeout, self.ask(step, client.with(variables))).await;
        let answered = match asked {
            Ok(answered) => answered.and_then(|(status, body)| save(step, variables, status, &body)),
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

    async fn ask(&self, step: &Step, client: Renderer<'_>) -> Answered {
        let Asked { url, mut headers, body, sent } =
            asked(step, &self.base, client).ok_or_else(StepFault::not_sent)?;
        let target = self.http.target(url).ok_or_else(StepFault::not_sent)?;
        for (name, value) in target.headers() {
            headers.entry(name).or_insert_with(|| value.clone());
        }
        let method = step.method.name().parse().map_err(|_| StepFault::not_sent())?;
        let request = HttpRequest::new(method, &headers, &body, ANSWER_CAP);
        let (head, body) = self.http.send(&target, client.number(), request).await?;
        let status = head.status;
        let code = status.as_u16();
        let is_expected =
            if step.expect.is_empty() { status.is_success() } else { step.expect.contains(&code) };
        if is_expected {
            return Ok((code, body));
        }
        log::debug!("{}: answered with {code}", step.name);
        Err(self.refusal(&head, &body, &sent).with_status(code))
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
fn save(step: &Step, variables: &mut Variables, status: u16, body: &[u8]) -> Result<u16, StepFault> {
    if variables.save(&step.save, body) {
        return Ok(status);
    }
    log::debug!("{}: the answer lacks what is to be saved", step.name);
    let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok();
    let answer = if is_json { RequestAnswer::NoValue } else { RequestAnswer::NotJson };
    Err(StepFault::new(ConnectFailure::Protocol, answer).with_status(status))
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
    if let Some(template) = &step.body {
        body = client.render(template).into();
        sent.extend([b"\n", &body[..]].concat());
        headers.append(CONTENT_TYPE, HeaderValue::try_from(&step.content_type).ok()?);
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
