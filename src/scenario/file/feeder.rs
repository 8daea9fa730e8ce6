//! A feeder: rows of a CSV file, one a client.
//!
//! In: a file whose first line names its columns. Out: its rows, or why it cannot be used. What stands in the rows is never told: it is
//! secret.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use secrecy::{ExposeSecret as _, SecretString};

/// The largest file.
const MOST_BYTES: u64 = 1 << 30;
/// The longest first line.
const MOST_HEADER_BYTES: u64 = 64 * 1024;
/// Most rows.
const MOST_ROWS: usize = 10_000_000;

/// The columns and the rows of a file.
#[derive(Debug)]
pub(crate) struct FeederFile {
    columns: Vec<String>,
    /// Row by row.
    cells: Vec<SecretString>,
}

impl FeederFile {
    /// How many rows it has; at least one.
    pub(crate) fn rows(&self) -> usize {
        self.cells.len() / self.columns.len().max(1)
    }

    /// The names of its columns.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(String::as_str)
    }

    /// What a row has in a column.
    pub(crate) fn value(&self, row: usize, column: &str) -> Option<&SecretString> {
        let at = self.columns.iter().position(|name| name == column)?;
        self.cells.get(row * self.columns.len() + at)
    }

    /// The line of the first row that has nothing in a column.
    pub(crate) fn first_empty(&self, column: &str) -> Option<usize> {
        let is_empty =
            |row: usize| self.value(row, column).is_some_and(|cell| cell.expose_secret().is_empty());
        (0..self.rows()).find(|row| is_empty(*row)).map(|row| row + 2)
    }
}

/// The names of a feeder's columns, where they can be read.
pub(crate) fn read_columns(path: &Path) -> Vec<String> {
    let Ok(file) = File::open(path) else { return Vec::new() };
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(file.take(MOST_HEADER_BYTES));
    let headers = reader.headers().map(|headers| headers.iter().map(str::to_owned).collect());
    headers.unwrap_or_default()
}

/// Reads a feeder.
pub(crate) fn read_feeder(path: &Path) -> Result<FeederFile, String> {
    let file = File::open(path).map_err(|_| "it cannot be read".to_owned())?;
    read_rows(file, MOST_BYTES)
}

fn read_rows(file: impl Read, most: u64) -> Result<FeederFile, String> {
    // A row more than fits is cut off, and then the file is refused.
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(file.take(most + 1));
    let headers = reader.headers().map_err(|_| "its first line cannot be read".to_owned())?;
    let columns: Vec<String> = headers.iter().map(str::to_owned).collect();
    let mut cells = Vec::new();
    let mut record = csv::StringRecord::new();
    for line in 2_u64.. {
        let is_row = reader
            .read_record(&mut record)
            .map_err(|_| format!("line {line} has another number of columns, or is not UTF-8"))?;
        if !is_row {
            break;
        }
        cells.extend(record.iter().map(SecretString::from));
        if reader.position().byte() > most {
            return Err(format!("it has more than {most} bytes"));
        }
        if line > MOST_ROWS as u64 + 1 {
            return Err(format!("it has more than {MOST_ROWS} rows"));
        }
    }
    if cells.is_empty() { Err("it has no rows".to_owned()) } else { Ok(FeederFile { columns, cells }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<FeederFile, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clients.csv");
        std::fs::write(&path, text).unwrap();
        read_feeder(&path)
    }

    #[test]
    fn rows_are_read_and_what_is_wrong_is_told_without_them() {
        let file = read("region,client_id, client_secret\neu,a,s3cret\nus,b,\"x,y\"\n").unwrap();
        let cell = |row, column| file.value(row, column).map(|cell| cell.expose_secret().to_owned());
        assert_eq!(file.rows(), 2);
        assert_eq!(file.columns().collect::<Vec<_>>(), ["region", "client_id", "client_secret"]);
        assert_eq!(
            (cell(0, "client_secret"), cell(1, "client_secret")),
            (Some("s3cret".into()), Some("x,y".into()))
        );
        assert_eq!((cell(1, "region"), cell(0, "other")), (Some("us".into()), None));
        assert_eq!(file.first_empty("region"), None);
        assert_eq!(read("a,b\nx,1\n,2\n").unwrap().first_empty("a"), Some(3));
        for (text, part) in [
            ("client_id,client_secret\n", "no rows"),
            ("client_id,client_secret\na,s3cret\nb,s3cret,c\n", "line 3"),
        ] {
            let why = read(text).unwrap_err();
            assert!(why.contains(part) && !why.contains("s3cret"), "{why}");
        }
        let rows = "client_id,client_secret\na,s3cret\nb,s3cret\n";
        let most = rows.len() as u64;
        assert_eq!(read_rows(rows.as_bytes(), most).map(|file| file.rows()), Ok(2));
        assert!(read_rows(rows.as_bytes(), most - 1).is_err(), "it is too large");
        assert!(read_feeder(Path::new("/nowhere/clients.csv")).is_err());
    }
}
