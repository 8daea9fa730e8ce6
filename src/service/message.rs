//! The messages that sessions get: when each is due and what it says.
//!
//! In: the interval, the number of a stream, moments. Out: sequence numbers, due times and JSON text. A sequence number
//! is a function of time alone, not of sessions: a client that comes back sees from the gap how many it missed.

use std::fmt::Write as _;
use std::time::Duration;

use crate::clock::Moment;
use crate::scenario::keys::TargetRules;

use super::fates::{Fates, spread};

/// The topic that every message names.
pub const TOPIC: &str = "v2.analytics.events";

/// When the messages of one stream are due: message `n` at `n · every + offset` after the origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    every_ns: u64,
    offset_ns: u64,
}

impl Schedule {
    /// The schedule of stream `number`; streams are spread over the interval by a hash of their number. Without a number
    /// the offset is zero. An interval under a microsecond counts as one.
    #[must_use]
    pub fn new(every: Duration, number: Option<u64>) -> Self {
        let every_ns = u64::try_from(every.as_nanos()).unwrap_or(u64::MAX).max(1_000);
        let offset_ns = number.map_or(0, |number| spread(number) % every_ns);
        Self { every_ns, offset_ns }
    }

    /// The first message that is due after `now`.
    #[must_use]
    pub fn first_after(&self, now: Moment) -> u64 {
        match now.as_ns().checked_sub(self.offset_ns) {
            Some(since) => since / self.every_ns + 1,
            None => 0,
        }
    }

    /// When message `sequence` is due.
    #[must_use]
    pub fn due(&self, sequence: u64) -> Moment {
        Moment::from_ns(sequence.saturating_mul(self.every_ns).saturating_add(self.offset_ns))
    }
}

/// Writes messages of one padding.
#[derive(Debug, Clone)]
pub struct MessageText {
    tail: String,
    fates: Option<Box<Fates>>,
}

impl MessageText {
    /// Messages with `padding` bytes of padding.
    #[must_use]
    pub fn new(padding: usize) -> Self {
        let tail = format!(",\"eventBody\":{{\"padding\":\"{}\"}}}}", "x".repeat(padding));
        Self { tail, fates: None }
    }

    /// The messages of a target by these rules, whose topics have their seed.
    #[must_use]
    pub fn of(rules: &TargetRules) -> Self {
        let fates = rules.topics.map(|topics| Box::new(Fates::of(topics)));
        Self { fates, ..Self::new(rules.message_padding) }
    }

    /// How often message `sequence` is sent.
    #[must_use]
    pub fn times(&self, sequence: u64) -> u8 {
        self.fates.as_ref().map_or(1, |fates| fates.at(sequence).times)
    }

    /// Message `sequence`, due at `due_us` (microseconds since 1970-01-01T00:00Z). The due time, not the time of sending:
    /// a late target counts.
    #[must_use]
    pub fn write(&self, sequence: u64, due_us: u64) -> String {
        let mut text = String::with_capacity(self.tail.len() + 96);
        // Writing to a String cannot fail.
        let _ = write!(text, "{{\"topicName\":\"{TOPIC}\",\"seq\":{sequence},\"due_us\":{due_us}");
        if let Some(place) = self.fates.as_ref().map(|fates| fates.at(sequence)) {
            let _ = write!(text, ",\"topic\":\"t{}\",\"n\":{}", place.topic, place.number);
        }
        text.push_str(&self.tail);
        text
    }
}

/// Sequence number and due time of a text that [`MessageText`] wrote; `None` of any other. Nothing is looked for: they stand where they
/// were written, and a text of somebody else's that has such names in it is left alone.
#[must_use]
pub fn numbers_of(text: &str) -> Option<(u64, u64)> {
    let rest = text.strip_prefix("{\"topicName\":\"")?.strip_prefix(TOPIC)?;
    let (sequence, rest) = number(rest.strip_prefix("\",\"seq\":")?)?;
    let (due_us, _) = number(rest.strip_prefix(",\"due_us\":")?)?;
    Some((sequence, due_us))
}

/// The number that a text begins with, and what is behind it.
fn number(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    Some((number.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::keys::TargetTopics;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_read_of_our_own_messages_and_of_no_others() {
        for (sequence, due_us) in [(0, 0), (7, 1_700_000_000_000_001), (u64::MAX, u64::MAX)] {
            let text = MessageText::new(3).write(sequence, due_us);
            assert_eq!(numbers_of(&text), Some((sequence, due_us)), "{text}");
            for cut in 0..=text.len() {
                if let Some(read) = numbers_of(&text[..cut]) {
                    assert!(cut > text.find("due_us").unwrap() && read.0 == sequence, "{cut}");
                }
            }
        }
        for text in [
            "",
            "{}",
            r#"{"topic":"a","seq":7,"due_us":9}"#,
            r#"{"topicName":"v2.users","seq":7,"due_us":9}"#,
            r#"{"topicName":"v2.analytics.events","seq":-7,"due_us":9}"#,
            r#"{"topicName":"v2.analytics.events","seq":99999999999999999999,"due_us":9}"#,
            r#"{"topicName":"v2.analytics.events","seq":7,"eventBody":{}}"#,
            "{\"topicName\":\"v2.analytics.events\",\"seq\":\u{663}",
        ] {
            assert_eq!(numbers_of(text), None, "{text}");
        }
    }

    #[test]
    fn the_format_is_stable_json() {
        let text = MessageText::new(3).write(7, 1_700_000_000_000_001);
        insta::assert_snapshot!(text, @r#"{"topicName":"v2.analytics.events","seq":7,"due_us":1700000000000001,"eventBody":{"padding":"xxx"}}"#);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["seq"], 7);
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&MessageText::new(0).write(0, 0)).unwrap()["seq"],
            0
        );
    }

    #[test]
    fn of_topics_a_message_names_its_own_and_its_number_there() {
        let topics = TargetTopics { count: 2, repeat: 1.0, reorder: 1.0, ..TargetTopics::default() };
        let text = MessageText::of(&TargetRules { topics: Some(topics), ..TargetRules::default() });
        insta::assert_snapshot!(text.write(7, 9), @r#"{"topicName":"v2.analytics.events","seq":7,"due_us":9,"topic":"t2","n":2,"eventBody":{"padding":""}}"#);
        assert_eq!((text.times(7), MessageText::new(0).times(7)), (2, 1));
        assert_eq!(numbers_of(&text.write(7, 9)), Some((7, 9)));
    }

    #[test]
    fn streams_are_spread_over_the_interval() {
        let every = Duration::from_secs(1);
        let mut tenths = [0; 10];
        for number in 0..10_000 {
            tenths[Schedule::new(every, Some(number)).due(0).as_us() as usize / 100_000] += 1;
        }
        assert!(tenths.iter().all(|&count| (850..1_150).contains(&count)), "{tenths:?}");
        assert_eq!(Schedule::new(every, None).due(3), Moment::from_ns(3_000_000_000));
    }

    proptest! {
        #[test]
        fn the_first_message_after_now_is_due_within_an_interval(
            every_ms in 1_u64..100_000, number in prop::option::of(any::<u64>()), now_ns in 0_u64..1 << 60,
        ) {
            let every = Duration::from_millis(every_ms);
            let schedule = Schedule::new(every, number);
            let now = Moment::from_ns(now_ns);
            let first = schedule.first_after(now);
            prop_assert!(schedule.due(first) > now);
            prop_assert!(schedule.due(first) <= now + every);
            if first > 0 {
                prop_assert!(schedule.due(first - 1) <= now);
            }
        }
    }
}
