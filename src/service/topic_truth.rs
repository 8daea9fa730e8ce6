//! What clients must have heard of the target's topics: the truth that streams are held against.
//!
//! In: what becomes of the messages, the spans of the row that each client was sent. Out: how many messages it missed, and which came late or twice. It goes by
//! the definitions and sees all that was sent at once, where a client judges message by message.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fates::{Fates, Place};

/// Of more places the truth is not told: it would take too long.
const MOST_PLACES: u64 = 5_000_000;

/// The places that a client was sent in one session, those that were lost among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first.
    pub first: u64,
    /// The one after the last.
    pub end: u64,
}

/// What clients hear where all that was sent arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct TopicTruth {
    /// Numbers that never came, while a session went on.
    pub missed: u64,
    /// Numbers that never came, between the last message of a topic in one session and the first in another.
    pub missed_away: u64,
    /// Messages that came after one with a higher number.
    pub late: u64,
    /// Messages that had come before.
    pub duplicates: u64,
}

impl TopicTruth {
    /// Adds what others must have heard.
    pub const fn add(&mut self, other: &Self) {
        self.missed += other.missed;
        self.missed_away += other.missed_away;
        self.late += other.late;
        self.duplicates += other.duplicates;
    }
}

/// What clients must have heard, by each client's spans in the order of its sessions. `None`: it is too much to tell, or the sessions of a client overlap.
#[must_use]
pub fn truth_of<'a>(fates: &Fates, clients: impl Iterator<Item = &'a [Span]>) -> Option<TopicTruth> {
    let mut known: HashMap<u64, Place> = HashMap::new();
    let (mut truth, mut places) = (TopicTruth::default(), 0_u64);
    for spans in clients {
        if spans.windows(2).any(|pair| pair[1].first < pair[0].end) {
            return None;
        }
        places = places.saturating_add(spans.iter().map(|span| span.end - span.first).sum());
        if places > MOST_PLACES {
            return None;
        }
        // By topic: what came, each with the session it came in.
        let mut came: BTreeMap<u32, Vec<(usize, u64)>> = BTreeMap::new();
        for (session, span) in spans.iter().enumerate() {
            for sequence in span.first..span.end {
                let place = *known.entry(sequence).or_insert_with(|| fates.at(sequence));
                let messages = std::iter::repeat_n((session, place.number), place.times.into());
                came.entry(place.topic).or_default().extend(messages);
            }
        }
        came.values().for_each(|came| truth.add(&truth_of_topic(came)));
    }
    Some(truth)
}

/// What a client must have heard of a topic of which this came.
fn truth_of_topic(came: &[(usize, u64)]) -> TopicTruth {
    let ever: BTreeSet<u64> = came.iter().map(|(_, number)| *number).collect();
    let (mut truth, mut before) = (TopicTruth::default(), BTreeSet::new());
    let mut last_session = None;
    for (session, number) in came {
        let highest = before.last().copied();
        let is_first = last_session.replace(session) != Some(session);
        if !before.insert(*number) {
            truth.duplicates += 1;
        } else if let Some(highest) = highest {
            truth.late += u64::from(*number < highest);
            let passed = highest.saturating_add(1)..*number;
            let never = passed.filter(|number| !ever.contains(number)).count() as u64;
            *(if is_first { &mut truth.missed_away } else { &mut truth.missed }) += never;
        }
    }
    truth
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::keys::TargetTopics;

    #[test]
    fn the_truth_goes_by_the_definitions() {
        let told = |came: &[(usize, u64)]| {
            let TopicTruth { missed, missed_away, late, duplicates } = truth_of_topic(came);
            (missed, missed_away, late, duplicates)
        };
        assert_eq!(told(&[]), (0, 0, 0, 0));
        assert_eq!(told(&[(0, 5), (0, 6), (0, 9)]), (2, 0, 0, 0));
        assert_eq!(told(&[(0, 5), (0, 7), (0, 6)]), (0, 0, 1, 0), "late is not missed");
        assert_eq!(told(&[(0, 5), (0, 5), (0, 6)]), (0, 0, 0, 1));
        assert_eq!(told(&[(0, 5), (1, 9), (1, 11)]), (1, 3, 0, 0));
        assert_eq!(
            told(&[(0, 5), (1, 4), (1, 7)]),
            (1, 0, 1, 0),
            "before the first is late, and the first it was"
        );
        assert_eq!(told(&[(0, 3), (2, 2), (2, 3)]), (0, 0, 1, 1));
    }

    #[test]
    fn spans_are_read_by_client_and_session() {
        let fates = Fates::of(TargetTopics { count: 2, ..TargetTopics::default() });
        let span = |first, end| Span { first, end };
        let truth = |spans: &[&[Span]]| truth_of(&fates, spans.iter().copied());
        // Topics at 0..10: 0 1 0 1 …; away for 10..16, which is three of each.
        let away = truth(&[&[span(0, 10), span(16, 20)], &[span(3, 5)]]);
        assert_eq!(away, Some(TopicTruth { missed_away: 6, ..TopicTruth::default() }));
        assert_eq!(truth(&[&[span(0, 10), span(9, 20)]]), None, "which came first nobody knows");
        assert_eq!(truth(&[&[span(0, MOST_PLACES)], &[span(0, 1)]]), None);
        let repeats = Fates::of(TargetTopics { repeat: 1.0, ..TargetTopics::default() });
        let truth = truth_of(&repeats, [[span(0, 10)].as_slice()].into_iter());
        assert_eq!(truth, Some(TopicTruth { duplicates: 10, ..TopicTruth::default() }));
    }
}
