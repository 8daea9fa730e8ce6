//! How likely a session of some age is lost, by all that a group's run shows outside of a window.
//!
//! In: a Lexis diagram, the bins that are left out. Out: sessions at risk, losses, and how many a window should have by the sessions' ages alone.
//!
//! A service that closes what is idle ends sessions because of their age: that is no outage, however many end in a second. The hazard of an age is that
//! of the ages around it (1 % to either side, at least a bin), drawn towards that of all ages as if [`PRIOR`] sessions had been watched for a bin.

use std::collections::BTreeMap;

use super::lexis::{AtRisk, Lexis, each_bin};

/// How many sessions' bins the hazard of all ages counts for in that of one age.
const PRIOR: f64 = 10.0;

/// Bins at risk and losses by age; those by silence are not among them: they are dated back to the last sign of life, so that their ages tell of the clients' own
/// keep-alives.
#[derive(Debug, Default, Clone)]
struct ByAge {
    /// `[a]`: of all ages below `a`.
    exposed: Vec<f64>,
    lost: Vec<f64>,
}

/// What a group's run shows outside of the bins that are left out.
#[derive(Debug)]
pub(super) struct Hazard {
    by_age: ByAge,
    /// Losses by silence, of any age.
    silent: f64,
}

/// A window, and who was at risk when it began.
#[derive(Debug)]
pub(super) struct Window<'a> {
    /// Its first bin.
    pub(super) first: u32,
    /// How many bins it has.
    pub(super) length: u32,
    /// Sessions at risk in its first bin.
    pub(super) at_risk: &'a AtRisk,
    /// How many were lost in it.
    pub(super) lost: u64,
}

/// What a window should have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    /// Losses.
    pub(super) losses: f64,
    /// On how many losses outside of the window that rests.
    pub(super) evidence: f64,
    /// The window's share of all bins at risk, its own included, over that of the others.
    pub(super) exposure_ratio: f64,
}

impl Hazard {
    /// Of a whole run, but for those bins.
    pub(super) fn of(lexis: &Lexis, is_left_out: &[bool]) -> Self {
        let bins = lexis.bins() as usize;
        let mut exposed = vec![0.0; bins + 1];
        let mut lost = vec![0.0; bins];
        let mut silent = 0.0;
        // Each session is at risk from its first bin to its last; here as the difference between an age and the one before.
        let mut open: BTreeMap<u32, u64> = lexis.began().clone();
        let mut add = |began: u32, last: u32, n: u64| {
            exposed[0] += n as f64;
            exposed[(last - began) as usize + 1] -= n as f64;
        };
        for ended in lexis.ended() {
            add(ended.began, ended.end, ended.all());
            if let Some(open) = open.get_mut(&ended.began) {
                *open = open.saturating_sub(ended.all());
            }
            if !is_left_out[ended.end as usize] {
                lost[(ended.end - ended.began) as usize] +=
                    (ended.lost - ended.silent.min(ended.lost)) as f64;
                silent += ended.silent as f64;
            }
        }
        for (began, n) in open {
            add(began, bins as u32 - 1, n);
        }
        let mut running = 0.0;
        for age in &mut exposed {
            running += *age;
            *age = running;
        }
        each_bin(lexis, |bin, at_risk| {
            if is_left_out[bin as usize] {
                for (began, n) in &at_risk.by_began {
                    exposed[(bin - began) as usize] -= *n as f64;
                }
            }
        });
        Self { by_age: ByAge { exposed: below(&exposed[..bins]), lost: below(&lost) }, silent }
    }

    /// What `window`, of which no bin is left out, should have by all that is outside of it.
    pub(super) fn expected(&self, lexis: &Lexis, window: &Window<'_>) -> Expected {
        let inside = Inside::of(lexis, window);
        self.expected_beside(&inside, window, inside.exposed)
    }

    /// What `window`, all bins of which are left out, should have by all that is not.
    pub(super) fn expected_of_left_out(&self, window: &Window<'_>) -> Expected {
        let at_risk = window.at_risk.all;
        self.expected_beside(&Inside::default(), window, at_risk as f64 * f64::from(window.length))
    }

    fn expected_beside(&self, inside: &Inside, window: &Window<'_>, own_exposure: f64) -> Expected {
        let (all_exposed, all_lost) = self.by_age.between(0, u32::MAX);
        let (inside_exposed, inside_lost) = inside.between(0, u32::MAX);
        let outside_exposed = (all_exposed - inside_exposed).max(0.0);
        let rate = |losses: f64| if outside_exposed > 0.0 { losses / outside_exposed } else { 0.0 };
        let outside_lost = (all_lost - inside_lost).max(0.0);
        let outside_silent = (self.silent - inside.silent).max(0.0);
        let (pooled, by_silence) = (rate(outside_lost), rate(outside_silent));
        let mut losses = 0.0;
        for (began, n) in &window.at_risk.by_began {
            let hazard: f64 = (window.first..window.first + window.length)
                .map(|bin| {
                    let age = bin - began;
                    let around = 1 + age / 100;
                    let (from, to) = (age.saturating_sub(around), age + around + 1);
                    let (exposed, lost) = self.by_age.between(from, to);
                    let (own_exposed, own_lost) = inside.between(from, to);
                    let (exposed, lost) = ((exposed - own_exposed).max(0.0), (lost - own_lost).max(0.0));
                    (lost + PRIOR * pooled) / (exposed + PRIOR) + by_silence
                })
                .sum();
            losses += *n as f64 * hazard.min(1.0);
        }
        let exposure_ratio = if outside_exposed > 0.0 { own_exposure / outside_exposed } else { 1.0 };
        Expected { losses, evidence: outside_lost + outside_silent, exposure_ratio }
    }

    /// What a window should have if ages did not matter.
    pub(super) fn roughly_expected(&self, window: &Window<'_>) -> f64 {
        let at_risk = window.at_risk.all;
        let (exposed, lost) = self.by_age.between(0, u32::MAX);
        if exposed <= 0.0 {
            return 0.0;
        }
        (lost + self.silent - window.lost as f64).max(0.0) / exposed
            * at_risk as f64
            * f64::from(window.length)
    }
}

impl ByAge {
    /// Bins at risk and losses of the ages from `from` on and below `to`.
    fn between(&self, from: u32, to: u32) -> (f64, f64) {
        let of = |sums: &[f64]| {
            let at = |age: u32| sums[(age as usize).min(sums.len() - 1)];
            at(to) - at(from)
        };
        (of(&self.exposed), of(&self.lost))
    }
}

/// What a window has itself, by age.
#[derive(Debug, Default)]
struct Inside {
    exposed: f64,
    /// Losses by silence.
    silent: f64,
    /// By age, ascending: bins at risk and losses of all ages up to it.
    sums: Vec<(u32, f64, f64)>,
}

impl Inside {
    fn of(lexis: &Lexis, window: &Window<'_>) -> Self {
        let mut by_age: BTreeMap<u32, (f64, f64)> = BTreeMap::new();
        let mut at_risk = window.at_risk.clone();
        let mut silent = 0.0;
        for bin in window.first..window.first + window.length {
            if bin > window.first {
                at_risk.begin_in(lexis, bin);
            }
            for (began, n) in &at_risk.by_began {
                by_age.entry(bin - began).or_default().0 += *n as f64;
            }
            for ended in lexis.ended_in(bin) {
                let by_silence = ended.silent.min(ended.lost);
                by_age.entry(bin - ended.began).or_default().1 += (ended.lost - by_silence) as f64;
                silent += by_silence as f64;
            }
            at_risk.end_in(lexis, bin);
        }
        let (mut exposed, mut lost) = (0.0, 0.0);
        let sums = by_age.into_iter().map(|(age, own)| {
            exposed += own.0;
            lost += own.1;
            (age, exposed, lost)
        });
        let sums: Vec<_> = sums.collect();
        Self { exposed, silent, sums }
    }

    fn between(&self, from: u32, to: u32) -> (f64, f64) {
        let below = |age: u32| match self.sums.partition_point(|(own, ..)| *own < age) {
            0 => (0.0, 0.0),
            n => (self.sums[n - 1].1, self.sums[n - 1].2),
        };
        let (from, to) = (below(from), below(to));
        (to.0 - from.0, to.1 - from.1)
    }
}

/// `[n]`: the sum of all below `n`.
fn below(values: &[f64]) -> Vec<f64> {
    let mut sum = 0.0;
    let sums = values.iter().map(|value| {
        sum += value;
        sum
    });
    std::iter::once(0.0).chain(sums).collect()
}
