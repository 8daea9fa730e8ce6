//! The bootstrap: how much a number would vary if the runs were made again.
//!
//! In: a number as a function of weights, one for each unit (a whole run, or a block of consecutive seconds); how the units lie together. Out: its
//! variance under resampling with replacement. Of few runs every possible resample is taken (the ideal bootstrap: Fisher and Hall 1991), so that
//! nothing is random; else 2,000 are drawn, by a seed.

use crate::random::{Draws, Purpose};

/// Resamples that are drawn where not all are taken.
const RESAMPLES: u32 = 2_000;
/// Up to so many runs, all resamples are taken: 6,435 of them at most.
const MOST_ENUMERATED: usize = 8;

/// Resamples of some units: how often each of them is in it, and how likely it is.
#[derive(Debug, Clone)]
pub(super) struct Resamples {
    /// Weights and probability of each.
    drawn: Vec<(Vec<u32>, f64)>,
    /// By what the variance over them is too small for means: n/(n−1) (Efron and Tibshirani 1993, §5.3).
    correction: f64,
}

impl Resamples {
    /// Of `units` whole runs. `None` below two.
    pub(super) fn of_units(units: usize, seed: u64) -> Option<Self> {
        if units < 2 {
            return None;
        }
        let mut drawn = Vec::new();
        if units <= MOST_ENUMERATED {
            let take = &mut |weights: &[u32], probability| drawn.push((weights.to_vec(), probability));
            enumerate(&mut vec![0; units], 0, units, 1.0, take);
        } else {
            let mut draws = Draws::new(seed, Purpose::Bootstrap, 0);
            drawn.extend((0..RESAMPLES).map(|_| {
                let mut weights = vec![0; units];
                draw_into(&mut weights, &mut draws);
                (weights, 1.0)
            }));
        }
        Some(Self { drawn, correction: units as f64 / (units - 1) as f64 })
    }

    /// Of the blocks of runs: `runs` says how many each has. The blocks of a run are drawn among themselves (Carlstein 1986). `None` where no run has
    /// two blocks.
    pub(super) fn of_blocks(runs: &[usize], seed: u64) -> Option<Self> {
        let most = runs.iter().copied().max().filter(|most| *most >= 2)?;
        let mut draws = Draws::new(seed, Purpose::Bootstrap, 1);
        let drawn = (0..RESAMPLES).map(|_| {
            let mut weights = vec![0; runs.iter().sum()];
            let mut rest = weights.as_mut_slice();
            for blocks in runs {
                let (own, behind) = rest.split_at_mut(*blocks);
                draw_into(own, &mut draws);
                rest = behind;
            }
            (weights, 1.0)
        });
        Some(Self { drawn: drawn.collect(), correction: most as f64 / (most - 1) as f64 })
    }

    /// The variance of `value` over them; where it is `None`, a resample says nothing.
    pub(super) fn variance(&self, value: &dyn Fn(&[u32]) -> Option<f64>) -> f64 {
        let mut moments = Moments::default();
        for (weights, probability) in &self.drawn {
            if let Some(value) = value(weights) {
                moments.add(value, *probability);
            }
        }
        moments.variance() * self.correction
    }
}

/// Draws as many units with replacement as there are.
fn draw_into(weights: &mut [u32], draws: &mut Draws) {
    for _ in 0..weights.len() {
        let index = (draws.next_unit() * weights.len() as f64) as usize;
        if let Some(weight) = weights.get_mut(index) {
            *weight += 1;
        }
    }
}

/// Every way to draw `left` units from `weights[at..]`, each with its probability: n! / Π wᵢ! / nⁿ.
fn enumerate(weights: &mut [u32], at: usize, left: usize, so_far: f64, take: &mut dyn FnMut(&[u32], f64)) {
    let units = weights.len();
    let factor = |count: usize| {
        // The share of this unit in the multinomial coefficient: left! / (left−count)! / count! / nᶜ.
        (0..count).fold(1.0, |product, i| product * (left - i) as f64 / (i + 1) as f64 / units as f64)
    };
    if at + 1 == units {
        weights[at] = u32::try_from(left).unwrap_or(u32::MAX);
        take(weights, so_far * factor(left));
        return;
    }
    for count in 0..=left {
        weights[at] = u32::try_from(count).unwrap_or(u32::MAX);
        enumerate(weights, at + 1, left - count, so_far * factor(count), take);
    }
}

/// Weighted mean and variance, by Welford's updates (West 1979).
#[derive(Default)]
struct Moments {
    weight: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, value: f64, weight: f64) {
        self.weight += weight;
        let off = value - self.mean;
        self.mean += off * weight / self.weight;
        self.squares += weight * off * (value - self.mean);
    }

    fn variance(&self) -> f64 {
        if self.weight > 0.0 { self.squares / self.weight } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_of(values: &[f64]) -> impl Fn(&[u32]) -> Option<f64> + '_ {
        |weights| {
            let total: u32 = weights.iter().sum();
            let sum: f64 = values.iter().zip(weights).map(|(value, weight)| value * f64::from(*weight)).sum();
            Some(sum / f64::from(total))
        }
    }

    /// s²/n, as textbooks have it.
    fn of_mean(values: &[f64]) -> f64 {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0) / n
    }

    #[test]
    fn of_a_mean_it_is_the_textbooks_variance() {
        let values: Vec<f64> = (0..20_u32).map(|n| f64::from(n * n % 7)).collect();
        for units in 2..=8 {
            let values = &values[..units];
            let variance = Resamples::of_units(units, 1).unwrap().variance(&mean_of(values));
            assert!((variance - of_mean(values)).abs() < 1e-12, "{units}: {variance}");
        }
        for resamples in [Resamples::of_units(20, 1), Resamples::of_blocks(&[20], 1)] {
            let drawn = resamples.unwrap().variance(&mean_of(&values));
            assert!((drawn / of_mean(&values) - 1.0).abs() < 0.1, "{drawn}");
        }
    }

    #[test]
    fn it_is_the_same_each_time_and_needs_two() {
        let values: Vec<f64> = (0..12_u32).map(f64::from).collect();
        let of = |seed| Resamples::of_units(12, seed).unwrap().variance(&mean_of(&values));
        assert!((of(7) - of(7)).abs() < f64::EPSILON);
        assert!((of(7) - of(8)).abs() > f64::EPSILON);
        assert!(Resamples::of_units(1, 7).is_none() && Resamples::of_blocks(&[1, 1], 7).is_none());
        assert!(Resamples::of_units(4, 7).unwrap().variance(&|_| None).abs() < f64::EPSILON);
    }
}
