//! What the peer's close frame held, as it was on the wire.
//!
//! In: the bytes of a session as they are read. Out: the close frame's code. The WebSocket library answers a code that may not be sent
//! with 1002, and hands on a frame with 1002 in place of the peer's: only the bytes tell the two apart. It keeps a few bytes per
//! session, and looks at each frame's header once.

use crate::sample::Word;

/// The longest header, with its mask (RFC 6455 §5.2).
const LONGEST_HEADER: usize = 14;
/// The opcode of a close frame.
const CLOSE: u8 = 0x8;

/// Follows the frames of one direction. Each idle session has one: it is small, and has no alignment.
#[derive(Debug, Clone, Copy)]
pub(super) struct CloseWatch {
    /// What has come of a header; of a close frame, the code behind it as well. Within a payload: how much of it is still to come.
    held: [u8; LONGEST_HEADER],
    /// How many bytes are held, or one of the states below.
    state: u8,
}

/// Nothing is looked at: the bytes are no frames yet.
const OFF: u8 = 0xff;
/// Within a payload.
const PAYLOAD: u8 = 0xfe;
/// A close frame has come; the bits below it are how many bytes are held.
const CLOSED: u8 = 0x80;

impl CloseWatch {
    pub(super) const fn new() -> Self {
        Self { held: [0; LONGEST_HEADER], state: OFF }
    }

    /// From the next byte on, frames come.
    pub(super) const fn begin(&mut self) {
        self.state = 0;
    }

    /// What the peer's close frame held, where one has come.
    pub(super) fn said(&self) -> Option<Word> {
        if matches!(self.state, OFF | PAYLOAD) || self.state < CLOSED {
            return None;
        }
        let held = &self.held[..usize::from(self.state & !CLOSED)];
        let mask_at = 2;
        let is_masked = held[1] & 0x80 != 0;
        let code_at = if is_masked { mask_at + 4 } else { mask_at };
        let Some(&[high, low]) = held.get(code_at..code_at + 2) else { return Some(Word::NoCode) };
        let mask = if is_masked { [held[mask_at], held[mask_at + 1]] } else { [0, 0] };
        Some(Word::Code(u16::from_be_bytes([high ^ mask[0], low ^ mask[1]])))
    }

    /// Takes in what was read.
    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = match self.state {
                PAYLOAD => self.skip(bytes),
                held if usize::from(held) < LONGEST_HEADER => self.hold(bytes),
                _ => return,
            };
        }
    }

    /// Takes in bytes of a payload; answers with those behind it.
    fn skip<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let left = &mut self.held[..size_of::<u64>()];
        let to_come = number(left);
        let skipped = to_come.min(bytes.len() as u64);
        left.copy_from_slice(&(to_come - skipped).to_be_bytes());
        if to_come == skipped {
            self.state = 0;
        }
        // No more than is there.
        &bytes[usize::try_from(skipped).unwrap_or(bytes.len())..]
    }

    /// Takes in bytes of a header; answers with those behind it.
    fn hold<'b>(&mut self, mut bytes: &'b [u8]) -> &'b [u8] {
        let mut held = usize::from(self.state);
        loop {
            let wanted = needed(&self.held[..held]);
            if wanted == held {
                break;
            }
            let taken = (wanted - held).min(bytes.len());
            self.held[held..held + taken].copy_from_slice(&bytes[..taken]);
            (bytes, held) = (&bytes[taken..], held + taken);
            if held < wanted {
                self.state = held as u8;
                return bytes;
            }
        }
        if self.held[0] & 0x0f == CLOSE {
            self.state = CLOSED | held as u8;
            return bytes;
        }
        let length = payload_length(&self.held[..held]);
        self.held[..size_of::<u64>()].copy_from_slice(&length.to_be_bytes());
        self.state = if length > 0 { PAYLOAD } else { 0 };
        bytes
    }
}

/// How many bytes are needed of the frame that begins with `held`, as far as that can be told.
fn needed(held: &[u8]) -> usize {
    let [first, second, ..] = *held else { return 2 };
    let short = second & 0x7f;
    let mask = if second & 0x80 != 0 { 4 } else { 0 };
    match short {
        // The code of a close frame stands behind its header. A longer one is no close frame that anybody reads.
        0..=125 if first & 0x0f == CLOSE => 2 + mask + usize::from(short.min(2)),
        0..=125 => 2 + mask,
        126 => 4 + mask,
        _ => 10 + mask,
    }
}

/// The length of the payload behind a whole header.
fn payload_length(header: &[u8]) -> u64 {
    match header[1] & 0x7f {
        126 => number(&header[2..4]),
        127 => number(&header[2..10]),
        short => u64::from(short),
    }
}

/// A number in network byte order.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
    use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};

    use super::*;

    fn said(pieces: &[&[u8]]) -> Option<Word> {
        let mut watch = CloseWatch::new();
        watch.begin();
        pieces.iter().for_each(|piece| watch.read(piece));
        watch.said()
    }

    fn bytes(frame: Frame) -> Vec<u8> {
        let mut bytes = Vec::new();
        frame.format(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_close_frame_is_read_as_it_was_sent() {
        // (what was on the wire, what was said)
        let rows: [(&[u8], Option<Word>); 9] = [
            (&[0x88, 0x02, 0x03, 0xed], Some(Word::Code(1005))),
            (&[0x88, 0x02, 0x03, 0xea], Some(Word::Code(1002))),
            (&[0x88, 0x14, 0x03, 0xea, b'P', b'r'], Some(Word::Code(1002))),
            (&[0x88, 0x00], Some(Word::NoCode)),
            (&[0x88, 0x01, 0x03], Some(Word::NoCode)),
            (&[0x88, 0x82, 1, 2, 3, 4, 0x03 ^ 1, 0xe8 ^ 2], Some(Word::Code(1000))),
            (&[0x88, 0x02, 0x03], None),
            // A payload that looks like a close frame.
            (&[0x82, 0x04, 0x88, 0x02, 0x03, 0xed], None),
            (
                &[0x82, 0x7e, 0x00, 0x02, 0x88, 0x00, 0x88, 0x02, 0x0f, 0xa1, 0x88, 0x00],
                Some(Word::Code(4001)),
            ),
        ];
        for (bytes, expected) in rows {
            assert_eq!(said(&[bytes]), expected, "{bytes:?}");
            let each: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(said(&each), expected, "byte by byte: {bytes:?}");
        }
    }

    #[test]
    fn nothing_is_looked_at_before_the_upgrade() {
        let mut watch = CloseWatch::new();
        watch.read(&[0x88, 0x02, 0x03, 0xed]);
        assert_eq!(watch.said(), None);
        assert!(size_of::<CloseWatch>() <= 15, "each idle client has one: {}", size_of::<CloseWatch>());
    }

    proptest! {
        #[test]
        fn however_the_bytes_come(
            lengths in prop::collection::vec(prop_oneof![0_usize..130, 65_530..65_550_usize], 0..6),
            masked: bool,
            code in 1_u16..5000,
            cuts in prop::collection::vec(1_usize..70_000, 0..6),
        ) {
            let mut wire = Vec::new();
            for length in &lengths {
                let data = vec![0x88; *length];
                let mut frame = Frame::message(data, OpCode::Data(Data::Binary), true);
                if masked {
                    frame.header_mut().mask = Some([1, 2, 3, 4]);
                }
                wire.extend(bytes(frame));
            }
            let frame = CloseFrame { code: CloseCode::from(code), reason: "why".into() };
            wire.extend(bytes(Frame::close(Some(frame))));
            wire.extend([0x88, 0x00]);
            let mut rest = wire.as_slice();
            let mut pieces = Vec::new();
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            pieces.push(rest);
            prop_assert_eq!(said(&pieces), Some(Word::Code(code)));
        }

        #[test]
        fn no_bytes_make_it_panic(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20)) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            said(&pieces);
        }
    }

    #[test]
    fn the_library_hands_on_1002_in_place_of_a_code_that_may_not_be_sent() {
        // What this file is for: should it ever tell the code itself, this can go.
        use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket};
        let sent = std::io::Cursor::new(vec![0x88, 0x02, 0x03, 0xed]);
        let mut socket = WebSocket::from_raw_socket(sent, Role::Client, None);
        let Ok(Message::Close(Some(frame))) = socket.read() else { panic!("no close frame") };
        assert_eq!(u16::from(frame.code), 1002);
    }
}
