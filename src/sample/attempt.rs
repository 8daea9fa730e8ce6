//! Attempts: first ways in and ways back, what ends them, and why.
//!
//! In: nothing. Out: [`Outcome`], [`Cause`], [`AttemptEnd`].

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

named_enum! {
    /// Whether an attempt is a client's first way in or its way back.
    AttemptKind {
        /// Before the client's first ready session.
        First = "first",
        /// After a disconnect.
        Reconnect = "reconnect",
    }
}

named_enum! {
    /// What ended an attempt. Every attempt has exactly one.
    Outcome {
        /// Upgraded: a session began.
        Ok = "ok",
        /// The handshake was answered with 403.
        Http403 = "http_403",
        /// The handshake was answered with 401.
        Http401 = "http_401",
        /// The handshake was answered with 429.
        Http429 = "http_429",
        /// The handshake was answered with another 4xx.
        Http4xx = "http_4xx",
        /// The handshake was answered with a 5xx.
        Http5xx = "http_5xx",
        /// The token endpoint refused the request with an OAuth error (RFC 6749 §5.2).
        TokenRefused = "token_refused",
        /// The token endpoint failed in another way: unreachable, timeout, 5xx, not JSON.
        TokenError = "token_error",
        /// The name did not resolve.
        Dns = "dns",
        /// The TCP connection was refused.
        TcpRefused = "tcp_refused",
        /// The connection was reset or closed before the upgrade was answered.
        TcpReset = "tcp_reset",
        /// A stage took longer than its timeout.
        Timeout = "timeout",
        /// The TLS handshake failed.
        Tls = "tls",
        /// The answer was no WebSocket upgrade and no HTTP refusal.
        Protocol = "protocol",
        /// No file descriptor or port was left on this machine: not the target's fault.
        LocalLimit = "local_limit",
        /// The run ended first.
        Aborted = "aborted",
        /// A request before the handshake was refused over HTTP.
        StepRefused = "step_refused",
        /// A request before the handshake failed in another way: unreachable, timeout, an answer without what was wanted.
        StepError = "step_error",
    }
}

impl Outcome {
    /// Whether the handshake was answered with an HTTP refusal.
    #[must_use]
    pub const fn is_refusal(self) -> bool {
        matches!(self, Self::Http401 | Self::Http403 | Self::Http429 | Self::Http4xx | Self::Http5xx)
    }

    /// Whether the outcome says something about the target: not `aborted`, not `local_limit`.
    #[must_use]
    pub const fn is_about_target(self) -> bool {
        !matches!(self, Self::Aborted | Self::LocalLimit)
    }
}

named_enum! {
    /// Why a handshake got 401 or 403, as far as the evidence goes.
    Cause {
        /// The token was invalidated, by a disconnect or by a newer token.
        StaleToken = "stale_token",
        /// The token's life had ended.
        ExpiredToken = "expired_token",
        /// The token lacks a scope or a permission.
        MissingScope = "missing_scope",
        /// No token was sent.
        NoToken = "no_token",
        /// The service does not know the token.
        UnknownToken = "unknown_token",
        /// Too many requests.
        RateLimited = "rate_limited",
        /// Another session took this one's place.
        Displaced = "displaced",
        /// Refused by something in front of the service.
        Edge = "edge",
        /// Refused by the service, for another reason that it names.
        ForbiddenOther = "forbidden_other",
        /// The evidence does not suffice.
        Unknown = "unknown",
    }
}

/// The end of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptEnd {
    /// First way in, or way back.
    pub kind: AttemptKind,
    /// What ended it.
    pub outcome: Outcome,
    /// Why, for 401 and 403, of the handshake or of a request before it; `None` for every other outcome.
    pub cause: Option<Cause>,
    /// From when the attempt was due to its end.
    pub latency: Duration,
    /// How old the token was that the handshake carried; `None` where it carried none that was fetched, or was not sent.
    pub token_age: Option<Duration>,
}
