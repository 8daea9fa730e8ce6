//! What goes over a session, either way.
//!
//! In: frames and ends of connections. Out: the same as a number, as an event of the queue carries it.

use crate::sample::Abnormal;

/// What goes to the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ToTarget {
    /// A message whose text nobody looks at.
    Data,
    /// A text message.
    Text,
    Ping,
    Close(u16),
    Fin,
    Rst,
}

/// What goes to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ToClient {
    /// The message of that sequence number.
    Message(u64),
    /// A text message beside those of its stream.
    Told,
    Pong,
    Close(u16),
    /// The answer to its own close frame.
    Echo,
    Fin,
    Rst,
    /// A frame that breaks the protocol so.
    Broken(Abnormal),
}

/// Bits of a frame's code that hold what goes with it.
const PAYLOAD_BITS: u32 = 56;

impl ToTarget {
    /// The frame as an event carries it.
    pub(super) const fn code(self) -> u64 {
        let (kind, payload) = match self {
            Self::Data => (0, 0),
            Self::Ping => (1, 0),
            Self::Close(code) => (2, code as u64),
            Self::Fin => (3, 0),
            Self::Rst => (4, 0),
            Self::Text => (5, 0),
        };
        kind << PAYLOAD_BITS | payload
    }

    /// The frame that an event carried.
    pub(super) const fn of(code: u64) -> Self {
        let payload = code & ((1 << PAYLOAD_BITS) - 1);
        match code >> PAYLOAD_BITS {
            0 => Self::Data,
            1 => Self::Ping,
            2 => Self::Close(payload as u16),
            3 => Self::Fin,
            4 => Self::Rst,
            _ => Self::Text,
        }
    }
}

impl ToClient {
    /// The frame as an event carries it.
    pub(super) const fn code(self) -> u64 {
        let (kind, payload) = match self {
            Self::Message(sequence) => (0, sequence & ((1 << PAYLOAD_BITS) - 1)),
            Self::Told => (1, 0),
            Self::Pong => (2, 0),
            Self::Close(code) => (3, code as u64),
            Self::Echo => (4, 0),
            Self::Fin => (5, 0),
            Self::Rst => (6, 0),
            Self::Broken(how) => (7, how as u64),
        };
        kind << PAYLOAD_BITS | payload
    }

    /// The frame that an event carried.
    pub(super) fn of(code: u64) -> Self {
        let payload = code & ((1 << PAYLOAD_BITS) - 1);
        match code >> PAYLOAD_BITS {
            0 => Self::Message(payload),
            1 => Self::Told,
            2 => Self::Pong,
            3 => Self::Close(payload as u16),
            4 => Self::Echo,
            5 => Self::Fin,
            6 => Self::Rst,
            _ => Self::Broken(Abnormal::ALL.get(payload as usize).copied().unwrap_or(Abnormal::Protocol)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_from_their_codes() {
        use ToClient::{Broken, Echo, Message, Pong, Told};
        for frame in [
            ToTarget::Data,
            ToTarget::Ping,
            ToTarget::Close(4_999),
            ToTarget::Fin,
            ToTarget::Rst,
            ToTarget::Text,
        ] {
            assert_eq!(ToTarget::of(frame.code()), frame);
        }
        let others = [Told, Pong, Echo, ToClient::Close(1_001), ToClient::Fin, ToClient::Rst];
        let broken = Abnormal::ALL.iter().map(|how| Broken(*how));
        for frame in others.into_iter().chain(broken).chain([Message(0), Message((1 << PAYLOAD_BITS) - 1)]) {
            assert_eq!(ToClient::of(frame.code()), frame);
        }
    }
}
