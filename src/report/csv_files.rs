//! The CSV files of a run folder.
//!
//! In: a run. Out: text, with the headers that `docs/src/results/csv.md` states; times in microseconds, shares 0..1.

use crate::record::{Latencies, Quantile, Tally, Times};
use crate::sample::{Answer, AttemptKind, Counter, Metric, Outcome};

use super::model::RunModel;

/// The name that stands for all groups together.
pub(super) const ALL: &str = "all";

/// Why a CSV text cannot be made: the writer's memory failed.
pub(super) type CsvResult = Result<String, csv::Error>;

pub(super) fn write_rows(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> CsvResult {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(header)?;
    for row in rows {
        writer.write_record(&row)?;
    }
    let bytes = writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// `summary.csv`: a row for each group and metric with values; then the same for `all` groups together. A percentile of the reconnect latency that lies beyond
/// what was seen is empty; who is still away has columns of that row.
///
/// # Errors
/// Only when memory cannot be written.
pub fn summary_csv(model: &RunModel) -> CsvResult {
    let header = [
        "group",
        "metric",
        "count",
        "min_us",
        "mean_us",
        "stddev_us",
        "p50_us",
        "p75_us",
        "p90_us",
        "p95_us",
        "p99_us",
        "p99_9_us",
        "p99_99_us",
        "max_us",
        "away",
        "longest_away_us",
    ];
    let rows = model.groups().chain([(ALL, &model.all)]).flat_map(|(name, tally)| summary_rows(name, tally));
    write_rows(&header, rows)
}

fn summary_rows(name: &str, tally: &Tally) -> Vec<Vec<String>> {
    let times = Metric::ALL.iter().filter(|metric| metric.is_time());
    let measured = times.filter_map(|metric| Some((*metric, Times::of(tally, *metric)?)));
    measured.map(|(metric, times)| summary_row(name, metric, &times)).collect()
}

fn summary_row(name: &str, metric: Metric, times: &Times<'_>) -> Vec<String> {
    let number = |value: Option<u64>| value.map_or_else(String::new, |value| value.to_string());
    let recorded = times.recorded;
    let decimal =
        |of: fn(&Latencies) -> f64| recorded.map_or_else(String::new, |values| format!("{:.1}", of(values)));
    let mut row = vec![name.to_owned(), metric.name().to_owned()];
    row.push(recorded.map_or(0, Latencies::count).to_string());
    row.push(number(recorded.map(Latencies::min_us)));
    row.extend([decimal(Latencies::mean_us), decimal(Latencies::stddev_us)]);
    let percentiles = [50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99, 100.0];
    row.extend(
        percentiles.map(|percentile| number(times.percentile(percentile).and_then(Quantile::seen_us))),
    );
    row.push(number(times.away().map(|(away, _)| away)));
    row.push(number(times.away().and_then(|(_, longest_us)| longest_us)));
    row
}

/// `outcomes.csv`: attempts by group, kind, outcome, cause and what was answered; `share` is of the group's attempts of that kind.
///
/// # Errors
/// Only when memory cannot be written.
pub fn outcomes_csv(model: &RunModel) -> CsvResult {
    let rows = model.groups().flat_map(|(name, tally)| {
        let of_kind = |wanted: AttemptKind| tally.attempts_where(|kind, _, _| kind == wanted);
        tally.attempts.iter().map(move |(key, count)| {
            let share = *count as f64 / of_kind(key.kind).max(1) as f64;
            let answer = key.answer.as_deref();
            let told =
                |name: fn(&Answer) -> &'static str| answer.map_or_else(String::new, |a| name(a).to_owned());
            vec![
                name.to_owned(),
                key.kind.name().to_owned(),
                key.outcome.name().to_owned(),
                key.cause.map_or_else(String::new, |cause| cause.name().to_owned()),
                count.to_string(),
                format!("{share:.6}"),
                told(|answer| answer.spoken.name()),
                answer.map_or_else(String::new, Answer::said),
                told(|answer| answer.by.name()),
                if key.cause.is_some() { told(|answer| answer.ground.name()) } else { String::new() },
            ]
        })
    });
    let header =
        ["group", "kind", "outcome", "cause", "count", "share", "where", "said", "answered_by", "ground"];
    write_rows(&header, rows)
}

/// `closes.csv`: sessions' ends by group, initiator and close code, how, and what each side said.
///
/// # Errors
/// Only when memory cannot be written.
pub fn closes_csv(model: &RunModel) -> CsvResult {
    let rows = model.groups().flat_map(|(name, tally)| {
        tally.closes.iter().map(move |(key, count)| {
            vec![
                name.to_owned(),
                key.initiator.name().to_owned(),
                key.code.to_string(),
                count.to_string(),
                key.abnormal.map_or_else(String::new, |how| how.name().to_owned()),
                key.said.to_string(),
            ]
        })
    });
    write_rows(&["group", "initiator", "code", "count", "how", "said"], rows)
}

/// The columns of `timeseries.csv`.
pub(super) const TIMESERIES: [&str; 23] = [
    "second",
    "group",
    "connected",
    "attempts",
    "ok",
    "http_401",
    "http_403",
    "http_429",
    "http_5xx",
    "other_failures",
    "disconnects",
    "tokens_fetched",
    "messages_in",
    "messages_out",
    "bytes_in",
    "bytes_out",
    "reconnect_p50_us",
    "reconnect_p99_us",
    "reconnect_max_us",
    "lag_max_us",
    "clients",
    "clients_started",
    "arrivals_dropped",
];

/// `timeseries.csv`: a row for each second and group.
///
/// # Errors
/// Only when memory cannot be written.
pub fn timeseries_csv(model: &RunModel) -> CsvResult {
    write_rows(&TIMESERIES, timeseries_rows(model).map(|(_, row)| row))
}

/// The rows of `timeseries.csv`, each with its second.
pub(super) fn timeseries_rows(model: &RunModel) -> impl Iterator<Item = (u64, Vec<String>)> + '_ {
    let names: Vec<&str> = model.groups().map(|(name, _)| name).collect();
    let mut levels = vec![(0_i64, 0_i64); names.len()];
    model.unpacked_seconds().flat_map(move |(second, groups)| {
        let of_group = |((name, tally), (open, there)): ((&&str, &Tally), &mut (i64, i64))| {
            *open += tally.counter(Counter::Upgrades) as i64 - tally.closes_total() as i64;
            *there += tally.presence.wanted.net;
            let mut row = timeseries_row(second, name, *open, tally);
            row.push(there.to_string());
            let counters = [Counter::ClientsStarted, Counter::ArrivalsDropped];
            row.extend(counters.map(|counter| tally.counter(counter).to_string()));
            (second, row)
        };
        names.iter().zip(&groups).zip(&mut levels).map(of_group).collect::<Vec<_>>()
    })
}

fn timeseries_row(second: u64, name: &str, connected: i64, tally: &Tally) -> Vec<String> {
    // An admission that is taken back is one less in the second in which that is known.
    let gained = |wanted: Option<Outcome>| {
        tally.attempts_gained(|_, outcome, _| wanted.is_none_or(|wanted| wanted == outcome))
    };
    let wanted =
        [Outcome::Ok, Outcome::Http401, Outcome::Http403, Outcome::Http429, Outcome::Http5xx].map(Some);
    let counted: Vec<i64> = [None].into_iter().chain(wanted).map(gained).collect();
    let named: i64 = counted[1..].iter().sum();
    let counters = [
        Counter::Disconnects,
        Counter::TokensFetched,
        Counter::MessagesIn,
        Counter::MessagesOut,
        Counter::BytesIn,
        Counter::BytesOut,
    ];
    let reconnect = tally.histograms.get(&Metric::ReconnectLatency);
    let percentile = |percentile| reconnect.map_or(0, |histogram| histogram.percentile_us(percentile));
    let lag_max = tally.histograms.get(&Metric::Lag).map_or(0, Latencies::max_us);
    let mut row = vec![second.to_string(), name.to_owned(), connected.to_string()];
    row.extend(counted.iter().map(i64::to_string));
    row.push((counted[0] - named).to_string());
    row.extend(counters.iter().map(|counter| tally.counter(*counter).to_string()));
    row.extend(
        [percentile(50.0), percentile(99.0), reconnect.map_or(0, Latencies::max_us), lag_max]
            .map(|us| us.to_string()),
    );
    row
}
