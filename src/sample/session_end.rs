//! Ends of sessions: whose doing they are, how, and what each side said.
//!
//! In: nothing. Out: [`Initiator`], [`Abnormal`], [`Said`], [`CloseKey`], [`SessionEnd`].

use std::fmt;

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::mqtt::words_of_code;

named_enum! {
    /// Who ended a session.
    Initiator {
        /// The target closed it.
        Target = "target",
        /// The client closed it.
        Client = "client",
        /// The connection ended without a close frame, or the peer fell silent.
        Network = "network",
        /// A storm forced it.
        Storm = "storm",
    }
}

named_enum! {
    /// How a session ended that has no close frame, or none that may be sent (close code 1006, RFC 6455 §7.1.5); and what became of a
    /// close frame that was not answered with one.
    Abnormal {
        /// The peer closed the connection (FIN).
        Fin = "fin",
        /// The peer reset the connection (RST).
        Rst = "rst",
        /// The peer fell silent past a timeout.
        Timeout = "timeout",
        /// What was read is neither WebSocket nor TLS, and no violation that has a name here.
        Protocol = "protocol",
        /// This client dropped the connection: on purpose, or because the run was cut short.
        Dropped = "dropped",
        /// The peer's close frame has a code that may not be sent (RFC 6455 §7.4).
        BadCloseCode = "bad_close_code",
        /// The service masked a frame (RFC 6455 §5.1).
        MaskedFrame = "masked_frame",
        /// A frame with reserved bits that no extension gave a meaning (RFC 6455 §5.2).
        ReservedBits = "reserved_bits",
        /// A frame with an opcode that is reserved (RFC 6455 §5.2).
        BadOpcode = "bad_opcode",
        /// A text, or a close frame's reason, that is no UTF-8 (RFC 6455 §8.1).
        BadUtf8 = "bad_utf8",
        /// A frame or a message beyond what the session takes (`max_message_bytes`).
        TooLarge = "too_large",
        /// A control frame that is fragmented or too long, or a close frame with half a code (RFC 6455 §5.5).
        BadControlFrame = "bad_control_frame",
        /// A fragment that continues nothing, or a message begun within another (RFC 6455 §5.4).
        BadContinuation = "bad_continuation",
        /// A compressed message that cannot be inflated (RFC 7692 §7.2.2).
        BadDeflate = "bad_deflate",
    }
}

impl Abnormal {
    /// Whether the peer broke the WebSocket protocol, or a limit, in a way that has a name: its doing, and not the network's.
    #[must_use]
    pub const fn is_violation(self) -> bool {
        match self {
            Self::BadCloseCode
            | Self::MaskedFrame
            | Self::ReservedBits
            | Self::BadOpcode
            | Self::BadUtf8
            | Self::TooLarge
            | Self::BadControlFrame
            | Self::BadContinuation
            | Self::BadDeflate => true,
            Self::Fin | Self::Rst | Self::Timeout | Self::Protocol | Self::Dropped => false,
        }
    }

    /// The code by which a client fails the connection of a peer that broke the protocol so (RFC 6455 §7.4.1).
    #[must_use]
    pub const fn failure_code(self) -> u16 {
        match self {
            Self::BadUtf8 | Self::BadDeflate => 1007,
            Self::TooLarge => 1009,
            _ => 1002,
        }
    }
}

/// The code with which a client leaves that has nothing more to do here (RFC 6455 §7.4.1).
pub const NORMAL_CLOSURE: u16 = 1000;

/// The code of a close frame that carries none, as the lifecycle and the reports tell it (RFC 6455 §7.1.5).
pub const NO_STATUS: u16 = 1005;

/// The code of a session that ends without a close frame that may be sent (RFC 6455 §7.1.5).
pub const ABNORMAL_CLOSURE: u16 = 1006;

/// What one side put into its close frame.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// It sent none, or one that only repeats what it answers.
    #[default]
    Nothing,
    /// A close frame without a code.
    NoCode,
    /// This code, whether it may be sent or not.
    Code(u16),
    /// A DISCONNECT of MQTT 5 with this reason code (§3.14.2.1), whatever close frame followed.
    Reason(u8),
}

impl Word {
    /// Of a close frame that was seen with this code, where [`NO_STATUS`] stands for none.
    #[must_use]
    pub const fn of(code: u16) -> Self {
        if code == NO_STATUS { Self::NoCode } else { Self::Code(code) }
    }

    /// The code; `None` where there is none.
    #[must_use]
    pub const fn code(self) -> Option<u16> {
        match self {
            Self::Code(code) => Some(code),
            Self::Nothing | Self::NoCode | Self::Reason(_) => None,
        }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::NoCode => f.write_str("no code"),
            Self::Code(code) => code.fmt(f),
            Self::Reason(code) => f.write_str(words_of_code(*code)),
        }
    }
}

/// What each side said at a session's end. An answer that repeats the other's code (RFC 6455 §5.5.1) is no word of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Said {
    /// The target's close frame.
    pub target: Word,
    /// The client's close frame.
    pub client: Word,
}

impl Said {
    /// Only the target spoke.
    #[must_use]
    pub const fn by_target(word: Word) -> Self {
        Self { target: word, client: Word::Nothing }
    }

    /// Only the client spoke.
    #[must_use]
    pub const fn by_client(word: Word) -> Self {
        Self { target: Word::Nothing, client: word }
    }
}

impl fmt::Display for Said {
    /// `target 1005; client 1002`, without those who said nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sides = [("target", self.target), ("client", self.client)];
        let spoken = sides.iter().filter(|(_, word)| *word != Word::Nothing);
        for (index, (side, word)) in spoken.enumerate() {
            let between = if index > 0 { "; " } else { "" };
            write!(f, "{between}{side} {word}")?;
        }
        Ok(())
    }
}

/// What ends of sessions are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CloseKey {
    /// Who ended it.
    pub initiator: Initiator,
    /// The close code: 1006 where no close frame came that may be sent.
    pub code: u16,
    /// How, where there was no closing handshake.
    pub abnormal: Option<Abnormal>,
    /// What each side said.
    pub said: Said,
}

impl CloseKey {
    /// An end of which is not known what was said.
    #[must_use]
    pub const fn unsaid(initiator: Initiator, code: u16, abnormal: Option<Abnormal>) -> Self {
        let said = Said { target: Word::Nothing, client: Word::Nothing };
        Self { initiator, code, abnormal, said }
    }

    /// With what was said.
    #[must_use]
    pub const fn saying(self, said: Said) -> Self {
        Self { said, ..self }
    }

    /// The code by which the target knows this end: where it broke the protocol, that by which the client told it so.
    #[must_use]
    pub fn code_at_target(&self) -> u16 {
        let told = self.abnormal.filter(|how| how.is_violation()).and_then(|_| self.said.client.code());
        told.unwrap_or(self.code)
    }
}

impl fmt::Display for CloseKey {
    /// `target 1006 (bad_close_code; target 1005; client 1002)`: what was said only where initiator and code do not tell it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { initiator, code, abnormal, said } = *self;
        write!(f, "{initiator} {code}")?;
        let is_plain = match initiator {
            Initiator::Target => said == Said::by_target(Word::of(code)),
            Initiator::Client => said == Said::by_client(Word::of(code)),
            Initiator::Storm => {
                [Said::by_target, Said::by_client].map(|by| by(Word::of(code))).contains(&said)
            }
            Initiator::Network => false,
        };
        let told = if is_plain { String::new() } else { said.to_string() };
        match (abnormal, told.as_str()) {
            (None, "") => Ok(()),
            (Some(how), "") => write!(f, " ({how})"),
            (None, told) => write!(f, " ({told})"),
            (Some(how), told) => write!(f, " ({how}; {told})"),
        }
    }
}

/// The end of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionEnd {
    /// Who ended it, with which code, how; what each side said.
    pub key: CloseKey,
    /// From the upgrade to the end.
    pub length: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_tells_what_was_said_where_its_code_does_not() {
        let said = |target, client| Said { target, client };
        let none = Word::Nothing;
        let rows = [
            (Initiator::Target, 1001, None, Said::by_target(Word::of(1001)), "target 1001"),
            (Initiator::Target, 1005, None, Said::by_target(Word::of(1005)), "target 1005"),
            (
                Initiator::Target,
                1006,
                Some(Abnormal::BadCloseCode),
                said(Word::Code(1005), Word::Code(1002)),
                "target 1006 (bad_close_code; target 1005; client 1002)",
            ),
            (
                Initiator::Target,
                1006,
                Some(Abnormal::MaskedFrame),
                said(none, Word::Code(1002)),
                "target 1006 (masked_frame; client 1002)",
            ),
            (
                Initiator::Target,
                1001,
                None,
                said(Word::Code(1001), Word::Code(1000)),
                "target 1001 (target 1001; client 1000)",
            ),
            (Initiator::Client, 1000, None, Said::by_client(Word::of(1000)), "client 1000"),
            (
                Initiator::Client,
                1000,
                None,
                said(Word::NoCode, Word::Code(1000)),
                "client 1000 (target no code; client 1000)",
            ),
            (
                Initiator::Client,
                1000,
                Some(Abnormal::Timeout),
                Said::by_client(Word::of(1000)),
                "client 1000 (timeout)",
            ),
            (Initiator::Client, 1000, Some(Abnormal::Timeout), Said::default(), "client 1000 (timeout)"),
            (Initiator::Storm, 1012, None, Said::by_target(Word::of(1012)), "storm 1012"),
            (Initiator::Storm, 4001, None, Said::by_client(Word::of(4001)), "storm 4001"),
            (Initiator::Network, 1006, Some(Abnormal::Fin), Said::default(), "network 1006 (fin)"),
        ];
        for (initiator, code, abnormal, said, expected) in rows {
            assert_eq!(CloseKey { initiator, code, abnormal, said }.to_string(), expected);
        }
    }

    #[test]
    fn the_target_knows_its_violation_by_what_it_was_told() {
        let key =
            |abnormal, said| CloseKey { said, ..CloseKey::unsaid(Initiator::Target, 1006, Some(abnormal)) };
        let told = Said::by_client(Word::Code(1007));
        assert_eq!(key(Abnormal::BadUtf8, told).code_at_target(), 1007);
        assert_eq!(key(Abnormal::BadUtf8, Said::default()).code_at_target(), 1006, "it could not be told");
        assert_eq!(key(Abnormal::Timeout, told).code_at_target(), 1006);
    }
}
