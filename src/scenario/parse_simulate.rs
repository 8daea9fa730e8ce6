//! `[simulate]`, and the capacity of a service, become typed data, or faults.
//!
//! In: tables. Out: [`Simulate`] and [`Capacity`].

use std::time::Duration;

use super::model::{
    Abandoned, Capacity, Delay, NetworkFault, NetworkFaultKind, Simulate, StageDelays, StatusFault,
    TargetRules, TimeStage,
};
use super::parse_common::share_or_all;
use super::parse_delay::parse_delay;
use super::parse_rules::profile;
use super::profiles::PROFILES;
use super::reader::Table;

/// The most servers of a capacity.
pub(super) const MOST_SERVERS: u64 = 1_000_000;
/// The longest queue of one.
pub(super) const LONGEST_QUEUE: u64 = 100_000_000;

/// Reads `[simulate]`.
pub(super) fn parse_simulate(table: &Table<'_>) -> Simulate {
    let names: Vec<(&str, (&str, &str))> =
        PROFILES.iter().map(|(name, text)| (*name, (*name, *text))).collect();
    let service = table.one_of("service", &names);
    let service = service
        .map(|(name, text)| -> (String, Box<TargetRules>) { (name.to_owned(), Box::new(profile(text))) });
    let simulate = Simulate {
        service,
        stages: table.table("stages").map_or_else(StageDelays::default, |stages| parse_stages(&stages)),
        token: table.table("token").and_then(|of| parse_capacity(&of)),
        upgrade: table.table("upgrade").and_then(|of| parse_capacity(&of)),
        faults: table.tables("faults").iter().filter_map(parse_network_fault).collect(),
    };
    table.finish();
    simulate
}

fn parse_stages(table: &Table<'_>) -> StageDelays {
    let defaults = StageDelays::default();
    let stages = StageDelays(
        TimeStage::ALL.map(|stage| parse_delay(table, stage.name()).unwrap_or_else(|| defaults.get(stage))),
    );
    table.finish();
    stages
}

/// Reads a capacity; `None` where it is faulty.
pub(super) fn parse_capacity(table: &Table<'_>) -> Option<Capacity> {
    for key in ["servers", "service"] {
        if table.get(key).is_none() {
            table.missing(
                key,
                "a capacity is { servers = 4, service = { exponential = \"2ms\" }, queue = 1000 }",
            );
        }
    }
    let abandoned = [("served", Abandoned::Served), ("dropped", Abandoned::Dropped)];
    let servers = table.integer("servers", 1..=MOST_SERVERS);
    let service = parse_delay(table, "service");
    let queue = table.integer("queue", 0..=LONGEST_QUEUE);
    let status = table.integer("over_limit", 400..=599).unwrap_or(503);
    let retry_after = table.positive_duration("retry_after");
    let abandoned = table.one_of("abandoned", &abandoned).unwrap_or(Abandoned::Served);
    let is_instant = service == Some(Delay::None);
    if is_instant {
        let message = format!("`{}` is zero: no request would ever wait", table.path_of("service"));
        table.fault(
            table.span_of("service"),
            message,
            "say how long a request takes, as \"2ms\", or leave the capacity out",
        );
    }
    table.finish();
    Some(Capacity {
        servers: u32::try_from(servers?).ok()?,
        service: service.filter(|_| !is_instant)?,
        queue: u32::try_from(queue.unwrap_or(LONGEST_QUEUE)).ok()?,
        over_limit: StatusFault { status: u16::try_from(status).ok()?, retry_after },
        abandoned,
    })
}

fn parse_network_fault(table: &Table<'_>) -> Option<NetworkFault> {
    use NetworkFaultKind::{Blackhole, Refused, Reset};
    let stages = [
        ("dns", TimeStage::Dns),
        ("tcp", TimeStage::Tcp),
        ("tls", TimeStage::Tls),
        ("upgrade", TimeStage::Upgrade),
        ("token", TimeStage::Token),
    ];
    let kinds = [Refused, Reset, Blackhole].map(|kind| (kind.name(), kind));
    for key in ["stage", "kind"] {
        if table.get(key).is_none() {
            table.missing(
                key,
                "a fault of the network is { stage = \"tcp\", kind = \"blackhole\", share = 0.01 }",
            );
        }
    }
    let (stage, kind) = (table.one_of("stage", &stages), table.one_of("kind", &kinds));
    let share = share_or_all(table, "share");
    let from = table.duration("from").unwrap_or(Duration::ZERO);
    let until = table.duration("until");
    if until.is_some_and(|until| until <= from) {
        let message = format!("`{}` is not after `from`", table.path_of("until"));
        table.fault(table.span_of("until"), message, "make it later, or leave it out");
    }
    let is_possible = |stage, kind| match stage {
        TimeStage::Dns | TimeStage::Tcp => kind != Reset,
        TimeStage::Tls | TimeStage::Upgrade => kind != Refused,
        _ => true,
    };
    if stage.zip(kind).is_some_and(|(stage, kind)| !is_possible(stage, kind)) {
        let message = format!("`{}` cannot be at this stage", table.path_of("kind"));
        let help = "names and ports are \"refused\", TLS and upgrades are \"reset\", tokens either; all may fall into a \"blackhole\"";
        table.fault(table.span_of("kind"), message, help);
    }
    table.finish();
    Some(NetworkFault { stage: stage?, kind: kind?, share: share?, from, until })
}
