//! The files of a run folder, written so that none is ever half there.
//!
//! In: a run and its folder. Out: files: each is written under a temporary name that nobody else has, synced and renamed. What lies at a name before, a
//! symbolic link among it, is replaced and never written through.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::csv_files::{closes_csv, outcomes_csv, summary_csv, timeseries_csv};
use super::csv_observed::observed_csv;
use super::csv_outages::{availability_csv, outages_csv};
use super::csv_requests::{steps_csv, tokens_csv};
use super::csv_talk::{exchanges_csv, kinds_csv, streams_csv};
use super::hlog::histograms_hlog;
use super::html::report_html;
use super::model::RunModel;
use super::run_json::run_json;
use super::talk::{exchanges, has_kinds, streams};

/// The journal's name in a run folder.
pub const JOURNAL_FILE: &str = "journal.bin";
/// The run as one page.
pub const PAGE_FILE: &str = "report.html";
/// The manifest, the verdict and the accounts.
pub const RUN_JSON_FILE: &str = "run.json";

/// The folder of the shards' own journals, in the run folder of a run in several processes.
pub const SHARDS_FOLDER: &str = "shards";

/// A file that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {source}", path.display())]
pub struct WriteFault {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// Temporary names that are tried before a folder is taken for hostile.
const MOST_NAMES: u32 = 1_000;

/// A new file in `folder`, under a temporary name, and where it is. Whatever has such a name already, a link or another's file, is left alone.
fn new_file(folder: &Path) -> io::Result<(File, PathBuf)> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
    for _ in 0..MOST_NAMES {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!(".resurge-{}-{number}.tmp", std::process::id()));
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => return Ok((file, path)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

/// The folder that a file lies in.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Whether a file can be made beside `path`.
///
/// # Errors
/// Whatever the file system says.
pub fn check_writable(path: &Path) -> io::Result<()> {
    let (file, probe) = new_file(folder_of(path))?;
    drop(file);
    fs::remove_file(probe)
}

/// Writes `bytes` to `path`, whole or not at all. A symbolic link at `path` is replaced; what it points to stays as it is.
///
/// # Errors
/// [`WriteFault`] with what the file system says.
pub fn write_file(path: &Path, bytes: impl AsRef<[u8]>) -> Result<(), WriteFault> {
    let write = || {
        let (mut file, temporary) = new_file(folder_of(path))?;
        let renamed = file
            .write_all(bytes.as_ref())
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&temporary, path));
        if renamed.is_err() {
            // Half a file is of no use, and where the disk is full, its room is.
            let _ = fs::remove_file(&temporary);
        }
        renamed
    };
    write().map_err(|source| WriteFault { path: path.to_owned(), source })
}

/// Whether `path` is written to as it stands, and not replaced: a pipe, a terminal, or a link of the system's to an open file, as `/dev/stdout`.
#[must_use]
pub fn is_stream(path: &Path) -> bool {
    let is_special = path.metadata().is_ok_and(|found| !found.is_file() && !found.is_dir());
    let is_link = path.symlink_metadata().is_ok_and(|found| found.is_symlink());
    let system = || {
        let folder = folder_of(path).canonicalize().unwrap_or_default();
        ["/dev", "/proc"].iter().any(|own| folder.starts_with(own))
    };
    is_special || (is_link && system())
}

/// Writes `bytes` to a file that the user named: into it where it is a stream, in its place otherwise.
///
/// # Errors
/// [`WriteFault`] with what the file system says.
pub fn write_named(path: &Path, bytes: impl AsRef<[u8]>) -> Result<(), WriteFault> {
    if !is_stream(path) {
        return write_file(path, bytes);
    }
    let opened = OpenOptions::new().append(true).open(path);
    let written = opened.and_then(|mut file| file.write_all(bytes.as_ref()));
    written.map_err(|source| WriteFault { path: path.to_owned(), source })
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
        ("tokens.csv", csv(tokens_csv(model))),
        ("steps.csv", csv(steps_csv(model))),
        ("exchanges.csv", csv(exchanges_csv(model))),
        ("streams.csv", csv(streams_csv(model))),
        ("kinds.csv", csv(kinds_csv(model))),
        ("outages.csv", csv(outages_csv(model))),
        ("availability.csv", csv(availability_csv(model))),
        ("timeseries.csv", csv(timeseries_csv(model))),
        ("observed.csv", csv(observed_csv(model))),
        ("histograms.hlog", Ok(histograms_hlog(model))),
        (PAGE_FILE, report_html(model).map_err(io::Error::other)),
        // Last: where it is, the others are.
        (RUN_JSON_FILE, pretty.map(|text| text + "\n")),
    ];
    let mut faults = Vec::new();
    // Files that few scenarios have are there only for those.
    let is_of_use = |name: &str| match name {
        "observed.csv" => !model.manifest.observed.is_empty(),
        "exchanges.csv" => !exchanges(model).is_empty(),
        "streams.csv" => !streams(model).is_empty(),
        "kinds.csv" => has_kinds(model),
        _ => true,
    };
    for (name, text) in files.into_iter().filter(|(name, _)| is_of_use(name)) {
        let path = folder.join(name);
        let written = match text {
            Ok(text) => write_file(&path, &text),
            Err(source) => Err(WriteFault { path, source }),
        };
        faults.extend(written.err());
    }
    faults
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_link_is_replaced_and_what_it_points_to_stays() {
        let (home, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (link, precious) = (home.path().join("run.json"), outside.path().join("precious"));
        fs::write(&precious, "precious").unwrap();
        symlink(&precious, &link).unwrap();
        // Names that this process would take next, planted as links.
        let (_, probe) = new_file(home.path()).unwrap();
        let number: u32 =
            probe.to_str().unwrap().rsplit_once('-').unwrap().1.trim_end_matches(".tmp").parse().unwrap();
        for next in number..number + 20 {
            let planted = home.path().join(format!(".resurge-{}-{next}.tmp", std::process::id()));
            drop(symlink(&precious, planted));
        }
        write_file(&link, "ours").unwrap();
        assert!(!link.symlink_metadata().unwrap().is_symlink());
        assert_eq!(
            (fs::read_to_string(&link).unwrap(), fs::read_to_string(&precious).unwrap()),
            ("ours".into(), "precious".into())
        );
        let dangling = home.path().join("dangling");
        symlink(outside.path().join("new"), &dangling).unwrap();
        write_named(&dangling, "ours").unwrap();
        assert_eq!(names(outside.path()), ["precious"]);
    }

    #[test]
    fn what_cannot_be_written_leaves_nothing_behind() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("file");
        fs::create_dir(&folder).unwrap();
        let fault = write_file(&folder, "text").unwrap_err().to_string();
        assert!(fault.starts_with("cannot write ") && fault.contains("file: "), "{fault}");
        assert_eq!(names(home.path()), ["file"]);
        assert!(check_writable(&home.path().join("x")).is_ok());
        assert!(check_writable(&home.path().join("no/x")).is_err());
        assert_eq!(names(home.path()), ["file"], "a probe is gone again");
    }

    #[test]
    fn streams_are_written_to_and_files_replaced() {
        let home = tempfile::tempdir().unwrap();
        let (pipe, file) = (home.path().join("pipe"), home.path().join("file"));
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        fs::write(&file, "").unwrap();
        let link = home.path().join("link");
        symlink(&file, &link).unwrap();
        let rows = [
            (pipe.as_path(), true),
            (&file, false),
            (&link, false),
            (Path::new("/dev/null"), true),
            (Path::new("/dev/stdout"), true),
            (Path::new("/proc/self/fd/0"), true),
            (home.path(), false),
            (Path::new("/dev/shm/no-such-file"), false),
        ];
        for (path, expected) in rows {
            assert_eq!(is_stream(path), expected, "{}", path.display());
        }
        write_named(Path::new("/dev/null"), "text").unwrap();
    }
}
