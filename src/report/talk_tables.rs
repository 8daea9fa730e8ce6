//! Exchanges, streams and kinds as cells: the summary, the Markdown and the page lay out the same ones.
//!
//! In: a run. Out: tables, where the scenario has such. Nothing is escaped here.

use crate::record::Latencies;
use crate::units::{format_count, format_us};

use super::model::RunModel;
use super::tables::Table;
use super::talk::{StreamRow, exchanges, kinds, streams};

/// Rows of a table of kinds: the file has all.
const MOST_KINDS: usize = 40;

/// The tables that there are.
pub(super) fn talk_tables(model: &RunModel) -> Vec<Table> {
    [exchange_table(model), stream_table(model), blind_table(model), kind_table(model)]
        .into_iter()
        .flatten()
        .collect()
}

fn table(title: &'static str, note: &'static str, header: &[&str], rows: Vec<Vec<String>>) -> Option<Table> {
    if rows.is_empty() {
        return None;
    }
    let header = header.iter().copied().map(str::to_owned).collect();
    Some(Table { title, note, rows: [vec![header], rows].concat() })
}

fn exchange_table(model: &RunModel) -> Option<Table> {
    let rows = exchanges(model).into_iter().map(|row| {
        let mut cells = vec![row.group.to_owned(), row.name];
        cells.extend(row.own.counts.all().map(format_count));
        cells.extend(times(Some(&row.own.latencies)));
        cells
    });
    let header = [
        "group",
        "exchange",
        "sent",
        "ok",
        "check failed",
        "timeout",
        "cut off",
        "open",
        "unexpected",
        "in flight",
        "p50",
        "p99",
        "max",
    ];
    let note = "a message, from when it was due, to its reply; open: at the run's end; in flight: most at one client";
    table("Exchanges", note, &header, rows.collect())
}

fn stream_table(model: &RunModel) -> Option<Table> {
    let rows = streams(model).into_iter().map(|row| {
        let counts = row.own.counts;
        let numbers =
            [counts.messages, counts.missed(), counts.missed_away(), counts.late, counts.duplicates];
        let mut cells = vec![row.group.to_owned(), row.name.clone()];
        cells.extend(numbers.map(format_count));
        cells.extend(times(row.latencies.as_ref()));
        cells.push(row.own.differences.least_us().map_or_else(|| "-".to_owned(), format_signed_us));
        cells.push(clock_words(&row));
        cells
    });
    let header = [
        "group",
        "stream",
        "messages",
        "missed",
        "while away",
        "late",
        "double",
        "p50",
        "p99",
        "max",
        "least",
        "clocks",
    ];
    let note = "least: of our clock less the sender's; latencies are as true as these agree";
    table("Streams", note, &header, rows.collect())
}

/// What is to be said of the two clocks that a stream's latency is the difference of.
pub(super) fn clock_words(row: &StreamRow<'_>) -> String {
    match row.own.differences.below_zero {
        _ if row.own.differences.count() == 0 => "-".to_owned(),
        _ if row.is_relative => "from the least on".to_owned(),
        0 => "none below 0".to_owned(),
        below => format!("{} below 0: not told", format_count(below)),
    }
}

fn blind_table(model: &RunModel) -> Option<Table> {
    let rows = streams(model).into_iter().filter(|row| row.own.blind.count() > 0).map(|row| {
        let mut cells = vec![row.group.to_owned(), row.name];
        cells.push(format_count(row.own.blind.count()));
        cells.extend(times(Some(&row.own.blind)));
        cells
    });
    let note = "from a disconnect to the first new message after it, of each key that a client follows";
    table("Blind time", note, &["group", "stream", "reconnects", "p50", "p99", "max"], rows.collect())
}

fn kind_table(model: &RunModel) -> Option<Table> {
    let rows = kinds(model).into_iter().take(MOST_KINDS);
    let rows = rows.map(|row| {
        vec![row.group.to_owned(), row.kind, format_count(row.count), format!("{:.1}/s", row.rate)]
    });
    table("Kinds", "messages by the word in them", &["group", "kind", "messages", "rate"], rows.collect())
}

fn times(latencies: Option<&Latencies>) -> [String; 3] {
    let known = latencies.filter(|latencies| latencies.count() > 0);
    [50.0, 99.0, 100.0].map(|percentile| {
        known.map_or_else(|| "-".to_owned(), |known| format_us(known.percentile_us(percentile)))
    })
}

/// As [`format_us`]; below zero with a sign.
fn format_signed_us(us: i64) -> String {
    let sign = if us < 0 { "-" } else { "" };
    format!("{sign}{}", format_us(us.unsigned_abs()))
}
