//! Protocol Buffers on the wire, as far as OTLP's metrics need it (<https://protobuf.dev/programming-guides/encoding/>).
//!
//! In: fields by number. Out: bytes; and of an answer's bytes, its fields. The crates of OTLP's messages bring an SDK or a macro with them; what is sent here are
//! ten messages, and `tests/interop` reads them by the official definitions.

use super::super::varint::push_varint;

/// A message under construction. As the wire has it, a field that is zero or empty is left out, but for those of a `oneof` or `optional`.
#[derive(Debug, Default)]
pub(super) struct Message(Vec<u8>);

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH: u64 = 2;
const FIXED32: u64 = 5;

impl Message {
    /// Its bytes.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn varint(&mut self, value: u64) {
        push_varint(&mut self.0, value);
    }

    fn key(&mut self, field: u64, wire_type: u64) {
        self.varint(field << 3 | wire_type);
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.key(field, LENGTH);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// `string`, also where it is empty.
    pub(super) fn text(&mut self, field: u64, text: &str) {
        self.bytes(field, text.as_bytes());
    }

    /// Another message, also where it is empty.
    pub(super) fn message(&mut self, field: u64, message: &Self) {
        self.bytes(field, &message.0);
    }

    /// `bool`, `uint32`, `uint64` or an enum.
    pub(super) fn number(&mut self, field: u64, value: u64) {
        if value != 0 {
            self.key(field, VARINT);
            self.varint(value);
        }
    }

    /// `int64` of a `oneof`.
    pub(super) fn integer(&mut self, field: u64, value: i64) {
        self.key(field, VARINT);
        self.varint(value.cast_unsigned());
    }

    /// `sint32`.
    pub(super) fn signed(&mut self, field: u64, value: i32) {
        if value != 0 {
            self.key(field, VARINT);
            self.varint(u64::from((value << 1 ^ value >> 31).cast_unsigned()));
        }
    }

    /// `fixed64`.
    pub(super) fn fixed(&mut self, field: u64, value: u64) {
        if value != 0 {
            self.set_fixed(field, value);
        }
    }

    /// `sfixed64` of a `oneof`.
    pub(super) fn set_integer(&mut self, field: u64, value: i64) {
        self.set_fixed(field, value.cast_unsigned());
    }

    /// `double` that is `optional`, or of a `oneof`.
    pub(super) fn set_double(&mut self, field: u64, value: f64) {
        self.set_fixed(field, value.to_bits());
    }

    fn set_fixed(&mut self, field: u64, value: u64) {
        self.key(field, FIXED64);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// `repeated uint64`, packed.
    pub(super) fn numbers(&mut self, field: u64, values: &[u64]) {
        if values.is_empty() {
            return;
        }
        let mut packed = Self::default();
        values.iter().for_each(|value| packed.varint(*value));
        self.message(field, &packed);
    }
}

/// A field of a message that was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field<'b> {
    /// `int64` and the like.
    Varint(u64),
    /// A string, bytes or another message.
    Bytes(&'b [u8]),
}

/// The fields of a message with their numbers, those of a fixed size left out; up to where it can be read.
pub(super) fn fields(mut bytes: &[u8]) -> impl Iterator<Item = (u64, Field<'_>)> {
    std::iter::from_fn(move || {
        loop {
            let key = read_varint(&mut bytes)?;
            let field = match key & 7 {
                VARINT => Field::Varint(read_varint(&mut bytes)?),
                LENGTH => {
                    let length = usize::try_from(read_varint(&mut bytes)?).ok()?;
                    Field::Bytes(bytes.split_off(..length)?)
                }
                FIXED64 => {
                    bytes.split_off(..8)?;
                    continue;
                }
                FIXED32 => {
                    bytes.split_off(..4)?;
                    continue;
                }
                _ => return None,
            };
            return Some((key >> 3, field));
        }
    })
}

fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.split_off_first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_on_the_wire_as_the_specification_shows_them() {
        let bytes = |write: fn(&mut Message)| {
            let mut message = Message::default();
            write(&mut message);
            message.into_bytes()
        };
        // The examples of the encoding's page.
        assert_eq!(bytes(|message| message.number(1, 150)), [0x08, 0x96, 0x01]);
        assert_eq!(bytes(|message| message.text(2, "testing")), b"\x12\x07testing");
        assert_eq!(
            bytes(|message| message.numbers(6, &[3, 270, 86_942])),
            [0x32, 6, 3, 0x8e, 2, 0x9e, 0xa7, 5]
        );
        assert_eq!(bytes(|message| message.signed(1, -1)), [0x08, 1]);
        assert_eq!(bytes(|message| message.signed(1, i32::MIN)), [0x08, 0xff, 0xff, 0xff, 0xff, 0x0f]);
        assert_eq!(bytes(|message| message.integer(1, -2)).len(), 11);
        assert_eq!(bytes(|message| message.set_double(1, 1.0)), [0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]);
        assert!(bytes(|message| (message.number(1, 0), message.fixed(2, 0)).0).is_empty());
    }

    #[test]
    fn what_is_received_is_read_as_far_as_it_goes() {
        let mut inner = Message::default();
        inner.integer(1, 7);
        inner.text(2, "no");
        let mut message = Message::default();
        message.set_double(3, 1.0);
        message.message(1, &inner);
        let bytes = message.into_bytes();
        let found: Vec<_> = fields(&bytes).collect();
        let [(1, Field::Bytes(inner))] = found[..] else { panic!("{found:?}") };
        assert_eq!(fields(inner).collect::<Vec<_>>(), [(1, Field::Varint(7)), (2, Field::Bytes(b"no"))]);
        // Whatever comes, reading ends.
        for end in 0..bytes.len() {
            assert!(fields(&bytes[..end]).count() <= 1);
        }
        assert_eq!(fields(&[0xff; 30]).count(), 0);
        assert_eq!(fields(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]).count(), 0);
    }
}
