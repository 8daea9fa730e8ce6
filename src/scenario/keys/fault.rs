//! `[[target.faults]]`: what the embedded target does wrong, how often and when.
//!
//! In: tables. Out: [`TargetFault`]s. Durations count from the target's start, shares are 0..1.

use std::time::Duration;

use crate::declare::{
    At, Kind as _, Or, Rows, Shape, Table, Time, Value, duration, field, int, of, refusing_status,
    share_above_zero, signed, table, tagged, words,
};

use super::delay::Delay;

/// What [`FaultKind::OversizedFrame`] announces where the file does not say: 1 TiB.
const OVERSIZED_BYTES: u64 = 1 << 40;

table! {
    /// A fault of the embedded target; of several that strike one request, the first does.
    #[derive(Copy, PartialEq)]
    pub struct TargetFault {
        /// The share of the requests that it strikes, above 0.
        share: f64 = 1.0 => share_above_zero("the fault would strike nobody");
        /// It strikes from then on, counted from the target's start.
        from: Duration = Duration::ZERO => duration();
        /// It strikes until then, exclusive, counted from the target's start. Without it: to the end.
        until: Option<Duration> = None => duration();
        ..
        /// What goes wrong.
        kind: FaultKind;
    }
    check: check_until;
}

fn check_until(fault: TargetFault, table: &Table<'_>) -> Option<TargetFault> {
    if fault.until.is_some_and(|until| until <= fault.from) {
        let message = format!("`{}` is not after `from`", table.path_of("until"));
        table.between(Some("until"), message, "both count from the target's start: make it later");
    }
    Some(fault)
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

table! {
    /// An HTTP status given in place of the true answer.
    #[derive(Copy, PartialEq, Eq)]
    pub struct StatusFault {
        /// The status.
        status: u16 = 503 => refusing_status();
        /// `Retry-After` (RFC 9110 §10.2.3), sent in whole seconds, rounded up. Without it: none.
        retry_after: Option<Duration> = None => duration();
    }
}

/// By how much a clock, or `expires_in`, differs from the truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skew {
    /// It says too much: the token is dead before the client thinks so.
    Longer(Duration),
    /// It says too little.
    Shorter(Duration),
}

impl Value for Skew {
    fn shape() -> Shape {
        signed().shape()
    }

    fn read(at: &At<'_>) -> Option<Self> {
        let (is_shorter, by) = signed().read(at)?;
        Some(if is_shorter { Self::Shorter(by) } else { Self::Longer(by) })
    }
}

words! {
    /// What is wrong with a frame.
    pub enum FrameFlaw {
        /// RSV2 is set, which no extension gives a meaning.
        ReservedBits = "reserved-bits",
        /// 0x3, which is reserved.
        Opcode = "opcode",
        /// A compressed message that is no DEFLATE; without permessage-deflate, a reserved bit.
        Deflate = "deflate",
    }
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

fn after() -> Or<Time> {
    field("after", "How long after the upgrade.", duration()).or(Duration::ZERO)
}

fn rows() -> Rows<FaultKind> {
    use FaultKind::{
        AcceptSlow, CloseWithoutFrame, HalfOpen, InvalidUtf8, MalformedFrame, MaskedFrame, OversizedFrame,
        ResetAfterUpgrade, ResetBeforeUpgrade, ResetDuringUpgrade, TokenClockSkew, TokenHang, TokenHtml,
        TokenSlow, TokenStatus, TokenTruncated, UnsolicitedSubprotocol, UpgradeStall, UpgradeStatus,
        WrongAccept,
    };
    let delay =
        || field("delay", "For how long.", of::<Delay>()).needed("say for how long, as delay = \"5s\"");
    let bytes = field(
        "bytes",
        "The payload length that the frame's header announces, in bytes.",
        int(126..=u64::MAX / 2),
    );
    let flaw = field("flaw", "What is wrong with the frame.", of()).or(FrameFlaw::ReservedBits);
    let skew = field("skew", "By how much `expires_in` is wrong.", of::<Skew>());
    Rows::needed("kind", "What goes wrong.", "say what goes wrong, as kind = \"upgrade_stall\"")
        .row("token_slow", "The token's answer is held back, beside the target's own delay.", delay(), |delay| TokenSlow { delay })
        .row("token_hang", "The token endpoint never answers.", (), |()| TokenHang)
        .table("token_status", "The token endpoint answers with a status and no OAuth error.", TokenStatus)
        .row("token_html", "The token endpoint answers 200 with an HTML page, as a portal or a proxy would.", (), |()| TokenHtml)
        .row("token_truncated", "The token endpoint's JSON breaks off in the middle, in an answer whose length is right.", (), |()| TokenTruncated)
        .row("token_clock_skew", "`expires_in` is not the token's true life (RFC 6749 §5.1).", skew.needed("say by how much, as skew = \"+30s\""), TokenClockSkew)
        .row("accept_slow", "The server reads nothing from an accepted connection for a while.", delay(), |delay| AcceptSlow { delay })
        .row("upgrade_stall", "The upgrade request is never answered.", (), |()| UpgradeStall)
        .row("reset_before_upgrade", "The upgrade request is answered with a TCP reset.", (), |()| ResetBeforeUpgrade)
        .row("reset_during_upgrade", "The upgrade's answer breaks off in a TCP reset.", (), |()| ResetDuringUpgrade)
        .row("reset_after_upgrade", "A session is ended by a TCP reset.", after(), |after| ResetAfterUpgrade { after })
        .row("close_without_frame", "A session is ended by TCP's FIN, without a close frame.", after(), |after| CloseWithoutFrame { after })
        .row("half_open", "A session falls silent: nothing is read, written or closed any more.", after(), |after| HalfOpen { after })
        .row("wrong_accept", "101 with a `Sec-WebSocket-Accept` that does not fit the key (RFC 6455 §4.1).", (), |()| WrongAccept)
        .row("oversized_frame", "A frame that announces more than a client may want to take (RFC 6455 §7.4.1, code 1009).", (after(), bytes.or(OVERSIZED_BYTES)), |(after, bytes)| OversizedFrame { after, bytes })
        .row("malformed_frame", "A frame that the protocol does not know (RFC 6455 §5.2).", (after(), flaw), |(after, flaw)| MalformedFrame { after, flaw })
        .row("invalid_utf8", "A text message that is no UTF-8 (RFC 6455 §8.1).", after(), |after| InvalidUtf8 { after })
        .row("masked_frame", "A masked frame, which a server must not send (RFC 6455 §5.1).", after(), |after| MaskedFrame { after })
        .row("unsolicited_subprotocol", "101 with a subprotocol that the client did not offer (RFC 6455 §4.1).", (), |()| UnsolicitedSubprotocol)
        .table("upgrade_status", "The upgrade request is answered with a status, as by a proxy in front of a service that is down.", UpgradeStatus)
}

tagged! { FaultKind => rows }

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
