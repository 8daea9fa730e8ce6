//! A run that is found in a folder, whatever became of the process that ran it.
//!
//! In: a folder. Out: the run's journal: its own; or, where the parent of a run in several processes died before it merged them, that of what the shards left.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::record::{Journal, JournalError, Machines, MergeError, MergeInput, plan_merge, read_journal};
use crate::report::{JOURNAL_FILE, SHARDS_FOLDER};

/// A run that was found.
#[derive(Debug)]
pub struct FoundRun {
    /// Its journal.
    pub journal: Journal,
    /// The folders of the shards that it was made from; none where the run has a journal of its own.
    pub shards: Vec<PathBuf>,
}

/// Why there is no run in a folder.
#[derive(Debug, thiserror::Error)]
pub enum FoundError {
    /// There is no such folder.
    #[error("{} is no run folder: there is no such folder", path.display())]
    NoFolder {
        /// What was named.
        path: PathBuf,
    },
    /// It is another folder, or a run that was killed before it wrote anything.
    #[error("{} is no run folder, or its run was killed before it began: there is no {JOURNAL_FILE} in it", path.display())]
    NoJournal {
        /// The folder.
        path: PathBuf,
    },
    /// Its journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Its shards' journals cannot be merged.
    #[error(transparent)]
    Merge(#[from] MergeError),
}

/// Whether there is a run in `folder`.
#[must_use]
pub fn is_run_folder(folder: &Path) -> bool {
    folder.join(JOURNAL_FILE).is_file() || !shards_in(folder).is_empty()
}

/// The folders of shards in `folder` that have a journal, by their numbers.
#[must_use]
pub fn shards_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join(SHARDS_FOLDER)).into_iter().flatten().flatten();
    let numbered = entries.filter_map(|entry| {
        let number = entry.file_name().to_str()?.parse::<u32>().ok()?;
        entry.path().join(JOURNAL_FILE).is_file().then(|| (number, entry.path()))
    });
    numbered.collect::<BTreeMap<_, _>>().into_values().collect()
}

/// Reads the run in `folder`.
///
/// # Errors
/// [`FoundError`] when there is none, or it is damaged.
pub fn read_run_folder(folder: &Path) -> Result<FoundRun, FoundError> {
    if !folder.is_dir() {
        return Err(FoundError::NoFolder { path: folder.to_owned() });
    }
    let own = folder.join(JOURNAL_FILE);
    // One that is there and cannot be opened is told so.
    if own.symlink_metadata().is_ok() {
        return Ok(FoundRun { journal: read_journal(&own)?, shards: Vec::new() });
    }
    let shards = shards_in(folder);
    if shards.is_empty() {
        return Err(FoundError::NoJournal { path: folder.to_owned() });
    }
    let inputs: Vec<MergeInput> =
        shards.iter().map(|shard| MergeInput::in_folder(shard, JOURNAL_FILE)).collect();
    let (mut usable, mut why_lost) = (Vec::new(), BTreeMap::new());
    for (input, shard) in inputs.into_iter().zip(&shards) {
        let number = shard.file_name().and_then(|name| name.to_str()?.parse().ok()).unwrap_or(0);
        match input.check() {
            // It was killed before its first entry.
            Err(JournalError::Empty { .. }) => {
                why_lost.insert(number, "it was killed before it began".to_owned());
            }
            Err(error) => return Err(error.into()),
            Ok(()) => usable.push(input),
        }
    }
    let journal = plan_merge(&usable, Machines::One, &why_lost)?.merged()?;
    Ok(FoundRun { journal, shards })
}
