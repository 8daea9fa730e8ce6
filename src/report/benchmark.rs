//! The numbers of a run as `customSmallerIsBetter` JSON, which github-action-benchmark and its kin keep a history of.
//!
//! In: a run. Out: a JSON array: name, unit, value, where it means something a range, and where they are from. Only numbers of which less is better.

use serde::Serialize;

use crate::record::{Latencies, Quantile, Tally, Times};
use crate::sample::{AttemptKind, Counter, Metric, Outcome};

use super::model::RunModel;

/// One number of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BenchmarkEntry {
    /// `<scenario> / <group> / <what>`: the same in every run of the scenario.
    name: String,
    /// `ms`, `%` or a word.
    unit: &'static str,
    /// The number; less is better.
    value: f64,
    /// The standard deviation, beside a mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    range: Option<String>,
    /// How many values it is of, and the run's verdict.
    extra: String,
}

/// The numbers of a run, group by group, then the generator's own. What was not measured is not there.
#[must_use]
pub fn benchmark_entries(model: &RunModel) -> Vec<BenchmarkEntry> {
    let mut entries = Vec::new();
    for (name, tally) in model.groups() {
        let mut rows = latency_rows(tally);
        rows.extend(share_rows(tally));
        entries.extend(rows.into_iter().map(|row| row.into_entry(model, name)));
    }
    if let Some(end) = model.end.as_ref().filter(|_| model.manifest.simulated.is_none()) {
        let lag =
            Row::new("generator lag p99", "ms", ms(end.health.lag_p99_us), "how late resurge itself was");
        entries.push(lag.into_entry(model, "all"));
    }
    entries
}

struct Row {
    what: String,
    unit: &'static str,
    value: f64,
    range: Option<String>,
    of: String,
}

impl Row {
    fn new(what: &str, unit: &'static str, value: f64, of: &str) -> Self {
        Self { what: what.to_owned(), unit, value, range: None, of: of.to_owned() }
    }

    fn into_entry(self, model: &RunModel, group: &str) -> BenchmarkEntry {
        let Self { what, unit, value, range, of } = self;
        let name = format!("{} / {group} / {what}", model.manifest.scenario);
        let way = if model.manifest.simulated.is_some() { ", simulated" } else { "" };
        let extra = format!("{of}; run: {}{way}", model.verdict.status.title());
        BenchmarkEntry { name, unit, value, range, extra }
    }
}

fn ms(us: u64) -> f64 {
    us as f64 / 1e3
}

fn latency_rows(tally: &Tally) -> Vec<Row> {
    let mut rows = Vec::new();
    for metric in [Metric::ReconnectLatency, Metric::ConnectLatency] {
        let Some(times) = Times::of(tally, metric) else { continue };
        let of = format!("{} values", times.recorded.map_or(0, Latencies::count));
        for (label, percentile) in [("p50", 50.0), ("p95", 95.0), ("p99", 99.0), ("max", 100.0)] {
            let Some(time) = times.percentile(percentile) else { continue };
            let of = match time {
                Quantile::At(_) => of.clone(),
                // The longest that was seen: what is not there would look like nothing to worry about.
                Quantile::Beyond(_) => {
                    format!("{of}, and longer than this: clients are still away")
                }
                Quantile::Never(_) => format!("{of}, and never: too many clients gave up"),
            };
            rows.push(Row::new(&format!("{metric} {label}"), "ms", ms(time.least_us()), &of));
        }
        rows.extend(times.recorded.map(|recorded| mean_row(metric, recorded, &of)));
    }
    rows
}

fn mean_row(metric: Metric, histogram: &Latencies, of: &str) -> Row {
    let mut row = Row::new(&format!("{metric} mean"), "ms", histogram.mean_us() / 1e3, of);
    row.range = Some(format!("± {:.3}", histogram.stddev_us() / 1e3));
    row
}

fn share_rows(tally: &Tally) -> Vec<Row> {
    let per = |part: u64, whole: u64, scale: f64| (whole > 0).then(|| part as f64 * scale / whole as f64);
    let refused = tally.outcome(Outcome::Http403);
    let reconnects = |wanted: &dyn Fn(Outcome) -> bool| {
        tally.attempts_where(|kind, outcome, _| kind == AttemptKind::Reconnect && wanted(outcome))
    };
    // Over the handshakes that were answered, as the threshold of this name has it.
    let answered = tally.attempts_where(|_, outcome, _| outcome.is_answered());
    let back = tally.counter(Counter::Reconnects);
    let (missed, outages) = (tally.counter(Counter::MessagesMissed), tally.counter(Counter::OutagesMeasured));
    let tried = reconnects(&|_| true);
    let rows = [
        (
            "handshake_403_rate",
            "%",
            per(refused, answered, 100.0),
            format!("{refused} of {answered} handshakes"),
        ),
        (
            "attempts per reconnect",
            "attempts",
            per(tried, back, 1.0),
            format!("{tried} for {back} reconnects"),
        ),
        (
            "tokens per reconnect",
            "tokens",
            per(tally.counter(Counter::TokensForReconnects), back, 1.0),
            format!("for {back} reconnects"),
        ),
        ("missed messages per outage", "messages", per(missed, outages, 1.0), format!("{outages} outages")),
    ];
    let measured =
        rows.into_iter().filter_map(|(what, unit, value, of)| Some(Row::new(what, unit, value?, &of)));
    measured.collect()
}
