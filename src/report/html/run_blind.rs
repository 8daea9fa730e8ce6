//! Who knew nothing new after a storm, on a run's page: beside the recovery curve.
//!
//! In: a run and a storm. Out: a plot with a curve for each stream, and rows of a table.

use crate::record::Quantile;
use crate::units::{format_count, format_share, format_us};

use super::super::blind::{BlindRow, after};
use super::super::model::RunModel;
use super::super::recovery::RecoveryCurve;
use super::plot::Plot;
use super::table::Table;

/// Streams that have curves; the table has all.
const MOST_CURVES: usize = 12;

/// The table, without rows.
pub(super) fn table() -> Table {
    Table::new(
        "Time until something new was heard",
        &[
            "<after",
            "<group",
            "<stream",
            "disconnected",
            "heard",
            "share",
            "still blind",
            "longest",
            "50 %",
            "95 %",
            "100 %",
        ],
    )
}

/// The curves after one storm, and their rows; `None`: no stream had anybody to lose.
pub(super) fn plot(
    model: &RunModel,
    storm: Option<usize>,
    words: (&str, &str),
    rows: &mut Table,
) -> Option<Plot> {
    let (title, when) = words;
    let own = after(model, storm);
    own.iter().for_each(|blind| rows.row(row(when, blind)));
    let several = model.manifest.groups.len() > 1;
    let called = |blind: &BlindRow<'_>| {
        if several { format!("{}: {}", blind.group, blind.stream) } else { blind.stream.clone() }
    };
    let named: Vec<(String, usize, &RecoveryCurve)> =
        own.iter().take(MOST_CURVES).map(|blind| (called(blind), blind.index, &blind.curve)).collect();
    let curves: Vec<(&str, usize, &RecoveryCurve)> =
        named.iter().map(|(name, index, curve)| (name.as_str(), *index, *curve)).collect();
    let number = storm.map_or_else(|| "none".to_owned(), |storm| storm.to_string());
    (!curves.is_empty())
        .then(|| Plot::blind(&format!("blind-{number}"), &format!("{title}: still blind"), &curves))
}

fn row(when: &str, blind: &BlindRow<'_>) -> Vec<String> {
    let mut row = vec![when.to_owned(), blind.group.to_owned(), blind.stream.clone()];
    row.extend(curve_cells(&blind.curve));
    row
}

/// What a table tells of a curve: how many were cut off and back, who was away at the end, and three times.
pub(super) fn curve_cells(curve: &RecoveryCurve) -> Vec<String> {
    let mut cells = vec![
        format_count(curve.disconnects),
        format_count(curve.back.count()),
        curve.share_back().map_or_else(|| "–".to_owned(), format_share),
        format_count(curve.away.count()),
        if curve.away.count() > 0 { format_us(curve.away.max_us()) } else { "–".to_owned() },
    ];
    let times = [0.5, 0.95, 1.0].map(|share| curve.time_to_us(share));
    cells.extend(times.map(|time| time.map_or_else(|| "not reached".to_owned(), Quantile::words)));
    cells
}
