//! Reading a journal entry by entry.
//!
//! In: the bytes of a journal, from anywhere. Out: its entries, checked, in order; and how much was lost where the end is torn. One entry is in memory at a
//! time, however long the run was.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::entry::{Entry, decode};
use super::frame::{Frame, Framing, MAGIC, next_frame, read_up_to};
use super::journal_error::JournalError;
use super::manifest::{Manifest, SCHEMA_VERSION};

/// A journal that is being read: its manifest was.
pub struct JournalReader<R> {
    source: R,
    path: PathBuf,
    framing: Framing,
    offset: u64,
    manifest: Manifest,
    last_second: Option<u64>,
    ended: bool,
    torn_bytes: u64,
}

/// Opens a journal and reads its manifest.
///
/// # Errors
/// [`JournalError`] when it is none, holds nothing, or is newer than this program.
pub fn open_journal(path: &Path) -> Result<JournalReader<BufReader<File>>, JournalError> {
    let file = File::open(path).map_err(|source| JournalError::Io { path: path.to_owned(), source })?;
    JournalReader::new(path, BufReader::with_capacity(1 << 16, file))
}

impl<R: Read> JournalReader<R> {
    pub(super) fn new(path: &Path, mut source: R) -> Result<Self, JournalError> {
        let fault = |source| JournalError::Io { path: path.to_owned(), source };
        let mut magic = [0; MAGIC.len()];
        let length = read_up_to(&mut source, &mut magic).map_err(fault)?;
        let empty = || JournalError::Empty { path: path.to_owned() };
        let not_one = || JournalError::NotAJournal { path: path.to_owned() };
        if length < MAGIC.len() {
            return Err(if Framing::may_begin(&magic[..length]) { empty() } else { not_one() });
        }
        let framing = Framing::of(magic).ok_or_else(not_one)?;
        let offset = MAGIC.len() as u64;
        let damaged = |what| JournalError::Damaged { path: path.to_owned(), offset, what };
        let payload = match next_frame(&mut source, framing, offset).map_err(fault)? {
            Frame::Payload(payload) => payload,
            Frame::End(_) => return Err(empty()),
            Frame::Damaged(what) => return Err(damaged(what)),
        };
        check_version(path, &payload)?;
        let manifest = match decode(&payload, SCHEMA_VERSION) {
            Some(Entry::Manifest(manifest)) => *manifest,
            Some(_) => return Err(damaged("an entry stands where none may")),
            None => return Err(damaged("an entry cannot be read")),
        };
        let offset = offset + framing.frame_length(&payload);
        let path = path.to_owned();
        Ok(Self { source, path, framing, offset, manifest, last_second: None, ended: false, torn_bytes: 0 })
    }

    /// The same reader of any source.
    pub(super) fn boxed<'s>(self) -> JournalReader<Box<dyn Read + 's>>
    where
        R: 's,
    {
        let Self { source, path, framing, offset, manifest, last_second, ended, torn_bytes } = self;
        let source: Box<dyn Read + 's> = Box::new(source);
        JournalReader { source, path, framing, offset, manifest, last_second, ended, torn_bytes }
    }

    /// How the run was begun.
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Bytes at the end that were no whole frame, once the end was reached.
    pub const fn torn_bytes(&self) -> u64 {
        self.torn_bytes
    }

    /// The next entry, an interval, a note or the run's end; `None` at the journal's end, torn or not.
    ///
    /// # Errors
    /// [`JournalError`] when it cannot be read or is damaged.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, JournalError> {
        let frame = next_frame(&mut self.source, self.framing, self.offset)
            .map_err(|source| JournalError::Io { path: self.path.clone(), source })?;
        let payload = match frame {
            Frame::Payload(payload) => payload,
            Frame::End(torn) => {
                self.torn_bytes = torn;
                let follows = self.ended && torn > 0;
                return if follows {
                    Err(self.damaged("something follows the last entry"))
                } else {
                    Ok(None)
                };
            }
            Frame::Damaged(what) => return Err(self.damaged(what)),
        };
        let entry = match decode(&payload, self.manifest.schema_version) {
            None => {
                return Err(self.damaged("an entry cannot be read, or has histograms of another setting"));
            }
            Some(Entry::Interval { second, groups }) if !self.ended => {
                let in_order = self.last_second.is_none_or(|last| last < second);
                if !in_order || groups.len() != self.manifest.groups.len() {
                    return Err(self.damaged("an interval is out of order or has other groups"));
                }
                self.last_second = Some(second);
                Entry::Interval { second, groups }
            }
            Some(Entry::Note(note)) if !self.ended => Entry::Note(note),
            Some(Entry::End(end)) if !self.ended => {
                self.ended = true;
                Entry::End(end)
            }
            Some(_) => return Err(self.damaged("an entry stands where none may")),
        };
        self.offset += self.framing.frame_length(&payload);
        Ok(Some(entry))
    }

    fn damaged(&self, what: &'static str) -> JournalError {
        JournalError::Damaged { path: self.path.clone(), offset: self.offset, what }
    }
}

fn check_version(path: &Path, payload: &[u8]) -> Result<(), JournalError> {
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
