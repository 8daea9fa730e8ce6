//! What clients said and heard by the rules of their groups: exchanges, streams and kinds, counted and measured.
//!
//! In: clients' news. Out: counts and histograms by index that merge without loss, whatever the order.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::sample::{BlindEnd, ErrorWord, ExchangeNews, StreamNews, Talk};

use super::blind::{self, BlindByStorm};
use super::differences::{Differences, base_of};
use super::encoding::{MAX_COUNT, add_count};
use super::histogram::Latencies;

/// Different kinds of messages that a process keeps of a group.
const MOST_KINDS: usize = 256;

/// Declares counts that are added, and one at most that is the largest.
macro_rules! counts {
    ($(#[$meta:meta])* $name:ident of $news:ident { $($(#[$doc:meta])* $count:ident,)+ } largest { $($(#[$most_doc:meta])* $most:ident,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
        pub struct $name {
            $($(#[$doc])* pub $count: u64,)+
            $($(#[$most_doc])* pub $most: u64,)*
        }

        impl $name {
            const fn of(news: &$news) -> Self {
                Self { $($count: news.$count,)+ $($most: news.$most,)* }
            }

            /// Adds others.
            pub fn add(&mut self, other: &Self) {
                $(add_count(&mut self.$count, other.$count);)+
                $(self.$most = self.$most.max(other.$most);)*
            }

            /// Whether every number can be.
            pub(super) fn is_sound(&self) -> bool {
                [$(self.$count,)+ $(self.$most,)*].into_iter().all(|count| count <= MAX_COUNT)
            }
        }
    };
}

counts! {
    /// Counts of an exchange: see [`ExchangeNews`].
    ExchangeCounts of ExchangeNews {
        /// Messages that were sent and wait for a reply.
        sent,
        /// Replies that were as they should be.
        ok,
        /// Replies that came in time, and were not.
        failed_checks,
        /// Messages to which no reply came in time.
        timeouts,
        /// Messages whose session ended before.
        cut_off,
        /// Messages that still waited when the run ended.
        unfinished,
        /// Replies that nobody waited for.
        unexpected,
    } largest {
        /// The most that waited at once, at one client.
        most_in_flight,
    }
}

counts! {
    /// Counts of a stream: see [`StreamNews`].
    StreamCounts of StreamNews {
        /// Messages of it.
        messages,
        /// Numbers left out within sessions.
        skipped,
        /// Of these, such as came late.
        filled,
        /// Numbers left out while the client was away.
        skipped_away,
        /// Of these, such as came late.
        filled_away,
        /// Messages with a lower number than one before.
        late,
        /// Messages whose number had come before.
        duplicates,
        /// Times that the numbers began anew.
        restarts,
        /// Messages without a number.
        unnumbered,
        /// Messages of keys beyond those that a client keeps.
        beyond,
        /// Keys that clients met for the first time.
        keys,
    } largest {}
}

impl ExchangeCounts {
    /// All of them, in the order in which reports list them.
    #[must_use]
    pub const fn all(&self) -> [u64; 8] {
        let Self { sent, ok, failed_checks, timeouts, cut_off, unfinished, unexpected, most_in_flight } =
            *self;
        [sent, ok, failed_checks, timeouts, cut_off, unfinished, unexpected, most_in_flight]
    }

    /// Messages of which it is known how they ended.
    #[must_use]
    pub const fn ended(&self) -> u64 {
        self.answered_or_late().saturating_add(self.cut_off).saturating_add(self.unfinished)
    }

    /// Messages that got a reply, or none in time: the session lasted long enough to tell.
    #[must_use]
    pub const fn answered_or_late(&self) -> u64 {
        self.ok.saturating_add(self.failed())
    }

    /// Messages whose reply was wrong, or did not come in time.
    #[must_use]
    pub const fn failed(&self) -> u64 {
        self.failed_checks.saturating_add(self.timeouts)
    }
}

impl StreamCounts {
    /// Messages that were left out within sessions and never came.
    #[must_use]
    pub const fn missed(&self) -> u64 {
        self.skipped.saturating_sub(self.filled)
    }

    /// Messages that were left out while the clients were away and never came.
    #[must_use]
    pub const fn missed_away(&self) -> u64 {
        self.skipped_away.saturating_sub(self.filled_away)
    }
}

/// An exchange of a group.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ExchangeTally {
    /// What was counted.
    pub counts: ExchangeCounts,
    /// Of each reply that was as it should be: from when its message was due.
    pub latencies: Latencies,
    /// The same of each that was not.
    pub failed: Latencies,
}

/// A stream of a group.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StreamTally {
    /// What was counted.
    pub counts: StreamCounts,
    /// Of each message with a time: our clock less what the message says.
    pub differences: Differences,
    /// Of each key's first new message after a reconnect: from the disconnect.
    pub blind: Latencies,
    /// What became of each such time, by the storm before it; nothing in journals before schema version 6.
    pub blind_after: BlindByStorm,
}

impl StreamTally {
    /// How long its messages took: by both clocks, or from the least on. `None`: some are below zero, so by these clocks it is not known.
    #[must_use]
    pub fn latencies(&self, is_relative: bool) -> Option<Latencies> {
        self.zero_us(is_relative).map(|zero| self.differences.latencies_from(zero))
    }

    /// The difference that counts as no time.
    #[must_use]
    pub fn zero_us(&self, is_relative: bool) -> Option<i64> {
        match (is_relative, self.differences.below_zero) {
            (true, _) => Some(self.differences.least_us().unwrap_or(0)),
            (false, 0) => Some(0),
            (false, _) => None,
        }
    }
}

/// What the clients of a group said and heard.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TalkTally {
    /// Exchanges, by the index of the saying.
    pub exchanges: BTreeMap<u16, ExchangeTally>,
    /// Streams, by their index.
    pub streams: BTreeMap<u16, StreamTally>,
    /// Messages by their kind; `None`: it could not be told.
    pub kinds: BTreeMap<Option<ErrorWord>, u64>,
    /// Messages of kinds for which there was no room.
    pub other_kinds: u64,
}

/// What a recorder remembers of a group's talk beyond an interval: the bases of its streams, and the kinds that it has room for.
#[derive(Debug, Clone, Default)]
pub(super) struct TalkBook {
    bases: BTreeMap<u16, i64>,
    kinds: BTreeSet<ErrorWord>,
}

impl TalkBook {
    fn base(&mut self, stream: u16, first_us: i64) -> i64 {
        *self.bases.entry(stream).or_insert_with(|| base_of(first_us))
    }

    /// Whether a kind is counted by itself. What has room once has room for ever.
    fn has_room(&mut self, kind: &ErrorWord) -> bool {
        if self.kinds.contains(kind) {
            return true;
        }
        let has_room = self.kinds.len() < MOST_KINDS;
        if has_room {
            self.kinds.insert(kind.clone());
        }
        has_room
    }
}

impl TalkTally {
    /// Takes in a client's news.
    pub(super) fn record(&mut self, talk: &Talk, book: &mut TalkBook) {
        for (index, news) in &talk.exchanges {
            let exchange = self.exchanges.entry(*index).or_default();
            exchange.counts.add(&ExchangeCounts::of(news));
            news.latencies_us.iter().for_each(|us| exchange.latencies.record_us(*us));
            news.failed_latencies_us.iter().for_each(|us| exchange.failed.record_us(*us));
        }
        for (index, news) in &talk.streams {
            let stream = self.streams.entry(*index).or_default();
            stream.counts.add(&StreamCounts::of(news));
            for us in &news.latencies_us {
                stream.differences.record(*us, book.base(*index, *us));
            }
            for blind in &news.blind {
                blind::record(&mut stream.blind_after, blind);
                if blind.end == BlindEnd::Seen {
                    stream.blind.record_us(blind.us);
                }
            }
        }
        for (kind, n) in &talk.kinds {
            let is_kept = kind.as_ref().is_none_or(|kind| book.has_room(kind));
            let sum =
                if is_kept { self.kinds.entry(kind.clone()).or_default() } else { &mut self.other_kinds };
            add_count(sum, *n);
        }
    }

    /// Adds that of another tally.
    pub fn merge(&mut self, other: &Self) {
        for (index, exchange) in &other.exchanges {
            let own = self.exchanges.entry(*index).or_default();
            own.counts.add(&exchange.counts);
            own.latencies.merge(&exchange.latencies);
            own.failed.merge(&exchange.failed);
        }
        for (index, stream) in &other.streams {
            let own = self.streams.entry(*index).or_default();
            own.counts.add(&stream.counts);
            own.differences.merge(&stream.differences);
            own.blind.merge(&stream.blind);
            blind::merge(&mut own.blind_after, &stream.blind_after);
        }
        for (kind, n) in &other.kinds {
            add_count(self.kinds.entry(kind.clone()).or_default(), *n);
        }
        add_count(&mut self.other_kinds, other.other_kinds);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::talk_packed::PackedTalk;
    use crate::sample::{Blind, StormId};

    fn any_blind() -> impl Strategy<Value = Blind> {
        let ends = prop::sample::select(vec![BlindEnd::Seen, BlindEnd::Open, BlindEnd::GaveUp]);
        (prop::option::of(0_u16..3), 0_u64..90_000_000, ends).prop_map(|(storm, us, end)| Blind {
            storm: storm.map(StormId),
            us,
            end,
        })
    }

    fn any_talk() -> impl Strategy<Value = Talk> {
        let exchange = (0_u16..3, 0_u64..50, prop::collection::vec(0_u64..5_000_000, 0..6)).prop_map(
            |(index, n, latencies_us)| {
                let news = ExchangeNews {
                    sent: n + 9,
                    ok: n,
                    failed_checks: 1,
                    timeouts: 2,
                    cut_off: 3,
                    unfinished: 3,
                    unexpected: n % 4,
                    most_in_flight: n % 7,
                    failed_latencies_us: latencies_us.iter().map(|us| us / 2).collect(),
                    latencies_us,
                };
                (index, news)
            },
        );
        let stream = (
            0_u16..3,
            0_u64..50,
            prop::collection::vec(-5_000_000_i64..5_000_000, 0..6),
            prop::collection::vec(any_blind(), 0..3),
        )
            .prop_map(|(index, n, latencies_us, blind)| {
                let news = StreamNews {
                    messages: n,
                    skipped: n / 2,
                    filled: n / 3,
                    skipped_away: n / 5,
                    late: 1,
                    latencies_us,
                    blind,
                    ..StreamNews::default()
                };
                (index, news)
            });
        let kind = (prop::option::of(0_u32..5), 1_u64..9)
            .prop_map(|(kind, n)| (kind.and_then(|kind| ErrorWord::new(&format!("kind_{kind}"))), n));
        (
            prop::collection::vec(exchange, 0..3),
            prop::collection::vec(stream, 0..3),
            prop::collection::vec(kind, 0..4),
        )
            .prop_map(|(exchanges, streams, kinds)| Talk { exchanges, streams, kinds })
    }

    proptest! {
        /// One recorder, whatever the intervals; several, whatever the order in which they are merged.
        #[test]
        fn parts_make_the_whole(
            talks in prop::collection::vec(any_talk(), 0..12),
            cuts in prop::collection::vec(any::<bool>(), 12),
        ) {
            let (mut whole, mut book) = (TalkTally::default(), TalkBook::default());
            talks.iter().for_each(|talk| whole.record(talk, &mut book));
            let mut parts = vec![TalkTally::default()];
            let mut book = TalkBook::default();
            for (talk, cut) in talks.iter().zip(cuts) {
                if cut {
                    parts.push(TalkTally::default());
                }
                parts.last_mut().unwrap().record(talk, &mut book);
            }
            let (mut forwards, mut backwards) = (TalkTally::default(), TalkTally::default());
            parts.iter().for_each(|part| forwards.merge(part));
            for part in parts.iter().rev() {
                let packed = PackedTalk::of(part);
                prop_assert_eq!(packed.check(), Ok(()));
                let bytes = postcard::to_stdvec(&packed).unwrap();
                postcard::from_bytes::<PackedTalk>(&bytes).unwrap().add_to(&mut backwards);
            }
            prop_assert_eq!(&forwards, &whole);
            prop_assert_eq!(&backwards, &whole);
            let mut counted = TalkTally::default();
            PackedTalk::of(&whole).counts().add_to(&mut counted);
            for (index, exchange) in &whole.exchanges {
                prop_assert_eq!(counted.exchanges[index].counts, exchange.counts);
                prop_assert_eq!(counted.exchanges[index].latencies.count(), 0);
            }
        }
    }

    #[test]
    fn a_service_with_a_kind_for_each_message_fills_no_journal() {
        let (mut tally, mut book) = (TalkTally::default(), TalkBook::default());
        for n in 0..1_000 {
            let kinds = vec![(ErrorWord::new(&format!("kind_{n}")), 1), (None, 2)];
            tally.record(&Talk { kinds, ..Talk::default() }, &mut book);
        }
        assert_eq!((tally.kinds.len(), tally.kinds[&None]), (MOST_KINDS + 1, 2_000));
        assert_eq!(tally.other_kinds, 1_000 - MOST_KINDS as u64);
        // The next interval has room for the same ones.
        let mut next = TalkTally::default();
        let kinds = vec![(ErrorWord::new("kind_0"), 1), (ErrorWord::new("kind_999"), 1)];
        next.record(&Talk { kinds, ..Talk::default() }, &mut book);
        assert_eq!((next.kinds.len(), next.other_kinds), (1, 1));
    }

    #[test]
    fn each_blind_time_is_told_after_its_storm() {
        let mut tally = TalkTally::default();
        let told =
            [(Some(1), 10, BlindEnd::Seen), (Some(1), 20, BlindEnd::Open), (None, 30, BlindEnd::GaveUp)];
        let blind = told.map(|(storm, us, end)| Blind { storm: storm.map(StormId), us, end }).to_vec();
        let streams = vec![(0, StreamNews { blind, ..StreamNews::default() })];
        tally.record(&Talk { streams, ..Talk::default() }, &mut TalkBook::default());
        let stream = &tally.streams[&0];
        assert_eq!((stream.blind.count(), stream.blind.max_us()), (1, 10), "only what ended by a message");
        let after = |storm: Option<u16>| &stream.blind_after[&storm.map(StormId)];
        let (storm, none) = (after(Some(1)), after(None));
        assert_eq!((storm.cut_off(), storm.seen.max_us(), storm.open.max_us()), (2, 10, 20));
        assert_eq!((none.cut_off(), none.given_up), (1, 1));
    }
}
