//! One side of a comparison: its runs, and the histograms of a metric in them.
//!
//! In: repeats. Out: percentiles of any weighted sum of their runs, or of their blocks; those of the reconnect latency know of the clients that were still away
//! when a run ended, and of those that gave up. No statistics.

use crate::record::percentile_of_ascending;
use crate::sample::Metric;

use super::buckets::{Buckets, FULL_PRECISION, Stack};
use super::outages::GroupOutage;
use super::repeat::{GroupBlock, Repeat};
use super::storms::GroupStorms;

/// From so many repeats on, a side's spread from run to run is measured on itself.
pub(super) const ENOUGH_REPEATS: usize = 3;

/// The repeats of one side, and which of their groups is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Side<'r> {
    /// The runs.
    pub repeats: &'r [Repeat],
    /// The group's index in each of them.
    pub group: usize,
    /// What the resamples are drawn by.
    pub seed: u64,
}

/// The histograms of a metric, one for each unit.
pub(super) struct Histograms {
    values: Stack,
    not_back: Option<NotBack>,
}

/// Of reconnects, and of those who were lost in an outage: who was still away when a run ended and who gave up, for each unit.
struct NotBack {
    away: Stack,
    given_up: Vec<u64>,
}

impl Histograms {
    fn new<'b>(metric: Metric, units: &[Option<&'b GroupBlock>], precision: u8) -> Self {
        let of = |metric: Metric| -> Vec<Buckets> {
            let histogram =
                |unit: &Option<&'b GroupBlock>| unit.and_then(|unit| unit.histograms.get(&metric));
            let fit = |buckets: &Buckets| {
                if precision < FULL_PRECISION { buckets.coarsened(precision) } else { buckets.clone() }
            };
            units.iter().map(|unit| histogram(unit).map(fit).unwrap_or_default()).collect()
        };
        let given_up: Vec<u64> =
            units.iter().map(|unit| unit.map_or(0, |unit| unit.counts.given_up)).collect();
        let away = of(Metric::ReconnectAway);
        let is_any = away.iter().any(|away| !away.is_empty()) || given_up.iter().any(|count| *count > 0);
        let not_back = (metric == Metric::ReconnectLatency && is_any)
            .then(|| NotBack { away: Stack::new(&away, precision), given_up });
        Self { values: Stack::new(&of(metric), precision), not_back }
    }

    /// Of an exchange, from when its messages were due to their replies.
    fn of_exchange(name: &str, units: &[Option<&GroupBlock>], precision: u8) -> Self {
        let fit = |buckets: &Buckets| {
            if precision < FULL_PRECISION { buckets.coarsened(precision) } else { buckets.clone() }
        };
        let histogram = |unit: &Option<&GroupBlock>| unit.and_then(|unit| unit.exchanges.get(name).map(fit));
        let all: Vec<Buckets> = units.iter().map(|unit| histogram(unit).unwrap_or_default()).collect();
        Self { values: Stack::new(&all, precision), not_back: None }
    }

    /// Of an outage, how those came back who were lost in it.
    fn of_outage(outages: &[Option<&GroupOutage>], precision: u8) -> Self {
        let of = |times: fn(&GroupOutage) -> &Buckets| {
            let fit = |outage: &&GroupOutage| {
                let buckets = times(outage);
                if precision < FULL_PRECISION { buckets.coarsened(precision) } else { buckets.clone() }
            };
            outages.iter().map(|outage| outage.as_ref().map(fit).unwrap_or_default()).collect::<Vec<_>>()
        };
        let given_up = outages.iter().map(|outage| outage.map_or(0, |outage| outage.gave_up)).collect();
        let away = Stack::new(&of(|outage| &outage.away), precision);
        Self {
            values: Stack::new(&of(|outage| &outage.back), precision),
            not_back: Some(NotBack { away, given_up }),
        }
    }

    /// Of storms, how those came back whom they cut off.
    fn of_storms(storms: &[Option<&GroupStorms>], precision: u8) -> Self {
        let of = |times: fn(&GroupStorms) -> &Buckets| {
            let fit = |storms: &&GroupStorms| times(storms).coarsened(precision);
            storms.iter().map(|storms| storms.as_ref().map(fit).unwrap_or_default()).collect::<Vec<_>>()
        };
        let given_up = storms.iter().map(|storms| storms.map_or(0, |storms| storms.gave_up)).collect();
        let away = Stack::new(&of(|storms| &storms.away), precision);
        Self {
            values: Stack::new(&of(|storms| &storms.back), precision),
            not_back: Some(NotBack { away, given_up }),
        }
    }

    /// A percentile (0..100) in which unit *i* counts `weights[i]` times; and whether it is only what the value is longer than.
    pub(super) fn percentile(&self, weights: &[u32], percentile: f64) -> Option<(f64, bool)> {
        let Some(not_back) = &self.not_back else {
            return self.values.percentile(weights, percentile).map(|value| (value, false));
        };
        let given_up =
            not_back.given_up.iter().zip(weights).map(|(count, weight)| count * u64::from(*weight));
        let (back, away) = (self.values.weighted(weights), not_back.away.weighted(weights));
        let quantile = percentile_of_ascending(&back, &away, given_up.sum(), percentile)?;
        Some((self.values.value_of(quantile.least_us()), quantile.seen_us().is_none()))
    }

    /// How many values, and how many that are not there.
    fn samples(&self, units: usize) -> u64 {
        let weights = vec![1; units];
        let sum = |stack: &Stack| stack.weighted(&weights).iter().map(|(_, count)| count).sum::<u64>();
        let not_back = self.not_back.as_ref();
        sum(&self.values)
            + not_back.map_or(0, |not_back| sum(&not_back.away) + not_back.given_up.iter().sum::<u64>())
    }
}

/// The histograms of a metric, a run each and a block each.
pub(super) struct Stacks {
    pub(super) runs: Histograms,
    pub(super) blocks: Option<Histograms>,
    /// On how many values it rests, those included that are not there.
    pub(super) samples: u64,
    pub(super) precision: u8,
}

impl Side<'_> {
    /// An outage of its group, by its order, in each run.
    pub(super) fn outage(&self, index: usize) -> Vec<Option<&GroupOutage>> {
        self.repeats.iter().map(|repeat| repeat.outage(self.group, index)).collect()
    }

    fn precision(&self) -> u8 {
        self.repeats.iter().map(|repeat| repeat.facts.precision).min().unwrap_or(FULL_PRECISION)
    }
}

impl Stacks {
    /// Of an outage, by its order: it happened once, and has no blocks.
    pub(super) fn of_outage(side: Side<'_>, index: usize) -> Self {
        let precision = side.precision();
        let runs = Histograms::of_outage(&side.outage(index), precision);
        Self { samples: runs.samples(side.repeats.len()), runs, blocks: None, precision }
    }

    /// Of the storms of a run together: they have no blocks.
    pub(super) fn of_storms(side: Side<'_>) -> Self {
        let precision = side.precision();
        let storms: Vec<_> = side.repeats.iter().map(|repeat| repeat.group_storms(side.group)).collect();
        let runs = Histograms::of_storms(&storms, precision);
        Self { samples: runs.samples(side.repeats.len()), runs, blocks: None, precision }
    }

    /// Of an exchange, by its name.
    pub(super) fn of_exchange(side: Side<'_>, name: &str) -> Self {
        Self::of(side, &|units, precision| Histograms::of_exchange(name, units, precision))
    }

    pub(super) fn new(side: Side<'_>, metric: Metric) -> Self {
        Self::of(side, &|units, precision| Histograms::new(metric, units, precision))
    }

    fn of(side: Side<'_>, histograms: &dyn Fn(&[Option<&GroupBlock>], u8) -> Histograms) -> Self {
        let precision = side.precision();
        let whole: Vec<GroupBlock> = side.repeats.iter().map(|repeat| repeat.whole(side.group)).collect();
        let runs: Vec<Option<&GroupBlock>> = whole.iter().map(Some).collect();
        let blocks = (side.repeats.len() < ENOUGH_REPEATS).then(|| {
            let all = side.repeats.iter().flat_map(|repeat| &repeat.blocks);
            let units: Vec<Option<&GroupBlock>> = all.map(|block| block.groups.get(side.group)).collect();
            histograms(&units, precision)
        });
        let runs = histograms(&runs, precision);
        Self { samples: runs.samples(whole.len()), runs, blocks, precision }
    }
}
