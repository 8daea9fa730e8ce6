//! How long messages were under way, on the page.
//!
//! In: a run. Out: the same table as the summary's, where messages were measured.

use super::super::model::RunModel;
use super::super::tables::{in_order, messages};
use super::page::Block;
use super::table::Table;

pub(super) fn message_times(model: &RunModel) -> Option<Block> {
    let measured = messages(&in_order(model))?;
    let (_, rows) = measured.rows.split_first()?;
    let header = ["<group", "received", "measured", "p50", "p95", "p99", "p99.9", "max"];
    let mut table = Table::new(measured.title, &header);
    rows.iter().for_each(|row| table.row(row.clone()));
    Some(Block::Table(table))
}
