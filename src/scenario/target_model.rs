//! The embedded target's rules as typed data.
//!
//! In: nothing. Out: types whose values are valid by construction or checked when a file is loaded.

use std::net::IpAddr;
use std::time::Duration;

use secrecy::SecretString;

use crate::sample::Cause;

use super::simulate_model::Capacity;
use super::target_fault::TargetFault;
use super::target_script::{MessageToken, Route, ScriptRule, TargetStorm, TicketEnd, Tickets};
use super::template::Template;

/// Path of the WebSocket endpoint, unless the rules say otherwise.
const EVENTS_PATH: &str = "/api/v2/analytics/events";

/// The rules of the embedded target. The defaults are the profile `forum`.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetRules {
    /// A session without traffic for this long is closed; `None`: never.
    pub idle_timeout: Option<Duration>,
    /// Which traffic counts.
    pub idle_counts: IdleCounts,
    /// Whether control frames (RFC 6455 §5.5) count as traffic, too.
    pub idle_control_frames: bool,
    /// What becomes of an idle session.
    pub idle_action: IdleAction,
    /// The code of the idle close.
    pub idle_close_code: u16,
    /// The life of a token.
    pub token_life: Duration,
    /// How tokens are written.
    pub token_format: TokenFormat,
    /// Refresh tokens; `None`: none are issued.
    pub refresh_tokens: Option<RefreshTokens>,
    /// What ends a token's life early.
    pub invalidation: Invalidation,
    /// Whether the end of its token ends an open session; `None`: a token is looked at in the handshake only.
    pub token_end: Option<TokenEnd>,
    /// How many tokens a client id may ask for in a window; `None`: any number.
    pub token_limit: Option<WindowLimit>,
    /// Scopes that the WebSocket endpoint requires.
    pub required_scopes: Vec<String>,
    /// Status of a refused handshake.
    pub refusal_status: RefusalStatus,
    /// Whether a refusal names its reason (body and `WWW-Authenticate`), or is bare.
    pub refusal_detail: RefusalDetail,
    /// In which way a handshake is refused.
    pub refusal_manner: RefusalManner,
    /// Body of a full refusal, in place of our own.
    pub refusal_body: Option<Template>,
    /// Headers that every answer of a route, and every refusal over HTTP, has beside its own.
    pub answer_headers: Vec<(String, Template)>,
    /// Body of the token endpoint's errors, in place of that of RFC 6749 §5.2.
    pub token_error_body: Option<Template>,
    /// Path of the WebSocket endpoint; a `*` at its end stands for anything.
    pub path: String,
    /// Name of the query parameter that carries a token or a ticket.
    pub query_parameter: String,
    /// HTTP requests that it answers.
    pub routes: Vec<Route>,
    /// How many of those requests a token or a client id may make in a window, over all routes.
    pub request_limits: Vec<RequestLimit>,
    /// What routes issue and handshakes show instead of a token; `None`: handshakes show tokens.
    pub tickets: Option<Tickets>,
    /// What the session of a ticket is told when the ticket ends.
    pub ticket_end: TicketEnd,
    /// What it says in a session.
    pub script: Vec<ScriptRule>,
    /// A token that comes in a message; `None`: it comes in the handshake.
    pub message_token: Option<MessageToken>,
    /// What a full refusal writes as its code, by cause, where not our own words.
    pub refusal_codes: Vec<(Cause, String)>,
    /// Where it looks for a token in a handshake, in this order.
    pub accepts_token_in: Vec<TokenPlace>,
    /// A client id is refused for this long after a session of it has ended; `None`: not at all.
    pub client_lock: Option<Duration>,
    /// Sessions that a client id may have at once; `None`: any number.
    pub sessions_per_client: Option<u32>,
    /// What happens to the handshake beyond that.
    pub at_session_limit: AtSessionLimit,
    /// With [`AtSessionLimit::Displace`]: the code with which the oldest session is closed.
    pub displaced_code: u16,
    /// How many handshakes a client id may make in a window; `None`: any number.
    pub handshake_limit: Option<WindowLimit>,
    /// The clients that it knows; empty: any id and secret will do.
    pub clients: Vec<TargetClient>,
    /// Each session gets a message this often; `None`: none.
    pub messages_every: Option<Duration>,
    /// Bytes of padding in each message.
    pub message_padding: usize,
    /// How long the upgrade's answer is held back.
    pub upgrade_delay: Delay,
    /// How long the token's answer is held back.
    pub token_delay: Delay,
    /// How many token requests it works on at once, and how long each takes; `None`: any number, in no time.
    pub token_capacity: Option<Capacity>,
    /// The same of upgrade requests.
    pub upgrade_capacity: Option<Capacity>,
    /// How long the target waits for the answer to its close frame before it drops the connection.
    pub close_timeout: Duration,
    /// Whether it speaks TLS, by a certificate made at its start.
    pub tls: bool,
    /// Loopback addresses that a run's own target listens on, one or more; clients spread over them by their number. `resurge serve` listens where
    /// `--listen` says.
    pub addresses: Vec<IpAddr>,
    /// What goes wrong, and when; of several that strike one request, the first does.
    pub faults: Vec<TargetFault>,
    /// When it closes many sessions at one moment, by itself.
    pub storms: Vec<TargetStorm>,
}

impl Default for TargetRules {
    fn default() -> Self {
        Self {
            idle_timeout: Some(Duration::from_secs(60)),
            idle_counts: IdleCounts::Client,
            idle_control_frames: true,
            idle_action: IdleAction::Close,
            idle_close_code: 1001,
            token_life: Duration::from_secs(24 * 60 * 60),
            token_format: TokenFormat::Opaque,
            refresh_tokens: None,
            invalidation: Invalidation::OnDisconnect,
            token_end: None,
            token_limit: None,
            required_scopes: vec!["analytics:events:read".to_owned()],
            refusal_status: RefusalStatus::Always(403),
            refusal_detail: RefusalDetail::Full,
            refusal_manner: RefusalManner::Status,
            refusal_body: None,
            answer_headers: Vec::new(),
            token_error_body: None,
            path: EVENTS_PATH.to_owned(),
            query_parameter: "access_token".to_owned(),
            routes: Vec::new(),
            request_limits: Vec::new(),
            tickets: None,
            ticket_end: TicketEnd::default(),
            script: Vec::new(),
            message_token: None,
            refusal_codes: Vec::new(),
            accepts_token_in: vec![TokenPlace::Header, TokenPlace::Query, TokenPlace::Subprotocol],
            client_lock: None,
            sessions_per_client: None,
            at_session_limit: AtSessionLimit::Refuse,
            displaced_code: 4001,
            handshake_limit: None,
            clients: Vec::new(),
            messages_every: None,
            message_padding: 0,
            upgrade_delay: Delay::None,
            token_delay: Delay::None,
            token_capacity: None,
            upgrade_capacity: None,
            close_timeout: Duration::from_secs(5),
            tls: false,
            addresses: vec![IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)],
            faults: Vec::new(),
            storms: Vec::new(),
        }
    }
}

/// Which traffic resets the idle clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdleCounts {
    /// `"client"`: what the client sends.
    Client,
    /// `"target"`: what the target sends.
    Target,
    /// `"either"`: what either side sends.
    Either,
}

impl IdleCounts {
    /// Whether what the client sends counts.
    #[must_use]
    pub const fn counts_client(self) -> bool {
        matches!(self, Self::Client | Self::Either)
    }

    /// Whether what the target sends counts.
    #[must_use]
    pub const fn counts_target(self) -> bool {
        matches!(self, Self::Target | Self::Either)
    }
}

/// What becomes of an idle session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdleAction {
    /// `"close"`: a close frame with `idle_close_code`.
    Close,
    /// `"drop"`: the connection ends without a close frame, as behind a proxy.
    Drop,
    /// `"silence"`: the session falls silent, and nobody is told.
    Silence,
}

/// That the end of a token ends the session that it opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenEnd {
    /// The close code.
    pub code: u16,
    /// How long after its expiry.
    pub grace: Duration,
    /// Whether a token that is invalidated or revoked ends it at once.
    pub at_revocation: bool,
}

/// How tokens are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenFormat {
    /// `"opaque"`: 32 hexadecimal digits.
    Opaque,
    /// `"jwt"`: a signed JWT (RFC 7519, RFC 9068).
    Jwt,
}

/// Refresh tokens (RFC 6749 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefreshTokens {
    /// How long one is good.
    pub life: Duration,
    /// Whether each use brings a new one and ends the old one's life.
    pub rotate: bool,
}

/// What ends a token's life early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invalidation {
    /// `"never"`.
    Never,
    /// `"on-disconnect"`: the end of the session that it opened, by whatever end.
    OnDisconnect,
    /// `"on-new-token"`: the issue of a newer token to the same client id.
    OnNewToken,
    /// `"on-use"`: the handshake that it opens: a ticket for one use.
    OnUse,
}

/// Status of a refused handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalStatus {
    /// `403`: always this one, a 4xx or 5xx.
    Always(u16),
    /// `"rfc6750"`: 401 where the token is missing or no good, 403 where it lacks a scope (RFC 6750 §3.1), 403 for the rest.
    Rfc6750,
}

/// A place of a token in a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenPlace {
    /// `"header"`: `Authorization: Bearer …` (RFC 6750 §2.1).
    Header,
    /// `"path"`: the last segment of the path.
    Path,
    /// `"query"`: `access_token` (RFC 6750 §2.3), or another parameter.
    Query,
    /// `"subprotocol"`: an offered subprotocol that begins with `bearer.`.
    Subprotocol,
}

/// What happens to a handshake when its client id has all the sessions that it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtSessionLimit {
    /// `"refuse"`: it is refused.
    Refuse,
    /// `"displace"`: it is admitted, and the oldest session is closed.
    Displace,
}

/// A limit of requests in a window of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowLimit {
    /// How many, at least 1.
    pub count: u32,
    /// The length of the window; it begins with the first request in it.
    pub per: Duration,
    /// The status beyond it, 429 by the standard (RFC 6585 §4).
    pub status: u16,
    /// Whether the refusal says when to come back (`Retry-After`, RFC 9110 §10.2.3).
    pub retry_after: bool,
}

/// A limit of the requests for all routes together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestLimit {
    /// Whose requests are counted together.
    pub of: LimitOf,
    /// How many.
    pub limit: WindowLimit,
    /// Names of the headers that tell how many were counted, how many are allowed, and in how many seconds the window ends.
    pub headers: Option<[String; 3]>,
}

/// Whose requests are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LimitOf {
    /// `"token"`: those with one token.
    Token,
    /// `"client"`: those of one client id.
    Client,
}

/// How much a refusal says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalDetail {
    /// `"full"`: a JSON body with a code, and `WWW-Authenticate` (RFC 6750 §3).
    Full,
    /// `"bare"`: the status alone.
    Bare,
    /// `"html"`: an HTML page, which gives no reason.
    Html,
}

/// In which way a handshake is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefusalManner {
    /// `"status"`: by an HTTP status.
    Status,
    /// `{ message = "…", close = 4401 }`: 101, then a message or a close frame or both.
    Socket {
        /// The message.
        message: Option<Template>,
        /// The close code; `None`: the session is left open, and good for nothing.
        close: Option<u16>,
    },
    /// `"reset"`: a TCP reset in place of an answer.
    Reset,
    /// `"silence"`: no answer at all.
    Silence,
}

impl RefusalManner {
    /// The name that counters use.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Socket { .. } => "socket",
            Self::Reset => "reset",
            Self::Silence => "silence",
        }
    }
}

/// A client that the embedded target knows.
#[derive(Debug, Clone)]
pub struct TargetClient {
    /// Its id.
    pub id: String,
    /// Its secret.
    pub secret: SecretString,
    /// The scopes that it may have.
    pub scopes: Vec<String>,
}

impl PartialEq for TargetClient {
    fn eq(&self, other: &Self) -> bool {
        use secrecy::ExposeSecret as _;
        self.id == other.id
            && self.scopes == other.scopes
            && self.secret.expose_secret() == other.secret.expose_secret()
    }
}

/// A distribution of delays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Delay {
    /// No delay.
    None,
    /// Always the same: `"5ms"`.
    Constant(Duration),
    /// Uniform: `{ uniform = ["1ms", "9ms"] }`.
    Uniform {
        /// The least.
        low: Duration,
        /// The most.
        high: Duration,
    },
    /// Log-normal: `{ log_normal = { median = "5ms", sigma = 0.5 } }`.
    LogNormal {
        /// The median.
        median: Duration,
        /// Standard deviation of the logarithm, at most 3.
        sigma: f64,
    },
    /// Exponential: `{ exponential = "5ms" }`.
    Exponential {
        /// The mean.
        mean: Duration,
    },
}
