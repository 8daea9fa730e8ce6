//! Clients that keep a session until the next one is ready.
//!
//! In: their actions, what comes over kept sessions. Out: what their machines are told of them, counts of messages.

use crate::clock::Moment;
use crate::conversation::Payload;
use crate::drive::virtual_time::clients::Doing;
use crate::drive::virtual_time::frame::ToClient;
use crate::drive::virtual_time::kept::KeptEnd;
use crate::drive::virtual_time::slab::Key;
use crate::lifecycle::{Action, Event};
use crate::scenario::keys::Ready;

use super::World;

impl World {
    /// A client keeps its session until then, and goes on without.
    pub(super) fn keep(&mut self, number: u32, until: Moment) -> Event {
        self.at_client(number, Key::NONE).hand_over();
        let link = self.clients.take_link(number);
        self.kept.keep(&mut self.transit, number, link, until);
        Event::Sent
    }

    /// The client's next session is ready.
    pub(super) fn release_kept(&mut self, number: u32) {
        let timeout = self.groups[self.clients.group_of(number)].connect.close_timeout;
        self.kept.close(&mut self.transit, number, timeout, false);
    }

    /// Whether the session that a client keeps is its only one.
    pub(super) fn keeps_alone(&self, number: u32) -> bool {
        self.kept.has(number) && self.clients.slot(number).link() == Key::NONE
    }

    /// The client leaves the session that it keeps.
    pub(super) fn leave_kept(&mut self, number: u32) {
        let timeout = self.groups[self.clients.group_of(number)].connect.close_timeout;
        let (link, now) = (self.kept.link(number), self.now());
        self.clients.leave_kept(number, now, link);
        self.kept.close(&mut self.transit, number, timeout, true);
    }

    /// Something has come over the session that a client keeps.
    pub(super) fn reaches_kept(&mut self, number: u32, link: Key, frame: ToClient) {
        let index = self.clients.group_of(number);
        match frame {
            ToClient::Message(sequence) => {
                let is_numbered = self.groups[index].is_numbered;
                let due = self.service.message_due(is_numbered.then_some(number), sequence);
                let latency = u32::try_from(self.now().since(due).as_micros()).unwrap_or(u32::MAX);
                self.log.count_in(self.groups[index].id, is_numbered.then_some(latency));
                if is_numbered {
                    self.clients.count_beside(number, sequence);
                }
                if self.groups[index].rules.looks.talk().is_some() {
                    let text = self.service.message_text(sequence, due);
                    self.hear_beside(number, &text);
                }
            }
            ToClient::Told => {
                let text = self.transit.network.take_text(link);
                self.log.count_in(self.groups[index].id, None);
                self.hear_beside(number, &text);
            }
            frame => {
                let timeout = self.groups[index].connect.close_timeout;
                let ended = self.kept.receive(&mut self.transit, number, (frame, timeout));
                self.kept_ended(number, ended);
            }
        }
    }

    fn hear_beside(&mut self, number: u32, text: &str) {
        let now = self.now();
        let at = (now, self.start_unix_us.saturating_add(now.as_us()));
        let looks = &self.groups[self.clients.group_of(number)].rules.looks;
        if let Some((rules, talker)) = looks.talk().zip(self.talkers.get(number)) {
            looks.messages(Payload::Text(text)).for_each(|look| talker.hear_beside(rules, &look, at));
        }
    }

    /// The moment of the session that a client keeps has come.
    pub(super) fn wake_kept(&mut self, number: u32) {
        let timeout = self.groups[self.clients.group_of(number)].connect.close_timeout;
        let ended = self.kept.wake(&mut self.transit, number, timeout);
        self.kept_ended(number, ended);
    }

    fn kept_ended(&mut self, number: u32, ended: Option<KeptEnd>) {
        let Some(KeptEnd { at, event, is_released, leaves }) = ended else { return };
        let group = &self.groups[self.clients.group_of(number)];
        let has_next = self.clients.slot(number).link() != Key::NONE;
        let may_be_in = has_next && group.rules.session.ready == Ready::Upgraded;
        if !(is_released || may_be_in) {
            self.clients.lose(number);
            if let Some((rules, talker)) = group.rules.looks.talk().zip(self.talkers.get(number)) {
                talker.lose_streams(rules, at);
            }
        }
        if leaves {
            self.clients.take_link(number);
            return self.deliver(number, event);
        }
        let waits = matches!(self.clients.slot(number).doing(), Doing::Sleeping | Doing::Holding);
        let action = self.step(number, event);
        if waits && action != Action::GoOn {
            let next = self.perform(number, action);
            next.into_iter().for_each(|event| self.deliver(number, event));
        }
    }
}
