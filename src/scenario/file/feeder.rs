//! Credentials from a CSV file.
//!
//! In: a file with the columns `client_id` and `client_secret`, others ignored. Out: its rows, or why it cannot be used. What stands in
//! the rows is never told: it is secret.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use secrecy::SecretString;

/// The largest file.
const MOST_BYTES: u64 = 1 << 30;
/// Most rows.
const MOST_ROWS: usize = 10_000_000;

/// Reads a feeder's rows.
pub(crate) fn read_feeder(path: &Path) -> Result<Vec<(String, SecretString)>, String> {
    let file = File::open(path).map_err(|_| "it cannot be read".to_owned())?;
    read_rows(file, MOST_BYTES)
}

fn read_rows(file: impl Read, most: u64) -> Result<Vec<(String, SecretString)>, String> {
    // A row more than fits is cut off, and then the file is refused.
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(file.take(most + 1));
    let headers = reader.headers().map_err(|_| "its first line cannot be read".to_owned())?;
    let column = |name: &str| {
        headers.iter().position(|header| header == name).ok_or_else(|| format!("it has no column {name}"))
    };
    let (id, secret) = (column("client_id")?, column("client_secret")?);
    let mut rows = Vec::new();
    let mut record = csv::StringRecord::new();
    for line in 2_u64.. {
        let is_row = reader
            .read_record(&mut record)
            .map_err(|_| format!("line {line} has another number of columns, or is not UTF-8"))?;
        if !is_row {
            break;
        }
        match (record.get(id), record.get(secret)) {
            (Some(id), Some(secret)) if !id.is_empty() => {
                rows.push((id.to_owned(), SecretString::from(secret)));
            }
            _ => return Err(format!("line {line} has no client_id")),
        }
        if reader.position().byte() > most {
            return Err(format!("it has more than {most} bytes"));
        }
        if rows.len() > MOST_ROWS {
            return Err(format!("it has more than {MOST_ROWS} rows"));
        }
    }
    if rows.is_empty() { Err("it has no rows".to_owned()) } else { Ok(rows) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    fn read(text: &str) -> Result<Vec<(String, String)>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clients.csv");
        std::fs::write(&path, text).unwrap();
        let rows = read_feeder(&path)?;
        Ok(rows.into_iter().map(|(id, secret)| (id, secret.expose_secret().to_owned())).collect())
    }

    #[test]
    fn rows_are_read_and_what_is_wrong_is_told_without_them() {
        let rows = read("region,client_id, client_secret\neu,a,s3cret\nus,b,\"x,y\"\n").unwrap();
        assert_eq!(rows, [("a".into(), "s3cret".into()), ("b".into(), "x,y".into())]);
        for (text, part) in [
            ("client_id\na\n", "no column client_secret"),
            ("client_id,client_secret\n", "no rows"),
            ("client_id,client_secret\n,s3cret\n", "line 2"),
            ("client_id,client_secret\na,s3cret\nb,s3cret,c\n", "line 3"),
        ] {
            let why = read(text).unwrap_err();
            assert!(why.contains(part) && !why.contains("s3cret"), "{why}");
        }
        let rows = "client_id,client_secret\na,s3cret\nb,s3cret\n";
        let most = rows.len() as u64;
        assert_eq!(read_rows(rows.as_bytes(), most).map(|rows| rows.len()), Ok(2));
        assert!(read_rows(rows.as_bytes(), most - 1).is_err(), "it is too large");
        assert!(read_feeder(Path::new("/nowhere/clients.csv")).is_err());
    }
}
