//! What becomes of the numbered messages of the target's topics: which are lost, which come twice, which change places.
//!
//! In: the seed and the shares, a place in the target's one row of messages. Out: whose it is, which number stands there, how often it is sent. A function of
//! these alone: all clients, shards and drivers see the same, and anybody can say what should have come.

use crate::scenario::keys::TargetTopics;

/// What is drawn for a number.
const DROP: u64 = 0;
const REPEAT: u64 = 1;
const REORDER: u64 = 2;

/// What is done to the messages of the topics.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fates {
    topics: TargetTopics,
    seed: u64,
}

/// What stands at a place of the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Whose message it is: 1, 2, …
    pub topic: u32,
    /// Its number in the topic.
    pub number: u64,
    /// How often it is sent: 0, 1 or 2.
    pub times: u8,
    /// Whether it has changed places with its neighbour.
    pub is_moved: bool,
}

impl Fates {
    /// Those of these topics; where they have no seed, one that was not told counts as 0.
    #[must_use]
    pub fn of(topics: TargetTopics) -> Self {
        Self { topics, seed: topics.seed.unwrap_or_default() }
    }

    /// What stands at place `sequence`: the places are the topics' in turn.
    #[must_use]
    pub fn at(&self, sequence: u64) -> Place {
        let count = u64::from(self.topics.count);
        let (topic, turn) = (sequence % count + 1, sequence / count);
        let topic = u32::try_from(topic).unwrap_or(u32::MAX);
        let of_topic = spread(spread(self.seed) ^ u64::from(topic));
        // Uniform in [0, 1), of 53 bits.
        let falls = |share: f64, number: u64, what: u64| {
            let drawn = spread(of_topic ^ spread(number.wrapping_mul(4).wrapping_add(what)));
            ((drawn >> 11) as f64 / (1_u64 << 53) as f64) < share
        };
        // Neighbours change places: an even number and the one after it.
        let is_moved = falls(self.topics.reorder, turn & !1, REORDER);
        let number = if is_moved { turn ^ 1 } else { turn };
        let times = match (falls(self.topics.drop, number, DROP), falls(self.topics.repeat, number, REPEAT)) {
            (true, _) => 0,
            (false, true) => 2,
            (false, false) => 1,
        };
        Place { topic, number, times, is_moved }
    }
}

/// A 64-bit mix in which every bit of the input moves every bit of the output (SplitMix64, Steele et al. 2014).
pub(super) const fn spread(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const TOPICS: TargetTopics =
        TargetTopics { count: 3, drop: 0.1, repeat: 0.2, reorder: 0.3, seed: Some(7) };

    #[test]
    fn each_number_has_one_place_and_the_shares_are_those_that_were_asked_for() {
        let fates = Fates::of(TOPICS);
        let places: Vec<Place> = (0..60_000).map(|sequence| fates.at(sequence)).collect();
        let mut numbers: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        for (sequence, place) in places.iter().enumerate() {
            assert!(place.number.abs_diff(sequence as u64 / 3) == u64::from(place.is_moved));
            numbers.entry(place.topic).or_default().push(place.number);
        }
        assert_eq!(numbers.keys().copied().collect::<Vec<_>>(), [1, 2, 3]);
        for numbers in numbers.values_mut() {
            numbers.sort_unstable();
            assert!(numbers.iter().copied().eq(0..20_000));
        }
        let share = |wanted: fn(&Place) -> bool| {
            places.iter().filter(|place| wanted(place)).count() as f64 / 60_000.0
        };
        assert!((share(|place| place.times == 0) - 0.1).abs() < 0.01);
        assert!((share(|place| place.times == 2) - 0.18).abs() < 0.01, "what is lost is not repeated");
        assert!((share(|place| place.is_moved) - 0.3).abs() < 0.01);
    }

    #[test]
    fn the_seed_the_topic_and_the_number_decide_and_nothing_else() {
        let row = |topics: TargetTopics| (0..300).map(|n| Fates::of(topics).at(n)).collect::<Vec<_>>();
        assert_eq!(row(TOPICS), row(TOPICS));
        assert_ne!(row(TOPICS), row(TargetTopics { seed: Some(8), ..TOPICS }));
        let whole = TargetTopics { count: 1, ..TargetTopics::default() };
        assert!(
            (0..9)
                .all(|n| Fates::of(whole).at(n) == Place { topic: 1, number: n, times: 1, is_moved: false })
        );
        let all = TargetTopics { drop: 1.0, ..whole };
        assert!((0..9).all(|n| Fates::of(all).at(n).times == 0));
        let last = Fates::of(TargetTopics { reorder: 1.0, ..whole }).at(u64::MAX);
        assert_eq!(last.number, u64::MAX - 1);
    }
}
