//! What the user names as a side of a comparison becomes runs.
//!
//! In: a run folder, a folder of run folders, a baseline's file, or a baseline's name. Out: the runs, condensed; or a sentence that says why not.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::compare::{
    BASELINE_ENDING, BASELINES, BaselineError, Repeat, RunSet, baseline_file, read_baseline,
};
use crate::report::{JOURNAL_FILE, RunModel};
use crate::run::{FoundError, is_run_folder, read_run_folder};

use super::runs::{LAST, run_named};

/// The largest file that is read as a baseline.
const MOST_BASELINE_BYTES: u64 = 64 * 1024 * 1024;

/// Why a side cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum InputError {
    /// There is no such thing.
    #[error("there is no run folder and no baseline `{name}`{hint}")]
    NotFound {
        /// What the user wrote.
        name: String,
        /// What there is.
        hint: String,
    },
    /// A folder without a run.
    #[error("{} is no run folder and holds none: there is no {JOURNAL_FILE} in it", path.display())]
    NoRuns {
        /// The folder.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The run is damaged.
    #[error(transparent)]
    Run(#[from] FoundError),
    /// The baseline is.
    #[error(transparent)]
    Baseline(#[from] BaselineError),
}

/// Reads one side: every input's runs together.
pub(super) fn read_set(inputs: &[String]) -> Result<RunSet, InputError> {
    let mut set = RunSet { name: String::new(), repeats: Vec::new(), is_baseline: true };
    for input in inputs {
        let (repeats, is_baseline) = read_input(input)?;
        set.repeats.extend(repeats);
        set.is_baseline &= is_baseline;
    }
    set.name = match inputs {
        [one] => short_name(one).to_owned(),
        [first, .., last] => format!("{} … {}", short_name(first), short_name(last)),
        [] => String::new(),
    };
    Ok(set)
}

/// The last part of a path: what a report calls a run.
pub(super) fn short_name(input: &str) -> &str {
    let name = Path::new(input).file_name().and_then(|name| name.to_str()).unwrap_or(input);
    name.strip_suffix(BASELINE_ENDING).and_then(|name| name.strip_suffix('.')).unwrap_or(name)
}

fn read_input(input: &str) -> Result<(Vec<Repeat>, bool), InputError> {
    if input == LAST
        && let Ok(last) = run_named(Path::new(LAST))
    {
        return Ok((vec![read_run(&last)?], false));
    }
    let path = Path::new(input);
    if is_run_folder(path) {
        return Ok((vec![read_run(path)?], false));
    }
    if path.is_dir() {
        let runs = run_folders(path)?;
        let repeats: Result<Vec<Repeat>, InputError> = runs.iter().map(|run| read_run(run)).collect();
        return Ok((repeats?, false));
    }
    let file = if path.is_file() { Some(path.to_owned()) } else { saved(input) };
    let file = file.ok_or_else(|| InputError::NotFound { name: input.to_owned(), hint: hint(input) })?;
    let bytes = read_capped(&file).map_err(|source| InputError::Io { path: file.clone(), source })?;
    Ok((read_baseline(&bytes, &file.display().to_string())?, true))
}

fn read_capped(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)?.take(MOST_BASELINE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_BASELINE_BYTES {
        return Err(io::Error::other(format!(
            "it has more than {MOST_BASELINE_BYTES} bytes, and is no baseline"
        )));
    }
    Ok(bytes)
}

fn read_run(folder: &Path) -> Result<Repeat, InputError> {
    let model = RunModel::new(read_run_folder(folder)?.journal);
    Ok(Repeat::of(&model, &folder.display().to_string()))
}

/// The run folders in a folder, by name.
fn run_folders(folder: &Path) -> Result<Vec<PathBuf>, InputError> {
    let fault = |source| InputError::Io { path: folder.to_owned(), source };
    let mut runs = Vec::new();
    for entry in fs::read_dir(folder).map_err(fault)? {
        let path = entry.map_err(fault)?.path();
        if is_run_folder(&path) {
            runs.push(path);
        }
    }
    runs.sort();
    if runs.is_empty() { Err(InputError::NoRuns { path: folder.to_owned() }) } else { Ok(runs) }
}

/// The file of a baseline of that name.
fn saved(name: &str) -> Option<PathBuf> {
    let file = Path::new(BASELINES).join(baseline_file(name).ok()?);
    file.is_file().then_some(file)
}

/// What is nearest to a name that does not exist.
fn hint(name: &str) -> String {
    let entries = fs::read_dir(BASELINES).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter(|entry| entry.path().extension().is_some_and(|ending| ending == BASELINE_ENDING))
        .filter_map(|entry| Some(entry.path().file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    let nearest =
        names.iter().max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)));
    match nearest {
        Some(nearest) if strsim::jaro_winkler(nearest, name) > 0.8 => format!("; is {nearest} meant?"),
        Some(_) => format!("; baselines in {BASELINES}: {}", names.join(", ")),
        None => format!("; {BASELINES} holds no baselines"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_call_a_side_by_its_last_part() {
        assert_eq!(
            ["reports/a-1", "v1.2", "x/v1.2.baseline", "a/"].map(short_name),
            ["a-1", "v1.2", "v1.2", "a"]
        );
    }

    #[test]
    fn what_is_not_there_is_told() {
        let error = read_input("no-such-thing").unwrap_err().to_string();
        assert!(error.starts_with("there is no run folder and no baseline `no-such-thing`"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let error = read_input(folder.path().to_str().unwrap()).unwrap_err().to_string();
        assert!(error.contains("is no run folder and holds none"), "{error}");
        std::fs::write(folder.path().join("x"), "text").unwrap();
        let error = read_input(folder.path().join("x").to_str().unwrap()).unwrap_err().to_string();
        assert!(error.contains("is no baseline of resurge"), "{error}");
    }
}
