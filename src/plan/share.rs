//! A shard's share of a run: which clients are its own.
//!
//! In: which shard of how many. Out: whether a client is among them, and how many are. Clients keep their numbers, so that client *c* is the same
//! client however many shards there are: shard *i* of *n* has those whose number leaves *i* − 1 when divided by *n*.

use std::fmt;
use std::str::FromStr;

use crate::scenario::keys::Scenario;

use super::numbering::first_number;

/// The most shards that a run may have.
pub const MOST_SHARDS: u32 = 10_000;

/// One shard of so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    shard: u32,
    of: u32,
}

/// A text that names no shard.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write it as I/N, the shard from 1 to N and how many there are, at most {MOST_SHARDS}, as 2/4")]
pub struct NoShare;

impl Share {
    /// A run that is not split.
    pub const WHOLE: Self = Self { shard: 1, of: 1 };

    /// Shard `shard` (from 1) of `of`; `None` where there is no such shard.
    #[must_use]
    pub fn new(shard: u32, of: u32) -> Option<Self> {
        ((1..=of).contains(&shard) && of <= MOST_SHARDS).then_some(Self { shard, of })
    }

    /// Every share of a run in `of` shards.
    pub fn all(of: u32) -> impl Iterator<Item = Self> {
        (1..=of.min(MOST_SHARDS)).map(move |shard| Self { shard, of })
    }

    /// Which shard it is, from 1.
    #[must_use]
    pub const fn shard(self) -> u32 {
        self.shard
    }

    /// How many shards there are.
    #[must_use]
    pub const fn of(self) -> u32 {
        self.of
    }

    /// Whether the run is not split.
    #[must_use]
    pub const fn is_whole(self) -> bool {
        self.of == 1
    }

    /// Whether client `number` is its own.
    #[must_use]
    pub const fn has(self, number: u32) -> bool {
        number % self.of == self.shard - 1
    }

    /// How many of the clients `first`, `first` + 1, … of a group of `clients` are its own.
    #[must_use]
    pub const fn clients_of(self, first: u32, clients: u32) -> u32 {
        // Those below a bound are those of whole turns, and one more where the turn under way has come past this shard.
        self.below(first as u64 + clients as u64) - self.below(first as u64)
    }

    const fn below(self, bound: u64) -> u32 {
        let (turns, rest) = (bound / self.of as u64, bound % self.of as u64);
        let one_more = rest >= self.shard as u64;
        // No more than the clients, whose numbers have 32 bits.
        turns as u32 + one_more as u32
    }

    /// How many clients of the scenario's group `index` are its own.
    #[must_use]
    pub fn clients_in(self, scenario: &Scenario, index: usize) -> u32 {
        self.clients_of(first_number(scenario, index), scenario.groups[index].clients)
    }

    /// How many clients of the whole scenario are its own.
    #[must_use]
    pub fn clients(self, scenario: &Scenario) -> u32 {
        self.clients_of(0, scenario.clients())
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.shard, self.of)
    }
}

impl FromStr for Share {
    type Err = NoShare;

    fn from_str(text: &str) -> Result<Self, NoShare> {
        let (shard, of) = text.split_once('/').ok_or(NoShare)?;
        let shard = shard.parse().map_err(|_| NoShare)?;
        Self::new(shard, of.parse().map_err(|_| NoShare)?).ok_or(NoShare)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shards_are_counted_from_one() {
        for (text, share) in [("1/1", Some((1, 1))), ("2/4", Some((2, 4))), ("4/4", Some((4, 4)))] {
            assert_eq!(text.parse::<Share>().ok().map(|share| (share.shard(), share.of())), share, "{text}");
        }
        for text in ["0/2", "3/2", "1/0", "0/0", "x", "", "1", "1/", "/2", "-1/2", "1/2/3", "1/99999"] {
            assert_eq!(text.parse::<Share>(), Err(NoShare), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_client_is_in_one_shard_and_counted_there(first in 0_u32..500, clients in 0_u32..300, of in 1_u32..40) {
            let numbers = || first..first + clients;
            for number in numbers() {
                prop_assert_eq!(Share::all(of).filter(|share| share.has(number)).count(), 1);
            }
            for share in Share::all(of) {
                let own = numbers().filter(|number| share.has(*number)).count();
                prop_assert_eq!(share.clients_of(first, clients) as usize, own);
            }
        }
    }
}
