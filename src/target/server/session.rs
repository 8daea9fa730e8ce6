//! A session on its socket: frames in and out, one timer, and its end.
//!
//! In: an upgraded stream and a [`Session`] of the rules. Out: what the rules order, and exactly one end. Holds as little
//! as it can: there are thousands.

use std::future::{Future as _, poll_fn};
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WsError, Message, WebSocket};

use crate::clock::Moment;
use crate::sample::Abnormal;
use crate::target::session::{CloseOrder, Due, EndHow, Session};

use super::busy::InFlight;
use super::shared::{Admitted, Order, Shared, Signal};

/// A session's read buffer. It grows for larger messages; most sessions are idle, and memory for each counts.
const READ_BUFFER: usize = 512;
/// The largest message that a client may send.
const MESSAGE_CAP: usize = 1 << 20;
/// What may wait to be written, beside one message: a peer that reads slower than this is dropped.
const WRITE_CAP: usize = 256 * 1024;
/// This many frames are read in a row before deadlines and storms get their turn.
const MOST_IN_A_ROW: u8 = 32;
/// The code of a close frame that carries none (RFC 6455 §7.1.5).
const NO_STATUS: u16 = 1005;

/// The socket as tungstenite wants it: it says `WouldBlock`, and the task waits for readiness.
struct Wire(TcpStream);

impl Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buf)
    }
}

impl Write for Wire {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.try_write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What woke the session.
enum Woken {
    Frame(Message),
    Told(Order),
    Timer,
    Over(EndHow),
}

struct Live {
    shared: Arc<Shared>,
    socket: WebSocket<Wire>,
    session: Session,
    signal: Arc<Signal>,
    /// Something may wait to be written.
    has_output: bool,
    frames_in_a_row: u8,
    timer: Pin<Box<Sleep>>,
    /// What the timer is set to; [`Moment::NEVER`]: nothing.
    armed: Moment,
}

/// Runs a session to its end. `early` is what the client sent right behind its request.
pub(super) async fn run_session(
    shared: Arc<Shared>,
    admitted: Admitted,
    stream: TcpStream,
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
    let socket = WebSocket::from_partially_read(Wire(stream), early, Role::Server, Some(config));
    let armed = session.next_wake();
    let timer = Box::pin(tokio::time::sleep_until(shared.clock.instant(armed).into()));
    let mut live =
        Live { shared, socket, session, signal, has_output: false, frames_in_a_row: 0, timer, armed };
    let how = live.run().await;
    let ended = live.session.end(how);
    // Before the client's close frame is answered: a client that comes back at once must find its token gone.
    live.shared.end_session(live.session.id(), ended);
    live.finish().await;
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
                    self.session.heard(now);
                    if matches!(message, Message::Text(_) | Message::Binary(_)) {
                        self.shared.state().count_message_received();
                    }
                    None
                }
                Woken::Told(order) => {
                    let close = match order {
                        Order::Storm(code) => self.session.storm(now, code),
                        Order::Displaced(code) => self.session.displace(now, code),
                    };
                    close.and_then(|close| self.send_close(close))
                }
                Woken::Timer => self.do_due(now),
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
            match self.socket.get_ref().0.poll_read_ready(context) {
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
                    match self.socket.get_ref().0.poll_write_ready(context) {
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
    fn do_due(&mut self, now: Moment) -> Option<EndHow> {
        match self.session.take_due(now) {
            Due::Nothing => None,
            Due::GiveUp => Some(EndHow::Abnormal(Abnormal::Timeout)),
            Due::Message { sequence, due } => {
                let text = self.shared.message_text.write(sequence, self.shared.clock.unix_us(due));
                let over = self.write(|socket| socket.write(Message::text(text)), |_| {});
                if over.is_none() {
                    self.shared.state().count_message_sent();
                }
                over
            }
            Due::Close(order) => {
                let now = self.shared.clock.now();
                self.shared.state().begin_close(now, self.session.id());
                self.send_close(order)
            }
        }
    }

    fn send_close(&mut self, order: CloseOrder) -> Option<EndHow> {
        let frame = CloseFrame { code: CloseCode::from(order.code), reason: order.reason.into() };
        // `close` flushes: where it succeeds, the frame has left.
        self.write(|socket| socket.close(Some(frame)), Session::close_frame_sent)
    }

    /// Writes as far as the socket takes it; the rest follows when it is ready.
    fn write(
        &mut self,
        write: impl FnOnce(&mut WebSocket<Wire>) -> Result<(), WsError>,
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
        WsError::Io(_) => Abnormal::Rst,
        // The peer does not read what it is sent.
        WsError::WriteBufferFull(_) => Abnormal::Timeout,
        _ => Abnormal::Protocol,
    }
}
