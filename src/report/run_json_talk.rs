//! Exchanges, streams and kinds in `run.json`.
//!
//! In: a run. Out: typed structs that serialize to the file.

use schemars::JsonSchema;
use serde::Serialize;

use crate::record::Latencies;

use super::model::RunModel;
use super::talk::{exchanges, kinds, streams};

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
    let rows = streams(model).into_iter().map(|row| {
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
        }
    });
    rows.collect()
}

pub(super) fn kinds_json(model: &RunModel) -> Vec<KindJson<'_>> {
    let rows = kinds(model).into_iter();
    rows.map(|row| KindJson { group: row.group, kind: row.kind, count: row.count, rate_per_s: row.rate })
        .collect()
}
