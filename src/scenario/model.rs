//! The scenario as typed data: what a checked file means.
//!
//! In: nothing. Out: types whose values are valid by construction or checked when a file is loaded. Durations are
//! `std::time::Duration`, shares are 0..1, rates are per second.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use super::prepare_model::{OnMessage, PrepareRules};
use super::template::Template;

pub use super::health_model::Health;
pub use super::simulate_model::{
    Abandoned, Capacity, NetworkFault, NetworkFaultKind, Simulate, StageDelays, TimeStage,
};
pub use super::target_fault::{FaultKind, FaultStage, FrameFlaw, Skew, StatusFault, TargetFault};
pub use super::target_model::{
    AtSessionLimit, Delay, IdleAction, IdleCounts, Invalidation, LimitOf, RefreshTokens, RefusalDetail,
    RefusalManner, RefusalStatus, RequestLimit, TargetClient, TargetRules, TokenEnd, TokenFormat, TokenPlace,
    WindowLimit,
};
pub use super::threshold_model::{Aggregate, Comparison, ShareOf, Subject, Threshold};

/// A whole scenario.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its name: `name` in the file, else the file's stem. Letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// What it is for, in a sentence.
    pub description: Option<String>,
    /// Seed of every random stream.
    pub seed: u64,
    /// How long clients are held; then the run drains.
    pub duration: Duration,
    /// How long attempts and sessions get to end after `duration` before they are cut off.
    pub drain: Duration,
    /// What the clients connect to.
    pub target: Target,
    /// The populations of clients, one or more, names unique.
    pub groups: Vec<Group>,
    /// Disconnects forced on many clients at one moment.
    pub storms: Vec<Storm>,
    /// What the run must hold.
    pub thresholds: Vec<Threshold>,
    /// How late the generator may be before the run is not valid.
    pub health: Health,
    /// What `resurge simulate` takes time for.
    pub simulate: Simulate,
}

impl Scenario {
    /// How many virtual clients there are in all groups.
    #[must_use]
    pub fn clients(&self) -> u32 {
        self.groups.iter().map(|group| group.clients).sum()
    }
}

/// What the clients connect to.
#[derive(Debug, Clone)]
pub enum Target {
    /// The target inside this process, on loopback.
    Embedded(Box<TargetRules>),
    /// A service somewhere.
    Remote(Box<RemoteTarget>),
}

/// A service that is not ours.
#[derive(Debug, Clone)]
pub struct RemoteTarget {
    /// WebSocket URL, `ws://` or `wss://`.
    pub url: url::Url,
    /// Token endpoint, `http://` or `https://`. Needed where a group fetches tokens.
    pub token_url: Option<url::Url>,
    /// PEM file of certificate authorities to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM files of a certificate (its chain) and its private key, with which clients show who they are.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
}

/// A population of clients that behave alike.
#[derive(Debug, Clone)]
pub struct Group {
    /// Its name, unique, not `all`. Letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// How many clients, at least 1.
    pub clients: u32,
    /// When they start.
    pub start: Start,
    /// Their tokens; `None`: they send none (`grant = "none"`).
    pub token: Option<TokenRules>,
    /// What they do before a handshake; `None`: nothing.
    pub prepare: Option<Box<PrepareRules>>,
    /// How they connect.
    pub connect: ConnectRules,
    /// What they do while connected.
    pub session: SessionRules,
    /// Disconnects that the client itself causes.
    pub disconnects: Vec<ClientDisconnect>,
    /// How they come back.
    pub reconnect: ReconnectRules,
}

/// When the clients of a group start.
#[derive(Debug, Clone, PartialEq)]
pub enum Start {
    /// `"at-once"`.
    AtOnce,
    /// `{ over = "10s" }`: evenly over that time.
    Over(Duration),
    /// `{ rate = "200/s" }`.
    Rate(f64),
    /// `{ stages = [{ clients = 100, over = "5s" }, …] }`: one after the other; their sum is the group's clients.
    Stages(Vec<Stage>),
}

/// A part of a start in stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    /// How many clients start in it.
    pub clients: u32,
    /// Evenly over this time; zero: at once.
    pub over: Duration,
}

/// A group's token lifecycle.
#[derive(Debug, Clone)]
pub struct TokenRules {
    /// How a token is got.
    pub grant: Grant,
    /// What happens to the token at a reconnect.
    pub on_reconnect: OnReconnect,
    /// With `fetch`: the close codes after which a token is fetched; `None`: after each.
    pub fetch_on_codes: Option<Vec<u16>>,
    /// Fetch a new token this long before the old one expires, also while a session lasts.
    pub refresh_before_expiry: Option<Duration>,
    /// The refresh comes earlier by up to this share of that time, drawn by each client.
    pub refresh_jitter: f64,
    /// How far off the client's clock is: what it takes `expires_in` for. Nothing where it is right.
    pub clock_skew: Option<Skew>,
    /// Own tokens, or one for the group.
    pub sharing: Sharing,
    /// Connections to the token endpoint.
    pub connection: TokenConnection,
    /// With `pooled`: at most this many connections at once, at least 1.
    pub max_connections: u32,
    /// Longest wait for an answer.
    pub timeout: Duration,
    /// Token endpoint of this group, instead of the target's.
    pub url: Option<url::Url>,
}

/// How a token is got.
#[derive(Debug, Clone)]
pub enum Grant {
    /// `client_credentials` (RFC 6749 §4.4).
    ClientCredentials(ClientCredentials),
    /// `refresh_token` (RFC 6749 §6): the first token as by `client_credentials`, or by a refresh token that is given; each further one by
    /// the refresh token that came with the one before.
    RefreshToken {
        /// What the client shows.
        credentials: ClientCredentials,
        /// The first refresh token; `None`: the first token is got by the credentials.
        initial: Option<SecretString>,
    },
    /// `command`: what a program writes to its stdout: a token, or a grant as JSON (RFC 6749 §5.1).
    Command(Vec<String>),
    /// `fixed`: always the same token.
    Fixed(SecretString),
}

impl Grant {
    /// The credentials that go to a token endpoint; `None` where none is asked.
    #[must_use]
    pub const fn credentials(&self) -> Option<&ClientCredentials> {
        match self {
            Self::ClientCredentials(credentials) | Self::RefreshToken { credentials, .. } => {
                Some(credentials)
            }
            Self::Command(_) | Self::Fixed(_) => None,
        }
    }
}

/// What a client shows to get a token.
#[derive(Debug, Clone)]
pub struct ClientCredentials {
    /// Client id.
    pub client_id: String,
    /// Client secret.
    pub client_secret: SecretString,
    /// Where they go.
    pub auth: ClientAuth,
    /// Scopes asked for; empty: no `scope` is sent.
    pub scopes: Vec<String>,
    /// Ids and secrets by client, instead of the one id and secret.
    pub feeder: Option<Arc<Feeder>>,
}

/// Credentials from a CSV file, one row a client: the group's first client takes the first row. Where there are fewer rows than
/// clients, they begin again.
#[derive(Debug)]
pub struct Feeder {
    /// Id and secret of each row; never empty.
    pub rows: Vec<(String, SecretString)>,
}

impl Feeder {
    /// The row of the group's client `index`.
    #[must_use]
    pub fn row(&self, index: u32) -> Option<&(String, SecretString)> {
        self.rows.get(index as usize % self.rows.len().max(1))
    }
}

/// Where the client's credentials go (RFC 6749 §2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// `"body"`: in the form body.
    Body,
    /// `"basic"`: HTTP Basic.
    Basic,
}

/// What happens to the token at a reconnect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnReconnect {
    /// `"reuse"`: the old one.
    #[default]
    Reuse,
    /// `"fetch"`: a new one, before the handshake.
    Fetch,
    /// `{ fetch_if_older_than = "30s" }`: a new one if the old one is older.
    FetchIfOlderThan(Duration),
}

/// Whose token it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// `"own"`: each client has its own.
    Own,
    /// `"group"`: one for the group; one request at a time fetches it, the others wait for its answer.
    Group,
    /// `"group-stampede"`: one for the group, and every client that finds it unfit fetches it: nobody waits for another's request. The last
    /// to come is the group's.
    GroupStampede,
}

/// Connections to the token endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenConnection {
    /// `"pooled"`: kept and shared.
    Pooled,
    /// `"fresh"`: a new one for each request.
    Fresh,
}

/// How clients connect.
#[derive(Debug, Clone)]
pub struct ConnectRules {
    /// WebSocket URL of this group, instead of the target's.
    pub url: Option<url::Url>,
    /// The same with variables in it, rendered before each handshake.
    pub url_template: Option<Template>,
    /// Path and query on the embedded target, instead of `/api/v2/analytics/events`.
    pub path: Option<String>,
    /// HTTP proxy for connections and token requests, as a URL; it may hold a password.
    pub proxy: Option<SecretString>,
    /// Local addresses to connect from, by turns; empty: the system's choice.
    pub source_addresses: Vec<IpAddr>,
    /// Headers of the upgrade request, in order. A value may be a reference to a secret.
    pub headers: Vec<(String, HeaderText)>,
    /// Subprotocols offered, in order.
    pub subprotocols: Vec<String>,
    /// Where the token goes.
    pub token_in: TokenIn,
    /// Longest wait for the name to resolve.
    pub dns_timeout: Duration,
    /// How long an address is kept; zero: each connect resolves anew.
    pub dns_ttl: Duration,
    /// Longest wait for the TCP connection.
    pub tcp_timeout: Duration,
    /// Longest wait for the TLS handshake.
    pub tls_timeout: Duration,
    /// Longest wait for the answer to the upgrade request.
    pub upgrade_timeout: Duration,
    /// Longest wait for the peer's part of the closing handshake.
    pub close_timeout: Duration,
}

impl Default for ConnectRules {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            url: None,
            url_template: None,
            path: None,
            proxy: None,
            source_addresses: Vec::new(),
            headers: Vec::new(),
            subprotocols: Vec::new(),
            token_in: TokenIn::Header,
            dns_timeout: seconds(5),
            dns_ttl: seconds(60),
            tcp_timeout: seconds(10),
            tls_timeout: seconds(10),
            upgrade_timeout: seconds(10),
            close_timeout: seconds(2),
        }
    }
}

/// The value of a header.
#[derive(Debug, Clone)]
pub enum HeaderText {
    /// Written in the scenario.
    Plain(String),
    /// From the environment or a file.
    Secret(SecretString),
}

/// Where the token goes in the handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenIn {
    /// `"header"`: `Authorization: Bearer …`.
    Header,
    /// `{ query = "access_token" }`: a query parameter of that name.
    Query(String),
    /// `{ subprotocol = "bearer." }`: offered as a subprotocol, with that prefix.
    Subprotocol(String),
    /// `{ first_message = "{\"token\":\"{token}\"}" }`: in the first message, at the place of `{token}`.
    FirstMessage(String),
    /// `"nowhere"`: not in the handshake; steps or messages carry it.
    Nowhere,
}

/// What a client does while connected.
#[derive(Debug, Clone)]
pub struct SessionRules {
    /// What makes a session ready.
    pub ready: Ready,
    /// Longest wait for that.
    pub ready_timeout: Duration,
    /// Keep-alive; `None`: silent.
    pub keep_alive: Option<KeepAlive>,
    /// Messages to the target; `None`: none.
    pub send: Option<Send>,
    /// A session that hears nothing for this long is taken for dead; `None`: never.
    pub silence_timeout: Option<Duration>,
    /// Largest message accepted, in bytes.
    pub max_message_bytes: usize,
    /// What is sent right after the upgrade.
    pub first_message: Option<Template>,
    /// What is sent when a token was refreshed while the session lasts.
    pub refresh_message: Option<Template>,
    /// What messages make the client do; each rule that fits is followed.
    pub on_message: Vec<OnMessage>,
}

impl Default for SessionRules {
    fn default() -> Self {
        Self {
            ready: Ready::Upgraded,
            ready_timeout: Duration::from_secs(10),
            keep_alive: None,
            send: None,
            silence_timeout: None,
            max_message_bytes: 1 << 20,
            first_message: None,
            refresh_message: None,
            on_message: Vec::new(),
        }
    }
}

/// What makes a session ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ready {
    /// `"upgraded"`: the upgrade.
    Upgraded,
    /// `"first-message"`: the first data message.
    FirstMessage,
    /// `{ message_contains = "…" }`: the first text message that contains this.
    MessageContains(String),
}

/// Keep-alive while connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeepAlive {
    /// How often.
    pub every: Duration,
    /// What is sent.
    pub what: KeepAliveKind,
    /// Longest wait for a sign of life after it (a pong for a ping, anything for a text).
    pub timeout: Duration,
}

/// What a keep-alive sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeepAliveKind {
    /// `"ping"`: a ping frame.
    Ping,
    /// A text message.
    Text(String),
}

/// Messages to the target.
#[derive(Debug, Clone, PartialEq)]
pub struct Send {
    /// Messages per second and client, above 0.
    pub rate: f64,
    /// The text.
    pub text: String,
}

/// A disconnect that the client itself causes, again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientDisconnect {
    /// This long after a session became ready.
    pub after: Duration,
    /// How.
    pub how: DisconnectHow,
}

/// How a client leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisconnectHow {
    /// `"close"` with `code`: a close frame and the closing handshake.
    Close {
        /// The close code.
        code: u16,
    },
    /// `"rst"`: the connection is reset.
    Reset,
    /// `"half-open"`: the client falls silent and keeps the connection, as when a network cable is pulled. It
    /// notices by its keep-alive or silence timeout.
    HalfOpen,
}

/// How clients come back.
#[derive(Debug, Clone)]
pub struct ReconnectRules {
    /// The close codes after which they do; `None`: after each.
    pub on_codes: Option<Vec<u16>>,
    /// The close codes that are final, as first and last of each range.
    pub terminal_codes: Vec<(u16, u16)>,
    /// A connection that fails counts as a session closed with 1006, as in clients that cannot tell the two apart (`ws`).
    pub failure_is_close: bool,
    /// How long they wait before an attempt.
    pub backoff: Backoff,
    /// Whether a `Retry-After` is obeyed where it is longer than the backoff.
    pub honour_retry_after: bool,
    /// Attempts in a row before giving up; `None`: no limit.
    pub max_attempts: Option<u32>,
    /// Time after the disconnect beyond which no further attempt begins; `None`: no limit.
    pub give_up_after: Option<Duration>,
    /// Statuses after which a token is fetched before the next attempt.
    pub refetch_on: Vec<u16>,
    /// Statuses after which the client gives up at once.
    pub give_up_on: Vec<u16>,
}

impl Default for ReconnectRules {
    fn default() -> Self {
        let growth = Growth::Exponential {
            base: Duration::from_millis(500),
            max: Duration::from_secs(30),
            factor: 2.0,
        };
        Self {
            on_codes: None,
            terminal_codes: Vec::new(),
            failure_is_close: false,
            backoff: Backoff { growth, jitter: Jitter::Full },
            honour_retry_after: true,
            max_attempts: None,
            give_up_after: None,
            refetch_on: vec![401],
            give_up_on: Vec::new(),
        }
    }
}

/// Waiting before an attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Backoff {
    /// How the wait grows.
    pub growth: Growth,
    /// How it is spread.
    pub jitter: Jitter,
}

/// How the wait grows from attempt to attempt.
#[derive(Debug, Clone, PartialEq)]
pub enum Growth {
    /// `kind = "none"`: no wait.
    None,
    /// `kind = "constant"`.
    Constant {
        /// The wait.
        base: Duration,
    },
    /// `kind = "linear"`: base · n, n being the attempts that failed before; at most `max`.
    Linear {
        /// What each failure adds.
        base: Duration,
        /// The longest wait.
        max: Duration,
    },
    /// `kind = "steps"`: these, one after the other; the last is repeated. Never empty.
    Steps(Vec<Duration>),
    /// `kind = "exponential"`: base · factorⁿ, at most `max`.
    Exponential {
        /// The first wait.
        base: Duration,
        /// The longest wait.
        max: Duration,
        /// The factor, at least 1.
        factor: f64,
    },
}

/// How a wait is spread (names as in "Exponential Backoff And Jitter", AWS Architecture Blog 2015).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Jitter {
    /// `"none"`.
    None,
    /// `"full"`: uniform(0, wait).
    Full,
    /// `"equal"`: wait/2 + uniform(0, wait/2).
    Equal,
    /// `"decorrelated"`: min(max, uniform(base, 3 · previous wait)).
    Decorrelated,
    /// A share s, as `0.5`: uniform(wait · (1 − s), wait · (1 + s)).
    Share(f64),
    /// `{ add = ["300ms", "3s"] }`: wait + uniform(low, high).
    Add {
        /// The least.
        low: Duration,
        /// The most.
        high: Duration,
    },
}

/// A disconnect forced on many clients at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Storm {
    /// When, after the run's start.
    pub at: Duration,
    /// Who does it.
    pub by: StormBy,
    /// Which share of the sessions, in (0, 1].
    pub fraction: f64,
}

/// Who forces a storm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StormBy {
    /// `by = "target"`: the embedded target closes its sessions with this code.
    Target {
        /// The close code.
        code: u16,
    },
    /// `by = "client"`: the clients leave.
    Client {
        /// How.
        how: DisconnectHow,
        /// Indexes of the groups it strikes; `None`: all.
        groups: Option<Vec<usize>>,
    },
}

/// The overrides of `--set KEY=VALUE`, in the order given.
pub type Overrides = Vec<(String, String)>;
