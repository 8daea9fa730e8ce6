//! A comparison for programs: JSON with a schema version, and CSV.
//!
//! In: a comparison. Out: every number that the verdict rests on. Units are in the keys, or beside the value.

use serde_json::{Value, json};

use super::comparison::{Comparison, Row, Settings};
use super::estimate::SideEstimate;
use super::judge::Finding;
use super::not_judged::NotJudged;
use super::repeat::Facts;
use super::words::is_from_nothing;

/// Version of the JSON's shape.
pub const COMPARISON_SCHEMA_VERSION: u32 = 2;

/// Comparisons as JSON.
#[must_use]
pub fn comparison_json(comparisons: &[Comparison], verdict: Finding, settings: &Settings) -> Value {
    json!({
        "schema_version": COMPARISON_SCHEMA_VERSION,
        "tool": { "name": "resurge", "version": env!("CARGO_PKG_VERSION") },
        "verdict": verdict,
        "settings": {
            "alpha": settings.alpha,
            "interval_confidence": 0.95,
            "assumed_spread": settings.assumed_spread,
            "seed": settings.seed,
        },
        "comparisons": comparisons.iter().map(comparison).collect::<Vec<Value>>(),
    })
}

fn comparison(comparison: &Comparison) -> Value {
    let count = |finding| comparison.count(finding);
    json!({
        "baseline": { "name": comparison.baseline_name, "runs": comparison.baseline.iter().map(run).collect::<Vec<Value>>() },
        "candidate": { "name": comparison.candidate_name, "runs": comparison.candidate.iter().map(run).collect::<Vec<Value>>() },
        "verdict": comparison.finding,
        "deciding": {
            "regressed": count(Finding::Regressed),
            "improved": count(Finding::Improved),
            "unchanged": count(Finding::Unchanged),
            "inconclusive": count(Finding::Inconclusive),
        },
        "not_judged": comparison.missed(),
        "notes": comparison.notes,
        "measures": comparison.rows.iter().map(measure).collect::<Vec<Value>>(),
    })
}

fn run(facts: &Facts) -> Value {
    json!({
        "source": facts.source,
        "scenario": facts.scenario,
        "scenario_hash": facts.scenario_hash,
        "seed": facts.seed,
        "tool_version": facts.tool_version,
        "start_unix_us": facts.started_unix_us,
        "elapsed_s": facts.elapsed_s,
        "validity": facts.validity,
        "reasons": facts.reasons,
        "histogram_binary_digits": facts.precision,
    })
}

fn measure(row: &Row) -> Value {
    json!({
        "group": row.group,
        "measure": row.measure.name,
        "unit": row.measure.unit().name(),
        "less_is_better": row.measure.less_is_better,
        "decides": row.measure.decides,
        "min_effect": { "relative": row.measure.min_effect.relative, "absolute": row.measure.min_effect.absolute },
        "baseline": row.baseline.as_ref().map(side),
        "candidate": row.candidate.as_ref().map(side),
        "test": row.tested.as_ref().map(|(difference, judged)| json!({
            "scale": scale(row),
            "difference": difference.estimate,
            "variance_per_run_baseline": difference.per_run.0,
            "variance_per_run_candidate": difference.per_run.1,
            "standard_error": difference.standard_error,
            "df": difference.df,
            "basis": difference.basis.name(),
            "t": judged.t,
            "p": judged.p,
            "p_adjusted": judged.p_adjusted,
            "interval_low": judged.interval.0,
            "interval_high": judged.interval.1,
            "change": natural(row, judged.change),
            "change_low": natural(row, judged.bounds.0),
            "change_high": natural(row, judged.bounds.1),
            "repeats_needed": judged.repeats_needed,
        })),
        "verdict": verdict(row),
        "not_judged": row.not_judged.as_ref().map(NotJudged::name),
        "was_to_decide": row.asked,
        "whole": row.measure.whole(),
    })
}

const fn scale(row: &Row) -> &'static str {
    if row.measure.is_ratio() {
        "log"
    } else if row.measure.is_share() {
        "arcsine"
    } else {
        "linear"
    }
}

const fn verdict(row: &Row) -> &'static str {
    if row.not_judged.is_some() { "not_judged" } else { row.finding.name() }
}

/// A change as a share of the baseline; of shares, as it is. `None` where the baseline is nothing.
fn natural(row: &Row, change: f64) -> Option<f64> {
    if is_from_nothing(row) {
        return None;
    }
    Some(if row.measure.is_ratio() { change.exp_m1() } else { change })
}

fn side(side: &SideEstimate) -> Value {
    json!({
        "value": side.value,
        "is_beyond": side.is_beyond,
        "repeats": side.repeats,
        "samples": side.samples,
        "variance_repeats": side.variance_repeats,
        "variance_blocks": side.variance_blocks,
        "variance_floor": side.variance_floor,
    })
}

const HEADER: [&str; 29] = [
    "baseline",
    "candidate",
    "group",
    "measure",
    "unit",
    "decides",
    "baseline_value",
    "candidate_value",
    "baseline_repeats",
    "candidate_repeats",
    "change",
    "change_low",
    "change_high",
    "change_is",
    "standard_error",
    "df",
    "t",
    "p",
    "p_adjusted",
    "min_effect_relative",
    "min_effect_absolute",
    "basis",
    "verdict",
    "repeats_needed",
    "baseline_is_beyond",
    "candidate_is_beyond",
    "not_judged",
    "was_to_decide",
    "whole",
];

/// Comparisons as CSV, a row for each measure. Changes are relative to the baseline; of shares they are differences.
///
/// # Errors
/// What the CSV writer says; memory does not fail.
pub fn comparison_csv(comparisons: &[Comparison]) -> Result<String, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(HEADER)?;
    for comparison in comparisons {
        for row in &comparison.rows {
            writer.write_record(record(comparison, row))?;
        }
    }
    let bytes = writer.into_inner().map_err(|error| error.into_error())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn record(comparison: &Comparison, row: &Row) -> [String; 29] {
    let number = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    let tested = row.tested.as_ref();
    let found = |of: fn(&(super::estimate::Difference, super::judge::Judged)) -> f64| number(tested.map(of));
    let change = |of: fn(&(super::estimate::Difference, super::judge::Judged)) -> f64| {
        number(tested.map(of).and_then(|change| natural(row, change)))
    };
    [
        comparison.baseline_name.clone(),
        comparison.candidate_name.clone(),
        row.group.clone(),
        row.measure.name.clone(),
        row.measure.unit().name().to_owned(),
        row.measure.decides.to_string(),
        number(row.baseline.as_ref().map(|side| side.value)),
        number(row.candidate.as_ref().map(|side| side.value)),
        comparison.baseline.len().to_string(),
        comparison.candidate.len().to_string(),
        change(|(_, judged)| judged.change),
        change(|(_, judged)| judged.bounds.0),
        change(|(_, judged)| judged.bounds.1),
        if row.measure.is_ratio() { "relative" } else { "absolute" }.to_owned(),
        found(|(difference, _)| difference.standard_error),
        found(|(difference, _)| difference.df),
        found(|(_, judged)| judged.t),
        found(|(_, judged)| judged.p),
        found(|(_, judged)| judged.p_adjusted),
        row.measure.min_effect.relative.to_string(),
        row.measure.min_effect.absolute.to_string(),
        tested.map_or_else(String::new, |(difference, _)| difference.basis.name().to_owned()),
        verdict(row).to_owned(),
        tested.and_then(|(_, judged)| judged.repeats_needed).map_or_else(String::new, |n| n.to_string()),
        row.baseline.as_ref().map_or_else(String::new, |side| side.is_beyond.to_string()),
        row.candidate.as_ref().map_or_else(String::new, |side| side.is_beyond.to_string()),
        row.not_judged.as_ref().map_or_else(String::new, |why| why.name().to_owned()),
        row.asked.to_string(),
        row.measure.whole().unwrap_or_default().to_owned(),
    ]
}
