//! A session on the wire: frames in and out, and the ways in which it ends.
//!
//! In: a connected WebSocket. Out: what happened, in the lifecycle's terms. What a frame means to the client is not decided
//! here.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error as WsError, Message, error::ProtocolError};

use crate::clock::{Clock, Moment};
use crate::lifecycle::{Ending, EndingHow, Signs};
use crate::sample::{Abnormal, Counter, Sample};
use crate::scenario::keys::Ready;

use super::group_sink::GroupSink;
use super::traffic::TrafficTally;
use super::upgrade::Socket;
use super::wire::Wire;

/// How long a frame may take to be written before the peer is taken for dead.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long telling a peer what it did wrong may take.
const FAIL_TIMEOUT: Duration = Duration::from_millis(200);
/// The code of a close frame that carries none (RFC 6455 §7.1.5).
const NO_STATUS: u16 = 1005;

/// What all sessions of a group go by.
pub(super) struct SessionTerms {
    clock: Clock,
    sink: GroupSink,
    ready: Ready,
    close_timeout: Duration,
}

impl SessionTerms {
    pub(super) const fn new(clock: Clock, sink: GroupSink, ready: Ready, close_timeout: Duration) -> Self {
        Self { clock, sink, ready, close_timeout }
    }
}

/// A session on the wire.
pub(super) struct Session {
    socket: Socket,
    pub(super) signs: Signs,
}

/// What a frame told.
pub(super) enum Heard {
    /// Nothing that the lifecycle must know at once.
    Nothing,
    /// What makes the session ready.
    Ready,
    /// The session is over.
    Ended(Ending),
    /// The session is over by the peer's close frame, which gave this reason.
    Closed(Ending, Option<Box<str>>),
}

impl Session {
    pub(super) fn new(socket: Socket, upgraded: Moment) -> Self {
        Self { socket, signs: Signs::from(upgraded) }
    }

    /// Waits for the next frame, or the connection's end. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Result<Message, WsError>> {
        self.socket.next().await
    }

    /// Takes in a frame.
    pub(super) async fn hear(
        &mut self,
        terms: &SessionTerms,
        tally: &mut TrafficTally,
        frame: Option<Result<Message, WsError>>,
    ) -> Heard {
        let now = terms.clock.now();
        match frame {
            Some(Ok(Message::Close(frame))) => {
                let code = frame.as_ref().map_or(NO_STATUS, |frame| frame.code.into());
                let reason = frame.map(|frame| frame.reason).filter(|reason| !reason.is_empty());
                self.drain(terms, tally).await;
                let ending = Ending { at: now, how: EndingHow::PeerClosed(code) };
                Heard::Closed(ending, reason.map(|reason| Box::from(reason.as_str())))
            }
            Some(Ok(message)) => {
                self.signs.heard = now;
                self.take_message(terms, tally, &message, now).await
            }
            Some(Err(error)) => {
                self.fail(&error).await;
                Heard::Ended(Ending { at: now, how: EndingHow::Abnormal(classify(&error)) })
            }
            None => Heard::Ended(Ending { at: now, how: EndingHow::Abnormal(Abnormal::Fin) }),
        }
    }

    /// Fails the connection where the peer broke the protocol (RFC 6455 §7.1.7): says so with the code that belongs to it, and does
    /// not wait for what the peer makes of it. The session still ends with 1006 here, for no close frame was received (§7.1.5).
    async fn fail(&mut self, error: &WsError) {
        let Some(code) = code_of_failure(error) else { return };
        let frame = CloseFrame { code, reason: "".into() };
        let sent = timeout(FAIL_TIMEOUT, self.socket.send(Message::Close(Some(frame)))).await;
        if !matches!(sent, Ok(Ok(()))) {
            log::debug!("the peer was not told what was wrong");
        }
    }

    async fn take_message(
        &mut self,
        terms: &SessionTerms,
        tally: &mut TrafficTally,
        message: &Message,
        now: Moment,
    ) -> Heard {
        let text = match message {
            Message::Text(text) => text.as_str(),
            Message::Binary(_) => {
                tally.received_binary();
                ""
            }
            Message::Pong(_) => {
                self.signs.pong = now;
                return Heard::Nothing;
            }
            _ => return Heard::Nothing,
        };
        let is_text = matches!(message, Message::Text(_));
        if is_text && let Some(gap) = tally.received(text, terms.clock.unix_us(now)) {
            if gap.missed > 0 {
                terms.sink.send(now, Sample::Count(Counter::MessagesMissed, gap.missed)).await;
            }
            if gap.is_outage {
                terms.sink.send(now, Sample::Count(Counter::OutagesMeasured, 1)).await;
            }
        }
        if tally.is_due(now) {
            self.report(terms, tally, now).await;
        }
        let is_ready = match &terms.ready {
            Ready::Upgraded => false,
            Ready::FirstMessage => true,
            Ready::Message(fits) => is_text && fits.fits(text),
        };
        if is_ready { Heard::Ready } else { Heard::Nothing }
    }

    /// Sends what has gone over the session to the recorder.
    pub(super) async fn report(&mut self, terms: &SessionTerms, tally: &mut TrafficTally, now: Moment) {
        let bytes = self.socket.get_mut().take_counts();
        if let Some(traffic) = tally.report(now, bytes) {
            terms.sink.send(now, Sample::Traffic(Box::new(traffic))).await;
        }
    }

    /// Sends a frame. `Some`: it could not be sent, and the session is over.
    pub(super) async fn send(&mut self, terms: &SessionTerms, message: Message) -> Option<Ending> {
        let sent = timeout(WRITE_TIMEOUT, self.socket.send(message)).await;
        let how = match sent {
            Ok(Ok(())) => return None,
            Ok(Err(error)) => classify(&error),
            Err(_) => Abnormal::Timeout,
        };
        Some(Ending { at: terms.clock.now(), how: EndingHow::Abnormal(how) })
    }

    /// Ends the session with a close frame: the closing handshake, in which the server closes TCP first (RFC 6455 §7.1.1).
    pub(super) async fn close(
        &mut self,
        terms: &SessionTerms,
        tally: &mut TrafficTally,
        code: u16,
    ) -> Ending {
        let at = terms.clock.now();
        let handshake = timeout(terms.close_timeout, self.close_handshake(terms, tally, code)).await;
        let how = handshake.unwrap_or(EndingHow::Abnormal(Abnormal::Timeout));
        Ending { at, how }
    }

    async fn close_handshake(
        &mut self,
        terms: &SessionTerms,
        tally: &mut TrafficTally,
        code: u16,
    ) -> EndingHow {
        let frame = CloseFrame { code: CloseCode::from(code), reason: "".into() };
        if let Err(error) = self.socket.send(Message::Close(Some(frame))).await {
            return EndingHow::Abnormal(classify(&error));
        }
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Close(frame))) => {
                    let answer = frame.map_or(NO_STATUS, |frame| frame.code.into());
                    self.read_to_end(terms, tally).await;
                    // An answer repeats our code; another code was on its way before ours arrived.
                    return if answer == code { EndingHow::Left } else { EndingHow::PeerClosed(answer) };
                }
                Some(Ok(message)) => count_only(terms, tally, &message),
                Some(Err(error)) => return EndingHow::Abnormal(classify(&error)),
                None => return EndingHow::Abnormal(Abnormal::Fin),
            }
        }
    }

    /// After the peer's close frame: answers it and waits for the peer to end TCP.
    async fn drain(&mut self, terms: &SessionTerms, tally: &mut TrafficTally) {
        let late = timeout(terms.close_timeout, self.read_to_end(terms, tally)).await.is_err();
        if late {
            log::debug!("the peer did not end TCP after its close frame");
        }
    }

    async fn read_to_end(&mut self, terms: &SessionTerms, tally: &mut TrafficTally) {
        while let Some(Ok(message)) = self.socket.next().await {
            count_only(terms, tally, &message);
        }
    }

    /// Ends the connection with a reset.
    pub(super) fn reset(&mut self) {
        if self.socket.get_ref().set_reset_on_close().is_err() {
            log::debug!("a connection could not be reset");
        }
    }

    /// Lets go of the WebSocket and keeps the connection.
    pub(super) fn into_wire(self) -> Wire {
        self.socket.into_inner()
    }
}

/// Counts a message that came while the session was ending.
fn count_only(terms: &SessionTerms, tally: &mut TrafficTally, message: &Message) {
    match message {
        Message::Text(text) => {
            tally.received(text, terms.clock.unix_us_now());
        }
        Message::Binary(_) => tally.received_binary(),
        _ => {}
    }
}

/// What a peer is told that broke the protocol (RFC 6455 §7.4.1); `None` where the connection itself is gone.
fn code_of_failure(error: &WsError) -> Option<CloseCode> {
    match error {
        WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        WsError::Protocol(_) => Some(CloseCode::Protocol),
        WsError::Utf8(_) => Some(CloseCode::Invalid),
        WsError::Capacity(_) => Some(CloseCode::Size),
        _ => None,
    }
}

/// What ended a session without a close frame.
fn classify(error: &WsError) -> Abnormal {
    match error {
        WsError::ConnectionClosed
        | WsError::AlreadyClosed
        | WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Abnormal::Fin,
        WsError::Io(error) => match error.kind() {
            std::io::ErrorKind::UnexpectedEof => Abnormal::Fin,
            std::io::ErrorKind::TimedOut => Abnormal::Timeout,
            // A TLS record that is none, or an alert that says so of one of ours.
            std::io::ErrorKind::InvalidData => Abnormal::Protocol,
            _ => Abnormal::Rst,
        },
        _ => Abnormal::Protocol,
    }
}
