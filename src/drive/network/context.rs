//! What the clients of a run, and those of a group, share.
//!
//! In: the scenario's rules for a group, the target's address. Out: [`RunShared`] and [`GroupContext`], built once for each worker. A client
//! keeps only a pointer to them: headers, URLs and TLS are not its own.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use url::Url;

use crate::clock::{Clock, Moment};
use crate::drive::{SampleSink, Sleep, Timers};
use crate::lifecycle::{GroupRules, StopPhase};
use crate::sample::{GroupId, Sample};
use crate::scenario::bare_url;
use crate::scenario::keys::{ConnectRules, Grant, HeaderText, TokenRules};
use crate::scenario::template::UrlText;

use super::address::AddressPolicy;
use super::http::PeerSetup;
use super::ports::LocalPorts;
use super::proxy::Proxy;
use super::resolve::Resolver;
use super::steps_http::http_client;
use super::token::{TokenCommon, TokenSource};
use super::wire::Wire;

/// A token in a client's hand: shared where the group shares it.
pub(super) type Token = Arc<SecretString>;

/// How this program names itself to a target.
pub(super) const PRODUCT: &str = concat!("resurge/", env!("CARGO_PKG_VERSION"));
/// Path of the guarded endpoint on the embedded target.
const EMBEDDED_PATH: &str = "/api/v2/analytics/events";
/// Path of the embedded target's token endpoint.
const EMBEDDED_TOKEN_PATH: &str = "/oauth/token";

/// What all clients of a worker share.
#[derive(Debug)]
pub struct RunShared {
    pub(super) clock: Clock,
    timers: Timers,
    policy: Arc<AddressPolicy>,
    sink: SampleSink,
    flushing: JoinHandle<()>,
    stop: watch::Receiver<StopPhase>,
    tls: Option<Arc<rustls::ClientConfig>>,
    resolver: Resolver,
    ports: LocalPorts,
    /// Where the embedded target listens; empty for one that has a single address.
    target_addresses: Vec<SocketAddr>,
    /// Connections that clients keep open in silence.
    silent: Mutex<Vec<Wire>>,
    /// Longest wait for a connection of a token pool, in microseconds.
    pool_wait_max_us: AtomicU64,
    /// Attempts that have ended since it was last asked.
    attempts_ended: AtomicU64,
}

impl RunShared {
    /// What a worker's clients share; to be called in its runtime. `tls` is needed where any URL is `wss` or `https`.
    ///
    /// # Errors
    /// Where the system has no timer to give.
    pub fn new(
        clock: Clock,
        policy: Arc<AddressPolicy>,
        sink: SampleSink,
        stop: watch::Receiver<StopPhase>,
        tls: Option<Arc<rustls::ClientConfig>>,
    ) -> io::Result<Self> {
        Ok(Self {
            clock,
            timers: Timers::start(clock)?,
            policy,
            flushing: tokio::spawn(sink.clone().keep_flushing(clock)),
            sink,
            stop,
            tls,
            resolver: Resolver::default(),
            ports: LocalPorts::of_machine(),
            target_addresses: Vec::new(),
            silent: Mutex::default(),
            pool_wait_max_us: AtomicU64::new(0),
            attempts_ended: AtomicU64::new(0),
        })
    }

    /// Sleeps until `due`, to within a fraction of a millisecond.
    #[must_use]
    pub fn sleep_until(&self, due: Moment) -> Sleep<'_> {
        self.timers.sleep_until(due)
    }

    /// How many attempts have ended since the last call.
    #[must_use]
    pub fn take_attempts_ended(&self) -> u64 {
        self.attempts_ended.swap(0, Ordering::Relaxed)
    }

    /// Sends what waits to go to the recorder. To be called when the last client has ended.
    pub async fn flush(&self) {
        self.sink.flush().await;
    }

    /// The same, where clients of the embedded target spread over these addresses of it by their number.
    #[must_use]
    pub fn spread_over(mut self, target_addresses: Vec<SocketAddr>) -> Self {
        self.target_addresses = target_addresses;
        self
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

    /// Opens a connection to `address`, from `source` where one is given.
    pub(super) async fn open(&self, source: Option<IpAddr>, address: SocketAddr) -> io::Result<TcpStream> {
        self.ports.connect(source, address).await
    }

    pub(super) const fn policy(&self) -> &Arc<AddressPolicy> {
        &self.policy
    }

    pub(super) const fn tls(&self) -> Option<&Arc<rustls::ClientConfig>> {
        self.tls.as_ref()
    }
}

impl Drop for RunShared {
    fn drop(&mut self) {
        self.flushing.abort();
    }
}

/// Where a group connects to unless it says otherwise.
#[derive(Clone)]
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

impl fmt::Debug for TargetAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded(address) => f.debug_tuple("Embedded").field(address).finish(),
            Self::EmbeddedTls(address) => f.debug_tuple("EmbeddedTls").field(address).finish(),
            Self::Remote { url, token_url } => f
                .debug_struct("Remote")
                .field("url", &bare_url(url))
                .field("token_url", &token_url.as_ref().map(bare_url))
                .finish(),
        }
    }
}

impl TargetAddress {
    fn websocket_url(&self, connect: &ConnectRules) -> Result<Url, ContextError> {
        if let Some(url) = connect.url.as_ref().and_then(UrlText::fixed) {
            return Ok(url.clone());
        }
        match self {
            Self::Remote { url, .. } => Ok(url.clone()),
            Self::Embedded(address) | Self::EmbeddedTls(address) => {
                let path = connect.path.as_deref().map_or(EMBEDDED_PATH, String::as_str);
                let scheme = if self.is_secure() { "wss" } else { "ws" };
                let text = format!("{scheme}://{address}{path}");
                // The path may hold a key.
                let place = || format!("{scheme}://{address}/…");
                Url::parse(&text).map_err(|source| ContextError::Url { text: place(), source })
            }
        }
    }

    const fn is_secure(&self) -> bool {
        matches!(self, Self::EmbeddedTls(_))
    }

    fn token_url(&self, rules: &TokenRules) -> Result<Option<Url>, ContextError> {
        if let Some(url) = rules.url.as_deref() {
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
#[derive(Clone)]
pub(super) struct Endpoint {
    pub(super) url: Url,
    /// Path and query, as the request line has them.
    pub(super) target: String,
    /// The `Host` of a request to it.
    pub(super) authority: String,
    pub(super) host: String,
    pub(super) port: u16,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Path and query may hold a ticket.
        f.debug_struct("Endpoint").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
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

/// What the clients of a group share on one worker. The last one to let go of it closes `done`.
pub struct GroupContext {
    pub(super) run: Arc<RunShared>,
    id: GroupId,
    pub(super) rules: GroupRules,
    pub(super) connect: ConnectRules,
    pub(super) endpoint: Endpoint,
    /// Lines of the upgrade request that are the group's own.
    pub(super) header_lines: Vec<u8>,
    pub(super) tls: Option<TlsConnector>,
    pub(super) token: Option<TokenSource>,
    token_common: Option<Arc<TokenCommon>>,
    /// For the requests before a handshake, where there are any.
    pub(super) steps_client: Option<reqwest::Client>,
    /// What connections go through.
    pub(super) proxy: Option<Proxy>,
    /// Host and port of the target.
    pub(super) address: String,
    /// `http`, or `https` where the target's WebSockets are secure.
    pub(super) http_scheme: &'static str,
    pub(super) is_embedded: bool,
    done: mpsc::Sender<()>,
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
    /// The HTTP client for the requests before a handshake cannot be built.
    #[error("group {group}: the HTTP client cannot be set up: {source}")]
    HttpClient {
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
        let common = setup.rules.token.as_ref().map(|token| Arc::new(TokenCommon::of(token)));
        Self::build(run, setup, target, done, common)
    }

    /// The same group on another worker: what its clients have in common wherever they are stays one.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn on_worker(
        &self,
        run: Arc<RunShared>,
        setup: GroupSetup,
        target: &TargetAddress,
    ) -> Result<Self, ContextError> {
        Self::build(run, setup, target, self.done.clone(), self.token_common.clone())
    }

    fn build(
        run: Arc<RunShared>,
        setup: GroupSetup,
        target: &TargetAddress,
        done: mpsc::Sender<()>,
        token_common: Option<Arc<TokenCommon>>,
    ) -> Result<Self, ContextError> {
        let GroupSetup { id, name, rules, connect } = setup;
        let endpoint = endpoint(target.websocket_url(&connect)?)?;
        let header_lines = header_lines(&name, &connect)?;
        let is_secure = endpoint.url.scheme() == "wss";
        let may_be_secure = is_secure || connect.url.as_ref().and_then(UrlText::template).is_some();
        let tls = run.tls().filter(|_| may_be_secure).map(|config| TlsConnector::from(Arc::clone(config)));
        let proxy = match &connect.proxy {
            Some(url) => Some(Proxy::new(url).ok_or_else(|| ContextError::Proxy { group: name.clone() })?),
            None => None,
        };
        let peer = PeerSetup { tls: run.tls(), proxy: proxy.as_ref() };
        let token = match (&rules.token, &token_common) {
            (Some(token), Some(common)) => Some(token_source(&peer, &name, token, target, common)?),
            _ => None,
        };
        let has_steps = rules.prepare.as_ref().is_some_and(|prepare| !prepare.steps.is_empty());
        let steps_client = has_steps
            .then(|| http_client(&run, proxy.as_ref()))
            .transpose()
            .map_err(|source| ContextError::HttpClient { group: name.clone(), source })?;
        let address = authority(&endpoint.url);
        let http_scheme = if is_secure { "https" } else { "http" };
        let is_embedded = matches!(target, TargetAddress::Embedded(_) | TargetAddress::EmbeddedTls(_))
            && connect.url.as_ref().and_then(UrlText::fixed).is_none();
        Ok(Self {
            run,
            id,
            rules,
            connect,
            endpoint,
            header_lines,
            tls,
            token,
            token_common,
            steps_client,
            proxy,
            address,
            http_scheme,
            is_embedded,
            done,
        })
    }

    pub(super) fn now(&self) -> Moment {
        self.run.clock.now()
    }

    /// What the clients of its worker share.
    #[must_use]
    pub fn worker(&self) -> &Arc<RunShared> {
        &self.run
    }

    pub(super) async fn send(&self, at: Moment, sample: Sample) {
        self.run.sink.send(at, self.id, sample).await;
    }

    pub(super) async fn send_all(&self, at: Moment, samples: &mut Vec<Sample>) {
        let ended = samples.iter().filter(|sample| matches!(sample, Sample::Attempt(_))).count() as u64;
        if ended > 0 {
            self.run.attempts_ended.fetch_add(ended, Ordering::Relaxed);
        }
        self.run.sink.send_all(at, self.id, samples).await;
    }
}

fn token_source(
    peer: &PeerSetup<'_>,
    group: &str,
    rules: &TokenRules,
    target: &TargetAddress,
    common: &Arc<TokenCommon>,
) -> Result<TokenSource, ContextError> {
    let common = Arc::clone(common);
    let credentials = match &rules.grant {
        Grant::Fixed(token) => return Ok(TokenSource::fixed(token)),
        Grant::Command(command) => return Ok(TokenSource::command(command, rules, common)),
        Grant::ClientCredentials(credentials) | Grant::RefreshToken { credentials, .. } => credentials,
    };
    let url = target.token_url(rules)?.ok_or_else(|| ContextError::NoTokenUrl { group: group.to_owned() })?;
    TokenSource::endpoint(peer, &url, credentials, rules, common)
}

/// Host and port as a request names them; the port is left out where it is the scheme's own.
fn authority(url: &Url) -> String {
    match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (host, _) => host.unwrap_or_default().to_owned(),
    }
}

pub(super) fn endpoint(url: Url) -> Result<Endpoint, ContextError> {
    let no_host = || ContextError::NoHost { url: bare_url(&url) };
    let host = url.host_str().ok_or_else(no_host)?.trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = url.port_or_known_default().ok_or_else(no_host)?;
    let target = url[url::Position::BeforePath..url::Position::AfterQuery].to_owned();
    Ok(Endpoint { target, authority: authority(&url), host, port, url })
}

/// The lines of an upgrade request that all of the group's clients send alike, beside those that RFC 6455 §4.1 demands of every client.
fn header_lines(group: &str, connect: &ConnectRules) -> Result<Vec<u8>, ContextError> {
    let mut lines = Vec::new();
    let mut put = |name: &str, value: &str| {
        let fits = HeaderName::try_from(name).is_ok() && HeaderValue::try_from(value).is_ok();
        let line = fits.then(|| lines.extend_from_slice(format!("{name}: {value}\r\n").as_bytes()));
        line.ok_or_else(|| ContextError::Header { group: group.to_owned(), header: name.to_owned() })
    };
    let is_own = |name: &str| connect.headers.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
    if !is_own("User-Agent") {
        put("User-Agent", PRODUCT)?;
    }
    if !connect.subprotocols.is_empty() {
        put("Sec-WebSocket-Protocol", &connect.subprotocols.join(", "))?;
    }
    for (name, text) in &connect.headers {
        match text {
            HeaderText::Plain(text) => put(name, text)?,
            HeaderText::Secret(secret) => put(name, secret.expose_secret())?,
        }
    }
    Ok(lines)
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

    #[tokio::test]
    async fn clients_take_the_targets_addresses_in_turn_by_their_number() {
        let shared = |addresses: &[&str]| {
            let (sink, _) = sample_channel();
            let (_, stop) = watch::channel(StopPhase::Running);
            RunShared::new(Clock::start(), Arc::new(AddressPolicy::new(&[])), sink, stop, None)
                .unwrap()
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
