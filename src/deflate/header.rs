//! The header of a frame (RFC 6455 §5.2).
//!
//! In: bytes. Out: what the header says, and how long it is.

/// The longest header, with its mask.
pub(super) const LONGEST: usize = 14;
const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const OPCODE: u8 = 0x0f;
const MASKED: u8 = 0x80;

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// FIN, the reserved bits and the opcode.
    pub(super) first: u8,
    pub(super) mask: Option<[u8; 4]>,
    /// How long the payload is.
    pub(super) length: u64,
}

impl Header {
    /// The header at the beginning of `bytes`, and how long it is; `None`: more bytes are needed.
    pub(super) fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let [first, second, ..] = *bytes else { return None };
        let (length, end) = match second & !MASKED {
            126 => (number(bytes.get(2..4)?), 4),
            127 => (number(bytes.get(2..10)?), 10),
            short => (u64::from(short), 2),
        };
        if second & MASKED == 0 {
            return Some((Self { first, mask: None, length }, end));
        }
        let mask = bytes.get(end..end + 4)?.try_into().ok()?;
        Some((Self { first, mask: Some(mask), length }, end + 4))
    }

    /// Writes it, in its shortest form.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let masked = if self.mask.is_some() { MASKED } else { 0 };
        out.push(self.first);
        match self.length {
            0..=125 => out.push(masked | self.length as u8),
            126..=0xffff => {
                out.push(masked | 126);
                out.extend_from_slice(&(self.length as u16).to_be_bytes());
            }
            _ => {
                out.push(masked | 127);
                out.extend_from_slice(&self.length.to_be_bytes());
            }
        }
        out.extend(self.mask.into_iter().flatten());
    }

    pub(super) const fn is_last(&self) -> bool {
        self.first & FIN != 0
    }

    /// Whether only the first reserved bit is set.
    pub(super) const fn is_deflated(&self) -> bool {
        self.first & 0x70 == RSV1
    }

    pub(super) const fn opcode(&self) -> u8 {
        self.first & OPCODE
    }

    /// A frame of a message: text, binary, or the next part of one.
    pub(super) const fn is_data(&self) -> bool {
        self.opcode() <= 2
    }

    /// The first frame of a message.
    pub(super) const fn begins(&self) -> bool {
        matches!(self.opcode(), 1 | 2)
    }

    /// The first byte of a whole message with this opcode.
    pub(super) const fn whole(opcode: u8, is_deflated: bool) -> u8 {
        FIN | if is_deflated { RSV1 } else { 0 } | opcode
    }
}

/// A number in network byte order.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Applies a mask to a payload of which `offset` bytes stood before (RFC 6455 §5.3).
pub(super) fn mask(payload: &mut [u8], mask: [u8; 4], offset: u64) {
    let turned = |at: usize| mask[(offset as usize).wrapping_add(at) % 4];
    let mask = [turned(0), turned(1), turned(2), turned(3)];
    let mut fours = payload.chunks_exact_mut(4);
    for four in &mut fours {
        four.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
    }
    fours.into_remainder().iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_was_written_and_not_before_its_end() {
        for length in [0, 1, 125, 126, 65_535, 65_536, 1 << 40] {
            for mask in [None, Some([1, 2, 3, 4])] {
                let header = Header { first: 0xc1, mask, length };
                let mut bytes = Vec::new();
                header.write(&mut bytes);
                for cut in 0..bytes.len() {
                    assert_eq!(Header::read(&bytes[..cut]), None);
                }
                assert_eq!(Header::read(&bytes), Some((header, bytes.len())));
                assert!(bytes.len() <= LONGEST);
            }
        }
    }

    #[test]
    fn a_mask_goes_on_where_it_stood() {
        let clear: Vec<u8> = (0..40).collect();
        for cut in 0..clear.len() {
            let mut masked = clear.clone();
            let (head, tail) = masked.split_at_mut(cut);
            mask(head, [9, 8, 7, 6], 0);
            mask(tail, [9, 8, 7, 6], cut as u64);
            let expected: Vec<u8> =
                clear.iter().enumerate().map(|(at, byte)| byte ^ [9, 8, 7, 6][at % 4]).collect();
            assert_eq!(masked, expected, "{cut}");
        }
    }
}
