//! How clients come back becomes typed data, or faults.
//!
//! In: a group's `policy` and its table `[reconnect]`. Out: [`Policy`] and [`ReconnectRules`]; what the table does not name is the
//! policy's.

use std::time::Duration;

use toml::de::DeTable;

use super::model::{Backoff, Growth, Jitter, OnReconnect, ReconnectRules};
use super::policies::POLICIES;
use super::reader::{Reading, Table};

/// What a group's policy says of its tokens and reconnects.
#[derive(Debug, Clone, Default)]
pub(super) struct Policy {
    pub(super) on_reconnect: OnReconnect,
    pub(super) fetch_on_codes: Option<Vec<u16>>,
    pub(super) reconnect: ReconnectRules,
}

/// The policy that a group names.
pub(super) fn parse_policy(group: &Table<'_>) -> Policy {
    group.one_of("policy", POLICIES).map_or_else(Policy::default, shipped)
}

/// A shipped policy; a test holds that each of them reads without a fault.
fn shipped(text: &'static str) -> Policy {
    let no_env = |_: &str| None;
    let reading = Reading { faults: Default::default(), env: &no_env, folder: std::path::PathBuf::new() };
    let (root, _) = DeTable::parse_recoverable(text);
    let table = Table::new(&reading, root.get_ref(), 0..0, String::new());
    let base = Policy::default();
    let token = table.table("token");
    Policy {
        on_reconnect: token
            .as_ref()
            .map_or(base.on_reconnect, |token| parse_on_reconnect(token, base.on_reconnect)),
        fetch_on_codes: token.as_ref().and_then(|token| codes_or_any(token, "fetch_on_codes")),
        reconnect: parse_reconnect(table.table("reconnect").as_ref(), base.reconnect),
    }
}

pub(super) fn parse_on_reconnect(table: &Table<'_>, usual: OnReconnect) -> OnReconnect {
    let allowed = "\"reuse\", \"fetch\" or { fetch_if_older_than = \"30s\" } is needed";
    let Some(value) = table.get("on_reconnect") else { return usual };
    if let Some(choice) = table.as_table("on_reconnect", value) {
        let age = choice.duration("fetch_if_older_than");
        if choice.get("fetch_if_older_than").is_none() {
            table.wrong("on_reconnect", value, allowed);
        }
        choice.finish();
        return age.map_or(usual, OnReconnect::FetchIfOlderThan);
    }
    let names = [("reuse", OnReconnect::Reuse), ("fetch", OnReconnect::Fetch)];
    table.one_of("on_reconnect", &names).unwrap_or(usual)
}

/// `"any"`, or a list of close codes; 1005 and 1006 are codes here too (RFC 6455 §7.1.5).
pub(super) fn codes_or_any(table: &Table<'_>, key: &str) -> Option<Vec<u16>> {
    if table.get(key)?.get_ref().as_str() == Some("any") {
        return None;
    }
    table.numbers(key, 1000..=4999)
}

/// Reads `[reconnect]`; what it does not name is that of `base`.
pub(super) fn parse_reconnect(table: Option<&Table<'_>>, base: ReconnectRules) -> ReconnectRules {
    let Some(table) = table else { return base };
    let rules = ReconnectRules {
        on_codes: if table.get("on_codes").is_some() {
            codes_or_any(table, "on_codes")
        } else {
            base.on_codes
        },
        terminal_codes: code_ranges(table, "terminal_codes").unwrap_or(base.terminal_codes),
        failure_is_close: table.boolean("failure_is_close").unwrap_or(base.failure_is_close),
        backoff: table.table("backoff").and_then(|backoff| parse_backoff(&backoff)).unwrap_or(base.backoff),
        honour_retry_after: table.boolean("honour_retry_after").unwrap_or(base.honour_retry_after),
        max_attempts: table
            .integer("max_attempts", 1..=1_000_000)
            .map_or(base.max_attempts, |most| Some(most as u32)),
        give_up_after: table.duration_or_never("give_up_after").unwrap_or(base.give_up_after),
        refetch_on: table.numbers("refetch_on", 400..=599).unwrap_or(base.refetch_on),
        give_up_on: table.numbers("give_up_on", 400..=599).unwrap_or(base.give_up_on),
    };
    table.finish();
    rules
}

/// A list of close codes and ranges of them: `[1000, "3500-3999"]`; each as its first and last.
pub(super) fn code_ranges(table: &Table<'_>, key: &str) -> Option<Vec<(u16, u16)>> {
    let allowed = "close codes and ranges of them are needed, as [1000, \"3500-3999\"]";
    let mut ranges = Vec::new();
    for element in table.list(key, allowed)? {
        let text = match (element.get_ref().as_str(), element.get_ref().as_integer()) {
            (Some(text), _) => text.to_owned(),
            (None, Some(number)) => number.as_str().to_owned(),
            (None, None) => String::new(),
        };
        let (first, last) = text.split_once('-').unwrap_or((&text, &text));
        let bounds = first.trim().parse::<u16>().ok().zip(last.trim().parse::<u16>().ok());
        match bounds.filter(|(first, last)| 1000 <= *first && first <= last && *last <= 4999) {
            Some(bounds) => ranges.push(bounds),
            None => table.wrong(key, element, allowed),
        }
    }
    Some(ranges)
}

fn parse_backoff(table: &Table<'_>) -> Option<Backoff> {
    #[derive(Clone, Copy, PartialEq)]
    enum Kind {
        None,
        Constant,
        Linear,
        Exponential,
        Steps,
    }
    let kinds = [
        ("none", Kind::None),
        ("constant", Kind::Constant),
        ("linear", Kind::Linear),
        ("exponential", Kind::Exponential),
        ("steps", Kind::Steps),
    ];
    let kind = table.one_of("kind", &kinds);
    if table.get("kind").is_some() && kind.is_none() {
        return None;
    }
    let kind = kind.unwrap_or(Kind::Exponential);
    let base = table.positive_duration("base");
    let max = table.positive_duration("max");
    let factor = table.float("factor", 1.0..=100.0).unwrap_or(2.0);
    let steps = (kind == Kind::Steps).then(|| parse_steps(table)).flatten();
    let jitter = parse_jitter(table);
    table.finish();
    let base = base.unwrap_or(Duration::from_millis(500));
    let max = max.unwrap_or(Duration::from_secs(30).max(base));
    if max < base {
        table.fault(
            table.span_of("max"),
            "the longest wait is shorter than the first",
            "make `max` at least `base`",
        );
    }
    let growth = match kind {
        Kind::None => Growth::None,
        Kind::Constant => Growth::Constant { base },
        Kind::Linear => Growth::Linear { base, max },
        Kind::Exponential => Growth::Exponential { base, max, factor },
        Kind::Steps => Growth::Steps(steps?),
    };
    let usual = if matches!(growth, Growth::Exponential { .. }) { Jitter::Full } else { Jitter::None };
    Some(Backoff { growth, jitter: jitter.unwrap_or(usual) })
}

fn parse_steps(table: &Table<'_>) -> Option<Vec<Duration>> {
    let allowed = "steps are durations, one or more: [\"1s\", \"2s\", \"5s\"]; the last is repeated";
    if table.get("steps").is_none() {
        table.missing("steps", allowed);
        return None;
    }
    let names = table.strings("steps")?;
    let steps: Vec<Duration> =
        names.iter().filter_map(|text| crate::units::parse_duration(text).ok()).collect();
    if steps.is_empty() || steps.len() != names.len() {
        table.fault(
            table.span_of("steps"),
            format!("`{}` is no list of durations", table.path_of("steps")),
            allowed,
        );
        return None;
    }
    Some(steps)
}

/// A word, a share (`0.5`: half of the wait to either side), or `{ add = ["300ms", "3s"] }`.
fn parse_jitter(table: &Table<'_>) -> Option<Jitter> {
    let value = table.get("jitter")?;
    if value.get_ref().as_float().is_some() || value.get_ref().as_integer().is_some() {
        return table.float("jitter", 0.0..=1.0).map(Jitter::Share);
    }
    if let Some(choice) = table.as_table("jitter", value) {
        let allowed = "{ add = [\"300ms\", \"3s\"] }, the lesser first, is needed";
        let bounds = choice.strings("add").unwrap_or_default();
        choice.finish();
        let parsed: Vec<Duration> =
            bounds.iter().filter_map(|text| crate::units::parse_duration(text).ok()).collect();
        return match parsed.as_slice() {
            [low, high] if low <= high && bounds.len() == 2 => Some(Jitter::Add { low: *low, high: *high }),
            _ => {
                table.wrong("jitter", value, allowed);
                None
            }
        };
    }
    let names = [
        ("none", Jitter::None),
        ("full", Jitter::Full),
        ("equal", Jitter::Equal),
        ("decorrelated", Jitter::Decorrelated),
    ];
    table.one_of("jitter", &names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_policy_reads_without_a_fault() {
        for (name, text) in POLICIES {
            let no_env = |_: &str| None;
            let reading =
                Reading { faults: Default::default(), env: &no_env, folder: std::path::PathBuf::new() };
            let (root, errors) = DeTable::parse_recoverable(text);
            assert!(errors.is_empty(), "{name}");
            let table = Table::new(&reading, root.get_ref(), 0..0, String::new());
            if let Some(token) = table.table("token") {
                parse_on_reconnect(&token, OnReconnect::Reuse);
                codes_or_any(&token, "fetch_on_codes");
                token.finish();
            }
            parse_reconnect(table.table("reconnect").as_ref(), Policy::default().reconnect);
            table.finish();
            drop(table);
            let faults = reading.faults.into_inner();
            assert!(faults.is_empty(), "{name}: {faults:?}");
        }
    }

    #[test]
    fn shipped_policies_say_what_is_known_of_those_clients() {
        let of = |name: &str| {
            let text = POLICIES.iter().find(|(known, _)| *known == name).unwrap().1;
            shipped(text)
        };
        let thread = of("thread");
        assert_eq!(thread.on_reconnect, OnReconnect::Fetch);
        assert_eq!(thread.fetch_on_codes, Some(vec![1001, 1006]));
        assert!(thread.reconnect.failure_is_close);
        assert_eq!(thread.reconnect.backoff.growth, Growth::None);
        assert_eq!(of("phoenix").reconnect.terminal_codes, [(1000, 1000)]);
        assert_eq!(of("socket-io").reconnect.backoff.jitter, Jitter::Share(0.5));
        assert_eq!(of("genesys-streaming").reconnect.give_up_on, [401, 403]);
        assert_eq!(of("genesys-messenger").reconnect.give_up_after, Some(Duration::from_secs(300)));
        assert_eq!(of("graphql-ws").reconnect.max_attempts, Some(5));
        assert_eq!(of("rfc6455").reconnect.refetch_on, [401]);
    }
}
