//! What goes out: frames as a WebSocket library writes them to frames with compression.
//!
//! In: whole messages in frames, in whatever pieces. Out: the bytes for the wire.

use super::header::{Header, mask};
use super::message::{Broken, Compressor};
use super::terms::Side;

/// Translates what goes out.
#[derive(Debug)]
pub(super) struct Outgoing {
    compressor: Compressor,
    /// A message of less than this is sent as it is.
    threshold: u64,
    /// What has come of a frame.
    held: Vec<u8>,
    plain: u64,
    wire: u64,
}

impl Outgoing {
    /// Compresses by these terms what has `threshold` bytes or more.
    pub(super) const fn new(own: Side, threshold: usize) -> Self {
        Self {
            compressor: Compressor::new(own),
            threshold: threshold as u64,
            held: Vec::new(),
            plain: 0,
            wire: 0,
        }
    }

    /// Bytes of messages, and bytes that carry them, since the last call.
    pub(super) fn take_volume(&mut self) -> (u64, u64) {
        (std::mem::take(&mut self.plain), std::mem::take(&mut self.wire))
    }

    /// Takes all of `input`, and appends to `out` what can be sent of it: whole frames.
    ///
    /// # Errors
    /// Where a message cannot be compressed, which zlib does not know.
    pub(super) fn translate(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        let mut held = std::mem::take(&mut self.held);
        let mut rest = if held.is_empty() {
            input
        } else {
            held.extend_from_slice(input);
            held.as_slice()
        };
        while let Some((header, length)) = Header::read(rest) {
            let end = usize::try_from(header.length).ok().and_then(|payload| payload.checked_add(length));
            let Some(frame) = end.and_then(|end| rest.get(..end)) else { break };
            rest = &rest[frame.len()..];
            self.frame(header, frame, length, out)?;
        }
        self.held = rest.to_vec();
        Ok(())
    }

    fn frame(&mut self, header: Header, frame: &[u8], begin: usize, out: &mut Vec<u8>) -> Result<(), Broken> {
        if header.is_data() {
            self.plain += header.length;
        }
        if !header.begins() || !header.is_last() || header.length < self.threshold {
            self.wire += if header.is_data() { header.length } else { 0 };
            out.extend_from_slice(frame);
            return Ok(());
        }
        let mut payload = Vec::new();
        match header.mask {
            None => self.compressor.compress(&frame[begin..], &mut payload)?,
            Some(key) => {
                let mut clear = frame[begin..].to_vec();
                mask(&mut clear, key, 0);
                self.compressor.compress(&clear, &mut payload)?;
                mask(&mut payload, key, 0);
            }
        }
        let first = Header::whole(header.opcode(), true);
        let length = payload.len() as u64;
        Header { first, length, ..header }.write(out);
        out.extend_from_slice(&payload);
        self.wire += length;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::incoming::Incoming;
    use super::*;

    const FULL: Side = Side { takes_over: true, window_bits: 15 };

    fn frame(first: u8, key: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        Header { first, mask: key, length: payload.len() as u64 }.write(&mut bytes);
        let at = bytes.len();
        bytes.extend_from_slice(payload);
        if let Some(key) = key {
            mask(&mut bytes[at..], key, 0);
        }
        bytes
    }

    /// The frames with their payloads in the clear.
    fn read(mut bytes: &[u8]) -> Vec<(u8, bool, Vec<u8>)> {
        let mut frames = Vec::new();
        while let Some((header, begin)) = Header::read(bytes) {
            let end = begin + header.length as usize;
            let mut payload = bytes[begin..end].to_vec();
            mask(&mut payload, header.mask.unwrap_or_default(), 0);
            frames.push((header.first, header.mask.is_some(), payload));
            bytes = &bytes[end..];
        }
        assert!(bytes.is_empty());
        frames
    }

    fn through(incoming: &mut Incoming, pieces: &[&[u8]]) -> Result<Vec<u8>, Broken> {
        let mut all = Vec::new();
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() {
                let mut out = Vec::new();
                rest = &rest[incoming.translate(rest, &mut out)?..];
                all.extend(out);
            }
        }
        Ok(all)
    }

    #[test]
    fn fragments_with_a_ping_between_them_are_one_message() {
        // RFC 7692 §7.2.3.1: "Hello" in two fragments.
        let wire =
            [&[0x41, 0x03, 0xf2, 0x48, 0xcd, 0x89, 0x01, b'p', 0x80, 0x04, 0xc9, 0xc9, 0x07, 0x00][..]];
        let each: Vec<&[u8]> = wire[0].chunks(1).collect();
        for pieces in [&wire[..], &each] {
            let mut incoming = Incoming::new(FULL, 100);
            let out = through(&mut incoming, pieces).unwrap();
            assert_eq!(out, b"\x89\x01p\x81\x05Hello");
            assert_eq!(incoming.take_volume(), (5, 7));
        }
    }

    #[test]
    fn what_is_not_compressed_passes_as_it_is_faults_included() {
        let rows: [&[u8]; 6] = [
            b"\x81\x02hi\x88\x02\x03\xe8",
            b"\x01\x01a\x80\x01b\x82\x00",
            // RSV1 on a ping, on a continuation; RSV2; a reserved opcode.
            b"\xc9\x01x",
            b"\xc0\x01x",
            b"\xe1\x01x",
            b"\xc3\x01x",
        ];
        for bytes in rows {
            assert_eq!(through(&mut Incoming::new(FULL, 100), &[bytes]).unwrap(), bytes);
        }
        let nested: [&[u8]; 2] = [b"\x41\x01\xf2\x81\x01a", b"\x01\x01a\xc1\x01\xf2"];
        for bytes in nested {
            assert_eq!(through(&mut Incoming::new(FULL, 100), &[bytes]), Err(Broken::Nested));
        }
        let marked = b"\x41\x03\xf2\x48\xcd\xc0\x04\xc9\xc9\x07\x00";
        assert_eq!(through(&mut Incoming::new(FULL, 100), &[marked]).unwrap(), &marked[5..]);
        let long = b"\xc1\x7f\0\0\0\x01\0\0\0\0";
        assert_eq!(through(&mut Incoming::new(FULL, 100), &[long]), Err(Broken::TooLarge));
    }

    #[test]
    fn short_messages_go_as_they_are_and_all_is_counted() {
        let mut outgoing = Outgoing::new(FULL, 10);
        let mut wire = Vec::new();
        for payload in [&b"123456789"[..], b"1234567890"] {
            outgoing.translate(&frame(0x81, Some([1, 2, 3, 4]), payload), &mut wire).unwrap();
        }
        outgoing.translate(&frame(0x89, Some([1, 2, 3, 4]), b"ping"), &mut wire).unwrap();
        let frames = read(&wire);
        assert_eq!(frames.iter().map(|frame| frame.0).collect::<Vec<_>>(), [0x81, 0xc1, 0x89]);
        assert_eq!(outgoing.take_volume(), (19, 9 + frames[1].2.len() as u64));
    }

    proptest! {
        #[test]
        fn what_goes_out_comes_in(
            messages in prop::collection::vec(prop::collection::vec(0_u8..4, 0..3_000), 1..6),
            is_masked: bool,
            takes_over: bool,
            threshold in 0_usize..200,
            cut in 1_usize..900,
        ) {
            let side = Side { takes_over, window_bits: 12 };
            let key = is_masked.then_some([7, 1, 9, 3]);
            let sent: Vec<u8> = messages.iter().flat_map(|message| frame(0x82, key, message)).collect();
            let mut outgoing = Outgoing::new(side, threshold);
            let mut wire = Vec::new();
            for piece in sent.chunks(cut) {
                outgoing.translate(piece, &mut wire).unwrap();
            }
            let pieces: Vec<&[u8]> = wire.chunks(cut).collect();
            let mut incoming = Incoming::new(side, 4_000);
            let came = read(&through(&mut incoming, &pieces).unwrap());
            let expected: Vec<_> =
                messages.iter().map(|message| (0x82, is_masked, message.clone())).collect();
            prop_assert_eq!(came, expected);
            prop_assert_eq!(incoming.take_volume(), outgoing.take_volume());
        }

        #[test]
        fn no_bytes_make_it_panic(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..20)) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let _ = through(&mut Incoming::new(FULL, 500), &pieces);
        }
    }
}
