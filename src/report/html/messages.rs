//! How long messages were under way, and what compression and resumption saved, on the page.
//!
//! In: a run. Out: the same tables as the summary's, where there is something to tell.

use super::super::model::RunModel;
use super::super::tables::{in_order, messages};
use super::super::talk_tables::talk_tables;
use super::super::wire_tables::{compression, resumption};
use super::page::Block;
use super::table::Table;

/// The tables that there are.
pub(super) fn message_tables(model: &RunModel) -> Vec<Block> {
    let groups = in_order(model);
    let tables = [messages(&groups), compression(&groups), resumption(&groups)];
    tables.iter().flatten().filter_map(as_block).collect()
}

/// What clients said and heard by their groups' rules.
pub(super) fn conversation_tables(model: &RunModel) -> Vec<Block> {
    let tables = talk_tables(model);
    tables.iter().filter_map(as_block).collect()
}

fn as_block(told: &super::super::tables::Table) -> Option<Block> {
    let (header, rows) = told.rows.split_first()?;
    let mut names: Vec<&str> = header.iter().map(String::as_str).collect();
    *names.first_mut()? = "<group";
    // Names stand to the left, as those of groups.
    let of_names =
        [("exchange", "<exchange"), ("stream", "<stream"), ("kind", "<kind"), ("clocks", "<clocks")];
    for (name, to_the_left) in of_names {
        names.iter_mut().filter(|own| **own == name).for_each(|own| *own = to_the_left);
    }
    let mut table = Table::new(told.title, &names);
    rows.iter().for_each(|row| table.row(row.clone()));
    Some(Block::Table(table))
}
