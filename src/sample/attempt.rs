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
        /// The service let the client in: the handshake was answered with 101, and what followed was no refusal.
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
        /// Answered with 101, and then refused by a close code.
        RefusedClose = "refused_close",
        /// Answered with 101, and then refused by a message.
        RefusedMessage = "refused_message",
        /// Answered with 101, and ended in another way before the client was let in.
        EndedEarly = "ended_early",
        /// Answered with 101, and not ready in time.
        NotReady = "not_ready",
    }
}

impl Outcome {
    /// Whether the handshake was answered with an HTTP refusal.
    #[must_use]
    pub const fn is_http_refusal(self) -> bool {
        matches!(self, Self::Http401 | Self::Http403 | Self::Http429 | Self::Http4xx | Self::Http5xx)
    }

    /// Whether the service refused the handshake, wherever it said so: over HTTP, by a close code, in a message.
    #[must_use]
    pub const fn is_refusal(self) -> bool {
        self.is_http_refusal() || matches!(self, Self::RefusedClose | Self::RefusedMessage)
    }

    /// Whether the handshake was answered with 101, whatever followed; not of one that the run's end cut off.
    #[must_use]
    pub const fn is_upgraded(self) -> bool {
        matches!(
            self,
            Self::Ok | Self::RefusedClose | Self::RefusedMessage | Self::EndedEarly | Self::NotReady
        )
    }

    /// Whether the handshake was answered: with 101, or with an HTTP refusal.
    #[must_use]
    pub const fn is_answered(self) -> bool {
        self.is_upgraded() || self.is_http_refusal()
    }

    /// Whether the outcome says something about the target: not `aborted`, not `local_limit`.
    #[must_use]
    pub const fn is_about_target(self) -> bool {
        !matches!(self, Self::Aborted | Self::LocalLimit)
    }
}

named_enum! {
    /// Why the service refused, as far as the evidence goes.
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
        /// The service has too much to do, or too many clients.
        Overloaded = "overloaded",
        /// The service does not take the handshake's `Origin`, or that it has none.
        Origin = "origin",
    }
}

impl Cause {
    /// Whether the token was dead: stale or expired.
    #[must_use]
    pub const fn is_dead_token(self) -> bool {
        matches!(self, Self::StaleToken | Self::ExpiredToken)
    }
}

named_enum! {
    /// Where a refusal was spoken.
    Spoken {
        /// In the answer to an HTTP request: the handshake's, or one before it.
        Http = "http",
        /// By a close code, after the 101.
        Close = "close",
        /// In a message, after the 101.
        Message = "message",
        /// Nowhere: nothing came.
        Silence = "silence",
        /// In the TLS handshake: by either side, for neither spoke HTTP.
        Tls = "tls",
    }
}

named_enum! {
    /// Who answered. It says nothing of why.
    AnsweredBy {
        /// The service itself.
        Service = "service",
        /// Something in front of it: its stock page says so.
        Edge = "edge",
        /// The answer does not tell.
        Unknown = "unknown",
    }
}

named_enum! {
    /// On what ground a cause is claimed.
    Ground {
        /// The same client's next attempt settled it: a fresh token, and nothing else, made the difference.
        Proved = "proved",
        /// The service's own words, or a code whose meaning is laid down.
        Said = "said",
        /// What the client knows of the token that it sent.
        Known = "known",
        /// No cause is claimed.
        Unknown = "unknown",
    }
}

/// What was answered where no session came of an attempt, and what is made of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Answer {
    /// Where.
    pub spoken: Spoken,
    /// The HTTP status, or the close code: 1006 where the connection ended without one; 0: neither.
    pub code: u16,
    /// The answer's own words, bounded, where it had any that may be shown.
    pub words: Option<Box<str>>,
    /// Who answered.
    pub by: AnsweredBy,
    /// On what ground the attempt's cause is claimed.
    pub ground: Ground,
}

impl Answer {
    /// The code and the words as files have them: `403`, `4401 token expired`, `Invalid token`; empty where nothing was said.
    #[must_use]
    pub fn said(&self) -> String {
        let code = if self.code == 0 { String::new() } else { self.code.to_string() };
        let parts = [code.as_str(), self.words.as_deref().unwrap_or_default()];
        parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join(" ")
    }
}

/// By what attempts are counted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptKey {
    /// First way in, or way back.
    pub kind: AttemptKind,
    /// What ended it.
    pub outcome: Outcome,
    /// Why.
    pub cause: Option<Cause>,
    /// What was answered, where that was no admission; `None` also in journals of before.
    pub answer: Option<Box<Answer>>,
}

/// The end of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptEnd {
    /// First way in, or way back.
    pub kind: AttemptKind,
    /// What ended it.
    pub outcome: Outcome,
    /// Why, for refusals of the handshake or of a request before it; `None` for every other outcome.
    pub cause: Option<Cause>,
    /// What was answered, where that was no admission.
    pub answer: Option<Box<Answer>>,
    /// From when the attempt was due to its end: the 101 of one that was admitted, the refusal of one that was refused.
    pub latency: Duration,
    /// How old the token was that the handshake carried; `None` where it carried none that was fetched, or was not sent.
    pub token_age: Option<Duration>,
}

impl AttemptEnd {
    /// An end without an answer.
    #[must_use]
    pub const fn plain(kind: AttemptKind, outcome: Outcome, latency: Duration) -> Self {
        Self { kind, outcome, cause: None, answer: None, latency, token_age: None }
    }

    /// By what it is counted.
    #[must_use]
    pub fn key(&self) -> AttemptKey {
        let Self { kind, outcome, cause, ref answer, .. } = *self;
        AttemptKey { kind, outcome, cause, answer: answer.clone() }
    }
}

/// Attempts that are to be counted otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recount {
    /// As they were counted.
    pub from: AttemptKey,
    /// As they are to be.
    pub to: AttemptKey,
    /// How many.
    pub times: u32,
}
