//! What damage makes of a journal, tried exhaustively: every truncation, every flipped bit. A number is the one that was written, or there is none.

use std::path::Path;

use super::entry::{Entry, encode};
use super::frame::{MAGIC, old_journal};
use super::journal::tests::{interval, manifest, read, written};
use super::journal::{Journal, journal_bytes, read_journal};
use super::journal_error::JournalError;
use super::{GeneratorHealth, RunEnd, SCHEMA_VERSION, Steps};
use crate::engine::StopReason;

fn end() -> RunEnd {
    RunEnd {
        reason: StopReason::Completed,
        elapsed_s: 3.0,
        clients_planned: 1,
        drained: true,
        health: GeneratorHealth::default(),
        target_counters: None,
        write_faults: Vec::new(),
        first_starts: Vec::new(),
        delays: Steps::default(),
        stalls: Steps::default(),
        target_reconnects: None,
    }
}

/// Four seconds and an end.
fn small() -> Journal {
    let intervals = (0..4).map(|second| match interval(second) {
        Entry::Interval { second, groups } => (second, groups),
        other => panic!("{other:?}"),
    });
    Journal {
        manifest: manifest(),
        intervals: intervals.collect(),
        notes: Vec::new(),
        end: Some(end()),
        torn_bytes: 0,
    }
}

/// The beginning of a real run's journal, and its end.
fn real() -> Journal {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("reports/sample/journal.bin");
    let mut journal = read_journal(&sample).unwrap();
    // It is written again as this program writes it.
    journal.manifest.schema_version = SCHEMA_VERSION;
    let last = journal.intervals.len() - 1;
    journal.intervals.drain(3..last);
    journal
}

/// Entries as a journal's frames hold them.
fn payloads(journal: &Journal) -> Vec<Vec<u8>> {
    let mut all = vec![Entry::Manifest(Box::new(journal.manifest.clone()))];
    let intervals = journal.intervals.iter();
    all.extend(intervals.map(|(second, groups)| Entry::Interval { second: *second, groups: groups.clone() }));
    all.extend(journal.end.iter().map(|end| Entry::End(Box::new(end.clone()))));
    all.iter().map(|entry| encode(entry).unwrap()).collect()
}

/// Where each frame begins whose head takes `head` bytes, and where the last one ends.
fn bounds(journal: &Journal, head: usize) -> Vec<usize> {
    let mut at = MAGIC.len();
    let mut bounds = vec![at];
    for payload in payloads(journal) {
        at += head + payload.len();
        bounds.push(at);
    }
    bounds
}

/// Where the frame begins that holds byte `at`.
fn frame_of(bounds: &[usize], at: usize) -> usize {
    *bounds.iter().rfind(|bound| **bound <= at).unwrap()
}

/// A journal of which some whole entries were read, and the rest is torn.
fn assert_prefix(found: &Journal, whole: &Journal, frames: usize, torn: usize, what: &str) {
    let seconds = frames.saturating_sub(1).min(whole.intervals.len());
    assert_eq!(found.manifest, whole.manifest, "{what}");
    assert!(found.intervals == whole.intervals[..seconds], "{what}: no prefix of the truth");
    let has_end = frames == whole.intervals.len() + 2;
    assert_eq!(found.end, has_end.then(|| whole.end.clone()).flatten(), "{what}");
    assert_eq!(found.torn_bytes, torn as u64, "{what}");
}

fn assert_truncations(bytes: &[u8], whole: &Journal, bounds: &[usize]) {
    assert_eq!(bytes.len(), *bounds.last().unwrap());
    for length in 0..=bytes.len() {
        let frames = bounds[1..].iter().filter(|bound| **bound <= length).count();
        let what = format!("cut at byte {length}");
        match read(&bytes[..length]) {
            Ok(found) => assert_prefix(&found, whole, frames, length - bounds[frames], &what),
            Err(JournalError::Empty { .. }) => assert_eq!(frames, 0, "{what}"),
            Err(error) => panic!("{what}: {error}"),
        }
    }
}

#[test]
fn every_truncation_is_a_torn_tail_and_loses_only_what_is_not_there() {
    for whole in [small(), real()] {
        assert_truncations(&journal_bytes(&whole).unwrap(), &whole, &bounds(&whole, 12));
        assert_truncations(&old_journal(&payloads(&whole)), &whole, &bounds(&whole, 8));
    }
    assert_eq!(journal_bytes(&Journal { intervals: Vec::new(), end: None, ..small() }).unwrap(), written(0));
}

#[test]
fn every_flipped_bit_is_damage_and_named() {
    for whole in [small(), real()] {
        let mut bytes = journal_bytes(&whole).unwrap();
        let bounds = bounds(&whole, 12);
        for bit in 0..8 * bytes.len() {
            let (at, mask) = (bit / 8, 1 << (bit % 8));
            bytes[at] ^= mask;
            match read(&bytes) {
                Err(JournalError::Damaged { offset, .. }) => {
                    assert_eq!(offset, frame_of(&bounds, at) as u64, "bit {bit}");
                }
                Err(JournalError::NotAJournal { .. }) => assert!(at < MAGIC.len(), "bit {bit}"),
                other => panic!("bit {bit}: {other:?}"),
            }
            bytes[at] ^= mask;
        }
    }
}

#[test]
fn a_flipped_bit_of_an_old_journal_is_damage_or_costs_its_last_entries() {
    let whole = small();
    let mut bytes = old_journal(&payloads(&whole));
    let bounds = bounds(&whole, 8);
    let last = bounds[bounds.len() - 2];
    for bit in 0..8 * bytes.len() {
        let (at, mask) = (bit / 8, 1 << (bit % 8));
        bytes[at] ^= mask;
        match read(&bytes) {
            Err(JournalError::Damaged { offset, .. }) => {
                assert_eq!(offset, frame_of(&bounds, at) as u64, "bit {bit}");
            }
            Err(JournalError::NotAJournal { .. }) => assert!(at < MAGIC.len(), "bit {bit}"),
            // Its head has no checksum: a length that is too long looks like a torn tail.
            Ok(found) => {
                assert!((last..last + 4).contains(&at), "bit {bit}");
                assert_prefix(&found, &whole, bounds.len() - 2, bytes.len() - last, &format!("bit {bit}"));
            }
            Err(error) => panic!("bit {bit}: {error}"),
        }
        bytes[at] ^= mask;
    }
}

#[test]
fn a_flipped_bit_of_a_torn_journal_is_damage_or_lies_in_what_is_torn() {
    let whole = small();
    let bytes = journal_bytes(&whole).unwrap();
    let bounds = bounds(&whole, 12);
    // In the head of a frame, at its end, and in its payload.
    for (frame, more) in [(3, 5), (3, 12), (3, 30), (4, 11), (4, 13)] {
        let cut = bounds[frame] + more;
        for bit in 0..8 * cut {
            let (at, mut torn) = (bit / 8, bytes[..cut].to_vec());
            torn[at] ^= 1 << (bit % 8);
            match read(&torn) {
                Ok(found) => {
                    assert!(at >= bounds[frame], "bit {bit} of {cut}");
                    assert_prefix(&found, &whole, frame, more, &format!("bit {bit} of {cut}"));
                }
                Err(JournalError::Damaged { offset, .. }) => {
                    assert_eq!(offset, frame_of(&bounds, at) as u64, "bit {bit} of {cut}");
                }
                Err(JournalError::NotAJournal { .. }) => assert!(at < MAGIC.len()),
                Err(error) => panic!("bit {bit} of {cut}: {error}"),
            }
        }
    }
}

#[test]
fn frames_that_are_missing_twice_or_elsewhere_are_damage() {
    let whole = small();
    let bytes = journal_bytes(&whole).unwrap();
    let bounds = bounds(&whole, 12);
    let frame = |n: usize| &bytes[bounds[n]..bounds[n + 1]];
    let rows: [(&str, Vec<&[u8]>, usize); 5] = [
        ("a second is missing", vec![frame(0), frame(1), frame(3)], 2),
        ("a second is there twice", vec![frame(0), frame(1), frame(1)], 2),
        ("seconds are swapped", vec![frame(0), frame(2), frame(1)], 1),
        ("the manifest is missing", vec![frame(1), frame(2)], 0),
        ("a head lies in a head", vec![frame(0), &frame(1)[..3], frame(1)], 1),
    ];
    for (what, frames, damaged) in rows {
        let changed = [MAGIC.as_slice(), &frames.concat()].concat();
        match read(&changed) {
            Err(JournalError::Damaged { offset, .. }) => assert_eq!(offset, bounds[damaged] as u64, "{what}"),
            other => panic!("{what}: {other:?}"),
        }
    }
    let twice = [bytes.as_slice(), frame(1)].concat();
    assert!(matches!(read(&twice), Err(JournalError::Damaged { .. })), "a frame behind the end");
}

#[test]
fn zeros_at_the_end_are_torn_and_anything_else_is_damage() {
    let whole = Journal { end: None, ..small() };
    let bytes = journal_bytes(&whole).unwrap();
    let frames = whole.intervals.len() + 1;
    for zeros in [1, 5, 12, 13, 4_096, 10_000] {
        let found = read(&[bytes.as_slice(), &vec![0; zeros]].concat()).unwrap();
        assert_prefix(&found, &Journal { end: None, ..small() }, frames, zeros, &format!("{zeros} zeros"));
    }
    let mut tail = vec![0; 9_000];
    tail[8_999] = 1;
    for tail in [tail, vec![0xa5; 300], vec![0xff; 12]] {
        match read(&[bytes.as_slice(), &tail].concat()) {
            Err(JournalError::Damaged { offset, .. }) => assert_eq!(offset, bytes.len() as u64),
            other => panic!("{other:?}"),
        }
    }
}
