//! The tables of a run folder.

use std::collections::BTreeMap;
use std::path::Path;

/// The rows of a CSV file of a run folder, by header.
pub(crate) fn rows(folder: &Path, file: &str) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_path(folder.join(file)).unwrap();
    reader.deserialize().map(|row| row.unwrap()).collect()
}
