//! The run folder: where a run writes, and nobody else.
//!
//! In: the scenario's name, or the folder that the user named. Out: a new folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where runs go unless the user says otherwise.
pub const REPORTS: &str = "reports";

/// Why there is no run folder.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It is there already.
    #[error("the run folder {} is there already: a run makes its own, and writes into no other. Name another with --out", path.display())]
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

/// Generated names that are tried: so many runs of one scenario can begin in one second.
const MOST_NAMES: u16 = 1_000;

/// Makes the run folder: `out`, or `reports/<scenario>-<UTC>-<4 hex>`. Whoever makes a folder has it: two runs never share one.
///
/// # Errors
/// [`FolderError`] when it is there already, be it as a link that leads nowhere, or cannot be made.
pub fn make_folder(out: Option<&Path>, scenario: &str, started_unix_us: u64) -> Result<PathBuf, FolderError> {
    make_folder_in(Path::new(REPORTS), out, scenario, started_unix_us)
}

fn make_folder_in(
    reports: &Path,
    out: Option<&Path>,
    scenario: &str,
    started_unix_us: u64,
) -> Result<PathBuf, FolderError> {
    if let Some(out) = out {
        return make(out.to_owned());
    }
    let mut made = make(reports.join(default_name(scenario, started_unix_us, 0)));
    for nth in 1..MOST_NAMES {
        if !matches!(made, Err(FolderError::Exists { .. })) {
            break;
        }
        made = make(reports.join(default_name(scenario, started_unix_us, nth)));
    }
    made
}

fn make(path: PathBuf) -> Result<PathBuf, FolderError> {
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

/// Where the files of a run that begins now go lies in one of these folders or makes them: the run folder as far as it is known, and those above it.
pub fn folders_made(out: Option<&Path>) -> impl Iterator<Item = &Path> {
    out.unwrap_or_else(|| Path::new(REPORTS)).ancestors()
}

/// Refuses a folder that is a symbolic link: who planted it in a run folder wants the run to write elsewhere.
///
/// # Errors
/// [`FolderError`] when it is a link, or not there.
pub(super) fn check_real_folder(path: &Path) -> Result<(), FolderError> {
    let is_real = fs::symlink_metadata(path).and_then(|found| match found.is_dir() {
        true => Ok(()),
        false => Err(io::Error::other("it is no folder, but a link or a file that somebody put there")),
    });
    is_real.map_err(|source| FolderError::Unwritable { path: path.to_owned(), source })
}

/// `<scenario>-<UTC yyyymmddThhmmssZ>-<4 hex>`; the hex digits come from the microseconds, so that two runs of one second differ. `nth` gives another
/// name where one is taken.
fn default_name(scenario: &str, started_unix_us: u64, nth: u16) -> String {
    let us = i64::try_from(started_unix_us).unwrap_or_default();
    let time = jiff::Timestamp::from_microsecond(us).unwrap_or_default();
    let text = time.strftime("%Y%m%dT%H%M%SZ");
    let spread = (started_unix_us % 1_000_000).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48;
    let digits = (spread as u16).wrapping_add(nth);
    format!("{scenario}-{text}-{digits:04x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_scenario_and_time() {
        let name = default_name("smoke", 1_700_000_000_123_456, 0);
        assert!(name.starts_with("smoke-20231114T221320Z-"), "{name}");
        assert_eq!(name.len(), "smoke-20231114T221320Z-".len() + 4);
        assert_ne!(name, default_name("smoke", 1_700_000_000_123_457, 0));
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

    #[test]
    fn generated_names_never_collide() {
        let root = tempfile::tempdir().unwrap();
        let make = || make_folder_in(root.path(), None, "s", 5).unwrap();
        let folders = std::sync::Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..10).for_each(|_| folders.lock().unwrap().push(make())));
            }
        });
        let folders: std::collections::BTreeSet<PathBuf> =
            folders.into_inner().unwrap().into_iter().collect();
        assert_eq!(folders.len(), 80, "runs that began in the same microsecond");
    }

    #[test]
    fn a_link_is_no_folder_to_write_into() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (name, target) in [("dangling", outside.path().join("new")), ("leads", outside.path().to_owned())]
        {
            let link = root.path().join(name);
            std::os::unix::fs::symlink(target, &link).unwrap();
            assert!(matches!(make_folder(Some(&link), "s", 0), Err(FolderError::Exists { .. })), "{name}");
            assert!(matches!(check_real_folder(&link), Err(FolderError::Unwritable { .. })), "{name}");
        }
        assert!(check_real_folder(root.path()).is_ok());
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0, "nothing is made behind a link");
    }
}
