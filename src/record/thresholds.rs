//! Thresholds against totals.
//!
//! In: a threshold, the tallies of the groups that it looks at, the time that the run took. Out: what was measured, and whether it holds. A threshold without
//! a sample neither passes nor fails: the run is not valid. But where clients were cut off and nobody came back, that is the sample, and it fails.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Moment;
use crate::sample::{Counter, Metric, Outcome};
use crate::scenario::keys::{
    Aggregate, Comparison, ExchangeOf, OutageOf, ShareOf, StreamOf, Subject, Threshold,
};
use crate::units::{format_availability, format_count, format_share, format_us};

use super::availability::Share;
use super::histogram::Latencies;
use super::reconnects::{Reconnects, success_of};
use super::survival::Quantile;
use super::tally::{Tally, merge_all};

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
    /// What was measured: microseconds, a share 0..1, a count, or a rate per second; `None` without samples, and where it lies beyond what was seen.
    pub measured: Option<f64>,
    /// What it is longer than, where it lies beyond what was seen: too many clients are still away, or gave up.
    #[serde(default)]
    pub beyond: Option<f64>,
    /// The same for people.
    pub measured_text: String,
    /// The limit, in the same unit.
    pub limit: f64,
}

/// What a threshold finds.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Found {
    Value(f64),
    /// Longer than this.
    Beyond(f64),
    /// It never comes: too many gave up; it is longer than this.
    Never(f64),
    /// Clients were cut off, and none came back to be measured: how long they had been away at least, and the words for it.
    NobodyBack(Option<f64>, String),
    Nothing,
}

/// How long a run was.
#[derive(Debug, Clone, Copy)]
pub struct RunTime {
    /// From its start to its last sample, in seconds.
    pub elapsed_s: f64,
    /// Until when clients were wanted in that were not told otherwise.
    pub until: Moment,
}

impl From<f64> for RunTime {
    /// One under way for so many seconds.
    fn from(elapsed_s: f64) -> Self {
        let elapsed = Duration::try_from_secs_f64(elapsed_s.max(0.0)).unwrap_or_default();
        Self { elapsed_s, until: Moment::ZERO + elapsed }
    }
}

/// Evaluates `threshold` on the tallies of the groups that it looks at. One on outages, exchanges or streams has nothing to look at here.
#[must_use]
pub fn evaluate(threshold: &Threshold, groups: &[&Tally], time: impl Into<RunTime>) -> ThresholdResult {
    result(threshold, &measure(threshold, groups, time.into()))
}

/// What came of a threshold.
pub(super) fn result(threshold: &Threshold, found: &Found) -> ThresholdResult {
    let holds = match found {
        Found::Value(value) => holds(*value, threshold.comparison, threshold.limit),
        Found::Beyond(least) | Found::Never(least) | Found::NobodyBack(Some(least), _) => {
            holds_beyond(*least, threshold.comparison, threshold.limit)
        }
        Found::NobodyBack(None, _) | Found::Nothing => false,
    };
    let status = match found {
        Found::Nothing => ThresholdStatus::NoSamples,
        _ if holds => ThresholdStatus::Passed,
        _ => ThresholdStatus::Failed,
    };
    let measured_text = match found {
        Found::Value(value) => for_people(threshold, *value),
        Found::Beyond(least) => Quantile::Beyond(*least as u64).words(),
        Found::Never(least) => Quantile::Never(*least as u64).words(),
        Found::NobodyBack(_, words) => words.clone(),
        Found::Nothing => "no samples".to_owned(),
    };
    let (measured, beyond) = match found {
        Found::Value(value) => (Some(*value), None),
        Found::Beyond(least) | Found::Never(least) => (None, Some(*least)),
        Found::NobodyBack(least, _) => (None, *least),
        Found::Nothing => (None, None),
    };
    ThresholdResult {
        threshold: threshold.source.clone(),
        status,
        measured,
        beyond,
        measured_text,
        limit: threshold.limit,
    }
}

impl ThresholdResult {
    /// The result of a threshold that has nothing to look at: `why` says for whom.
    #[must_use]
    pub fn without_samples(threshold: String, why: String) -> Self {
        Self {
            threshold,
            status: ThresholdStatus::NoSamples,
            measured: None,
            beyond: None,
            measured_text: why,
            limit: 0.0,
        }
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

/// Whether a value that is longer than `least` holds: only where every such value does.
fn holds_beyond(least: f64, comparison: Comparison, limit: f64) -> bool {
    matches!(comparison, Comparison::Above | Comparison::AtLeast | Comparison::NotEqual) && least >= limit
}

fn measure(threshold: &Threshold, groups: &[&Tally], time: RunTime) -> Found {
    let merged;
    let tally = match groups {
        [one] => *one,
        several => {
            merged = merge_all(several.iter().copied());
            &merged
        }
    };
    let value = match threshold.subject {
        // Each group's by its own reconnects.
        Subject::Share(ShareOf::ReconnectSuccess) => ratio(success_of(groups.iter().copied())),
        Subject::Metric(metric) if is_of_reconnects(metric) => {
            return measure_reconnects(metric, threshold.aggregate, tally);
        }
        Subject::Availability => Share::of(&tally.presence, time.until).share(),
        _ => measure_value(threshold, tally, time.elapsed_s),
    };
    value.map_or(Found::Nothing, Found::Value)
}

pub(super) fn ratio((part, whole): (u64, u64)) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Whether it is measured of every reconnect that is completed, or that is not.
const fn is_of_reconnects(metric: Metric) -> bool {
    matches!(
        metric,
        Metric::ReconnectLatency
            | Metric::ReconnectAway
            | Metric::ReconnectServiceTime
            | Metric::PhaseDetect
            | Metric::PhaseBackoff
            | Metric::PhaseToken
            | Metric::PhaseDns
            | Metric::PhaseTcp
            | Metric::PhaseTls
            | Metric::PhaseUpgrade
            | Metric::PhaseReady
            | Metric::PhaseMint
    )
}

/// The latency knows of those who are still away and of those who gave up. Service time and phases are of those who came back, the time away of those who
/// did not: nobody away is no time away.
fn measure_reconnects(metric: Metric, aggregate: Aggregate, tally: &Tally) -> Found {
    let reconnects = Reconnects::of(tally);
    let histogram = tally.histograms.get(&metric).filter(|histogram| histogram.count() > 0);
    let Some(histogram) = histogram else {
        return match (aggregate, reconnects.nobody_came_back()) {
            _ if reconnects.wanted() == 0 => Found::Nothing,
            (Aggregate::Count, _) => Found::Value(0.0),
            (aggregate, Some(words)) if metric != Metric::ReconnectAway => {
                let is_bound = metric == Metric::ReconnectLatency && aggregate != Aggregate::Min;
                let least = reconnects.longest_away_us.filter(|_| is_bound);
                Found::NobodyBack(least.map(|us| us as f64), words)
            }
            _ => Found::Value(0.0),
        };
    };
    let is_whole = reconnects.survival.population() == histogram.count();
    let estimate = match aggregate {
        _ if is_whole || metric != Metric::ReconnectLatency => None,
        Aggregate::Percentile(percentile) => reconnects.percentile(percentile),
        Aggregate::Max => reconnects.percentile(100.0),
        Aggregate::Mean => reconnects.survival.mean_us(),
        Aggregate::Min | Aggregate::Count | Aggregate::Rate => None,
    };
    match estimate {
        Some(Quantile::Beyond(least)) => Found::Beyond(least as f64),
        Some(Quantile::Never(least)) => Found::Never(least as f64),
        Some(Quantile::At(us)) => Found::Value(us as f64),
        None => Found::Value(of_histogram(histogram, aggregate)),
    }
}

pub(super) fn of_histogram(histogram: &Latencies, aggregate: Aggregate) -> f64 {
    match aggregate {
        Aggregate::Percentile(percentile) => histogram.percentile_us(percentile) as f64,
        Aggregate::Min => histogram.min_us() as f64,
        Aggregate::Mean => histogram.mean_us(),
        Aggregate::Max => histogram.max_us() as f64,
        Aggregate::Count | Aggregate::Rate => histogram.count() as f64,
    }
}

fn measure_value(threshold: &Threshold, tally: &Tally, elapsed_s: f64) -> Option<f64> {
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
        Subject::Share(share) => ratio(share_of(share, tally)),
        Subject::Availability | Subject::Outage(_) | Subject::Exchange(_) | Subject::Stream(_) => None,
        Subject::Metric(metric) => {
            let histogram = tally.histograms.get(&metric).filter(|histogram| histogram.count() > 0);
            match (histogram, threshold.aggregate) {
                (None, Aggregate::Count) => counted(0),
                (histogram, Aggregate::Rate) => per_second(histogram?.count()),
                (histogram, aggregate) => Some(of_histogram(histogram?, aggregate)),
            }
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
        ShareOf::ReconnectSuccess => Reconnects::of(tally).success(),
    }
}

fn for_people(threshold: &Threshold, value: f64) -> String {
    match (threshold.subject, threshold.aggregate) {
        (_, Aggregate::Count) => format_count(value as u64),
        (Subject::Metric(_) | Subject::Counter(_) | Subject::Attempts, Aggregate::Rate) => {
            format!("{value:.1}/s")
        }
        (Subject::Metric(metric), _) if metric.is_time() => format_us(value as u64),
        (Subject::Share(_) | Subject::Exchange(ExchangeOf::FailureRate), _) => format_share(value),
        (Subject::Exchange(ExchangeOf::Latency), _)
        | (Subject::Stream(StreamOf::Latency | StreamOf::BlindTime), _)
        | (Subject::Outage(OutageOf::Recovery(_)), _) => format_us(value as u64),
        (Subject::Exchange(_) | Subject::Stream(_), _) => format!("{value:.1}/s"),
        (Subject::Availability, _) => format_availability(value),
        _ => format!("{value:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{AttemptEnd, AttemptKind, AwaySample, Cause, Phases, ReadySample, Sample};
    use crate::scenario::parse_threshold;

    fn threshold(subject: Subject, aggregate: Aggregate, comparison: Comparison, limit: f64) -> Threshold {
        Threshold {
            subject,
            group: None,
            part: None,
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
                evaluate(&threshold(subject, aggregate, Comparison::AtLeast, expected), &[&tally()], 2.0);
            assert_eq!(result.status, ThresholdStatus::Passed, "{subject:?} {aggregate:?} {result:?}");
            let above =
                evaluate(&threshold(subject, aggregate, Comparison::Above, expected), &[&tally()], 2.0);
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
                evaluate(&threshold(subject, aggregate, Comparison::Below, 1e9), &[&Tally::default()], 2.0);
            assert_eq!(result.status, ThresholdStatus::NoSamples, "{subject:?}");
        }
    }

    /// Clients that were cut off: how many came back after 100 ms, how many had been away for 5 s, how many gave up.
    fn cut_off(back: u64, away: u64, given_up: u64) -> Tally {
        let mut tally = Tally::default();
        let (kind, phases) = (AttemptKind::Reconnect, Phases::default());
        let latency = Duration::from_millis(100);
        let ready = ReadySample { kind, storm: None, latency, service_time: latency, phases };
        tally.apply(&Sample::Count(Counter::ClientsStarted, back + away + given_up));
        (0..back).for_each(|_| tally.apply(&Sample::Ready(Box::new(ready))));
        for _ in 0..away {
            tally.apply(&Sample::Count(Counter::ReconnectsUnfinished, 1));
            tally.apply(&Sample::Away(AwaySample { storm: None, away: Duration::from_secs(5) }));
        }
        tally.apply(&Sample::Count(Counter::ReconnectsGivenUp, given_up));
        tally
    }

    #[test]
    fn who_is_still_away_is_not_left_out() {
        use ThresholdStatus::{Failed, NoSamples, Passed};
        let (some, all_away, mixed, gone, whole, none) = (
            cut_off(2, 18, 0),
            cut_off(0, 18, 0),
            cut_off(99, 1, 0),
            cut_off(0, 0, 3),
            cut_off(10, 0, 0),
            cut_off(0, 0, 0),
        );
        let nobody = "nobody came back: 18 of 18 away";
        for (tally, source, status, text) in [
            (&some, "reconnect_latency: p(99) < 2s", Failed, "> 5.00 s"),
            (&some, "reconnect_latency: p(99) <= 1m", Failed, "> 5.00 s"),
            (&some, "reconnect_latency: p(99) == 5s", Failed, "> 5.00 s"),
            (&some, "reconnect_latency: p(99) > 2s", Passed, "> 5.00 s"),
            (&some, "reconnect_latency: p(99) >= 2s", Passed, "> 5.00 s"),
            (&some, "reconnect_latency: p(99) != 2s", Passed, "> 5.00 s"),
            (&some, "reconnect_latency: p(99) > 6s", Failed, "> 5.00 s"),
            (&some, "reconnect_latency: p(10) < 2s", Passed, "100 ms"),
            (&some, "reconnect_latency: max < 2s", Failed, "> 5.00 s"),
            (&some, "reconnect_latency: mean < 2s", Failed, "> 4.51 s"),
            (&some, "reconnect_latency: min < 2s", Passed, "100.0 ms"),
            (&some, "reconnect_latency: count == 2", Passed, "2"),
            (&some, "reconnect_service_time: p(99) < 2s", Passed, "100 ms"),
            (&some, "reconnect_success_rate: rate == 100%", Failed, "10.0%"),
            (&some, "reconnect_away: max < 2s", Failed, "5.00 s"),
            (&mixed, "reconnect_latency: p(99) < 2s", Passed, "100 ms"),
            (&mixed, "reconnect_latency: p(99.9) < 2s", Failed, "> 5.00 s"),
            (&all_away, "reconnect_latency: p(50) < 2s", Failed, nobody),
            (&all_away, "reconnect_latency: p(50) > 2s", Passed, nobody),
            (&all_away, "reconnect_latency: min > 2s", Failed, nobody),
            (&all_away, "phase_backoff: p(50) < 2s", Failed, nobody),
            (&all_away, "phase_backoff: p(50) > 2s", Failed, nobody),
            (&all_away, "reconnect_latency: count == 0", Passed, "0"),
            (&all_away, "reconnect_success_rate: rate > 0%", Failed, "0.0%"),
            (&gone, "reconnect_latency: p(50) > 2s", Failed, "nobody came back: 3 of 3 given up"),
            (&whole, "reconnect_away: max < 2s", Passed, "0 µs"),
            (&whole, "reconnect_latency: mean < 2s", Passed, "100 ms"),
            (&none, "reconnect_latency: p(50) < 2s", NoSamples, "no samples"),
            (&none, "reconnect_away: max < 2s", NoSamples, "no samples"),
            (&none, "reconnect_success_rate: rate > 0%", NoSamples, "no samples"),
            (&whole, "connect_latency: count == 0", Passed, "0"),
            (&whole, "connect_latency: p(50) < 1s", NoSamples, "no samples"),
        ] {
            let result = evaluate(&parse_threshold(source).unwrap(), &[tally], 10.0);
            assert_eq!((result.status, result.measured_text.as_str()), (status, text), "{source}");
            let is_beyond = result.measured.is_none() && status != NoSamples && text.starts_with('>');
            assert_eq!(result.beyond.is_some() && text.starts_with('>'), is_beyond, "{source}: {result:?}");
        }
    }
}
