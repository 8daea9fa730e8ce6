//! Frames: how a journal's entries lie in its file, so that an end cut off can be told from damage.
//!
//! In: payloads; or the bytes of a journal. Out: frames; or payloads, and what stands where a frame should. A frame is a head, then its payload. The head holds
//! the payload's length and CRC-32C (RFC 3720 §B.4), and a CRC-32C of both and of where the frame begins, each a u32 LE. Appends are in order and a file grows
//! at its end, so a file that ends within a frame was cut off there: a torn tail. A head or a payload that is there and is not what was written is
//! damage, wherever it lies: without its own checksum, a head with a flipped length would look like a torn tail.

use std::io::{self, Read};

/// The first bytes of every journal.
pub(super) const MAGIC: &[u8; 8] = b"RSRGJR02";
/// The first bytes of journals whose heads have no checksum. They are read, and not written any more.
const OLD_MAGIC: &[u8; 8] = b"RSRGJRNL";
/// The largest payload that is believed.
const MAX_PAYLOAD: usize = 256 * 1024 * 1024;
/// Bytes of a frame before its payload, without the head's checksum and with it.
const OLD_HEAD: usize = 8;
const HEAD: usize = 12;

/// How frames are told from damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// A head is a length and the payload's checksum.
    Old,
    /// A head has a checksum of its own.
    Checked,
}

impl Framing {
    /// That of a journal that begins so; `None` where it is no journal.
    pub(super) fn of(magic: [u8; MAGIC.len()]) -> Option<Self> {
        match &magic {
            MAGIC => Some(Self::Checked),
            OLD_MAGIC => Some(Self::Old),
            _ => None,
        }
    }

    /// Whether a journal that was cut off within its first bytes may have begun with these.
    pub(super) fn may_begin(bytes: &[u8]) -> bool {
        MAGIC.starts_with(bytes) || OLD_MAGIC.starts_with(bytes)
    }

    /// How many bytes a frame of that payload takes.
    pub(super) const fn frame_length(self, payload: &[u8]) -> u64 {
        (self.head() + payload.len()) as u64
    }

    const fn head(self) -> usize {
        match self {
            Self::Old => OLD_HEAD,
            Self::Checked => HEAD,
        }
    }
}

/// What stands where a frame should.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// A frame's payload.
    Payload(Vec<u8>),
    /// The end, with so many bytes that are no whole frame.
    End(u64),
    /// What is wrong.
    Damaged(&'static str),
}

/// The frame of `payload`, to be written at byte `offset` of a journal.
pub(super) fn frame(offset: u64, payload: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
    let mut frame = Vec::with_capacity(payload.len() + HEAD);
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(&crc32c::crc32c(payload).to_le_bytes());
    frame.extend_from_slice(&head_checksum(offset, &frame).to_le_bytes());
    frame.extend_from_slice(payload);
    Ok(frame)
}

/// The checksum of a head's first 8 bytes, and of where it lies: a frame that was moved, or whose predecessor is gone, is damage too.
fn head_checksum(offset: u64, head: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&offset.to_le_bytes()), &head[..OLD_HEAD])
}

/// The next frame of a journal, which begins at byte `offset` of it.
///
/// Where nothing but zeros follows, the tail is torn as well: a machine that lost power may have grown the file and not filled it.
pub(super) fn next_frame(source: &mut impl Read, framing: Framing, offset: u64) -> io::Result<Frame> {
    let mut head = [0; HEAD];
    let head = &mut head[..framing.head()];
    let found = read_up_to(source, head)?;
    if found < head.len() {
        return Ok(Frame::End(found as u64));
    }
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (length, checksum) = (word(0) as usize, word(4));
    let is_believed = match framing {
        Framing::Old => true,
        Framing::Checked => word(8) == head_checksum(offset, head),
    };
    if !is_believed || length == 0 || length > MAX_PAYLOAD {
        let is_blank = head.iter().all(|byte| *byte == 0);
        let behind = if is_blank { zeros(source)? } else { None };
        return Ok(match behind {
            Some(behind) => Frame::End(head.len() as u64 + behind),
            None => Frame::Damaged("a frame's head is not what was written"),
        });
    }
    let mut body = Vec::new();
    // Read as it comes: nothing is allocated on a promise of the file.
    let found = source.by_ref().take(length as u64).read_to_end(&mut body)?;
    Ok(match found == length {
        true if crc32c::crc32c(&body) == checksum => Frame::Payload(body),
        true => Frame::Damaged("a frame's checksum is wrong"),
        // Without a checksum, the length may be what is wrong.
        false if framing == Framing::Old && has_frame_behind(&body) => {
            Frame::Damaged("a frame's length is wrong")
        }
        false => Frame::End((head.len() + found) as u64),
    })
}

/// How many bytes follow, where all are zeros.
fn zeros(source: &mut impl Read) -> io::Result<Option<u64>> {
    let (mut all, mut buffer) = (0, [0; 4_096]);
    loop {
        let found = read_up_to(source, &mut buffer)?;
        if buffer[..found].iter().any(|byte| *byte != 0) {
            return Ok(None);
        }
        all += found as u64;
        if found < buffer.len() {
            return Ok(Some(all));
        }
    }
}

/// Whether a whole frame lies somewhere behind a head that promises more than there is.
fn has_frame_behind(body: &[u8]) -> bool {
    (0..body.len().saturating_sub(OLD_HEAD)).any(|at| {
        let head = &body[at..at + OLD_HEAD];
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let checksum = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        let start = at + OLD_HEAD;
        let payload = body.get(start..start.saturating_add(length));
        payload.is_some_and(|payload| !payload.is_empty() && crc32c::crc32c(payload) == checksum)
    })
}

/// Fills `buffer` as far as there is something to read.
pub(super) fn read_up_to(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
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

/// A journal of payloads in the old framing.
#[cfg(test)]
pub(super) fn old_journal(payloads: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = OLD_MAGIC.to_vec();
    for payload in payloads {
        bytes.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(payload).to_le_bytes());
        bytes.extend_from_slice(payload);
    }
    bytes
}
