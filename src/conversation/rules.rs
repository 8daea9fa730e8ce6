//! A group's conversation, compiled.
//!
//! In: `session.say`, `session.streams`, `session.kinds`. Out: [`TalkRules`]: when each message is said, which message is its reply and what that must say, which messages
//! are a stream's, and what is read of them.

use std::time::Duration;

use crate::scenario::keys::{
    Comparison, Literal, MqttRules, Pattern, Process, Say, SentAt, SessionRules, Stream, TimeUnit, ValueAt,
    When,
};

use super::condition::Condition;
use super::look::Look;
use super::sought::{Slot, Sought};
use super::stream::key_of;
use super::value::Value;

/// When something is said.
#[derive(Debug, Clone)]
pub(super) enum Timing {
    /// When the session is ready.
    Ready,
    /// As often.
    Every(Duration),
    /// At this rate a second.
    Rate(f64, Process),
    /// Once, so long after the session is ready.
    After(Duration),
    /// At each message that fits.
    On(Box<Condition>),
}

/// Where a reply repeats what the message said.
#[derive(Debug, Clone)]
enum Repeated {
    At(Slot),
    By(Pattern),
}

/// The reply to a message.
#[derive(Debug, Clone)]
pub(super) struct ReplyRule {
    /// `None`: no message is one; a packet that acknowledges is.
    is_reply: Option<Condition>,
    repeated: Option<Repeated>,
    pub(super) timeout: Duration,
    checks: Vec<(Slot, Option<(Comparison, Literal)>)>,
}

/// A message that clients say.
#[derive(Debug, Clone)]
pub(super) struct SayRule {
    pub(super) timing: Timing,
    pub(super) reply: Option<ReplyRule>,
    /// Its reply repeats the id that is drawn for it, and not its number.
    pub(super) by_uuid: bool,
}

/// A stream.
#[derive(Debug, Clone)]
pub(super) struct StreamRule {
    is_of_it: Condition,
    sequence: Option<Slot>,
    key: Option<Slot>,
    pub(super) most: usize,
    pub(super) counts_anew: bool,
    sent_at: Option<(Slot, TimeUnit)>,
}

/// A conversation in packets of MQTT.
#[derive(Debug, Clone, Copy)]
struct MqttTalk {
    /// Whether the first thing that is said is a subscription.
    subscribes: bool,
}

/// A group's conversation.
#[derive(Debug, Clone)]
pub struct TalkRules {
    pub(super) says: Vec<SayRule>,
    pub(super) streams: Vec<StreamRule>,
    /// What messages are counted by, and the most words of a client.
    pub(super) kinds: Option<(Slot, usize)>,
    /// What is said and heard is packets of MQTT; the first thing that is said may be a subscription.
    mqtt: Option<MqttTalk>,
}

impl TalkRules {
    /// Compiles a group's; `None`: it has none. Its pointers are `sought` from then on.
    #[must_use]
    pub(super) fn new(rules: &SessionRules, sought: &mut Sought) -> Option<Self> {
        let is_empty = rules.say.is_empty() && rules.streams.is_empty() && rules.kinds.is_none();
        if is_empty && rules.mqtt.is_none() {
            return None;
        }
        let says = match &rules.mqtt {
            Some(mqtt) => SayRule::of_mqtt(mqtt, sought),
            None => rules.say.iter().map(|say| SayRule::new(say, sought)).collect(),
        };
        let streams = rules.streams.iter().map(|stream| StreamRule::new(stream, sought)).collect();
        let kinds = rules.kinds.as_ref().map(|kinds| (sought.add(&kinds.pointer), kinds.at_most as usize));
        let mqtt = rules.mqtt.as_ref().map(|mqtt| MqttTalk { subscribes: mqtt.subscribes() });
        Some(Self { says, streams, kinds, mqtt })
    }

    /// Whether what is said and heard is packets of MQTT.
    #[must_use]
    pub const fn speaks_mqtt(&self) -> bool {
        self.mqtt.is_some()
    }

    /// Whether what is said as the thing of this index is a subscription of MQTT.
    pub(super) fn is_subscription(&self, index: usize) -> bool {
        index == 0 && self.mqtt.is_some_and(|mqtt| mqtt.subscribes)
    }

    /// Whether it reads messages.
    #[must_use]
    pub fn reads(&self) -> bool {
        if self.speaks_mqtt() {
            return true;
        }
        let reads = |say: &SayRule| say.reply.is_some() || matches!(say.timing, Timing::On(_));
        !self.streams.is_empty() || self.kinds.is_some() || self.says.iter().any(reads)
    }
}

impl SayRule {
    fn new(say: &Say, sought: &mut Sought) -> Self {
        let timing = Timing::new(&say.when, sought);
        let reply = say.reply.as_ref().map(|reply| ReplyRule {
            is_reply: Some(Condition::new(&reply.message, sought)),
            repeated: reply.correlate_by.as_ref().map(|by| match by {
                ValueAt::Pointer(pointer) => Repeated::At(sought.add(pointer)),
                ValueAt::Regex(pattern) => Repeated::By(pattern.clone()),
            }),
            timeout: reply.timeout,
            checks: reply
                .check
                .iter()
                .map(|check| (sought.add(&check.pointer), check.compares.clone()))
                .collect(),
        });
        Self { timing, reply, by_uuid: say.repeats() == Some("uuid") }
    }

    /// What a client that speaks MQTT says: its subscription, and what it publishes.
    fn of_mqtt(mqtt: &MqttRules, sought: &mut Sought) -> Vec<Self> {
        let acknowledged = |timeout| Some(ReplyRule::acknowledged(timeout));
        let subscription = mqtt.subscribes().then(|| Self {
            timing: Timing::Ready,
            reply: acknowledged(mqtt.subscribe_timeout),
            by_uuid: false,
        });
        let published = mqtt.publish.iter().map(|publish| Self {
            timing: Timing::new(&publish.when, sought),
            reply: if publish.qos == 1 { acknowledged(publish.timeout) } else { None },
            by_uuid: false,
        });
        subscription.into_iter().chain(published).collect()
    }
}

/// What a message is to an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AsReply {
    /// Nothing.
    No,
    /// The reply whose turn it is.
    InOrder,
    /// The reply to what had this.
    To(u128),
}

impl Timing {
    fn new(when: &When, sought: &mut Sought) -> Self {
        match when {
            When::Ready => Self::Ready,
            When::Every(every) => Self::Every(*every),
            When::Rate(rate, process) => Self::Rate(*rate, *process),
            When::After(after) => Self::After(*after),
            When::On(rule) => Self::On(Box::new(Condition::new(rule, sought))),
        }
    }
}

impl ReplyRule {
    /// A packet ends it that acknowledges what was said.
    const fn acknowledged(timeout: Duration) -> Self {
        Self { is_reply: None, repeated: None, timeout, checks: Vec::new() }
    }

    /// What the message is to this exchange.
    pub(super) fn judge(&self, look: &Look<'_, '_>) -> AsReply {
        if !self.is_reply.as_ref().is_some_and(|rule| rule.fits(look)) {
            return AsReply::No;
        }
        let repeated = match &self.repeated {
            None => return AsReply::InOrder,
            Some(Repeated::At(slot)) => look.at(*slot).text().map(|text| key_of(&text)),
            Some(Repeated::By(pattern)) => {
                look.payload().text().and_then(|text| pattern.find(text)).map(key_of)
            }
        };
        repeated.map_or(AsReply::No, |key| AsReply::To(u128::from(key)))
    }

    /// Whether replies come in the order of the messages.
    pub(super) const fn is_in_order(&self) -> bool {
        self.repeated.is_none()
    }

    /// Whether a reply says what it must.
    pub(super) fn holds(&self, look: &Look<'_, '_>) -> bool {
        self.checks.iter().all(|(slot, compares)| {
            let value = look.at(*slot);
            compares.as_ref().map_or(value.is_there(), |(how, wanted)| compare(value, *how, wanted))
        })
    }
}

/// Whether what stands there compares so. Nothing, or a value of another kind, is unequal to everything, and neither smaller nor larger.
fn compare(value: &Value<'_>, how: Comparison, wanted: &Literal) -> bool {
    let by = |holds: fn(f64, f64) -> bool| match wanted {
        Literal::Number(wanted) => value.number().is_some_and(|number| holds(number, *wanted)),
        Literal::Text(_) | Literal::Bool(_) => false,
    };
    match how {
        Comparison::Equal => value.is(wanted),
        Comparison::NotEqual => !value.is(wanted),
        Comparison::Below => by(|a, b| a < b),
        Comparison::AtMost => by(|a, b| a <= b),
        Comparison::Above => by(|a, b| a > b),
        Comparison::AtLeast => by(|a, b| a >= b),
    }
}

/// What a message is to a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OfStream {
    pub(super) key: u64,
    pub(super) sequence: Option<u64>,
    /// It has no number, and should.
    pub(super) is_unnumbered: bool,
    /// When it was sent, in microseconds since 1970 by its sender's clock.
    pub(super) sent_us: Option<i64>,
}

impl StreamRule {
    fn new(stream: &Stream, sought: &mut Sought) -> Self {
        let mut slot = |pointer: &Option<String>| pointer.as_deref().map(|pointer| sought.add(pointer));
        let (sequence, key) = (slot(&stream.sequence), slot(&stream.stream));
        let sent_at = stream.sent_at.as_ref().map(|SentAt { pointer, unit }| (sought.add(pointer), *unit));
        Self {
            is_of_it: Condition::new(&stream.message, sought),
            sequence,
            key,
            most: stream.at_most as usize,
            counts_anew: stream.counts_anew,
            sent_at,
        }
    }

    /// What the message is to it; `None`: nothing.
    pub(super) fn read(&self, look: &Look<'_, '_>) -> Option<OfStream> {
        if !self.is_of_it.fits(look) {
            return None;
        }
        let sequence = self.sequence.and_then(|slot| look.at(slot).unsigned());
        let key = self.key.and_then(|slot| look.at(slot).text().map(|text| key_of(&text)));
        let sent_us = self.sent_at.and_then(|(slot, unit)| time_us(look.at(slot), unit));
        let is_unnumbered = self.sequence.is_some() && sequence.is_none();
        Some(OfStream { key: key.unwrap_or_default(), sequence, is_unnumbered, sent_us })
    }
}

/// A time in microseconds since 1970; numbers may stand in texts.
fn time_us(value: &Value<'_>, unit: TimeUnit) -> Option<i64> {
    if unit == TimeUnit::Iso8601 {
        let at: jiff::Timestamp = value.text()?.parse().ok()?;
        return Some(at.as_microsecond());
    }
    let (times, per): (i64, i64) = match unit {
        TimeUnit::Seconds => (1_000_000, 1),
        TimeUnit::Milliseconds => (1_000, 1),
        TimeUnit::Nanoseconds => (1, 1_000),
        TimeUnit::Microseconds | TimeUnit::Iso8601 => (1, 1),
    };
    if let Some(whole) = value.unsigned().and_then(|whole| i64::try_from(whole).ok()) {
        return whole.checked_mul(times).map(|us| us / per);
    }
    let number = value.number().or_else(|| value.text()?.parse().ok())?;
    let us = number * times as f64 / per as f64;
    (us.abs() < 9e18).then_some(us as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_unit() {
        let rows = [
            (Value::Unsigned(1_700_000_000), TimeUnit::Seconds, Some(1_700_000_000_000_000)),
            (Value::Float(1.5), TimeUnit::Seconds, Some(1_500_000)),
            (Value::Text("1700000000123".into()), TimeUnit::Milliseconds, Some(1_700_000_000_123_000)),
            (Value::Text("1.25".into()), TimeUnit::Milliseconds, Some(1_250)),
            (Value::Text("0x6553f100".into()), TimeUnit::Seconds, Some(1_700_000_000_000_000)),
            (Value::Text("0x+1".into()), TimeUnit::Seconds, None),
            (Value::Unsigned(5_999), TimeUnit::Nanoseconds, Some(5)),
            (Value::Signed(-7), TimeUnit::Microseconds, Some(-7)),
            (Value::Text("1970-01-01T00:00:01.000002Z".into()), TimeUnit::Iso8601, Some(1_000_002)),
            (Value::Text("1970-01-01T02:00:01+02:00".into()), TimeUnit::Iso8601, Some(1_000_000)),
            (Value::Text("yesterday".into()), TimeUnit::Iso8601, None),
            (Value::Unsigned(u64::MAX), TimeUnit::Seconds, None),
            (Value::Float(f64::MAX), TimeUnit::Seconds, None),
            (Value::Null, TimeUnit::Seconds, None),
        ];
        for (value, unit, wanted) in rows {
            assert_eq!(time_us(&value, unit), wanted, "{value:?} {unit:?}");
        }
    }

    #[test]
    fn values_of_another_kind_are_unequal_and_not_in_order() {
        let number = Literal::Number(5.0);
        let text = Value::Text("5".into());
        let rows = [
            (Value::Unsigned(5), Comparison::Equal, true),
            (Value::Float(5.0), Comparison::AtLeast, true),
            (Value::Unsigned(4), Comparison::Below, true),
            (Value::Unsigned(5), Comparison::Above, false),
            (text.clone(), Comparison::Equal, false),
            (text.clone(), Comparison::NotEqual, true),
            (text, Comparison::AtMost, false),
            (Value::Absent, Comparison::NotEqual, true),
            (Value::Absent, Comparison::AtMost, false),
        ];
        for (value, how, wanted) in rows {
            assert_eq!(compare(&value, how, &number), wanted, "{value:?} {how:?}");
        }
    }
}
