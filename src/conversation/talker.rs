//! What a client says and hears on its sessions.
//!
//! In: sessions that become ready and end, messages, the clock. Out: what is to be said and since when, and the news of exchanges, streams and kinds. Both
//! drivers ask it when it has something to say, render the texts and send them. No I/O, no clock; what is drawn depends on the seed, the client and the message
//! alone.

use std::time::Duration;

use crate::clock::Moment;
use crate::mqtt::Packet;
use crate::random::{Draws, Purpose};
use crate::sample::{Blind, BlindEnd, Counter, ErrorWord, ExchangeNews, Sample, StormId, Talk};
use crate::scenario::keys::{Process, SessionRules};

use super::exchange::{By, Ended, ExchangeEnd, Exchanges};
use super::line::Line;
use super::look::{Look, Payload};
use super::looks::Looks;
use super::rules::{AsReply, SayRule, StreamRule, TalkRules, Timing};
use super::stream::{Streams, key_of};

/// So many measured values are news enough.
const MANY_VALUES: usize = 256;

/// Something that is to be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Saying {
    /// Which of the group's sayings.
    pub index: usize,
    /// Since when it is due.
    pub due: Moment,
    /// The how manieth of it the client says, from 1.
    pub counter: u64,
}

/// A packet that acknowledges another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// Of the packet with this identifier.
    pub id: u16,
    /// Whether it is a SUBACK, and not a PUBACK.
    pub is_subscription: bool,
    /// Whether the other one was taken.
    pub is_ok: bool,
}

/// One saying of a client.
#[derive(Debug, Default)]
struct Voice {
    /// When it is said next; `NEVER`: the clock does not call for it.
    next: Moment,
    /// How often it was said.
    said: u64,
    exchanges: Exchanges,
}

/// A client's part in its conversations.
#[derive(Debug)]
pub struct Talker {
    voices: Vec<Voice>,
    streams: Vec<Streams>,
    /// A session is ready.
    is_ready: bool,
    draws: Draws,
    news: Talk,
    /// Values measured since the last report.
    values: usize,
    /// Its side of MQTT; only where it speaks that.
    line: Option<Box<Line>>,
}

impl Talker {
    /// Client `number` of a run with this seed, silent yet.
    #[must_use]
    pub fn new(rules: &TalkRules, seed: u64, number: u32) -> Self {
        let silent = |_: &SayRule| Voice { next: Moment::NEVER, ..Voice::default() };
        Self {
            voices: rules.says.iter().map(silent).collect(),
            streams: rules.streams.iter().map(|_| Streams::default()).collect(),
            is_ready: false,
            draws: Draws::new(seed, Purpose::Saying, number),
            news: Talk::default(),
            values: 0,
            line: None,
        }
    }

    /// The same; where the group's rules say so, it speaks MQTT.
    #[must_use]
    pub fn on_line(self, session: &SessionRules) -> Self {
        Self { line: Line::new(session).map(Box::new), ..self }
    }

    /// Whether its session is ready.
    #[must_use]
    pub const fn is_in(&self) -> bool {
        self.is_ready
    }

    /// Its side of MQTT.
    pub fn line(&mut self) -> Option<&mut Line> {
        self.line.as_deref_mut()
    }

    /// The session is ready since then: what the clock calls for begins. Nothing, where it was.
    pub fn begin(&mut self, rules: &TalkRules, ready: Moment) {
        if std::mem::replace(&mut self.is_ready, true) {
            return;
        }
        if let Some(line) = &mut self.line {
            line.begin(ready);
        }
        for (index, rule) in rules.says.iter().enumerate() {
            let next = match &rule.timing {
                Timing::Ready => ready,
                Timing::Every(every) => ready + *every,
                Timing::Rate(rate, process) => ready + self.gap(index, *rate, *process),
                Timing::After(after) => ready + *after,
                Timing::On(_) => Moment::NEVER,
            };
            self.voices[index].next = next;
        }
    }

    /// The time from one message to the next, at this rate.
    fn gap(&self, index: usize, rate: f64, process: Process) -> Duration {
        let gap = match process {
            Process::Constant => 1.0 / rate,
            Process::Poisson => {
                -(1.0 - self.draws.unit_of(place(index, self.voices[index].said, 0))).ln() / rate
            }
        };
        Duration::try_from_secs_f64(gap).unwrap_or(Duration::MAX)
    }

    /// When there is something to say next, or a reply is given up.
    #[must_use]
    pub fn next_due(&self) -> Moment {
        let each = self.voices.iter().map(|voice| voice.next.min(voice.exchanges.next_timeout()));
        let pings = self.line.iter().map(|line| line.next_due());
        each.chain(pings).min().unwrap_or(Moment::NEVER)
    }

    /// What is to be said now, what is due first before the rest; `None`: nothing. Replies that are late by now are given up.
    pub fn take_due(&mut self, rules: &TalkRules, now: Moment) -> Option<Saying> {
        for index in 0..self.voices.len() {
            while let Some(ended) = self.voices[index].exchanges.take_late(now) {
                self.end(index, ended);
            }
        }
        let first = (0..self.voices.len()).min_by_key(|index| self.voices[*index].next)?;
        let due = self.voices[first].next;
        if due > now {
            return None;
        }
        self.voices[first].said += 1;
        self.voices[first].next = match &rules.says[first].timing {
            Timing::Every(every) => due + *every,
            Timing::Rate(rate, process) => due + self.gap(first, *rate, *process),
            Timing::Ready | Timing::After(_) | Timing::On(_) => Moment::NEVER,
        };
        Some(Saying { index: first, due, counter: self.voices[first].said })
    }

    /// The id of what is said: a random UUID (RFC 9562 §5.4), drawn for the message.
    #[must_use]
    pub fn uuid(&self, saying: Saying) -> String {
        let bits = |which: u64| {
            (self.draws.unit_of(place(saying.index, saying.counter, which)) * 2_f64.powi(48)) as u64
        };
        let (a, b, c) = (bits(1), bits(2), bits(3));
        format!(
            "{:08x}-{:04x}-4{:03x}-{:x}{:03x}-{:012x}",
            a & 0xffff_ffff,
            a >> 32,
            b & 0xfff,
            8 | (b >> 12 & 3),
            b >> 14 & 0xfff,
            c
        )
    }

    /// A whole number between two, both included: the `which`th that is drawn for the message.
    #[must_use]
    pub fn random(&self, saying: Saying, which: u64, (low, high): (u64, u64)) -> u64 {
        let unit = self.draws.unit_of(place(saying.index, saying.counter, 4 + which));
        low.saturating_add((unit * (high - low + 1) as f64) as u64).min(high)
    }

    /// It is said now; what acknowledges it names this `id`, where it is a packet of MQTT.
    pub fn said(&mut self, rules: &TalkRules, saying: Saying, id: Option<u16>) {
        let Saying { index, due, counter } = saying;
        let rule = &rules.says[index];
        let Some(reply) = &rule.reply else { return };
        let key = match (id, reply.is_in_order(), rule.by_uuid) {
            (Some(id), ..) => u64::from(id),
            (None, true, _) => 0,
            (None, false, true) => key_of(&self.uuid(saying)),
            (None, false, false) => key_of(&counter.to_string()),
        };
        let exchanges = &mut self.voices[index].exchanges;
        let given_up = exchanges.sent(u128::from(key), due, reply.timeout);
        let most = exchanges.most_in_flight() as u64;
        let news = self.exchange(index);
        news.sent += 1;
        news.most_in_flight = news.most_in_flight.max(most);
        if let Some(ended) = given_up {
            self.end(index, ended);
        }
    }

    /// A message came, at `now`, which is `unix_us` microseconds after 1970. What it calls for is put into `calls`. Of a word that `is_secret`, nothing is told.
    pub fn hear(
        &mut self,
        rules: &TalkRules,
        look: &Look<'_, '_>,
        (now, unix_us): (Moment, u64),
        calls: &mut Vec<Saying>,
        is_secret: impl Fn(&str) -> bool,
    ) {
        self.hear_reply(rules, look, now);
        self.hear_streams(rules, look, now, Some(unix_us));
        if let Some((slot, most)) = rules.kinds {
            let text = look.at(slot).text();
            self.count_kind(text.as_deref(), most, is_secret);
        }
        for (index, rule) in rules.says.iter().enumerate() {
            if let Timing::On(condition) = &rule.timing
                && condition.fits(look)
            {
                self.voices[index].said += 1;
                calls.push(Saying { index, due: now, counter: self.voices[index].said });
            }
        }
    }

    /// A packet acknowledges what was said with this identifier. One that nobody waits for counts as the first's of its kind.
    pub fn acknowledged(&mut self, rules: &TalkRules, ack: Ack, now: Moment) {
        let Ack { id, is_subscription, is_ok } = ack;
        let is_of_kind = |index: &usize| {
            rules.says[*index].reply.is_some() && rules.is_subscription(*index) == is_subscription
        };
        let of_kind: Vec<usize> = (0..self.voices.len()).filter(is_of_kind).collect();
        for &index in &of_kind {
            while let Some(ended) = self.voices[index].exchanges.take_late(now) {
                self.end(index, ended);
            }
            let heard = self.voices[index].exchanges.hear(By::Key(u128::from(id)), is_ok, now);
            if let Some(ended) = heard {
                return self.end(index, ended);
            }
        }
        if let Some(first) = of_kind.first() {
            self.exchange(*first).unexpected += 1;
        }
    }

    /// A frame came while its session was ending, when clients wait for one another: no latency is measured, and it calls for nothing. Of streams and kinds
    /// nothing is left out.
    pub fn hear_last_frame(&mut self, rules: &TalkRules, looks: &Looks, payload: Payload<'_>, now: Moment) {
        if !rules.speaks_mqtt() {
            return looks.messages(payload).for_each(|look| self.hear_last(rules, &look, now));
        }
        let (Payload::Binary(bytes), Some(line)) = (payload, self.line()) else { return };
        line.feed(bytes);
        while let Some(Ok(Some(packet))) = self.line().map(Line::next_packet) {
            if let Packet::Message { payload, .. } = packet {
                let payload = Payload::of_packet(&payload);
                looks.messages(payload).for_each(|look| self.hear_last(rules, &look, now));
            }
        }
    }

    fn hear_last(&mut self, rules: &TalkRules, look: &Look<'_, '_>, now: Moment) {
        self.hear_streams(rules, look, now, None);
        if let Some((slot, most)) = rules.kinds {
            let text = look.at(slot).text();
            self.count_kind(text.as_deref(), most, |_| true);
        }
    }

    fn hear_reply(&mut self, rules: &TalkRules, look: &Look<'_, '_>, now: Moment) {
        let mut nobodys = None;
        for (index, rule) in rules.says.iter().enumerate() {
            let Some(reply) = &rule.reply else { continue };
            let by = match reply.judge(look) {
                AsReply::No => continue,
                AsReply::InOrder => By::Order,
                AsReply::To(key) => By::Key(key),
            };
            // One that waits long enough has no reply any more, though nobody has looked at the clock since.
            while let Some(ended) = self.voices[index].exchanges.take_late(now) {
                self.end(index, ended);
            }
            if let Some(ended) = self.voices[index].exchanges.hear(by, reply.holds(look), now) {
                return self.end(index, ended);
            }
            nobodys.get_or_insert(index);
        }
        if let Some(index) = nobodys {
            self.exchange(index).unexpected += 1;
        }
    }

    fn hear_streams(&mut self, rules: &TalkRules, look: &Look<'_, '_>, now: Moment, unix_us: Option<u64>) {
        for (index, rule) in rules.streams.iter().enumerate() {
            self.hear_stream(index, rule, look, now, unix_us);
        }
    }

    fn hear_stream(
        &mut self,
        index: usize,
        rule: &StreamRule,
        look: &Look<'_, '_>,
        now: Moment,
        unix_us: Option<u64>,
    ) {
        let Some(of) = rule.read(look) else { return };
        let known = self.streams[index].count();
        let told = self.streams[index].hear(of.key, of.sequence, now, rule.most);
        let keys = self.streams[index].count() - known;
        let news = news_of(&mut self.news.streams, index);
        news.messages += 1;
        news.keys += keys as u64;
        news.skipped += told.skipped;
        news.skipped_away += told.skipped_away;
        news.filled += u64::from(told.filled);
        news.filled_away += u64::from(told.filled_away);
        news.late += u64::from(told.is_late);
        news.duplicates += u64::from(told.is_duplicate);
        news.restarts += u64::from(told.is_restart);
        news.beyond += u64::from(told.is_beyond);
        news.unnumbered += u64::from(of.is_unnumbered && !told.is_beyond);
        if let Some((blind, storm)) = told.blind {
            news.blind.push(Blind { storm, us: micros(blind), end: BlindEnd::Seen });
            self.values += 1;
        }
        if let Some((sent, now)) = of.sent_us.zip(unix_us.and_then(|us| i64::try_from(us).ok())) {
            news.latencies_us.push(now.saturating_sub(sent));
            self.values += 1;
        }
    }

    fn count_kind(&mut self, text: Option<&str>, most: usize, is_secret: impl Fn(&str) -> bool) {
        let kinds = &mut self.news.kinds;
        let told = |(word, _): &(Option<ErrorWord>, u64)| word.as_ref().map(ErrorWord::text) == text;
        if let Some((_, n)) = kinds.iter_mut().find(|kind| told(kind)) {
            *n += 1;
            return;
        }
        let is_room = kinds.len() < most;
        let word = text.map(|text| {
            if is_room && !is_secret(text) { ErrorWord::or_other(text) } else { ErrorWord::or_other("") }
        });
        match kinds.iter_mut().find(|(known, _)| *known == word) {
            Some((_, n)) => *n += 1,
            None => kinds.push((word, 1)),
        }
    }

    /// A message came over a session that is kept beside the next one: it calls for nothing.
    pub fn hear_beside(&mut self, rules: &TalkRules, look: &Look<'_, '_>, (now, unix_us): (Moment, u64)) {
        self.hear_streams(rules, look, now, Some(unix_us));
        if let Some((slot, most)) = rules.kinds {
            let text = look.at(slot).text();
            self.count_kind(text.as_deref(), most, |_| true);
        }
    }

    /// The session ended then; with it `is_run_over`, or the client is to come back. Nothing is said any more.
    pub fn end_session(&mut self, rules: &TalkRules, at: Moment, is_run_over: bool) {
        self.fall_silent(at, is_run_over);
        self.lose_streams(rules, at);
    }

    /// The client hears nothing more of its streams since then.
    pub fn lose_streams(&mut self, rules: &TalkRules, at: Moment) {
        for (streams, rule) in self.streams.iter_mut().zip(&rules.streams) {
            streams.end_session(at, rule.counts_anew);
        }
    }

    /// A step of the client has told `samples`: where a disconnect is among them, nothing new is known of the streams since.
    pub fn take_step(&mut self, samples: &[Sample]) {
        let is_cut_off = |sample: &Sample| matches!(sample, Sample::Count(Counter::Disconnects, _));
        if !self.streams.is_empty() && samples.iter().any(is_cut_off) {
            let mut storms = samples.iter().filter_map(|sample| match sample {
                Sample::StormDisconnect(storm) => Some(*storm),
                _ => None,
            });
            let storm: Option<StormId> = storms.next();
            self.streams.iter_mut().for_each(|streams| streams.cut_off(storm));
        }
    }

    /// The client is done at `at`: what was not seen until then stays so.
    pub fn finish(&mut self, at: Moment, has_given_up: bool) {
        let end = if has_given_up { BlindEnd::GaveUp } else { BlindEnd::Open };
        for (index, streams) in self.streams.iter().enumerate() {
            for (since, storm) in streams.still_blind() {
                let blind = Blind { storm, us: micros(at.since(since)), end };
                news_of(&mut self.news.streams, index).blind.push(blind);
            }
        }
    }

    /// The client says nothing more on its session, which goes on being read beside the next one. What waits for a reply is cut off.
    pub fn fall_silent(&mut self, at: Moment, is_run_over: bool) {
        self.is_ready = false;
        if let Some(line) = &mut self.line {
            line.end_session();
        }
        for index in 0..self.voices.len() {
            self.voices[index].next = Moment::NEVER;
            while let Some(ended) = self.voices[index].exchanges.take_late(at) {
                self.end(index, ended);
            }
            let cut_off = self.voices[index].exchanges.cut_off(at).count() as u64;
            if cut_off > 0 {
                let news = self.exchange(index);
                *(if is_run_over { &mut news.unfinished } else { &mut news.cut_off }) += cut_off;
            }
        }
    }

    /// Whether so much was measured that it is to be reported at once.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.values >= MANY_VALUES
    }

    /// The news since the last report; `None`: there is none.
    pub fn report(&mut self) -> Option<Box<Talk>> {
        self.values = 0;
        let news = std::mem::take(&mut self.news);
        (!news.is_empty()).then(|| Box::new(news))
    }

    fn exchange(&mut self, index: usize) -> &mut ExchangeNews {
        news_of(&mut self.news.exchanges, index)
    }

    fn end(&mut self, index: usize, ended: Ended) {
        let news = news_of(&mut self.news.exchanges, index);
        match ended.end {
            ExchangeEnd::Ok => news.ok += 1,
            ExchangeEnd::CheckFailed => news.failed_checks += 1,
            ExchangeEnd::Timeout => news.timeouts += 1,
            ExchangeEnd::CutOff => news.cut_off += 1,
        }
        let latencies = match ended.end {
            ExchangeEnd::Ok => &mut news.latencies_us,
            ExchangeEnd::CheckFailed => &mut news.failed_latencies_us,
            ExchangeEnd::Timeout | ExchangeEnd::CutOff => return,
        };
        latencies.push(micros(ended.latency));
        self.values += 1;
    }
}

/// The news of one of a list.
fn news_of<T: Default>(list: &mut Vec<(u16, T)>, index: usize) -> &mut T {
    let number = u16::try_from(index).unwrap_or(u16::MAX);
    let at = list.iter().position(|(known, _)| *known == number).unwrap_or_else(|| {
        list.push((number, T::default()));
        list.len() - 1
    });
    &mut list[at].1
}

/// The place of a draw: the `which`th for the message `counter` of a saying.
const fn place(index: usize, counter: u64, which: u64) -> u64 {
    (index as u64) << 56 ^ (counter & 0xff_ffff_ffff) << 16 ^ which & 0xffff
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "talker_tests.rs"]
mod tests;
