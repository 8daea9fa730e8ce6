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

use crate::clock::Clock;
use crate::lifecycle::{ConnectFailure, Evidence};
use crate::scenario::keys::{PrepareRules, Step, StepPlace};

use super::echo::without_echo;
use super::endpoint::{PRODUCT, basic_credentials};
use super::http::{HttpClient, HttpFailure, HttpRequest};
use super::retry_after::parse_retry_after;
use super::variables::{Renderer, Variables};

/// The most that is read of an answer.
const ANSWER_CAP: usize = 256 * 1024;

/// Makes the requests of a group's clients on one worker.
pub(super) struct Preparer {
    clock: Clock,
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
    for step in &rules.steps {
        *reached = Some(&step.name);
        let preparer = preparer.ok_or(ConnectFailure::Protocol)?;
        let asked = timeout(step.timeout, preparer.ask(step, client.with(&variables))).await;
        let body = asked.map_err(|_| ConnectFailure::Timeout)??;
        if !variables.save(&step.save, &body) {
            log::debug!("{}: the answer lacks what is to be saved", step.name);
            return Err(ConnectFailure::Protocol);
        }
    }
    Ok(variables)
}

impl Preparer {
    /// Asks over `http`; a step that names only a path, below `base`.
    pub(super) const fn new(clock: Clock, http: Arc<HttpClient>, base: String) -> Self {
        Self { clock, http, base }
    }

    async fn ask(&self, step: &Step, client: Renderer<'_>) -> Result<Bytes, ConnectFailure> {
        let Asked { url, mut headers, body, sent } =
            asked(step, &self.base, client).ok_or(ConnectFailure::Protocol)?;
        let target = self.http.target(url).ok_or(ConnectFailure::Protocol)?;
        for (name, value) in target.headers() {
            headers.entry(name).or_insert_with(|| value.clone());
        }
        let method = step.method.name().parse().map_err(|_| ConnectFailure::Protocol)?;
        let request = HttpRequest::new(method, &headers, &body, ANSWER_CAP);
        let (head, body) =
            self.http.send(&target, client.number(), request).await.map_err(failure_of_step)?;
        let status = head.status;
        let code = status.as_u16();
        let is_expected =
            if step.expect.is_empty() { status.is_success() } else { step.expect.contains(&code) };
        if is_expected {
            return Ok(body);
        }
        log::debug!("{}: answered with {code}", step.name);
        Err(self.refusal(&head, &body, &sent))
    }

    /// What an answer says that no step expects.
    fn refusal(&self, head: &Parts, body: &[u8], sent: &[u8]) -> ConnectFailure {
        let code = head.status.as_u16();
        let header = |name: HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok());
        let retry_after =
            header(RETRY_AFTER).and_then(|text| parse_retry_after(text, self.clock.unix_us_now()));
        let evidence =
            Evidence::read(code, header(WWW_AUTHENTICATE), header(CONTENT_TYPE), body, retry_after);
        ConnectFailure::Http(Box::new(without_echo(evidence, sent)))
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
