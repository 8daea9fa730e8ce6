//! Exchanges, streams and kinds in `run.json`.
//!
//! In: a run. Out: typed structs that serialize to the file.

use schemars::JsonSchema;
use serde::Serialize;

use crate::record::{Latencies, Quantile};

use super::blind::{BlindRow, after, storms};
use super::model::RunModel;
use super::recovery::RecoveryStep;
use super::talk::{exchanges, kinds, streams};

/// Places of a curve, at most and one more.
const CURVE_PLACES: usize = 20;

/// Messages and their replies.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ExchangeJson<'m> {
    /// The group.
    group: &'m str,
    /// Its name.
    exchange: String,
    /// Messages that were sent: the sum of the five that follow.
    sent: u64,
    /// Replies as they should be.
    ok: u64,
    /// Replies whose checks failed.
    failed_checks: u64,
    /// Messages without a reply in time.
    timeouts: u64,
    /// Messages whose session ended before.
    cut_off: u64,
    /// Messages that still waited when the run ended.
    unfinished: u64,
    /// Replies that nobody waited for.
    unexpected: u64,
    /// The most that waited at once, at one client.
    most_in_flight: u64,
    /// From when a message was due to its reply; null where none came.
    latency: Option<TimesJson>,
    /// The same of replies that were not as they should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_latency: Option<TimesJson>,
}

/// Messages with numbers or times.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct StreamJson<'m> {
    /// The group.
    group: &'m str,
    /// Its name.
    stream: String,
    /// Messages of it.
    messages: u64,
    /// Messages that were left out within sessions and never came.
    missed: u64,
    /// Messages that were left out while clients were away and never came.
    missed_away: u64,
    /// Messages that came out of order.
    late: u64,
    /// Messages that came twice.
    duplicates: u64,
    /// Times that the numbers began anew.
    restarts: u64,
    /// Messages without a number, where one is looked for.
    unnumbered: u64,
    /// Messages of keys beyond those that a client keeps.
    beyond: u64,
    /// Keys that clients met.
    keys: u64,
    /// Whether the least difference of the clocks is taken for none.
    relative: bool,
    /// The least difference of the clocks, ours less the sender's; null where no message has a time.
    least_us: Option<i64>,
    /// How many differences are below zero.
    below_zero: u64,
    /// How long messages took; null where none has a time, and where some differences are below zero and `relative` is not set.
    latency: Option<TimesJson>,
    /// From a disconnect to the first new message after it; null where there was none.
    blind_time: Option<TimesJson>,
    /// The same after each storm, and after what no storm forced: which share was still blind when. Only where the scenario has streams and somebody was cut off.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    blind_after: Vec<BlindAfterJson>,
}

/// How long clients knew nothing new after a storm; each key that a client follows counts by itself.
#[derive(Debug, Serialize, JsonSchema)]
struct BlindAfterJson {
    /// Index into the storms; null: no storm forced the disconnects.
    storm: Option<usize>,
    /// How many were cut off.
    cut_off: u64,
    /// How many heard something new.
    heard: u64,
    /// How many were still blind when the run ended.
    still_blind: u64,
    /// How many gave up coming back.
    given_up: u64,
    /// Until half of them heard something new; null: longer than was seen, as the next ones.
    p50_us: Option<u64>,
    p95_us: Option<u64>,
    p99_us: Option<u64>,
    /// The share that was still blind by the time since the disconnect (Kaplan-Meier); some 20 places at most.
    curve: Vec<StillBlindJson>,
}

/// A place of a blind curve.
#[derive(Debug, Serialize, JsonSchema)]
struct StillBlindJson {
    /// Microseconds since the disconnect.
    time_us: u64,
    /// The share (0..1) that knew nothing new yet.
    still_blind: f64,
}

impl BlindAfterJson {
    fn of(row: &BlindRow<'_>) -> Self {
        let seen = |share: f64| row.curve.time_to_us(share).and_then(Quantile::seen_us);
        Self {
            storm: row.curve.storm,
            cut_off: row.curve.disconnects,
            heard: row.own.seen.count(),
            still_blind: row.own.open.count(),
            given_up: row.own.given_up,
            p50_us: seen(0.5),
            p95_us: seen(0.95),
            p99_us: seen(0.99),
            curve: blind_curve(row),
        }
    }
}

fn blind_curve(row: &BlindRow<'_>) -> Vec<StillBlindJson> {
    let steps = row.curve.steps();
    let every = steps.len().div_ceil(CURVE_PLACES).max(1);
    let last = steps.last().filter(|_| !(steps.len().saturating_sub(1)).is_multiple_of(every));
    let told = |step: &RecoveryStep| StillBlindJson { time_us: step.time_us, still_blind: 1.0 - step.share };
    steps.iter().step_by(every).chain(last).map(told).collect()
}

/// Messages of a kind.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct KindJson<'m> {
    /// The group.
    group: &'m str,
    /// The word in them; `(none)`: it could not be told, `other`: all the less frequent.
    kind: String,
    /// How many.
    count: u64,
    /// How many in a second of the run.
    rate_per_s: f64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct TimesJson {
    count: u64,
    min_us: u64,
    mean_us: f64,
    p50_us: u64,
    p90_us: u64,
    p99_us: u64,
    p99_9_us: u64,
    max_us: u64,
}

impl TimesJson {
    fn of(latencies: &Latencies) -> Option<Self> {
        let percentile = |percentile| latencies.percentile_us(percentile);
        (latencies.count() > 0).then(|| Self {
            count: latencies.count(),
            min_us: latencies.min_us(),
            mean_us: latencies.mean_us(),
            p50_us: percentile(50.0),
            p90_us: percentile(90.0),
            p99_us: percentile(99.0),
            p99_9_us: percentile(99.9),
            max_us: latencies.max_us(),
        })
    }
}

pub(super) fn exchanges_json(model: &RunModel) -> Vec<ExchangeJson<'_>> {
    let rows = exchanges(model).into_iter().map(|row| {
        let counts = row.own.counts;
        ExchangeJson {
            group: row.group,
            exchange: row.name,
            sent: counts.sent,
            ok: counts.ok,
            failed_checks: counts.failed_checks,
            timeouts: counts.timeouts,
            cut_off: counts.cut_off,
            unfinished: counts.unfinished,
            unexpected: counts.unexpected,
            most_in_flight: counts.most_in_flight,
            latency: TimesJson::of(&row.own.latencies),
            failed_latency: TimesJson::of(&row.own.failed),
        }
    });
    rows.collect()
}

pub(super) fn streams_json(model: &RunModel) -> Vec<StreamJson<'_>> {
    let blind: Vec<BlindRow<'_>> = storms(model).flat_map(|storm| after(model, storm)).collect();
    let rows = streams(model).into_iter().enumerate().map(|(index, row)| {
        let counts = row.own.counts;
        StreamJson {
            group: row.group,
            stream: row.name,
            messages: counts.messages,
            missed: counts.missed(),
            missed_away: counts.missed_away(),
            late: counts.late,
            duplicates: counts.duplicates,
            restarts: counts.restarts,
            unnumbered: counts.unnumbered,
            beyond: counts.beyond,
            keys: counts.keys,
            relative: row.is_relative,
            least_us: row.own.differences.least_us(),
            below_zero: row.own.differences.below_zero,
            latency: row.latencies.as_ref().and_then(TimesJson::of),
            blind_time: TimesJson::of(&row.own.blind),
            blind_after: blind.iter().filter(|blind| blind.index == index).map(BlindAfterJson::of).collect(),
        }
    });
    rows.collect()
}

pub(super) fn kinds_json(model: &RunModel) -> Vec<KindJson<'_>> {
    let rows = kinds(model).into_iter();
    rows.map(|row| KindJson { group: row.group, kind: row.kind, count: row.count, rate_per_s: row.rate })
        .collect()
}
