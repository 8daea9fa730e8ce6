//! The embedded target's rules as typed data.
//!
//! In: nothing. Out: types whose values are valid by construction or checked when a file is loaded.

use std::time::Duration;

use secrecy::SecretString;

use crate::sample::Cause;

use super::target_script::{MessageToken, Route, ScriptRule, Tickets};

/// Path of the WebSocket endpoint, unless the rules say otherwise.
const EVENTS_PATH: &str = "/api/v2/analytics/events";

use super::target_fault::TargetFault;

/// The rules of the embedded target. The defaults are the profile `forum`.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetRules {
    /// A session without traffic for this long is closed; `None`: never.
    pub idle_timeout: Option<Duration>,
    /// Which traffic counts.
    pub idle_counts: IdleCounts,
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
    /// Scopes that the WebSocket endpoint requires.
    pub required_scopes: Vec<String>,
    /// Status of a refused handshake.
    pub refusal_status: RefusalStatus,
    /// Whether a refusal names its reason (body and `WWW-Authenticate`), or is bare.
    pub refusal_detail: RefusalDetail,
    /// Path of the WebSocket endpoint; a `*` at its end stands for anything.
    pub path: String,
    /// Name of the query parameter that carries a token or a ticket.
    pub query_parameter: String,
    /// HTTP requests that it answers.
    pub routes: Vec<Route>,
    /// What routes issue and handshakes show instead of a token; `None`: handshakes show tokens.
    pub tickets: Option<Tickets>,
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
    pub handshake_limit: Option<HandshakeLimit>,
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
    /// How long the target waits for the answer to its close frame before it drops the connection.
    pub close_timeout: Duration,
    /// Whether it speaks TLS, by a certificate made at its start.
    pub tls: bool,
    /// What goes wrong, and when; of several that strike one request, the first does.
    pub faults: Vec<TargetFault>,
}

impl Default for TargetRules {
    fn default() -> Self {
        Self {
            idle_timeout: Some(Duration::from_secs(60)),
            idle_counts: IdleCounts::Client,
            idle_close_code: 1001,
            token_life: Duration::from_secs(24 * 60 * 60),
            token_format: TokenFormat::Opaque,
            refresh_tokens: None,
            invalidation: Invalidation::OnDisconnect,
            required_scopes: vec!["analytics:events:read".to_owned()],
            refusal_status: RefusalStatus::Always(403),
            refusal_detail: RefusalDetail::Full,
            path: EVENTS_PATH.to_owned(),
            query_parameter: "access_token".to_owned(),
            routes: Vec::new(),
            tickets: None,
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
            close_timeout: Duration::from_secs(5),
            tls: false,
            faults: Vec::new(),
        }
    }
}

/// Which traffic resets the idle clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdleCounts {
    /// `"client"`: what the client sends, control frames included.
    Client,
    /// `"either"`: what either side sends, the target's messages included.
    Either,
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

/// A limit of handshakes in a window of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandshakeLimit {
    /// How many, at least 1.
    pub count: u32,
    /// The length of the window; it begins with the first handshake in it.
    pub per: Duration,
    /// The status beyond it, 429 by the standard (RFC 6585 §4).
    pub status: u16,
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
}
