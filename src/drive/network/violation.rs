//! What broke a session, by name.
//!
//! In: an error of the WebSocket library, or what a close frame held. Out: how the session ended, and the code by which a client fails
//! the connection.

use std::io;

use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error as WsError, error::ProtocolError};

use crate::deflate::Broken;
use crate::sample::Abnormal;

/// What ended a session without a close frame.
pub(super) fn classify(error: &WsError) -> Abnormal {
    if let Some(broken) = broken(error) {
        return match broken {
            Broken::Garbage => Abnormal::BadDeflate,
            Broken::TooLarge => Abnormal::TooLarge,
            Broken::Nested => Abnormal::BadContinuation,
        };
    }
    match error {
        WsError::ConnectionClosed
        | WsError::AlreadyClosed
        | WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Abnormal::Fin,
        WsError::Io(error) => match error.kind() {
            io::ErrorKind::UnexpectedEof => Abnormal::Fin,
            io::ErrorKind::TimedOut => Abnormal::Timeout,
            // A TLS record that is none, or an alert that says so of one of ours.
            io::ErrorKind::InvalidData => Abnormal::Protocol,
            _ => Abnormal::Rst,
        },
        WsError::Protocol(error) => violation(error),
        WsError::Utf8(_) => Abnormal::BadUtf8,
        WsError::Capacity(_) => Abnormal::TooLarge,
        _ => Abnormal::Protocol,
    }
}

/// What is wrong with a compressed message, where that is the error.
fn broken(error: &WsError) -> Option<Broken> {
    let WsError::Io(error) = error else { return None };
    error.get_ref()?.downcast_ref::<Broken>().copied()
}

const fn violation(error: &ProtocolError) -> Abnormal {
    match error {
        ProtocolError::NonZeroReservedBits => Abnormal::ReservedBits,
        ProtocolError::MaskedFrameFromServer => Abnormal::MaskedFrame,
        ProtocolError::UnknownControlFrameType(_)
        | ProtocolError::UnknownDataFrameType(_)
        | ProtocolError::InvalidOpcode(_) => Abnormal::BadOpcode,
        ProtocolError::FragmentedControlFrame
        | ProtocolError::ControlFrameTooBig
        | ProtocolError::InvalidCloseSequence => Abnormal::BadControlFrame,
        ProtocolError::UnexpectedContinueFrame | ProtocolError::ExpectedFragment(_) => {
            Abnormal::BadContinuation
        }
        _ => Abnormal::Protocol,
    }
}

/// What a peer is told that broke the protocol (RFC 6455 §7.4.1); `None` where the connection itself is gone.
pub(super) fn code_of_failure(error: &WsError) -> Option<CloseCode> {
    match error {
        WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        WsError::Protocol(_) => Some(CloseCode::Protocol),
        WsError::Utf8(_) => Some(CloseCode::Invalid),
        WsError::Capacity(_) => Some(CloseCode::Size),
        error => broken(error).map(|_| CloseCode::from(classify(error).failure_code())),
    }
}

/// Whether a close frame may carry this code: those of RFC 6455 §7.4.1, those that IANA has registered since (1012 to 1014), and those of
/// libraries and applications. The browsers and the common servers take the same.
pub(super) const fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket, WebSocketConfig};

    use super::super::strangers::Came;
    use super::*;

    #[test]
    fn every_violation_has_its_name_and_its_code() {
        let long_ping = [&[0x89, 0x7e, 0x00, 0x7e][..], &[0; 126]].concat();
        let rows: [(&str, &[u8], Abnormal, Option<u16>); 17] = [
            ("RSV1", &[0xc1, 0x00], Abnormal::ReservedBits, Some(1002)),
            ("RSV3", &[0x91, 0x00], Abnormal::ReservedBits, Some(1002)),
            ("a data opcode that is reserved", &[0x83, 0x00], Abnormal::BadOpcode, Some(1002)),
            ("a control opcode that is reserved", &[0x8b, 0x00], Abnormal::BadOpcode, Some(1002)),
            ("masked", &[0x81, 0x81, 0, 0, 0, 0, b'a'], Abnormal::MaskedFrame, Some(1002)),
            ("a fragmented ping", &[0x09, 0x00], Abnormal::BadControlFrame, Some(1002)),
            ("a ping of 126 bytes", &long_ping, Abnormal::BadControlFrame, Some(1002)),
            ("half a close code", &[0x88, 0x01, 0x03], Abnormal::BadControlFrame, Some(1002)),
            ("a fragment of nothing", &[0x80, 0x01, b'a'], Abnormal::BadContinuation, Some(1002)),
            (
                "a text in a text",
                &[0x01, 0x01, b'a', 0x81, 0x01, b'b'],
                Abnormal::BadContinuation,
                Some(1002),
            ),
            ("no UTF-8", &[0x81, 0x02, 0xc3, 0x28], Abnormal::BadUtf8, Some(1007)),
            ("no UTF-8 in fragments", &[0x01, 0x01, 0xc3, 0x80, 0x01, 0x28], Abnormal::BadUtf8, Some(1007)),
            ("a reason that is no UTF-8", &[0x88, 0x03, 0x03, 0xe8, 0xff], Abnormal::BadUtf8, Some(1007)),
            ("a frame of 17 bytes", &[0x82, 0x11], Abnormal::TooLarge, Some(1009)),
            (
                "fragments of 17 bytes",
                &[0x02, 0x09, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x08, 0, 0, 0, 0, 0, 0, 0, 0],
                Abnormal::TooLarge,
                Some(1009),
            ),
            ("nothing", &[], Abnormal::Fin, None),
            ("half a frame", &[0x81, 0x05, b'a'], Abnormal::Fin, None),
        ];
        for (name, bytes, how, code) in rows {
            let most = if name.contains("17 bytes") { 16 } else { 1024 };
            let config = WebSocketConfig::default().max_frame_size(Some(most)).max_message_size(Some(most));
            let mut socket = WebSocket::from_raw_socket(Came(bytes), Role::Client, Some(config));
            let error = socket.read().unwrap_err();
            assert_eq!(classify(&error), how, "{name}: {error}");
            assert_eq!(code_of_failure(&error).map(u16::from), code, "{name}: {error}");
            assert_eq!(how.is_violation(), code.is_some(), "{name}");
        }
    }

    #[test]
    fn codes_that_may_be_sent() {
        let may_not = [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, u16::MAX];
        assert!(may_not.iter().all(|code| !may_be_sent(*code)));
        let may = [1000, 1001, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4403, 4999];
        assert!(may.iter().all(|code| may_be_sent(*code)));
    }
}
