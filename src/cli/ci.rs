//! What a CI server is told of a run, where there is one.
//!
//! In: a run, the environment. Out: annotations on stderr under GitHub Actions, and Markdown behind what the step's summary holds already.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::report::{RunModel, annotations, step_summary};

/// Where GitHub Actions takes the summary of a step from.
const SUMMARY_FILE: &str = "GITHUB_STEP_SUMMARY";
/// Set to `true` by GitHub Actions.
const ACTIONS: &str = "GITHUB_ACTIONS";

/// Tells the CI server that the environment names; nothing where it names none. What cannot be written is told on `err` and changes nothing else.
pub(super) fn tell_ci(model: &RunModel, err: &mut dyn Write) -> io::Result<()> {
    if std::env::var_os(ACTIONS).is_some_and(|value| value == "true") {
        for line in annotations(model) {
            writeln!(err, "{line}")?;
        }
    }
    let Some(file) = std::env::var_os(SUMMARY_FILE).filter(|file| !file.is_empty()).map(PathBuf::from) else {
        return Ok(());
    };
    match append_summary(model, &file) {
        Ok(true) => Ok(()),
        Ok(false) => writeln!(err, "note: {SUMMARY_FILE} is full: the summary of this run was left out"),
        Err(error) => writeln!(err, "note: cannot write {SUMMARY_FILE} ({}): {error}", file.display()),
    }
}

/// Appends what there is room for; whether there was any.
fn append_summary(model: &RunModel, path: &Path) -> io::Result<bool> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    let Some(text) = step_summary(model, file.metadata()?.len()) else { return Ok(false) };
    file.write_all(text.as_bytes())?;
    Ok(true)
}
