//! What a client tells a broker.
//!
//! In: what is to be said. Out: the packet's bytes; `None` where it cannot be said: a text of more than 65,535 bytes, or with a NUL in it (§1.5.3 of MQTT 3.1.1,
//! §1.5.4 of MQTT 5).

use bytes::{Bytes, BytesMut};
use symqtt_codec::{QoS, v3, v5};

use super::packet::Version;

/// What a client says first.
#[derive(Clone, Copy)]
pub struct Connect<'a> {
    /// Its identifier.
    pub client_id: &'a str,
    /// Its name.
    pub username: Option<&'a str>,
    /// Its password.
    pub password: Option<&'a str>,
    /// The longest it says nothing, in seconds; 0: without limit.
    pub keep_alive: u16,
    /// Whether what the broker knows of the client is forgotten.
    pub clean_start: bool,
    /// For how many seconds the broker is to know the client when it is gone; MQTT 5 only.
    pub session_expiry: Option<u32>,
    /// The largest packet that the client takes, in bytes; MQTT 5 only.
    pub most: usize,
}

/// CONNECT (§3.1).
#[must_use]
pub fn connect(version: Version, said: &Connect<'_>) -> Option<Bytes> {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let secret = said.password.map(|password| Bytes::copy_from_slice(password.as_bytes()));
    let (client_id, keep_alive) = (said.client_id.to_owned(), said.keep_alive);
    match version {
        Version::V311 => of_v3(&v3::Packet::Connect(v3::Connect {
            clean_session: said.clean_start,
            keep_alive,
            client_id,
            will: None,
            username: owned(said.username),
            password: secret,
        })),
        Version::V5 => of_v5(&v5::Packet::Connect(v5::Connect {
            clean_start: said.clean_start,
            keep_alive,
            properties: v5::ConnectProperties {
                session_expiry_interval: said.session_expiry,
                maximum_packet_size: u32::try_from(said.most).ok(),
                ..v5::ConnectProperties::default()
            },
            client_id,
            will: None,
            username: owned(said.username),
            password: secret,
        })),
    }
}

/// SUBSCRIBE (§3.8): filters, each with whether its messages are to be acknowledged (QoS 1).
#[must_use]
pub fn subscribe(version: Version, id: u16, filters: Vec<(String, bool)>) -> Option<Bytes> {
    match version {
        Version::V311 => of_v3(&v3::Packet::Subscribe(v3::Subscribe {
            pkid: id,
            filters: filters
                .into_iter()
                .map(|(topic, acknowledged)| v3::SubscribeFilter::new(topic, qos(acknowledged)))
                .collect(),
        })),
        Version::V5 => of_v5(&v5::Packet::Subscribe(v5::Subscribe {
            pkid: id,
            properties: v5::SubscribeProperties::default(),
            filters: filters
                .into_iter()
                .map(|(topic, acknowledged)| v5::SubscribeFilter {
                    topic,
                    qos: qos(acknowledged),
                    no_local: false,
                    retain_as_published: false,
                    retain_handling: v5::RetainHandling::SendAtSubscribe,
                })
                .collect(),
        })),
    }
}

/// PUBLISH (§3.3): with `id` by QoS 1, else by QoS 0.
#[must_use]
pub fn publish(version: Version, topic: String, payload: String, id: Option<u16>) -> Option<Bytes> {
    let (qos, payload) = (qos(id.is_some()), Bytes::from(payload));
    match version {
        Version::V311 => of_v3(&v3::Packet::Publish(v3::Publish {
            dup: false,
            qos,
            retain: false,
            topic,
            pkid: id,
            payload,
        })),
        Version::V5 => of_v5(&v5::Packet::Publish(v5::Publish {
            dup: false,
            qos,
            retain: false,
            topic,
            pkid: id,
            properties: v5::PublishProperties::default(),
            payload,
        })),
    }
}

/// PUBACK (§3.4). It is the same in both versions.
#[must_use]
pub fn acknowledge(id: u16) -> Bytes {
    let [high, low] = id.to_be_bytes();
    Bytes::copy_from_slice(&[0x40, 2, high, low])
}

/// PINGREQ (§3.12).
#[must_use]
pub const fn ping() -> Bytes {
    Bytes::from_static(&[0xc0, 0])
}

/// DISCONNECT of a client that leaves in order (§3.14).
#[must_use]
pub const fn disconnect() -> Bytes {
    Bytes::from_static(&[0xe0, 0])
}

const fn qos(is_acknowledged: bool) -> QoS {
    if is_acknowledged { QoS::AtLeastOnce } else { QoS::AtMostOnce }
}

fn of_v3(packet: &v3::Packet) -> Option<Bytes> {
    let mut bytes = BytesMut::new();
    packet.encode(&mut bytes).ok()?;
    Some(bytes.freeze())
}

fn of_v5(packet: &v5::Packet) -> Option<Bytes> {
    let mut bytes = BytesMut::new();
    packet.encode(&mut bytes).ok()?;
    Some(bytes.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: Connect<'_> = Connect {
        client_id: "c1",
        username: Some("u"),
        password: Some("pw"),
        keep_alive: 30,
        clean_start: true,
        session_expiry: None,
        most: 256,
    };

    #[expect(clippy::needless_pass_by_value, reason = "what is written is looked at, and no more")]
    fn is(bytes: Option<Bytes>, wanted: &[u8]) {
        assert_eq!(bytes.as_deref(), Some(wanted));
    }

    #[test]
    fn a_client_says_what_the_specifications_want() {
        // §3.1: name, level, flags (user name, password, clean session), keep-alive; identifier, user name, password.
        is(connect(Version::V311, &CLIENT), b"\x10\x15\0\x04MQTT\x04\xc2\0\x1e\0\x02c1\0\x01u\0\x02pw");
        let bare = Connect { username: None, password: None, clean_start: false, ..CLIENT };
        is(connect(Version::V311, &bare), b"\x10\x0e\0\x04MQTT\x04\0\0\x1e\0\x02c1");
        // The properties: a session's life (§3.1.2.11.2), the largest packet (§3.1.2.11.4).
        let lasting = Connect { session_expiry: Some(60), ..bare };
        is(
            connect(Version::V5, &lasting),
            b"\x10\x19\0\x04MQTT\x05\0\0\x1e\x0a\x11\0\0\0\x3c\x27\0\0\x01\0\0\x02c1",
        );
        // §3.8: its example, `a/b` by QoS 1, `c/d` by QoS 0.
        let filters = || vec![("a/b".to_owned(), true), ("c/d".to_owned(), false)];
        is(subscribe(Version::V311, 10, filters()), b"\x82\x0e\0\x0a\0\x03a/b\x01\0\x03c/d\0");
        is(subscribe(Version::V5, 10, filters()), b"\x82\x0f\0\x0a\0\0\x03a/b\x01\0\x03c/d\0");
        // §3.3.
        let said = |version, id| publish(version, "a/b".to_owned(), "hi".to_owned(), id);
        is(said(Version::V311, None), b"\x30\x07\0\x03a/bhi");
        is(said(Version::V311, Some(10)), b"\x32\x09\0\x03a/b\0\x0ahi");
        is(said(Version::V5, Some(10)), b"\x32\x0a\0\x03a/b\0\x0a\0hi");
        assert_eq!(acknowledge(258)[..], [0x40, 2, 1, 2]);
        assert_eq!((ping()[..].to_vec(), disconnect()[..].to_vec()), (vec![0xc0, 0], vec![0xe0, 0]));
    }

    #[test]
    fn what_cannot_be_said_is_not() {
        let long = "x".repeat(65_536);
        assert_eq!(connect(Version::V311, &Connect { password: Some(&long), ..CLIENT }), None);
        assert_eq!(connect(Version::V5, &Connect { client_id: "\0", ..CLIENT }), None);
        assert_eq!(publish(Version::V5, long, String::new(), None), None);
        assert_eq!(subscribe(Version::V311, 1, Vec::new()), None, "§3.8.3-3: at least one filter");
    }
}
