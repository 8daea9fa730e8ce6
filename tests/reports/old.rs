//! A journal of schema version 2, as it was before clients were admitted: it is read, and its numbers are those of then.
//!
//! `old/` is such a run of `scenarios/deploy-storm.toml`: its journal, and tables as the program of then wrote them.

use std::collections::BTreeMap;
use std::path::Path;

use resurge::record::read_journal;
use resurge::report::{JOURNAL_FILE, RunModel, write_all};

use crate::support::tables::rows;

/// `row` with the columns of `old` alone.
fn as_then(row: &BTreeMap<String, String>, old: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    row.iter()
        .filter(|(column, _)| old.contains_key(*column))
        .map(|(column, value)| (column.clone(), value.clone()))
        .collect()
}

#[test]
fn a_journal_of_before_gives_the_tables_of_before() {
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reports/old");
    let journal = read_journal(&old.join(JOURNAL_FILE)).unwrap();
    assert_eq!((journal.manifest.schema_version, journal.torn_bytes), (2, 0));
    let model = RunModel::new(journal);
    assert_eq!(model.verdict.exit_code.number(), 0, "{:?}", model.verdict);
    assert!(model.account_faults.is_empty(), "{:?}", model.account_faults);

    let folder = tempfile::tempdir().unwrap();
    assert!(write_all(&model, folder.path()).is_empty());
    for table in ["summary.csv", "outcomes.csv", "closes.csv"] {
        let (then, now) = (rows(&old, table), rows(folder.path(), table));
        assert!(then.len() > 3, "{table}");
        let now: Vec<_> = now.iter().map(|row| as_then(row, &then[0])).collect();
        assert_eq!(now, then, "{table}: left today, right then");
    }
}
