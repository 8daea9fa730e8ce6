//! What happened: the vocabulary that clients, recorder, journal and reports share.
//!
//! In: nothing. Out: the enums of outcomes, causes, phases, metrics and counters, and [`Sample`], the message from
//! a virtual client to the recorder. What the *target* does wrong is one of these values, never an `Err`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Moment;

/// Declares an enum whose variants have one name each, the same in code, CSV, JSON and on the terminal.
macro_rules! named_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$doc])* #[serde(rename = $text)] $variant,)+ }

        impl $name {
            /// Every value, in the order in which reports list them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name that files and reports use.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// The value of that name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.name() == name)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

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

named_enum! {
    /// Who ended a session.
    Initiator {
        /// The target closed it.
        Target = "target",
        /// The client closed it.
        Client = "client",
        /// The connection ended without a close frame, or the peer fell silent.
        Network = "network",
        /// A storm forced it.
        Storm = "storm",
    }
}

named_enum! {
    /// How a session ended that has no close frame (close code 1006, RFC 6455 §7.1.5).
    Abnormal {
        /// The peer closed the connection (FIN).
        Fin = "fin",
        /// The peer reset the connection (RST).
        Rst = "rst",
        /// The peer fell silent past a timeout.
        Timeout = "timeout",
        /// The peer broke the protocol.
        Protocol = "protocol",
        /// This client dropped the connection: on purpose, or because the run was cut short.
        Dropped = "dropped",
    }
}

named_enum! {
    /// A part of a reconnect. The phases of a reconnect follow each other without a gap: their sum is its latency.
    Phase {
        /// From the disconnect (when it was due, where that is known) until the client knew of it.
        Detect = "detect",
        /// Waiting before an attempt.
        Backoff = "backoff",
        /// Getting a token.
        Token = "token",
        /// Resolving the name.
        Dns = "dns",
        /// Opening the TCP connection.
        Tcp = "tcp",
        /// The TLS handshake.
        Tls = "tls",
        /// The WebSocket upgrade: request to answer.
        Upgrade = "upgrade",
        /// From the upgrade until the session was ready.
        Ready = "ready",
    }
}

named_enum! {
    /// What is measured in time, one histogram for each group and metric.
    Metric {
        /// From the disconnect to the next ready session.
        ReconnectLatency = "reconnect_latency",
        /// The same from when the client actually began: without the phase `detect` and without the generator's lag.
        ReconnectServiceTime = "reconnect_service_time",
        /// From a client's due start to its first ready session.
        ConnectLatency = "connect_latency",
        /// From an attempt's due start to its HTTP refusal.
        RefusedLatency = "refused_latency",
        /// Phase `detect` of each completed reconnect.
        PhaseDetect = "phase_detect",
        /// Phase `backoff` of each completed reconnect, summed over its attempts.
        PhaseBackoff = "phase_backoff",
        /// Phase `token` of each completed reconnect, summed over its attempts.
        PhaseToken = "phase_token",
        /// Phase `dns` of each completed reconnect, summed over its attempts.
        PhaseDns = "phase_dns",
        /// Phase `tcp` of each completed reconnect, summed over its attempts.
        PhaseTcp = "phase_tcp",
        /// Phase `tls` of each completed reconnect, summed over its attempts.
        PhaseTls = "phase_tls",
        /// Phase `upgrade` of each completed reconnect, summed over its attempts.
        PhaseUpgrade = "phase_upgrade",
        /// Phase `ready` of each completed reconnect, summed over its attempts.
        PhaseReady = "phase_ready",
        /// From the upgrade to the session's end.
        SessionLength = "session_length",
        /// From when the target was due to send a message to when the client had it.
        MessageLatency = "message_latency",
        /// How late the generator itself was: due time to actual time of what a client does by the clock.
        Lag = "lag",
        /// How old the token was that a handshake carried, from its arrival to the upgrade request.
        TokenAge = "token_age",
        /// How many 403s in a row a client got before it had a session again, or was done: a count, not a time.
        CascadeDepth = "cascade_depth",
    }
}

impl Metric {
    /// Whether its values are microseconds; else they are counts.
    #[must_use]
    pub const fn is_time(self) -> bool {
        !matches!(self, Self::CascadeDepth)
    }

    /// The metric of a phase.
    #[must_use]
    pub const fn of_phase(phase: Phase) -> Self {
        match phase {
            Phase::Detect => Self::PhaseDetect,
            Phase::Backoff => Self::PhaseBackoff,
            Phase::Token => Self::PhaseToken,
            Phase::Dns => Self::PhaseDns,
            Phase::Tcp => Self::PhaseTcp,
            Phase::Tls => Self::PhaseTls,
            Phase::Upgrade => Self::PhaseUpgrade,
            Phase::Ready => Self::PhaseReady,
        }
    }
}

named_enum! {
    /// What is counted, beside attempts by outcome and sessions' ends by close code.
    Counter {
        /// Clients that began.
        ClientsStarted = "clients_started",
        /// Ends of sessions that the client did not ask for, or that a storm or the scenario forced.
        Disconnects = "disconnects",
        /// Reconnects that ended in a ready session.
        Reconnects = "reconnects",
        /// Reconnects given up: attempts used up, or a refusal that the scenario calls final.
        ReconnectsGivenUp = "reconnects_given_up",
        /// Disconnects after which the scenario wants no reconnect.
        ReconnectsNotWanted = "reconnects_not_wanted",
        /// Reconnects under way when the run ended.
        ReconnectsUnfinished = "reconnects_unfinished",
        /// Clients that gave up before their first ready session.
        FirstGivenUp = "first_given_up",
        /// Tokens that the token endpoint issued to this group.
        TokensFetched = "tokens_fetched",
        /// Token requests that failed.
        TokenFailures = "token_failures",
        /// Sessions closed by the client because they did not become ready in time.
        ReadyTimeouts = "ready_timeouts",
        /// Data messages received.
        MessagesIn = "messages_in",
        /// Data messages sent.
        MessagesOut = "messages_out",
        /// Bytes received on WebSocket connections, as carried by TCP (or TLS).
        BytesIn = "bytes_in",
        /// Bytes sent on WebSocket connections, as carried by TCP (or TLS).
        BytesOut = "bytes_out",
        /// Messages that the target sent while the client was away, by their sequence numbers.
        MessagesMissed = "messages_missed",
        /// Outages across which messages could be counted (a sequence number before and one after).
        OutagesMeasured = "outages_measured",
        /// Token requests that had to wait for a connection of the generator's own pool.
        TokenPoolWaits = "token_pool_waits",
        /// TCP connections that clients opened towards the WebSocket endpoint.
        TcpConnections = "tcp_connections",
        /// Attempts whose result at the target the client cannot know: it gave up after its request was sent.
        Unsettled = "unsettled",
        /// Tokens fetched for reconnects: over completed reconnects, the stampede factor.
        TokensForReconnects = "tokens_for_reconnects",
        /// Handshakes refused because their token was stale or expired.
        DeadTokenHandshakes = "dead_token_handshakes",
        /// Turns of the refetch loop: handshakes refused with 401 or 403 though a token had been fetched because of the refusal before.
        RefetchTurns = "refetch_turns",
        /// Refresh tokens that the token endpoint refused: the clients then went back to their credentials.
        RefreshTokensRefused = "refresh_tokens_refused",
        /// TLS handshakes that clients broke off because the server's certificate is not trusted, is for another name, or is out of date.
        CertificatesNotTrusted = "certificates_not_trusted",
    }
}

/// The time that a reconnect spent in each phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Phases([Duration; Phase::ALL.len()]);

impl Phases {
    /// Adds `time` to `phase`.
    pub fn add(&mut self, phase: Phase, time: Duration) {
        self.0[phase as usize] += time;
    }

    /// The time in `phase`.
    #[must_use]
    pub const fn get(&self, phase: Phase) -> Duration {
        self.0[phase as usize]
    }

    /// The time in all phases.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.0.iter().sum()
    }
}

/// Index of a group in the scenario's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupId(pub u16);

/// Index of a storm in the scenario's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StormId(pub u16);

impl StormId {
    /// Of that index.
    #[must_use]
    pub fn of(index: usize) -> Self {
        Self(u16::try_from(index).unwrap_or(u16::MAX))
    }
}

/// A sample, when it was taken and in which group: what travels from a client to the recorder.
#[derive(Debug, Clone)]
pub struct Stamped {
    /// When it happened.
    pub at: Moment,
    /// The client's group.
    pub group: GroupId,
    /// What happened.
    pub sample: Sample,
}

/// Something that happened to a virtual client.
#[derive(Debug, Clone)]
pub enum Sample {
    /// An attempt ended. Sent exactly once for every attempt.
    Attempt(AttemptEnd),
    /// A session became ready.
    Ready(Box<ReadySample>),
    /// A session ended. Sent exactly once for every attempt with outcome `ok`.
    SessionEnd(SessionEnd),
    /// The generator did something late by this much.
    Lag(Duration),
    /// Counts since the client's last sample of this kind.
    Count(Counter, u64),
    /// Traffic on a session since the client's last sample of this kind, at most one in a second while it lives.
    Traffic(Box<Traffic>),
    /// So many 403s in a row are over: the client has a session again, or is done.
    Cascade(u32),
    /// A disconnect, counted as [`Counter::Disconnects`] as well, was this storm's doing.
    StormDisconnect(StormId),
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

/// A session that became ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadySample {
    /// First way in, or way back.
    pub kind: AttemptKind,
    /// The storm that forced the disconnect; `None`: no storm did, or it is the first way in.
    pub storm: Option<StormId>,
    /// From the intended start: the disconnect (a storm's: when it was due), or the client's due start.
    pub latency: Duration,
    /// From the actual start: without `detect` and without the generator's lag.
    pub service_time: Duration,
    /// Where the time went; the sum is `latency`.
    pub phases: Phases,
}

/// The end of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionEnd {
    /// Who ended it.
    pub initiator: Initiator,
    /// The close code: 1006 where no close frame came.
    pub code: u16,
    /// How, where no close frame came.
    pub abnormal: Option<Abnormal>,
    /// From the upgrade to the end.
    pub length: Duration,
}

/// What went over a session since the last report of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Data messages received.
    pub messages_in: u64,
    /// Data messages sent.
    pub messages_out: u64,
    /// Bytes received, the upgrade's answer included.
    pub bytes_in: u64,
    /// Bytes sent, the upgrade's request included.
    pub bytes_out: u64,
    /// Latency of each message that carried its due time, in microseconds.
    pub message_latencies_us: Vec<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_read_back() {
        for &outcome in Outcome::ALL {
            assert_eq!(Outcome::from_name(outcome.name()), Some(outcome));
        }
        for &metric in Metric::ALL {
            assert_eq!(Metric::from_name(metric.name()), Some(metric));
        }
        assert_eq!(Outcome::from_name("http_404"), None);
        for &phase in Phase::ALL {
            assert_eq!(Metric::of_phase(phase).name(), format!("phase_{phase}"));
        }
    }

    #[test]
    fn phases_add_up() {
        let mut phases = Phases::default();
        phases.add(Phase::Tcp, Duration::from_millis(2));
        phases.add(Phase::Upgrade, Duration::from_millis(3));
        phases.add(Phase::Tcp, Duration::from_millis(1));
        assert_eq!(phases.get(Phase::Tcp), Duration::from_millis(3));
        assert_eq!(phases.total(), Duration::from_millis(6));
    }

    #[test]
    fn a_sample_stays_small() {
        assert!(size_of::<Stamped>() <= 64, "{}", size_of::<Stamped>());
    }
}
