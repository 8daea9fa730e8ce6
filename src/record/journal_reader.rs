//! Reading a journal entry by entry.
//!
//! In: the bytes of a journal, from anywhere. Out: its entries, checked, in order; and how much was lost where the end is torn. One entry is in memory at a
//! time, however long the run was.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use super::journal::{
    Entry, FRAME_HEAD, JournalError, MAGIC, MAX_PAYLOAD, check_version, decode, has_frame_behind,
};
use super::manifest::{Manifest, SCHEMA_VERSION};

/// A journal that is being read: its manifest was.
pub struct JournalReader<R> {
    source: R,
    path: PathBuf,
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

/// What stands where a frame should.
enum Frame {
    Payload(Vec<u8>),
    /// The end, with so many bytes that are no whole frame.
    End(u64),
    Damaged(&'static str),
}

impl<R: Read> JournalReader<R> {
    pub(super) fn new(path: &Path, mut source: R) -> Result<Self, JournalError> {
        let fault = |source| JournalError::Io { path: path.to_owned(), source };
        let mut magic = [0; MAGIC.len()];
        let length = read_up_to(&mut source, &mut magic).map_err(fault)?;
        if !MAGIC.starts_with(&magic[..length]) {
            return Err(JournalError::NotAJournal { path: path.to_owned() });
        }
        let empty = || JournalError::Empty { path: path.to_owned() };
        let damaged =
            |what| JournalError::Damaged { path: path.to_owned(), offset: MAGIC.len() as u64, what };
        if length < MAGIC.len() {
            return Err(empty());
        }
        let payload = match next_frame(&mut source).map_err(fault)? {
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
        let offset = (MAGIC.len() + FRAME_HEAD + payload.len()) as u64;
        let path = path.to_owned();
        Ok(Self { source, path, offset, manifest, last_second: None, ended: false, torn_bytes: 0 })
    }

    /// How the run was begun.
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Bytes at the end that were no whole frame, once the end was reached.
    pub const fn torn_bytes(&self) -> u64 {
        self.torn_bytes
    }

    /// The next entry, an interval or the run's end; `None` at the journal's end, torn or not.
    ///
    /// # Errors
    /// [`JournalError`] when it cannot be read or is damaged.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, JournalError> {
        let frame = next_frame(&mut self.source)
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
            Some(Entry::End(end)) if !self.ended => {
                self.ended = true;
                Entry::End(end)
            }
            Some(_) => return Err(self.damaged("an entry stands where none may")),
        };
        self.offset += (FRAME_HEAD + payload.len()) as u64;
        Ok(Some(entry))
    }

    fn damaged(&self, what: &'static str) -> JournalError {
        JournalError::Damaged { path: self.path.clone(), offset: self.offset, what }
    }
}

/// The payload of the next frame.
///
/// Appends are in order, so a bad frame with no good one behind it is a torn tail: cut short by a crash, or left as zeros where
/// the machine lost power between growing the file and filling it. With a good one behind it, it is damage.
fn next_frame(source: &mut impl Read) -> io::Result<Frame> {
    let mut head = [0; FRAME_HEAD];
    let length = read_up_to(source, &mut head)?;
    if length < FRAME_HEAD {
        return Ok(Frame::End(length as u64));
    }
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (length, checksum) = (word(0) as usize, word(4));
    let mut body = Vec::new();
    let fault = if length == 0 || length > MAX_PAYLOAD {
        "a frame's length cannot be"
    } else {
        // Read as it comes: nothing is allocated on a promise of the file.
        let found = source.by_ref().take(length as u64).read_to_end(&mut body)?;
        match found == length {
            true if crc32c::crc32c(&body) == checksum => return Ok(Frame::Payload(body)),
            true => "a frame's checksum is wrong",
            false => "a frame's length is wrong",
        }
    };
    source.read_to_end(&mut body)?;
    match has_frame_behind(&body) {
        true => Ok(Frame::Damaged(fault)),
        false => Ok(Frame::End((FRAME_HEAD + body.len()) as u64)),
    }
}

/// Fills `buffer` as far as there is something to read.
fn read_up_to(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
