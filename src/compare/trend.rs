//! A trend over releases: each measure from one to the next.
//!
//! In: sets of runs, in any order. Out: their order, a row for each group and measure, and what each step was.

use std::cmp::Ordering;

use super::comparison::{Comparison, Settings, compare};
use super::estimate::SideEstimate;
use super::judge::Finding;
use super::measure::Measure;
use super::repeat::RunSet;

/// A measure over releases.
#[derive(Debug, Clone)]
pub struct TrendRow {
    /// The group's name.
    pub group: String,
    /// What was compared.
    pub measure: Measure,
    /// Its value in each release; `None` where there is no sample, and where it lies beyond what was seen.
    pub values: Vec<Option<f64>>,
    /// What each step was, from the second release on, against the one before; `None` where it was not judged.
    pub steps: Vec<Option<Finding>>,
}

/// Measures over releases.
#[derive(Debug, Clone)]
pub struct Trend {
    /// The releases' names, oldest first.
    pub names: Vec<String>,
    /// How many repeats each has.
    pub repeats: Vec<usize>,
    /// The rows, as a comparison orders them.
    pub rows: Vec<TrendRow>,
    /// The overall verdict of each step.
    pub steps: Vec<Finding>,
}

/// Puts releases in order: baselines by name, as versions are read (v1.9 before v1.10); where a run is among them, all by when their first run began.
pub fn order_releases(sets: &mut [RunSet]) {
    if sets.iter().all(|set| set.is_baseline) {
        sets.sort_by(|a, b| by_version(&a.name, &b.name));
    } else {
        sets.sort_by_key(|set| set.repeats.iter().map(|run| run.facts.started_unix_us).min());
    }
}

/// Compares names part by part: digits as numbers, the rest as letters.
fn by_version(a: &str, b: &str) -> Ordering {
    let parts = |name: &str| {
        let mut parts: Vec<(u64, String)> = Vec::new();
        for letter in name.chars() {
            let is_digit = letter.is_ascii_digit();
            match (parts.last_mut(), letter.to_digit(10)) {
                (Some((number, text)), Some(digit)) if text.is_empty() => {
                    *number = number.saturating_mul(10).saturating_add(u64::from(digit));
                }
                (_, Some(digit)) => parts.push((u64::from(digit), String::new())),
                (Some((_, text)), None) if !text.is_empty() && !is_digit => text.push(letter),
                _ => parts.push((0, letter.to_string())),
            }
        }
        parts
    };
    parts(a).cmp(&parts(b)).then_with(|| a.cmp(b))
}

/// The trend over releases, oldest first.
#[must_use]
pub fn trend(sets: &[RunSet], settings: &Settings) -> Trend {
    let steps: Vec<Comparison> = sets.windows(2).map(|pair| compare(&pair[0], &pair[1], settings)).collect();
    let mut rows: Vec<TrendRow> = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        for row in &step.rows {
            let position = rows
                .iter()
                .position(|known| known.group == row.group && known.measure.name == row.measure.name);
            let position = position.unwrap_or_else(|| {
                rows.push(TrendRow {
                    group: row.group.clone(),
                    measure: row.measure.clone(),
                    values: vec![None; sets.len()],
                    steps: vec![None; steps.len()],
                });
                rows.len() - 1
            });
            let known = &mut rows[position];
            known.measure.decides |= row.measure.decides;
            known.values[index] = row.baseline.as_ref().and_then(SideEstimate::seen);
            known.values[index + 1] = row.candidate.as_ref().and_then(SideEstimate::seen);
            let is_whole = row.baseline.is_some() && row.candidate.is_some();
            known.steps[index] = (is_whole && row.not_judged.is_none()).then_some(row.finding);
        }
    }
    Trend {
        names: sets.iter().map(|set| set.name.clone()).collect(),
        repeats: sets.iter().map(|set| set.repeats.len()).collect(),
        rows,
        steps: steps.iter().map(|step| step.finding).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::{Behaviour, synthetic_run};
    use super::*;

    fn set(name: &str, median_us: f64, first_seed: u64, is_baseline: bool) -> RunSet {
        let behaviour = Behaviour { median_us, seconds: 6, per_second: 50.0, ..Behaviour::default() };
        let repeats = (0..4).map(|n| synthetic_run(&behaviour, first_seed + n)).collect();
        RunSet { name: name.into(), repeats, is_baseline }
    }

    #[test]
    fn versions_are_read_as_numbers_and_runs_by_their_start() {
        let names = |mut sets: Vec<RunSet>| {
            order_releases(&mut sets);
            sets.iter().map(|set| set.name.clone()).collect::<Vec<_>>()
        };
        let of = |name, seed, is_baseline| set(name, 30_000.0, seed, is_baseline);
        let sets =
            vec![of("v1.10", 1, true), of("v1.9", 9, true), of("v1.9-rc2", 8, true), of("v0", 10, true)];
        assert_eq!(names(sets), ["v0", "v1.9", "v1.9-rc2", "v1.10"]);
        assert_eq!(names(vec![of("v1.10", 50, true), of("run", 1, false)]), ["run", "v1.10"]);
    }

    #[test]
    fn each_release_has_its_value_and_each_step_its_verdict() {
        let sets = [set("a", 30_000.0, 0, true), set("b", 60_000.0, 10, true), set("c", 20_000.0, 20, true)];
        let trend = trend(&sets, &Settings::default());
        assert_eq!(trend.steps, [Finding::Regressed, Finding::Improved]);
        let p50 = trend.rows.iter().find(|row| row.measure.name == "reconnect_latency.p50").unwrap();
        let values: Vec<f64> = p50.values.iter().map(|value| value.unwrap().round()).collect();
        assert!(values[0] > 28_000.0 && values[1] > 55_000.0 && values[2] < 22_000.0, "{values:?}");
        assert_eq!(p50.steps, [Some(Finding::Regressed), Some(Finding::Improved)]);
    }
}
