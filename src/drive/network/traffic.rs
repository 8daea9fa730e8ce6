//! What goes over a session: counts, latencies and sequence numbers of messages.
//!
//! In: messages as they come and go. Out: one [`Traffic`] sample at most each second while messages flow, and how many
//! messages an outage cost. Nothing is sent for a single message.

use std::time::Duration;

use crate::clock::Moment;
use crate::conversation::{Looks, Talker};
use crate::deflate::Volume;
use crate::lifecycle::GroupRules;
use crate::sample::Traffic;
use crate::service::message::numbers_of;

/// Traffic is reported at most this often.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// A larger step of the sequence numbers is another numbering, not a gap: no service sends so many messages while one client is away.
const MOST_MISSED: u64 = 1_000_000_000;
/// Or when this many latencies have been gathered.
const MOST_LATENCIES: usize = 256;

/// The tally of a client's traffic.
#[derive(Debug, Default)]
pub(super) struct TrafficTally {
    messages_in: u32,
    messages_out: u32,
    latencies_us: Vec<u32>,
    reported: Moment,
    last_sequence: Option<u64>,
    /// No sequence number has been seen in this session yet.
    session_is_new: bool,
    /// The client's part in its conversations; only where there are such.
    pub(super) talker: Option<Box<Talker>>,
}

/// What a sequence number told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gap {
    /// Messages that never came.
    pub(super) missed: u64,
    /// Whether the gap lies between two sessions.
    pub(super) is_outage: bool,
}

impl TrafficTally {
    /// That of client `number` of a group with these rules.
    pub(super) fn new(rules: &GroupRules, number: u32) -> Self {
        let talker = rules
            .looks
            .talk()
            .map(|talk| Box::new(Talker::new(talk, rules.seed, number).on_line(&rules.session)));
        Self { talker, ..Self::default() }
    }

    /// A new session has begun.
    pub(super) fn begin_session(&mut self) {
        self.session_is_new = true;
    }

    /// Counts a message of which no numbers are read: it is no text, or not our own target's.
    pub(super) fn received_unread(&mut self) {
        self.messages_in += 1;
    }

    /// Counts a message that was sent.
    pub(super) fn sent(&mut self) {
        self.messages_out += 1;
    }

    /// Counts a message of our own target's that came at `unix_us`; answers with the gap before it, if it tells of one. Without a moment its
    /// latency is not measured: it came while its session was ending, when clients wait for one another.
    pub(super) fn received(&mut self, text: &str, unix_us: Option<u64>) -> Option<Gap> {
        self.messages_in += 1;
        let (sequence, due_us) = numbers_of(text)?;
        if let Some(unix_us) = unix_us {
            let latency = unix_us.saturating_sub(due_us);
            self.latencies_us.push(u32::try_from(latency).unwrap_or(u32::MAX));
        }
        let is_outage = std::mem::take(&mut self.session_is_new);
        let last = self.last_sequence.replace(sequence)?;
        let missed = sequence.saturating_sub(last).saturating_sub(1);
        if missed > MOST_MISSED {
            return None;
        }
        (is_outage || missed > 0).then_some(Gap { missed, is_outage })
    }

    /// The session ended then; with it the run, or the client is to come back.
    pub(super) fn end_session(&mut self, looks: &Looks, at: Moment, is_run_over: bool) {
        if let Some((rules, talker)) = looks.talk().zip(self.talker.as_deref_mut()) {
            talker.end_session(rules, at, is_run_over);
        }
    }

    /// The session is kept beside the next one: nothing more is said on it.
    pub(super) fn hand_over(&mut self, at: Moment, is_run_over: bool) {
        if let Some(talker) = self.talker.as_deref_mut() {
            talker.fall_silent(at, is_run_over);
        }
    }

    /// The kept session ended then, and the client is away.
    pub(super) fn lose(&mut self, looks: &Looks, at: Moment) {
        self.session_is_new = true;
        if let Some((rules, talker)) = looks.talk().zip(self.talker.as_deref_mut()) {
            talker.lose_streams(rules, at);
        }
    }

    /// Counts a message of our own target's that came over the kept session at `unix_us`: what it tells of others is told by the next session.
    pub(super) fn received_beside(&mut self, text: &str, unix_us: u64) {
        self.messages_in += 1;
        let Some((sequence, due_us)) = numbers_of(text) else { return };
        let latency = unix_us.saturating_sub(due_us);
        self.latencies_us.push(u32::try_from(latency).unwrap_or(u32::MAX));
        self.last_sequence = self.last_sequence.max(Some(sequence));
    }

    /// When the client has something to say next, or gives up a reply.
    pub(super) fn next_say(&self) -> Moment {
        self.talker.as_deref().map_or(Moment::NEVER, Talker::next_due)
    }

    /// Whether it is time to report.
    pub(super) fn is_due(&self, now: Moment) -> bool {
        now.since(self.reported) >= REPORT_EVERY
            || self.latencies_us.len() >= MOST_LATENCIES
            || self.talker.as_deref().is_some_and(Talker::is_full)
    }

    /// What has gone over the session since the last report, with `bytes` (in, out) and the payloads of `deflated`; `None` when nothing has.
    pub(super) fn report(&mut self, now: Moment, bytes: (u64, u64), deflated: Volume) -> Option<Traffic> {
        self.reported = now;
        let traffic = Traffic {
            messages_in: std::mem::take(&mut self.messages_in).into(),
            messages_out: std::mem::take(&mut self.messages_out).into(),
            bytes_in: bytes.0,
            bytes_out: bytes.1,
            message_latencies_us: std::mem::take(&mut self.latencies_us),
            deflated,
        };
        (traffic != Traffic::default()).then_some(traffic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::message::MessageText;

    fn message(sequence: u64) -> String {
        MessageText::new(0).write(sequence, 1_000)
    }

    #[test]
    fn an_outage_costs_the_messages_between_the_last_and_the_first() {
        let mut tally = TrafficTally::default();
        tally.begin_session();
        assert_eq!(tally.received(&message(7), Some(1_000)), None, "nothing to compare with");
        assert_eq!(tally.received(&message(8), Some(1_000)), None);
        assert_eq!(tally.received(&message(10), Some(1_000)), Some(Gap { missed: 1, is_outage: false }));
        tally.begin_session();
        assert_eq!(tally.received(&message(15), Some(1_000)), Some(Gap { missed: 4, is_outage: true }));
        tally.begin_session();
        assert_eq!(tally.received(&message(16), Some(1_000)), Some(Gap { missed: 0, is_outage: true }));
        assert_eq!(tally.received("{}", Some(1_000)), None);
        assert_eq!(tally.received(&message(u64::MAX), Some(1_000)), None, "they are counted anew");
        assert_eq!(tally.received(&message(1), Some(1_000)), None);
    }

    #[test]
    fn traffic_is_reported_once_and_whole() {
        let mut tally = TrafficTally::default();
        tally.received(&message(1), Some(1_250));
        tally.received_unread();
        tally.received(&message(2), None);
        tally.sent();
        assert!(!tally.is_due(Moment::from_ns(1)));
        assert!(tally.is_due(Moment::from_ns(1_000_000_000)));
        let traffic = tally.report(Moment::from_ns(5), (10, 20), Volume::default()).unwrap();
        assert_eq!(
            (traffic.messages_in, traffic.messages_out, traffic.bytes_in, traffic.bytes_out),
            (3, 1, 10, 20)
        );
        assert_eq!(traffic.message_latencies_us, [250]);
        assert_eq!(tally.report(Moment::from_ns(6), (0, 0), Volume::default()), None);
    }
}
