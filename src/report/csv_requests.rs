//! `tokens.csv` and `steps.csv`: what requests for tokens and steps before handshakes came to.
//!
//! In: a run. Out: text, with the headers that `docs/src/results/csv.md` states; times in microseconds, shares 0..1.

use super::csv_files::{CsvResult, write_rows};
use super::model::RunModel;
use super::requests::{RequestRow, rows, step_name};

/// `tokens.csv`: requests for tokens by group, request, answer, status and OAuth error.
///
/// # Errors
/// Only when memory cannot be written.
pub fn tokens_csv(model: &RunModel) -> CsvResult {
    let header = [
        "group", "request", "answer", "status", "error", "count", "share", "p50_us", "p95_us", "p99_us",
        "max_us",
    ];
    let all = model.groups().flat_map(|(group, tally)| {
        let named = rows(tally).into_iter().filter_map(|row| Some((row.request.token_name()?, row)));
        named.map(move |(name, row)| with_answer(vec![group.to_owned(), name.to_owned()], &row))
    });
    write_rows(&header, all)
}

/// `steps.csv`: requests before handshakes by group, step, answer, status and the service's own word.
///
/// # Errors
/// Only when memory cannot be written.
pub fn steps_csv(model: &RunModel) -> CsvResult {
    let header = [
        "group", "step", "number", "answer", "status", "error", "count", "share", "p50_us", "p95_us",
        "p99_us", "max_us",
    ];
    let all = model.groups().enumerate().flat_map(|(place, (group, tally))| {
        let steps = model.manifest.steps_of(place);
        let numbered = rows(tally).into_iter().filter_map(|row| Some((row.request.step()?, row)));
        numbered.map(move |(index, row)| {
            let name = step_name(steps, index);
            with_answer(vec![group.to_owned(), name, (index + 1).to_string()], &row)
        })
    });
    write_rows(&header, all)
}

fn with_answer(mut cells: Vec<String>, row: &RequestRow<'_>) -> Vec<String> {
    cells.push(row.answer.name().to_owned());
    cells.push(row.status.map(|status| status.to_string()).unwrap_or_default());
    cells.push(row.error.map(|word| word.text().to_owned()).unwrap_or_default());
    cells.push(row.count.to_string());
    cells.push(format!("{:.6}", row.share));
    cells.extend([50.0, 95.0, 99.0].map(|percentile| row.latencies.percentile_us(percentile).to_string()));
    cells.push(row.latencies.max_us().to_string());
    cells
}
