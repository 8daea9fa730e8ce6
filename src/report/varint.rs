//! Numbers of as many bytes as they need: ULEB128, as Thrift's compact protocol and Protocol Buffers have them.
//!
//! In: a number. Out: bytes.

/// Seven bits at a time, the lowest first (ULEB128).
pub(super) fn push_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}
