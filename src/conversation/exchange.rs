//! Messages that wait for a reply.
//!
//! In: what was said and when it was due, replies, disconnects. Out: how each ended, and how long it took: every one ends in one way. A client keeps 32 bytes for each
//! that waits.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Moment;

/// Messages of one kind that may wait at once for a client; of more, the oldest is given up.
const MOST_WAITING: usize = 10_000;

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExchangeEnd {
    /// Its reply came, and was as it should be.
    Ok,
    /// Its reply came, and was not.
    CheckFailed,
    /// No reply came in time.
    Timeout,
    /// The session ended before.
    CutOff,
}

/// An exchange that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// How.
    pub end: ExchangeEnd,
    /// How long it took, from when its message was due.
    pub latency: Duration,
}

/// By what a reply is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The value that the message had, and its reply repeats.
    Key(u128),
    /// It comes in its turn.
    Order,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    key: u128,
    due: Moment,
    until: Moment,
}

/// The exchanges of one kind that a client has under way.
#[derive(Debug, Default)]
pub struct Exchanges {
    waiting: VecDeque<Waiting>,
    most: usize,
}

impl Exchanges {
    /// A message that was due then was sent, and waits for its reply so long. Answers with one that is given up for it.
    pub fn sent(&mut self, key: u128, due: Moment, timeout: Duration) -> Option<Ended> {
        let given_up = (self.waiting.len() >= MOST_WAITING).then(|| self.waiting.pop_front()).flatten();
        self.waiting.push_back(Waiting { key, due, until: due + timeout });
        self.most = self.most.max(self.waiting.len());
        given_up.map(|waiting| waiting.ended(ExchangeEnd::Timeout, waiting.until))
    }

    /// A reply came; `None`: nobody waits for it.
    pub fn hear(&mut self, by: By, is_good: bool, now: Moment) -> Option<Ended> {
        let at = match by {
            By::Key(key) => self.waiting.iter().position(|waiting| waiting.key == key)?,
            By::Order => 0,
        };
        let waiting = self.waiting.remove(at)?;
        Some(waiting.ended(if is_good { ExchangeEnd::Ok } else { ExchangeEnd::CheckFailed }, now))
    }

    /// When the next one is given up.
    #[must_use]
    pub fn next_timeout(&self) -> Moment {
        self.waiting.front().map_or(Moment::NEVER, |waiting| waiting.until)
    }

    /// One that has waited long enough.
    pub fn take_late(&mut self, now: Moment) -> Option<Ended> {
        if self.next_timeout() > now {
            return None;
        }
        let waiting = self.waiting.pop_front()?;
        Some(waiting.ended(ExchangeEnd::Timeout, waiting.until))
    }

    /// The session has ended: those that waited are cut off.
    pub fn cut_off(&mut self, now: Moment) -> impl Iterator<Item = Ended> {
        std::mem::take(&mut self.waiting)
            .into_iter()
            .map(move |waiting| waiting.ended(ExchangeEnd::CutOff, now))
    }

    /// How many wait.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.waiting.len()
    }

    /// The most that ever waited at once.
    #[must_use]
    pub const fn most_in_flight(&self) -> usize {
        self.most
    }
}

impl Waiting {
    fn ended(&self, end: ExchangeEnd, now: Moment) -> Ended {
        Ended { end, latency: now.since(self.due) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TIMEOUT: Duration = Duration::from_millis(100);

    fn at(ms: u64) -> Moment {
        Moment::from_ns(ms * 1_000_000)
    }

    #[test]
    fn a_reply_finds_its_message_by_its_key_or_in_its_turn() {
        let mut exchanges = Exchanges::default();
        for (key, due) in [(1, 0), (2, 10), (3, 20)] {
            assert_eq!(exchanges.sent(key, at(due), TIMEOUT), None);
        }
        let ended = |end, ms| Some(Ended { end, latency: Duration::from_millis(ms) });
        assert_eq!(exchanges.hear(By::Key(2), true, at(25)), ended(ExchangeEnd::Ok, 15));
        assert_eq!(exchanges.hear(By::Key(2), true, at(26)), None, "nobody waits for a second one");
        assert_eq!(exchanges.hear(By::Order, false, at(30)), ended(ExchangeEnd::CheckFailed, 30));
        assert_eq!(exchanges.next_timeout(), at(120));
        assert_eq!(exchanges.take_late(at(119)), None);
        assert_eq!(exchanges.take_late(at(150)), ended(ExchangeEnd::Timeout, 100));
        assert_eq!((exchanges.next_timeout(), exchanges.most_in_flight()), (Moment::NEVER, 3));
        assert_eq!(exchanges.hear(By::Order, true, at(160)), None);
        exchanges.sent(9, at(200), TIMEOUT);
        assert_eq!(exchanges.cut_off(at(207)).collect::<Vec<_>>(), [ended(ExchangeEnd::CutOff, 7).unwrap()]);
        assert_eq!(exchanges.in_flight(), 0);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut exchanges = Exchanges::default();
        let given_up = (0..MOST_WAITING as u128 + 5)
            .filter(|key| exchanges.sent(*key, at(0), TIMEOUT).is_some())
            .count();
        assert_eq!((given_up, exchanges.in_flight()), (5, MOST_WAITING));
        assert_eq!(size_of::<Waiting>(), 32);
    }

    proptest! {
        #[test]
        fn every_message_ends_in_one_way(steps in prop::collection::vec((0_u8..5, 0_u128..12), 1..120)) {
            let (mut exchanges, mut sent, mut ended) = (Exchanges::default(), 0, 0);
            for (step, (what, key)) in steps.into_iter().enumerate() {
                let now = at(step as u64 * 20);
                match what {
                    0 | 1 => {
                        sent += 1;
                        ended += usize::from(exchanges.sent(key, now, TIMEOUT).is_some());
                    }
                    2 => ended += usize::from(exchanges.hear(By::Key(key), true, now).is_some()),
                    3 => ended += usize::from(exchanges.hear(By::Order, true, now).is_some()),
                    _ if key == 0 => ended += exchanges.cut_off(now).count(),
                    _ => {}
                }
                while exchanges.take_late(now).is_some() {
                    ended += 1;
                }
            }
            prop_assert_eq!(ended + exchanges.in_flight(), sent);
        }
    }
}
