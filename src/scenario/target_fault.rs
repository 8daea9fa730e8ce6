//! The faults that the embedded target can be told to have, as typed data.
//!
//! In: nothing. Out: kinds of faults, how often each strikes and when. Durations count from the target's start, shares are 0..1.

use std::time::Duration;

use super::target_model::Delay;

/// A fault, how often it strikes and when.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TargetFault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// The share of the requests that it strikes, 0..1.
    pub share: f64,
    /// It strikes from then on, counted from the target's start.
    pub from: Duration,
    /// It strikes until then, exclusive; `None`: to the end.
    pub until: Option<Duration>,
}

/// What goes wrong, with the numbers that belong to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FaultKind {
    /// The token's answer is held back, beside the rules' own delay.
    TokenSlow {
        /// For how long.
        delay: Delay,
    },
    /// The token endpoint never answers.
    TokenHang,
    /// The token endpoint answers with a status and no OAuth error.
    TokenStatus(StatusFault),
    /// The token endpoint answers 200 with an HTML page, as a portal or a proxy would.
    TokenHtml,
    /// The token endpoint's JSON breaks off in the middle, in an answer whose length is right.
    TokenTruncated,
    /// `expires_in` is not the token's true life (RFC 6749 §5.1).
    TokenClockSkew(Skew),
    /// The server reads nothing from an accepted connection for a while, whatever is then asked of it.
    AcceptSlow {
        /// For how long.
        delay: Delay,
    },
    /// The upgrade request is never answered.
    UpgradeStall,
    /// The upgrade request is answered with a TCP reset.
    ResetBeforeUpgrade,
    /// The upgrade's answer breaks off in a TCP reset.
    ResetDuringUpgrade,
    /// A session is ended by a TCP reset.
    ResetAfterUpgrade {
        /// This long after its upgrade.
        after: Duration,
    },
    /// A session is ended by TCP's FIN, without a close frame.
    CloseWithoutFrame {
        /// This long after its upgrade.
        after: Duration,
    },
    /// A session falls silent: nothing is read, written or closed any more.
    HalfOpen {
        /// This long after its upgrade.
        after: Duration,
    },
    /// 101 with a `Sec-WebSocket-Accept` that does not fit the key (RFC 6455 §4.1).
    WrongAccept,
    /// A frame that announces more than a client may want to take (RFC 6455 §7.4.1, code 1009).
    OversizedFrame {
        /// This long after the upgrade.
        after: Duration,
        /// The payload length that its header announces, in bytes, below 2^63 (RFC 6455 §5.2).
        bytes: u64,
    },
    /// A frame that the protocol does not know (RFC 6455 §5.2).
    MalformedFrame {
        /// This long after the upgrade.
        after: Duration,
        /// What is wrong with it.
        flaw: FrameFlaw,
    },
    /// A text message that is no UTF-8 (RFC 6455 §8.1).
    InvalidUtf8 {
        /// This long after the upgrade.
        after: Duration,
    },
    /// A masked frame, which a server must not send (RFC 6455 §5.1).
    MaskedFrame {
        /// This long after the upgrade.
        after: Duration,
    },
    /// 101 with a subprotocol that the client did not offer (RFC 6455 §4.1).
    UnsolicitedSubprotocol,
    /// The upgrade request is answered with a status, as by a proxy in front of a service that is down.
    UpgradeStatus(StatusFault),
}

/// An HTTP status given in place of the true answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusFault {
    /// The status, 400 to 599.
    pub status: u16,
    /// `Retry-After` (RFC 9110 §10.2.3), sent in whole seconds, rounded up.
    pub retry_after: Option<Duration>,
}

/// By how much `expires_in` differs from the token's true life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skew {
    /// It says too much: the token is dead before the client thinks so.
    Longer(Duration),
    /// It says too little.
    Shorter(Duration),
}

/// What is wrong with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameFlaw {
    /// `"reserved-bits"`: RSV1 is set, and no extension was agreed on.
    ReservedBits,
    /// `"opcode"`: 0x3, which is reserved.
    Opcode,
}

/// Where in the life of a connection a fault strikes. Each has its own stream of draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultStage {
    /// A connection was accepted.
    Accept,
    /// A token request was read.
    Token,
    /// An upgrade request was read.
    Upgrade,
}

impl FaultKind {
    /// The name that files, counters and reports use.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::TokenSlow { .. } => "token_slow",
            Self::TokenHang => "token_hang",
            Self::TokenStatus(_) => "token_status",
            Self::TokenHtml => "token_html",
            Self::TokenTruncated => "token_truncated",
            Self::TokenClockSkew(_) => "token_clock_skew",
            Self::AcceptSlow { .. } => "accept_slow",
            Self::UpgradeStall => "upgrade_stall",
            Self::ResetBeforeUpgrade => "reset_before_upgrade",
            Self::ResetDuringUpgrade => "reset_during_upgrade",
            Self::ResetAfterUpgrade { .. } => "reset_after_upgrade",
            Self::CloseWithoutFrame { .. } => "close_without_frame",
            Self::HalfOpen { .. } => "half_open",
            Self::WrongAccept => "wrong_accept",
            Self::OversizedFrame { .. } => "oversized_frame",
            Self::MalformedFrame { .. } => "malformed_frame",
            Self::InvalidUtf8 { .. } => "invalid_utf8",
            Self::MaskedFrame { .. } => "masked_frame",
            Self::UnsolicitedSubprotocol => "unsolicited_subprotocol",
            Self::UpgradeStatus(_) => "upgrade_status",
        }
    }

    /// Where it strikes. What strikes a session is decided with its upgrade.
    #[must_use]
    pub const fn stage(&self) -> FaultStage {
        match self {
            Self::TokenSlow { .. }
            | Self::TokenHang
            | Self::TokenStatus(_)
            | Self::TokenHtml
            | Self::TokenTruncated
            | Self::TokenClockSkew(_) => FaultStage::Token,
            Self::AcceptSlow { .. } => FaultStage::Accept,
            _ => FaultStage::Upgrade,
        }
    }

    /// How long after its upgrade a session is struck; `None` for faults that strike no session.
    #[must_use]
    pub const fn after(&self) -> Option<Duration> {
        match self {
            Self::ResetAfterUpgrade { after }
            | Self::CloseWithoutFrame { after }
            | Self::HalfOpen { after }
            | Self::OversizedFrame { after, .. }
            | Self::MalformedFrame { after, .. }
            | Self::InvalidUtf8 { after }
            | Self::MaskedFrame { after } => Some(*after),
            _ => None,
        }
    }
}
