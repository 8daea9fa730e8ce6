//! Clients whose time in the run is over before the run is.
//!
//! In: where a client is in its life. Out: the moment when it is told to stop, as the run's end tells the others.

use crate::clock::Moment;

use super::machine::{Client, State, Step};

impl Client {
    /// Whether it only waits for a moment. Who is on the way in goes on to the end of it.
    pub(super) fn only_waits(&self) -> bool {
        match &self.state {
            State::Session { entering, .. } => {
                entering.as_ref().is_none_or(|entering| entering.admitted.is_some())
            }
            State::Waiting { .. } | State::Silent { .. } => true,
            _ => false,
        }
    }
}

impl Step<'_> {
    /// The earlier of a moment and the end of its time in the run.
    pub(super) fn or_leaves(&self, moment: Moment) -> Moment {
        if self.client.leaves < moment { self.client.leaves } else { moment }
    }
}

#[cfg(test)]
mod tests {
    use crate::clock::Moment;
    use crate::lifecycle::machine::tests::{Bench, marks, ms, rules};
    use crate::lifecycle::{Action, Ending, EndingHow, Event, Finish, Leave, Signs};
    use crate::sample::{Counter, Initiator, Sample};
    use crate::scenario::keys::OnReconnect;

    fn due(bench: &mut Bench, now: Moment) -> Action {
        bench.step(now, Event::Due(Signs::from(now)))
    }

    fn begun(leaves: Moment) -> Bench {
        let mut bench = Bench::new(rules(OnReconnect::Reuse));
        bench.step(ms(0), Event::Begin { due: ms(0), leaves });
        bench.token_at(ms(0));
        bench
    }

    #[test]
    fn a_client_leaves_with_1000_when_its_time_is_over_and_is_not_cut_off() {
        let mut bench = begun(ms(5_000));
        let held = bench.step(ms(1), Event::Connected(marks(ms(1), ms(1))));
        assert!(matches!(held, Action::Hold { until, .. } if until == ms(5_000)), "{held:?}");
        assert_eq!(due(&mut bench, ms(5_002)), Action::Leave(Leave::Close { code: 1000 }));
        let gone = bench.step(ms(5_003), Event::Ended(Ending::new(ms(5_002), EndingHow::Left)));
        assert_eq!(gone, Action::Finish(Finish::RunEnded));
        assert!(!bench.samples.iter().any(|sample| matches!(sample, Sample::Count(Counter::Disconnects, _))));
        let ends = bench.samples.iter().filter_map(|sample| match sample {
            Sample::SessionEnd(end) => Some((end.key.initiator, end.key.code)),
            _ => None,
        });
        assert_eq!(ends.collect::<Vec<_>>(), [(Initiator::Client, 1000)]);
    }

    #[test]
    fn a_client_that_is_away_when_its_time_is_over_was_away_for_so_long() {
        let mut bench = begun(ms(1_005));
        bench.step(ms(1), Event::Connected(marks(ms(1), ms(1))));
        let waits = bench.close_by_target(ms(1_000), 1001);
        assert_eq!(waits, Action::Sleep { until: ms(1_005) }, "its next attempt would be due at 1010");
        assert_eq!(due(&mut bench, ms(1_007)), Action::Finish(Finish::RunEnded));
        let away = bench.samples.iter().find_map(|sample| match sample {
            Sample::Away(away) => Some(away.away.as_millis()),
            _ => None,
        });
        assert_eq!(away, Some(5), "to the moment when it was to leave");
    }

    #[test]
    fn who_is_on_the_way_in_goes_on_to_the_end_of_it() {
        let mut bench = begun(ms(2));
        let held = bench.step(ms(5), Event::Connected(marks(ms(1), ms(5))));
        let left = if matches!(held, Action::Hold { .. }) { due(&mut bench, ms(6)) } else { held };
        assert_eq!(left, Action::Leave(Leave::Close { code: 1000 }));
        assert_eq!(bench.outcomes().len(), 1);
    }
}
