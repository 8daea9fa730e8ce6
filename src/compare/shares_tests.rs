//! Differences of shares by simulation: how often the interval holds the truth, how often a change is called where there is none, and what is found.

use super::comparison::{Comparison, Settings, compare};
use super::estimate::{difference, estimate_side};
use super::judge::Finding;
use super::measure::{Measure, decide_by, measures};
use super::repeat::{Counts, Repeat, RunSet};
use super::side::Side;
use super::student::two_sided_t;
use super::synthetic::{Behaviour, synthetic_run};
use crate::random::{Draws, Purpose};

/// How 403s come in the runs of a side.
#[derive(Debug, Clone, Copy)]
struct Rate {
    /// In the mean of the angles.
    share: f64,
    /// How far runs lie apart, as a standard deviation of the angle.
    spread: f64,
}

impl Rate {
    const fn even(share: f64) -> Self {
        Self { share, spread: 0.0 }
    }

    /// What a run's share is, in the mean over all runs.
    fn truth(self) -> f64 {
        let twice = 2.0 * self.share.sqrt().asin();
        (1.0 - twice.cos() * (-2.0 * self.spread.powi(2)).exp()) / 2.0
    }
}

/// A source of runs.
struct Runs {
    draws: Draws,
    empty: Repeat,
}

impl Runs {
    fn new(seed: u64) -> Self {
        let behaviour = Behaviour { seconds: 1, per_second: 1.0, ..Behaviour::default() };
        Self { draws: Draws::new(seed, Purpose::Bootstrap, 7), empty: synthetic_run(&behaviour, 1) }
    }

    fn run(&mut self, rate: Rate, trials: u64) -> Repeat {
        let angle = rate.share.sqrt().asin() + rate.spread * self.draws.next_normal();
        let share = angle.sin().powi(2);
        let refused = (0..trials).filter(|_| self.draws.next_unit() < share).count() as u64;
        let mut run = self.empty.clone();
        run.facts.groups[0].clients = u32::try_from(trials).unwrap();
        run.blocks[0].groups[0].counts = Counts {
            answered: trials,
            refused_403: refused,
            attempts: trials,
            failed: refused,
            back: trials - refused,
            reconnects_ended: trials,
            ..Counts::default()
        };
        run
    }

    fn side(&mut self, rate: Rate, trials: u64, runs: usize) -> Vec<Repeat> {
        (0..runs).map(|_| self.run(rate, trials)).collect()
    }
}

fn rate_403() -> Measure {
    measures().into_iter().find(|measure| measure.name == "handshake_403_rate").unwrap()
}

#[test]
fn the_interval_holds_the_truth_as_often_as_it_says() {
    let spread = |share, spread| Rate { share, spread };
    // (baseline, candidate, trials of a run, runs of a side)
    let rows = [
        (Rate::even(0.5), Rate::even(0.5), 100, 5),
        (Rate::even(0.02), Rate::even(0.02), 100, 5),
        (Rate::even(0.0), Rate::even(0.03), 100, 3),
        (Rate::even(0.8), Rate::even(0.2), 100, 1),
        (Rate::even(1.0), Rate::even(0.95), 100, 1),
        (spread(0.3, 0.15), spread(0.3, 0.15), 100, 5),
        (spread(0.05, 0.1), spread(0.1, 0.1), 100, 5),
        (spread(0.3, 0.15), spread(0.6, 0.15), 100, 3),
    ];
    let measure = rate_403();
    let pairs = 500;
    for (row, (old, new, trials, runs)) in rows.into_iter().enumerate() {
        let mut source = Runs::new(row as u64);
        let truth = new.truth() - old.truth();
        let held = (0..pairs).filter(|_| {
            let sides = [source.side(old, trials, runs), source.side(new, trials, runs)];
            let [a, b] = sides.each_ref().map(|repeats| {
                estimate_side(Side { repeats, group: 0, seed: 1 }, &[&measure]).remove(0).unwrap()
            });
            // Of one run each, chance alone is looked at: what is assumed beside it only makes intervals longer.
            let found = difference(&measure, &a, &b, 0.0).unwrap();
            let (low, high) = found.bounds(two_sided_t(0.05, found.df));
            assert!((-1.0..=1.0).contains(&low) && (-1.0..=1.0).contains(&high), "{low} {high}");
            (low..=high).contains(&truth)
        });
        let held = f64::from(u32::try_from(held.count()).unwrap()) / f64::from(pairs);
        assert!(held >= 0.93, "{old:?} {new:?} {trials} × {runs}: {held}");
    }
}

fn compared(old: &[Repeat], new: &[Repeat]) -> Comparison {
    let set = |name: &str, repeats: &[Repeat]| RunSet {
        name: name.to_owned(),
        repeats: repeats.to_vec(),
        is_baseline: false,
    };
    let mut settings = Settings::default();
    let names = ["handshake_403_rate", "attempt_failure_rate", "reconnect_success_rate"];
    decide_by(&mut settings.measures, &names.map(str::to_owned)).unwrap();
    settings.measures.retain(|measure| measure.decides);
    compare(&set("old", old), &set("new", new), &settings)
}

#[test]
fn a_cure_is_found_and_no_difference_is_not() {
    // (baseline, candidate, trials of a run, runs of a side, findings that may be, in how many of a hundred pairs at least)
    let rows = [
        (Rate::even(0.8), Rate::even(0.2), 500, 1, Finding::Improved, 100),
        (Rate::even(0.8), Rate::even(0.05), 40, 1, Finding::Improved, 97),
        (Rate::even(0.04), Rate::even(0.01), 1_000, 3, Finding::Improved, 80),
        (Rate::even(0.0), Rate::even(0.02), 1_000, 5, Finding::Regressed, 100),
        (Rate::even(0.0), Rate::even(0.0), 5_000, 5, Finding::Unchanged, 100),
    ];
    for (row, (old, new, trials, runs, expected, least)) in rows.into_iter().enumerate() {
        let mut source = Runs::new(100 + row as u64);
        let found = (0..100).filter(|_| {
            let (a, b) = (source.side(old, trials, runs), source.side(new, trials, runs));
            let comparison = compared(&a, &b);
            let row = comparison.rows.iter().find(|row| row.measure.name == "handshake_403_rate");
            row.unwrap().finding == expected
        });
        let found = found.count();
        assert!(found >= least, "{old:?} {new:?} {trials} × {runs}: {found}");
    }
    // At most 2 % of pairs that are alike are called changed, also where runs lie further apart than chance would have them.
    for (rate, runs) in
        [(Rate::even(0.1), 3), (Rate { share: 0.1, spread: 0.05 }, 5), (Rate { share: 0.1, spread: 0.05 }, 3)]
    {
        let mut source = Runs::new(7 + runs as u64);
        let pairs = 300;
        let changed = (0..pairs).filter(|_| {
            let (a, b) = (source.side(rate, 200, runs), source.side(rate, 200, runs));
            matches!(compared(&a, &b).finding, Finding::Regressed | Finding::Improved)
        });
        let changed = changed.count();
        // 2 % of 300 are 6; 13 and more come in less than one of two hundred such tests.
        assert!(changed <= 12, "{rate:?} {runs}: {changed} of {pairs}");
    }
}
