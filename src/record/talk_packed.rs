//! What clients said and heard, as the journal holds it.
//!
//! In: tallies; or what was read of a journal, which may be damaged. Out: the same numbers, with histograms as bytes, none where there are no values.

use serde::{Deserialize, Serialize};

use crate::sample::ErrorWord;

use super::blind::{self, PackedBlind};
use super::differences::{PackedDifferences, add_packed, check_packed, packed_or_nothing};
use super::encoding::{HistogramError, MAX_COUNT, add_count};
use super::talk::{ExchangeCounts, StreamCounts, TalkTally};

/// [`TalkTally`] as the journal holds it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct PackedTalk {
    exchanges: Vec<(u16, ExchangeCounts, Vec<u8>, Vec<u8>)>,
    streams: Vec<(u16, StreamCounts, PackedDifferences, Vec<u8>, PackedBlind)>,
    kinds: Vec<(Option<ErrorWord>, u64)>,
    other_kinds: u64,
}

/// Of schema version 5: after which storm something new came was not recorded, nor who knew nothing new at the end.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub(super) struct PackedTalkV5 {
    exchanges: Vec<(u16, ExchangeCounts, Vec<u8>, Vec<u8>)>,
    streams: Vec<(u16, StreamCounts, PackedDifferences, Vec<u8>)>,
    kinds: Vec<(Option<ErrorWord>, u64)>,
    other_kinds: u64,
}

impl From<PackedTalkV5> for PackedTalk {
    fn from(old: PackedTalkV5) -> Self {
        let PackedTalkV5 { exchanges, streams, kinds, other_kinds } = old;
        let streams = streams.into_iter();
        let streams = streams.map(|(index, counts, differences, blind)| {
            (index, counts, differences, blind, PackedBlind::new())
        });
        Self { exchanges, streams: streams.collect(), kinds, other_kinds }
    }
}

impl PackedTalk {
    pub(super) fn of(talk: &TalkTally) -> Self {
        let exchanges = talk.exchanges.iter();
        let streams = talk.streams.iter();
        Self {
            exchanges: exchanges
                .map(|(index, own)| {
                    let [latencies, failed] = [&own.latencies, &own.failed].map(packed_or_nothing);
                    (*index, own.counts, latencies, failed)
                })
                .collect(),
            streams: streams
                .map(|(index, own)| {
                    let (blind, after) = (packed_or_nothing(&own.blind), blind::pack(&own.blind_after));
                    (*index, own.counts, own.differences.pack(), blind, after)
                })
                .collect(),
            kinds: talk.kinds.iter().map(|(kind, n)| (kind.clone(), *n)).collect(),
            other_kinds: talk.other_kinds,
        }
    }

    /// The same without what was measured.
    pub(super) fn counts(&self) -> Self {
        let exchanges = self.exchanges.iter();
        let streams = self.streams.iter();
        Self {
            exchanges: exchanges
                .map(|(index, counts, ..)| (*index, *counts, Vec::new(), Vec::new()))
                .collect(),
            streams: streams
                .map(|(index, counts, differences, ..)| {
                    (*index, *counts, differences.counts(), Vec::new(), PackedBlind::new())
                })
                .collect(),
            kinds: self.kinds.clone(),
            other_kinds: self.other_kinds,
        }
    }

    /// Checks what was read from a file.
    pub(super) fn check(&self) -> Result<(), HistogramError> {
        let mut kinds = self.kinds.iter().map(|(_, n)| *n).chain([self.other_kinds]);
        let is_sound = kinds.all(|n| n <= MAX_COUNT)
            && self.exchanges.iter().all(|(_, counts, ..)| counts.is_sound())
            && self.streams.iter().all(|(_, counts, ..)| counts.is_sound());
        if !is_sound {
            return Err(HistogramError);
        }
        self.exchanges
            .iter()
            .try_for_each(|(_, _, bytes, failed)| check_packed(bytes).and(check_packed(failed)))?;
        self.streams.iter().try_for_each(|(_, _, differences, blind, after)| {
            differences.check().and(check_packed(blind)).and(blind::check(after))
        })
    }

    pub(super) fn add_to(&self, talk: &mut TalkTally) {
        for (index, counts, bytes, failed) in &self.exchanges {
            let own = talk.exchanges.entry(*index).or_default();
            own.counts.add(counts);
            add_packed(&mut own.latencies, bytes);
            add_packed(&mut own.failed, failed);
        }
        for (index, counts, differences, blind, after) in &self.streams {
            let own = talk.streams.entry(*index).or_default();
            own.counts.add(counts);
            differences.add_to(&mut own.differences);
            add_packed(&mut own.blind, blind);
            blind::unpack(after, &mut own.blind_after);
        }
        for (kind, n) in &self.kinds {
            add_count(talk.kinds.entry(kind.clone()).or_default(), *n);
        }
        add_count(&mut talk.other_kinds, self.other_kinds);
    }

    /// The histogram of each exchange's latencies.
    pub(super) fn exchange_latencies(&self) -> impl Iterator<Item = (u16, &[u8])> {
        self.exchanges.iter().map(|(index, _, bytes, _)| (*index, bytes.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::histogram::Latencies;
    use crate::record::talk::TalkBook;
    use crate::sample::{Blind, BlindEnd, ExchangeNews, StreamNews, Talk};

    #[test]
    fn talk_of_version_5_has_no_blind_times_by_storm() {
        let mut latencies = Latencies::new();
        latencies.record_us(9);
        let differences = PackedDifferences::default();
        let streams = vec![(3, StreamCounts::default(), differences, packed_or_nothing(&latencies))];
        let old = PackedTalkV5 { exchanges: Vec::new(), streams, kinds: vec![(None, 2)], other_kinds: 1 };
        let read: PackedTalkV5 = postcard::from_bytes(&postcard::to_stdvec(&old).unwrap()).unwrap();
        let mut tally = TalkTally::default();
        PackedTalk::from(read).add_to(&mut tally);
        assert_eq!((tally.streams[&3].blind.count(), tally.other_kinds, tally.kinds[&None]), (1, 1, 2));
        assert!(tally.streams[&3].blind_after.is_empty());
    }

    #[test]
    fn numbers_that_cannot_be_are_refused() {
        let mut tally = TalkTally::default();
        let news = ExchangeNews { sent: 1, ok: 1, latencies_us: vec![5], ..ExchangeNews::default() };
        let blind = vec![Blind { storm: None, us: 7, end: BlindEnd::Open }];
        let stream = StreamNews { messages: 1, latencies_us: vec![-5], blind, ..StreamNews::default() };
        let talk = Talk { exchanges: vec![(0, news)], streams: vec![(0, stream)], kinds: vec![(None, 1)] };
        tally.record(&talk, &mut TalkBook::default());
        let packed = PackedTalk::of(&tally);
        assert_eq!(packed.check(), Ok(()));
        for spoil in [
            (|packed| packed.exchanges[0].1.sent = MAX_COUNT + 1) as fn(&mut PackedTalk),
            |packed| packed.exchanges[0].2.truncate(3),
            |packed| packed.streams[0].1.skipped = MAX_COUNT + 1,
            |packed| packed.streams[0].3.push(1),
            |packed| packed.streams[0].4[0].2.truncate(3),
            |packed| packed.streams[0].4[0].3 = MAX_COUNT + 1,
            |packed| packed.kinds[0].1 = MAX_COUNT + 1,
        ] {
            let mut bad = packed.clone();
            spoil(&mut bad);
            assert_eq!(bad.check(), Err(HistogramError));
        }
    }
}
