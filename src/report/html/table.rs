//! A table of a page.
//!
//! In: cells as text. Out: rows with a header; numbers stand to the right, words to the left.

use serde::Serialize;

use super::tone::Tone;

/// A table.
#[derive(Debug, Clone, Serialize)]
pub struct Table {
    /// What it shows; may be empty.
    pub caption: String,
    /// Its columns.
    pub columns: Vec<Column>,
    /// Its rows.
    pub rows: Vec<Row>,
}

/// A column.
#[derive(Debug, Clone, Serialize)]
pub struct Column {
    /// Its heading.
    pub name: String,
    /// Whether it holds words, not numbers.
    pub is_text: bool,
}

/// A row.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// How it is to be taken.
    pub tone: Tone,
    /// A cell for each column.
    pub cells: Vec<String>,
}

impl Table {
    /// A table without rows. A column's name that begins with `<` holds words, as `"<group"`; the `<` is not shown.
    #[must_use]
    pub fn new(caption: &str, columns: &[&str]) -> Self {
        let columns = columns.iter().map(|name| match name.strip_prefix('<') {
            Some(name) => Column { name: name.to_owned(), is_text: true },
            None => Column { name: (*name).to_owned(), is_text: false },
        });
        Self { caption: caption.to_owned(), columns: columns.collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        self.row_in(Tone::Plain, cells);
    }

    /// Adds a row that is to be taken so.
    pub fn row_in(&mut self, tone: Tone, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.columns.len(), "{}", self.caption);
        self.rows.push(Row { tone, cells });
    }
}
