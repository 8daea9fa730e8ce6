//! What is measured, and the phases of a way back.
//!
//! In: nothing. Out: [`Metric`], [`Phase`], [`Phases`].

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
        /// Signing a token, where the client mints its own: the client's work, not the service's. In the place of `token`.
        Mint = "mint",
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
        /// From an attempt's due start to its refusal, wherever it was spoken.
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
        /// How many refusals in a row a client got that may be its token's (401, 403, by close, by message) before it was let in, or was done: a count, not a time.
        CascadeDepth = "cascade_depth",
        /// How long the clients had been away, of each reconnect that was under way when the run ended.
        ReconnectAway = "reconnect_away",
        /// A full TLS handshake, of clients that may resume their sessions (`tls_resumption`).
        TlsFull = "tls_full",
        /// A TLS handshake that resumed an earlier session.
        TlsResumed = "tls_resumed",
        /// Phase `mint` of each completed reconnect of a client that mints its own tokens, summed over its attempts.
        PhaseMint = "phase_mint",
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
            Phase::Mint => Self::PhaseMint,
        }
    }
}

/// Marks the time in phase `token` as that of minting, once, when all is told: a group's clients mint all of their tokens, or none.
const MINTED: u64 = 1 << 63;

/// The time that a reconnect spent in each phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Phases([u64; Phase::ALL.len() - 1]);

impl Phases {
    /// Adds `time` to `phase`. What is minted is added as a time in phase `token`, until [`Phases::of_minting`] says so of all of it.
    pub fn add(&mut self, phase: Phase, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let so_far = &mut self.0[Self::slot(phase)];
        *so_far = so_far.saturating_add(ns);
    }

    const fn slot(phase: Phase) -> usize {
        let slot = phase as usize;
        if slot < Phase::Mint as usize { slot } else { Phase::Token as usize }
    }

    /// The same of a client that mints its own tokens: the time in phase `token` is that of phase `mint`.
    #[must_use]
    pub fn of_minting(mut self) -> Self {
        let token = &mut self.0[Phase::Token as usize];
        *token = (*token).min(!MINTED) | MINTED;
        self
    }

    /// The time in `phase`.
    #[must_use]
    pub const fn get(&self, phase: Phase) -> Duration {
        let ns = self.0[Self::slot(phase)];
        Duration::from_nanos(match phase {
            Phase::Token if self.is_minted() => 0,
            Phase::Mint if !self.is_minted() => 0,
            Phase::Mint => ns & !MINTED,
            _ => ns,
        })
    }

    /// Whether the client mints its own tokens.
    #[must_use]
    pub const fn is_minted(&self) -> bool {
        self.0[Phase::Token as usize] & MINTED != 0
    }

    /// The time in all phases.
    #[must_use]
    pub fn total(&self) -> Duration {
        let all = self.0.iter().fold(0_u64, |sum, ns| sum.saturating_add(*ns));
        Duration::from_nanos(all - (self.0[Phase::Token as usize] & MINTED))
    }
}
