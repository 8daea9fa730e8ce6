//! Whether runs may be compared at all.
//!
//! In: the facts of both sides, and what the user allows to differ. Out: a sentence for each reason why not; empty when they may be. What differs in the scenario
//! is named key by key.

use std::collections::BTreeMap;

use toml::Value;

use crate::units::format_count;

use super::measure::Measure;
use super::repeat::{Facts, Repeat, RunSet, Validity};

/// Keys of a scenario that change nothing of what is run: who draws, what it is called, what is asked of the result.
const WITHOUT_EFFECT: &[&str] = &["seed", "name", "description", "thresholds"];
/// By how much the lengths of two runs may differ, relative to the longer.
const LENGTH_TOLERANCE: f64 = 0.1;
/// So many differing keys are listed.
const MOST_LISTED: usize = 12;
/// What allows another machine, beside keys of the scenario.
const HOST: &str = "host";
/// What allows other lengths.
const DURATION: &str = "duration";
/// What allows another kind of target.
const TARGET_KIND: &str = "target.kind";
/// So many keys to allow are named one by one.
const MOST_ALLOWED: usize = 4;

/// Whether a candidate's numbers are worth something; a sentence for each run whose are not.
#[must_use]
pub fn invalid_runs(runs: &[Repeat]) -> Vec<String> {
    let invalid = runs.iter().map(|run| &run.facts).filter(|facts| facts.validity == Validity::NotValid);
    invalid.map(|facts| format!("{} is not valid: {}", facts.source, facts.reasons.join("; "))).collect()
}

/// Why these sides are not comparable. `allowed` are keys of the scenario (each with all below it) that may differ, and `host`; `measures` is what is
/// compared: where outages alone decide, a side without reconnects had none, which is a number to compare.
#[must_use]
pub fn incomparable(
    baseline: &[Repeat],
    candidate: &[Repeat],
    allowed: &[String],
    measures: &[Measure],
) -> Vec<String> {
    let Some(first) = baseline.first().filter(|_| !candidate.is_empty()) else {
        return vec!["there are no runs".to_owned()];
    };
    let mut reasons = Vec::new();
    for run in baseline.iter().chain(candidate) {
        reasons.extend(unusable(&run.facts));
    }
    let needs_reconnects = measures.iter().any(|measure| measure.decides && !measure.is_of_outages());
    reasons.extend(empty_groups(baseline, candidate, needs_reconnects));
    // Each run against the first: of its own side, then of the other.
    for run in baseline.iter().skip(1).chain(candidate) {
        reasons.extend(unlike(&first.facts, &run.facts, allowed));
    }
    // What all repeats have in common is told once.
    let mut told: Vec<String> = Vec::new();
    let sources: Vec<&str> = baseline.iter().chain(candidate).map(|run| run.facts.source.as_str()).collect();
    reasons.retain(|reason| {
        let gist = sources.iter().fold(reason.clone(), |text, source| text.replace(source, ""));
        let is_new = !told.contains(&gist);
        told.push(gist);
        is_new
    });
    reasons
}

/// Why a run cannot be compared with any.
pub(super) fn unusable(facts: &Facts) -> Option<String> {
    match facts.validity {
        Validity::Valid => None,
        Validity::NotValid => Some(format!("{} is not valid: {}", facts.source, facts.reasons.join("; "))),
        Validity::CutOff => Some(format!(
            "{} is not whole: {} (it holds {:.1} s of {:.1} s)",
            facts.source,
            facts.reasons.first().map_or("its end is missing", String::as_str),
            facts.elapsed_s,
            facts.duration_s
        )),
    }
}

/// A run in which nothing happened, and a group of which somebody is wanted back on one side only. That nobody came back is a number to compare.
fn empty_groups(baseline: &[Repeat], candidate: &[Repeat], needs_reconnects: bool) -> Vec<String> {
    let mut reasons = Vec::new();
    for run in baseline.iter().chain(candidate) {
        if is_empty(run) {
            reasons.push(format!("{} is empty: no client made an attempt", run.facts.source));
        }
    }
    if !reasons.is_empty() || !needs_reconnects {
        return reasons;
    }
    let ended = |runs: &[Repeat], name: &str| -> u64 {
        let of_run = runs.iter().map(|run| {
            let group = run.facts.groups.iter().position(|group| group.name == name);
            group.map_or(0, |group| run.counts(group).reconnects_ended)
        });
        of_run.sum()
    };
    for group in &candidate[0].facts.groups {
        match (ended(baseline, &group.name), ended(candidate, &group.name)) {
            (0, n) if n > 0 => reasons.push(without_reconnects(baseline, "baseline", &group.name, n)),
            (n, 0) if n > 0 => reasons.push(without_reconnects(candidate, "candidate", &group.name, n)),
            _ => {}
        }
    }
    reasons
}

/// Whether nothing happened in a run.
pub(super) fn is_empty(run: &Repeat) -> bool {
    (0..run.facts.groups.len()).all(|group| run.counts(group).attempts == 0)
}

fn without_reconnects(runs: &[Repeat], side: &str, group: &str, other: u64) -> String {
    let sources: Vec<&str> = runs.iter().map(|run| run.facts.source.as_str()).collect();
    format!(
        "the {side} ({}) has no reconnect in group {group}, the other side {}: there is no latency to compare",
        sources.join(", "),
        format_count(other)
    )
}

/// What two runs do not have in common.
fn unlike(first: &Facts, other: &Facts, allowed: &[String]) -> Vec<String> {
    let mut reasons = Vec::new();
    let (a, b) = (&first.source, &other.source);
    let differing = differing_keys(first, other);
    match &differing {
        None => {
            let unread = "one of their texts cannot be read";
            reasons.push(format!("{a} and {b} are of different scenarios: {unread}"));
        }
        Some(differing) => {
            let not_allowed = differing.iter().filter(|own| !is_allowed(&own.key, allowed));
            let told: Vec<String> = not_allowed.map(DifferingKey::words).collect();
            if !told.is_empty() {
                reasons.push(format!("{a} and {b} are of different scenarios: {}", listed(&told)));
            }
        }
    }
    if first.target_kind != other.target_kind && !is_allowed(TARGET_KIND, allowed) {
        let kind = |facts: &Facts| {
            let article = if facts.target_kind.starts_with('e') { "an" } else { "a" };
            format!("{article} {}", facts.target_kind)
        };
        reasons.push(format!("{a} has {} target, {b} {} one", kind(first), kind(other)));
    }
    // How long clients go on is what a setting does to them. The planned duration is a key like any other.
    let is_explained = differing.is_some_and(|differing| !differing.is_empty());
    if !is_explained && !is_allowed(DURATION, allowed) {
        reasons.extend(
            unlike_lengths(first, other)
                .map(|told| format!("{told}; --allow {DURATION} compares them all the same")),
        );
    }
    if !is_allowed(HOST, allowed) {
        reasons.extend(unlike_hosts(first, other));
    }
    reasons
}

/// That two runs were not under load for as long as each other.
fn unlike_lengths(first: &Facts, other: &Facts) -> Option<String> {
    let (first_s, other_s) = (under_load_s(first), under_load_s(other));
    let is_alike = (first_s - other_s).abs() <= LENGTH_TOLERANCE * first_s.max(other_s).max(1.0);
    (!is_alike).then(|| {
        let (a, b) = (&first.source, &other.source);
        format!("{a} was under load for {first_s:.1} s, {b} for {other_s:.1} s")
    })
}

/// What a reader should know of how long the sides were under load, where they are compared all the same.
pub(super) fn length_note(baseline: &RunSet, candidate: &RunSet) -> Option<String> {
    let first = &baseline.repeats.first()?.facts;
    candidate.repeats.iter().find_map(|run| unlike_lengths(first, &run.facts))
}

/// What to allow for these runs to be comparable: keys of the scenario, the kind of target, the duration, another machine.
pub(super) fn keys_to_allow(runs: &[&Facts], allowed: &[String]) -> Vec<String> {
    let mut keys = std::collections::BTreeSet::new();
    let Some((first, others)) = runs.split_first() else { return Vec::new() };
    for other in others {
        let differing = differing_keys(first, other).unwrap_or_default();
        if differing.is_empty() && unlike_lengths(first, other).is_some() {
            keys.insert(DURATION.to_owned());
        }
        keys.extend(differing.into_iter().map(|own| own.key));
        if first.target_kind != other.target_kind {
            keys.insert(TARGET_KIND.to_owned());
        }
        if unlike_hosts(first, other).is_some() {
            keys.insert(HOST.to_owned());
        }
    }
    keys.retain(|key| !is_allowed(key, allowed));
    gathered(keys.into_iter().collect())
}

/// Several keys of one table of a group become that table, as `groups.0.reconnect.backoff`; where there are many keys, those of any table.
fn gathered(keys: Vec<String>) -> Vec<String> {
    let by_table = |keys: Vec<String>, least_parts: usize| {
        let table = |key: &str| {
            let (table, _) = key.rsplit_once('.')?;
            (table.split('.').count() >= least_parts).then(|| table.to_owned())
        };
        let is_shared =
            |wanted: &String| keys.iter().filter(|key| table(key).as_ref() == Some(wanted)).count() > 1;
        let mut gathered: Vec<String> =
            keys.iter().map(|key| table(key).filter(is_shared).unwrap_or_else(|| key.clone())).collect();
        gathered.dedup();
        gathered
    };
    let keys = by_table(keys, 3);
    if keys.len() > MOST_ALLOWED { by_table(keys, 1) } else { keys }
}

/// How long a run was under load, in seconds: the scenario's duration, or less where it ended before. What the drain took is what clients made of it.
fn under_load_s(facts: &Facts) -> f64 {
    facts.elapsed_s.min(facts.duration_s)
}

fn unlike_hosts(first: &Facts, other: &Facts) -> Option<String> {
    // A run in virtual time was on no machine.
    if [first, other].iter().any(|facts| facts.target_kind == "simulated") {
        return None;
    }
    let series = |kernel: &str| kernel.split('.').take(2).collect::<Vec<_>>().join(".");
    let (a, b) = (&first.host, &other.host);
    let is_alike = a.cores == b.cores && series(&a.kernel) == series(&b.kernel);
    let machine = |facts: &Facts| format!("{} cores, kernel {}", facts.host.cores, facts.host.kernel);
    (!is_alike).then(|| {
        format!(
            "{} ran on another machine ({}) than {} ({}); --allow host compares them all the same",
            other.source,
            machine(other),
            first.source,
            machine(first)
        )
    })
}

fn is_allowed(key: &str, allowed: &[String]) -> bool {
    allowed
        .iter()
        .any(|name| key == name || key.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('.')))
}

fn listed(differing: &[String]) -> String {
    let mut text = differing.iter().take(MOST_LISTED).cloned().collect::<Vec<_>>().join("; ");
    if differing.len() > MOST_LISTED {
        text.push_str(&format!("; and {} keys more", differing.len() - MOST_LISTED));
    }
    text
}

/// A key of the scenario that differs, with both values.
struct DifferingKey {
    key: String,
    first: String,
    other: String,
}

impl DifferingKey {
    fn words(&self) -> String {
        format!("{} is {} and {}", self.key, self.first, self.other)
    }
}

/// The keys whose values differ between two runs' scenarios, but for those without effect; `None` where one cannot be read.
fn differing_keys(first: &Facts, other: &Facts) -> Option<Vec<DifferingKey>> {
    if first.scenario_hash == other.scenario_hash {
        return Some(Vec::new());
    }
    let (first, other) = (flattened(&first.scenario_text)?, flattened(&other.scenario_text)?);
    let keys: std::collections::BTreeSet<&String> = first.keys().chain(other.keys()).collect();
    let value =
        |of: &BTreeMap<String, String>, key: &str| of.get(key).map_or("(not set)", String::as_str).to_owned();
    let has_effect = |key: &&&String| !WITHOUT_EFFECT.contains(&key.split('.').next().unwrap_or_default());
    let all = keys.iter().filter(has_effect).map(|key| DifferingKey {
        key: (*key).clone(),
        first: value(&first, key),
        other: value(&other, key),
    });
    Some(all.filter(|own| own.first != own.other).collect())
}

/// Every value of a TOML text by its dotted path, as TOML.
fn flattened(text: &str) -> Option<BTreeMap<String, String>> {
    let mut flat = BTreeMap::new();
    flatten(&Value::Table(text.parse().ok()?), String::new(), &mut flat);
    Some(flat)
}

fn flatten(value: &Value, path: String, flat: &mut BTreeMap<String, String>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                flatten(value, below(key), flat);
            }
        }
        Value::Array(values) if values.iter().any(Value::is_table) => {
            for (index, value) in values.iter().enumerate() {
                flatten(value, below(&index.to_string()), flat);
            }
        }
        other => {
            flat.insert(path, other.to_string());
        }
    }
}

#[cfg(test)]
#[path = "comparable_tests.rs"]
mod tests;
