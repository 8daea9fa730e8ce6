//! Packets out of messages, which need not be the same: §6 of both specifications lets a packet span messages, and a message hold several.
//!
//! In: the bytes of messages. Out: packets. A client that has no part of a packet keeps no memory; no part is larger than what the client takes.

use bytes::BytesMut;
use symqtt_codec::{v3, v5};

use super::packet::{Fault, Packet, Version, of_v3, of_v5};

/// CONNACK with a body of two bytes, which MQTT 5 has not: a broker of MQTT 3.1.1 answers a CONNECT that it does not know so (§3.2).
const OLDER_CONNACK: [u8; 2] = [0x20, 2];

/// Reads packets.
#[derive(Debug)]
pub struct Reader {
    version: Version,
    /// The largest packet that is taken, in bytes.
    most: usize,
    /// What has not been read yet.
    waiting: BytesMut,
}

impl Reader {
    /// A reader of this version's packets that takes none of more than `most` bytes.
    #[must_use]
    pub fn new(version: Version, most: usize) -> Self {
        Self { version, most, waiting: BytesMut::new() }
    }

    /// A message came.
    pub fn feed(&mut self, message: &[u8]) {
        self.waiting.extend_from_slice(message);
    }

    /// A new connection begins.
    pub fn reset(&mut self) {
        self.waiting = BytesMut::new();
    }

    /// The next packet; `None`: more must come first.
    ///
    /// # Errors
    /// The peer broke the protocol: nothing that follows can be read.
    pub fn next_packet(&mut self) -> Result<Option<Packet>, Fault> {
        if self.waiting.is_empty() {
            self.reset();
            return Ok(None);
        }
        // No packet is of type 0 (§2.2.1): that is seen before its length is there.
        if self.waiting[0] >> 4 == 0 {
            return Err(Fault::Malformed);
        }
        if length_of_first(&self.waiting)?.is_some_and(|length| length > self.most) {
            return Err(Fault::TooLarge);
        }
        let is_older = self.waiting.starts_with(&OLDER_CONNACK);
        let packet = if self.version == Version::V311 || is_older {
            v3::Packet::decode(&mut self.waiting).map(|packet| packet.map(of_v3))
        } else {
            v5::Packet::decode(&mut self.waiting).map(|packet| packet.map(of_v5))
        };
        packet.map_err(|_| Fault::Malformed)?.transpose()
    }
}

/// The length of the packet that the bytes begin with, its header included (§2.2.3 of MQTT 3.1.1, §1.5.5 of MQTT 5); `None`: it is not there yet.
fn length_of_first(bytes: &[u8]) -> Result<Option<usize>, Fault> {
    let mut length = 0_usize;
    for (at, byte) in bytes.iter().skip(1).enumerate() {
        if at == 4 {
            return Err(Fault::Malformed);
        }
        length |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some(length + at + 2));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    const MOST: usize = 1_000;

    fn read_all(version: Version, pieces: &[&[u8]]) -> Result<Vec<Packet>, Fault> {
        let mut reader = Reader::new(version, MOST);
        let mut packets = Vec::new();
        for piece in pieces {
            reader.feed(piece);
            while let Some(packet) = reader.next_packet()? {
                packets.push(packet);
            }
        }
        Ok(packets)
    }

    fn message(payload: &'static [u8], acknowledge: Option<u16>) -> Packet {
        Packet::Message { payload: Bytes::from_static(payload), acknowledge }
    }

    #[test]
    fn packets_of_3_1_1_are_those_of_the_specification() {
        let v311 = |bytes: &[u8]| read_all(Version::V311, &[bytes]);
        let one = |packet| Ok(vec![packet]);
        // §3.2 CONNACK.
        assert_eq!(v311(&[0x20, 2, 0, 0]), one(Packet::Accepted { keep_alive: None }));
        assert_eq!(
            v311(&[0x20, 2, 1, 0]),
            one(Packet::Accepted { keep_alive: None }),
            "a session is present"
        );
        for (code, words) in [
            (1, "unsupported_protocol_version"),
            (2, "client_identifier_not_valid"),
            (3, "server_unavailable"),
            (4, "bad_user_name_or_password"),
            (5, "not_authorized"),
        ] {
            assert_eq!(v311(&[0x20, 2, 0, code]), one(Packet::Refused(words)));
        }
        // §3.2.2.3: other codes are reserved.
        assert_eq!(v311(&[0x20, 2, 0, 6]), Err(Fault::Malformed));
        // §3.3 PUBLISH: the specification's example of a topic, `a/b`.
        assert_eq!(v311(b"\x30\x07\0\x03a/bhi"), one(message(b"hi", None)));
        assert_eq!(v311(b"\x32\x09\0\x03a/b\0\x0ahi"), one(message(b"hi", Some(10))));
        assert_eq!(v311(b"\x3b\x07\0\x03a/b\0\x0a"), one(message(b"", Some(10))), "sent again, retained");
        // §2.3.1: no identifier of 0; §4.3.3: QoS 2 was not asked for; §3.3.1.2: there is no QoS 3.
        assert_eq!(v311(b"\x32\x07\0\x03a/b\0\0"), Err(Fault::Malformed));
        assert_eq!(v311(b"\x34\x07\0\x03a/b\0\x0a"), Err(Fault::Malformed));
        assert_eq!(v311(b"\x36\x07\0\x03a/b\0\x0a"), Err(Fault::Malformed));
        // §3.4 PUBACK.
        assert_eq!(v311(&[0x40, 2, 1, 2]), one(Packet::Acknowledged { id: 258, is_ok: true }));
        // §3.9 SUBACK: the specification's example, of which the third filter failed.
        assert_eq!(v311(&[0x90, 5, 0, 10, 0, 2, 0x80]), one(Packet::Subscribed { id: 10, is_ok: false }));
        assert_eq!(v311(&[0x90, 3, 0, 10, 1]), one(Packet::Subscribed { id: 10, is_ok: true }));
        // §3.13 PINGRESP.
        assert_eq!(v311(&[0xd0, 0]), one(Packet::Pong));
        // What a client says, what is reserved, what has no end.
        for wrong in [
            &[0][..],
            &[0, 0xff, 0xff, 0x7f],
            &[0xc0, 0],
            &[0, 0],
            &[0xf0, 0],
            &[0xd0, 1, 0],
            &[0x30, 0x80, 0x80, 0x80, 0x80, 1],
        ] {
            assert_eq!(v311(wrong), Err(Fault::Malformed), "{wrong:x?}");
        }
    }

    #[test]
    fn packets_of_5_are_those_of_the_specification() {
        let v5 = |bytes: &[u8]| read_all(Version::V5, &[bytes]);
        let one = |packet| Ok(vec![packet]);
        // §3.2 CONNACK, with a keep-alive of the server's (§3.2.2.3.14), and other properties.
        assert_eq!(v5(&[0x20, 3, 0, 0, 0]), one(Packet::Accepted { keep_alive: None }));
        let kept = [0x20, 9, 0, 0, 6, 0x13, 0, 10, 0x21, 0, 20];
        assert_eq!(v5(&kept), one(Packet::Accepted { keep_alive: Some(10) }));
        for (code, words) in [
            (0x86, "bad_user_name_or_password"),
            (0x87, "not_authorized"),
            (0x88, "server_unavailable"),
            (0x89, "server_busy"),
            (0x8a, "banned"),
            (0x97, "quota_exceeded"),
            (0x9f, "connection_rate_exceeded"),
        ] {
            assert_eq!(v5(&[0x20, 3, 0, code, 0]), one(Packet::Refused(words)));
        }
        assert_eq!(v5(&[0x20, 3, 0, 0xff, 0]), Err(Fault::Malformed));
        // A broker of 3.1.1 says that it does not know the version in its own form.
        assert_eq!(v5(&[0x20, 2, 0, 1]), one(Packet::Refused("unsupported_protocol_version")));
        // §3.3 PUBLISH, without properties and with a content type (§3.3.2.3.9).
        assert_eq!(v5(b"\x30\x08\0\x03a/b\0hi"), one(message(b"hi", None)));
        assert_eq!(v5(b"\x32\x0e\0\x03a/b\0\x0a\x04\x03\0\x01xhi"), one(message(b"hi", Some(10))));
        // §3.4 PUBACK: short for success (§3.4.2.1), with a reason, and with one that says no.
        assert_eq!(v5(&[0x40, 2, 0, 7]), one(Packet::Acknowledged { id: 7, is_ok: true }));
        assert_eq!(v5(&[0x40, 3, 0, 7, 0x10]), one(Packet::Acknowledged { id: 7, is_ok: true }));
        assert_eq!(v5(&[0x40, 4, 0, 7, 0x87, 0]), one(Packet::Acknowledged { id: 7, is_ok: false }));
        // §3.9 SUBACK.
        assert_eq!(v5(&[0x90, 5, 0, 10, 0, 1, 0]), one(Packet::Subscribed { id: 10, is_ok: true }));
        assert_eq!(v5(&[0x90, 5, 0, 10, 0, 1, 0x87]), one(Packet::Subscribed { id: 10, is_ok: false }));
        assert_eq!(v5(&[0xd0, 0]), one(Packet::Pong));
        // §3.14 DISCONNECT: short for a normal one, and with reasons.
        assert_eq!(v5(&[0xe0, 0]), one(Packet::Disconnected(0)));
        assert_eq!(v5(&[0xe0, 1, 0x8e]), one(Packet::Disconnected(0x8e)));
        assert_eq!(v5(&[0xe0, 2, 0x8b, 0]), one(Packet::Disconnected(0x8b)));
        // §4.12: nobody began an extended authentication.
        assert_eq!(v5(&[0xf0, 2, 0x18, 0]), Err(Fault::Malformed));
    }

    #[test]
    fn packets_come_in_whatever_pieces() {
        let bytes = b"\x20\x02\0\0\x90\x03\0\x01\x01\x32\x09\0\x03a/b\0\x0ahi\xd0\0";
        let whole = read_all(Version::V311, &[bytes]).unwrap();
        assert_eq!(whole.len(), 4);
        for cut in 1..bytes.len() {
            let (first, second) = bytes.split_at(cut);
            assert_eq!(read_all(Version::V311, &[first, second]).as_deref(), Ok(&whole[..]), "{cut}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(read_all(Version::V311, &single), Ok(whole));
    }

    #[test]
    fn what_waits_is_bounded_and_takes_no_memory_when_it_is_over() {
        // 998 bytes behind a header of three: one more than is taken.
        assert_eq!(read_all(Version::V311, &[&[0x30, 0xe6, 0x07]]), Err(Fault::TooLarge));
        assert_eq!(read_all(Version::V5, &[&[0x30, 0xff, 0xff, 0xff, 0x7f]]), Err(Fault::TooLarge));
        let mut reader = Reader::new(Version::V311, MOST);
        reader.feed(&[0x30, 0xe5, 0x07]);
        assert_eq!(reader.next_packet(), Ok(None));
        reader.feed(&[0; 997]);
        assert!(matches!(reader.next_packet(), Ok(Some(Packet::Message { .. }))));
        assert_eq!(reader.next_packet(), Ok(None));
        assert_eq!(reader.waiting.capacity(), 0);
    }
}
