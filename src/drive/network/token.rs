//! Getting a token over HTTP.
//!
//! In: the group's credentials, what the client needs. Out: a token and what is known of it, or why there is none. One HTTP
//! client serves the group; the token itself is never logged, and a refusal's text is not kept.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::{Notify, Semaphore};
use url::Url;

use crate::clock::Moment;
use crate::lifecycle::{TokenFacts, TokenFailure};
use crate::sample::{Counter, Sample};
use crate::scenario::model::{ClientAuth, ClientCredentials, Grant, Sharing, TokenConnection, TokenRules};

use super::address::AddressPolicy;
use super::context::{GroupContext, PRODUCT, RunShared, Token};
use super::local::is_caused_by_local_limit;
use super::retry_after::parse_retry_after;
use super::shared_token::{SharedTokens, TokenVerdict};

/// The most that is read of a token endpoint's answer.
const ANSWER_CAP: usize = 64 * 1024;
/// How long an unused connection to the token endpoint is kept. Short, so that a storm's descriptors come back.
const POOL_IDLE: Duration = Duration::from_secs(5);

/// Where a group's tokens come from.
#[derive(Debug)]
pub(super) enum TokenSource {
    /// Always this one.
    Fixed(Token),
    /// From a token endpoint.
    Endpoint(Box<TokenEndpoint>),
}

/// A token endpoint, and how it is asked.
#[derive(Debug)]
pub(super) struct TokenEndpoint {
    client: reqwest::Client,
    url: Url,
    headers: HeaderMap,
    body: Bytes,
    timeout: Duration,
    /// Requests at once, where connections are pooled.
    slots: Option<Semaphore>,
    shared: Option<SharedToken>,
}

/// The token of a group that shares one.
#[derive(Debug, Default)]
struct SharedToken {
    state: Mutex<SharedState>,
    settled: Notify,
}

#[derive(Debug, Default)]
struct SharedState {
    rules: SharedTokens,
    token: Option<Token>,
    /// How the last request ended, and how many there have been.
    requests: u64,
    failure: Option<Refusal>,
}

/// A token that came.
#[derive(Debug)]
pub(super) struct Acquired {
    pub(super) token: Token,
    pub(super) facts: TokenFacts,
    /// Whether this call's own request brought it.
    pub(super) fetched: bool,
}

/// Why no token came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The kind of failure.
    pub failure: TokenFailure,
    /// How long the endpoint asked to be left alone.
    pub retry_after: Option<Duration>,
    /// The HTTP status; `None` where there was no answer.
    pub status: Option<u16>,
    /// The error code, where it is one of the standard's (RFC 6749 §5.2).
    pub code: Option<&'static str>,
}

impl From<TokenFailure> for Refusal {
    fn from(failure: TokenFailure) -> Self {
        Self { failure, retry_after: None, status: None, code: None }
    }
}

impl TokenSource {
    pub(super) fn fixed(grant: &Grant) -> Self {
        let token = match grant {
            Grant::Fixed(token) => token.clone(),
            Grant::ClientCredentials(_) => SecretString::default(),
        };
        Self::Fixed(Arc::new(token))
    }

    pub(super) fn client_credentials(
        run: &RunShared,
        url: Url,
        credentials: &ClientCredentials,
        rules: &TokenRules,
    ) -> Result<Self, reqwest::Error> {
        let is_pooled = rules.connection == TokenConnection::Pooled;
        let slots = is_pooled.then(|| Semaphore::new(rules.max_connections as usize));
        let shared = (rules.sharing == Sharing::Group).then(SharedToken::default);
        let endpoint = TokenEndpoint {
            client: http_client(run, is_pooled)?,
            url,
            headers: request_headers(credentials, is_pooled),
            body: form(credentials),
            timeout: rules.timeout,
            slots,
            shared,
        };
        Ok(Self::Endpoint(Box::new(endpoint)))
    }

    /// Gets a token that was requested no earlier than `not_before` and is valid until `valid_until`.
    pub(super) async fn acquire(
        &self,
        context: &GroupContext,
        not_before: Moment,
        valid_until: Moment,
    ) -> Result<Acquired, Refusal> {
        match self {
            Self::Fixed(token) => {
                let now = context.now();
                let facts = TokenFacts { requested: now, received: now, expires: Moment::NEVER };
                Ok(Acquired { token: Arc::clone(token), facts, fetched: false })
            }
            Self::Endpoint(endpoint) => match &endpoint.shared {
                Some(shared) => endpoint.acquire_shared(context, shared, not_before, valid_until).await,
                None => endpoint.fetch(context).await,
            },
        }
    }
}

impl TokenEndpoint {
    async fn acquire_shared(
        &self,
        context: &GroupContext,
        shared: &SharedToken,
        not_before: Moment,
        valid_until: Moment,
    ) -> Result<Acquired, Refusal> {
        loop {
            let settled = shared.settled.notified();
            tokio::pin!(settled);
            let request = {
                let mut state = shared.lock();
                match state.rules.request(not_before, valid_until) {
                    TokenVerdict::Use(facts) => {
                        let token = state.token.clone().ok_or(TokenFailure::Error)?;
                        return Ok(Acquired { token, facts, fetched: false });
                    }
                    TokenVerdict::Lead => None,
                    TokenVerdict::Wait => {
                        settled.as_mut().enable();
                        Some(state.requests)
                    }
                }
            };
            let Some(request) = request else { return self.lead(context, shared).await };
            settled.await;
            let state = shared.lock();
            if let Some(refusal) = state.failure.filter(|_| state.requests == request + 1) {
                return Err(refusal);
            }
        }
    }

    /// Fetches for the group. If this future is dropped, the next client leads.
    async fn lead(&self, context: &GroupContext, shared: &SharedToken) -> Result<Acquired, Refusal> {
        let mut flight = Flight { shared, result: Err(TokenFailure::Error.into()) };
        let fetched = self.fetch(context).await;
        flight.result = match &fetched {
            Ok(acquired) => Ok((acquired.facts, Arc::clone(&acquired.token))),
            Err(refusal) => Err(*refusal),
        };
        drop(flight);
        fetched
    }

    async fn fetch(&self, context: &GroupContext) -> Result<Acquired, Refusal> {
        let slot = match &self.slots {
            Some(slots) => Some(wait_for_slot(context, slots).await?),
            None => None,
        };
        let requested = context.now();
        let answer = tokio::time::timeout(self.timeout, self.ask(context)).await;
        drop(slot);
        let grant = answer.map_err(|_| TokenFailure::Error)??;
        let received = context.now();
        let life = grant.expires_in.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let expires = life.map_or(Moment::NEVER, |life| received + life);
        let token = Arc::new(grant.access_token);
        Ok(Acquired { token, facts: TokenFacts { requested, received, expires }, fetched: true })
    }

    async fn ask(&self, context: &GroupContext) -> Result<TokenGrant, Refusal> {
        let request =
            self.client.post(self.url.clone()).headers(self.headers.clone()).body(self.body.clone()).send();
        let mut response = request.await.map_err(|error| classify(&error))?;
        let status = response.status();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|text| parse_retry_after(text, context.run.unix_us()));
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| classify(&error))? {
            body.extend_from_slice(&chunk);
            if body.len() > ANSWER_CAP {
                return Err(TokenFailure::Error.into());
            }
        }
        let status = status.as_u16();
        read_answer(status, &body).map_err(|failure| Refusal {
            failure,
            retry_after,
            status: Some(status),
            code: standard_code(&body),
        })
    }
}

impl SharedToken {
    fn lock(&self) -> std::sync::MutexGuard<'_, SharedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A shared request under way; settled when dropped, whatever became of it.
struct Flight<'a> {
    shared: &'a SharedToken,
    result: Result<(TokenFacts, Token), Refusal>,
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.requests += 1;
        state.failure = self.result.as_ref().err().copied();
        state.rules.settle(self.result.as_ref().ok().map(|(facts, _)| *facts));
        if let Ok((_, token)) = &self.result {
            state.token = Some(Arc::clone(token));
        }
        drop(state);
        self.shared.settled.notify_waiters();
    }
}

/// Waits for a connection of the pool, and counts the wait where there is one: it is this program's, not the target's.
async fn wait_for_slot<'a>(
    context: &GroupContext,
    slots: &'a Semaphore,
) -> Result<tokio::sync::SemaphorePermit<'a>, Refusal> {
    if let Ok(slot) = slots.try_acquire() {
        return Ok(slot);
    }
    let since = context.now();
    let slot = slots.acquire().await.map_err(|_| TokenFailure::Error)?;
    let now = context.now();
    context.run.note_pool_wait(now.since(since));
    context.send(now, Sample::Count(Counter::TokenPoolWaits, 1)).await;
    Ok(slot)
}

pub(super) fn http_client(run: &RunShared, is_pooled: bool) -> Result<reqwest::Client, reqwest::Error> {
    let tls = run.tls().map_or_else(no_tls, |config| Some(config.as_ref().clone()));
    let builder = reqwest::Client::builder()
        .user_agent(PRODUCT)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .http1_only()
        .tcp_nodelay(true)
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(if is_pooled { usize::MAX } else { 0 })
        .dns_resolver(PolicedResolver { policy: Arc::clone(run.policy()) });
    match tls {
        Some(config) => builder.tls_backend_preconfigured(config).build(),
        None => builder.build(),
    }
}

/// A configuration that trusts nobody, for runs without TLS: without one, the HTTP client would load the system's store
/// for nothing.
fn no_tls() -> Option<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    Some(builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
}

fn request_headers(credentials: &ClientCredentials, is_pooled: bool) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    if !is_pooled {
        // The endpoint then closes first, and its side keeps TIME_WAIT: ports here stay free.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if credentials.auth == ClientAuth::Basic {
        let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        // RFC 6749 §2.3.1: both are form-encoded before they are joined.
        let id = encode(&credentials.client_id);
        let secret = encode(credentials.client_secret.expose_secret());
        let joined = base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}"));
        if let Ok(mut value) = HeaderValue::try_from(format!("Basic {joined}")) {
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
    }
    headers
}

/// The request's form (RFC 6749 §4.4.2).
fn form(credentials: &ClientCredentials) -> Bytes {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    if credentials.auth == ClientAuth::Body {
        form.append_pair("client_id", &credentials.client_id);
        form.append_pair("client_secret", credentials.client_secret.expose_secret());
    }
    if !credentials.scopes.is_empty() {
        form.append_pair("scope", &credentials.scopes.join(" "));
    }
    Bytes::from(form.finish())
}

/// What a token endpoint grants (RFC 6749 §5.1).
#[derive(Debug, Deserialize)]
struct TokenGrant {
    access_token: SecretString,
    #[serde(default)]
    expires_in: Option<f64>,
}

/// A token endpoint's refusal (RFC 6749 §5.2).
#[derive(Deserialize)]
struct OAuthError {
    error: String,
}

/// The codes of RFC 6749 §5.2.
const STANDARD_CODES: [&str; 6] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
];

/// The code of a refusal, where it is a standard one: any other text may hold what must not be shown.
fn standard_code(body: &[u8]) -> Option<&'static str> {
    let said: OAuthError = serde_json::from_slice(body).ok()?;
    STANDARD_CODES.into_iter().find(|code| *code == said.error)
}

/// Reads an answer: a grant, an OAuth error (RFC 6749 §5.2), or neither.
fn read_answer(status: u16, body: &[u8]) -> Result<TokenGrant, TokenFailure> {
    if (200..300).contains(&status) {
        let grant: TokenGrant = serde_json::from_slice(body).map_err(|_| TokenFailure::Error)?;
        let is_empty = grant.access_token.expose_secret().is_empty();
        return if is_empty { Err(TokenFailure::Error) } else { Ok(grant) };
    }
    match serde_json::from_slice::<OAuthError>(body) {
        Ok(error) if (400..500).contains(&status) && status != 429 && !error.error.is_empty() => {
            Err(TokenFailure::Refused)
        }
        _ => Err(TokenFailure::Error),
    }
}

fn classify(error: &reqwest::Error) -> TokenFailure {
    let error: &(dyn Error + 'static) = error;
    if is_caused_by_local_limit(error) { TokenFailure::LocalLimit } else { TokenFailure::Error }
}

/// Resolves as the system does, and lets only addresses pass that may be hit.
#[derive(Debug)]
struct PolicedResolver {
    policy: Arc<AddressPolicy>,
}

impl reqwest::dns::Resolve for PolicedResolver {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let policy = Arc::clone(&self.policy);
        Box::pin(async move {
            let host = name.as_str();
            let mut allowed = Vec::new();
            for address in tokio::net::lookup_host((host, 0)).await? {
                policy.check(host, address.ip())?;
                allowed.push(address);
            }
            Ok(Box::new(allowed.into_iter()) as reqwest::dns::Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_as_rfc_6749_has_them() {
        let html = b"<html>502 Bad Gateway</html>".as_slice();
        // (status, body, failure; None: a grant)
        let rows: &[(u16, &[u8], Option<TokenFailure>)] = &[
            (200, br#"{"access_token":"t","token_type":"bearer","expires_in":60}"#, None),
            (200, br#"{"access_token":"t"}"#, None),
            (200, br#"{"access_token":""}"#, Some(TokenFailure::Error)),
            (200, br#"{"token":"t"}"#, Some(TokenFailure::Error)),
            (200, br#"{"access_token":"t","expires_in":"#, Some(TokenFailure::Error)),
            (200, html, Some(TokenFailure::Error)),
            (400, br#"{"error":"invalid_scope"}"#, Some(TokenFailure::Refused)),
            (401, br#"{"error":"invalid_client"}"#, Some(TokenFailure::Refused)),
            (403, html, Some(TokenFailure::Error)),
            (429, br#"{"error":"slow_down"}"#, Some(TokenFailure::Error)),
            (502, html, Some(TokenFailure::Error)),
            (500, br#"{"error":"server_error"}"#, Some(TokenFailure::Error)),
        ];
        for (status, body, failure) in rows {
            let answer = read_answer(*status, body);
            assert_eq!(answer.as_ref().err(), failure.as_ref(), "{status} {}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn credentials_go_where_the_scenario_puts_them() {
        let mut credentials = ClientCredentials {
            client_id: "a b".into(),
            client_secret: SecretString::from("p&ss:word"),
            auth: ClientAuth::Body,
            scopes: vec!["x:read".into(), "y".into()],
        };
        let body = String::from_utf8(form(&credentials).to_vec()).unwrap();
        assert_eq!(
            body,
            "grant_type=client_credentials&client_id=a+b&client_secret=p%26ss%3Aword&scope=x%3Aread+y"
        );
        assert!(request_headers(&credentials, true).get(AUTHORIZATION).is_none());
        credentials.auth = ClientAuth::Basic;
        credentials.scopes.clear();
        assert_eq!(form(&credentials), "grant_type=client_credentials");
        let headers = request_headers(&credentials, false);
        assert_eq!(headers[AUTHORIZATION], "Basic YStiOnAlMjZzcyUzQXdvcmQ=");
        assert!(headers[AUTHORIZATION].is_sensitive());
        assert_eq!(headers[CONNECTION], "close");
    }

    #[test]
    fn a_token_never_shows() {
        let grant = read_answer(200, br#"{"access_token":"very-secret"}"#).unwrap();
        assert!(!format!("{grant:?}").contains("very-secret"));
    }
}
