//! A journal that comes in pieces, from where it is written.
//!
//! In: bytes, each with its place in the journal; again, out of order, or after others were lost on the way. Out: what is new, the entries that it completes, each
//! once, and from where on something is missing. Pure: where the copy is kept is its owner's to say.

use super::entry::{Entry, decode};
use super::frame::{Frame, Framing, MAGIC, next_frame};
use super::manifest::{Manifest, SCHEMA_VERSION};
use super::note::Note;
use super::packed::PackedTally;

/// The most bytes of an entry that is not whole yet.
const MOST_PENDING: usize = 64 * 1024 * 1024;

/// How far a copy of a journal has come.
#[derive(Debug, Default)]
pub struct JournalCopy {
    /// What has come in whole frames, from the journal's first byte on.
    whole: u64,
    /// What has come behind them, as far as it is no whole frame yet.
    pending: Vec<u8>,
    manifest: Option<Manifest>,
    has_ended: bool,
}

/// What a piece brought.
#[derive(Debug, PartialEq)]
pub enum Piece {
    /// What is whole now, and was not before; it may be nothing.
    Fresh {
        /// To be appended to the copy.
        bytes: Vec<u8>,
        /// What was told, in order.
        told: Vec<Told>,
    },
    /// Something before it is missing, from this byte on: nothing was taken.
    Gap(u64),
}

/// An entry of a journal, as far as it is of use before the journal is whole.
#[derive(Debug, PartialEq)]
pub enum Told {
    /// A second's numbers, of each group.
    Second(Vec<PackedTally>),
    /// What was done to the service, or told by it.
    Note(Note),
}

/// What came is no journal of this version of the program, or none of its entries stands where it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("at byte {at}: {what}")]
pub struct CopyFault {
    /// Where.
    pub at: u64,
    /// What is wrong.
    pub what: &'static str,
}

impl JournalCopy {
    /// How many bytes have come, from the first on, without a gap.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.whole + self.pending.len() as u64
    }

    /// What has come behind the last whole frame, and is in no copy yet.
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        &self.pending
    }

    /// Takes in `bytes`, whose first one is byte `at` of the journal.
    ///
    /// # Errors
    /// [`CopyFault`]: nothing of them was taken.
    pub fn take(&mut self, at: u64, bytes: &[u8]) -> Result<Piece, CopyFault> {
        if at > self.length() {
            return Ok(Piece::Gap(self.length()));
        }
        let fault = match self.take_behind(self.length(), at, bytes) {
            Err(fault) if !self.pending.is_empty() => fault,
            taken => return taken,
        };
        // What is wrong may have come before: frames that are whole are sound, and nothing behind them is known to be.
        log::debug!("{fault}");
        self.pending.clear();
        if at > self.whole { Ok(Piece::Gap(self.whole)) } else { self.take_behind(self.whole, at, bytes) }
    }

    /// Takes in what of `bytes` lies behind byte `known`, which is as far as anything has come.
    fn take_behind(&mut self, known: u64, at: u64, bytes: &[u8]) -> Result<Piece, CopyFault> {
        let known = usize::try_from(known - at).unwrap_or(usize::MAX).min(bytes.len());
        let mut next = Next {
            pending: [self.pending.as_slice(), &bytes[known..]].concat(),
            begin: self.whole,
            groups: self.manifest.as_ref().map(|manifest| manifest.groups.len()),
            manifest: None,
            has_ended: self.has_ended,
        };
        let (told, bytes) = next.whole()?;
        self.manifest = self.manifest.take().or(next.manifest);
        self.pending = next.pending;
        self.has_ended = next.has_ended;
        self.whole += bytes.len() as u64;
        Ok(Piece::Fresh { bytes, told })
    }

    /// How the run was begun there, once that has come.
    #[must_use]
    pub const fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// Whether its last entry has come.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.has_ended
    }
}

/// A copy with a piece more, until that is known to be sound.
struct Next {
    pending: Vec<u8>,
    /// Where `pending` begins in the journal.
    begin: u64,
    /// How many groups there are; `None` until the manifest has come.
    groups: Option<usize>,
    manifest: Option<Manifest>,
    has_ended: bool,
}

impl Next {
    /// Takes what is whole out of what is pending: what it tells, and its bytes.
    fn whole(&mut self) -> Result<(Vec<Told>, Vec<u8>), CopyFault> {
        let (mut told, mut used) = (Vec::new(), 0);
        if self.begin == 0 {
            let magic = &self.pending[..self.pending.len().min(MAGIC.len())];
            if !MAGIC.starts_with(magic) {
                return Err(CopyFault { at: 0, what: "this is no journal" });
            }
            if magic.len() < MAGIC.len() {
                return Ok((told, Vec::new()));
            }
            used = MAGIC.len();
        }
        loop {
            let at = self.begin + used as u64;
            let fault = |what| CopyFault { at, what };
            let mut rest = &self.pending[used..];
            let frame = next_frame(&mut rest, Framing::Checked, at);
            let payload = match frame.map_err(|_| fault("it cannot be read"))? {
                Frame::Payload(payload) => payload,
                Frame::End(_) => break,
                Frame::Damaged(what) => return Err(fault(what)),
            };
            let entry = decode(&payload, SCHEMA_VERSION).ok_or(fault("an entry cannot be read"))?;
            match (self.groups, entry) {
                _ if self.has_ended => return Err(fault("something follows the last entry")),
                (None, Entry::Manifest(manifest)) => {
                    self.groups = Some(manifest.groups.len());
                    self.manifest = Some(*manifest);
                }
                (Some(count), Entry::Interval { groups, .. }) if groups.len() == count => {
                    told.push(Told::Second(groups));
                }
                (Some(_), Entry::Note(note)) => told.push(Told::Note(note)),
                (Some(_), Entry::End(_)) => self.has_ended = true,
                _ => return Err(fault("an entry stands where none may")),
            }
            used += usize::try_from(Framing::Checked.frame_length(&payload)).unwrap_or(usize::MAX);
        }
        if self.pending.len() - used > MOST_PENDING {
            return Err(CopyFault { at: self.begin + used as u64, what: "an entry is too long" });
        }
        // Without its manifest a journal is looked at from its first byte again.
        let used = if self.groups.is_some() { used } else { 0 };
        let rest = self.pending.split_off(used);
        let whole = std::mem::replace(&mut self.pending, rest);
        Ok((told, whole))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::journal::tests::{manifest, read, written};

    /// Takes the pieces; answers with the copy and what was told.
    fn copied<'b>(pieces: impl IntoIterator<Item = (u64, &'b [u8])>) -> (Vec<u8>, Vec<Told>, JournalCopy) {
        let (mut copy, mut bytes, mut all) = (JournalCopy::default(), Vec::new(), Vec::new());
        for (at, piece) in pieces {
            match copy.take(at, piece).unwrap() {
                Piece::Fresh { bytes: fresh, told } => {
                    bytes.extend_from_slice(&fresh);
                    all.extend(told);
                }
                Piece::Gap(from) => assert!(from < at),
            }
            assert_eq!(copy.length(), (bytes.len() + copy.rest().len()) as u64);
        }
        (bytes, all, copy)
    }

    proptest! {
        /// However it is cut, and whatever comes twice.
        #[test]
        fn pieces_make_the_journal(
            cuts in prop::collection::vec(0.0..1.0_f64, 0..12),
            back in prop::collection::vec(0..400_u64, 0..12),
        ) {
            let journal = written(4);
            let mut ends: Vec<usize> = cuts.iter().map(|cut| (cut * journal.len() as f64) as usize).collect();
            ends.push(journal.len());
            ends.sort_unstable();
            let mut from = 0;
            let mut pieces = Vec::new();
            for (index, end) in ends.into_iter().enumerate() {
                let again = back.get(index).copied().unwrap_or(0).min(from as u64) as usize;
                pieces.push(((from - again) as u64, &journal[from - again..end]));
                from = end;
            }
            let (bytes, told, copy) = copied(pieces);
            prop_assert_eq!(&bytes, &journal);
            let intervals = read(&journal).unwrap().intervals;
            let seconds: Vec<_> = intervals.into_iter().map(|(_, groups)| Told::Second(groups)).collect();
            prop_assert_eq!(told, seconds);
            prop_assert_eq!(copy.manifest(), Some(&manifest()));
        }
    }

    #[test]
    fn a_gap_is_told_and_filled() {
        let journal = written(3);
        let half = journal.len() / 2;
        let mut copy = JournalCopy::default();
        assert_eq!(copy.take(half as u64, &journal[half..]), Ok(Piece::Gap(0)));
        let (bytes, told, _) =
            copied([(0, &journal[..half]), (half as u64 + 1, &[]), (half as u64, &journal[half..])]);
        assert_eq!((bytes, told.len()), (journal, 3));
    }

    #[test]
    fn what_is_no_journal_is_refused_and_spoils_nothing() {
        let journal = written(2);
        let mut copy = JournalCopy::default();
        assert!(copy.take(0, b"RSRGJR99").is_err() && copy.take(0, &[0; 40]).is_err());
        let (mut flipped, half) = (journal.clone(), journal.len() / 2);
        flipped[half + 30] ^= 1;
        assert!(copy.take(0, &flipped).is_err());
        copy.take(0, &journal[..half]).unwrap();
        // It may be what came before that is wrong: all behind the last whole frame is wanted again.
        let Ok(Piece::Gap(whole)) = copy.take(half as u64, &flipped[half..]) else { panic!("it was taken") };
        assert!(copy.rest().is_empty() && copy.length() == whole && whole < half as u64);
        assert!(copy.take(whole, &flipped[whole as usize..]).is_err());
        copy.take(whole, &journal[whole as usize..]).unwrap();
        assert!(!copy.has_ended() && copy.length() == journal.len() as u64);
        assert!(copy.take(journal.len() as u64, b"garbage that is no frame").is_err());
    }

    /// Some bytes that may be the beginning of a frame, and are not.
    #[test]
    fn what_a_stranger_puts_in_between_is_dropped_again() {
        let journal = written(3);
        let (mut copy, mut bytes) = (JournalCopy::default(), Vec::new());
        let mut put = |copy: &mut JournalCopy, at: u64, piece: &[u8]| match copy.take(at, piece) {
            Ok(Piece::Fresh { bytes: fresh, .. }) => {
                bytes.extend(fresh);
                None
            }
            Ok(Piece::Gap(from)) => Some(from),
            Err(_) => Some(u64::MAX),
        };
        let half = journal.len() / 2;
        assert_eq!(put(&mut copy, 0, &journal[..half]), None);
        assert_eq!(put(&mut copy, half as u64, &[7, 0, 0]), None);
        let from = put(&mut copy, half as u64, &journal[half..]).unwrap();
        assert!(from <= half as u64);
        assert_eq!(put(&mut copy, from, &journal[from as usize..]), None);
        assert_eq!(bytes, journal);
    }
}
