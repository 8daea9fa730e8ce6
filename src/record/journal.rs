//! The journal: the truth of a run, from which all else derives.
//!
//! In: entries, appended as the run goes on. Out: the same entries, and how much was lost where the end is torn. A file is [`MAGIC`], then a frame for each
//! entry (see the modules `frame` and `entry`). A torn tail is what a crash leaves; damage is an error that names the offset.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::entry::{Entry, encode};
use super::frame::{MAGIC, frame};
use super::journal_error::JournalError;
use super::journal_reader::{JournalReader, open_journal};
use super::manifest::{Manifest, RunEnd};
use super::note::Note;
use super::packed::PackedTally;

/// A journal that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Journal {
    /// How the run was begun.
    pub manifest: Manifest,
    /// Its seconds, in order: which, and a tally for each group.
    pub intervals: Vec<(u64, Vec<PackedTally>)>,
    /// What was told beside the numbers, in the order in which it was written.
    pub notes: Vec<Note>,
    /// How it ended; `None` after a crash.
    pub end: Option<RunEnd>,
    /// Bytes at the end that were no whole frame: what a crash cut off.
    pub torn_bytes: u64,
}

/// Appends to a journal.
#[derive(Debug)]
pub struct JournalWriter {
    file: File,
    path: PathBuf,
    /// Where its last whole frame ends.
    length: u64,
    /// Half a frame lies behind that, and cannot be taken away.
    is_torn: bool,
}

impl JournalWriter {
    /// Begins a journal. The file must not exist.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn create(path: &Path, manifest: &Manifest) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create_new(true).open(path)?;
        let mut writer = Self { file, path: path.to_owned(), length: 0, is_torn: false };
        // In one write with its first entry: there is no moment at which it holds nothing.
        let mut beginning = MAGIC.to_vec();
        let payload = encode(&Entry::Manifest(Box::new(manifest.clone())))?;
        beginning.extend(frame(MAGIC.len() as u64, &payload)?);
        if let Err(error) = writer.write(&beginning) {
            // One that holds nothing is of no use to anybody.
            let _ = std::fs::remove_file(path);
            return Err(error);
        }
        Ok(writer)
    }

    /// Appends an entry, in one write: it is in the kernel's hands when this returns. Where it cannot be written, what was written of it is taken away again,
    /// and a later call may try once more.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn append(&mut self, entry: &Entry) -> io::Result<()> {
        if self.is_torn {
            return Err(io::Error::other("half an entry is at its end, and could not be taken away"));
        }
        let frame = frame(self.length, &encode(entry)?)?;
        self.write(&frame)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.file.write_all(bytes) {
            Ok(()) => {
                self.length += bytes.len() as u64;
                Ok(())
            }
            Err(error) => {
                self.is_torn = self.file.set_len(self.length).is_err();
                Err(error)
            }
        }
    }

    /// The file that it writes.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A writer that cannot write.
    #[cfg(test)]
    pub(super) fn read_only(path: &Path) -> Self {
        let file = File::open(path).expect("a file to open");
        let length = file.metadata().expect("a file's length").len();
        Self { file, path: path.to_owned(), length, is_torn: false }
    }

    /// Waits until everything is on the disk.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// A whole journal as the bytes of its file.
///
/// # Errors
/// An entry is too long to be one.
pub fn journal_bytes(journal: &Journal) -> io::Result<Vec<u8>> {
    let mut bytes = MAGIC.to_vec();
    let mut put = |entry: Entry| {
        let next = frame(bytes.len() as u64, &encode(&entry)?)?;
        bytes.extend(next);
        io::Result::Ok(())
    };
    put(Entry::Manifest(Box::new(journal.manifest.clone())))?;
    for (second, groups) in &journal.intervals {
        put(Entry::Interval { second: *second, groups: groups.clone() })?;
    }
    journal.notes.iter().try_for_each(|note| put(Entry::Note(note.clone())))?;
    journal.end.iter().try_for_each(|end| put(Entry::End(Box::new(end.clone()))))?;
    Ok(bytes)
}

/// Reads a journal.
///
/// # Errors
/// [`JournalError`] when it is none, damaged before its end, or newer than this program.
pub fn read_journal(path: &Path) -> Result<Journal, JournalError> {
    read_all(open_journal(path)?)
}

fn read_all<R: Read>(mut reader: JournalReader<R>) -> Result<Journal, JournalError> {
    let (mut intervals, mut notes, mut end) = (Vec::new(), Vec::new(), None);
    while let Some(entry) = reader.next_entry()? {
        match entry {
            Entry::Interval { second, groups } => intervals.push((second, groups)),
            Entry::Note(note) => notes.push(note),
            Entry::End(found) => end = Some(*found),
            // The reader answers with none behind the first.
            Entry::Manifest(_) => {}
        }
    }
    Ok(Journal {
        manifest: reader.manifest().clone(),
        intervals,
        notes,
        end,
        torn_bytes: reader.torn_bytes(),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::record::entry::decode;
    use crate::record::frame::old_journal;
    use crate::record::{GroupManifest, HostManifest, SCHEMA_VERSION, Tally};
    use crate::sample::{Abnormal, AttemptKind, Cause, Counter, Initiator, Metric, Outcome, Sample};

    pub(crate) fn manifest() -> Manifest {
        Manifest {
            schema_version: SCHEMA_VERSION,
            tool_version: "0".into(),
            scenario: "s".into(),
            scenario_hash: "h".into(),
            scenario_text: String::new(),
            seed: 1,
            started_unix_us: 1,
            duration_s: 3.0,
            target_kind: "embedded".into(),
            target_url: "ws://127.0.0.1:1/".into(),
            authorised_hosts: Vec::new(),
            shards: 1,
            held: Vec::new(),
            lost: Vec::new(),
            absent: Vec::new(),
            workers: Vec::new(),
            groups: vec![GroupManifest { name: "g".into(), clients: 1 }],
            steps: Vec::new(),
            token_pointers: Vec::new(),
            talks: Vec::new(),
            storms: Vec::new(),
            observed: Vec::new(),
            thresholds: Vec::new(),
            host: HostManifest { cores: 1, kernel: "k".into(), descriptor_limit: 1, local_ports: 1 },
            simulated: None,
        }
    }

    pub(in crate::record) fn interval(second: u64) -> Entry {
        let mut tally = Tally::default();
        tally.apply(&Sample::Count(Counter::TokensFetched, second + 1));
        tally.apply(&Sample::Lag(Duration::from_millis(second)));
        Entry::Interval { second, groups: vec![PackedTally::of(&tally)] }
    }

    pub(in crate::record) fn written(intervals: u64) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.bin");
        let mut writer = JournalWriter::create(&path, &manifest()).unwrap();
        for second in 0..intervals {
            writer.append(&interval(second)).unwrap();
        }
        std::fs::read(path).unwrap()
    }

    pub(in crate::record) fn read(bytes: &[u8]) -> Result<Journal, JournalError> {
        read_all(JournalReader::new(Path::new("j"), bytes)?)
    }

    #[test]
    fn what_was_written_is_read() {
        let journal = read(&written(3)).unwrap();
        assert_eq!(journal.manifest, manifest());
        assert_eq!(journal.intervals.len(), 3);
        assert_eq!(journal.intervals[2].1[0].counter(Counter::TokensFetched), 3);
        assert_eq!((journal.end, journal.torn_bytes), (None, 0));
    }

    #[test]
    fn a_journal_is_begun_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.bin");
        JournalWriter::create(&path, &manifest()).unwrap();
        assert!(JournalWriter::create(&path, &manifest()).is_err(), "and never overwritten");
    }

    #[test]
    fn a_journal_of_version_1_reads_as_it_was() {
        // As written by version 1: see the snapshot below, less the storms and what was taken back at its end.
        let mut payload = encode(&interval(1)).unwrap();
        assert_eq!(decode(&payload, 5), Some(interval(1)));
        assert_eq!(payload.split_off(payload.len() - 1), [0], "nobody's talk");
        assert_eq!(decode(&payload, 4), Some(interval(1)));
        assert_eq!(payload.split_off(payload.len() - 4), [0; 4], "nobody's life");
        assert_eq!(decode(&payload, 3), Some(interval(1)));
        assert_eq!(
            payload.split_off(payload.len() - 3),
            [0, 0, 0],
            "no storms, nothing taken back, no requests"
        );
        assert!(decode(&payload, 2).is_none());
        assert_eq!(decode(&payload, 1), Some(interval(1)));
        let old = Manifest { schema_version: 1, ..manifest() };
        let head = encode(&Entry::Manifest(Box::new(old.clone()))).unwrap();
        let journal = read(&old_journal(&[head, payload])).unwrap();
        assert_eq!((journal.manifest, journal.intervals.len()), (old, 1));
    }

    #[test]
    fn strangers_and_newer_files_are_told_so() {
        assert!(matches!(read(b"hello, world"), Err(JournalError::NotAJournal { .. })));
        assert!(matches!(read(b""), Err(JournalError::Empty { .. })));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.bin");
        JournalWriter::create(&path, &Manifest { schema_version: 99, ..manifest() }).unwrap();
        assert!(matches!(read_journal(&path), Err(JournalError::Newer { found: 99, .. })));
    }

    #[test]
    fn the_encoding_of_this_schema_version_stays_as_it_is() {
        // Intervals hold variants by number: one put in between would give old journals new meanings, so it needs a new
        // SCHEMA_VERSION. New ones at the end do not.
        let names = |names: &[&'static str]| names.join(" ");
        let kinds = names(&AttemptKind::ALL.iter().map(|value| value.name()).collect::<Vec<_>>());
        let outcomes = names(&Outcome::ALL.iter().map(|value| value.name()).collect::<Vec<_>>());
        let causes = names(&Cause::ALL.iter().map(|value| value.name()).collect::<Vec<_>>());
        let initiators = names(&Initiator::ALL.iter().map(|value| value.name()).collect::<Vec<_>>());
        let abnormal = names(&Abnormal::ALL.iter().map(|value| value.name()).collect::<Vec<_>>());
        let metrics = names(&Metric::ALL.iter().map(|value| value.name()).collect::<Vec<_>>());
        let counters = names(&Counter::ALL.iter().map(|value| value.name()).collect::<Vec<_>>());
        let all = [kinds, outcomes, causes, initiators, abnormal, metrics, counters].join("\n");
        insta::assert_snapshot!(format!("{SCHEMA_VERSION}\n{all}"), @r"
        6
        first reconnect
        ok http_403 http_401 http_429 http_4xx http_5xx token_refused token_error dns tcp_refused tcp_reset timeout tls protocol local_limit aborted step_refused step_error refused_close refused_message ended_early not_ready
        stale_token expired_token missing_scope no_token unknown_token rate_limited displaced edge forbidden_other unknown overloaded origin
        target client network storm
        fin rst timeout protocol dropped bad_close_code masked_frame reserved_bits bad_opcode bad_utf8 too_large bad_control_frame bad_continuation bad_deflate
        reconnect_latency reconnect_service_time connect_latency refused_latency phase_detect phase_backoff phase_token phase_dns phase_tcp phase_tls phase_upgrade phase_ready session_length message_latency lag token_age cascade_depth reconnect_away tls_full tls_resumed phase_mint
        clients_started disconnects reconnects reconnects_given_up reconnects_not_wanted reconnects_unfinished first_given_up tokens_fetched token_failures ready_timeouts messages_in messages_out bytes_in bytes_out messages_missed outages_measured token_pool_waits tcp_connections unsettled tokens_for_reconnects dead_token_handshakes refetch_turns refresh_tokens_refused certificates_not_trusted upgrades compressed_sessions plain_bytes_in payload_bytes_in plain_bytes_out payload_bytes_out connections_overtaken scopes_withheld mint_waits nonce_retries arrivals_dropped resumes_overlapped token_requests_at_start
        ");
        let payload = encode(&interval(1)).unwrap();
        insta::assert_snapshot!(payload.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), @"0201010000010702010e2b1c849313000000030000000000000003000000000000000100000000000000023ff0000000000000cf0f020000000000000000");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut journal = MAGIC.to_vec();
            journal.extend_from_slice(&bytes);
            let _ = read(&journal);
            let _ = read(&bytes);
        }
    }
}
