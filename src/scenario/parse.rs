//! A scenario's text becomes typed data, or faults.
//!
//! In: TOML. Out: a [`Scenario`] and everything that is wrong with it. Keys are documented in `README.md` and in the schema.

use std::time::Duration;

use toml::de::DeTable;

use super::model::{
    Delay, Group, Health, IdleCounts, Invalidation, RefusalDetail, RemoteTarget, Scenario, Storm, StormBy,
    Target, TargetClient, TargetRules, Threshold,
};
use super::parse_common::{check_name, close_code, parse_how};
use super::parse_group::parse_group;
use super::reader::{Reading, Table};
use super::threshold::{parse_expression, parse_subject};

/// Most groups.
const MAX_GROUPS: usize = 1_000;

/// Parses a scenario's text; faults are gathered in `reading`. `None` when the text is no TOML or lacks what a scenario is made of.
pub(super) fn parse_scenario(reading: &Reading<'_>, text: &str, stem: &str) -> Option<Scenario> {
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let span = error.span().unwrap_or(0..0);
        reading.fault(span, "this is not TOML", error.message().to_owned());
    }
    if !errors.is_empty() {
        return None;
    }
    let table = Table::new(reading, root.get_ref(), 0..text.len().min(1), String::new());
    let scenario = parse_root(&table, stem);
    table.finish();
    scenario
}

fn parse_root(root: &Table<'_>, stem: &str) -> Option<Scenario> {
    let name = root.string("name").unwrap_or_else(|| stem.to_owned());
    check_name(root, "name", &name);
    let description = root.string("description");
    let seed = root.integer("seed", 0..=u64::MAX / 2).unwrap_or(1);
    let duration = root.positive_duration("duration");
    if root.get("duration").is_none() {
        root.missing("duration", "say how long clients are held, as duration = \"60s\"");
    }
    let drain = root.duration("drain").unwrap_or(Duration::from_secs(10));
    let target = match root.table("target") {
        Some(table) => parse_target(&table),
        None => {
            if root.get("target").is_none() {
                root.missing(
                    "target",
                    "add [target] with kind = \"embedded\", or kind = \"remote\" and its url",
                );
            }
            None
        }
    };
    let is_embedded = matches!(target, Some(Target::Embedded(_)));
    let tables = root.tables("groups");
    if root.get("groups").is_none()
        || (tables.is_empty() && root.list("groups", "").is_some_and(|list| list.is_empty()))
    {
        root.missing("groups", "add at least one [[groups]] with name, clients and [groups.token]");
    }
    if tables.len() > MAX_GROUPS {
        root.fault(
            root.span_of("groups"),
            format!("there are {} groups", tables.len()),
            format!("at most {MAX_GROUPS} are possible"),
        );
    }
    let groups: Vec<Group> = tables.iter().filter_map(|table| parse_group(table, is_embedded)).collect();
    let names: Vec<&str> = groups.iter().map(|group| group.name.as_str()).collect();
    let storms = root.tables("storms").iter().filter_map(|table| parse_storm(table, &names)).collect();
    let thresholds = parse_thresholds(root, &names);
    let health = root.table("health").map_or_else(Health::default, |table| parse_health(&table));
    Some(Scenario {
        name,
        description,
        seed,
        duration: duration?,
        drain,
        target: target?,
        groups,
        storms,
        thresholds,
        health,
    })
}

fn parse_target(table: &Table<'_>) -> Option<Target> {
    let kind = table.one_of("kind", &[("embedded", true), ("remote", false)]);
    if kind.is_none() && table.get("kind").is_some() {
        return None;
    }
    // Without a kind, a URL says that the target is somewhere else.
    let is_embedded = kind.unwrap_or_else(|| table.get("url").is_none());
    let target = if is_embedded {
        table.one_of("profile", &[("forum", ())]);
        Some(Target::Embedded(Box::new(parse_rules(table))))
    } else {
        let url = table.url("url", &["ws", "wss"]);
        if table.get("url").is_none() {
            table.missing("url", "a remote target needs url = \"wss://…\"");
        }
        let token_url = table.url("token_url", &["http", "https"]);
        let ca_file = table.string("ca_file").map(|file| table.reading.folder.join(file));
        url.map(|url| Target::Remote(RemoteTarget { url, token_url, ca_file }))
    };
    table.finish();
    target
}

/// Reads the embedded target's rules from a table; what it does not name is the profile's.
pub(super) fn parse_rules(table: &Table<'_>) -> TargetRules {
    let forum = TargetRules::default();
    let statuses = table.integer("refusal_status", 400..=599).map(|status| status as u16);
    TargetRules {
        idle_timeout: table.duration_or_never("idle_timeout").unwrap_or(forum.idle_timeout),
        idle_counts: table
            .one_of("idle_counts", &[("client", IdleCounts::Client), ("either", IdleCounts::Either)])
            .unwrap_or(forum.idle_counts),
        idle_close_code: close_code(table, "idle_close_code").unwrap_or(forum.idle_close_code),
        token_life: table.positive_duration("token_life").unwrap_or(forum.token_life),
        invalidation: table
            .one_of(
                "invalidation",
                &[
                    ("never", Invalidation::Never),
                    ("on-disconnect", Invalidation::OnDisconnect),
                    ("on-new-token", Invalidation::OnNewToken),
                ],
            )
            .unwrap_or(forum.invalidation),
        required_scopes: table.strings("required_scopes").unwrap_or(forum.required_scopes),
        refusal_status: statuses.unwrap_or(forum.refusal_status),
        refusal_detail: table
            .one_of("refusal_detail", &[("full", RefusalDetail::Full), ("bare", RefusalDetail::Bare)])
            .unwrap_or(forum.refusal_detail),
        clients: table.tables("clients").iter().filter_map(parse_target_client).collect(),
        messages_every: table.duration_or_never("messages_every").unwrap_or(forum.messages_every),
        message_padding: table.integer("message_padding", 0..=65_536).map_or(0, |bytes| bytes as usize),
        upgrade_delay: parse_delay(table, "upgrade_delay"),
        token_delay: parse_delay(table, "token_delay"),
        close_timeout: table.positive_duration("close_timeout").unwrap_or(forum.close_timeout),
    }
}

fn parse_target_client(table: &Table<'_>) -> Option<TargetClient> {
    for key in ["id", "secret"] {
        if table.get(key).is_none() {
            table.missing(key, "a client of the target has id, secret and scopes");
        }
    }
    let client = (table.string("id"), table.secret("secret"));
    let scopes = table.strings("scopes").unwrap_or_default();
    table.finish();
    Some(TargetClient { id: client.0?, secret: client.1?, scopes })
}

fn parse_delay(table: &Table<'_>, key: &str) -> Delay {
    let allowed = "\"5ms\", { uniform = [\"1ms\", \"9ms\"] } or { log_normal = { median = \"5ms\", sigma = 0.5 } } is needed";
    let Some(value) = table.get(key) else { return Delay::None };
    if value.get_ref().as_str().is_some() {
        return match table.duration(key) {
            Some(delay) if !delay.is_zero() => Delay::Constant(delay),
            _ => Delay::None,
        };
    }
    let Some(choice) = table.as_table(key, value) else {
        table.wrong(key, value, allowed);
        return Delay::None;
    };
    let uniform = choice.strings("uniform");
    let log_normal = choice.table("log_normal");
    choice.finish();
    match (uniform, log_normal) {
        (Some(bounds), None) => parse_uniform(&choice, &bounds).unwrap_or(Delay::None),
        (None, Some(inner)) => {
            let median = inner.positive_duration("median");
            let sigma = inner.float("sigma", 0.0..=3.0);
            for key in ["median", "sigma"] {
                if inner.get(key).is_none() {
                    inner.missing(key, allowed);
                }
            }
            inner.finish();
            median.zip(sigma).map_or(Delay::None, |(median, sigma)| Delay::LogNormal { median, sigma })
        }
        _ => {
            table.wrong(key, value, allowed);
            Delay::None
        }
    }
}

fn parse_uniform(table: &Table<'_>, bounds: &[String]) -> Option<Delay> {
    let parsed: Vec<Duration> =
        bounds.iter().filter_map(|bound| crate::units::parse_duration(bound).ok()).collect();
    match parsed.as_slice() {
        [low, high] if low <= high && bounds.len() == 2 => Some(Delay::Uniform { low: *low, high: *high }),
        _ => {
            let message = format!("`{}` is no range of durations", table.path_of("uniform"));
            table.fault(
                table.span_of("uniform"),
                message,
                "two durations are needed, the lesser first: [\"1ms\", \"9ms\"]",
            );
            None
        }
    }
}

fn parse_storm(table: &Table<'_>, group_names: &[&str]) -> Option<Storm> {
    let at = table.duration("at");
    if table.get("at").is_none() {
        table.missing("at", "say when the storm strikes, as at = \"10s\"");
    }
    let fraction = table.parsed("fraction", "a share as \"50%\" is needed", |text| {
        crate::units::parse_share(text).map_err(|error| error.to_string())
    });
    let fraction = fraction.unwrap_or(1.0);
    if fraction <= 0.0 {
        table.fault(
            table.span_of("fraction"),
            "`fraction` is zero: the storm would strike nobody",
            "a share above 0% is needed",
        );
    }
    let by_target = table.one_of("by", &[("target", true), ("client", false)]);
    let by_target = match (by_target, table.get("by")) {
        (None, Some(_)) => return None,
        (by, _) => by.unwrap_or(true),
    };
    let by = if by_target {
        let code = close_code(table, "code");
        let absent = table.get("code").is_none();
        code.or(absent.then_some(1012)).map(|code| StormBy::Target { code })
    } else {
        let groups = table.strings("groups").map(|names| group_indexes(table, &names, group_names));
        parse_how(table).map(|how| StormBy::Client { how, groups })
    };
    table.finish();
    Some(Storm { at: at?, by: by?, fraction })
}

fn group_indexes(table: &Table<'_>, names: &[String], group_names: &[&str]) -> Vec<usize> {
    let mut indexes = Vec::new();
    for name in names {
        match group_names.iter().position(|group| group == name) {
            Some(index) => indexes.push(index),
            None => table.fault(
                table.span_of("groups"),
                format!("there is no group \"{name}\""),
                format!("there are {}", group_names.join(", ")),
            ),
        }
    }
    indexes
}

fn parse_thresholds(root: &Table<'_>, group_names: &[&str]) -> Vec<Threshold> {
    let Some(table) = root.table("thresholds") else { return Vec::new() };
    let mut thresholds = Vec::new();
    for key in table.keys() {
        let name = key.get_ref().as_ref();
        let value = table.get(name);
        let (subject, group) = match parse_subject(name) {
            Ok(parsed) => parsed,
            Err(why) => {
                table.fault(key.span(), format!("`thresholds.{name}` cannot be measured"), why);
                continue;
            }
        };
        if let Some(group) = group.as_deref().filter(|group| !group_names.contains(group)) {
            let help = format!("there are {}", group_names.join(", "));
            table.fault(key.span(), format!("there is no group \"{group}\""), help);
        }
        let Some(value) = value else { continue };
        let allowed = "\"p(99) < 1s\", a list of such, or of { expr = \"…\", abort_on_fail = true, delay = \"10s\" } is needed";
        let elements: Vec<_> = match value.get_ref().as_array() {
            Some(array) => array.iter().collect(),
            None => vec![value],
        };
        for element in elements {
            let parsed = match (element.get_ref().as_str(), table.as_table(name, element)) {
                (Some(text), _) => parse_expression(name, subject, group.as_ref(), text, None),
                (None, Some(inner)) => {
                    let text = inner.string("expr").unwrap_or_default();
                    let abort = inner.boolean("abort_on_fail").unwrap_or(false);
                    let delay = inner.duration("delay").unwrap_or(Duration::ZERO);
                    inner.finish();
                    parse_expression(name, subject, group.as_ref(), &text, abort.then_some(delay))
                }
                (None, None) => Err(allowed.to_owned()),
            };
            match parsed {
                Ok(threshold) => thresholds.push(threshold),
                Err(why) => {
                    table.fault(element.span(), format!("`thresholds.{name}` has no usable expression"), why);
                }
            }
        }
    }
    thresholds
}

fn parse_health(table: &Table<'_>) -> Health {
    let defaults = Health::default();
    let health = Health {
        max_lag_p99: table.positive_duration("max_lag_p99").unwrap_or(defaults.max_lag_p99),
        max_stall: table.positive_duration("max_stall").unwrap_or(defaults.max_stall),
    };
    table.finish();
    health
}
