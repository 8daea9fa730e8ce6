//! Messages, compressed and inflated (RFC 7692 §7.2).
//!
//! In: payloads. Out: the same, compressed or not. What it needs for that is made with the first message; a side that takes nothing over
//! from message to message borrows it from its thread.

use std::cell::RefCell;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::terms::Side;

/// What ends every compressed message, and is not sent (RFC 7692 §7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// How much room is made at once for what comes out.
const ROOM: usize = 4096;
/// The smallest window that zlib compresses with.
const LEAST_BITS: u8 = 9;
/// With a smaller window than that, what has been said is forgotten after so many bytes.
const SMALLEST_WINDOW: usize = 1 << 8;

/// What is wrong with compressed messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The payload is no DEFLATE.
    #[error("a compressed message cannot be inflated")]
    Garbage,
    /// The message is too long once it is inflated.
    #[error("a compressed message is too long once it is inflated")]
    TooLarge,
    /// A message begins within another.
    #[error("a message begins within a compressed one")]
    Nested,
}

thread_local! {
    /// What the thread's sessions use by turns that take nothing over, by window bits.
    static COMPRESSORS: RefCell<[Option<Box<Compress>>; 16]> = const { RefCell::new([const { None }; 16]) };
    static INFLATERS: RefCell<Option<Box<Decompress>>> = const { RefCell::new(None) };
}

/// Compresses one direction's messages.
#[derive(Debug)]
pub(super) struct Compressor {
    side: Side,
    /// Of a side that takes over, from its first message on.
    kept: Option<Box<Compress>>,
}

impl Compressor {
    pub(super) const fn new(side: Side) -> Self {
        Self { side, kept: None }
    }

    /// Appends the compressed form of `message` to `out`.
    pub(super) fn compress(&mut self, message: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        if message.is_empty() {
            // An empty block without its tail (§7.2.3.6).
            out.push(0);
            return Ok(());
        }
        let bits = self.side.window_bits.max(LEAST_BITS);
        let spare = || COMPRESSORS.with_borrow_mut(|spare| spare[usize::from(bits & 15)].take());
        let made = || Box::new(Compress::new_with_window_bits(Compression::default(), false, bits));
        let mut compress = self.kept.take().or_else(spare).unwrap_or_else(made);
        if self.side.window_bits < LEAST_BITS {
            for part in message.chunks(SMALLEST_WINDOW) {
                squeeze(&mut compress, part, out, FlushCompress::Full)?;
            }
        } else {
            squeeze(&mut compress, message, out, FlushCompress::Sync)?;
        }
        if out.ends_with(&TAIL) {
            out.truncate(out.len() - TAIL.len());
        }
        if self.side.takes_over {
            self.kept = Some(compress);
        } else {
            compress.reset();
            COMPRESSORS.with_borrow_mut(|spare| spare[usize::from(bits & 15)] = Some(compress));
        }
        Ok(())
    }
}

fn squeeze(
    compress: &mut Compress,
    mut message: &[u8],
    out: &mut Vec<u8>,
    flush: FlushCompress,
) -> Result<(), Broken> {
    loop {
        out.reserve(ROOM);
        let before = compress.total_in();
        compress.compress_vec(message, out, flush).map_err(|_| Broken::Garbage)?;
        // No more than was given.
        message = &message[(compress.total_in() - before) as usize..];
        if out.len() < out.capacity() && message.is_empty() {
            return Ok(());
        }
    }
}

/// Inflates one direction's messages.
#[derive(Debug)]
pub(super) struct Inflater {
    side: Side,
    /// The most bytes of a message.
    most: usize,
    /// Of a side that takes over, from its first message on; of any, while a message comes.
    kept: Option<Box<Decompress>>,
    /// The peer has ended its stream within the message (§7.2.3.5).
    has_ended: bool,
}

impl Inflater {
    pub(super) const fn new(side: Side, most: usize) -> Self {
        Self { side, most, kept: None, has_ended: false }
    }

    /// Appends to `message` what a part of its payload holds.
    pub(super) fn inflate(&mut self, payload: &[u8], message: &mut Vec<u8>) -> Result<(), Broken> {
        let mut inflater = self.take();
        let inflated = self.swell(&mut inflater, payload, message);
        self.kept = Some(inflater);
        inflated
    }

    /// The message has come to its end.
    pub(super) fn finish(&mut self, message: &mut Vec<u8>) -> Result<(), Broken> {
        let mut inflater = self.take();
        // What comes behind the end of a stream is at most the empty block that §7.2.3.5 has there.
        if !self.has_ended {
            self.swell(&mut inflater, &TAIL, message)?;
        }
        let forgets = !self.side.takes_over || std::mem::take(&mut self.has_ended);
        if forgets {
            inflater.reset(false);
        }
        if self.side.takes_over {
            self.kept = Some(inflater);
        } else {
            INFLATERS.with_borrow_mut(|spare| *spare = Some(inflater));
        }
        Ok(())
    }

    /// A smaller window than zlib's largest is of no use to who inflates, but for its memory.
    fn take(&mut self) -> Box<Decompress> {
        let takes_over = self.side.takes_over;
        let spare = || INFLATERS.with_borrow_mut(Option::take).filter(|_| !takes_over);
        let bits = if takes_over { self.side.window_bits.max(LEAST_BITS) } else { 15 };
        let made = || Box::new(Decompress::new_with_window_bits(false, bits));
        self.kept.take().or_else(spare).unwrap_or_else(made)
    }

    fn swell(
        &mut self,
        inflater: &mut Decompress,
        mut payload: &[u8],
        message: &mut Vec<u8>,
    ) -> Result<(), Broken> {
        loop {
            make_room(message, self.most);
            let before = (inflater.total_in(), message.len());
            let status = inflater.decompress_vec(payload, message, FlushDecompress::Sync);
            let status = status.map_err(|_| Broken::Garbage)?;
            let taken = (inflater.total_in() - before.0) as usize;
            payload = &payload[taken..];
            if message.len() > self.most {
                return Err(Broken::TooLarge);
            }
            if status == Status::StreamEnd {
                // Another stream may follow in the same message, and knows nothing of this one.
                self.has_ended = true;
                inflater.reset(false);
                if payload.is_empty() {
                    return Ok(());
                }
                continue;
            }
            if taken > 0 {
                self.has_ended &= payload.is_empty() && message.len() == before.1;
            }
            let is_full = message.len() == message.capacity();
            if payload.is_empty() && !is_full {
                return Ok(());
            }
            if taken == 0 && message.len() == before.1 && !is_full {
                return Err(Broken::Garbage);
            }
        }
    }
}

/// Makes room for more of a message, and for no more than one byte beyond the most that it may have.
fn make_room(message: &mut Vec<u8>, most: usize) {
    if message.len() == message.capacity() {
        let wanted = (2 * message.capacity()).max(ROOM).min(most.saturating_add(1));
        message.reserve_exact(wanted.saturating_sub(message.len()).max(1));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FULL: Side = Side { takes_over: true, window_bits: 15 };

    fn pass(side: Side, messages: &[Vec<u8>]) -> Vec<usize> {
        let (mut compressor, mut inflater) = (Compressor::new(side), Inflater::new(side, 1 << 20));
        let pass = |message: &Vec<u8>| {
            let (mut payload, mut back) = (Vec::new(), Vec::new());
            compressor.compress(message, &mut payload).unwrap();
            payload.chunks(7).for_each(|part| inflater.inflate(part, &mut back).unwrap());
            inflater.finish(&mut back).unwrap();
            assert!(back == *message, "{side:?}");
            payload.len()
        };
        messages.iter().map(pass).collect()
    }

    #[test]
    fn messages_come_back_and_what_was_said_before_makes_them_smaller() {
        let message: Vec<u8> = (0..2_000_u32).flat_map(|n| (n * n).to_le_bytes()).collect();
        let twice = [message.clone(), message];
        let kept = pass(FULL, &twice);
        assert!(kept[1] * 10 < kept[0], "{kept:?}");
        let forgotten = pass(Side { takes_over: false, ..FULL }, &twice);
        assert_eq!(forgotten[0], forgotten[1]);
        let narrow = pass(Side { window_bits: 9, ..FULL }, &twice);
        assert!(narrow[1] * 2 > narrow[0], "its window does not reach back so far: {narrow:?}");
    }

    #[test]
    fn the_examples_of_the_rfc() {
        // §7.2.3.1, .2, .3, .4 (BFINAL) and .5 (two blocks).
        let rows: [&[&[u8]]; 5] = [
            &[&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]],
            &[&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], &[0xf2, 0x00, 0x11, 0x00, 0x00]],
            &[&[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00]],
            &[&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00]],
            &[&[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00]],
        ];
        for messages in rows {
            let mut inflater = Inflater::new(FULL, 100);
            for (turn, payload) in messages.iter().chain([&messages[0]]).enumerate() {
                let mut message = Vec::new();
                inflater.inflate(payload, &mut message).unwrap();
                inflater.finish(&mut message).unwrap();
                assert_eq!(message, b"Hello", "{payload:x?}, {turn}");
            }
        }
        let (mut out, mut compressor) = (Vec::new(), Compressor::new(FULL));
        compressor.compress(b"Hello", &mut out).unwrap();
        assert_eq!(out, rows[0][0]);
        out.clear();
        compressor.compress(b"Hello", &mut out).unwrap();
        assert_eq!(out, rows[1][1]);
    }

    #[test]
    fn a_bomb_is_bounded_and_garbage_is_told() {
        let mut bomb = Vec::new();
        Compressor::new(FULL).compress(&vec![0; 50 << 20], &mut bomb).unwrap();
        assert!(bomb.len() < 100_000);
        let mut message = Vec::new();
        assert_eq!(Inflater::new(FULL, 1 << 16).inflate(&bomb, &mut message), Err(Broken::TooLarge));
        assert!(message.capacity() <= (1 << 16) + 1, "{}", message.capacity());
        let mut exact = Inflater::new(FULL, 50 << 20);
        message.clear();
        exact.inflate(&bomb, &mut message).unwrap();
        exact.finish(&mut message).unwrap();
        assert_eq!(message.len(), 50 << 20, "the most is still taken");
        assert_eq!(Inflater::new(FULL, 99).inflate(&[0x07, 0xff], &mut Vec::new()), Err(Broken::Garbage));
    }

    proptest! {
        #[test]
        fn whatever_is_said(
            messages in prop::collection::vec(
                prop_oneof![
                    prop::collection::vec(any::<u8>(), 0..600),
                    prop::collection::vec(0_u8..3, 0..40_000),
                ],
                1..5,
            ),
            takes_over: bool,
            window_bits in 8_u8..=15,
        ) {
            pass(Side { takes_over, window_bits }, &messages);
        }
    }
}
