//! A session on its socket: frames in and out, one timer, and its end.
//!
//! In: an upgraded stream and a [`Session`] of the rules. Out: what the rules order, and exactly one end. Holds as little
//! as it can: there are thousands.

use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::Interest;
use tokio::time::Sleep;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WsError, Message, WebSocket};

use crate::clock::Moment;
use crate::sample::Abnormal;
use crate::scenario::keys::{FaultKind, FrameFlaw};
use crate::service::session::{CloseOrder, Due, EndHow, FrameClass, Session};

use super::busy::InFlight;
use super::shared::{Admitted, Order, Shared, Signal};
use super::wire::SessionWire;

/// A session's read buffer. It grows for larger messages; most sessions are idle, and memory for each counts.
const READ_BUFFER: usize = 512;
/// The largest message that a client may send.
pub(super) const MESSAGE_CAP: usize = 1 << 20;
/// What may wait to be written, beside one message: a peer that reads slower than this is dropped.
const WRITE_CAP: usize = 256 * 1024;
/// This many frames are read in a row before deadlines and storms get their turn.
const MOST_IN_A_ROW: u8 = 32;
/// How often a silent session looks whether its client has gone.
const SILENT_CHECK: Duration = Duration::from_millis(100);
/// The code of a close frame that carries none (RFC 6455 §7.1.5).
const NO_STATUS: u16 = 1005;

/// What woke the session.
enum Woken {
    Frame(Message),
    Told(Order),
    Timer,
    Over(EndHow),
}

/// How a fault ends a session's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CutOff {
    /// Dropped as it is.
    Abruptly,
    /// With a FIN, and no word before it.
    HangUp,
}

pub(super) struct Live {
    pub(super) shared: Arc<Shared>,
    socket: WebSocket<SessionWire>,
    pub(super) session: Session,
    signal: Arc<Signal>,
    /// Something may wait to be written.
    has_output: bool,
    frames_in_a_row: u8,
    /// A fault ends the connection in its own way.
    cut_off: Option<CutOff>,
    timer: Pin<Box<Sleep>>,
    /// What the timer is set to; [`Moment::NEVER`]: nothing.
    armed: Moment,
}

/// Runs a session to its end. `early` is what the client sent right behind its request.
pub(super) async fn run_session(
    shared: Arc<Shared>,
    admitted: Admitted,
    wire: SessionWire,
    early: Vec<u8>,
    in_flight: InFlight,
) {
    let Admitted { session, signal } = admitted;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_CAP + 2 * shared.rules.message_padding)
        .max_message_size(Some(MESSAGE_CAP))
        .max_frame_size(Some(MESSAGE_CAP));
    let socket = WebSocket::from_partially_read(wire, early, Role::Server, Some(config));
    let armed = session.next_wake();
    let timer = Box::pin(tokio::time::sleep_until(shared.clock.instant(armed).into()));
    let mut live = Live {
        shared,
        socket,
        session,
        signal,
        has_output: false,
        frames_in_a_row: 0,
        cut_off: None,
        timer,
        armed,
    };
    let how = live.run().await;
    let ended = live.session.end(how);
    // Before the client's close frame is answered: a client that comes back at once must find its token gone.
    live.shared.end_session(live.session.id(), ended);
    match live.cut_off {
        None => live.finish().await,
        Some(CutOff::HangUp) => live.hang_up().await,
        Some(CutOff::Abruptly) => {}
    }
    // The server ends TCP first (RFC 6455 §7.1.1).
    drop(live);
    drop(in_flight);
}

impl Live {
    async fn run(&mut self) -> EndHow {
        loop {
            tokio::task::coop::consume_budget().await;
            let woken = poll_fn(|context| self.poll_woken(context)).await;
            let now = self.shared.clock.now();
            let over = match woken {
                Woken::Over(how) => Some(how),
                Woken::Frame(Message::Close(frame)) => {
                    Some(EndHow::CloseFrame(frame.map_or(NO_STATUS, |frame| frame.code.into())))
                }
                Woken::Frame(message) => {
                    let class = if message.is_ping() || message.is_pong() {
                        FrameClass::Control
                    } else {
                        FrameClass::Data
                    };
                    self.session.heard(now, class);
                    if matches!(message, Message::Text(_) | Message::Binary(_)) {
                        self.shared.state().count_message_received();
                    }
                    match message {
                        Message::Text(text) => self.take_text(now, text.as_str()),
                        _ => None,
                    }
                }
                Woken::Told(Order::Storm(code)) => {
                    self.session.storm(now, code).and_then(|close| self.send_close(close))
                }
                Woken::Told(Order::Displaced(code)) => {
                    self.session.displace(now, code).and_then(|close| self.send_close(close))
                }
                Woken::Told(Order::HoldEnded) => self.tell_hold_end(),
                Woken::Told(Order::Warned(storm)) => self.warn(storm),
                Woken::Timer => match self.session.take_due(now) {
                    Due::Fault(fault) => {
                        self.shared.state().count_fault(&fault);
                        Box::pin(self.carry_out(fault)).await
                    }
                    Due::HangUp => {
                        Box::pin(self.carry_out(FaultKind::CloseWithoutFrame { after: Duration::ZERO })).await
                    }
                    Due::FallSilent => {
                        self.shared.begin_silence(self.session.id());
                        Box::pin(self.carry_out(FaultKind::HalfOpen { after: Duration::ZERO })).await
                    }
                    due => self.do_due(due),
                },
            };
            if let Some(how) = over {
                return how;
            }
        }
    }

    /// What happens next. Reading comes first: what the client has sent already counts before any deadline does. But a
    /// client that never stops sending must not keep the rest from its turn.
    fn poll_woken(&mut self, context: &mut Context<'_>) -> Poll<Woken> {
        let is_flooded = self.frames_in_a_row >= MOST_IN_A_ROW;
        if !is_flooded && let Poll::Ready(read) = self.poll_read(context) {
            self.frames_in_a_row += 1;
            return Poll::Ready(read);
        }
        self.frames_in_a_row = 0;
        if let Poll::Ready(Err(error)) = self.poll_flush(context) {
            return Poll::Ready(Woken::Over(EndHow::Abnormal(classify(&error))));
        }
        if let Poll::Ready(order) = self.signal.poll(context) {
            return Poll::Ready(Woken::Told(order));
        }
        if self.poll_timer(context).is_ready() {
            return Poll::Ready(Woken::Timer);
        }
        if is_flooded { self.poll_read(context) } else { Poll::Pending }
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Woken> {
        loop {
            match self.socket.read() {
                Ok(message) => {
                    // A ping leaves an answer to be written.
                    self.has_output = true;
                    return Poll::Ready(Woken::Frame(message));
                }
                Err(WsError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Woken::Over(EndHow::Abnormal(classify(&error)))),
            }
            match self.socket.get_ref().tcp().poll_read_ready(context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Woken::Over(EndHow::Abnormal(Abnormal::Rst))),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Writes what waits to be written.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), WsError>> {
        while self.has_output {
            match self.socket.flush() {
                Ok(()) => {
                    self.has_output = false;
                    self.session.close_frame_sent();
                }
                Err(WsError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    match self.socket.get_ref().tcp().poll_write_ready(context) {
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                        Poll::Pending => return Poll::Pending,
                    }
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The one timer. Activity only moves deadlines later, so it is set anew only when it has run out, or for an earlier one.
    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let wake = self.session.next_wake();
            if wake < self.armed {
                self.arm(wake);
            }
            if self.armed == Moment::NEVER || self.timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            if self.shared.clock.now() >= wake {
                return Poll::Ready(());
            }
            self.arm(wake);
        }
    }

    fn arm(&mut self, wake: Moment) {
        self.armed = wake;
        self.timer.as_mut().reset(self.shared.clock.instant(wake).into());
    }

    /// Does what is due; `Some`: the session is over.
    fn do_due(&mut self, due: Due) -> Option<EndHow> {
        match due {
            Due::Nothing | Due::Fault(_) | Due::HangUp | Due::FallSilent => None,
            Due::GiveUp => Some(EndHow::Abnormal(Abnormal::Timeout)),
            Due::Message { sequence, due } => self.send_due(sequence, due),
            Due::Close(order) => self.begin_close(order),
            Due::Say(rule) => self.say(rule),
            Due::HoldEnd => self.end_hold(),
            Due::Refuse(refusal) => self.refuse(refusal),
        }
    }

    fn send_due(&mut self, sequence: u64, due: Moment) -> Option<EndHow> {
        for _ in 0..self.shared.message_text.times(sequence) {
            let text = self.shared.message_text.write(sequence, self.shared.clock.unix_us(due));
            let over = self.write(|socket| socket.write(Message::text(text)), |_| {});
            if over.is_some() {
                return over;
            }
        }
        self.shared.state().pass_message(self.session.id(), sequence);
        None
    }

    pub(super) fn begin_close(&mut self, order: CloseOrder) -> Option<EndHow> {
        self.shared.begin_close(self.session.id());
        self.send_close(order)
    }

    fn send_close(&mut self, order: CloseOrder) -> Option<EndHow> {
        let frame = CloseFrame { code: CloseCode::from(order.code), reason: order.reason.into() };
        // `close` flushes: where it succeeds, the frame has left.
        self.write(|socket| socket.close(Some(frame)), Session::close_frame_sent)
    }

    /// Writes as far as the socket takes it; the rest follows when it is ready.
    pub(super) fn write(
        &mut self,
        write: impl FnOnce(&mut WebSocket<SessionWire>) -> Result<(), WsError>,
        written: impl FnOnce(&mut Session),
    ) -> Option<EndHow> {
        self.has_output = true;
        match write(&mut self.socket) {
            Ok(()) => {
                written(&mut self.session);
                None
            }
            Err(WsError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => Some(EndHow::Abnormal(classify(&error))),
        }
    }

    /// Writes the answer to the client's close frame, as long as the close timeout lasts.
    async fn finish(&mut self) {
        let close_timeout = self.shared.rules.close_timeout;
        let flushed = poll_fn(|context| self.poll_flush(context));
        if tokio::time::timeout(close_timeout, flushed).await.is_err() {
            log::debug!("a client did not take the answer to its close frame");
        }
        self.socket.get_mut().say_goodbye();
    }

    /// Carries a fault out; `Some`: the session is over.
    async fn carry_out(&mut self, fault: FaultKind) -> Option<EndHow> {
        match fault {
            FaultKind::ResetAfterUpgrade { .. } => {
                self.cut_off = Some(CutOff::Abruptly);
                self.socket.get_ref().reset_on_close();
                Some(EndHow::Abnormal(Abnormal::Rst))
            }
            FaultKind::CloseWithoutFrame { .. } => {
                self.cut_off = Some(CutOff::HangUp);
                Some(EndHow::Abnormal(Abnormal::Fin))
            }
            FaultKind::HalfOpen { .. } => {
                self.cut_off = Some(CutOff::Abruptly);
                self.fall_silent().await;
                Some(EndHow::Abnormal(Abnormal::Fin))
            }
            _ => self.write_raw(&faulty_frame(&fault)).await,
        }
    }

    /// Ends TCP from this side, and lets the client end it from its own: what it still sends must not make the FIN a reset.
    async fn hang_up(&self) {
        if let Err(error) = self.socket.get_ref().hang_up() {
            log::debug!("a connection was gone before a fault could end it: {error}");
        }
        let close_timeout = self.shared.rules.close_timeout;
        if tokio::time::timeout(close_timeout, self.read_to_end()).await.is_err() {
            log::debug!("a client stays on a connection whose other side is gone");
        }
    }

    async fn read_to_end(&self) {
        let mut rest = [0; 512];
        let tcp = self.socket.get_ref().tcp();
        loop {
            match tcp.try_read(&mut rest) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if tcp.readable().await.is_err() {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }

    /// Waits until the client has gone, without reading: what it sent stays where it is.
    async fn fall_silent(&self) {
        let tcp = self.socket.get_ref().tcp();
        while tcp.ready(Interest::READABLE).await.is_ok_and(|ready| !ready.is_read_closed()) {
            // It has sent something, and may yet go: asked again and again, for unread data stays ready.
            tokio::time::sleep(SILENT_CHECK).await;
        }
    }

    /// Writes bytes past the WebSocket protocol. `Some`: the session is over.
    async fn write_raw(&mut self, bytes: &[u8]) -> Option<EndHow> {
        let close_timeout = self.shared.rules.close_timeout;
        match tokio::time::timeout(close_timeout, self.try_write_raw(bytes)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(EndHow::Abnormal(classify(&error))),
            Err(_) => Some(EndHow::Abnormal(Abnormal::Timeout)),
        }
    }

    async fn try_write_raw(&mut self, mut bytes: &[u8]) -> Result<(), WsError> {
        // Not into the middle of a frame.
        poll_fn(|context| self.poll_flush(context)).await?;
        while !bytes.is_empty() {
            match self.socket.get_mut().write_frames(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.socket.get_ref().tcp().writable().await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.has_output = true;
        poll_fn(|context| self.poll_flush(context)).await
    }
}

/// A frame that a client must not take (RFC 6455 §5.2); none for faults that are no frames.
fn faulty_frame(fault: &FaultKind) -> Vec<u8> {
    match *fault {
        // FIN and text; a length of 127 says that 64 bits of it follow. The rest of the frame never comes.
        FaultKind::OversizedFrame { bytes, .. } => {
            let mut frame = vec![0x81, 127];
            frame.extend_from_slice(&bytes.to_be_bytes());
            frame
        }
        FaultKind::MalformedFrame { flaw: FrameFlaw::ReservedBits, .. } => vec![0xa1, 1, b'x'],
        FaultKind::MalformedFrame { flaw: FrameFlaw::Opcode, .. } => vec![0x83, 1, b'x'],
        // RSV1; a final block of a type that does not exist (RFC 1951 §3.2.3).
        FaultKind::MalformedFrame { flaw: FrameFlaw::Deflate, .. } => vec![0xc1, 2, 0x07, 0xff],
        // 0xc3 begins a sequence of two bytes, and 0x28 is none that may follow it.
        FaultKind::InvalidUtf8 { .. } => vec![0x81, 2, 0xc3, 0x28],
        FaultKind::MaskedFrame { .. } => vec![0x81, 0x80 | 1, 1, 2, 3, 4, b'x' ^ 1],
        _ => Vec::new(),
    }
}

/// What ended a session without a close frame.
fn classify(error: &WsError) -> Abnormal {
    match error {
        WsError::ConnectionClosed
        | WsError::AlreadyClosed
        | WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Abnormal::Fin,
        WsError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => Abnormal::Fin,
        WsError::Io(error) if error.kind() == io::ErrorKind::TimedOut => Abnormal::Timeout,
        // A TLS record that is none, or an alert that says so of one of ours.
        WsError::Io(error) if error.kind() == io::ErrorKind::InvalidData => Abnormal::Protocol,
        WsError::Io(_) => Abnormal::Rst,
        // The peer does not read what it is sent.
        WsError::WriteBufferFull(_) => Abnormal::Timeout,
        _ => Abnormal::Protocol,
    }
}
