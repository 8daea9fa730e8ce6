//! A simulated run beside a real one: what was predicted, what came, and how far apart they are.
//!
//! In: two runs of one scenario. Out: a row for each number, with its deviation and the one that is allowed. Counts may deviate by 2 %, times by 15 %.

use std::fmt::Write as _;

use crate::record::{Quantile, Reconnects};
use crate::report::{RunModel, aligned};
use crate::sample::{Counter, Outcome};
use crate::units::{format_count, format_us};

/// By how much counts may deviate.
const COUNTS: f64 = 0.02;
/// By how much times may deviate.
const TIMES: f64 = 0.15;
/// An outcome of a smaller share of the attempts is judged by its share of them: a handful more or less says nothing.
const RARE: f64 = 0.01;

/// A number of both runs.
#[derive(Debug, Clone, PartialEq)]
pub struct PredictionRow {
    /// What it is.
    pub what: String,
    /// Whether it is a time, in microseconds; else it is a count.
    pub is_time: bool,
    /// As simulated; `None` without a sample, and where it lies beyond what was seen.
    pub predicted: Option<f64>,
    /// As it came.
    pub real: Option<f64>,
    /// How far apart they are, over the real one; of rare outcomes, over the real attempts. `None` where one is missing.
    pub deviation: Option<f64>,
    /// The largest that is allowed.
    pub allowed: f64,
}

impl PredictionRow {
    /// Whether it was predicted well enough; what neither run has a sample of was.
    #[must_use]
    pub fn holds(&self) -> bool {
        match self.deviation {
            Some(deviation) => deviation.abs() <= self.allowed,
            None => self.predicted.is_none() && self.real.is_none(),
        }
    }

    fn new(what: &str, is_time: bool, predicted: Option<f64>, real: Option<f64>, least: f64) -> Self {
        let deviation = predicted.zip(real).map(|(predicted, real)| {
            let over = real.max(least);
            if over > 0.0 { (predicted - real) / over } else { predicted - real }
        });
        let allowed = if is_time { TIMES } else { COUNTS };
        Self { what: what.to_owned(), is_time, predicted, real, deviation, allowed }
    }

    fn cells(&self) -> [String; 5] {
        let value = |value: Option<f64>| match value {
            None => "-".to_owned(),
            Some(value) if self.is_time => format_us(value as u64),
            Some(value) => format_count(value as u64),
        };
        let deviation =
            self.deviation.map_or_else(|| "-".to_owned(), |deviation| format!("{:+.1} %", 100.0 * deviation));
        let allowed = format!("{:.0} %", 100.0 * self.allowed);
        let held = if self.holds() { allowed } else { format!("{allowed}: exceeded") };
        [self.what.clone(), value(self.predicted), value(self.real), deviation, held]
    }
}

/// Compares a simulated run with a real one: attempts, each outcome, tokens, reconnect p50 and p99, until 95 % were back.
#[must_use]
pub fn check_prediction(simulated: &RunModel, real: &RunModel) -> Vec<PredictionRow> {
    let both = |value: &dyn Fn(&RunModel) -> Option<f64>| (value(simulated), value(real));
    let row = |what: &str, is_time: bool, value: &dyn Fn(&RunModel) -> Option<f64>| {
        let (predicted, real) = both(value);
        PredictionRow::new(what, is_time, predicted, real, 0.0)
    };
    let attempts = real.all.attempts_total() as f64;
    let mut rows = vec![row("attempts", false, &|run| Some(run.all.attempts_total() as f64))];
    for outcome in Outcome::ALL {
        let (predicted, real) = both(&|run| Some(run.all.outcome(*outcome) as f64));
        if predicted > Some(0.0) || real > Some(0.0) {
            let least = if real < Some(RARE * attempts) { attempts } else { 0.0 };
            rows.push(PredictionRow::new(
                &format!("outcome {}", outcome.name()),
                false,
                predicted,
                real,
                least,
            ));
        }
    }
    rows.push(row("tokens fetched", false, &|run| Some(run.all.counter(Counter::TokensFetched) as f64)));
    for percentile in [50.0, 99.0] {
        rows.push(row(&format!("reconnect latency p{percentile}"), true, &|run| {
            seen(Reconnects::of(&run.all).percentile(percentile))
        }));
    }
    rows.push(row("until 95 % were back", true, &|run| seen(run.recovered_us(None, 0.95))));
    rows
}

/// A time that lies beyond what was seen is no number to compare.
fn seen(time: Option<Quantile>) -> Option<f64> {
    Some(time?.seen_us()? as f64)
}

const HEADINGS: [&str; 5] = ["what", "simulated", "real", "deviation", "allowed"];

/// A prediction as text.
#[must_use]
pub fn prediction_text(rows: &[PredictionRow]) -> String {
    let mut table = vec![HEADINGS.map(str::to_owned).to_vec()];
    table.extend(rows.iter().map(|row| row.cells().to_vec()));
    aligned(&table)
}

/// A prediction as Markdown, each row with `of` in front.
#[must_use]
pub fn prediction_markdown(of: &str, rows: &[PredictionRow]) -> String {
    let mut text = format!("| scenario | {} |\n|---|---|---:|---:|---:|---|\n", HEADINGS.join(" | "));
    for row in rows {
        let _ = writeln!(text, "| {of} | {} |", row.cells().join(" | "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deviations_are_relative_to_what_came_and_rare_outcomes_to_all_attempts() {
        // (is a time, predicted, real, least, deviation, holds)
        let rows = [
            (false, Some(102.0), Some(100.0), 0.0, Some(0.02), true),
            (false, Some(97.0), Some(100.0), 0.0, Some(-0.03), false),
            (false, Some(8.0), Some(4.0), 1_000.0, Some(0.004), true),
            (false, Some(0.0), Some(0.0), 0.0, Some(0.0), true),
            (false, Some(1.0), Some(0.0), 0.0, Some(1.0), false),
            (true, Some(114.0), Some(100.0), 0.0, Some(0.14), true),
            (true, Some(116.0), Some(100.0), 0.0, Some(0.16), false),
            (true, None, Some(1.0), 0.0, None, false),
            (true, None, None, 0.0, None, true),
        ];
        for (is_time, predicted, real, least, deviation, holds) in rows {
            let row = PredictionRow::new("x", is_time, predicted, real, least);
            let close = row.deviation.zip(deviation).is_none_or(|(a, b): (f64, f64)| (a - b).abs() < 1e-12);
            assert!(close && row.deviation.is_some() == deviation.is_some(), "{row:?}");
            assert_eq!(row.holds(), holds, "{row:?}");
        }
    }

    #[test]
    fn what_was_not_predicted_well_is_told() {
        let row = PredictionRow::new("reconnect latency p99", true, Some(2e6), Some(1e6), 0.0);
        insta::assert_snapshot!(prediction_text(&[row]), @r"
        what                   simulated    real  deviation         allowed
        reconnect latency p99     2.00 s  1.00 s   +100.0 %  15 %: exceeded
        ");
    }
}
