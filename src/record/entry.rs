//! An entry of a journal, and its bytes.
//!
//! In: entries, or a frame's payload. Out: the payload, whose first byte is its kind; or the entry, checked.

use std::io;

use serde::{Deserialize, Serialize};

use super::manifest::{Manifest, RunEnd};
use super::note::Note;
use super::packed::PackedTally;
use super::packed_old::{PackedTallyV1, PackedTallyV2, PackedTallyV3, PackedTallyV4, PackedTallyV5};

const KIND_MANIFEST: u8 = 1;
const KIND_INTERVAL: u8 = 2;
const KIND_END: u8 = 3;
const KIND_MARK: u8 = 4;
const KIND_OBSERVED: u8 = 5;
const KIND_REFUSED: u8 = 6;

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
    /// What was told beside the numbers, wherever it stands between the first entry and the last.
    Note(Note),
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

/// An [`IntervalRecord`] of an older schema version.
#[derive(Deserialize)]
struct OldRecord<T> {
    second: u64,
    groups: Vec<T>,
}

pub(super) fn encode(entry: &Entry) -> io::Result<Vec<u8>> {
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
        Entry::Note(Note::Mark(mark)) => {
            payload.push(KIND_MARK);
            serde_json::to_writer(&mut payload, mark)?;
        }
        Entry::Note(Note::Observed(observed)) => {
            payload.push(KIND_OBSERVED);
            serde_json::to_writer(&mut payload, observed)?;
        }
        Entry::Note(Note::Refused(refused)) => {
            payload.push(KIND_REFUSED);
            serde_json::to_writer(&mut payload, refused)?;
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
        KIND_MARK => serde_json::from_slice(body).ok().map(|mark| Entry::Note(Note::Mark(mark))),
        KIND_OBSERVED => serde_json::from_slice(body).ok().map(|seen| Entry::Note(Note::Observed(seen))),
        KIND_REFUSED => serde_json::from_slice(body).ok().map(|told| Entry::Note(Note::Refused(told))),
        KIND_END => serde_json::from_slice(body).ok().map(|end| Entry::End(Box::new(end))),
        _ => None,
    }
}

fn decode_interval(body: &[u8], version: u32) -> Option<IntervalRecord> {
    let (second, groups) = match version {
        0 | 1 => {
            let OldRecord::<PackedTallyV1> { second, groups } = postcard::from_bytes(body).ok()?;
            (second, groups.into_iter().map(PackedTallyV2::from).collect())
        }
        2 => {
            let OldRecord::<PackedTallyV2> { second, groups } = postcard::from_bytes(body).ok()?;
            (second, groups)
        }
        3 => {
            let OldRecord::<PackedTallyV3> { second, groups } = postcard::from_bytes(body).ok()?;
            return Some(IntervalRecord { second, groups: as_now(groups) });
        }
        4 => {
            let OldRecord::<PackedTallyV4> { second, groups } = postcard::from_bytes(body).ok()?;
            return Some(IntervalRecord { second, groups: as_now(groups) });
        }
        5 => {
            let OldRecord::<PackedTallyV5> { second, groups } = postcard::from_bytes(body).ok()?;
            return Some(IntervalRecord { second, groups: as_now(groups) });
        }
        _ => return postcard::from_bytes(body).ok(),
    };
    Some(IntervalRecord { second, groups: as_now(groups) })
}

fn as_now<T: Into<PackedTally>>(groups: Vec<T>) -> Vec<PackedTally> {
    groups.into_iter().map(Into::into).collect()
}
