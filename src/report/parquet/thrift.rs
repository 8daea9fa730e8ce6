//! Thrift's compact protocol, as far as Parquet's metadata needs it.
//!
//! In: fields by ascending number. Out: bytes: <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>.

use super::super::varint::push_varint;

/// Types of fields and of a list's elements.
const TRUE: u8 = 1;
const I32: u8 = 5;
const I64: u8 = 6;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

/// A struct that is being written.
#[derive(Debug, Default)]
pub(super) struct Struct {
    bytes: Vec<u8>,
    last: u8,
}

impl Struct {
    /// A struct without fields.
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// A field that is true.
    pub(super) fn is(mut self, number: u8) -> Self {
        self.head(number, TRUE);
        self
    }

    /// A field of 32 bits: a number or a constant.
    pub(super) fn i32(mut self, number: u8, value: i32) -> Self {
        self.head(number, I32);
        push_signed(&mut self.bytes, i64::from(value));
        self
    }

    /// A field of 64 bits.
    pub(super) fn i64(mut self, number: u8, value: i64) -> Self {
        self.head(number, I64);
        push_signed(&mut self.bytes, value);
        self
    }

    /// A field with a text.
    pub(super) fn text(mut self, number: u8, value: &str) -> Self {
        self.head(number, BINARY);
        push_text(&mut self.bytes, value);
        self
    }

    /// A field with a struct.
    pub(super) fn of(mut self, number: u8, value: Self) -> Self {
        self.head(number, STRUCT);
        self.bytes.extend(value.finish());
        self
    }

    /// A field with a list of structs.
    pub(super) fn structs(mut self, number: u8, values: impl ExactSizeIterator<Item = Self>) -> Self {
        self.list(number, STRUCT, values.len());
        values.for_each(|value| self.bytes.extend(value.finish()));
        self
    }

    /// A field with a list of constants.
    pub(super) fn i32s(mut self, number: u8, values: &[i32]) -> Self {
        self.list(number, I32, values.len());
        values.iter().for_each(|value| push_signed(&mut self.bytes, i64::from(*value)));
        self
    }

    /// A field with a list of one text.
    pub(super) fn one_text(mut self, number: u8, value: &str) -> Self {
        self.list(number, BINARY, 1);
        push_text(&mut self.bytes, value);
        self
    }

    /// Its bytes.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes.push(0);
        self.bytes
    }

    fn head(&mut self, number: u8, kind: u8) {
        debug_assert!(number > self.last && number - self.last < 16, "numbers ascend");
        self.bytes.push((number - self.last) << 4 | kind);
        self.last = number;
    }

    fn list(&mut self, number: u8, kind: u8, length: usize) {
        self.head(number, LIST);
        if length < 15 {
            self.bytes.push((length as u8) << 4 | kind);
        } else {
            self.bytes.push(0xf0 | kind);
            push_varint(&mut self.bytes, length as u64);
        }
    }
}

/// Zig-zag: small numbers are short, whatever their sign.
fn push_signed(bytes: &mut Vec<u8>, value: i64) {
    push_varint(bytes, (value << 1 ^ value >> 63) as u64);
}

fn push_text(bytes: &mut Vec<u8>, text: &str) {
    push_varint(bytes, text.len() as u64);
    bytes.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_as_the_specification_has_them() {
        let of = |value: Struct| value.finish();
        assert_eq!(of(Struct::new()), [0]);
        assert_eq!(of(Struct::new().i32(1, 2).i64(3, -1)), [0x15, 4, 0x26, 1, 0]);
        assert_eq!(of(Struct::new().text(4, "ab").is(5)), [0x48, 2, b'a', b'b', 0x11, 0]);
        assert_eq!(of(Struct::new().i32s(2, &[0, 300])), [0x29, 0x25, 0, 0xd8, 4, 0]);
        assert_eq!(
            of(Struct::new().one_text(3, "x").of(10, Struct::new())),
            [0x39, 0x18, 1, b'x', 0x7c, 0, 0]
        );
        let many = of(Struct::new().structs(1, (0..16).map(|_| Struct::new())));
        assert_eq!(many[..3], [0x19, 0xfc, 16]);
        assert_eq!(many.len(), 3 + 16 + 1);
    }
}
