//! A session on the wire: frames in and out, and the ways in which it ends.
//!
//! In: a connected WebSocket. Out: what happened, in the lifecycle's terms. What a frame means to the client is not decided
//! here.

use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, SinkExt, StreamExt};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use crate::clock::{Clock, Moment};
use crate::conversation::{Look, Looks, Payload, Talker};
use crate::lifecycle::{Ending, EndingHow, Signs};
use crate::sample::{Abnormal, Counter, NO_STATUS, Said, Sample, Word};

use super::group_sink::GroupSink;
use super::traffic::TrafficTally;
use super::upgrade::Socket;
use super::violation::{classify, code_of_failure, may_be_sent};
use super::wire::Wire;

/// How long a frame may take to be written before the peer is taken for dead.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long telling a peer what it did wrong may take.
const FAIL_TIMEOUT: Duration = Duration::from_millis(200);

/// What all sessions of a group go by.
pub(super) struct SessionTerms {
    clock: Clock,
    sink: GroupSink,
    /// What makes sessions ready.
    looks: Arc<Looks>,
    pub(super) close_timeout: Duration,
    /// Whether messages carry our own target's numbers.
    is_numbered: bool,
}

impl SessionTerms {
    pub(super) const fn new(
        clock: Clock,
        sink: GroupSink,
        looks: Arc<Looks>,
        close_timeout: Duration,
    ) -> Self {
        Self { clock, sink, looks, close_timeout, is_numbered: false }
    }

    /// The same, but that messages are our own target's, whose numbers are read. A stranger's are never looked at.
    pub(super) const fn numbered(mut self, is_numbered: bool) -> Self {
        self.is_numbered = is_numbered;
        self
    }
}

/// A session on the wire.
pub(super) struct Session {
    socket: Socket,
    pub(super) signs: Signs,
    /// It is not ready yet, and a message will make it so.
    awaits_message: bool,
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

/// What is rarely left to do of a frame, and takes its time.
pub(super) enum Left {
    /// The peer's close frame was answered: it is to end TCP.
    Drain(Ending, Option<Box<str>>),
    /// The peer broke the protocol, and may be told so.
    Fail(WsError, Moment),
    /// There is something to report: these samples, and the session's traffic where that is due.
    Report { samples: Vec<Sample>, traffic: bool, now: Moment, heard: Heard },
}

impl Session {
    pub(super) fn new(terms: &SessionTerms, socket: Socket, upgraded: Moment) -> Self {
        Self { socket, signs: Signs::from(upgraded), awaits_message: terms.looks.awaits_message() }
    }

    /// Waits for the next frame, or the connection's end. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Result<Message, WsError>> {
        self.socket.next().await
    }

    /// Takes in a frame, and does what is left to do.
    pub(super) async fn hear(
        &mut self,
        terms: &SessionTerms,
        tally: &mut TrafficTally,
        frame: Option<Result<Message, WsError>>,
    ) -> Heard {
        match self.take_in(terms, tally, frame) {
            Ok(heard) => heard,
            Err(left) => self.do_left(terms, tally, left).await,
        }
    }

    /// Takes in a frame.
    ///
    /// # Errors
    /// Something is left to do, by [`Self::do_left`]. It is apart, so that a client that listens needs no room for it.
    pub(super) fn take_in(
        &mut self,
        terms: &SessionTerms,
        tally: &mut TrafficTally,
        frame: Option<Result<Message, WsError>>,
    ) -> Result<Heard, Left> {
        let now = terms.clock.now();
        match frame {
            Some(Ok(Message::Close(frame))) => {
                let (how, said) = self.peer_closed(frame.as_ref());
                let reason = frame.map(|frame| frame.reason).filter(|reason| !reason.is_empty());
                let reason = reason.map(|reason| Box::from(reason.as_str()));
                Err(Left::Drain(Ending { at: now, how, said }, reason))
            }
            Some(Ok(message)) => {
                self.signs.heard = now;
                self.take_message(terms, tally, &message, now)
            }
            Some(Err(error)) => Err(Left::Fail(error, now)),
            None => Ok(Heard::Ended(Ending::new(now, EndingHow::Abnormal(Abnormal::Fin)))),
        }
    }

    /// Does what is left of a frame that was taken in.
    pub(super) async fn do_left(
        &mut self,
        terms: &SessionTerms,
        tally: &mut TrafficTally,
        left: Left,
    ) -> Heard {
        match left {
            Left::Drain(ending, reason) => {
                self.drain(terms, tally).await;
                Heard::Closed(ending, reason)
            }
            Left::Fail(error, at) => {
                let said = self.fail(&error).await;
                Heard::Ended(Ending { at, how: EndingHow::Abnormal(classify(&error)), said })
            }
            Left::Report { mut samples, traffic, now, heard } => {
                if !samples.is_empty() {
                    terms.sink.send_all(now, None, &mut samples).await;
                }
                if traffic {
                    self.report(terms, tally, now).await;
                }
                heard
            }
        }
    }

    /// How a session ends that the peer closes with this frame, which is the one that is answered, and what was said. What the peer said
    /// is what was on the wire.
    fn peer_closed(&self, answered: Option<&CloseFrame>) -> (EndingHow, Said) {
        let answer = answered.map_or(Word::NoCode, |frame| Word::Code(frame.code.into()));
        let target = self.socket.get_ref().close_frame().unwrap_or(answer);
        let client = if answer == target { Word::Nothing } else { answer };
        (peer_closed_how(target), Said { target, client })
    }

    /// Fails the connection where the peer broke the protocol (RFC 6455 §7.1.7): says so with the code that belongs to it, and does
    /// not wait for what the peer makes of it. The session still ends with 1006 here, for no close frame was received (§7.1.5). Answers
    /// with what was said.
    async fn fail(&mut self, error: &WsError) -> Said {
        let Some(code) = code_of_failure(error) else { return Said::default() };
        let frame = CloseFrame { code, reason: "".into() };
        let sent = timeout(FAIL_TIMEOUT, self.socket.send(Message::Close(Some(frame)))).await;
        if matches!(sent, Ok(Ok(()))) {
            Said::by_client(Word::Code(code.into()))
        } else {
            log::debug!("the peer was not told what was wrong");
            Said::default()
        }
    }

    /// Takes in a frame of a session that is kept beside the next one. `Some`: the session is over.
    pub(super) fn hear_beside(
        &mut self,
        terms: &SessionTerms,
        tally: &mut TrafficTally,
        frame: Option<Result<Message, WsError>>,
    ) -> Option<Ending> {
        let now = terms.clock.now();
        match frame {
            Some(Ok(Message::Close(frame))) => {
                let (how, said) = self.peer_closed(frame.as_ref());
                // The answer goes out as the session is read on.
                let _ = self.socket.next().now_or_never();
                Some(Ending { at: now, how, said })
            }
            Some(Ok(message)) => {
                let unix_us = terms.clock.unix_us(now);
                if let Some((rules, talker)) = terms.looks.talk().zip(tally.talker.as_deref_mut())
                    && let Some(payload) = payload_of(&message)
                {
                    let hear = |look: Look<'_, '_>| talker.hear_beside(rules, &look, (now, unix_us));
                    terms.looks.messages(payload).for_each(hear);
                }
                match &message {
                    Message::Text(text) if terms.is_numbered => tally.received_beside(text, unix_us),
                    Message::Text(_) | Message::Binary(_) => tally.received_unread(),
                    _ => {}
                }
                None
            }
            Some(Err(error)) => Some(Ending::new(now, EndingHow::Abnormal(classify(&error)))),
            None => Some(Ending::new(now, EndingHow::Abnormal(Abnormal::Fin))),
        }
    }

    /// Sends a close frame. The answer is read by whoever reads the session on.
    pub(super) fn begin_close(&mut self, code: u16) {
        let frame = CloseFrame { code: CloseCode::from(code), reason: "".into() };
        // Where it cannot be written at once the peer does not read, and will not answer either.
        let _ = self.socket.send(Message::Close(Some(frame))).now_or_never();
    }

    fn take_message(
        &mut self,
        terms: &SessionTerms,
        tally: &mut TrafficTally,
        message: &Message,
        now: Moment,
    ) -> Result<Heard, Left> {
        if matches!(message, Message::Pong(_)) {
            self.signs.pong = now;
        }
        let Some(payload) = payload_of(message) else { return Ok(Heard::Nothing) };
        let mut samples = Vec::new();
        let text = payload.text().filter(|_| terms.is_numbered);
        if text.is_none() {
            tally.received_unread();
        }
        if let Some(text) = text
            && let Some(gap) = tally.received(text, Some(terms.clock.unix_us(now)))
        {
            let missed = (gap.missed > 0).then_some(Sample::Count(Counter::MessagesMissed, gap.missed));
            let outage = gap.is_outage.then_some(Sample::Count(Counter::OutagesMeasured, 1));
            samples.extend(missed.into_iter().chain(outage));
        }
        let traffic = tally.is_due(now);
        let mut heard = Heard::Nothing;
        if self.awaits_message && terms.looks.makes_ready(payload) {
            self.awaits_message = false;
            heard = Heard::Ready;
        }
        if traffic || !samples.is_empty() {
            return Err(Left::Report { samples, traffic, now, heard });
        }
        Ok(heard)
    }

    /// Sends what has gone over the session to the recorder.
    pub(super) async fn report(&mut self, terms: &SessionTerms, tally: &mut TrafficTally, now: Moment) {
        let wire = self.socket.get_mut();
        let (bytes, deflated) = (wire.take_counts(), wire.take_deflated());
        if let Some(traffic) = tally.report(now, bytes, deflated) {
            terms.sink.send(now, Sample::Traffic(Box::new(traffic))).await;
        }
        if let Some(news) = tally.talker.as_deref_mut().and_then(Talker::report) {
            terms.sink.send(now, Sample::Talk(news)).await;
        }
    }

    /// The same, where it is due.
    pub(super) async fn report_if_due(&mut self, terms: &SessionTerms, tally: &mut TrafficTally) {
        let now = terms.clock.now();
        if tally.is_due(now) {
            self.report(terms, tally, now).await;
        }
    }

    /// Sends a message, which counts. `Some`: as [`Self::send`].
    pub(super) async fn say(
        &mut self,
        terms: &SessionTerms,
        tally: &mut TrafficTally,
        message: Message,
    ) -> Option<Ending> {
        tally.sent();
        self.send(terms, message).await
    }

    /// Sends a frame. `Some`: it could not be sent, and the session is over.
    pub(super) async fn send(&mut self, terms: &SessionTerms, message: Message) -> Option<Ending> {
        let sent = timeout(WRITE_TIMEOUT, self.socket.send(message)).await;
        let how = match sent {
            Ok(Ok(())) => return None,
            Ok(Err(error)) => classify(&error),
            Err(_) => Abnormal::Timeout,
        };
        Some(Ending::new(terms.clock.now(), EndingHow::Abnormal(how)))
    }

    /// Ends the session with a close frame: the closing handshake, in which the server closes TCP first (RFC 6455 §7.1.1).
    pub(super) async fn close(
        &mut self,
        terms: &SessionTerms,
        tally: &mut TrafficTally,
        code: u16,
    ) -> Ending {
        let at = terms.clock.now();
        let mut said = Said::default();
        let handshake = self.close_handshake(terms, tally, code, &mut said);
        let how = timeout(terms.close_timeout, handshake).await;
        Ending { at, how: how.unwrap_or(EndingHow::Abnormal(Abnormal::Timeout)), said }
    }

    async fn close_handshake(
        &mut self,
        terms: &SessionTerms,
        tally: &mut TrafficTally,
        code: u16,
        said: &mut Said,
    ) -> EndingHow {
        let frame = CloseFrame { code: CloseCode::from(code), reason: "".into() };
        if let Err(error) = self.socket.send(Message::Close(Some(frame))).await {
            return EndingHow::Abnormal(classify(&error));
        }
        said.client = Word::Code(code);
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Close(frame))) => {
                    let (how, heard) = self.peer_closed(frame.as_ref());
                    self.read_to_end(terms, tally).await;
                    // An answer repeats our code, or has none; another code was on its way before ours arrived.
                    if heard.target == said.client {
                        return EndingHow::Left;
                    }
                    said.target = heard.target;
                    return if heard.target == Word::NoCode { EndingHow::Left } else { how };
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

/// What a data message holds; nothing, of other frames.
pub(super) fn payload_of(message: &Message) -> Option<Payload<'_>> {
    match message {
        Message::Text(text) => Some(Payload::Text(text.as_str())),
        Message::Binary(bytes) => Some(Payload::Binary(bytes)),
        _ => None,
    }
}

/// Counts a message that came while the session was ending.
fn count_only(terms: &SessionTerms, tally: &mut TrafficTally, message: &Message) {
    if let Some((rules, talker)) = terms.looks.talk().zip(tally.talker.as_deref_mut())
        && let Some(payload) = payload_of(message)
    {
        let now = terms.clock.now();
        talker.hear_last_frame(rules, &terms.looks, payload, now);
    }
    match message {
        Message::Text(text) if terms.is_numbered => {
            tally.received(text, None);
        }
        Message::Text(_) | Message::Binary(_) => tally.received_unread(),
        _ => {}
    }
}

/// How a session ends that the peer closes with this.
const fn peer_closed_how(said: Word) -> EndingHow {
    match said {
        Word::Code(code) if !may_be_sent(code) => EndingHow::Abnormal(Abnormal::BadCloseCode),
        Word::Code(code) => EndingHow::PeerClosed(code),
        Word::NoCode | Word::Nothing | Word::Reason(_) => EndingHow::PeerClosed(NO_STATUS),
    }
}
