//! The sessions as the service has them.
//!
//! In: moments, frames of clients, storms. Out: what the target's rules order, sent over the network: messages, close frames, ends. A session
//! ends once; then nothing is kept of it.

use std::sync::Arc;

use crate::clock::Moment;
use crate::sample::Abnormal;
use crate::scenario::keys::{FaultKind, FrameFlaw, RefusalManner};
use crate::service::fates::Fates;
use crate::service::refusal_text::refusal_text;
use crate::service::route_text::Whereabouts;
use crate::service::rules::{HandshakeRefusal, TargetState};
use crate::service::saying::{Word, Words};
use crate::service::session::{CloseOrder, Due, EndHow, FrameClass, Session, SessionId};

use super::frame::{ToClient, ToTarget};
use super::network::{ClientEnd, Network};
use super::queue::Kind;
use super::slab::{Beside, Key};
use super::transit::Transit;

/// A session, from its upgrade to its end at the target.
#[derive(Debug)]
struct Served {
    session: Session,
    /// When it is woken; [`Moment::NEVER`]: it is not.
    armed: Moment,
    /// Whether the target's own close frame is on its way, or there.
    is_closing: bool,
    /// Whether the target has fallen silent in it.
    is_silent: bool,
    /// The longest message that its client takes, in bytes.
    longest: u32,
}

/// The sessions that are open at the target, by their links.
#[derive(Debug)]
pub(super) struct ServedSessions {
    served: Beside<Served>,
    /// By their names, which count up.
    names: Vec<(SessionId, Key)>,
    /// At so many names, those whose session is gone are dropped.
    clear_at: usize,
    /// Whether a session's end may be told to it by its token's.
    tells_ends: bool,
}

/// What a session acts on.
pub(super) struct Reach<'a> {
    pub(super) target: &'a mut TargetState,
    pub(super) transit: &'a mut Transit,
    pub(super) home: &'a Home,
}

/// Where the target is to be had, as its texts have it.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) ws: &'static str,
    pub(super) address: String,
    pub(super) origin_us: u64,
}

impl Reach<'_> {
    fn send_to_client(&mut self, link: Key, frame: ToClient) {
        self.transit.network.send_to_client(&mut self.transit.queue, link, frame);
    }
}

/// This many names are kept before those that are gone are looked for.
const CLEAR_AT: usize = 4_096;

impl ServedSessions {
    pub(super) fn new(tells_ends: bool) -> Self {
        Self { served: Beside::default(), names: Vec::new(), clear_at: 0, tells_ends }
    }

    /// The target has opened a session over `link`, whose client takes messages of at most `longest` bytes.
    pub(super) fn open(&mut self, reach: &mut Reach<'_>, link: Key, session: Session, longest: u32) {
        if self.names.len() >= self.clear_at.max(CLEAR_AT) {
            let served = &self.served;
            self.names.retain(|name| served.get(name.1).is_some());
            // Twice what is left: the work of looking stays in proportion to the sessions.
            self.clear_at = 2 * self.names.len();
        }
        self.names.push((session.id(), link));
        let armed = Moment::NEVER;
        self.served.insert(link, Served { session, armed, is_closing: false, is_silent: false, longest });
        self.arm(reach, link);
    }

    fn find(&self, id: SessionId) -> Option<Key> {
        let at = self.names.binary_search_by_key(&id, |name| name.0).ok()?;
        Some(self.names[at].1)
    }

    /// The session over that link, unless the target has fallen silent in it.
    fn speaking(&mut self, link: Key) -> Option<&mut Session> {
        self.served.get_mut(link).filter(|served| !served.is_silent).map(|served| &mut served.session)
    }

    /// Has a session woken when something is due. Activity only moves that later, so that an earlier awakening arms anew. A close frame on
    /// its way to a client that reads needs none: it will be answered.
    pub(super) fn arm(&mut self, reach: &mut Reach<'_>, link: Key) {
        let Some(served) = self.served.get_mut(link) else { return };
        if served.is_closing && reads(&reach.transit.network, link) {
            return;
        }
        let at = served.session.next_wake().max(reach.transit.now());
        if at >= served.armed {
            return;
        }
        served.armed = at;
        reach.transit.queue.put_for(at, Kind::SessionWake, link, 0);
    }

    /// The next moment of a session has come, unless it was armed anew since.
    pub(super) fn wake(&mut self, reach: &mut Reach<'_>, link: Key, at: Moment) {
        let Some(served) = self.served.get_mut(link).filter(|served| served.armed == at) else { return };
        served.armed = Moment::NEVER;
        let now = reach.transit.now();
        loop {
            let Some(session) = self.speaking(link) else { return };
            match session.take_due(now) {
                Due::Nothing => break,
                Due::Message { sequence, .. } => {
                    let (id, topics) = (session.id(), reach.target.rules().topics);
                    reach.target.pass_message(id, sequence);
                    for _ in 0..topics.map_or(1, |topics| Fates::of(topics).at(sequence).times) {
                        reach.send_to_client(link, ToClient::Message(sequence));
                    }
                }
                Due::Close(order) => self.begin_close(reach, link, order),
                Due::GiveUp => {
                    self.end(reach, link, EndHow::Abnormal(Abnormal::Timeout));
                }
                Due::Fault(fault) => {
                    reach.target.count_fault(&fault);
                    self.carry_out(reach, link, &fault);
                }
                Due::HangUp => {
                    self.end(reach, link, EndHow::Abnormal(Abnormal::Fin));
                    reach.send_to_client(link, ToClient::Fin);
                }
                Due::FallSilent => {
                    reach.target.begin_silence(now, session.id());
                    self.fall_silent(link);
                    self.tell_hold_ends(reach);
                }
                Due::HoldEnd => self.speak(reach, link, TargetState::end_hold),
                Due::Refuse(refusal) => self.tell_refusal(reach, link, refusal),
                Due::Say(rule) => {
                    self.speak(reach, link, |target, session, at| target.say(session, at, rule));
                }
            }
        }
        self.arm(reach, link);
    }

    fn fall_silent(&mut self, link: Key) {
        if let Some(served) = self.served.get_mut(link) {
            served.is_silent = true;
        }
    }

    fn carry_out(&mut self, reach: &mut Reach<'_>, link: Key, fault: &FaultKind) {
        match *fault {
            FaultKind::ResetAfterUpgrade { .. } => {
                self.end(reach, link, EndHow::Abnormal(Abnormal::Rst));
                reach.send_to_client(link, ToClient::Rst);
            }
            FaultKind::CloseWithoutFrame { .. } => {
                self.end(reach, link, EndHow::Abnormal(Abnormal::Fin));
                reach.send_to_client(link, ToClient::Fin);
            }
            FaultKind::HalfOpen { .. } => self.fall_silent(link),
            // One that a client would take never ends, and nothing comes of it.
            FaultKind::OversizedFrame { bytes, .. }
                if self.served.get(link).is_some_and(|served| bytes > u64::from(served.longest)) =>
            {
                reach.send_to_client(link, ToClient::Broken(Abnormal::TooLarge));
            }
            FaultKind::MalformedFrame { flaw: FrameFlaw::ReservedBits, .. } => {
                reach.send_to_client(link, ToClient::Broken(Abnormal::ReservedBits));
            }
            FaultKind::MalformedFrame { flaw: FrameFlaw::Opcode, .. } => {
                reach.send_to_client(link, ToClient::Broken(Abnormal::BadOpcode));
            }
            FaultKind::MaskedFrame { .. } => {
                reach.send_to_client(link, ToClient::Broken(Abnormal::MaskedFrame));
            }
            FaultKind::InvalidUtf8 { .. } => reach.send_to_client(link, ToClient::Broken(Abnormal::BadUtf8)),
            _ => {}
        }
    }

    /// The target closes a session by its own decision.
    fn begin_close(&mut self, reach: &mut Reach<'_>, link: Key, order: CloseOrder) {
        let Some(id) = self.served.get(link).map(|served| served.session.id()) else { return };
        reach.target.begin_close(reach.transit.now(), id);
        self.send_close(reach, link, order);
        self.tell_hold_ends(reach);
    }

    fn send_close(&mut self, reach: &mut Reach<'_>, link: Key, order: CloseOrder) {
        let Some(served) = self.served.get_mut(link) else { return };
        served.session.close_frame_sent();
        served.is_closing = true;
        reach.send_to_client(link, ToClient::Close(order.code));
        self.arm(reach, link);
    }

    /// A storm strikes these sessions.
    pub(super) fn strike(&mut self, reach: &mut Reach<'_>, struck: &[SessionId], code: u16) {
        for id in struck {
            let Some(link) = self.find(*id) else { continue };
            let Some(session) = self.speaking(link) else { continue };
            if let Some(order) = session.storm(reach.transit.now(), code) {
                self.send_close(reach, link, order);
            }
        }
        self.tell_hold_ends(reach);
    }

    /// A session makes room for another of its client id.
    pub(super) fn displace(&mut self, reach: &mut Reach<'_>, id: SessionId, code: u16) {
        let Some(link) = self.find(id) else { return };
        let Some(session) = self.speaking(link) else { return };
        if let Some(order) = session.displace(reach.transit.now(), code) {
            self.send_close(reach, link, order);
        }
    }

    /// Tells the sessions whose token has ended since.
    pub(super) fn tell_hold_ends(&mut self, reach: &mut Reach<'_>) {
        if !self.tells_ends {
            return;
        }
        for id in reach.target.take_hold_ended() {
            if let Some(link) = self.find(id) {
                self.speak(reach, link, TargetState::tell_hold_end);
            }
        }
    }

    /// Tells a client that its handshake is refused, on the session that was opened for it.
    fn tell_refusal(&mut self, reach: &mut Reach<'_>, link: Key, refusal: HandshakeRefusal) {
        let rules = Arc::clone(reach.target.rules());
        let RefusalManner::Socket { message, close } = &rules.refusal_manner else { return };
        if let Some(message) = message {
            let text = refusal_text(&rules, message, refusal, || "0".repeat(32));
            reach.target.count_message_sent();
            reach.transit.network.send_text(&mut reach.transit.queue, link, text);
        }
        let Some(session) = self.speaking(link) else { return };
        if let Some(order) = close.and_then(|code| session.close_for(reach.transit.now(), code, "Refused")) {
            self.begin_close(reach, link, order);
        }
    }

    /// A frame, or the connection's end, has come to the target.
    pub(super) fn receive(&mut self, reach: &mut Reach<'_>, link: Key, frame: ToTarget) {
        let Some(served) = self.served.get_mut(link) else { return };
        let how = match frame {
            // It has fallen silent, and sees only that the connection ends.
            ToTarget::Fin | ToTarget::Rst if served.is_silent => EndHow::Abnormal(Abnormal::Fin),
            _ if served.is_silent => return,
            ToTarget::Data => {
                served.session.heard(reach.transit.now(), FrameClass::Data);
                return reach.target.count_message_received();
            }
            ToTarget::Text => {
                served.session.heard(reach.transit.now(), FrameClass::Data);
                reach.target.count_message_received();
                return self.hear(reach, link);
            }
            ToTarget::Ping => {
                served.session.heard(reach.transit.now(), FrameClass::Control);
                return reach.send_to_client(link, ToClient::Pong);
            }
            ToTarget::Close(code) => {
                let client_end = reach.transit.network.link(link).map(|link| link.client_end());
                let answers = !served.is_closing && client_end == Some(ClientEnd::Open);
                self.end(reach, link, EndHow::CloseFrame(code));
                if answers {
                    reach.send_to_client(link, ToClient::Echo);
                }
                return;
            }
            ToTarget::Fin => EndHow::Abnormal(Abnormal::Fin),
            ToTarget::Rst => EndHow::Abnormal(Abnormal::Rst),
        };
        self.end(reach, link, how);
    }

    /// A client's message has come, as a text.
    fn hear(&mut self, reach: &mut Reach<'_>, link: Key) {
        let text = reach.transit.network.take_said(link);
        self.speak(reach, link, |target, session, at| target.hear(session, at, &text));
    }

    /// A session is warned of a storm.
    pub(super) fn warn(&mut self, reach: &mut Reach<'_>, warned: &[SessionId], storm: usize) {
        for id in warned {
            if let Some(link) = self.find(*id) {
                self.speak(reach, link, |target, session, at| target.warning(session, at, storm));
            }
        }
    }

    /// Does what the rules have the target do in a session.
    fn speak(
        &mut self,
        reach: &mut Reach<'_>,
        link: Key,
        words: impl FnOnce(&mut TargetState, &mut Session, Whereabouts<'_>) -> Words,
    ) {
        let Some(session) = self.speaking(link) else { return };
        let Home { ws, address, origin_us } = reach.home;
        let at = Whereabouts { ws, address, now: reach.transit.now(), origin_us: *origin_us };
        for word in words(reach.target, session, at) {
            match word {
                Word::Send(text) => {
                    reach.target.count_message_sent();
                    reach.transit.network.send_text(&mut reach.transit.queue, link, text);
                }
                Word::Close(order) => self.begin_close(reach, link, order),
            }
        }
        self.tell_hold_ends(reach);
        self.arm(reach, link);
    }

    fn end(&mut self, reach: &mut Reach<'_>, link: Key, how: EndHow) {
        let Some(served) = self.served.remove(link) else { return };
        let (id, ended) = (served.session.id(), served.session.end(how));
        reach.target.end_session(reach.transit.now(), id, ended);
        self.tell_hold_ends(reach);
        reach.transit.network.target_lets_go(link);
    }
}

/// Whether the client of a link reads, or will.
fn reads(network: &Network, link: Key) -> bool {
    network.link(link).is_some_and(|link| matches!(link.client_end(), ClientEnd::Coming | ClientEnd::Open))
}
