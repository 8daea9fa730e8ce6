//! `[[groups.session.streams]]`, `session.kinds`: what is counted and measured of the messages that clients hear.
//!
//! In: the tables. Out: [`Stream`], [`Kinds`].

use crate::declare::{NAME, POINTER, Table, any_of, int, of, ruled, table, words};

use super::message_rule::{Literal, MessageRule};
use super::say::named_by_number;

/// The most streams that a client keeps of one rule.
const MOST_STREAMS: u64 = 1_000;
/// The most kinds that are told.
const MOST_KINDS: u64 = 200;

words! {
    /// How a message says when it was sent.
    pub enum TimeUnit {
        /// Seconds since 1970.
        Seconds = "s",
        /// Milliseconds since 1970.
        Milliseconds = "ms",
        /// Microseconds since 1970.
        Microseconds = "us",
        /// Nanoseconds since 1970.
        Nanoseconds = "ns",
        /// A date and time of ISO 8601, with its offset from UTC.
        Iso8601 = "iso8601",
    }
}

table! {
    /// Where a message says when it was sent.
    #[derive(PartialEq, Eq)]
    pub struct SentAt {
        /// Where it stands in the message's JSON (JSON Pointer, RFC 6901).
        pointer: String, needed "say where and how, as { pointer = \"/ts\", unit = \"ms\" }" => ruled(POINTER);
        /// How.
        unit: TimeUnit, needed "say where and how, as { pointer = \"/ts\", unit = \"ms\" }";
    }
}

table! {
    /// Messages that belong together: what is missed, late or double of them, how long they take, and how long a client knows nothing new.
    #[derive(PartialEq)]
    pub struct Stream {
        /// Its name in reports. Default: its number, as `stream-1`.
        name: String = String::new(), over (number) => ruled(NAME);
        /// Where their number stands, which is one more with each message (JSON Pointer, RFC 6901): a number, or a text of digits, also in hexadecimal behind `0x`.
        /// Without it: they have none.
        sequence: Option<String> = None => ruled(POINTER);
        /// Where a word stands, as a topic: the messages of each have numbers of their own (JSON Pointer, RFC 6901). Without it: all have the same.
        stream: Option<String> = None => ruled(POINTER);
        /// With `stream`: the most words that a client follows; messages of others are counted as `beyond`.
        at_most: u32 = 16 => int::<u32>(1..=MOST_STREAMS);
        /// Whether the numbers begin anew in each session, so that nothing is known of what is missed between two.
        counts_anew: bool = false;
        /// When a message was sent, by its sender's clock. Without it: its latency is not known.
        sent_at: Option<SentAt> = None => of::<SentAt>();
        /// With `sent_at`: whether the least latency of the run is taken for none, for a sender whose clock is not ours.
        relative: bool = false;
        ..
        /// Which messages are meant.
        message: MessageRule;
    }
    needs: [any_of(
        &[&["sequence"], &["sent_at"]],
        "say what is read of the messages: sequence = \"/seq\", or sent_at = { pointer = \"/ts\", unit = \"ms\" }"
    )];
    check: check_stream;
}

impl Stream {
    /// Whether it follows so many streams whose word and number stand there, in all messages that have such.
    #[must_use]
    pub fn follows(&self, word: &str, number: &str, count: u32) -> bool {
        let is_there = |(pointer, wanted): &(String, Option<Literal>)| {
            wanted.is_none() && [word, number].contains(&pointer.as_str())
        };
        let of_all = MessageRule { fields: self.message.fields.clone(), ..MessageRule::default() };
        self.stream.as_deref() == Some(word)
            && self.sequence.as_deref() == Some(number)
            && self.at_most >= count
            && !self.counts_anew
            && self.message == of_all
            && self.message.fields.iter().all(is_there)
    }
}

fn number(table: &Table<'_>) -> String {
    named_by_number("stream", table)
}

fn check_stream(stream: Stream, table: &Table<'_>) -> Option<Stream> {
    if stream.relative && stream.sent_at.is_none() {
        let message = format!("`{}` is about latencies, and none are known", table.path_of("relative"));
        table.between(
            Some("relative"),
            message,
            "say where the time stands: sent_at = { pointer = \"/ts\", unit = \"ms\" }",
        );
    }
    if stream.counts_anew && stream.sequence.is_none() {
        let message = format!("`{}` is about numbers, and none are read", table.path_of("counts_anew"));
        table.between(Some("counts_anew"), message, "say where the number stands: sequence = \"/seq\"");
    }
    Some(stream)
}

table! {
    /// Messages counted by a word in them.
    #[derive(PartialEq, Eq)]
    pub struct Kinds {
        /// Where the word stands in their JSON (JSON Pointer, RFC 6901).
        pointer: String, needed "say where the word stands, as { pointer = \"/type\" }" => ruled(POINTER);
        /// The most words that are told; messages with others are counted as `other`.
        at_most: u32 = 20 => int::<u32>(1..=MOST_KINDS);
    }
}
