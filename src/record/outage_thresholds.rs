//! Thresholds on outages.
//!
//! In: a threshold, the outages that it looks at. Out: what was measured, and whether it holds.

use crate::scenario::keys::{Aggregate, OutageOf, Threshold};

use super::outages::OutageIn;
use super::survival::Quantile;
use super::thresholds::{Found, ThresholdResult, result};

/// Evaluates a `threshold` on outages: those of the groups that it looks at. `None`: of nobody is known whether it was lost.
#[must_use]
pub fn evaluate_outages(
    threshold: &Threshold,
    of: OutageOf,
    outages: Option<&[&OutageIn]>,
) -> ThresholdResult {
    let found = outages.map_or(Found::Nothing, |outages| measure_outages(of, threshold.aggregate, outages));
    result(threshold, &found)
}

fn measure_outages(of: OutageOf, aggregate: Aggregate, outages: &[&OutageIn]) -> Found {
    let values: Vec<Quantile> = match of {
        OutageOf::Number => return Found::Value(outages.len() as f64),
        OutageOf::Recovery(percent) => {
            outages.iter().filter_map(|outage| outage.back_us(f64::from(percent) / 1_000.0)).collect()
        }
        // In millionths of a client-second.
        OutageOf::Cost => outages.iter().map(|outage| Quantile::At(outage.cost_ns / 1_000)).collect(),
    };
    if aggregate == Aggregate::Count {
        return Found::Value(values.len() as f64);
    }
    let scale = if of == OutageOf::Cost { 1e6 } else { 1.0 };
    match of_quantiles(values, aggregate) {
        Some(Quantile::At(value)) => Found::Value(value as f64 / scale),
        Some(Quantile::Beyond(least)) => Found::Beyond(least as f64),
        Some(Quantile::Never(least)) => Found::Never(least as f64),
        // Nobody was lost.
        None => Found::Value(0.0),
    }
}

/// A number of some values; those that lie beyond what was seen are the largest.
fn of_quantiles(mut values: Vec<Quantile>, aggregate: Aggregate) -> Option<Quantile> {
    values.sort_by_key(|value| (value.rank(), value.least_us()));
    let last = values.len().checked_sub(1)?;
    match aggregate {
        Aggregate::Percentile(percentile) => {
            let rank = (percentile / 100.0 * values.len() as f64).ceil() as usize;
            values.get(rank.saturating_sub(1).min(last)).copied()
        }
        Aggregate::Min => values.first().copied(),
        Aggregate::Mean => {
            let mean = values.iter().map(|value| value.least_us()).sum::<u64>() / values.len() as u64;
            Some(match values[last] {
                Quantile::At(_) => Quantile::At(mean),
                Quantile::Beyond(_) => Quantile::Beyond(mean),
                Quantile::Never(_) => Quantile::Never(mean),
            })
        }
        Aggregate::Max | Aggregate::Count | Aggregate::Rate => values.last().copied(),
    }
}
