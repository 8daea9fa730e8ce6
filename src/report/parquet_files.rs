//! The tables of a run that Parquet is for: those that grow with the run.
//!
//! In: a run, its `attempts.csv`. Out: the rows of the CSV, each with its calendar time.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::csv_files::{TIMESERIES, timeseries_rows};
use super::model::RunModel;
use super::parquet::{kind_of, write_table};

/// `timeseries.csv` as Parquet; `time` is the beginning of the second.
///
/// # Errors
/// The writer's.
pub fn timeseries_parquet(model: &RunModel, out: &mut dyn Write) -> io::Result<()> {
    let start = unix_us(model);
    let columns = TIMESERIES.map(|name| (name, kind_of(name, false)));
    let rows = timeseries_rows(model).map(|(second, row)| Ok((start + second as i64 * 1_000_000, row)));
    write_table(out, &columns, rows)
}

/// `attempts.csv`, which is the file `csv`, as Parquet; `time` is when the attempt was due. Answers with whether the last row is left out: it was cut off, as
/// by a crash.
///
/// # Errors
/// The file's, the writer's, and `InvalidData` for a file that is no `attempts.csv`.
pub fn attempts_parquet(model: &RunModel, csv: &Path, out: &mut dyn Write) -> io::Result<bool> {
    let mut file = File::open(csv)?;
    let is_cut = !ends_with_a_line(&mut file)?;
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(BufReader::new(file));
    let header = reader.headers().map_err(no_table)?.clone();
    let Some(due) = header.iter().position(|name| name == "due_us") else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it has no column due_us"));
    };
    let columns: Vec<_> = header.iter().map(|name| (name, kind_of(name, true))).collect();
    let start = unix_us(model);
    let mut records = reader.records().peekable();
    let rows = std::iter::from_fn(|| {
        let record = match records.next()? {
            Ok(record) => record,
            Err(error) => return Some(Err(no_table(error))),
        };
        if is_cut && records.peek().is_none() {
            return None;
        }
        // What is no number is told by its column.
        let whole_us = record.get(due).and_then(|us| us.split('.').next()?.parse::<i64>().ok());
        Some(Ok((start + whole_us.unwrap_or(0), record.iter().map(str::to_owned).collect())))
    });
    write_table(out, &columns, rows)?;
    Ok(is_cut)
}

/// Whether the last line of a file is whole; it stands at its beginning afterwards.
fn ends_with_a_line(file: &mut File) -> io::Result<bool> {
    let length = file.seek(SeekFrom::End(0))?;
    let mut last = [b'\n'];
    if length > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    file.rewind()?;
    Ok(last == *b"\n")
}

fn no_table(error: csv::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// When the run began, in microseconds since 1970.
fn unix_us(model: &RunModel) -> i64 {
    i64::try_from(model.manifest.started_unix_us).unwrap_or(i64::MAX)
}
