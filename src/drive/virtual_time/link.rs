//! A session as its client sees it, in virtual time.
//!
//! In: frames of the target, the client's own leaving. Out: events of the lifecycle, counts of messages. What a frame means to the client is
//! decided by its machine.

use crate::clock::Moment;
use crate::lifecycle::{Ending, EndingHow, Event};
use crate::sample::{Abnormal, Counter, Sample};
use crate::scenario::keys::{Ready, TimeStage};

use super::client::Doing;
use super::queue::Kind;
use super::session::{Side, ToClient, ToTarget};
use super::slab::Key;
use super::world::World;

impl World {
    /// A frame, or the connection's end, has come to a client.
    pub(super) fn reaches_client(&mut self, key: Key, code: u64) {
        let now = self.now;
        let Some(wire) = self.wires.get_mut(key).filter(|wire| wire.client_side == Side::Open) else {
            return;
        };
        let (number, left) = (wire.client, wire.left);
        let doing = self.clients[number as usize].doing;
        match ToClient::of(code) {
            ToClient::Message(sequence) => {
                wire.signs.heard = now;
                self.take_message(number, sequence);
            }
            ToClient::Told => {
                wire.signs.heard = now;
                let told = wire.told.take();
                self.take_text(number, told.as_deref().unwrap_or_default());
            }
            ToClient::Pong => (wire.signs.heard, wire.signs.pong) = (now, now),
            ToClient::Close(code) => self.sees_close(key, number, code),
            ToClient::Echo if doing == Doing::Leaving => {
                self.session_ended(number, Ending { at: left, how: EndingHow::Left });
            }
            ToClient::Echo => {}
            ToClient::Fin => self.sees_end(number, doing, left, Abnormal::Fin),
            ToClient::Rst => self.sees_end(number, doing, left, Abnormal::Rst),
            ToClient::Broken(code) => {
                // It says so, and does not wait for what the target makes of it.
                self.send_to_target(key, ToTarget::Close(code));
                self.send_to_target(key, ToTarget::Fin);
                self.sees_end(number, doing, left, Abnormal::Protocol);
            }
        }
    }

    /// The target's close frame: answered at once. The client acts on it when the closing handshake is through.
    fn sees_close(&mut self, key: Key, number: u32, code: u16) {
        let now = self.now;
        let doing = self.clients[number as usize].doing;
        let Some(wire) = self.wires.get_mut(key).filter(|wire| wire.ending.is_none()) else { return };
        let ending = match doing {
            // An answer repeats our code; another code was on its way before ours arrived.
            Doing::Leaving if wire.leave_code == code => Ending { at: wire.left, how: EndingHow::Left },
            Doing::Leaving => Ending { at: wire.left, how: EndingHow::PeerClosed(code) },
            _ => Ending { at: now, how: EndingHow::PeerClosed(code) },
        };
        wire.ending = Some(ending);
        if doing != Doing::Leaving {
            self.send_to_target(key, ToTarget::Close(code));
        }
        self.slot(number).doing = Doing::Ending;
        let takes = self.times.draw(TimeStage::Detect);
        let most = self.groups[self.group_of(number)].connect.close_timeout;
        self.put_for(now + takes.min(most), Kind::Known, key, 0);
    }

    /// A client acts on its session's end.
    pub(super) fn end_is_known(&mut self, key: Key) {
        let Some(wire) = self.wires.get(key) else { return };
        let (number, ending) = (wire.client, wire.ending);
        let is_its = self.clients[number as usize].wire == key;
        match (self.clients[number as usize].doing, ending) {
            (Doing::Ending, Some(ending)) if is_its => self.session_ended(number, ending),
            // It has waited long enough for the answer to its close frame.
            (Doing::Leaving, None) if is_its => {
                let how = EndingHow::Abnormal(Abnormal::Timeout);
                let at = self.wires.get(key).map_or(self.now, |wire| wire.left);
                self.send_to_target(key, ToTarget::Fin);
                self.session_ended(number, Ending { at, how });
            }
            _ => {}
        }
    }

    /// The connection has ended without a close frame.
    fn sees_end(&mut self, number: u32, doing: Doing, left: Moment, how: Abnormal) {
        let at = match doing {
            Doing::Holding => self.now,
            Doing::Leaving => left,
            _ => return,
        };
        self.session_ended(number, Ending { at, how: EndingHow::Abnormal(how) });
    }

    /// A client sends its close frame.
    pub(super) fn begin_leaving(&mut self, number: u32, key: Key, code: u16) {
        let now = self.now;
        let Some(wire) = self.wires.get_mut(key) else { return };
        (wire.left, wire.leave_code) = (now, code);
        self.send_to_target(key, ToTarget::Close(code));
        // The answer is waited for so long and no longer.
        let patience = self.groups[self.group_of(number)].connect.close_timeout;
        self.put_for(now + patience, Kind::Known, key, 0);
    }

    /// A client lets go of a session.
    pub(super) fn client_lets_go(&mut self, key: Key) {
        if let Some(wire) = self.wires.get_mut(key) {
            wire.client_side = Side::Gone;
            self.let_go(key);
        }
    }

    /// A client has got a message of its stream.
    fn take_message(&mut self, number: u32, sequence: u64) {
        let due = self.message_due(number, sequence);
        let group = self.group_of(number);
        let latency = u32::try_from(self.now.since(due).as_micros()).unwrap_or(u32::MAX);
        let traffic = &mut self.groups[group].traffic;
        traffic.messages_in += 1;
        traffic.message_latencies_us.push(latency);
        let slot = self.slot(number);
        let is_outage = std::mem::take(&mut slot.session_is_new);
        let last = std::mem::replace(&mut slot.last_sequence, sequence);
        if last != u64::MAX {
            let missed = sequence.saturating_sub(last).saturating_sub(1);
            let id = self.groups[group].id;
            if missed > 0 {
                self.tell(id, Sample::Count(Counter::MessagesMissed, missed));
            }
            if is_outage {
                self.tell(id, Sample::Count(Counter::OutagesMeasured, 1));
            }
        }
        if self.waits_for_text(number) {
            let text = self.message_text.write(sequence, self.start_unix_us.saturating_add(due.as_us()));
            self.may_become_ready(number, &text);
        }
    }

    /// A client has got a text that is no message of its stream.
    fn take_text(&mut self, number: u32, text: &str) {
        let group = self.group_of(number);
        self.groups[group].traffic.messages_in += 1;
        if self.waits_for_text(number) {
            self.may_become_ready(number, text);
        }
    }

    fn waits_for_text(&self, number: u32) -> bool {
        let slot = &self.clients[number as usize];
        slot.doing == Doing::Holding && slot.awaits_ready
    }

    fn may_become_ready(&mut self, number: u32, text: &str) {
        let group = &self.groups[self.group_of(number)];
        let is_ready = match group.rules.session.ready {
            Ready::Upgraded => false,
            Ready::FirstMessage => true,
            Ready::MessageContains(_) => {
                group.ready_part.as_ref().is_some_and(|part| text.contains(part.as_str()))
            }
        };
        if is_ready {
            self.deliver(number, Event::BecameReady);
        }
    }
}
