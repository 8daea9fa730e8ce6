//! The files of a run folder, written so that none is ever half there.
//!
//! In: a run and its folder. Out: files: each is written under a temporary name, synced and renamed.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::csv_files::{closes_csv, outcomes_csv, summary_csv, timeseries_csv};
use super::hlog::histograms_hlog;
use super::html::report_html;
use super::model::RunModel;
use super::run_json::run_json;

/// The journal's name in a run folder.
pub const JOURNAL_FILE: &str = "journal.bin";

/// A file that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {source}", path.display())]
pub struct WriteFault {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// Writes `text` to `path`, whole or not at all.
///
/// # Errors
/// [`WriteFault`] with what the file system says.
pub fn write_file(path: &Path, text: &str) -> Result<(), WriteFault> {
    let temporary = path.with_extension("tmp");
    let write = || {
        let mut file = File::create(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(|source| WriteFault { path: path.to_owned(), source })
}

/// Writes every file of the run folder that derives from the journal. Goes on behind one that cannot be written.
#[must_use]
pub fn write_all(model: &RunModel, folder: &Path) -> Vec<WriteFault> {
    let pretty = serde_json::to_string_pretty(&run_json(model)).map_err(io::Error::from);
    let csv = |text: Result<String, csv::Error>| text.map_err(io::Error::from);
    let files = [
        ("scenario.toml", Ok(model.manifest.scenario_text.clone())),
        ("summary.csv", csv(summary_csv(model))),
        ("outcomes.csv", csv(outcomes_csv(model))),
        ("closes.csv", csv(closes_csv(model))),
        ("timeseries.csv", csv(timeseries_csv(model))),
        ("histograms.hlog", Ok(histograms_hlog(model))),
        ("report.html", report_html(model).map_err(io::Error::other)),
        // Last: where it is, the others are.
        ("run.json", pretty.map(|text| text + "\n")),
    ];
    let mut faults = Vec::new();
    for (name, text) in files {
        let path = folder.join(name);
        let written = match text {
            Ok(text) => write_file(&path, &text),
            Err(source) => Err(WriteFault { path, source }),
        };
        faults.extend(written.err());
    }
    faults
}
