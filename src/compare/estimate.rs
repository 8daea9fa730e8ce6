//! Estimates: a quantity on each side, and the uncertainty of the difference.
//!
//! In: the repeats of both sides. Out: values (percentiles of the merged histograms of all repeats, never averages of percentiles), variances by
//! the bootstrap, and the standard error of the difference with its degrees of freedom. See [the module](super) for the method.

use std::collections::BTreeMap;

use crate::sample::Metric;

use super::measure::{Measure, OfAllOutages, OfOutage, Quantity, RunNumber, ShareKind};
use super::repeat::Counts;
use super::resample::Resamples;
use super::shares::{SharePair, angle, chance_variance};
use super::side::{ENOUGH_REPEATS, Histograms, Side, Stacks};

/// Degrees of freedom that an assumed spread counts for.
const ASSUMED_DF: f64 = 8.0;
/// Below it, a variance is no variance: what rounding leaves.
const LEAST_VARIANCE: f64 = 1e-18;
/// What stands for a time of nothing where its logarithm is taken: one microsecond.
pub(super) const LEAST_US: f64 = 1.0;

/// A quantity on one side.
#[derive(Debug, Clone, PartialEq)]
pub struct SideEstimate {
    /// Its value over all repeats; where it lies beyond what was seen, what it is longer than.
    pub value: f64,
    /// Whether it lies beyond what was seen: too many clients were still away, or gave up.
    pub is_beyond: bool,
    /// Its value in each repeat, or what it is longer than there; `None` where a repeat has no sample of it.
    pub repeats: Vec<Option<f64>>,
    /// On how many samples it rests.
    pub samples: u64,
    /// Variance of the value (of its logarithm, where differences are ratios; of its angle, where it is a share) if the repeats were had again; `None` below two.
    pub variance_repeats: Option<f64>,
    /// The same if the blocks of seconds within them were had again; only below three repeats.
    pub variance_blocks: Option<f64>,
    /// What it varies at least, for the histogram's resolution, for the number of attempts, or for that of outages.
    pub variance_floor: f64,
}

impl SideEstimate {
    /// The value, where it was seen.
    #[must_use]
    pub fn seen(&self) -> Option<f64> {
        (!self.is_beyond).then_some(self.value)
    }

    /// How many of its repeats have a sample.
    fn runs(&self) -> usize {
        self.repeats.iter().flatten().count()
    }
}

/// On what an uncertainty rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// Both sides have enough repeats.
    Repeats,
    /// One side has: the other is taken to spread like it.
    OtherSide,
    /// Neither has: the spread from run to run is assumed, what varies within a run is measured.
    Assumed,
}

impl Basis {
    /// The name that files use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Repeats => "repeats",
            Self::OtherSide => "other_side",
            Self::Assumed => "assumed",
        }
    }
}

/// The difference of a quantity between the sides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// Candidate less baseline: of the logarithms, of the angles of shares, or as they are.
    pub estimate: f64,
    /// Variance of one run on either side: how far repeats lie apart.
    pub per_run: (f64, f64),
    /// Its standard error.
    pub standard_error: f64,
    /// Degrees of freedom (Welch 1947).
    pub df: f64,
    /// On what they rest.
    pub basis: Basis,
    /// Both sides, where it is of shares.
    pub shares: Option<SharePair>,
}

impl Difference {
    /// What a reader sees of it: of shares as they are, else [`Self::estimate`].
    #[must_use]
    pub fn change(&self) -> f64 {
        self.shares.map_or(self.estimate, |pair| pair.difference())
    }

    /// Bounds around [`Self::change`] at `t` standard errors.
    #[must_use]
    pub fn bounds(&self, t: f64) -> (f64, f64) {
        let reach = t * self.standard_error;
        self.shares.map_or((self.estimate - reach, self.estimate + reach), |pair| pair.bounds(t))
    }

    /// The same difference, had each side so many runs.
    #[must_use]
    pub fn of_repeats(&self, repeats: u32) -> Self {
        let n = f64::from(repeats);
        let variances = (self.per_run.0 / n, self.per_run.1 / n);
        Self {
            standard_error: (variances.0 + variances.1).sqrt(),
            df: 2.0 * n - 2.0,
            shares: self.shares.map(|pair| SharePair { variances, ..pair }),
            ..*self
        }
    }
}

/// Sums in which every unit (a run, or a block) has a part.
enum Units {
    Percentile(f64),
    Ratio { numerators: Vec<f64>, denominators: Vec<f64> },
}

impl Units {
    /// What is measured, and whether it is only what the value is longer than.
    fn value(&self, histograms: Option<&Histograms>, weights: &[u32]) -> Option<(f64, bool)> {
        match self {
            Self::Percentile(percentile) => histograms?.percentile(weights, *percentile),
            Self::Ratio { numerators, denominators } => {
                let sum = |parts: &[f64]| -> f64 {
                    parts.iter().zip(weights).map(|(part, weight)| part * f64::from(*weight)).sum()
                };
                let whole = sum(denominators);
                (whole > 0.0).then(|| (sum(numerators) / whole, false))
            }
        }
    }
}

/// The resamples of a side, drawn once for all its measures.
struct Drawn {
    runs: Option<Resamples>,
    blocks: Option<Resamples>,
}

/// Each measure on one side; `None` where the side has no sample of it.
#[must_use]
pub fn estimate_side(side: Side<'_>, measures: &[&Measure]) -> Vec<Option<SideEstimate>> {
    let blocks: Vec<usize> = side.repeats.iter().map(|repeat| repeat.blocks.len()).collect();
    let drawn = Drawn {
        runs: Resamples::of_units(side.repeats.len(), side.seed),
        blocks: (side.repeats.len() < ENOUGH_REPEATS)
            .then(|| Resamples::of_blocks(&blocks, side.seed))
            .flatten(),
    };
    let mut stacks: BTreeMap<Metric, Stacks> = BTreeMap::new();
    let mut outages: BTreeMap<usize, Stacks> = BTreeMap::new();
    let mut exchanges: BTreeMap<&str, Stacks> = BTreeMap::new();
    let mut storms: Option<Stacks> = None;
    let estimates = measures.iter().map(|measure| {
        let stacks = match measure.quantity {
            Quantity::Percentile(metric, _) => {
                Some(&*stacks.entry(metric).or_insert_with(|| Stacks::new(side, metric)))
            }
            Quantity::Exchange(_) => measure
                .exchange
                .as_deref()
                .map(|name| &*exchanges.entry(name).or_insert_with(|| Stacks::of_exchange(side, name))),
            Quantity::Outage(index, OfOutage::Recovery(_)) => {
                Some(&*outages.entry(index).or_insert_with(|| Stacks::of_outage(side, index)))
            }
            Quantity::StormRecovery(_) => Some(&*storms.get_or_insert_with(|| Stacks::of_storms(side))),
            _ => None,
        };
        estimate(side, measure, stacks, &drawn)
    });
    estimates.collect()
}

fn estimate(
    side: Side<'_>,
    measure: &Measure,
    stacks: Option<&Stacks>,
    drawn: &Drawn,
) -> Option<SideEstimate> {
    let units = over_runs(side, measure);
    let runs = side.repeats.len();
    let stack = stacks.map(|stacks| &stacks.runs);
    let (value, is_beyond) = units.value(stack, &vec![1; runs])?;
    let one = |index: usize| {
        let mut weights = vec![0; runs];
        weights[index] = 1;
        units.value(stack, &weights).map(|(value, _)| value)
    };
    let samples = stacks.map_or_else(|| samples_of(&units), |stacks| stacks.samples);
    let scaled = |value: Option<(f64, bool)>| value.and_then(|(value, _)| on_scale(measure, value, samples));
    let repeats: Vec<Option<f64>> = (0..runs).map(one).collect();
    let variance_repeats =
        variance_over_runs(side, drawn, &repeats, &|weights| scaled(units.value(stack, weights)));
    let variance_blocks = drawn.blocks.as_ref().zip(over_blocks(side, measure)).map(|(drawn, units)| {
        let stack = stacks.and_then(|stacks| stacks.blocks.as_ref());
        drawn.variance(&|weights| scaled(units.value(stack, weights)))
    });
    let variance_floor = match measure.quantity {
        Quantity::Outages(of) => outages_floor(side, of),
        Quantity::Share(_) => chance_variance(independent(side, samples)),
        Quantity::TokenRequestsPeak => peak_floor(&repeats),
        _ => floor(stacks.map(|stacks| stacks.precision)),
    };
    Some(SideEstimate {
        value,
        is_beyond,
        repeats,
        samples,
        variance_repeats,
        variance_blocks,
        variance_floor,
    })
}

/// Over the runs that have a value: one that has none, as an outage that not every run met, tells nothing of how far they spread.
fn variance_over_runs(
    side: Side<'_>,
    drawn: &Drawn,
    repeats: &[Option<f64>],
    value: &dyn Fn(&[u32]) -> Option<f64>,
) -> Option<f64> {
    let with: Vec<usize> = (0..repeats.len()).filter(|index| repeats[*index].is_some()).collect();
    if with.len() == repeats.len() {
        return drawn.runs.as_ref().map(|drawn| drawn.variance(value));
    }
    let drawn = Resamples::of_units(with.len(), side.seed)?;
    Some(drawn.variance(&|weights| {
        let mut of_all = vec![0; repeats.len()];
        with.iter().zip(weights).for_each(|(index, weight)| of_all[*index] = *weight);
        value(&of_all)
    }))
}

/// A value on the scale on which differences are taken; `None` where it has no logarithm.
fn on_scale(measure: &Measure, value: f64, samples: u64) -> Option<f64> {
    match measure.quantity {
        // A time below a microsecond is recorded as none.
        Quantity::Percentile(..) | Quantity::Exchange(_) => Some(value.max(LEAST_US).ln()),
        Quantity::Share(_) => Some(angle(value, Some(samples))),
        // Client-seconds are no trials.
        Quantity::Availability => Some(angle(value, None)),
        _ if !measure.is_ratio() => Some(value),
        _ => (value > 0.0).then(|| value.ln()),
    }
}

fn over_runs(side: Side<'_>, measure: &Measure) -> Units {
    let counts = side.repeats.iter().map(|repeat| (repeat.counts(side.group), repeat.facts.elapsed_s));
    match measure.quantity {
        Quantity::Percentile(_, percentile)
        | Quantity::Exchange(percentile)
        | Quantity::StormRecovery(percentile)
        | Quantity::Outage(_, OfOutage::Recovery(percentile)) => Units::Percentile(percentile),
        Quantity::TokenRequestsPeak => each(side.repeats.iter().map(|repeat| {
            let own = repeat.group_storms(side.group)?;
            Some(own.token_requests_peak as f64)
        })),
        Quantity::Run(number) => each(side.repeats.iter().map(|repeat| match number {
            RunNumber::CpuSeconds => repeat.facts.cpu_s,
            RunNumber::MaxRssBytes => repeat.facts.max_rss_bytes.map(|bytes| bytes as f64),
        })),
        Quantity::Outage(index, of) => each(side.outage(index).into_iter().map(|outage| match of {
            OfOutage::Lost => outage.map(|outage| outage.lost as f64),
            _ => outage.map(|outage| outage.cost_s),
        })),
        Quantity::Outages(of) => each(side.repeats.iter().map(|repeat| {
            let outages = repeat.group_outages(side.group)?;
            Some(match of {
                OfAllOutages::Number => outages.number as f64,
                OfAllOutages::Cost => outages.cost_s,
            })
        })),
        Quantity::Availability => {
            let own = side.repeats.iter().map(|repeat| repeat.group_outages(side.group));
            let (numerators, denominators) =
                own.map(|own| own.map_or((0.0, 0.0), |own| (own.in_s, own.wanted_s))).unzip();
            Units::Ratio { numerators, denominators }
        }
        _ => ratios(measure, counts),
    }
}

/// The mean of a number that each run has, or has not.
fn each(values: impl Iterator<Item = Option<f64>>) -> Units {
    let (numerators, denominators) =
        values.map(|value| (value.unwrap_or(0.0), f64::from(u8::from(value.is_some())))).unzip();
    Units::Ratio { numerators, denominators }
}

/// The same by blocks; `None` where a block has no such number.
fn over_blocks(side: Side<'_>, measure: &Measure) -> Option<Units> {
    let blocks = side.repeats.iter().flat_map(|repeat| &repeat.blocks);
    match measure.quantity {
        Quantity::Percentile(_, percentile) | Quantity::Exchange(percentile) => {
            Some(Units::Percentile(percentile))
        }
        // How many come back in which second is the scenario's doing: it says nothing of another run.
        Quantity::Run(_) | Quantity::ReconnectsPerSecond => None,
        // Nor does in which second attempts fail: where all refusals follow one storm, most seconds have none.
        Quantity::Share(_) => None,
        // The busiest second is one, and a storm strikes once.
        Quantity::TokenRequestsPeak | Quantity::StormRecovery(_) => None,
        // An outage lies in whichever block it does: to draw blocks would draw whether it was.
        _ if measure.is_of_outages() => None,
        _ => Some(ratios(
            measure,
            blocks.map(|block| {
                let group = block.groups.get(side.group);
                (group.map(|group| group.counts).unwrap_or_default(), block.seconds as f64)
            }),
        )),
    }
}

fn ratios(measure: &Measure, counts: impl Iterator<Item = (Counts, f64)>) -> Units {
    let parts = counts.map(|(counts, seconds)| match measure.quantity {
        Quantity::Share(ShareKind::Refused403) => (counts.refused_403 as f64, counts.answered as f64),
        Quantity::Share(ShareKind::AttemptFailure) => (counts.failed as f64, counts.attempts as f64),
        Quantity::Share(ShareKind::ReconnectSuccess) => (counts.back as f64, counts.reconnects_ended as f64),
        Quantity::TokensPerReconnect => (counts.tokens_for_reconnects as f64, counts.back as f64),
        _ => (counts.back as f64, seconds),
    });
    let (numerators, denominators) = parts.unzip();
    Units::Ratio { numerators, denominators }
}

fn samples_of(units: &Units) -> u64 {
    match units {
        Units::Percentile(_) => 0,
        Units::Ratio { denominators, .. } => denominators.iter().sum::<f64>() as u64,
    }
}

/// Half a bucket's width as a standard deviation for percentiles.
fn floor(precision: Option<u8>) -> f64 {
    precision.map_or(LEAST_VARIANCE, |precision| 0.25_f64.powi(i32::from(precision)) / 12.0)
}

/// Of how many trials a share is at most: the attempts of one way in, or back, share their fate.
fn independent(side: Side<'_>, samples: u64) -> u64 {
    let ways = side.repeats.iter().map(|repeat| {
        let clients = repeat.facts.groups.get(side.group).map_or(0, |group| u64::from(group.clients));
        clients + repeat.counts(side.group).reconnects_ended
    });
    samples.min(ways.sum::<u64>().max(1))
}

/// Where a side has too few repeats, the requests of its busiest second vary as chance events do (Poisson), on the logarithmic scale.
fn peak_floor(peaks: &[Option<f64>]) -> f64 {
    let sum: f64 = peaks.iter().flatten().sum();
    if peaks.iter().flatten().count() >= ENOUGH_REPEATS || sum <= 0.0 { LEAST_VARIANCE } else { 1.0 / sum }
}

/// Where a side has too few repeats to tell how often there are outages, their number varies as that of chance events does (Poisson): one run with an outage
/// and one without tell nothing.
fn outages_floor(side: Side<'_>, of: OfAllOutages) -> f64 {
    let known: Vec<_> = side.repeats.iter().filter_map(|repeat| repeat.group_outages(side.group)).collect();
    let number = known.iter().map(|own| own.number).sum::<u64>() as f64;
    if known.len() >= ENOUGH_REPEATS || number == 0.0 {
        return LEAST_VARIANCE;
    }
    let of_one = match of {
        OfAllOutages::Number => 1.0,
        OfAllOutages::Cost => known.iter().map(|own| own.cost_s).sum::<f64>() / number,
    };
    number * (of_one / known.len() as f64).powi(2)
}

/// The difference of a measure between two sides; `None` where a side has no logarithm of it, and where one lies beyond what was seen and may be either side of
/// the other: a value that is longer than all that was seen can be told from a shorter one, and from no other. `spread` is the standard deviation from run to run,
/// relative to the value, that is assumed where no side has enough repeats to tell.
#[must_use]
pub fn difference(
    measure: &Measure,
    baseline: &SideEstimate,
    candidate: &SideEstimate,
    spread: f64,
) -> Option<Difference> {
    match (baseline.is_beyond, candidate.is_beyond) {
        (true, true) => return None,
        (true, false) if candidate.value >= baseline.value => return None,
        (false, true) if baseline.value >= candidate.value => return None,
        _ => {}
    }
    let scaled = |side: &SideEstimate| on_scale(measure, side.value, side.samples);
    let on_scale = (scaled(baseline)?, scaled(candidate)?);
    let (variances, df, basis) = uncertainty(measure, baseline, candidate, spread);
    Some(Difference {
        estimate: on_scale.1 - on_scale.0,
        per_run: (variances.0 * baseline.runs() as f64, variances.1 * candidate.runs() as f64),
        standard_error: (variances.0 + variances.1).sqrt(),
        df,
        basis,
        shares: measure.is_share().then_some(SharePair {
            shares: (baseline.value, candidate.value),
            angles: on_scale,
            variances,
        }),
    })
}

fn uncertainty(
    measure: &Measure,
    baseline: &SideEstimate,
    candidate: &SideEstimate,
    spread: f64,
) -> ((f64, f64), f64, Basis) {
    let own = |side: &SideEstimate| {
        let enough = side.runs() >= ENOUGH_REPEATS;
        side.variance_repeats.filter(|_| enough).map(|variance| variance.max(side.variance_floor))
    };
    let df_of = |side: &SideEstimate| side.runs() as f64 - 1.0;
    let borrowed = |from: &SideEstimate, variance: f64, to: &SideEstimate| {
        let per_run = variance * from.runs() as f64;
        let within = to.variance_blocks.unwrap_or(0.0).max(to.variance_floor);
        (per_run / to.runs() as f64).max(within)
    };
    match (own(baseline), own(candidate)) {
        (Some(a), Some(b)) => ((a, b), welch_df(a, df_of(baseline), b, df_of(candidate)), Basis::Repeats),
        (Some(a), None) => ((a, borrowed(baseline, a, candidate)), df_of(baseline), Basis::OtherSide),
        (None, Some(b)) => ((borrowed(candidate, b, baseline), b), df_of(candidate), Basis::OtherSide),
        (None, None) => {
            let assumed = |side: &SideEstimate| {
                let within = side.variance_blocks.unwrap_or(0.0).max(side.variance_floor);
                assumed_variance(measure, side.value, spread) / side.runs() as f64 + within
            };
            ((assumed(baseline), assumed(candidate)), ASSUMED_DF, Basis::Assumed)
        }
    }
}

/// A spread relative to the value, on the scale of differences; of a share, relative to its odds, so that none and all do not spread (d asin √p is dp / 2√(p(1−p))).
fn assumed_variance(measure: &Measure, value: f64, spread: f64) -> f64 {
    match measure.quantity {
        Quantity::Share(_) | Quantity::Availability => (spread / 2.0).powi(2) * value * (1.0 - value),
        Quantity::Outages(_) => (spread * value).powi(2),
        _ => spread.powi(2),
    }
}

/// Welch's degrees of freedom (Welch 1947; Satterthwaite 1946) of a difference of means with variances `a` and `b`.
fn welch_df(a: f64, df_a: f64, b: f64, df_b: f64) -> f64 {
    (a + b).powi(2) / (a.powi(2) / df_a + b.powi(2) / df_b)
}

#[cfg(test)]
#[path = "estimate_tests.rs"]
mod tests;
