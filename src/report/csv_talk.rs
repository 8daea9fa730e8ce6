//! `exchanges.csv`, `streams.csv` and `kinds.csv`: what clients said and heard by their groups' rules.
//!
//! In: a run. Out: text, with the headers that `docs/src/results/csv.md` states; times in microseconds.

use crate::record::Latencies;

use super::csv_files::{CsvResult, write_rows};
use super::model::RunModel;
use super::talk::{exchanges, kinds, streams};

/// `exchanges.csv`: messages and their replies, by group and exchange.
///
/// # Errors
/// Only when memory cannot be written.
pub fn exchanges_csv(model: &RunModel) -> CsvResult {
    let header = [
        "group",
        "exchange",
        "sent",
        "ok",
        "failed_checks",
        "timeouts",
        "cut_off",
        "unfinished",
        "unexpected",
        "most_in_flight",
        "count",
        "min_us",
        "mean_us",
        "p50_us",
        "p90_us",
        "p99_us",
        "p99_9_us",
        "max_us",
        "failed_p50_us",
        "failed_p99_us",
        "failed_max_us",
    ];
    let rows = exchanges(model).into_iter().map(|row| {
        let mut cells = vec![row.group.to_owned(), row.name];
        cells.extend(row.own.counts.all().map(|number| number.to_string()));
        cells.extend(times(Some(&row.own.latencies), true));
        let failed = Some(&row.own.failed).filter(|failed| failed.count() > 0);
        let told =
            |of: &dyn Fn(&Latencies) -> u64| failed.map_or_else(String::new, |failed| of(failed).to_string());
        cells.extend([50.0, 99.0].map(|percentile| told(&|failed| failed.percentile_us(percentile))));
        cells.push(told(&Latencies::max_us));
        cells
    });
    write_rows(&header, rows)
}

/// `streams.csv`: messages with numbers or times, by group and stream.
///
/// # Errors
/// Only when memory cannot be written.
pub fn streams_csv(model: &RunModel) -> CsvResult {
    let header = [
        "group",
        "stream",
        "messages",
        "missed",
        "missed_away",
        "late",
        "duplicates",
        "restarts",
        "unnumbered",
        "beyond",
        "keys",
        "relative",
        "least_us",
        "below_zero",
        "count",
        "mean_us",
        "p50_us",
        "p90_us",
        "p99_us",
        "p99_9_us",
        "max_us",
        "blind_count",
        "blind_mean_us",
        "blind_p50_us",
        "blind_p90_us",
        "blind_p99_us",
        "blind_p99_9_us",
        "blind_max_us",
    ];
    let rows = streams(model).into_iter().map(|row| {
        let counts = row.own.counts;
        let numbers = [
            counts.messages,
            counts.missed(),
            counts.missed_away(),
            counts.late,
            counts.duplicates,
            counts.restarts,
            counts.unnumbered,
            counts.beyond,
            counts.keys,
        ];
        let mut cells = vec![row.group.to_owned(), row.name];
        cells.extend(numbers.map(|number| number.to_string()));
        let differences = &row.own.differences;
        cells.push(row.is_relative.to_string());
        cells.push(differences.least_us().map_or_else(String::new, |us| us.to_string()));
        cells.push(differences.below_zero.to_string());
        cells.push(differences.count().to_string());
        // Their number is told in any case.
        cells.extend(times(row.latencies.as_ref(), false).into_iter().skip(1));
        cells.extend(times(Some(&row.own.blind), false));
        cells
    });
    write_rows(&header, rows)
}

/// `kinds.csv`: messages by their kind, the most frequent first.
///
/// # Errors
/// Only when memory cannot be written.
pub fn kinds_csv(model: &RunModel) -> CsvResult {
    let rows = kinds(model)
        .into_iter()
        .map(|row| vec![row.group.to_owned(), row.kind, row.count.to_string(), format!("{:.3}", row.rate)]);
    write_rows(&["group", "kind", "count", "rate_per_s"], rows)
}

/// How many, the mean (with the least before it), percentiles and the largest; without values there is but their number.
fn times(latencies: Option<&Latencies>, with_least: bool) -> Vec<String> {
    let count = latencies.map_or(0, Latencies::count);
    let told =
        |of: &dyn Fn(&Latencies) -> String| latencies.filter(|_| count > 0).map_or_else(String::new, of);
    let mut cells = vec![count.to_string()];
    if with_least {
        cells.push(told(&|latencies| latencies.min_us().to_string()));
    }
    cells.push(told(&|latencies| format!("{:.1}", latencies.mean_us())));
    cells.extend(
        [50.0, 90.0, 99.0, 99.9]
            .map(|percentile| told(&|latencies| latencies.percentile_us(percentile).to_string())),
    );
    cells.push(told(&|latencies| latencies.max_us().to_string()));
    cells
}
