//! A scenario's text becomes typed data, or faults.
//!
//! In: TOML. Out: a [`Scenario`] and everything that is wrong with it. Keys are documented in `README.md` and in the schema.

use std::time::Duration;

use toml::de::DeTable;

use super::model::{Group, Health, RemoteTarget, Scenario, Simulate, Storm, StormBy, Target, Threshold};
use super::parse_common::{check_name, close_code, parse_how, share_or};
use super::parse_group::parse_group;
use super::parse_rules::parse_rules;
use super::parse_simulate::parse_simulate;
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
    let simulate = root.table("simulate").map_or_else(Simulate::default, |table| parse_simulate(&table));
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
        simulate,
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
        parse_rules(table).map(|rules| Target::Embedded(Box::new(rules)))
    } else {
        let url = table.url("url", &["ws", "wss"]);
        if table.get("url").is_none() {
            table.missing("url", "a remote target needs url = \"wss://…\"");
        }
        let token_url = table.url("token_url", &["http", "https"]);
        let ca_file = table.string("ca_file").map(|file| table.reading.folder.join(file));
        let file = |key| table.string(key).map(|file| table.reading.folder.join(file));
        let client_certificate = match (file("client_cert"), file("client_key")) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => {
                table.fault(
                    table.span_of("client_cert"),
                    "client_cert has no client_key",
                    "name the file of its private key",
                );
                None
            }
            (None, Some(_)) => {
                table.fault(
                    table.span_of("client_key"),
                    "client_key has no client_cert",
                    "name the file of its certificate",
                );
                None
            }
        };
        url.map(|url| Target::Remote(Box::new(RemoteTarget { url, token_url, ca_file, client_certificate })))
    };
    table.finish();
    target
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
        max_delay: table.positive_duration("max_delay").unwrap_or(defaults.max_delay),
        max_delay_share: share_or(table, "max_delay_share", defaults.max_delay_share)
            .unwrap_or(defaults.max_delay_share),
        max_saturated_share: share_or(table, "max_saturated_share", defaults.max_saturated_share)
            .unwrap_or(defaults.max_saturated_share),
    };
    table.finish();
    health
}
