//! A scenario in words, for `resurge check`.
//!
//! In: a scenario. Out: text.

use std::fmt::Write as _;

use crate::units::{format_count, format_duration, format_share};

use super::describe_simulate::{describe_capacity, describe_simulate};
use super::model::{
    DisconnectHow, FaultKind, FaultStage, Grant, Group, Growth, Invalidation, Jitter, OnReconnect,
    RefusalStatus, Scenario, Sharing, Simulate, Skew, Start, StormBy, Target, TargetFault, TargetRules,
    TokenRules,
};

/// What a scenario does, a line for each thing.
#[must_use]
pub fn describe(scenario: &Scenario) -> String {
    let mut text = String::new();
    let clients = format_count(u64::from(scenario.clients()));
    let time = format_duration(scenario.duration);
    // Writing to a String does not fail.
    let _ = writeln!(text, "{}: {clients} clients for {time}, seed {}", scenario.name, scenario.seed);
    let _ = writeln!(text, "  target: {}", describe_target(&scenario.target));
    if let Target::Embedded(rules) = &scenario.target {
        for (endpoint, capacity) in [("token", rules.token_capacity), ("upgrade", rules.upgrade_capacity)] {
            if let Some(capacity) = capacity {
                let _ = writeln!(text, "  {endpoint} requests: {}", describe_capacity(&capacity));
            }
        }
        for fault in &rules.faults {
            let _ = writeln!(text, "  fault: {}", describe_fault(fault));
        }
    }
    for group in &scenario.groups {
        let _ = writeln!(text, "  {}", describe_group(group));
    }
    for storm in &scenario.storms {
        let how = match &storm.by {
            StormBy::Target { code } => format!("the target closes with {code}"),
            StormBy::Client { how, .. } => format!("clients {}", describe_how(*how)),
        };
        let share = format_share(storm.fraction);
        let _ = writeln!(text, "  storm at {}: {how}, {share} of the sessions", format_duration(storm.at));
    }
    for threshold in &scenario.thresholds {
        let _ = writeln!(text, "  must hold: {}", threshold.source);
    }
    if scenario.simulate != Simulate::default() {
        for line in describe_simulate(&scenario.simulate) {
            let _ = writeln!(text, "  in virtual time: {line}");
        }
    }
    text
}

fn describe_target(target: &Target) -> String {
    match target {
        Target::Remote(remote) => remote.url.to_string(),
        Target::Embedded(rules) => {
            let how = if rules.tls { "embedded, with TLS" } else { "embedded" };
            format!("{how}; {}", describe_rules(rules))
        }
    }
}

fn describe_rules(rules: &TargetRules) -> String {
    let idle = rules.idle_timeout.map_or_else(
        || "sessions may idle".to_owned(),
        |idle| format!("closes with {} after {} idle", rules.idle_close_code, format_duration(idle)),
    );
    let dies = match rules.invalidation {
        Invalidation::Never => "until they expire",
        Invalidation::OnDisconnect => "until the disconnect",
        Invalidation::OnNewToken => "until the next is issued",
        Invalidation::OnUse => "for one use",
    };
    let life = format_duration(rules.token_life);
    let status = match rules.refusal_status {
        RefusalStatus::Always(status) => status.to_string(),
        RefusalStatus::Rfc6750 => "401 or 403 (RFC 6750)".to_owned(),
    };
    format!("{idle}; tokens live {life}, {dies}; refuses with {status}")
}

/// A fault: what, how often, when.
fn describe_fault(fault: &TargetFault) -> String {
    let more = match &fault.kind {
        FaultKind::TokenStatus(given) | FaultKind::UpgradeStatus(given) => format!(" {}", given.status),
        FaultKind::TokenClockSkew(Skew::Longer(by)) => format!(" +{}", format_duration(*by)),
        FaultKind::TokenClockSkew(Skew::Shorter(by)) => format!(" -{}", format_duration(*by)),
        kind => kind
            .after()
            .filter(|after| !after.is_zero())
            .map_or_else(String::new, |after| format!(" {} after the upgrade", format_duration(after))),
    };
    let whom = match fault.kind.stage() {
        FaultStage::Accept => "connections",
        FaultStage::Token => "token requests",
        FaultStage::Upgrade => "upgrades",
    };
    let share = format_share(fault.share);
    let from = format_duration(fault.from);
    let when = match fault.until {
        Some(until) => format!("from {from} to {}", format_duration(until)),
        None if fault.from.is_zero() => "all the time".to_owned(),
        None => format!("from {from}"),
    };
    format!("{}{more}, {share} of the {whom}, {when}", fault.kind.name())
}

fn describe_group(group: &Group) -> String {
    let start = match &group.start {
        Start::AtOnce => "at once".to_owned(),
        Start::Over(over) => format!("over {}", format_duration(*over)),
        Start::Rate(rate) => format!("{rate:.1} a second"),
        Start::Stages(stages) => format!("in {} stages", stages.len()),
    };
    let token = group.token.as_ref().map_or_else(|| "no token".to_owned(), describe_token);
    let leaves: Vec<String> = group
        .disconnects
        .iter()
        .map(|disconnect| {
            format!("; {} after {}", describe_how(disconnect.how), format_duration(disconnect.after))
        })
        .collect();
    let clients = format_count(u64::from(group.clients));
    let back = describe_backoff(group);
    format!(
        "{}: {clients} clients, started {start}; {token}; comes back {back}{}",
        group.name,
        leaves.concat()
    )
}

fn describe_token(token: &TokenRules) -> String {
    let policy = match token.on_reconnect {
        OnReconnect::Reuse => "reuses its token".to_owned(),
        OnReconnect::FetchIfOlderThan(age) => {
            format!("fetches a token if it is older than {}", format_duration(age))
        }
        OnReconnect::Fetch => match &token.fetch_on_codes {
            None => "fetches a token on every reconnect".to_owned(),
            Some(codes) => {
                let list = codes.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
                format!("fetches a token after {list}")
            }
        },
    };
    let policy = match &token.grant {
        Grant::Fixed(_) => "has a fixed token".to_owned(),
        Grant::Command(command) => {
            format!("{policy} (by the command {})", command.first().map_or("", String::as_str))
        }
        Grant::RefreshToken { .. } => format!("{policy} (by refresh tokens)"),
        Grant::ClientCredentials(_) => policy,
    };
    let rows = token
        .grant
        .credentials()
        .and_then(|credentials| credentials.feeder.as_ref())
        .map(|feeder| feeder.rows.len());
    let fed = rows.map_or_else(String::new, |rows| {
        format!(", credentials from {} rows in turn", format_count(rows as u64))
    });
    let refresh = token
        .refresh_before_expiry
        .map(|margin| format!(", and {} before it expires", format_duration(margin)));
    let shared = match token.sharing {
        Sharing::Own => "",
        Sharing::Group => ", one for the group",
        Sharing::GroupStampede => ", one for the group, fetched by all at once",
    };
    format!("{policy}{}{shared}{fed}", refresh.unwrap_or_default())
}

fn describe_backoff(group: &Group) -> String {
    let backoff = &group.reconnect.backoff;
    let growth = match &backoff.growth {
        Growth::None => return "at once".to_owned(),
        Growth::Constant { base } => format!("after {}", format_duration(*base)),
        Growth::Exponential { base, max, .. } => {
            format!("after {} to {}", format_duration(*base), format_duration(*max))
        }
        Growth::Linear { base, max } => {
            format!("{} later after each failure, up to {}", format_duration(*base), format_duration(*max))
        }
        Growth::Steps(steps) => {
            let steps: Vec<String> = steps.iter().map(|step| format_duration(*step)).collect();
            format!("after {}", steps.join(", "))
        }
    };
    let jitter = match backoff.jitter {
        Jitter::None => "no jitter".to_owned(),
        Jitter::Full => "full jitter".to_owned(),
        Jitter::Equal => "equal jitter".to_owned(),
        Jitter::Decorrelated => "decorrelated jitter".to_owned(),
        Jitter::Share(share) => format!("± {}", format_share(share)),
        Jitter::Add { low, high } => {
            format!("and {} to {} more", format_duration(low), format_duration(high))
        }
    };
    format!("{growth}, {jitter}")
}

fn describe_how(how: DisconnectHow) -> String {
    match how {
        DisconnectHow::Close { code } => format!("close with {code}"),
        DisconnectHow::Reset => "reset the connection".to_owned(),
        DisconnectHow::HalfOpen => "go half-open".to_owned(),
    }
}
