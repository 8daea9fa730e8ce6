//! Numbered messages: which never came, which came late or twice, and for how long a client knew nothing new.
//!
//! In: sequence numbers as they come, by the key of their stream; disconnects. Out: what each number told. A client keeps 80 bytes for each key and 24 for each
//! gap that may still be filled; both are bounded.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use crate::clock::Moment;
use crate::sample::StormId;

/// Gaps of a stream that are kept open for what comes late; of more, the oldest is closed.
const MOST_GAPS: usize = 64;
/// A larger step is another numbering, and no gap: no service sends so many messages while one client is away.
const MOST_MISSED: u64 = 1_000_000_000;

/// What a number told. Messages missed are `skipped` less `filled`, each apart for gaps within a session and those that a disconnect lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Told {
    /// Numbers that were left out before it, within the session.
    pub skipped: u64,
    /// Numbers that were left out before it, while the client was away.
    pub skipped_away: u64,
    /// It fills a gap within a session.
    pub filled: bool,
    /// It fills a gap that a disconnect lies in.
    pub filled_away: bool,
    /// It came after one with a higher number.
    pub is_late: bool,
    /// It had come before.
    pub is_duplicate: bool,
    /// The service has begun to count anew.
    pub is_restart: bool,
    /// Since the disconnect before, nothing new had come of the stream until now; and the storm that forced it.
    pub blind: Option<(Duration, Option<StormId>)>,
    /// It belongs to a stream beyond those that are kept; nothing else is known of it.
    pub is_beyond: bool,
}

/// What numbers were left out, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// Another number came in the same session.
    Within,
    /// The client had been away.
    Away,
    /// They lie before the first that ever came: whether they were meant for the client, nobody knows.
    Before,
}

/// Numbers that have not come, first and last.
#[derive(Debug, Clone, Copy)]
struct Gap {
    first: u64,
    last: u64,
    why: Why,
}

/// One stream.
#[derive(Debug)]
struct One {
    key: u64,
    /// The lowest and the highest number so far; `None`: none has come.
    span: Option<(u64, u64)>,
    gaps: Vec<Gap>,
    /// When the client was cut off, until something new comes.
    blind_since: Option<Moment>,
    /// The storm that forced that.
    storm: Option<StormId>,
    /// That is a disconnect, and no session that the client has ended for good.
    is_cut_off: bool,
    /// No number has come in this session yet.
    is_first: bool,
}

/// The streams of a client by one rule.
#[derive(Debug, Default)]
pub struct Streams {
    each: Vec<One>,
}

/// The hash by which a stream's key is kept: a client's keys are few.
#[must_use]
pub fn key_of(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

impl Streams {
    /// A session has ended: the client was cut off then. With `counts_anew`, the next session's numbers have nothing to do with this one's.
    pub fn end_session(&mut self, at: Moment, counts_anew: bool) {
        for one in &mut self.each {
            one.is_first = true;
            one.blind_since.get_or_insert(at);
            if counts_anew {
                one.span = None;
                one.gaps.clear();
            }
        }
    }

    /// The session's end is a disconnect, forced by this storm if any. One that strikes before something new has come begins nothing anew.
    pub fn cut_off(&mut self, storm: Option<StormId>) {
        for one in self.each.iter_mut().filter(|one| one.blind_since.is_some() && !one.is_cut_off) {
            one.is_cut_off = true;
            one.storm = storm;
        }
    }

    /// Of each stream of which nothing new has come since a disconnect: since when, and the storm that forced it.
    pub fn still_blind(&self) -> impl Iterator<Item = (Moment, Option<StormId>)> + '_ {
        self.each.iter().filter(|one| one.is_cut_off).filter_map(|one| Some((one.blind_since?, one.storm)))
    }

    /// How many streams are kept.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.each.len()
    }

    /// A message of the stream `key` came, with this number if it has one. A client keeps `most` streams.
    pub fn hear(&mut self, key: u64, sequence: Option<u64>, now: Moment, most: usize) -> Told {
        let known = self.each.iter().position(|one| one.key == key);
        let at = match known {
            Some(at) => at,
            None if self.each.len() >= most => return Told { is_beyond: true, ..Told::default() },
            None => {
                let begun = One::new(key);
                self.each.push(begun);
                self.each.len() - 1
            }
        };
        let one = &mut self.each[at];
        let is_first = std::mem::take(&mut one.is_first);
        let mut told = sequence.map_or_else(Told::default, |sequence| one.number(sequence, is_first));
        if !told.is_duplicate && !told.is_late {
            told.blind = one.take_blind(now);
        }
        told
    }
}

impl One {
    fn new(key: u64) -> Self {
        let (span, gaps) = (None, Vec::new());
        Self { key, span, gaps, blind_since: None, storm: None, is_cut_off: false, is_first: false }
    }

    /// Something new has come: for how long nothing had, since a disconnect.
    fn take_blind(&mut self, now: Moment) -> Option<(Duration, Option<StormId>)> {
        let since = self.blind_since.take()?;
        self.is_cut_off = false;
        Some((now.since(since), self.storm.take()))
    }

    fn number(&mut self, sequence: u64, is_first: bool) -> Told {
        let Some((lowest, highest)) = self.span else {
            self.span = Some((sequence, sequence));
            return Told::default();
        };
        let restarts = is_first && sequence <= 1 && highest > 1;
        if restarts || sequence.saturating_sub(highest) > MOST_MISSED {
            self.gaps.clear();
            self.span = Some((sequence, sequence));
            return Told { is_restart: true, ..Told::default() };
        }
        if sequence > highest {
            self.span = Some((lowest, sequence));
            let missing = sequence - highest - 1;
            let why = if is_first { Why::Away } else { Why::Within };
            self.open(highest + 1, sequence - 1, why);
            let (skipped, skipped_away) = if is_first { (0, missing) } else { (missing, 0) };
            return Told { skipped, skipped_away, ..Told::default() };
        }
        if sequence < lowest {
            self.span = Some((sequence, highest));
            self.open(sequence + 1, lowest - 1, Why::Before);
            return Told { is_late: true, ..Told::default() };
        }
        match self.fill(sequence) {
            None => Told { is_duplicate: true, ..Told::default() },
            Some(why) => Told {
                is_late: true,
                filled: why == Why::Within,
                filled_away: why == Why::Away,
                ..Told::default()
            },
        }
    }

    /// Remembers that these have not come.
    fn open(&mut self, first: u64, last: u64, why: Why) {
        if first <= last {
            if self.gaps.len() >= MOST_GAPS {
                self.gaps.remove(0);
            }
            self.gaps.push(Gap { first, last, why });
        }
    }

    /// This one has come: of which kind of gap, if it was in one.
    fn fill(&mut self, sequence: u64) -> Option<Why> {
        let at = self.gaps.iter().position(|gap| (gap.first..=gap.last).contains(&sequence))?;
        let Gap { first, last, why } = self.gaps[at];
        let halves = [(first, sequence.checked_sub(1)), (sequence.saturating_add(1), Some(last))];
        let left = halves.into_iter().filter_map(|(first, last)| Some((first, last?)));
        let gaps = left.filter(|(first, last)| first <= last).map(|(first, last)| Gap { first, last, why });
        self.gaps.splice(at..=at, gaps);
        Some(why)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    fn hear(streams: &mut Streams, sequence: u64, at_ms: u64) -> Told {
        streams.hear(0, Some(sequence), Moment::from_ns(at_ms * 1_000_000), 4)
    }

    #[test]
    fn gaps_within_a_session_are_told_from_those_of_an_outage() {
        let mut streams = Streams::default();
        assert_eq!(hear(&mut streams, 7, 0), Told::default(), "nothing to compare with");
        assert_eq!(hear(&mut streams, 10, 1), Told { skipped: 2, ..Told::default() });
        assert_eq!(hear(&mut streams, 8, 2), Told { filled: true, is_late: true, ..Told::default() });
        assert_eq!(hear(&mut streams, 8, 3), Told { is_duplicate: true, ..Told::default() });
        streams.end_session(Moment::from_ns(4_000_000), false);
        let blind = Some((Duration::from_millis(6), None));
        assert_eq!(hear(&mut streams, 10, 9), Told { is_duplicate: true, ..Told::default() }, "replayed");
        assert_eq!(
            hear(&mut streams, 14, 10),
            Told { skipped: 3, blind, ..Told::default() },
            "not the first any more"
        );
        streams.end_session(Moment::from_ns(20_000_000), false);
        let blind = Some((Duration::from_millis(5), None));
        assert_eq!(hear(&mut streams, 20, 25), Told { skipped_away: 5, blind, ..Told::default() });
        assert_eq!(hear(&mut streams, 16, 26), Told { filled_away: true, is_late: true, ..Told::default() });
        assert_eq!(hear(&mut streams, 9, 26), Told { filled: true, is_late: true, ..Told::default() });
        assert_eq!(hear(&mut streams, 5, 26), Told { is_late: true, ..Told::default() }, "before the first");
        assert_eq!(hear(&mut streams, 6, 26), Told { is_late: true, ..Told::default() });
        assert_eq!(hear(&mut streams, 6, 26), Told { is_duplicate: true, ..Told::default() });
    }

    #[test]
    fn a_service_that_counts_anew_is_not_taken_for_one_that_lost_or_repeats() {
        let mut streams = Streams::default();
        (3..9).for_each(|n| {
            hear(&mut streams, n, n);
        });
        streams.end_session(Moment::ZERO, false);
        assert!(hear(&mut streams, 1, 20).is_restart);
        assert_eq!(hear(&mut streams, 2, 21), Told::default());
        assert!(hear(&mut streams, u64::MAX, 22).is_restart);
        assert!(hear(&mut streams, 3, 23).is_late, "within a session it does not begin anew");
        streams.end_session(Moment::ZERO, true);
        assert_eq!(hear(&mut streams, 900, 30).skipped_away, 0);
    }

    #[test]
    fn the_first_storm_is_what_a_blind_time_is_put_down_to() {
        let (mut streams, moment) = (Streams::default(), |ms: u64| Moment::from_ns(ms * 1_000_000));
        let still = |streams: &Streams| streams.still_blind().collect::<Vec<_>>();
        hear(&mut streams, 1, 0);
        streams.end_session(moment(10), false);
        assert_eq!(still(&streams), [], "nobody has said yet that it is a disconnect");
        streams.cut_off(Some(StormId(1)));
        assert_eq!(still(&streams), [(moment(10), Some(StormId(1)))]);
        streams.end_session(moment(20), false);
        streams.cut_off(Some(StormId(2)));
        assert_eq!(still(&streams), [(moment(10), Some(StormId(1)))]);
        let blind = Some((Duration::from_millis(15), Some(StormId(1))));
        assert_eq!(hear(&mut streams, 2, 25).blind, blind);
        streams.cut_off(Some(StormId(2)));
        assert_eq!(still(&streams), [], "it is in");
        streams.end_session(moment(30), false);
        streams.cut_off(None);
        assert_eq!(hear(&mut streams, 3, 31).blind, Some((Duration::from_millis(1), None)));
    }

    #[test]
    fn streams_and_gaps_are_bounded() {
        let mut streams = Streams::default();
        for key in 0..10 {
            let told = streams.hear(key, Some(1), Moment::ZERO, 4);
            assert_eq!(told.is_beyond, key >= 4);
        }
        assert_eq!(streams.count(), 4);
        (1..10_000).for_each(|n| {
            assert_eq!(hear(&mut streams, n * 2 + 1, 0).skipped, 1);
        });
        assert_eq!(streams.each[0].gaps.len(), MOST_GAPS);
        assert_ne!(key_of("a"), key_of("b"));
        assert_eq!(size_of::<One>(), 80);
    }

    /// What a service does with a message: nothing, sends it, sends it twice, holds it back by so many.
    fn fates() -> impl Strategy<Value = Vec<(u8, bool)>> {
        prop::collection::vec((0_u8..6, prop::bool::weighted(0.05)), 1..200)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]
        #[test]
        fn what_is_lost_repeated_and_reordered_is_told_exactly(fates in fates()) {
            // The service's own truth: what it did, in the order of the wire.
            let mut wire: Vec<Option<u64>> = Vec::new();
            let mut held: Vec<(usize, u64)> = Vec::new();
            for (number, (fate, cut)) in fates.iter().enumerate() {
                let sequence = number as u64 + 10;
                match fate {
                    0 => {}
                    1 => wire.extend([Some(sequence), Some(sequence)]),
                    2 => held.push((number + 3, sequence)),
                    _ => wire.push(Some(sequence)),
                }
                let due: Vec<u64> = held.iter().filter(|(at, _)| *at == number).map(|(_, n)| *n).collect();
                wire.extend(due.into_iter().map(Some));
                held.retain(|(at, _)| *at != number);
                if *cut {
                    wire.push(None);
                }
            }
            let arrived: Vec<u64> = wire.iter().copied().flatten().collect();
            prop_assume!(!arrived.is_empty());
            let (mut streams, mut at) = (Streams::default(), 0_u64);
            let (mut skipped, mut filled, mut late, mut twice, mut blind) = (0, 0, 0, 0, 0);
            for step in &wire {
                at += 1;
                match step {
                    None => streams.end_session(Moment::from_ns(at), false),
                    Some(sequence) => {
                        let told = streams.hear(0, Some(*sequence), Moment::from_ns(at), 1);
                        skipped += told.skipped + told.skipped_away;
                        filled += u64::from(told.filled) + u64::from(told.filled_away);
                        late += u64::from(told.is_late);
                        twice += u64::from(told.is_duplicate);
                        blind += u64::from(told.blind.is_some());
                    }
                }
            }
            let once: BTreeSet<u64> = arrived.iter().copied().collect();
            let (first, last) = (arrived[0], *once.last().unwrap());
            let missing = (first..=last).filter(|sequence| !once.contains(sequence)).count() as u64;
            prop_assert_eq!(skipped - filled, missing);
            prop_assert_eq!(twice, arrived.len() as u64 - once.len() as u64);
            let (mut seen, mut highest, mut truly_late) = (BTreeSet::new(), 0, 0);
            for sequence in &arrived {
                truly_late += u64::from(seen.insert(*sequence) && *sequence < highest);
                highest = highest.max(*sequence);
            }
            prop_assert_eq!(late, truly_late);
            prop_assert!(blind <= wire.iter().filter(|step| step.is_none()).count() as u64);
        }
    }
}
