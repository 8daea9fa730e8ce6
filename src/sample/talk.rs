//! What clients said and heard by the rules of their group's conversation.
//!
//! In: nothing. Out: [`Talk`], a client's news since its last report: exchanges, streams and kinds, each by its index in the group's list.

use super::{ErrorWord, StormId};

/// A client's news of its conversation since its last report.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Talk {
    /// Of exchanges, by the index of the saying among the group's `session.say`; those without news are not in it.
    pub exchanges: Vec<(u16, ExchangeNews)>,
    /// Of streams, by their index in `session.streams`; those without news are not in it.
    pub streams: Vec<(u16, StreamNews)>,
    /// Messages by what stood at the pointer of `session.kinds`; `None`: nothing that can be told stood there.
    pub kinds: Vec<(Option<ErrorWord>, u64)>,
}

/// News of one exchange. `sent` is the sum of what ended and what waits, over a client's life: each message that was sent ends in one of the five ways.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExchangeNews {
    /// Messages that were sent and wait for a reply.
    pub sent: u64,
    /// Replies that were as they should be.
    pub ok: u64,
    /// Replies that came in time, and were not.
    pub failed_checks: u64,
    /// Messages to which no reply came in time.
    pub timeouts: u64,
    /// Messages whose session ended before: by a disconnect, or the client's leave.
    pub cut_off: u64,
    /// Messages that still waited when the run ended.
    pub unfinished: u64,
    /// Replies that nobody waited for (any more).
    pub unexpected: u64,
    /// The most that waited at once, at one client.
    pub most_in_flight: u64,
    /// Of each reply that was as it should be: from when its message was due, in microseconds.
    pub latencies_us: Vec<u64>,
    /// The same of each that was not.
    pub failed_latencies_us: Vec<u64>,
}

/// News of one stream's rule, over all keys. What never came is `skipped - filled`, and `skipped_away - filled_away` for what was skipped while the client was away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamNews {
    /// Messages of it.
    pub messages: u64,
    /// Numbers left out within sessions.
    pub skipped: u64,
    /// Of these, such as came late.
    pub filled: u64,
    /// Numbers left out while the client was away.
    pub skipped_away: u64,
    /// Of these, such as came late.
    pub filled_away: u64,
    /// Messages with a lower number than one before.
    pub late: u64,
    /// Messages whose number had come before.
    pub duplicates: u64,
    /// Times that the numbers began anew.
    pub restarts: u64,
    /// Messages without a number, where one is looked for.
    pub unnumbered: u64,
    /// Messages of keys beyond those that a client keeps: of them no more is known than when they were sent.
    pub beyond: u64,
    /// Keys that clients met for the first time.
    pub keys: u64,
    /// Of each message with a time: our clock on arrival less what the message says, in microseconds; below zero where the service's clock is ahead.
    pub latencies_us: Vec<i64>,
    /// Of each key of which nothing new was known since a disconnect, once it is known for how long.
    pub blind: Vec<Blind>,
}

/// For how long a client knew nothing new of a stream's key since a disconnect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blind {
    /// The storm that forced the disconnect.
    pub storm: Option<StormId>,
    /// From the disconnect, in microseconds.
    pub us: u64,
    /// How it ended.
    pub end: BlindEnd,
}

/// How the time ended in which a client knew nothing new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlindEnd {
    /// Something new came.
    Seen,
    /// The run ended, or the client was not wanted any more.
    Open,
    /// The client gave up coming back.
    GaveUp,
}

impl Talk {
    /// Whether there is no news.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
