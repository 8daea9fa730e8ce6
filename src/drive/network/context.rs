//! What the clients of a run, and those of a group, share.
//!
//! In: the scenario's rules for a group, the target's address. Out: [`RunShared`] and [`GroupContext`], built once. A client
//! keeps only a pointer to them: headers, URLs and TLS are not its own.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::http::Uri;
use tokio_tungstenite::tungstenite::http::header::{
    CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE, USER_AGENT,
};
use url::Url;

use crate::clock::{Clock, Moment};
use crate::drive::SampleSink;
use crate::lifecycle::GroupRules;
use crate::sample::{GroupId, Sample};
use crate::scenario::model::{ConnectRules, Grant, HeaderText, TokenRules};

use super::address::AddressPolicy;
use super::proxy::Proxy;
use super::resolve::Resolver;
use super::token::TokenSource;
use super::token_http::http_client;
use super::wire::Wire;

/// A token in a client's hand: shared where the group shares it.
pub(super) type Token = Arc<SecretString>;

/// How this program names itself to a target.
pub(super) const PRODUCT: &str = concat!("resurge/", env!("CARGO_PKG_VERSION"));
/// Path of the guarded endpoint on the embedded target.
const EMBEDDED_PATH: &str = "/api/v2/analytics/events";
/// Path of the embedded target's token endpoint.
const EMBEDDED_TOKEN_PATH: &str = "/oauth/token";

/// How far the run's end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StopPhase {
    /// It goes on.
    Running,
    /// No new attempts; what is under way goes on to its end.
    Draining,
    /// Everything is cut off.
    Aborting,
}

/// What all clients of a run share.
#[derive(Debug)]
pub struct RunShared {
    pub(super) clock: Clock,
    policy: Arc<AddressPolicy>,
    sink: SampleSink,
    stop: watch::Receiver<StopPhase>,
    tls: Option<Arc<rustls::ClientConfig>>,
    resolver: Resolver,
    /// Where the embedded target listens; empty for one that has a single address.
    target_addresses: Vec<SocketAddr>,
    /// Connections that clients keep open in silence.
    silent: Mutex<Vec<Wire>>,
    /// Longest wait for a connection of a token pool, in microseconds.
    pool_wait_max_us: AtomicU64,
}

impl RunShared {
    /// What a run's clients share. `tls` is needed where any URL is `wss` or `https`.
    #[must_use]
    pub fn new(
        clock: Clock,
        policy: Arc<AddressPolicy>,
        sink: SampleSink,
        stop: watch::Receiver<StopPhase>,
        tls: Option<rustls::ClientConfig>,
    ) -> Self {
        Self {
            clock,
            policy,
            sink,
            stop,
            tls: tls.map(Arc::new),
            resolver: Resolver::default(),
            target_addresses: Vec::new(),
            silent: Mutex::default(),
            pool_wait_max_us: AtomicU64::new(0),
        }
    }

    /// The same, where clients of the embedded target spread over these addresses of it by their number.
    #[must_use]
    pub fn spread_over(self, target_addresses: Vec<SocketAddr>) -> Self {
        Self { target_addresses, ..self }
    }

    /// The embedded target's address for client `number`; `None` where it has no choice.
    pub(super) fn target_address(&self, number: u32) -> Option<SocketAddr> {
        let count = self.target_addresses.len();
        (count > 1).then(|| self.target_addresses[number as usize % count])
    }

    /// Longest wait for a connection of a token pool so far.
    #[must_use]
    pub fn pool_wait_max(&self) -> Duration {
        Duration::from_micros(self.pool_wait_max_us.load(Ordering::Relaxed))
    }

    pub(super) fn note_pool_wait(&self, wait: Duration) {
        let us = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        self.pool_wait_max_us.fetch_max(us, Ordering::Relaxed);
    }

    pub(super) fn keep_silent(&self, wire: Wire) {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner).push(wire);
    }

    /// Calendar time now, in microseconds since 1970.
    pub(super) fn unix_us(&self) -> u64 {
        self.clock.unix_us(self.clock.now())
    }

    pub(super) fn stop(&self) -> watch::Receiver<StopPhase> {
        self.stop.clone()
    }

    pub(super) async fn resolve(&self, host: &str, port: u16, ttl: Duration, turn: u32) -> Vec<SocketAddr> {
        self.resolver.resolve(host, port, ttl, turn, &self.clock, &self.policy).await
    }

    pub(super) const fn policy(&self) -> &Arc<AddressPolicy> {
        &self.policy
    }

    pub(super) const fn tls(&self) -> Option<&Arc<rustls::ClientConfig>> {
        self.tls.as_ref()
    }
}

/// Where a group connects to unless it says otherwise.
#[derive(Debug, Clone)]
pub enum TargetAddress {
    /// The target in this process.
    Embedded(SocketAddr),
    /// The target in this process, with TLS.
    EmbeddedTls(SocketAddr),
    /// A service.
    Remote {
        /// WebSocket URL.
        url: Url,
        /// Token endpoint.
        token_url: Option<Url>,
    },
}

impl TargetAddress {
    fn websocket_url(&self, connect: &ConnectRules) -> Result<Url, ContextError> {
        if let Some(url) = &connect.url {
            return Ok(url.clone());
        }
        match self {
            Self::Remote { url, .. } => Ok(url.clone()),
            Self::Embedded(address) | Self::EmbeddedTls(address) => {
                let path = connect.path.as_deref().unwrap_or(EMBEDDED_PATH);
                let scheme = if self.is_secure() { "wss" } else { "ws" };
                let text = format!("{scheme}://{address}{path}");
                Url::parse(&text).map_err(|source| ContextError::Url { text, source })
            }
        }
    }

    const fn is_secure(&self) -> bool {
        matches!(self, Self::EmbeddedTls(_))
    }

    fn token_url(&self, rules: &TokenRules) -> Result<Option<Url>, ContextError> {
        if let Some(url) = &rules.url {
            return Ok(Some(url.clone()));
        }
        match self {
            Self::Remote { token_url, .. } => Ok(token_url.clone()),
            Self::Embedded(address) | Self::EmbeddedTls(address) => {
                let scheme = if self.is_secure() { "https" } else { "http" };
                let text = format!("{scheme}://{address}{EMBEDDED_TOKEN_PATH}");
                Url::parse(&text).map(Some).map_err(|source| ContextError::Url { text, source })
            }
        }
    }
}

/// The WebSocket endpoint of a group.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    pub(super) url: Url,
    pub(super) uri: Uri,
    pub(super) host: String,
    pub(super) port: u16,
}

/// What a group is built from.
#[derive(Debug, Clone)]
pub struct GroupSetup {
    /// Its index in the scenario.
    pub id: GroupId,
    /// Its name, for messages.
    pub name: String,
    /// How its clients behave.
    pub rules: GroupRules,
    /// How they connect.
    pub connect: ConnectRules,
}

/// What the clients of a group share. The last one to let go of it closes `done`.
pub struct GroupContext {
    pub(super) run: Arc<RunShared>,
    id: GroupId,
    pub(super) rules: GroupRules,
    pub(super) connect: ConnectRules,
    pub(super) endpoint: Endpoint,
    pub(super) headers: HeaderMap,
    pub(super) tls: Option<TlsConnector>,
    pub(super) token: Option<TokenSource>,
    /// For the requests before a handshake, where there are any.
    pub(super) steps_client: Option<reqwest::Client>,
    /// What connections go through.
    pub(super) proxy: Option<Proxy>,
    /// Host and port of the target.
    pub(super) address: String,
    /// `http`, or `https` where the target's WebSockets are secure.
    pub(super) http_scheme: &'static str,
    pub(super) is_embedded: bool,
    _done: mpsc::Sender<()>,
}

/// Why a group cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// A URL cannot be used.
    #[error("the URL {text} cannot be used: {source}")]
    Url {
        /// The URL.
        text: String,
        /// Why.
        source: url::ParseError,
    },
    /// A URL has no host or no port.
    #[error("the URL {url} has no host and port to connect to")]
    NoHost {
        /// The URL.
        url: String,
    },
    /// The HTTP client for tokens cannot be built.
    #[error("group {group}: the token client cannot be set up: {source}")]
    TokenClient {
        /// The group.
        group: String,
        /// Why.
        source: reqwest::Error,
    },
    /// A group fetches tokens, but from where is not said.
    #[error(
        "group {group} fetches tokens, but neither target.token_url nor the group's token.url says where"
    )]
    NoTokenUrl {
        /// The group.
        group: String,
    },
    /// A proxy's URL cannot be used; it may hold a password, so it is not shown.
    #[error("group {group}: connect.proxy is no URL of an HTTP proxy, as http://user:password@host:3128")]
    Proxy {
        /// The group.
        group: String,
    },
    /// A header cannot be sent.
    #[error("group {group}: the header {header} cannot be sent as written")]
    Header {
        /// The group.
        group: String,
        /// The header's name.
        header: String,
    },
}

impl GroupContext {
    /// Builds what a group shares.
    ///
    /// # Errors
    /// [`ContextError`] when a URL, a header or the token client cannot be used.
    pub fn new(
        run: Arc<RunShared>,
        setup: GroupSetup,
        target: &TargetAddress,
        done: mpsc::Sender<()>,
    ) -> Result<Self, ContextError> {
        let GroupSetup { id, name, rules, connect } = setup;
        let endpoint = endpoint(target.websocket_url(&connect)?)?;
        let headers = headers(&name, &endpoint, &connect)?;
        let is_secure = endpoint.url.scheme() == "wss";
        let may_be_secure = is_secure || connect.url_template.is_some();
        let tls = run.tls().filter(|_| may_be_secure).map(|config| TlsConnector::from(Arc::clone(config)));
        let proxy = match &connect.proxy {
            Some(url) => Some(Proxy::new(url).ok_or_else(|| ContextError::Proxy { group: name.clone() })?),
            None => None,
        };
        let token = match &rules.token {
            Some(token) => Some(token_source(&run, &name, token, target, proxy.as_ref())?),
            None => None,
        };
        let has_steps = rules.prepare.as_ref().is_some_and(|prepare| !prepare.steps.is_empty());
        let steps_client = has_steps
            .then(|| http_client(&run, true, proxy.as_ref()))
            .transpose()
            .map_err(|source| ContextError::TokenClient { group: name.clone(), source })?;
        let address = authority(&endpoint.url);
        let http_scheme = if is_secure { "https" } else { "http" };
        let is_embedded = matches!(target, TargetAddress::Embedded(_) | TargetAddress::EmbeddedTls(_))
            && connect.url.is_none();
        Ok(Self {
            run,
            id,
            rules,
            connect,
            endpoint,
            headers,
            tls,
            token,
            steps_client,
            proxy,
            address,
            http_scheme,
            is_embedded,
            _done: done,
        })
    }

    pub(super) fn now(&self) -> Moment {
        self.run.clock.now()
    }

    pub(super) async fn send(&self, at: Moment, sample: Sample) {
        self.run.sink.send(at, self.id, sample).await;
    }
}

fn token_source(
    run: &RunShared,
    group: &str,
    rules: &TokenRules,
    target: &TargetAddress,
    proxy: Option<&Proxy>,
) -> Result<TokenSource, ContextError> {
    let credentials = match &rules.grant {
        Grant::Fixed(token) => return Ok(TokenSource::fixed(token)),
        Grant::Command(command) => return Ok(TokenSource::command(command, rules)),
        Grant::ClientCredentials(credentials) | Grant::RefreshToken { credentials, .. } => credentials,
    };
    let url = target.token_url(rules)?.ok_or_else(|| ContextError::NoTokenUrl { group: group.to_owned() })?;
    TokenSource::endpoint(run, url, credentials, rules, proxy)
        .map_err(|source| ContextError::TokenClient { group: group.to_owned(), source })
}

/// Host and port as a request names them; the port is left out where it is the scheme's own.
fn authority(url: &Url) -> String {
    match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (host, _) => host.unwrap_or_default().to_owned(),
    }
}

pub(super) fn endpoint(url: Url) -> Result<Endpoint, ContextError> {
    let no_host = || ContextError::NoHost { url: without_query(&url) };
    let host = url.host_str().ok_or_else(no_host)?.trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = url.port_or_known_default().ok_or_else(no_host)?;
    let uri = url.as_str().parse().map_err(|_| no_host())?;
    Ok(Endpoint { uri, host, port, url })
}

/// A URL without what may be secret in it.
fn without_query(url: &Url) -> String {
    let mut bare = url.clone();
    bare.set_query(None);
    bare.to_string()
}

/// The headers that every upgrade request of the group has (RFC 6455 §4.1).
fn headers(group: &str, endpoint: &Endpoint, connect: &ConnectRules) -> Result<HeaderMap, ContextError> {
    let fault = |header: &str| ContextError::Header { group: group.to_owned(), header: header.to_owned() };
    let mut headers = HeaderMap::new();
    headers.insert(HOST, HeaderValue::try_from(authority(&endpoint.url)).map_err(|_| fault("Host"))?);
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    headers.insert(USER_AGENT, HeaderValue::from_static(PRODUCT));
    if !connect.subprotocols.is_empty() {
        let list = connect.subprotocols.join(", ");
        let value = HeaderValue::try_from(list).map_err(|_| fault("Sec-WebSocket-Protocol"))?;
        headers.insert(SEC_WEBSOCKET_PROTOCOL, value);
    }
    for (name, text) in &connect.headers {
        let header = HeaderName::try_from(name).map_err(|_| fault(name))?;
        let value = match text {
            HeaderText::Plain(text) => HeaderValue::try_from(text),
            HeaderText::Secret(secret) => HeaderValue::try_from(secret.expose_secret()),
        };
        let mut value = value.map_err(|_| fault(name))?;
        value.set_sensitive(matches!(text, HeaderText::Secret(_)));
        headers.append(header, value);
    }
    Ok(headers)
}

impl Endpoint {
    /// The `Host` of a request to it.
    pub(super) fn authority(&self) -> String {
        authority(&self.url)
    }
}

impl GroupContext {
    /// The token of a group that has a fixed one.
    pub(super) fn fixed_token(&self) -> Option<Token> {
        match &self.token {
            Some(TokenSource::Fixed(token)) => Some(Arc::clone(token)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drive::sample_channel;

    #[test]
    fn clients_take_the_targets_addresses_in_turn_by_their_number() {
        let shared = |addresses: &[&str]| {
            let (sink, _) = sample_channel();
            let (_, stop) = watch::channel(StopPhase::Running);
            RunShared::new(Clock::start(), Arc::new(AddressPolicy::new(&[])), sink, stop, None)
                .spread_over(addresses.iter().map(|address| address.parse().unwrap()).collect())
        };
        let three = shared(&["127.0.0.1:9", "127.0.0.2:9", "127.0.0.3:9"]);
        let taken: Vec<String> = (4..8)
            .filter_map(|number| three.target_address(number))
            .map(|address| address.to_string())
            .collect();
        assert_eq!(taken, ["127.0.0.2:9", "127.0.0.3:9", "127.0.0.1:9", "127.0.0.2:9"]);
        assert_eq!(shared(&["127.0.0.1:9"]).target_address(3), None, "one is no choice");
    }
}
