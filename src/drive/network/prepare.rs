//! The requests before a handshake, over HTTP.
//!
//! In: the group's steps, a client's token and variables. Out: variables filled, or why not. One HTTP client serves the group; what
//! an answer says is kept in variables alone, and never logged.

use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use url::Url;

use crate::lifecycle::{ConnectFailure, Evidence};
use crate::scenario::keys::{PrepareRules, Step, StepPlace};
use crate::scenario::template::Template;
use crate::scenario::template::UrlText;

use super::context::{Endpoint, GroupContext, Token, endpoint};
use super::echo::without_echo;
use super::local::is_caused_by_local_limit;
use super::resolve::literal;
use super::retry_after::parse_retry_after;
use super::variables::{Renderer, Variables};

/// The most that is read of an answer.
const ANSWER_CAP: usize = 256 * 1024;

/// Fills a client's variables anew: first what they hold at first, then what the steps bring.
pub(super) async fn prepare(
    context: &GroupContext,
    rules: &PrepareRules,
    number: u32,
    token: Option<&Token>,
) -> Result<Variables, ConnectFailure> {
    let mut variables = initial(context, rules, number, token);
    for step in &rules.steps {
        let asked = tokio::time::timeout(step.timeout, ask(context, step, number, token, &variables)).await;
        let body = asked.map_err(|_| ConnectFailure::Timeout)??;
        if !variables.save(&step.save, &body) {
            log::debug!("{}: the answer lacks what is to be saved", step.name);
            return Err(ConnectFailure::Protocol);
        }
    }
    Ok(variables)
}

/// Where the next handshake goes, where the group's URL has variables; `None`: to the group's endpoint. A URL that is none is the
/// fault of whoever gave it.
pub(super) fn elsewhere(
    context: &GroupContext,
    number: u32,
    token: Option<&Token>,
    variables: Option<&Variables>,
) -> Result<Option<Box<Endpoint>>, ConnectFailure> {
    let Some(template) = context.connect.url.as_ref().and_then(UrlText::template) else { return Ok(None) };
    let text = Renderer { context, number, token, variables }.render(template);
    let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "ws" | "wss"));
    let found = url.and_then(|url| endpoint(url).ok());
    found.map(|endpoint| Some(Box::new(endpoint))).ok_or(ConnectFailure::Protocol)
}

fn initial(context: &GroupContext, rules: &PrepareRules, number: u32, token: Option<&Token>) -> Variables {
    let mut variables = Variables::default();
    for (name, template) in &rules.variables {
        let value = Renderer { context, number, token, variables: Some(&variables) }.render(template);
        variables.set(name, value);
    }
    variables
}

async fn ask(
    context: &GroupContext,
    step: &Step,
    number: u32,
    token: Option<&Token>,
    variables: &Variables,
) -> Result<Vec<u8>, ConnectFailure> {
    let renderer = Renderer { context, number, token, variables: Some(variables) };
    let client = context.steps_client.as_ref().ok_or(ConnectFailure::Protocol)?;
    let url = match &step.place {
        StepPlace::Url(url) => renderer.render(url),
        StepPlace::Path(path) => {
            format!("{}://{}{}", context.http_scheme, context.address, renderer.render(path))
        }
    };
    let url = Url::parse(&url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let url = url.ok_or(ConnectFailure::Protocol)?;
    check_way(context, &url)?;
    let mut sent = url.as_str().as_bytes().to_vec();
    let method = step.method.name().parse().map_err(|_| ConnectFailure::Protocol)?;
    let mut request = client.request(method, url);
    for (name, value) in &step.headers {
        let (Ok(name), Some(value)) = (HeaderName::try_from(name), header_value(&renderer, value)) else {
            return Err(ConnectFailure::Protocol);
        };
        sent.extend([b"\n", value.as_bytes()].concat());
        request = request.header(name, value);
    }
    if let Some(body) = &step.body {
        let body = renderer.render(body);
        sent.extend([b"\n", body.as_bytes()].concat());
        request = request.header(CONTENT_TYPE, &step.content_type).body(body);
    }
    read(context, step, request.send().await.map_err(|error| classify(&error))?, &sent).await
}

/// Whether the way to a URL may be gone. The HTTP client asks its resolver, which looks at addresses, for names only, and through a proxy it asks for the
/// proxy's alone.
fn check_way(context: &GroupContext, url: &Url) -> Result<(), ConnectFailure> {
    let policy = context.run.policy();
    let host = url.host_str().unwrap_or_default();
    let connects_to = match &context.proxy {
        Some(_) if !policy.allows_unresolved(host) => return Err(ConnectFailure::Dns),
        Some(proxy) => proxy.host.as_str(),
        None => host,
    };
    match literal(connects_to) {
        Some(address) if policy.check(connects_to, address).is_err() => Err(ConnectFailure::Dns),
        _ => Ok(()),
    }
}

fn header_value(renderer: &Renderer<'_>, value: &Template) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(renderer.render(value)).ok()?;
    value.set_sensitive(true);
    Some(value)
}

async fn read(
    context: &GroupContext,
    step: &Step,
    mut response: reqwest::Response,
    sent: &[u8],
) -> Result<Vec<u8>, ConnectFailure> {
    let status = response.status();
    let header = |name: HeaderName| {
        response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    };
    let (challenge, kind, retry_after) =
        (header(WWW_AUTHENTICATE), header(CONTENT_TYPE), header(RETRY_AFTER));
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| classify(&error))? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_CAP {
            return Err(ConnectFailure::Protocol);
        }
    }
    let code = status.as_u16();
    let is_expected = if step.expect.is_empty() { status.is_success() } else { step.expect.contains(&code) };
    if is_expected {
        return Ok(body);
    }
    log::debug!("{}: answered with {code}", step.name);
    if code < 400 {
        return Err(ConnectFailure::Protocol);
    }
    let retry_after = retry_after.and_then(|text| parse_retry_after(&text, context.run.unix_us()));
    let evidence = Evidence::read(code, challenge.as_deref(), kind.as_deref(), &body, retry_after);
    Err(ConnectFailure::Http(Box::new(without_echo(evidence, sent))))
}

fn classify(error: &reqwest::Error) -> ConnectFailure {
    match error {
        error if is_caused_by_local_limit(error) => ConnectFailure::LocalLimit,
        error if error.is_timeout() => ConnectFailure::Timeout,
        error if error.is_connect() => ConnectFailure::Refused,
        _ => ConnectFailure::Reset,
    }
}
