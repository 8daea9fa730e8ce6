//! How long it takes to come back where some are still away: the product-limit estimator.
//!
//! In: times of those who came back, times of those who were still away when they were last seen (right-censored), and how many gave up, who never come
//! back. Out: the share that is still away by the time since the disconnect, and percentiles with their intervals, which may lie beyond what was seen.
//! Pure. With nobody away and nobody given up, a percentile is the histogram's to the last digit.
//!
//! Sources: Kaplan and Meier 1958, J. Am. Stat. Assoc. 53, 457 (the estimator; who came back and who was last seen away at the same moment: the return comes
//! first); Greenwood 1926 (its variance); Brookmeyer and Crowley 1982, Biometrics 38, 29 (the interval of a quantile), on the scale of log(−log S)
//! (Kalbfleisch and Prentice 1980).

use crate::units::format_us;

use super::histogram::Latencies;

/// The normal quantile of an interval of 95 %.
const Z_95: f64 = 1.959_963_984_540_054;
/// What rounding may leave of a share.
const ROUNDING: f64 = 1e-12;

/// A percentile of a time, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantile {
    /// It was seen.
    At(u64),
    /// It is longer than the longest time that was seen, which is this: too many are still away.
    Beyond(u64),
    /// So many gave up that it never comes, however long one waits. The longest time that was seen is this.
    Never(u64),
}

impl Quantile {
    /// For people: `1.02 s`, `> 5.00 s`, `never`.
    #[must_use]
    pub fn words(self) -> String {
        match self {
            Self::At(us) => format_us(us),
            Self::Beyond(us) => format!("> {}", format_us(us)),
            Self::Never(_) => "never".to_owned(),
        }
    }

    /// The value, where it was seen.
    #[must_use]
    pub const fn seen_us(self) -> Option<u64> {
        match self {
            Self::At(us) => Some(us),
            Self::Beyond(_) | Self::Never(_) => None,
        }
    }

    /// Its place beside others: what was seen, what is longer, what never comes.
    pub(super) const fn rank(self) -> u8 {
        match self {
            Self::At(_) => 0,
            Self::Beyond(_) => 1,
            Self::Never(_) => 2,
        }
    }

    /// What it is longer than, where it was not.
    #[must_use]
    pub const fn beyond_us(self) -> Option<u64> {
        match self {
            Self::At(_) => None,
            Self::Beyond(us) | Self::Never(us) => Some(us),
        }
    }

    /// A time that was not over when the run ended: it is longer than this, and than `seen_us`.
    #[must_use]
    pub const fn or_longer(self, seen_us: u64) -> Self {
        let least_us = self.least_us();
        let longer_us = if seen_us > least_us { seen_us } else { least_us };
        match self {
            Self::Never(_) => Self::Never(longer_us),
            Self::At(_) | Self::Beyond(_) => Self::Beyond(longer_us),
        }
    }

    /// The value; where it was not seen, what it is at least.
    #[must_use]
    pub const fn least_us(self) -> u64 {
        match self {
            Self::At(us) | Self::Beyond(us) | Self::Never(us) => us,
        }
    }
}

/// A time at which somebody came back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SurvivalStep {
    /// Microseconds since the disconnect.
    pub time_us: u64,
    /// How many came back then.
    pub back: u64,
    /// The share (0..1) that is still away after it.
    pub away: f64,
    /// Greenwood's sum: the variance of the share over its square; infinite where nobody is left.
    relative_variance: f64,
}

impl SurvivalStep {
    /// Bounds of the share that is still away: pointwise, 95 %; `None` where nobody is.
    fn bounds(&self) -> Option<(f64, f64)> {
        if self.away <= 0.0 {
            return None;
        }
        let log = self.away.ln();
        let half = Z_95 * self.relative_variance.sqrt() / log.abs();
        let at = |shift: f64| (log * shift.exp()).exp();
        Some((at(half), at(-half)))
    }
}

/// The estimate: a curve that falls from 1 where somebody comes back.
#[derive(Debug, Clone, PartialEq)]
pub struct Survival {
    steps: Vec<SurvivalStep>,
    population: u64,
    /// How many were seen, back or away.
    seen: u64,
    longest_us: u64,
}

impl Survival {
    /// Of times in microseconds and how often each was seen, in any order; those of `never` gave up.
    #[must_use]
    pub fn new(
        back: impl IntoIterator<Item = (u64, u64)>,
        away: impl IntoIterator<Item = (u64, u64)>,
        never: u64,
    ) -> Self {
        let (back, away) = (ascending(back), ascending(away));
        let seen: u64 = back.iter().chain(&away).map(|(_, count)| count).sum();
        let longest_us = back.last().into_iter().chain(away.last()).map(|(time, _)| *time).max().unwrap_or(0);
        let steps = Walk::new(&back, &away, never).collect();
        Self { steps, population: seen + never, seen, longest_us }
    }

    /// Of histograms.
    #[must_use]
    pub fn of(back: &Latencies, away: &Latencies, never: u64) -> Self {
        Self::new(counts(back), counts(away), never)
    }

    /// How many it is made of, those who gave up included.
    #[must_use]
    pub const fn population(&self) -> u64 {
        self.population
    }

    /// The times at which somebody came back, ascending.
    #[must_use]
    pub fn steps(&self) -> &[SurvivalStep] {
        &self.steps
    }

    /// The least time by which `percentile` (0..100) of all are back. `None` where nobody was seen, back or away.
    #[must_use]
    pub fn percentile(&self, percentile: f64) -> Option<Quantile> {
        let still_away = 1.0 - percentile / 100.0 + ROUNDING;
        let found = self.first(|step| step.away <= still_away)?;
        Some(or_never(found, still_away, self.population - self.seen, self.population))
    }

    /// Bounds between which that percentile lies in 95 of 100 cases.
    #[must_use]
    pub fn interval(&self, percentile: f64) -> Option<(Quantile, Quantile)> {
        let still_away = 1.0 - percentile / 100.0 + ROUNDING;
        let low = self.first(|step| step.bounds().is_none_or(|(low, _)| low <= still_away))?;
        let high = self.first(|step| step.bounds().is_some_and(|(_, high)| high <= still_away))?;
        Some((low, high))
    }

    fn first(&self, wanted: impl Fn(&SurvivalStep) -> bool) -> Option<Quantile> {
        let step = self.steps.iter().find(|step| wanted(step));
        (self.seen > 0)
            .then(|| step.map_or(Quantile::Beyond(self.longest_us), |step| Quantile::At(step.time_us)))
    }

    /// The mean, where the curve falls to nothing; else the mean up to the longest time that was seen, which the whole one is beyond.
    #[must_use]
    pub fn mean_us(&self) -> Option<Quantile> {
        self.first(|_| false)?;
        let (mut area, mut from, mut away) = (0.0, 0, 1.0);
        for step in &self.steps {
            area += away * (step.time_us - from) as f64;
            (from, away) = (step.time_us, step.away);
        }
        let rest = away * (self.longest_us - from) as f64;
        Some(if self.population > self.seen {
            Quantile::Never((area + rest).round() as u64)
        } else if away > 0.0 {
            Quantile::Beyond((area + rest).round() as u64)
        } else {
            Quantile::At(area.round() as u64)
        })
    }
}

/// Times of each value once, ascending, and how often it was seen.
fn ascending(counts: impl IntoIterator<Item = (u64, u64)>) -> Vec<(u64, u64)> {
    let mut counts: Vec<(u64, u64)> = counts.into_iter().filter(|(_, count)| *count > 0).collect();
    counts.sort_unstable();
    counts.dedup_by(|next, kept| {
        let is_same = next.0 == kept.0;
        kept.1 += if is_same { next.1 } else { 0 };
        is_same
    });
    counts
}

/// A percentile (0..100) of times that are there once each and ascend: that of [`Survival::percentile`], without making the whole curve.
#[must_use]
pub fn percentile_of_ascending(
    back: &[(u64, u64)],
    away: &[(u64, u64)],
    never: u64,
    percentile: f64,
) -> Option<Quantile> {
    let longest = back.last().into_iter().chain(away.last()).map(|(time, _)| *time).max()?;
    let still_away = 1.0 - percentile / 100.0 + ROUNDING;
    let step = Walk::new(back, away, never).find(|step| step.away <= still_away);
    let found = step.map_or(Quantile::Beyond(longest), |step| Quantile::At(step.time_us));
    let seen: u64 = back.iter().chain(away).map(|(_, count)| count).sum();
    Some(or_never(found, still_away, never, seen + never))
}

/// Where so many gave up that the share of those away cannot fall to `still_away`, that time never comes.
fn or_never(found: Quantile, still_away: f64, never: u64, population: u64) -> Quantile {
    match found {
        Quantile::Beyond(us) if never as f64 > still_away * population as f64 => Quantile::Never(us),
        found => found,
    }
}

/// Walks along the curve, from one time at which somebody came back to the next. Between two times at which somebody was last seen away the factors of the
/// product cancel out but for the first and the last: so nothing is rounded where nobody is away.
struct Walk<'t> {
    back: &'t [(u64, u64)],
    away: &'t [(u64, u64)],
    at_risk: u64,
    share: f64,
    base: f64,
    base_risk: u64,
    relative_variance: f64,
}

impl<'t> Walk<'t> {
    fn new(back: &'t [(u64, u64)], away: &'t [(u64, u64)], never: u64) -> Self {
        let seen: u64 = back.iter().chain(away).map(|(_, count)| count).sum();
        let at_risk = seen + never;
        Self { back, away, at_risk, share: 1.0, base: 1.0, base_risk: at_risk, relative_variance: 0.0 }
    }
}

impl Iterator for Walk<'_> {
    type Item = SurvivalStep;

    fn next(&mut self) -> Option<SurvivalStep> {
        let ((time_us, back), rest) = self.back.split_first()?;
        self.back = rest;
        // Who was last seen at this very moment is still looked at.
        while let Some(((_, last_seen), rest)) = self.away.split_first().filter(|((at, _), _)| at < time_us) {
            self.away = rest;
            self.at_risk -= last_seen;
            (self.base, self.base_risk) = (self.share, self.at_risk);
        }
        let left = self.at_risk - back;
        self.share = self.base * left as f64 / self.base_risk as f64;
        self.relative_variance += *back as f64 / (self.at_risk as f64 * left as f64);
        self.at_risk = left;
        let (away, relative_variance) = (self.share, self.relative_variance);
        Some(SurvivalStep { time_us: *time_us, back: *back, away, relative_variance })
    }
}

/// Each value of a histogram, and how often it was recorded.
pub(super) fn counts(latencies: &Latencies) -> impl Iterator<Item = (u64, u64)> + '_ {
    let mut below = 0;
    latencies.steps().map(move |(us, up_to)| (us, up_to - std::mem::replace(&mut below, up_to)))
}

#[cfg(test)]
#[path = "survival_tests.rs"]
mod tests;
