//! `observed.csv`: the service's own numbers, second by second.
//!
//! In: a run. Out: text, with the header that `docs/src/results/csv.md` states.

use super::csv_files::{CsvResult, write_rows};
use super::model::RunModel;

/// `observed.csv`: a row for each second in which something was asked for and each series, in the scenario's order; `value` is empty where there was none.
///
/// # Errors
/// Only when memory cannot be written.
pub fn observed_csv(model: &RunModel) -> CsvResult {
    let series = &model.manifest.observed;
    let rows = model.observed.iter().flat_map(|row| {
        series.iter().zip(&row.values).map(|(series, value)| {
            let value = value.map_or_else(String::new, |value| value.to_string());
            vec![row.second.to_string(), series.name.clone(), value, series.unit.clone()]
        })
    });
    write_rows(&["second", "series", "value", "unit"], rows)
}
