//! What a broker tells a client, in either version.
//!
//! In: the codec's packets. Out: [`Packet`]s; a [`Fault`] for what no broker may send to a client that asks for QoS 0 and 1.

use bytes::Bytes;
use symqtt_codec::{QoS, v3, v5};

use crate::declare::words;

use super::reason::{words_of_reason, words_of_return};

words! {
    /// The version of the protocol.
    pub enum Version {
        /// MQTT 3.1.1.
        V311 = "3.1.1",
        /// MQTT 5.
        V5 = "5",
    }
}

/// What a broker tells a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// CONNACK: it lets the client in.
    Accepted {
        /// The seconds that it wants for the keep-alive instead of the client's (MQTT 5 §3.2.2.3.14).
        keep_alive: Option<u16>,
    },
    /// CONNACK: it does not, for this reason.
    Refused(&'static str),
    /// PUBLISH: a message.
    Message {
        /// What it holds.
        payload: Bytes,
        /// The packet identifier to answer with PUBACK; `None`: QoS 0.
        acknowledge: Option<u16>,
    },
    /// PUBACK.
    Acknowledged {
        /// Of the packet with this identifier.
        id: u16,
        /// Whether it was taken.
        is_ok: bool,
    },
    /// SUBACK.
    Subscribed {
        /// Of the packet with this identifier.
        id: u16,
        /// Whether every filter was taken.
        is_ok: bool,
    },
    /// PINGRESP.
    Pong,
    /// DISCONNECT: it is about to close, for the reason of this code (MQTT 5 §3.14.2.1); see [`words_of_code`](super::words_of_code).
    Disconnected(u8),
}

/// How a peer broke the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// What it sent is no packet, or none that a broker may send.
    Malformed,
    /// A packet is larger than what the client takes.
    TooLarge,
}

pub(super) fn of_v3(packet: v3::Packet) -> Result<Packet, Fault> {
    Ok(match packet {
        v3::Packet::ConnAck(ack) => match words_of_return(ack.return_code) {
            None => Packet::Accepted { keep_alive: None },
            Some(words) => Packet::Refused(words),
        },
        v3::Packet::Publish(message) => message_of(message.payload, message.qos, message.pkid)?,
        v3::Packet::PubAck(ack) => Packet::Acknowledged { id: ack.pkid, is_ok: true },
        v3::Packet::SubAck(ack) => Packet::Subscribed {
            id: ack.pkid,
            is_ok: !ack.return_codes.contains(&v3::SubscribeReturnCode::Failure),
        },
        v3::Packet::PingResp(_) => Packet::Pong,
        _ => return Err(Fault::Malformed),
    })
}

pub(super) fn of_v5(packet: v5::Packet) -> Result<Packet, Fault> {
    Ok(match packet {
        v5::Packet::ConnAck(ack) if ack.reason_code.is_error() => {
            Packet::Refused(words_of_reason(ack.reason_code))
        }
        v5::Packet::ConnAck(ack) => Packet::Accepted { keep_alive: ack.properties.server_keep_alive },
        v5::Packet::Publish(message) => message_of(message.payload, message.qos, message.pkid)?,
        v5::Packet::PubAck(ack) => Packet::Acknowledged { id: ack.pkid, is_ok: ack.reason_code.is_success() },
        v5::Packet::SubAck(ack) => Packet::Subscribed {
            id: ack.pkid,
            is_ok: ack.reason_codes.iter().all(|reason| reason.is_success()),
        },
        v5::Packet::PingResp(_) => Packet::Pong,
        v5::Packet::Disconnect(said) => Packet::Disconnected(said.reason_code as u8),
        _ => return Err(Fault::Malformed),
    })
}

/// A message of a QoS that the client asked for.
fn message_of(payload: Bytes, qos: QoS, id: Option<u16>) -> Result<Packet, Fault> {
    if qos == QoS::ExactlyOnce || id == Some(0) {
        return Err(Fault::Malformed);
    }
    Ok(Packet::Message { payload, acknowledge: id })
}
