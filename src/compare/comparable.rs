//! Whether runs may be compared at all.
//!
//! In: the facts of both sides, and what the user allows to differ. Out: a sentence for each reason why not; empty when they may be. What differs in the scenario
//! is named key by key.

use std::collections::BTreeMap;

use toml::Value;

use crate::units::format_count;

use super::measure::Measure;
use super::repeat::{Facts, Repeat, Validity};

/// Keys of a scenario that change nothing of what is run: who draws, what it is called, what is asked of the result.
const WITHOUT_EFFECT: &[&str] = &["seed", "name", "description", "thresholds"];
/// By how much the lengths of two runs may differ, relative to the longer.
const LENGTH_TOLERANCE: f64 = 0.1;
/// So many differing keys are listed.
const MOST_LISTED: usize = 12;
/// What allows another machine, beside keys of the scenario.
const HOST: &str = "host";

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

fn unusable(facts: &Facts) -> Option<String> {
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
        let attempts: u64 = (0..run.facts.groups.len()).map(|group| run.counts(group).attempts).sum();
        if attempts == 0 {
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
    if first.scenario_hash != other.scenario_hash {
        let differing = differing_keys(&first.scenario_text, &other.scenario_text, allowed);
        if !differing.is_empty() {
            reasons.push(format!("{a} and {b} are of different scenarios: {}", listed(&differing)));
        }
    }
    if first.target_kind != other.target_kind && !is_allowed("target.kind", allowed) {
        let kind = |facts: &Facts| {
            let article = if facts.target_kind.starts_with('e') { "an" } else { "a" };
            format!("{article} {}", facts.target_kind)
        };
        reasons.push(format!("{a} has {} target, {b} {} one", kind(first), kind(other)));
    }
    let (first_s, other_s) = (under_load_s(first), under_load_s(other));
    if (first_s - other_s).abs() > LENGTH_TOLERANCE * first_s.max(other_s).max(1.0)
        && !is_allowed("duration", allowed)
    {
        reasons.push(format!(
            "{a} was under load for {first_s:.1} s, {b} for {other_s:.1} s; --allow duration compares them all the same"
        ));
    }
    if !is_allowed(HOST, allowed) {
        reasons.extend(unlike_hosts(first, other));
    }
    reasons
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

/// The keys whose values differ between two scenarios, each with both values, but for those without effect and those allowed.
fn differing_keys(first: &str, other: &str, allowed: &[String]) -> Vec<String> {
    let (Some(first), Some(other)) = (flattened(first), flattened(other)) else {
        return vec!["one of their texts cannot be read".to_owned()];
    };
    let keys: std::collections::BTreeSet<&String> = first.keys().chain(other.keys()).collect();
    let value =
        |of: &BTreeMap<String, String>, key: &str| of.get(key).map_or("(not set)", String::as_str).to_owned();
    keys.into_iter()
        .filter(|key| {
            let root = key.split('.').next().unwrap_or_default();
            !WITHOUT_EFFECT.contains(&root) && !is_allowed(key, allowed)
        })
        .map(|key| (key, value(&first, key), value(&other, key)))
        .filter(|(_, a, b)| a != b)
        .map(|(key, a, b)| format!("{key} is {a} and {b}"))
        .collect()
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
mod tests {
    use super::super::measure::{decide_by, measures};
    use super::*;
    use crate::compare::repeat::{Block, Counts, GroupBlock};
    use crate::record::{GroupManifest, HostManifest};

    fn run(source: &str, scenario: &str) -> Repeat {
        let counts = Counts { attempts: 9, back: 5, reconnects_ended: 5, ..Counts::default() };
        let facts = Facts {
            source: source.into(),
            scenario: "s".into(),
            scenario_hash: scenario.len().to_string(),
            scenario_text: scenario.into(),
            seed: 1,
            tool_version: "0".into(),
            started_unix_us: 0,
            duration_s: 10.0,
            elapsed_s: 10.0,
            target_kind: "embedded".into(),
            groups: vec![GroupManifest { name: "g".into(), clients: 5 }],
            host: HostManifest { cores: 2, kernel: "6.1.7".into(), descriptor_limit: 1, local_ports: 1 },
            validity: Validity::Valid,
            reasons: Vec::new(),
            cpu_s: None,
            max_rss_bytes: None,
            precision: 10,
        };
        let group = GroupBlock { counts, ..GroupBlock::default() };
        Repeat { facts, blocks: vec![Block { seconds: 10, groups: vec![group] }], outages: None }
    }

    /// Of what is compared by default.
    fn incomparable(baseline: &[Repeat], candidate: &[Repeat], allowed: &[String]) -> Vec<String> {
        super::incomparable(baseline, candidate, allowed, &measures())
    }

    const TEXT: &str = "duration = \"10s\"\n[target]\nidle = 1\n[[groups]]\nname = \"g\"\n";

    #[test]
    fn like_runs_are_comparable_whatever_draws_them() {
        let other = format!("seed = 9\ndescription = \"another\"\n{TEXT}");
        assert_eq!(incomparable(&[run("a", TEXT)], &[run("b", &other)], &[]), [""; 0]);
        let mut patched = run("b", TEXT);
        patched.facts.host.kernel = "6.1.99-generic".into();
        assert_eq!(incomparable(&[run("a", TEXT)], &[patched], &[]), [""; 0]);
        let mut longer_drain = run("b", TEXT);
        longer_drain.facts.elapsed_s = 25.0;
        assert_eq!(
            incomparable(&[run("a", TEXT)], &[longer_drain], &[]),
            [""; 0],
            "backoffs drain as they do"
        );
    }

    #[test]
    fn each_difference_is_named() {
        let with = |change: &dyn Fn(&mut Repeat)| {
            let mut run = run("b", TEXT);
            change(&mut run);
            run
        };
        let other_text = TEXT.replace("idle = 1", "idle = 22").replace("\"g\"", "\"h\"");
        let rows: Vec<(Repeat, &str, &[&str])> = vec![
            (
                run("b", &other_text),
                "groups.0.name is \"g\" and \"h\"; target.idle is 1 and 22",
                &["target", "groups"],
            ),
            (
                with(&|r| r.facts.elapsed_s = 8.0),
                "a was under load for 10.0 s, b for 8.0 s; --allow duration",
                &["duration"],
            ),
            (with(&|r| r.facts.target_kind = "remote".into()), "a has an embedded target", &["target.kind"]),
            (
                with(&|r| r.facts.host.cores = 8),
                "b ran on another machine (8 cores, kernel 6.1.7)",
                &["host"],
            ),
            (with(&|r| r.facts.host.kernel = "6.2.1".into()), "another machine", &["host"]),
        ];
        for (other, part, allowed) in rows {
            let reasons = incomparable(&[run("a", TEXT)], std::slice::from_ref(&other), &[]);
            assert!(reasons.len() == 1 && reasons[0].contains(part), "{part}: {reasons:?}");
            let allowed: Vec<String> = allowed.iter().map(|key| (*key).to_owned()).collect();
            assert_eq!(incomparable(&[run("a", TEXT)], &[other], &allowed), [""; 0], "{part}");
        }
    }

    #[test]
    fn runs_without_what_is_compared_are_told_apart() {
        let change = |change: &dyn Fn(&mut Repeat)| {
            let mut run = run("b", TEXT);
            change(&mut run);
            incomparable(&[self::run("a", TEXT)], &[run], &[]).join("\n")
        };
        assert!(change(&|r| r.blocks[0].groups[0].counts = Counts::default()).contains("b is empty"));
        let silent = change(&|r| r.blocks[0].groups[0].counts.reconnects_ended = 0);
        assert!(silent.contains("candidate (b) has no reconnect in group g, the other side 5"), "{silent}");
        let mut by_outages = measures();
        decide_by(&mut by_outages, &["outage_cost".into()]).unwrap();
        let mut silent = run("b", TEXT);
        silent.blocks[0].groups[0].counts.reconnects_ended = 0;
        assert_eq!(super::incomparable(&[run("a", TEXT)], &[silent], &[], &by_outages), [""; 0]);
        let invalid = change(&|r| {
            r.facts.validity = Validity::NotValid;
            r.facts.reasons = vec!["the generator was late".into()];
        });
        assert_eq!(invalid, "b is not valid: the generator was late");
        assert!(change(&|r| r.facts.validity = Validity::CutOff).contains("b is not whole"));
    }

    #[test]
    fn what_all_repeats_have_is_told_once() {
        let other = TEXT.replace("idle = 1", "idle = 22");
        let candidate = ["b1", "b2", "b3"].map(|source| run(source, &other));
        let reasons = incomparable(&[run("a", TEXT)], &candidate, &[]);
        assert_eq!(reasons.len(), 1, "{reasons:?}");
    }
}
