//! Outages of a run under way, by what the last two minutes told.
//!
//! In: the lives of all clients together, second by second. Out: the outages that began in the last two minutes, by the same rule as at the run's end, which knows
//! more: what is told here may be told otherwise then. Nothing is looked for until somebody asks.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::record::lives::Lives;
use crate::record::tally::Tally;
use crate::sample::Bin;

use super::find::find_outages;
use super::lexis::LexisBuilder;

/// How many seconds are looked at.
const SECONDS: usize = 120;

/// What the last two minutes told.
#[derive(Debug, Clone, Default)]
pub struct Recent {
    /// Sessions that were open before, by the tenth of a second in which they were upgraded.
    standing: Arc<BTreeMap<u32, i64>>,
    told: VecDeque<Arc<Lives>>,
    second: u64,
}

/// An outage, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveOutage {
    /// When its first was lost, in tenths of a second since the run's start.
    pub first: u32,
    /// How many sessions there were then.
    pub at_risk: u64,
    /// How many were lost.
    pub lost: u64,
    /// How many of them are back.
    pub back: u64,
}

impl Recent {
    /// Takes in what a second told of each group.
    pub fn push(&mut self, second: u64, groups: &[Tally]) {
        let mut lives = Lives::default();
        groups.iter().for_each(|tally| lives.merge(&tally.lives));
        self.second = second;
        self.told.push_back(Arc::new(lives));
        if self.told.len() > SECONDS
            && let Some(oldest) = self.told.pop_front()
        {
            let standing = Arc::make_mut(&mut self.standing);
            for (bin, n) in &oldest.began {
                *standing.entry(*bin).or_default() += n;
            }
            for ((_, began), ends) in &oldest.ended {
                *standing.entry(*began).or_default() -= ends.lost.saturating_add(ends.otherwise);
            }
            standing.retain(|_, n| *n != 0);
        }
    }

    /// The outages, in the order of time.
    #[must_use]
    pub fn outages(&self) -> Vec<LiveOutage> {
        let has_losses = self.told.iter().any(|lives| !lives.losses.is_empty());
        if !has_losses {
            return Vec::new();
        }
        let mut builder = LexisBuilder::default();
        builder.add(&Lives { began: (*self.standing).clone(), ..Lives::default() });
        self.told.iter().for_each(|lives| builder.add(lives));
        let bins = u32::try_from((self.second + 1) * (1_000_000_000 / Bin::LENGTH_NS)).unwrap_or(u32::MAX);
        let found = find_outages(&builder.build(bins));
        let told = found.into_iter().map(|outage| {
            let within = |lives: &Lives| -> i64 {
                let losses = lives.losses.range(outage.first..=outage.last);
                losses.flat_map(|(_, losses)| losses.back.values()).sum()
            };
            let back: i64 = self.told.iter().map(|lives| within(lives)).sum();
            LiveOutage {
                first: outage.first,
                at_risk: outage.at_risk,
                lost: outage.lost,
                back: u64::try_from(back).unwrap_or(0),
            }
        });
        told.collect()
    }
}

impl LiveOutage {
    /// Whether some of those who were lost are not back.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.back < self.lost
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Moment;
    use crate::sample::{CloseKey, Initiator, Life, Sample, WayIn, WayOut};

    fn second(lives: impl IntoIterator<Item = Life>) -> Vec<Tally> {
        let mut tally = Tally::default();
        lives.into_iter().for_each(|life| tally.apply(&Sample::Life(life)));
        vec![tally]
    }

    fn at(ms: u64) -> Moment {
        Moment::ZERO + Duration::from_millis(ms)
    }

    fn way_in(ms: u64, lost_in: Option<Bin>) -> Life {
        Life::In(WayIn { at: at(ms), upgraded: at(ms), lost_in })
    }

    #[test]
    fn an_outage_is_told_while_it_goes_on_also_of_sessions_that_began_long_ago() {
        let mut recent = Recent::default();
        recent.push(0, &second((0..100).map(|n| way_in(n * 10, None))));
        (1..300).for_each(|quiet| recent.push(quiet, &second([])));
        assert_eq!(recent.outages(), []);
        let key = CloseKey::unsaid(Initiator::Network, 1006, None);
        let lost = (0..40).map(|n| {
            let out = WayOut { from: at(300_100 + n), upgraded: at(n * 10), key, is_lost: true };
            Life::Out(Box::new(out))
        });
        recent.push(300, &second(lost));
        let expected = LiveOutage { first: 3_001, at_risk: 100, lost: 40, back: 0 };
        assert_eq!(recent.outages(), [expected]);
        let bin = Some(Bin::of(at(300_100)));
        recent.push(301, &second((0..30).map(|n| way_in(301_000 + n, bin))));
        assert_eq!(recent.outages(), [LiveOutage { back: 30, ..expected }]);
        assert!(recent.outages()[0].is_open());
        (302..430).for_each(|quiet| recent.push(quiet, &second([])));
        assert_eq!(recent.outages(), [], "two minutes later nobody looks at it");
    }
}
