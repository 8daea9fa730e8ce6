//! The run folder: where a run writes, and nobody else.
//!
//! In: the scenario's name, or the folder that the user named. Out: a new folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where runs go unless the user says otherwise.
const REPORTS: &str = "reports";

/// Why there is no run folder.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It is there already.
    #[error("the run folder {} is there already: a run never writes into another's. Name another with --out", path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// It cannot be made.
    #[error("cannot make the run folder {}: {source}. Name another with --out", path.display())]
    Unwritable {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Makes the run folder: `out`, or `reports/<scenario>-<UTC>-<4 hex>`.
///
/// # Errors
/// [`FolderError`] when it is there already, or cannot be made.
pub fn make_folder(out: Option<&Path>, scenario: &str, started_unix_us: u64) -> Result<PathBuf, FolderError> {
    let path =
        out.map_or_else(|| Path::new(REPORTS).join(default_name(scenario, started_unix_us)), Path::to_owned);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)
            .map_err(|source| FolderError::Unwritable { path: path.clone(), source })?;
    }
    match fs::create_dir(&path) {
        Ok(()) => Ok(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(FolderError::Exists { path }),
        Err(source) => Err(FolderError::Unwritable { path, source }),
    }
}

/// `<scenario>-<UTC yyyymmddThhmmssZ>-<4 hex>`; the hex digits come from the microseconds, so that two runs of one second differ.
fn default_name(scenario: &str, started_unix_us: u64) -> String {
    let us = i64::try_from(started_unix_us).unwrap_or_default();
    let time = jiff::Timestamp::from_microsecond(us).unwrap_or_default();
    let text = time.strftime("%Y%m%dT%H%M%SZ");
    let spread = (started_unix_us % 1_000_000).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48;
    format!("{scenario}-{text}-{spread:04x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_scenario_and_time() {
        let name = default_name("smoke", 1_700_000_000_123_456);
        assert!(name.starts_with("smoke-20231114T221320Z-"), "{name}");
        assert_eq!(name.len(), "smoke-20231114T221320Z-".len() + 4);
        assert_ne!(name, default_name("smoke", 1_700_000_000_123_457));
    }

    #[test]
    fn a_folder_is_made_once() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b");
        assert_eq!(make_folder(Some(&path), "s", 0).unwrap(), path);
        assert!(matches!(make_folder(Some(&path), "s", 0), Err(FolderError::Exists { .. })));
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(make_folder(Some(&file.join("x")), "s", 0), Err(FolderError::Unwritable { .. })));
    }
}
