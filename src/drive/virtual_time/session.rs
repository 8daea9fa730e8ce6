//! A session at the target, in virtual time.
//!
//! In: moments, frames of its client. Out: what the target's rules order: messages, close frames, ends. A session ends once at the target,
//! and its client lets go of it once; then nothing is kept of it.

use crate::clock::Moment;
use crate::lifecycle::{Ending, Signs};
use crate::sample::Abnormal;
use crate::scenario::keys::{FaultKind, FrameFlaw, RefusalManner, TimeStage};
use crate::service::refusal_text::refusal_text;
use crate::service::rules::HandshakeRefusal;
use crate::service::session::{CloseOrder, Due, EndHow, FrameClass, Session, SessionId};

use super::queue::Kind;
use super::slab::Key;
use super::world::World;

/// A session, as both of its ends have it.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) client: u32,
    pub(super) session: Session,
    /// When the target's side is woken; [`Moment::NEVER`]: it is not.
    armed: Moment,
    /// What was sent last is there then: nothing overtakes it.
    to_client: Moment,
    to_target: Moment,
    pub(super) signs: Signs,
    pub(super) client_side: Side,
    pub(super) target_side: Side,
    /// Whether the target's own close frame is on its way, or there.
    pub(super) is_closing: bool,
    /// How it ended, as its client will know.
    pub(super) ending: Option<Ending>,
    /// When its client began to leave.
    pub(super) left: Moment,
    pub(super) leave_code: u16,
    /// What the client of a refused handshake is told.
    pub(super) told: Option<Box<str>>,
}

/// How an end of a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The answer that opens it is on its way.
    Coming,
    /// It reads and writes.
    Open,
    /// It does neither, and holds the connection.
    Silent,
    /// It is gone.
    Gone,
}

/// What goes to the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ToTarget {
    Data,
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
    /// What a refused client is told.
    Told,
    Pong,
    Close(u16),
    /// The answer to its own close frame.
    Echo,
    Fin,
    Rst,
    /// A frame that breaks the protocol, and the code with which a client says so.
    Broken(u16),
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
        };
        kind << PAYLOAD_BITS | payload
    }

    fn of(code: u64) -> Self {
        let payload = code & ((1 << PAYLOAD_BITS) - 1);
        match code >> PAYLOAD_BITS {
            0 => Self::Data,
            1 => Self::Ping,
            2 => Self::Close(payload as u16),
            3 => Self::Fin,
            _ => Self::Rst,
        }
    }
}

impl ToClient {
    const fn code(self) -> u64 {
        let (kind, payload) = match self {
            Self::Message(sequence) => (0, sequence & ((1 << PAYLOAD_BITS) - 1)),
            Self::Told => (1, 0),
            Self::Pong => (2, 0),
            Self::Close(code) => (3, code as u64),
            Self::Echo => (4, 0),
            Self::Fin => (5, 0),
            Self::Rst => (6, 0),
            Self::Broken(code) => (7, code as u64),
        };
        kind << PAYLOAD_BITS | payload
    }

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
            _ => Self::Broken(payload as u16),
        }
    }
}

/// The sessions by their names, which count up.
#[derive(Debug, Default)]
pub(super) struct SessionIndex {
    rows: Vec<(SessionId, Key)>,
    /// At so many rows, those whose session is gone are dropped.
    clear_at: usize,
}

/// This many rows are kept before those that are gone are looked for.
const CLEAR_AT: usize = 4_096;

impl SessionIndex {
    fn find(&self, id: SessionId) -> Option<Key> {
        let at = self.rows.binary_search_by_key(&id, |row| row.0).ok()?;
        Some(self.rows[at].1)
    }
}

impl World {
    /// The target has opened a session for client `number`.
    pub(super) fn open_wire(&mut self, number: u32, session: Session) -> Key {
        let id = session.id();
        let key = self.wires.insert(Wire {
            client: number,
            session,
            armed: Moment::NEVER,
            to_client: self.now,
            to_target: self.now,
            signs: Signs::default(),
            client_side: Side::Coming,
            target_side: Side::Open,
            is_closing: false,
            ending: None,
            left: Moment::NEVER,
            leave_code: 0,
            told: None,
        });
        if self.sessions.rows.len() >= self.sessions.clear_at.max(CLEAR_AT) {
            let wires = &self.wires;
            self.sessions.rows.retain(|row| wires.get(row.1).is_some());
            // Twice what is left: the work of looking stays in proportion to the sessions.
            self.sessions.clear_at = 2 * self.sessions.rows.len();
        }
        self.sessions.rows.push((id, key));
        self.arm_session(key);
        key
    }

    /// The answer that opens a session is there then: no frame comes before it.
    pub(super) fn opens_at(&mut self, key: Key, at: Moment) {
        if let Some(wire) = self.wires.get_mut(key) {
            wire.to_client = wire.to_client.max(at);
        }
    }

    /// Has the target's side woken when something is due. Activity only moves that later, so that an earlier awakening arms anew. A close
    /// frame on its way to a client that reads needs none: it will be answered.
    fn arm_session(&mut self, key: Key) {
        let Some(wire) = self.wires.get_mut(key) else { return };
        if wire.is_closing && matches!(wire.client_side, Side::Open | Side::Coming) {
            return;
        }
        let at = wire.session.next_wake().max(self.now);
        if at >= wire.armed {
            return;
        }
        wire.armed = at;
        self.put_for(at, Kind::SessionWake, key, 0);
    }

    pub(super) fn session_wakes(&mut self, key: Key, at: Moment) {
        let Some(wire) = self.wires.get_mut(key).filter(|wire| wire.armed == at) else { return };
        wire.armed = Moment::NEVER;
        loop {
            let now = self.now;
            let Some(wire) = self.wires.get_mut(key).filter(|wire| wire.target_side == Side::Open) else {
                return;
            };
            match wire.session.take_due(now) {
                Due::Nothing => break,
                Due::Message { sequence, .. } => {
                    self.target.count_message_sent();
                    self.send_to_client(key, ToClient::Message(sequence));
                }
                Due::Close(order) => self.begin_close(key, order),
                Due::GiveUp => self.target_ends(key, EndHow::Abnormal(Abnormal::Timeout)),
                Due::Fault(fault) => {
                    self.target.count_fault(&fault);
                    self.carry_out(key, &fault);
                }
                Due::HangUp => {
                    self.target_ends(key, EndHow::Abnormal(Abnormal::Fin));
                    self.send_to_client(key, ToClient::Fin);
                }
                Due::FallSilent => {
                    let id = wire.session.id();
                    wire.target_side = Side::Silent;
                    self.target.begin_silence(now, id);
                    self.tell_hold_ends();
                }
                Due::HoldEnd => self.end_hold(key),
                Due::Refuse(refusal) => self.tell_refusal(key, refusal),
                // A target with a script is not simulated.
                Due::Say(_) => {}
            }
        }
        self.arm_session(key);
    }

    fn carry_out(&mut self, key: Key, fault: &FaultKind) {
        match *fault {
            FaultKind::ResetAfterUpgrade { .. } => {
                self.target_ends(key, EndHow::Abnormal(Abnormal::Rst));
                self.send_to_client(key, ToClient::Rst);
            }
            FaultKind::CloseWithoutFrame { .. } => {
                self.target_ends(key, EndHow::Abnormal(Abnormal::Fin));
                self.send_to_client(key, ToClient::Fin);
            }
            FaultKind::HalfOpen { .. } => {
                if let Some(wire) = self.wires.get_mut(key) {
                    wire.target_side = Side::Silent;
                }
            }
            FaultKind::OversizedFrame { bytes, .. } => {
                let Some(wire) = self.wires.get(key) else { return };
                let group = self.group_of(wire.client);
                let most = self.groups[group].rules.session.max_message_bytes as u64;
                // One that a client would take never ends, and nothing comes of it.
                if bytes > most {
                    self.send_to_client(key, ToClient::Broken(1009));
                }
            }
            FaultKind::MalformedFrame { flaw: FrameFlaw::ReservedBits | FrameFlaw::Opcode, .. }
            | FaultKind::MaskedFrame { .. } => self.send_to_client(key, ToClient::Broken(1002)),
            FaultKind::InvalidUtf8 { .. } => self.send_to_client(key, ToClient::Broken(1007)),
            _ => {}
        }
    }

    /// The target closes a session by its own decision.
    fn begin_close(&mut self, key: Key, order: CloseOrder) {
        let Some(id) = self.wires.get(key).map(|wire| wire.session.id()) else { return };
        self.target.begin_close(self.now, id);
        self.send_close(key, order);
        self.tell_hold_ends();
    }

    fn send_close(&mut self, key: Key, order: CloseOrder) {
        let Some(wire) = self.wires.get_mut(key) else { return };
        wire.session.close_frame_sent();
        wire.is_closing = true;
        self.send_to_client(key, ToClient::Close(order.code));
        self.arm_session(key);
    }

    /// A storm strikes this share of the sessions.
    pub(super) fn strike_sessions(&mut self, code: u16, fraction: f64) {
        let struck = match self.target.storm(self.now, code, fraction) {
            Ok(struck) => struck,
            Err(error) => return log::error!("a storm could not be: {error}"),
        };
        let now = self.now;
        for id in struck {
            let Some(key) = self.sessions.find(id) else { continue };
            let Some(wire) = self.wires.get_mut(key).filter(|wire| wire.target_side == Side::Open) else {
                continue;
            };
            if let Some(order) = wire.session.storm(now, code) {
                self.send_close(key, order);
            }
        }
        self.tell_hold_ends();
    }

    /// A session makes room for another of its client id.
    pub(super) fn displace(&mut self, id: SessionId) {
        let (now, code) = (self.now, self.rules.displaced_code);
        let Some(key) = self.sessions.find(id) else { return };
        let Some(wire) = self.wires.get_mut(key).filter(|wire| wire.target_side == Side::Open) else {
            return;
        };
        if let Some(order) = wire.session.displace(now, code) {
            self.send_close(key, order);
        }
    }

    /// What a session was opened with may have come to its end by itself.
    fn end_hold(&mut self, key: Key) {
        let Some(wire) = self.wires.get_mut(key) else { return };
        let end = self.target.hold_end(wire.session.id());
        if end > self.now { wire.session.set_hold_end(end) } else { self.tell_hold_end(key) }
    }

    /// Tells the sessions whose token has ended since.
    pub(super) fn tell_hold_ends(&mut self) {
        if !self.tells_ends {
            return;
        }
        for id in self.target.take_hold_ended() {
            if let Some(key) = self.sessions.find(id) {
                self.tell_hold_end(key);
            }
        }
    }

    fn tell_hold_end(&mut self, key: Key) {
        let now = self.now;
        let code = self.rules.token_end.map(|end| end.code);
        let Some(wire) = self.wires.get_mut(key).filter(|wire| wire.target_side == Side::Open) else {
            return;
        };
        if let Some(order) = code.and_then(|code| wire.session.close_for(now, code, "Token ended")) {
            self.begin_close(key, order);
        }
    }

    /// Tells a client that its handshake is refused, on the session that was opened for it.
    fn tell_refusal(&mut self, key: Key, refusal: HandshakeRefusal) {
        let (now, rules) = (self.now, std::sync::Arc::clone(&self.rules));
        let RefusalManner::Socket { message, close } = &rules.refusal_manner else { return };
        if let Some(message) = message {
            let text = refusal_text(&rules, message, refusal, || "0".repeat(32));
            if let Some(wire) = self.wires.get_mut(key) {
                wire.told = Some(text.into_boxed_str());
            }
            self.target.count_message_sent();
            self.send_to_client(key, ToClient::Told);
        }
        let Some(wire) = self.wires.get_mut(key) else { return };
        if let Some(order) = close.and_then(|code| wire.session.close_for(now, code, "Refused")) {
            self.begin_close(key, order);
        }
    }

    /// A frame, or the connection's end, has come to the target.
    pub(super) fn reaches_target(&mut self, key: Key, code: u64) {
        let now = self.now;
        let Some(wire) = self.wires.get_mut(key) else { return };
        let frame = ToTarget::of(code);
        match (wire.target_side, frame) {
            (Side::Open, ToTarget::Data) => {
                wire.session.heard(now, FrameClass::Data);
                self.target.count_message_received();
            }
            (Side::Open, ToTarget::Ping) => {
                wire.session.heard(now, FrameClass::Control);
                self.send_to_client(key, ToClient::Pong);
            }
            (Side::Open, ToTarget::Close(code)) => {
                let answers = !wire.is_closing && wire.client_side == Side::Open;
                self.target_ends(key, EndHow::CloseFrame(code));
                if answers {
                    self.send_to_client(key, ToClient::Echo);
                }
            }
            (Side::Open, ToTarget::Fin) => self.target_ends(key, EndHow::Abnormal(Abnormal::Fin)),
            (Side::Open, ToTarget::Rst) => self.target_ends(key, EndHow::Abnormal(Abnormal::Rst)),
            // It has fallen silent, and sees only that the connection ends.
            (Side::Silent, ToTarget::Fin | ToTarget::Rst) => {
                self.target_ends(key, EndHow::Abnormal(Abnormal::Fin));
            }
            _ => {}
        }
    }

    fn target_ends(&mut self, key: Key, how: EndHow) {
        let Some(wire) = self.wires.get_mut(key) else { return };
        wire.target_side = Side::Gone;
        let (id, ended) = (wire.session.id(), wire.session.end(how));
        self.target.end_session(self.now, id, ended);
        self.tell_hold_ends();
        self.let_go(key);
    }

    /// Nothing is kept of a session that both of its ends have let go of.
    pub(super) fn let_go(&mut self, key: Key) {
        let is_over = self
            .wires
            .get(key)
            .is_some_and(|wire| wire.client_side == Side::Gone && wire.target_side == Side::Gone);
        if is_over {
            self.wires.remove(key);
        }
    }

    /// Sends something to the target.
    pub(super) fn send_to_target(&mut self, key: Key, frame: ToTarget) {
        if self.wires.get(key).is_none_or(|wire| wire.target_side == Side::Gone) {
            return;
        }
        let takes = self.times.draw(TimeStage::Message);
        let Some(wire) = self.wires.get_mut(key) else { return };
        wire.to_target = wire.to_target.max(self.now + takes);
        let at = wire.to_target;
        self.put_for(at, Kind::ToTarget, key, frame.code());
    }

    /// Sends something to a client.
    pub(super) fn send_to_client(&mut self, key: Key, frame: ToClient) {
        if self.wires.get(key).is_none_or(|wire| matches!(wire.client_side, Side::Gone | Side::Silent)) {
            return;
        }
        let takes = self.times.draw(TimeStage::Message);
        let Some(wire) = self.wires.get_mut(key) else { return };
        wire.to_client = wire.to_client.max(self.now + takes);
        let at = wire.to_client;
        self.put_for(at, Kind::ToClient, key, frame.code());
    }

    /// A client has fallen silent: it reads and writes nothing more, and keeps the connection.
    pub(super) fn fall_silent(&mut self, key: Key) {
        if let Some(wire) = self.wires.get_mut(key) {
            wire.client_side = Side::Silent;
        }
        // A close frame on its way will not be answered.
        self.arm_session(key);
    }

    /// The clients are done: connections that they kept in silence end.
    pub(super) fn drop_silent_wires(&mut self) {
        let silent: Vec<Key> = self
            .wires
            .iter()
            .filter(|(_, wire)| wire.client_side == Side::Silent)
            .map(|(key, _)| key)
            .collect();
        for key in silent {
            self.send_to_target(key, ToTarget::Fin);
            self.client_lets_go(key);
        }
    }
}
