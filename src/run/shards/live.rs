//! How all shards together stand, while they run.
//!
//! In: their seconds' numbers, as they come. Out: one live view a second, and whether a threshold ends the run. Shards are not waited for: what has come by
//! then is in the view.

use std::sync::Arc;

use crate::clock::Moment;
use crate::record::outages::Recent;
use crate::record::{LiveView, Mark, PackedTally, Tally, failing_threshold, settled_marks};
use crate::scenario::keys::{Scenario, Threshold};

/// The numbers of all shards so far.
pub(super) struct Live {
    totals: Vec<Tally>,
    /// What came since the last view.
    last: Vec<Tally>,
    recent: Recent,
    /// What was done to the service, as it was told.
    marks: Vec<Mark>,
}

impl Live {
    /// Those of a run of so many groups, before its first second.
    pub(super) fn new(groups: usize) -> Self {
        let nothing = vec![Tally::default(); groups];
        Self { totals: nothing.clone(), last: nothing, recent: Recent::default(), marks: Vec::new() }
    }

    /// Takes in a second of a shard.
    pub(super) fn add(&mut self, groups: &[PackedTally]) {
        let own = self.totals.iter_mut().zip(&mut self.last);
        for ((total, last), packed) in own.zip(groups) {
            packed.add_to(total);
            packed.add_second_to(last);
        }
    }

    /// Takes in a mark, or what has become of one.
    pub(super) fn mark(&mut self, mark: Mark) {
        self.marks = settled_marks(self.marks.drain(..).chain([mark]));
    }

    /// The view at the end of `second`; what comes then is the next one's.
    pub(super) fn view(&mut self, second: u64) -> LiveView {
        let nothing = vec![Tally::default(); self.totals.len()];
        let last = std::mem::replace(&mut self.last, nothing);
        self.recent.push(second, &last);
        let (totals, recent) = (Arc::new(self.totals.clone()), self.recent.clone());
        let marks = Arc::new(self.marks.clone());
        LiveView { second, totals, last: Arc::new(last), recent, marks }
    }

    /// The first threshold that is to end the run and fails over all shards.
    pub(super) fn failing<'s>(&self, scenario: &'s Scenario, now: Moment) -> Option<&'s Threshold> {
        failing_threshold(scenario, &self.totals, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{Counter, Sample};

    #[test]
    fn a_view_has_all_so_far_and_what_came_since_the_last() {
        let mut tally = Tally::default();
        tally.apply(&Sample::Count(Counter::Reconnects, 2));
        let second = [PackedTally::of(&tally)];
        let mut live = Live::new(1);
        live.add(&second);
        live.add(&second);
        let numbers = |view: &LiveView| {
            (
                view.second,
                view.totals[0].counter(Counter::Reconnects),
                view.last[0].counter(Counter::Reconnects),
            )
        };
        assert_eq!(numbers(&live.view(0)), (0, 4, 4));
        live.add(&second);
        assert_eq!(numbers(&live.view(1)), (1, 6, 2));
        assert_eq!(numbers(&live.view(2)), (2, 6, 0));
    }
}
