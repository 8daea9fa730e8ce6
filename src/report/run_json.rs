//! `run.json`: everything about a run that is not a row of a table.
//!
//! In: a run. Out: JSON with a schema version; units are in the keys' names.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::record::{SCHEMA_VERSION, Tally};
use crate::sample::{Counter, Metric, Outcome};

use super::model::RunModel;

/// The manifest of a run, as JSON.
#[must_use]
pub fn run_json(model: &RunModel) -> Value {
    let manifest = &model.manifest;
    let end = model.end.as_ref();
    json!({
        "schema_version": SCHEMA_VERSION,
        "tool": { "name": "resurge", "version": manifest.tool_version },
        "scenario": { "name": manifest.scenario, "hash": manifest.scenario_hash, "seed": manifest.seed, "duration_s": manifest.duration_s },
        "target": { "kind": manifest.target_kind, "url": manifest.target_url, "authorised_hosts": manifest.authorised_hosts },
        "host": manifest.host,
        "start_unix_us": manifest.started_unix_us,
        "start": calendar(manifest.started_unix_us),
        "end": end.map(|end| calendar(manifest.started_unix_us + (end.elapsed_s * 1e6) as u64)),
        "elapsed_s": model.elapsed_s,
        "ended": end.map(|end| &end.reason),
        "shards": { "count": manifest.shards, "lost": [] },
        "torn_bytes": model.torn_bytes,
        "verdict": model.verdict,
        "thresholds": model.thresholds,
        "storms": manifest.storms,
        "accounting": accounting(model),
        "reconciliation": model.reconciliation.as_ref().map(|reconciliation| json!({
            "holds": reconciliation.holds(),
            "exact": reconciliation.is_exact(),
            "unsettled": reconciliation.unsettled,
            "rows": reconciliation.rows,
            "target_counters": end.and_then(|end| end.target_counters.as_ref()),
        })),
        "generator": end.map(|end| &end.health),
        "write_faults": end.map(|end| end.write_faults.as_slice()).unwrap_or_default(),
    })
}

fn accounting(model: &RunModel) -> Value {
    let groups: Vec<Value> = model
        .groups()
        .zip(&model.manifest.groups)
        .map(|((name, tally), manifest)| group(name, u64::from(manifest.clients), tally))
        .collect();
    let clients = model.manifest.groups.iter().map(|group| u64::from(group.clients)).sum();
    json!({
        "closes": model.account_faults.is_empty(),
        "faults": model.account_faults,
        "groups": groups,
        "all": group("all", clients, &model.all),
    })
}

fn group(name: &str, clients: u64, tally: &Tally) -> Value {
    let outcomes: BTreeMap<&str, u64> = Outcome::ALL
        .iter()
        .map(|outcome| (outcome.name(), tally.outcome(*outcome)))
        .filter(|(_, count)| *count > 0)
        .collect();
    let counters: BTreeMap<&str, u64> =
        Counter::ALL.iter().map(|counter| (counter.name(), tally.counter(*counter))).collect();
    let mut abnormal: BTreeMap<&str, u64> = BTreeMap::new();
    for ((_, _, how), count) in &tally.closes {
        if let Some(how) = how {
            *abnormal.entry(how.name()).or_default() += count;
        }
    }
    let cascades = tally.histograms.get(&Metric::CascadeDepth).map(|depths| {
        json!({
            "count": depths.count(),
            "p50": depths.percentile_us(50.0),
            "p99": depths.percentile_us(99.0),
            "max": depths.max_us(),
        })
    });
    json!({
        "group": name,
        "clients": clients,
        "attempts": tally.attempts_total(),
        "outcomes": outcomes,
        "sessions": tally.outcome(Outcome::Ok),
        "closes": tally.closes_total(),
        "closes_1006": abnormal,
        "counters": counters,
        "cascade_depth": cascades,
    })
}

/// Calendar time in UTC, RFC 3339.
pub(super) fn calendar(unix_us: u64) -> Option<String> {
    let us = i64::try_from(unix_us).ok()?;
    jiff::Timestamp::from_microsecond(us).ok().map(|time| time.to_string())
}
