//! Thresholds against totals.
//!
//! In: a threshold, the groups' tallies, the time that the run took. Out: what was measured, and whether it holds. A threshold without
//! a sample neither passes nor fails: the run is not valid.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sample::{Counter, Outcome};
use crate::scenario::keys::{Aggregate, Comparison, ShareOf, Subject, Threshold};
use crate::units::{format_count, format_share, format_us};

use super::tally::Tally;

/// How a threshold came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ThresholdStatus {
    /// It holds.
    Passed,
    /// It does not.
    Failed,
    /// Nothing was measured.
    NoSamples,
}

/// A threshold's result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ThresholdResult {
    /// As written.
    pub threshold: String,
    /// How it came out.
    pub status: ThresholdStatus,
    /// What was measured: microseconds, a share 0..1, a count, or a rate per second; `None` without samples.
    pub measured: Option<f64>,
    /// The same for people.
    pub measured_text: String,
    /// The limit, in the same unit.
    pub limit: f64,
}

/// Evaluates `threshold` on `tally`, the group's or that of all groups, after `elapsed_s` seconds.
#[must_use]
pub fn evaluate(threshold: &Threshold, tally: &Tally, elapsed_s: f64) -> ThresholdResult {
    let measured = measure(threshold, tally, elapsed_s);
    let status = match measured {
        None => ThresholdStatus::NoSamples,
        Some(value) if holds(value, threshold.comparison, threshold.limit) => ThresholdStatus::Passed,
        Some(_) => ThresholdStatus::Failed,
    };
    ThresholdResult {
        threshold: threshold.source.clone(),
        status,
        measured,
        measured_text: measured.map_or_else(|| "no samples".to_owned(), |value| for_people(threshold, value)),
        limit: threshold.limit,
    }
}

impl ThresholdResult {
    /// The result of a threshold that has nothing to look at: `why` says for whom.
    #[must_use]
    pub fn without_samples(threshold: String, why: String) -> Self {
        Self { threshold, status: ThresholdStatus::NoSamples, measured: None, measured_text: why, limit: 0.0 }
    }
}

fn holds(value: f64, comparison: Comparison, limit: f64) -> bool {
    match comparison {
        Comparison::Below => value < limit,
        Comparison::AtMost => value <= limit,
        Comparison::Above => value > limit,
        Comparison::AtLeast => value >= limit,
        Comparison::Equal => (value - limit).abs() < 1e-9,
        Comparison::NotEqual => (value - limit).abs() >= 1e-9,
    }
}

fn measure(threshold: &Threshold, tally: &Tally, elapsed_s: f64) -> Option<f64> {
    let per_second = |count: u64| (elapsed_s > 0.0).then(|| count as f64 / elapsed_s);
    let counted = |count: u64| {
        // A group in which no client has started has counted nothing, not zero.
        let began = tally.counter(Counter::ClientsStarted) > 0;
        began.then_some(count).and_then(|count| match threshold.aggregate {
            Aggregate::Rate => per_second(count),
            _ => Some(count as f64),
        })
    };
    match threshold.subject {
        Subject::Attempts => counted(tally.attempts_total()),
        Subject::Counter(counter) => counted(tally.counter(counter)),
        Subject::Share(share) => {
            let (part, whole) = share_of(share, tally);
            (whole > 0).then(|| part as f64 / whole as f64)
        }
        Subject::Metric(metric) => {
            let histogram = tally.histograms.get(&metric).filter(|histogram| histogram.count() > 0)?;
            let value = match threshold.aggregate {
                Aggregate::Rate => return per_second(histogram.count()),
                Aggregate::Percentile(percentile) => histogram.percentile_us(percentile) as f64,
                Aggregate::Min => histogram.min_us() as f64,
                Aggregate::Mean => histogram.mean_us(),
                Aggregate::Max => histogram.max_us() as f64,
                Aggregate::Count => histogram.count() as f64,
            };
            Some(value)
        }
    }
}

/// Numerator and denominator of a share.
#[must_use]
pub fn share_of(share: ShareOf, tally: &Tally) -> (u64, u64) {
    let about_target = tally.attempts_where(|_, outcome, _| outcome.is_about_target());
    let answered = tally.attempts_where(|_, outcome, _| outcome.is_answered());
    match share {
        ShareOf::Handshake403 => (tally.outcome(Outcome::Http403), answered),
        ShareOf::Handshake401 => (tally.outcome(Outcome::Http401), answered),
        ShareOf::Handshake429 => (tally.outcome(Outcome::Http429), answered),
        ShareOf::Handshake5xx => (tally.outcome(Outcome::Http5xx), answered),
        ShareOf::Refusal => (tally.attempts_where(|_, outcome, _| outcome.is_refusal()), answered),
        ShareOf::Admission => (tally.outcome(Outcome::Ok), answered),
        ShareOf::AttemptFailure => (about_target - tally.outcome(Outcome::Ok), about_target),
        ShareOf::LocalLimit => (tally.outcome(Outcome::LocalLimit), tally.attempts_total()),
        ShareOf::ReconnectSuccess => {
            let back = tally.counter(Counter::Reconnects);
            (back, back + tally.counter(Counter::ReconnectsGivenUp))
        }
    }
}

fn for_people(threshold: &Threshold, value: f64) -> String {
    match (threshold.subject, threshold.aggregate) {
        (_, Aggregate::Count) => format_count(value as u64),
        (Subject::Metric(_) | Subject::Counter(_) | Subject::Attempts, Aggregate::Rate) => {
            format!("{value:.1}/s")
        }
        (Subject::Metric(metric), _) if metric.is_time() => format_us(value as u64),
        (Subject::Share(_), _) => format_share(value),
        _ => format!("{value:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sample::{AttemptEnd, AttemptKind, Cause, Metric, Sample};

    fn threshold(subject: Subject, aggregate: Aggregate, comparison: Comparison, limit: f64) -> Threshold {
        Threshold {
            subject,
            group: None,
            aggregate,
            comparison,
            limit,
            abort_after: None,
            source: "t".into(),
        }
    }

    fn tally() -> Tally {
        let mut tally = Tally::default();
        tally.apply(&Sample::Count(Counter::ClientsStarted, 1));
        for n in 0..10 {
            let outcome = if n == 0 { Outcome::Http403 } else { Outcome::Ok };
            let cause = (n == 0).then_some(Cause::StaleToken);
            let latency = Duration::from_millis(n);
            tally.apply(&Sample::Attempt(AttemptEnd {
                kind: AttemptKind::First,
                outcome,
                cause,
                latency,
                token_age: None,
                answer: None,
            }));
            tally.apply(&Sample::Lag(Duration::from_millis(n + 1)));
        }
        tally
    }

    #[test]
    fn each_subject_is_measured_in_its_unit() {
        let rows = [
            (Subject::Share(ShareOf::Handshake403), Aggregate::Rate, 0.1),
            (Subject::Share(ShareOf::AttemptFailure), Aggregate::Rate, 0.1),
            (Subject::Attempts, Aggregate::Count, 10.0),
            (Subject::Attempts, Aggregate::Rate, 5.0),
            (Subject::Metric(Metric::Lag), Aggregate::Max, 10_007.0),
            (Subject::Metric(Metric::Lag), Aggregate::Count, 10.0),
            (Subject::Metric(Metric::Lag), Aggregate::Rate, 5.0),
            (Subject::Counter(Counter::TokensFetched), Aggregate::Count, 0.0),
        ];
        for (subject, aggregate, expected) in rows {
            let result =
                evaluate(&threshold(subject, aggregate, Comparison::AtLeast, expected), &tally(), 2.0);
            assert_eq!(result.status, ThresholdStatus::Passed, "{subject:?} {aggregate:?} {result:?}");
            let above = evaluate(&threshold(subject, aggregate, Comparison::Above, expected), &tally(), 2.0);
            assert_eq!(above.status, ThresholdStatus::Failed, "{subject:?} {above:?}");
        }
    }

    #[test]
    fn without_a_sample_nothing_passes() {
        for subject in [
            Subject::Metric(Metric::ReconnectLatency),
            Subject::Share(ShareOf::ReconnectSuccess),
            Subject::Share(ShareOf::Handshake403),
            Subject::Attempts,
        ] {
            let aggregate =
                if matches!(subject, Subject::Metric(_)) { Aggregate::Max } else { Aggregate::Rate };
            let result =
                evaluate(&threshold(subject, aggregate, Comparison::Below, 1e9), &Tally::default(), 2.0);
            assert_eq!(result.status, ThresholdStatus::NoSamples, "{subject:?}");
        }
    }
}
