//! A client's side of MQTT on its session: which packets came, which identifiers are taken, when a ping is due.
//!
//! In: messages, the clock. Out: packets, pings that are due, whether the broker has fallen silent. No I/O, no clock.

use std::time::Duration;

use crate::clock::Moment;
use crate::mqtt::{Fault, Packet, Reader};
use crate::scenario::keys::{MqttRules, SessionRules};

/// A keep-alive that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PingDue {
    /// PINGREQ is to be sent.
    Send {
        /// Since when.
        due: Moment,
    },
    /// Its PINGRESP has not come in time: the broker is taken for dead.
    Dead,
}

/// A client's side of MQTT.
#[derive(Debug)]
pub struct Line {
    reader: Reader,
    /// The identifier that was taken last.
    last_id: u16,
    /// When something was sent last; `NEVER`: the client is not in.
    sent: Moment,
    /// Until when a PINGRESP must come; `NEVER`: none is waited for.
    answer: Moment,
    keep_alive: Option<Duration>,
    ping_timeout: Duration,
    /// The group's own keep-alive.
    wanted: Option<Duration>,
    /// The reason for which the broker is about to close.
    last_reason: Option<u8>,
}

impl Line {
    /// That of a client of a group with these rules; `None`: they say nothing of MQTT.
    #[must_use]
    pub(super) fn new(session: &SessionRules) -> Option<Self> {
        let rules: &MqttRules = session.mqtt.as_deref()?;
        Some(Self {
            reader: Reader::new(rules.version, session.max_message_bytes),
            last_id: 0,
            sent: Moment::NEVER,
            answer: Moment::NEVER,
            keep_alive: rules.keep_alive,
            ping_timeout: rules.ping_timeout,
            wanted: rules.keep_alive,
            last_reason: None,
        })
    }

    /// A message came.
    pub fn feed(&mut self, message: &[u8]) {
        self.reader.feed(message);
    }

    /// The next packet; `None`: more must come first.
    ///
    /// # Errors
    /// The broker broke the protocol.
    pub fn next_packet(&mut self) -> Result<Option<Packet>, Fault> {
        let packet = self.reader.next_packet()?;
        match &packet {
            Some(Packet::Disconnected(code)) => self.last_reason = Some(*code),
            Some(Packet::Pong) => self.answer = Moment::NEVER,
            Some(Packet::Accepted { keep_alive: Some(seconds) }) => {
                let own = Duration::from_secs(u64::from(*seconds));
                self.keep_alive = (*seconds > 0).then_some(own);
            }
            _ => {}
        }
        Ok(packet)
    }

    /// The reason code of the DISCONNECT by which the broker said, in this session, that it is about to close.
    #[must_use]
    pub const fn last_reason(&self) -> Option<u8> {
        self.last_reason
    }

    /// An identifier for a packet that is to be acknowledged: the next one, and never 0 (§2.3.1 of MQTT 3.1.1, §2.2.1 of MQTT 5). It is used again after 65,535
    /// others: long before, the packet before was acknowledged or given up.
    pub fn take_id(&mut self) -> u16 {
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        self.last_id
    }

    /// The client is in.
    pub(super) fn begin(&mut self, now: Moment) {
        self.sent = now;
    }

    /// Something was sent.
    pub fn sent(&mut self, now: Moment) {
        if self.sent != Moment::NEVER {
            self.sent = now;
        }
    }

    fn ping_at(&self) -> Moment {
        match self.keep_alive {
            Some(every) if self.sent != Moment::NEVER => self.sent + every,
            _ => Moment::NEVER,
        }
    }

    /// When a ping is due, or the broker is taken for dead.
    #[must_use]
    pub(super) fn next_due(&self) -> Moment {
        self.ping_at().min(self.answer)
    }

    /// What is due now.
    pub fn take_ping(&mut self, now: Moment) -> Option<PingDue> {
        if self.answer <= now {
            return Some(PingDue::Dead);
        }
        let due = self.ping_at();
        if due > now {
            return None;
        }
        self.sent = now;
        self.answer = self.answer.min(now + self.ping_timeout);
        Some(PingDue::Send { due })
    }

    /// The session is over.
    pub(super) fn end_session(&mut self) {
        self.last_reason = None;
        self.reader.reset();
        self.sent = Moment::NEVER;
        self.answer = Moment::NEVER;
        self.keep_alive = self.wanted;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Moment {
        Moment::from_ns(s * 1_000_000_000)
    }

    fn line() -> Line {
        Line {
            reader: Reader::new(crate::mqtt::Version::V5, 1_000),
            last_id: 65_534,
            sent: Moment::NEVER,
            answer: Moment::NEVER,
            keep_alive: Some(Duration::from_secs(30)),
            ping_timeout: Duration::from_secs(10),
            wanted: Some(Duration::from_secs(30)),
            last_reason: None,
        }
    }

    #[test]
    fn a_ping_is_due_when_nothing_was_sent_and_wants_an_answer() {
        let mut line = line();
        assert_eq!(line.next_due(), Moment::NEVER, "it is not in yet");
        line.sent(at(1));
        assert_eq!(line.next_due(), Moment::NEVER);
        line.begin(at(2));
        line.sent(at(20));
        assert_eq!((line.next_due(), line.take_ping(at(49))), (at(50), None));
        assert_eq!(line.take_ping(at(51)), Some(PingDue::Send { due: at(50) }));
        assert_eq!((line.next_due(), line.take_ping(at(60))), (at(61), None));
        line.feed(&[0xd0, 0]);
        assert_eq!(line.next_packet(), Ok(Some(Packet::Pong)));
        assert_eq!(line.next_due(), at(81));
        assert_eq!(line.take_ping(at(81)), Some(PingDue::Send { due: at(81) }));
        assert_eq!(line.take_ping(at(91)), Some(PingDue::Dead));
        line.end_session();
        assert_eq!(line.next_due(), Moment::NEVER);
    }

    #[test]
    fn a_servers_keep_alive_comes_before_the_clients_own_for_a_session() {
        let mut line = line();
        line.feed(&[0x20, 6, 0, 0, 3, 0x13, 0, 5]);
        assert_eq!(line.next_packet(), Ok(Some(Packet::Accepted { keep_alive: Some(5) })));
        line.begin(at(0));
        assert_eq!(line.next_due(), at(5));
        line.end_session();
        line.begin(at(10));
        assert_eq!(line.next_due(), at(40));
    }

    #[test]
    fn identifiers_are_never_zero() {
        let mut line = line();
        assert_eq!([line.take_id(), line.take_id(), line.take_id()], [65_535, 1, 2]);
    }
}
