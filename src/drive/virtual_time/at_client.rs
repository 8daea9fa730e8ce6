//! A session as its client has it.
//!
//! In: frames of the service, the client's own leaving. Out: what its machine is told, frames to the service, counts of messages.

use tokio_tungstenite::tungstenite::Message;

use crate::clock::Moment;
use crate::conversation::{Payload, SayKey, Saying, TalkRules, Words};
use crate::lifecycle::{Ending, EndingHow, Event, Leave, Signs};
use crate::sample::{Abnormal, Counter, Said, Sample, Word};
use crate::scenario::keys::TokenIn;

use super::clients::{Answers, Clients, Missed, WaitEnd};
use super::conversation::Speaker;
use super::frame::{ToClient, ToTarget};
use super::group::Group;
use super::holdings::Holdings;
use super::kept::KeptSessions;
use super::queue::Kind;
use super::samples::SampleLog;
use super::service_side::ServiceSide;
use super::slab::Key;
use super::talking::Talkers;
use super::token_desk::TokenDesk;
use super::transit::Transit;

/// A client with its session, and those whom it concerns.
pub(super) struct AtClient<'a> {
    pub(super) number: u32,
    pub(super) link: Key,
    pub(super) group: &'a Group,
    pub(super) transit: &'a mut Transit,
    pub(super) clients: &'a mut Clients,
    pub(super) service: &'a mut ServiceSide,
    pub(super) log: &'a mut SampleLog,
    pub(super) holdings: &'a mut Holdings,
    pub(super) talkers: &'a mut Talkers,
    pub(super) kept: &'a KeptSessions,
    pub(super) desk: &'a TokenDesk,
    pub(super) start_unix_us: u64,
}

impl<'a> AtClient<'a> {
    /// The session is open.
    pub(super) fn open(&mut self) {
        self.transit.network.client_opens(self.link);
        let is_beside = self.kept.has(self.number);
        self.clients.open_session(self.number, self.now(), self.link, is_beside);
        let rules = &self.group.rules;
        if let Some(talk) = rules.looks.talk() {
            self.talkers.open(talk, rules.seed, self.number);
        }
        let has_first = self.group.rules.session.first_message.is_some();
        if has_first || matches!(self.group.connect.token_in, TokenIn::FirstMessage(_)) {
            let speaker = self.speaker();
            speaker.first().for_each(|words| self.say_words(&speaker, words));
        }
    }

    /// The session is ready: the client says what it has to say.
    pub(super) fn begin_talk(&mut self) {
        let now = self.now();
        if let Some((rules, talker)) = self.group.rules.looks.talk().zip(self.talkers.get(self.number)) {
            talker.begin(rules, now);
            self.say_due();
        }
    }

    /// The client says what is due.
    pub(super) fn say_due(&mut self) {
        let (group, now) = (self.group, self.now());
        let Some(rules) = group.rules.looks.talk() else { return };
        while let Some(saying) = self.talkers.get(self.number).and_then(|talker| talker.take_due(rules, now))
        {
            self.say_one(rules, saying);
        }
        self.talkers.arm(&mut self.transit.queue, self.number);
    }

    fn say_one(&mut self, rules: &TalkRules, saying: Saying) {
        let group = self.group;
        let speaker = group.is_heard.then(|| self.speaker());
        let Some(talker) = self.talkers.get(self.number) else { return };
        let words = SayKey::Say(saying.index).words(&group.rules.session);
        let text = speaker
            .zip(words)
            .and_then(|(speaker, words)| speaker.text(words, Some((talker, saying)), self.holdings));
        talker.said(rules, saying, None);
        self.send_message(text);
    }

    /// The session ended then, and with it what was said on it.
    fn end_talk(&mut self, at: Moment) {
        let is_run_over = self.clients.stop_event().is_some();
        if let Some((rules, talker)) = self.group.rules.looks.talk().zip(self.talkers.get(self.number)) {
            if self.kept.is_in(self.number) {
                talker.fall_silent(at, is_run_over);
            } else {
                talker.end_session(rules, at, is_run_over);
            }
        }
    }

    /// The session is kept beside the next one: nothing more is said on it.
    pub(super) fn hand_over(&mut self) {
        let (now, is_run_over) = (self.now(), self.clients.stop_event().is_some());
        if let Some(talker) = self.talkers.get(self.number) {
            talker.fall_silent(now, is_run_over);
        }
    }

    /// The client says what a key says.
    pub(super) fn say(&mut self, key: SayKey) {
        let Some(words) = key.words(&self.group.rules.session) else { return };
        if self.group.is_heard {
            self.say_words(&self.speaker(), words);
        } else {
            self.send_message(None);
        }
    }

    fn say_words(&mut self, speaker: &Speaker<'_>, words: Words<'_>) {
        self.send_message(speaker.text(words, None, self.holdings));
    }

    /// The client sends a message. Its text goes with it, where it has one and the target looks at it.
    fn send_message(&mut self, text: Option<String>) {
        self.log.count_out(self.group.id);
        match text.filter(|_| self.group.is_heard) {
            Some(text) => self.transit.network.say_to_target(&mut self.transit.queue, self.link, text),
            None => self.send(ToTarget::Data),
        }
    }

    fn speaker(&self) -> Speaker<'a> {
        Speaker {
            number: self.number,
            group: self.group,
            token: self.desk.text_of(self.number),
            unix_us: self.start_unix_us.saturating_add(self.now().as_us()),
        }
    }

    pub(super) fn send(&mut self, frame: ToTarget) {
        self.transit.network.send_to_target(&mut self.transit.queue, self.link, frame);
    }

    /// The client leaves its session. `Some`: it is out of it at once.
    pub(super) fn leave(&mut self, how: Leave) -> Option<Event> {
        match how {
            Leave::Close { code } => {
                self.clients.leave(self.number, self.now(), code);
                self.send(ToTarget::Close(code));
                // The answer is waited for so long and no longer.
                self.know_at(self.now() + self.group.connect.close_timeout);
                None
            }
            Leave::Reset => Some(self.drop_connection(ToTarget::Rst)),
            Leave::Abandon => Some(self.drop_connection(ToTarget::Fin)),
            Leave::FallSilent => {
                self.end_talk(self.now());
                self.clients.take_link(self.number);
                self.transit.network.client_falls_silent(self.link);
                self.service.client_is_silent(self.transit, self.link);
                Some(Event::Due(Signs::default()))
            }
        }
    }

    fn drop_connection(&mut self, frame: ToTarget) -> Event {
        self.send(frame);
        self.ended(Ending::new(self.now(), EndingHow::Left))
    }

    /// A frame, or the connection's end, has come: what the machine is to know, in order.
    pub(super) fn receive(&mut self, frame: ToClient) -> Vec<Event> {
        let event = match frame {
            ToClient::Message(sequence) => return self.read_message(sequence),
            ToClient::Told => {
                let heard = self.clients.hear(self.number, self.now());
                let text = self.transit.network.take_text(self.link);
                self.log.count_in(self.group.id, None);
                return self.read_text(&text, heard);
            }
            ToClient::Pong => {
                self.clients.hear_pong(self.number, self.now());
                None
            }
            ToClient::Close(code) => {
                self.read_close(code);
                None
            }
            ToClient::Echo => self.clients.read_echo(self.number).map(|ending| self.ended(ending)),
            ToClient::Fin => self.read_end(Abnormal::Fin),
            ToClient::Rst => self.read_end(Abnormal::Rst),
            ToClient::Broken(how) => self.read_violation(how),
        };
        event.into_iter().collect()
    }

    /// A message of the client's stream.
    fn read_message(&mut self, sequence: u64) -> Vec<Event> {
        let heard = self.clients.hear(self.number, self.now());
        let is_numbered = self.group.is_numbered;
        let due = self.service.message_due(is_numbered.then_some(self.number), sequence);
        let latency = u32::try_from(self.now().since(due).as_micros()).unwrap_or(u32::MAX);
        // One that comes while its session is ending is not measured: see `TrafficTally` of the network.
        let latency = (is_numbered && !self.clients.is_leaving(self.number)).then_some(latency);
        self.log.count_in(self.group.id, latency);
        let missed =
            if is_numbered { self.clients.count_message(self.number, sequence) } else { Missed::default() };
        if missed.messages > 0 {
            self.tell(Counter::MessagesMissed, missed.messages);
        }
        if missed.is_outage {
            self.tell(Counter::OutagesMeasured, 1);
        }
        if !self.group.rules.looks.is_read() && !self.clients.awaits_text(self.number) {
            return Vec::new();
        }
        let text = self.service.message_text(sequence, due);
        self.read_text(&text, heard)
    }

    /// A message has come as a text: here, and nowhere else, what it says is looked at. Anything was last heard before it at `heard`.
    fn read_text(&mut self, text: &str, heard: Moment) -> Vec<Event> {
        if !self.clients.is_holding(self.number) {
            self.hear_last(text);
            return Vec::new();
        }
        let mut events = Vec::new();
        let is_ready = self.clients.awaits_text(self.number) && self.group.is_ready_by(text);
        events.extend(is_ready.then_some(Event::BecameReady));
        if self.group.rules.looks.is_read() {
            let (now, unix_us) = (self.now(), self.start_unix_us.saturating_add(self.now().as_us()));
            let speaker = self.speaker();
            let talker = self.talkers.get(self.number);
            match speaker.meaning_of(text, self.holdings, talker, (now, unix_us)) {
                Err(evidence) => return vec![Event::Refused { evidence, heard }],
                Ok(reaction) => {
                    for reply in reaction.replies {
                        if let Message::Text(text) = reply {
                            self.send_message(Some(text.to_string()));
                        }
                    }
                    self.answer(reaction.calls);
                    events.extend(reaction.events);
                }
            }
        }
        events
    }

    /// The client says what messages called for.
    fn answer(&mut self, calls: Vec<Saying>) {
        if let Some(rules) = self.group.rules.looks.talk().filter(|_| !calls.is_empty()) {
            calls.into_iter().for_each(|saying| self.say_one(rules, saying));
            self.talkers.arm(&mut self.transit.queue, self.number);
        }
    }

    /// A text has come while the session was ending.
    fn hear_last(&mut self, text: &str) {
        let (looks, now) = (&self.group.rules.looks, self.now());
        if let Some((rules, talker)) = looks.talk().zip(self.talkers.get(self.number)) {
            talker.hear_last_frame(rules, looks, Payload::Text(text), now);
        }
    }

    /// The target's close frame: answered at once. The client acts on it when the closing handshake is through.
    fn read_close(&mut self, code: u16) {
        let Some(answers) = self.clients.read_close(self.number, self.now(), code) else { return };
        if answers == Answers::Yes {
            self.send(ToTarget::Close(code));
        }
        let takes = self.transit.network.detection();
        self.know_at(self.now() + takes.min(self.group.connect.close_timeout));
    }

    /// The connection has ended without a close frame.
    fn read_end(&mut self, how: Abnormal) -> Option<Event> {
        let ending = self.clients.read_end(self.number, self.now(), how)?;
        Some(self.ended(ending))
    }

    /// The target has broken the protocol. A client that is not leaving says so, and does not wait for what the target makes of it.
    fn read_violation(&mut self, how: Abnormal) -> Option<Event> {
        let ending = self.clients.read_end(self.number, self.now(), how)?;
        let failed = Word::Code(how.failure_code());
        let ending = if ending.said.client == Word::Nothing {
            self.send(ToTarget::Close(how.failure_code()));
            ending.saying(Said::by_client(failed))
        } else {
            ending
        };
        self.send(ToTarget::Fin);
        Some(self.ended(ending))
    }

    /// The time is up in which the client waits for its session's end: it acts on it.
    pub(super) fn wait_is_over(&mut self) -> Option<Event> {
        match self.clients.wait_is_over(self.number, self.link)? {
            WaitEnd::Known(ending) => {
                let heard = self.clients.heard(self.number);
                self.let_go(ending.at);
                Some(match ending.how {
                    EndingHow::PeerClosed(_) => Event::Closed { ending, reason: None, heard },
                    _ => Event::Ended(ending),
                })
            }
            WaitEnd::GivenUp(ending) => {
                self.send(ToTarget::Fin);
                Some(self.ended(ending))
            }
        }
    }

    /// The client is done: it drops the session that it may have.
    pub(super) fn finish(&mut self) {
        self.clients.finish(self.number);
        if self.link != Key::NONE {
            self.send(ToTarget::Fin);
            self.let_go(self.now());
        }
    }

    fn ended(&mut self, ending: Ending) -> Event {
        self.let_go(ending.at);
        Event::Ended(ending)
    }

    /// Lets go of the session, which ended then.
    fn let_go(&mut self, ended: Moment) {
        self.end_talk(ended);
        self.clients.take_link(self.number);
        self.transit.network.client_lets_go(self.link);
    }

    fn know_at(&mut self, at: Moment) {
        self.transit.queue.put_for(at, Kind::Known, self.link, 0);
    }

    fn tell(&mut self, counter: Counter, count: u64) {
        self.log.tell(self.now(), self.group.id, Sample::Count(counter, count));
    }

    const fn now(&self) -> Moment {
        self.transit.now()
    }
}
