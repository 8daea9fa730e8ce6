//! What comes in: frames as they are on the wire to frames without compression.
//!
//! In: bytes of a session, in whatever pieces. Out: the bytes of the same session as if it had no compression: compressed messages are
//! inflated, each in one frame. All else passes as it is, faults included: the WebSocket library tells those.

use super::header::{Header, LONGEST, mask};
use super::message::{Broken, Inflater};
use super::terms::Side;

/// Between two messages, no more is translated than this at once.
const ENOUGH: usize = 64 * 1024;
/// A frame may be longer than the largest message by what DEFLATE adds where nothing can be compressed.
const OVERHEAD: u64 = 64;

/// Translates what comes in.
#[derive(Debug)]
pub(super) struct Incoming {
    inflater: Inflater,
    most: u64,
    /// What has come of a header.
    held: [u8; LONGEST],
    held_count: u8,
    stage: Stage,
    /// The message that is not yet complete.
    open: Open,
    /// What has been inflated of it.
    message: Vec<u8>,
    plain: u64,
    wire: u64,
}

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy)]
enum Stage {
    Header,
    /// A payload that passes.
    Pass {
        left: u64,
        counts: bool,
    },
    /// A compressed payload.
    Deflated {
        header: Header,
        read: u64,
    },
}

/// A message of which more frames are to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    None,
    Plain,
    /// Compressed, of this opcode.
    Deflated(u8),
}

impl Incoming {
    /// Inflates what a peer sends by these terms; no message of more than `most` bytes.
    pub(super) const fn new(peer: Side, most: usize) -> Self {
        Self {
            inflater: Inflater::new(peer, most),
            most: most as u64,
            held: [0; LONGEST],
            held_count: 0,
            stage: Stage::Header,
            open: Open::None,
            message: Vec::new(),
            plain: 0,
            wire: 0,
        }
    }

    /// Bytes of messages, and bytes that carried them, since the last call.
    pub(super) fn take_volume(&mut self) -> (u64, u64) {
        (std::mem::take(&mut self.plain), std::mem::take(&mut self.wire))
    }

    /// Translates from `input`, and appends to `out`. Answers with how much of `input` it took: all, or as much as makes enough.
    ///
    /// # Errors
    /// What is wrong with a compressed message. What came before it has been translated.
    pub(super) fn translate(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, Broken> {
        let mut rest = input;
        loop {
            match self.stage {
                Stage::Header if out.len() >= ENOUGH || rest.is_empty() => break,
                Stage::Header => rest = self.gather(rest, out)?,
                Stage::Pass { left, counts } => {
                    let count = at_most(left, rest);
                    out.extend_from_slice(&rest[..count]);
                    rest = &rest[count..];
                    let left = left - count as u64;
                    if counts {
                        self.plain += count as u64;
                        self.wire += count as u64;
                    }
                    self.stage = if left == 0 { Stage::Header } else { Stage::Pass { left, counts } };
                    if left > 0 {
                        break;
                    }
                }
                Stage::Deflated { header, read } => {
                    let count = at_most(header.length - read, rest);
                    self.inflate(header, read, &rest[..count])?;
                    rest = &rest[count..];
                    let read = read + count as u64;
                    if read < header.length {
                        self.stage = Stage::Deflated { header, read };
                        break;
                    }
                    self.stage = Stage::Header;
                    if header.is_last() {
                        self.finish(header.mask.is_some(), out)?;
                    }
                }
            }
        }
        Ok(input.len() - rest.len())
    }

    /// Takes in bytes of a header; answers with those behind it.
    fn gather<'b>(&mut self, bytes: &'b [u8], out: &mut Vec<u8>) -> Result<&'b [u8], Broken> {
        let held = usize::from(self.held_count);
        let count = (LONGEST - held).min(bytes.len());
        self.held[held..held + count].copy_from_slice(&bytes[..count]);
        let Some((header, length)) = Header::read(&self.held[..held + count]) else {
            self.held_count += count as u8;
            return Ok(&bytes[count..]);
        };
        self.held_count = 0;
        self.stage = self.begin(header)?;
        if let Stage::Pass { left, .. } = self.stage {
            out.extend_from_slice(&self.held[..length]);
            if left == 0 {
                self.stage = Stage::Header;
            }
        }
        // Less was held than a header has, or it would have been read before.
        Ok(&bytes[length - held..])
    }

    /// What becomes of a frame.
    fn begin(&mut self, header: Header) -> Result<Stage, Broken> {
        let pass = Stage::Pass { left: header.length, counts: header.is_data() };
        let is_deflated = match self.open {
            Open::Deflated(_) if header.begins() => return Err(Broken::Nested),
            // A bit on a frame that is not the first has no meaning (RFC 7692 §6.1).
            Open::Deflated(_) => header.opcode() == 0 && header.first & 0x70 == 0,
            Open::Plain if header.begins() && header.is_deflated() => return Err(Broken::Nested),
            _ => header.begins() && header.is_deflated(),
        };
        if !is_deflated {
            if header.is_data() {
                match (self.open, header.is_last()) {
                    (Open::None, false) if header.begins() => self.open = Open::Plain,
                    (Open::Plain, true) => self.open = Open::None,
                    _ => {}
                }
            }
            return Ok(pass);
        }
        if header.length > self.most.saturating_add(self.most / 256).saturating_add(OVERHEAD) {
            return Err(Broken::TooLarge);
        }
        if header.begins() {
            self.open = Open::Deflated(header.opcode());
        }
        Ok(Stage::Deflated { header, read: 0 })
    }

    fn inflate(&mut self, header: Header, read: u64, payload: &[u8]) -> Result<(), Broken> {
        self.wire += payload.len() as u64;
        match header.mask {
            None => self.inflater.inflate(payload, &mut self.message),
            Some(key) => {
                let mut clear = payload.to_vec();
                mask(&mut clear, key, read);
                self.inflater.inflate(&clear, &mut self.message)
            }
        }
    }

    /// A compressed message is complete.
    fn finish(&mut self, is_masked: bool, out: &mut Vec<u8>) -> Result<(), Broken> {
        let Open::Deflated(opcode) = std::mem::replace(&mut self.open, Open::None) else { return Ok(()) };
        self.inflater.finish(&mut self.message)?;
        let message = std::mem::take(&mut self.message);
        self.plain += message.len() as u64;
        // A mask of zeros changes nothing; that there was one, the library wants to see.
        let mask = is_masked.then_some([0; 4]);
        let first = Header::whole(opcode, false);
        Header { first, mask, length: message.len() as u64 }.write(out);
        out.extend_from_slice(&message);
        Ok(())
    }
}

fn at_most(left: u64, bytes: &[u8]) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len())
}
