//! The reconnects of a group: how long they take, how many succeed, who is still away.
//!
//! In: a tally. Out: the estimate over all that were wanted back, and the parts of the success rate. Journals before schema version 3 do not tell how long
//! those had been away who were so when the run ended: they are left out, as they were then.

use crate::sample::{Counter, Metric};

use super::histogram::Latencies;
use super::survival::{Quantile, Survival, counts};
use super::tally::Tally;

/// How the clients of a group came back, or did not.
#[derive(Debug, Clone, PartialEq)]
pub struct Reconnects {
    /// Reconnects that ended in a ready session.
    pub back: u64,
    /// Reconnects that were given up.
    pub given_up: u64,
    /// Reconnects that were under way when the run ended.
    pub away: u64,
    /// Of those, how many were cut off so late that they say nothing: the success rate leaves them out.
    pub too_late_to_tell: u64,
    /// Microseconds: from this time away on, one that was away when the run ended counts as not back.
    pub not_back_from_us: u64,
    /// The longest time that one had been away when the run ended; `None`: none was, or how long is not known.
    pub longest_away_us: Option<u64>,
    /// How long it takes to come back, with those who are still away and those who gave up.
    pub survival: Survival,
}

impl Reconnects {
    /// Those of a tally.
    #[must_use]
    pub fn of(tally: &Tally) -> Self {
        let (none, no_one) = (Latencies::new(), Latencies::new());
        let back = tally.histograms.get(&Metric::ReconnectLatency).unwrap_or(&none);
        let away = tally.histograms.get(&Metric::ReconnectAway).unwrap_or(&no_one);
        let given_up = tally.counter(Counter::ReconnectsGivenUp);
        let survival = Survival::of(back, away, given_up);
        let unknown = tally.counter(Counter::ReconnectsUnfinished).saturating_sub(away.count());
        let not_back_from_us = not_back_from_us(&survival, back.count(), away);
        let too_late = away.count() - count_not_back(not_back_from_us, away);
        Self {
            back: tally.counter(Counter::Reconnects),
            given_up,
            away: away.count() + unknown,
            too_late_to_tell: too_late + unknown,
            not_back_from_us,
            longest_away_us: (away.count() > 0).then(|| away.max_us()),
            survival,
        }
    }

    /// All that were wanted back.
    #[must_use]
    pub const fn wanted(&self) -> u64 {
        self.back + self.given_up + self.away
    }

    /// Numerator and denominator of the success rate.
    #[must_use]
    pub const fn success(&self) -> (u64, u64) {
        (self.back, self.wanted() - self.too_late_to_tell)
    }

    /// A percentile (0..100) of the time that it takes to come back.
    #[must_use]
    pub fn percentile(&self, percentile: f64) -> Option<Quantile> {
        self.survival.percentile(percentile)
    }

    /// Where nobody came back: `18 of 18 away`, `12 of 18 away, 6 given up`. `None` where somebody did, or none could have.
    #[must_use]
    pub fn nobody_came_back(&self) -> Option<String> {
        if self.back > 0 || self.success().1 == 0 {
            return None;
        }
        let parts = [(self.away, "away"), (self.given_up, "given up")].into_iter().filter(|(n, _)| *n > 0);
        let parts: Vec<String> = parts.map(|(n, what)| format!("{n} of {} {what}", self.wanted())).collect();
        Some(format!("nobody came back: {}", parts.join(", ")))
    }
}

/// Microseconds: those who were away for this long or longer when the run ended count as not back.
///
/// It is the longest time that one took to come back. A run that loses clients all the time ends with some on their way, and each of those may be about to
/// take the longest: so up to 1 % as many as came back may exceed it, by a quarter at most. A lower bound, as the p99 of those who came back, would fail
/// `rate == 100%` by chance, and more so where the run ends in a moment when all of them wait for the same thing. Where nobody came back, all count but
/// those who had no time at all.
fn not_back_from_us(survival: &Survival, back: u64, away: &Latencies) -> u64 {
    let Some(longest_us) = survival.steps().last().map(|step| step.time_us.max(1)) else { return 1 };
    let patient_us = longest_us + longest_us / 4 + 1;
    let a_little_longer = count_not_back(longest_us, away) - count_not_back(patient_us, away);
    if a_little_longer * 100 <= back { patient_us } else { longest_us }
}

/// How many of those who were away when the run ended, or a part of it, count as not back: by [`Reconnects::not_back_from_us`] of the whole run.
#[must_use]
pub fn count_not_back(not_back_from_us: u64, away: &Latencies) -> u64 {
    counts(away).filter(|(us, _)| *us >= not_back_from_us).map(|(_, count)| count).sum()
}

/// Numerator and denominator of the success rate of some groups: each is judged by its own reconnects.
#[must_use]
pub fn success_of<'t>(groups: impl IntoIterator<Item = &'t Tally>) -> (u64, u64) {
    let parts = groups.into_iter().map(|tally| Reconnects::of(tally).success());
    parts.fold((0, 0), |(back, all), (more_back, more)| (back + more_back, all + more))
}

/// The values of a metric as reports tell them: the percentiles of the reconnect latency know of those who are still away and of those who gave up.
#[derive(Debug, Clone)]
pub struct Times<'t> {
    /// The values that were recorded; of the reconnect latency, those of who came back. `None` where nobody did.
    pub recorded: Option<&'t Latencies>,
    reconnects: Option<Reconnects>,
}

impl<'t> Times<'t> {
    /// Of a metric of a tally; `None` where there is nothing to tell.
    #[must_use]
    pub fn of(tally: &'t Tally, metric: Metric) -> Option<Self> {
        let recorded = tally.histograms.get(&metric).filter(|histogram| histogram.count() > 0);
        let reconnects = (metric == Metric::ReconnectLatency).then(|| Reconnects::of(tally));
        let is_told = recorded.is_some() || reconnects.as_ref().is_some_and(|reconnects| reconnects.away > 0);
        is_told.then_some(Self { recorded, reconnects })
    }

    /// A percentile (0..100); `None` where nothing was seen.
    #[must_use]
    pub fn percentile(&self, percentile: f64) -> Option<Quantile> {
        match &self.reconnects {
            Some(reconnects) => reconnects.percentile(percentile),
            None => self.recorded.map(|recorded| Quantile::At(recorded.percentile_us(percentile))),
        }
    }

    /// Of the reconnect latency: how many were still away when the run ended, and the longest time that one had been so.
    #[must_use]
    pub fn away(&self) -> Option<(u64, Option<u64>)> {
        self.reconnects.as_ref().map(|reconnects| (reconnects.away, reconnects.longest_away_us))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sample::{AttemptKind, AwaySample, Phases, ReadySample, Sample};

    /// A group of which some came back after these milliseconds, some had been away for these, and some gave up.
    fn tally(back_ms: &[u64], away_ms: &[u64], given_up: u64) -> Tally {
        let mut tally = Tally::default();
        for ms in back_ms {
            let (latency, phases) = (Duration::from_millis(*ms), Phases::default());
            let kind = AttemptKind::Reconnect;
            let ready = ReadySample { kind, storm: None, latency, service_time: latency, phases };
            tally.apply(&Sample::Ready(Box::new(ready)));
        }
        for ms in away_ms {
            tally.apply(&Sample::Count(Counter::ReconnectsUnfinished, 1));
            tally.apply(&Sample::Away(AwaySample { storm: None, away: Duration::from_millis(*ms) }));
        }
        tally.apply(&Sample::Count(Counter::ReconnectsGivenUp, given_up));
        tally
    }

    #[test]
    fn who_was_cut_off_too_late_to_be_back_is_left_out_of_the_success_rate_and_nobody_else() {
        let hundred: Vec<u64> = (1..=100).map(|n| n * 10).collect();
        // (back, away, given up, parts of the rate)
        type Row<'a> = (&'a [u64], &'a [u64], u64, (u64, u64));
        let rows: [Row<'_>; 13] = [
            (&[], &[], 0, (0, 0)),
            (&hundred, &[], 0, (100, 100)),
            (&hundred, &[5, 100, 900], 0, (100, 100)),
            // The longest that came back took a second: one in a hundred may be about to take a little longer.
            (&hundred, &[900, 999, 1_240], 0, (100, 100)),
            (&hundred, &[900, 999, 1_260], 0, (100, 101)),
            (&hundred, &[900, 999, 1_000, 1_240, 5_000], 0, (100, 103)),
            (&hundred, &[5], 25, (100, 125)),
            (&[1_000, 1_000], &[5_000; 18], 0, (2, 20)),
            (&[1_000], &[999], 0, (1, 1)),
            (&[1_000], &[1_100], 0, (1, 2)),
            (&[], &[1, 7], 0, (0, 2)),
            (&[], &[], 3, (0, 3)),
            // It was told to stop before it knew that its session was over.
            (&[], &[0, 7], 0, (0, 1)),
        ];
        for (back, away, given_up, expected) in rows {
            let reconnects = Reconnects::of(&tally(back, away, given_up));
            assert_eq!(reconnects.success(), expected, "{back:?} {away:?} {given_up}");
            assert_eq!(reconnects.wanted(), (back.len() + away.len()) as u64 + given_up);
            assert_eq!(reconnects.away, away.len() as u64);
        }
    }

    #[test]
    fn groups_are_judged_each_by_its_own_reconnects() {
        // Half a second is long where others take a tenth, and nothing where they take two.
        let (quick, slow) = (tally(&[100; 50], &[500], 0), tally(&[2_000; 50], &[500], 0));
        assert_eq!(success_of([&quick, &slow]), (100, 101));
        let mut together = quick;
        together.merge(&slow);
        assert_eq!(Reconnects::of(&together).success(), (100, 100), "which one cannot tell");
    }

    #[test]
    fn where_nobody_came_back_that_is_told() {
        let told = |back: &[u64], away: &[u64], given_up| {
            Reconnects::of(&tally(back, away, given_up)).nobody_came_back().unwrap_or_default()
        };
        assert_eq!(told(&[], &[5; 18], 0), "nobody came back: 18 of 18 away");
        assert_eq!(told(&[], &[5; 2], 1), "nobody came back: 2 of 3 away, 1 of 3 given up");
        assert_eq!((told(&[1], &[5], 0), told(&[], &[], 0)), (String::new(), String::new()));
    }

    #[test]
    fn journals_that_do_not_tell_how_long_leave_them_out() {
        let mut old = tally(&[10, 20], &[], 0);
        old.apply(&Sample::Count(Counter::ReconnectsUnfinished, 5));
        let reconnects = Reconnects::of(&old);
        assert_eq!((reconnects.away, reconnects.longest_away_us), (5, None));
        assert_eq!((reconnects.success(), reconnects.survival.population()), ((2, 2), 2));
    }

    #[test]
    fn only_the_reconnect_latency_knows_of_those_who_are_away() {
        let tally = tally(&[10], &[500], 0);
        let latency = Times::of(&tally, Metric::ReconnectLatency).unwrap();
        assert_eq!(latency.percentile(99.0), Some(Quantile::Beyond(500_223)));
        assert_eq!(latency.away(), Some((1, Some(500_223))));
        let service = Times::of(&tally, Metric::ReconnectServiceTime).unwrap();
        assert_eq!(service.percentile(99.0), Some(Quantile::At(10_007)));
        assert!(service.away().is_none() && Times::of(&tally, Metric::ConnectLatency).is_none());
        let away = self::tally(&[], &[500], 0);
        assert!(Times::of(&away, Metric::ReconnectLatency).unwrap().recorded.is_none());
    }
}
