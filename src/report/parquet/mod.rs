//! Tables as Parquet, for what reads columns: DuckDB, pandas, Spark.
//!
//! In: rows of text, as a CSV has them. Out: a file of the Apache Parquet format: <https://parquet.apache.org/docs/file-format/>. Rows leave as they come, a
//! row group at a time, so a run of any length takes the memory of one. Pages are compressed with gzip, which is in the program anyway.

mod column;
mod file;
mod thrift;

use std::io::{self, Write};

pub(super) use column::Kind;
use file::ParquetWriter;

/// The kind of a table's column, by its name.
///
/// An empty cell of the CSV is a null.
pub(super) fn kind_of(column: &str, decimals: bool) -> Kind {
    match column {
        "group" | "kind" | "outcome" | "cause" | "said" | "ended_by" | "how" | "trace_id" => Kind::Text,
        name if decimals && name.ends_with("_us") => Kind::Double,
        _ => Kind::Int,
    }
}

/// Writes a table: its columns, with their kinds, and before them `time`, the calendar time of each row.
///
/// # Errors
/// The writer's, the rows' own, and a cell that is no number where one should be.
pub(super) fn write_table(
    out: &mut dyn Write,
    columns: &[(&str, Kind)],
    rows: impl Iterator<Item = io::Result<(i64, Vec<String>)>>,
) -> io::Result<()> {
    let all: Vec<(&str, Kind)> = [("time", Kind::Time)].into_iter().chain(columns.iter().copied()).collect();
    let mut writer = ParquetWriter::begin(out, &all)?;
    for row in rows {
        let (unix_us, cells) = row?;
        writer.push(unix_us, cells.iter().map(String::as_str))?;
    }
    writer.finish()
}
