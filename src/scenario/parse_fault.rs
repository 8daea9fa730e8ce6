//! The tables `[[target.faults]]` become typed data, or faults of the file.
//!
//! In: the target's table. Out: [`TargetFault`]s. Each kind has keys of its own; others are unknown to it.

use std::time::Duration;

use super::model::{Delay, FaultKind, FrameFlaw, StatusFault, TargetFault};
use super::parse_common::{share_or_all, skew};
use super::parse_delay::parse_delay;
use super::reader::Table;

/// What [`FaultKind::OversizedFrame`] announces where the file does not say: 1 TiB.
const OVERSIZED_BYTES: u64 = 1 << 40;
/// The status of a fault that gives one, where the file does not say.
const STATUS: u16 = 503;

/// A kind as it stands in a file.
pub(super) struct KindRow {
    pub(super) name: &'static str,
    /// The keys that belong to this kind alone, those it needs first.
    pub(super) keys: &'static [&'static str],
    /// How many of them it needs.
    pub(super) needed: usize,
    read: fn(&Table<'_>) -> Option<FaultKind>,
}

const fn row(name: &'static str, read: fn(&Table<'_>) -> Option<FaultKind>) -> KindRow {
    KindRow { name, keys: &[], needed: 0, read }
}

const fn after(name: &'static str, read: fn(&Table<'_>) -> Option<FaultKind>) -> KindRow {
    KindRow { name, keys: &["after"], needed: 0, read }
}

/// Every kind.
pub(super) const KINDS: [KindRow; 20] = [
    KindRow {
        name: "token_slow",
        keys: &["delay"],
        needed: 1,
        read: |t| delay(t).map(|delay| FaultKind::TokenSlow { delay }),
    },
    row("token_hang", |_| Some(FaultKind::TokenHang)),
    KindRow {
        name: "token_status",
        keys: &["status", "retry_after"],
        needed: 0,
        read: |t| Some(FaultKind::TokenStatus(status(t))),
    },
    row("token_html", |_| Some(FaultKind::TokenHtml)),
    row("token_truncated", |_| Some(FaultKind::TokenTruncated)),
    KindRow {
        name: "token_clock_skew",
        keys: &["skew"],
        needed: 1,
        read: |t| skew(t, "skew").map(FaultKind::TokenClockSkew),
    },
    KindRow {
        name: "accept_slow",
        keys: &["delay"],
        needed: 1,
        read: |t| delay(t).map(|delay| FaultKind::AcceptSlow { delay }),
    },
    row("upgrade_stall", |_| Some(FaultKind::UpgradeStall)),
    row("reset_before_upgrade", |_| Some(FaultKind::ResetBeforeUpgrade)),
    row("reset_during_upgrade", |_| Some(FaultKind::ResetDuringUpgrade)),
    after("reset_after_upgrade", |t| Some(FaultKind::ResetAfterUpgrade { after: when(t) })),
    after("close_without_frame", |t| Some(FaultKind::CloseWithoutFrame { after: when(t) })),
    after("half_open", |t| Some(FaultKind::HalfOpen { after: when(t) })),
    row("wrong_accept", |_| Some(FaultKind::WrongAccept)),
    KindRow {
        name: "oversized_frame",
        keys: &["after", "bytes"],
        needed: 0,
        read: |t| {
            let bytes = t.integer("bytes", 126..=u64::MAX / 2).unwrap_or(OVERSIZED_BYTES);
            Some(FaultKind::OversizedFrame { after: when(t), bytes })
        },
    },
    KindRow {
        name: "malformed_frame",
        keys: &["after", "flaw"],
        needed: 0,
        read: |t| {
            let flaws = [("reserved-bits", FrameFlaw::ReservedBits), ("opcode", FrameFlaw::Opcode)];
            let flaw = t.one_of("flaw", &flaws).unwrap_or(FrameFlaw::ReservedBits);
            Some(FaultKind::MalformedFrame { after: when(t), flaw })
        },
    },
    after("invalid_utf8", |t| Some(FaultKind::InvalidUtf8 { after: when(t) })),
    after("masked_frame", |t| Some(FaultKind::MaskedFrame { after: when(t) })),
    row("unsolicited_subprotocol", |_| Some(FaultKind::UnsolicitedSubprotocol)),
    KindRow {
        name: "upgrade_status",
        keys: &["status", "retry_after"],
        needed: 0,
        read: |t| Some(FaultKind::UpgradeStatus(status(t))),
    },
];

/// Reads the faults of a target, in the order of the file.
pub(super) fn parse_faults(target: &Table<'_>) -> Vec<TargetFault> {
    target.tables("faults").iter().filter_map(parse_fault).collect()
}

fn parse_fault(table: &Table<'_>) -> Option<TargetFault> {
    let kinds: Vec<(&str, &KindRow)> = KINDS.iter().map(|row| (row.name, row)).collect();
    let row = table.one_of("kind", &kinds);
    if table.get("kind").is_none() {
        let names: Vec<&str> = KINDS.iter().map(|row| row.name).collect();
        table.missing("kind", &format!("say what goes wrong, as one of {}", names.join(", ")));
    }
    let share = share_or_all(table, "share");
    let from = table.duration("from").unwrap_or_default();
    let until = table.duration("until");
    if until.is_some_and(|until| until <= from) {
        let message = format!("`{}` is not after `from`", table.path_of("until"));
        table.fault(table.span_of("until"), message, "both count from the target's start: make it later");
    }
    // Which keys there may be depends on the kind.
    let row = row?;
    let kind = (row.read)(table);
    for key in &row.keys[..row.needed] {
        if table.get(key).is_none() {
            table.missing(key, &format!("{} needs it", row.name));
        }
    }
    table.finish();
    Some(TargetFault { kind: kind?, share: share?, from, until })
}

fn delay(table: &Table<'_>) -> Option<Delay> {
    parse_delay(table, "delay")
}

fn when(table: &Table<'_>) -> Duration {
    table.duration("after").unwrap_or_default()
}

fn status(table: &Table<'_>) -> StatusFault {
    let status = table.integer("status", 400..=599).map_or(STATUS, |status| status as u16);
    StatusFault { status, retry_after: table.duration("retry_after") }
}
