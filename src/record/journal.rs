//! The journal: the truth of a run, from which all else derives.
//!
//! In: entries, appended as the run goes on. Out: the same entries, and how much was lost where the end is torn. A file is [`MAGIC`], then
//! frames: length (u32 LE) and CRC-32C (RFC 3720 §B.4, u32 LE) of the payload, then the payload, whose first byte is its kind. A torn tail is what a crash
//! leaves; damage before it is an error that names the offset.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::journal_reader::{JournalReader, open_journal};
use super::manifest::{Manifest, RunEnd, SCHEMA_VERSION};
use super::packed::{PackedTally, PackedTallyV1};

/// The first bytes of every journal.
pub(super) const MAGIC: &[u8; 8] = b"RSRGJRNL";
/// The largest payload that is believed.
pub(super) const MAX_PAYLOAD: usize = 256 * 1024 * 1024;
/// Bytes of a frame before its payload.
pub(super) const FRAME_HEAD: usize = 8;

const KIND_MANIFEST: u8 = 1;
const KIND_INTERVAL: u8 = 2;
const KIND_END: u8 = 3;

/// An entry of a journal.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// How the run was begun. The first entry.
    Manifest(Box<Manifest>),
    /// A second's numbers, a tally for each group in the scenario's order.
    Interval {
        /// Which second since the run's start.
        second: u64,
        /// The groups' tallies.
        groups: Vec<PackedTally>,
    },
    /// How the run ended. The last entry, missing after a crash.
    End(Box<RunEnd>),
}

#[derive(Deserialize)]
struct IntervalRecord {
    second: u64,
    groups: Vec<PackedTally>,
}

/// An [`IntervalRecord`] as it is written.
#[derive(Serialize)]
struct IntervalView<'e> {
    second: u64,
    groups: &'e [PackedTally],
}

#[derive(Serialize, Deserialize)]
struct IntervalRecordV1 {
    second: u64,
    groups: Vec<PackedTallyV1>,
}

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no journal.
    #[error("{} is no journal of resurge: it does not begin as one", path.display())]
    NotAJournal {
        /// The file.
        path: PathBuf,
    },
    /// It is damaged before its end.
    #[error("{} is damaged at byte {offset}: {what}. Nothing of it is reported, for what follows cannot be trusted", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// A newer program wrote it.
    #[error("{} has schema version {found}, this program reads up to {SCHEMA_VERSION}: use the resurge that wrote it, or a newer one", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// It ends before its first entry.
    #[error("{} holds nothing: the run ended before it began", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// A journal that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Journal {
    /// How the run was begun.
    pub manifest: Manifest,
    /// Its seconds, in order: which, and a tally for each group.
    pub intervals: Vec<(u64, Vec<PackedTally>)>,
    /// How it ended; `None` after a crash.
    pub end: Option<RunEnd>,
    /// Bytes at the end that were no whole frame: what a crash cut off.
    pub torn_bytes: u64,
}

/// Appends to a journal.
#[derive(Debug)]
pub struct JournalWriter {
    file: File,
}

impl JournalWriter {
    /// Begins a journal. The file must not exist.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn create(path: &Path, manifest: &Manifest) -> io::Result<Self> {
        let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
        file.write_all(MAGIC)?;
        let mut writer = Self { file };
        writer.append(&Entry::Manifest(Box::new(manifest.clone())))?;
        Ok(writer)
    }

    /// Appends an entry, in one write: it is in the kernel's hands when this returns.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn append(&mut self, entry: &Entry) -> io::Result<()> {
        let payload = encode(entry)?;
        let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
        let mut frame = Vec::with_capacity(payload.len() + FRAME_HEAD);
        frame.extend_from_slice(&length.to_le_bytes());
        frame.extend_from_slice(&crc32c::crc32c(&payload).to_le_bytes());
        frame.extend_from_slice(&payload);
        self.file.write_all(&frame)
    }

    /// A writer that cannot write.
    #[cfg(test)]
    pub(super) fn read_only(path: &Path) -> Self {
        Self { file: File::open(path).expect("a file to open") }
    }

    /// Waits until everything is on the disk.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
}

fn encode(entry: &Entry) -> io::Result<Vec<u8>> {
    let mut payload = Vec::new();
    match entry {
        Entry::Manifest(manifest) => {
            payload.push(KIND_MANIFEST);
            serde_json::to_writer(&mut payload, manifest)?;
        }
        Entry::Interval { second, groups } => {
            payload.push(KIND_INTERVAL);
            let record = IntervalView { second: *second, groups };
            payload = postcard::to_extend(&record, payload).map_err(io::Error::other)?;
        }
        Entry::End(end) => {
            payload.push(KIND_END);
            serde_json::to_writer(&mut payload, end)?;
        }
    }
    Ok(payload)
}

pub(super) fn decode(payload: &[u8], version: u32) -> Option<Entry> {
    let (kind, body) = payload.split_first()?;
    match *kind {
        KIND_MANIFEST => {
            serde_json::from_slice(body).ok().map(|manifest| Entry::Manifest(Box::new(manifest)))
        }
        KIND_INTERVAL => {
            let record = decode_interval(body, version)?;
            record.groups.iter().try_for_each(PackedTally::check).ok()?;
            Some(Entry::Interval { second: record.second, groups: record.groups })
        }
        KIND_END => serde_json::from_slice(body).ok().map(|end| Entry::End(Box::new(end))),
        _ => None,
    }
}

fn decode_interval(body: &[u8], version: u32) -> Option<IntervalRecord> {
    if version >= 2 {
        return postcard::from_bytes(body).ok();
    }
    let IntervalRecordV1 { second, groups } = postcard::from_bytes(body).ok()?;
    Some(IntervalRecord { second, groups: groups.into_iter().map(PackedTally::from).collect() })
}

/// Reads a journal.
///
/// # Errors
/// [`JournalError`] when it is none, damaged before its end, or newer than this program.
pub fn read_journal(path: &Path) -> Result<Journal, JournalError> {
    read_all(open_journal(path)?)
}

fn read_all<R: Read>(mut reader: JournalReader<R>) -> Result<Journal, JournalError> {
    let (mut intervals, mut end) = (Vec::new(), None);
    while let Some(entry) = reader.next_entry()? {
        match entry {
            Entry::Interval { second, groups } => intervals.push((second, groups)),
            Entry::End(found) => end = Some(*found),
            // The reader answers with none behind the first.
            Entry::Manifest(_) => {}
        }
    }
    Ok(Journal { manifest: reader.manifest().clone(), intervals, end, torn_bytes: reader.torn_bytes() })
}

/// Whether a whole frame lies somewhere behind a bad frame's head.
pub(super) fn has_frame_behind(body: &[u8]) -> bool {
    (0..body.len().saturating_sub(FRAME_HEAD)).any(|at| {
        let head = &body[at..at + FRAME_HEAD];
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let checksum = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        let start = at + FRAME_HEAD;
        let payload = body.get(start..start.saturating_add(length));
        payload.is_some_and(|payload| {
            matches!(payload.first(), Some(&(KIND_INTERVAL | KIND_END)))
                && crc32c::crc32c(payload) == checksum
        })
    })
}

pub(super) fn check_version(path: &Path, payload: &[u8]) -> Result<(), JournalError> {
    #[derive(Deserialize)]
    struct Version {
        schema_version: u32,
    }
    let version = payload.get(1..).and_then(|json| serde_json::from_slice::<Version>(json).ok());
    match version {
        Some(Version { schema_version }) if schema_version > SCHEMA_VERSION => {
            Err(JournalError::Newer { path: path.to_owned(), found: schema_version })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::record::{GroupManifest, HostManifest, Tally};
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
            groups: vec![GroupManifest { name: "g".into(), clients: 1 }],
            storms: Vec::new(),
            thresholds: Vec::new(),
            host: HostManifest { cores: 1, kernel: "k".into(), descriptor_limit: 1, local_ports: 1 },
            simulated: None,
        }
    }

    fn interval(second: u64) -> Entry {
        let mut tally = Tally::default();
        tally.apply(&Sample::Count(Counter::TokensFetched, second + 1));
        tally.apply(&Sample::Lag(Duration::from_millis(second)));
        Entry::Interval { second, groups: vec![PackedTally::of(&tally)] }
    }

    fn written(intervals: u64) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.bin");
        let mut writer = JournalWriter::create(&path, &manifest()).unwrap();
        for second in 0..intervals {
            writer.append(&interval(second)).unwrap();
        }
        std::fs::read(path).unwrap()
    }

    fn read(bytes: &[u8]) -> Result<Journal, JournalError> {
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
    fn a_torn_tail_loses_the_torn_entry_and_no_more() {
        let whole = written(3);
        let complete = read(&whole).unwrap();
        for length in 0..whole.len() {
            match read(&whole[..length]) {
                Ok(journal) => {
                    let n = journal.intervals.len();
                    assert!(
                        n < 3 && journal.intervals == complete.intervals[..n],
                        "a prefix of the truth at {length}"
                    );
                }
                Err(JournalError::Empty { .. }) => assert!(length < written(0).len(), "{length}"),
                Err(error) => panic!("{length}: {error}"),
            }
        }
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
        // As written by version 1: see the snapshot below, less the storms at its end.
        let mut payload = encode(&interval(1)).unwrap();
        assert_eq!(payload.pop(), Some(0), "no storms");
        assert!(decode(&payload, 2).is_none());
        assert_eq!(decode(&payload, 1), Some(interval(1)));
        let old = Manifest { schema_version: 1, ..manifest() };
        let head = encode(&Entry::Manifest(Box::new(old.clone()))).unwrap();
        let mut bytes = MAGIC.to_vec();
        for payload in [&head, &payload] {
            bytes.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
            bytes.extend_from_slice(&crc32c::crc32c(payload).to_le_bytes());
            bytes.extend_from_slice(payload);
        }
        let journal = read(&bytes).unwrap();
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
    fn a_tail_of_zeros_or_garbage_is_torn() {
        let whole = written(2);
        let complete = read(&whole).unwrap();
        let last = whole.len() - written(1).len();
        for tail in [vec![0_u8; 5], vec![0; 4_096], vec![0xa5; 300]] {
            let journal = read(&[whole.as_slice(), &tail].concat()).unwrap();
            assert_eq!(journal.intervals, complete.intervals);
            assert_eq!(journal.torn_bytes, tail.len() as u64);
        }
        let mut unfilled = whole.clone();
        unfilled[written(1).len()..].fill(0);
        let journal = read(&unfilled).unwrap();
        assert_eq!((journal.intervals.len(), journal.torn_bytes), (1, last as u64));
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
        2
        first reconnect
        ok http_403 http_401 http_429 http_4xx http_5xx token_refused token_error dns tcp_refused tcp_reset timeout tls protocol local_limit aborted step_refused step_error
        stale_token expired_token missing_scope no_token unknown_token rate_limited displaced edge forbidden_other unknown
        target client network storm
        fin rst timeout protocol dropped
        reconnect_latency reconnect_service_time connect_latency refused_latency phase_detect phase_backoff phase_token phase_dns phase_tcp phase_tls phase_upgrade phase_ready session_length message_latency lag token_age cascade_depth
        clients_started disconnects reconnects reconnects_given_up reconnects_not_wanted reconnects_unfinished first_given_up tokens_fetched token_failures ready_timeouts messages_in messages_out bytes_in bytes_out messages_missed outages_measured token_pool_waits tcp_connections unsettled tokens_for_reconnects dead_token_handshakes refetch_turns refresh_tokens_refused
        ");
        let payload = encode(&interval(1)).unwrap();
        insta::assert_snapshot!(payload.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), @"0201010000010702010e2b1c849313000000030000000000000003000000000000000100000000000000023ff0000000000000cf0f0200");
    }

    #[test]
    fn damage_in_the_middle_names_its_offset() {
        let mut bytes = written(3);
        let first_interval = written(0).len();
        bytes[first_interval + 12] ^= 1;
        match read(&bytes) {
            Err(JournalError::Damaged { offset, .. }) => assert_eq!(offset, first_interval as u64),
            other => panic!("{other:?}"),
        }
    }

    proptest! {
        #[test]
        fn no_flip_gives_a_wrong_number(at in 0_usize..100_000, bit in 0_u8..8) {
            let whole = written(4);
            let mut bytes = whole.clone();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            if let Ok(journal) = read(&bytes) {
                let complete = read(&whole).unwrap();
                let n = journal.intervals.len();
                prop_assert!(journal.intervals == complete.intervals[..n], "at {at}");
                prop_assert!(n >= 3, "a flip loses at most the last entry, as a torn tail");
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut journal = MAGIC.to_vec();
            journal.extend_from_slice(&bytes);
            let _ = read(&journal);
            let _ = read(&bytes);
        }
    }
}
