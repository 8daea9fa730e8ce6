//! The rule by which outages are found.
//!
//! In: a Lexis diagram. Out: outages, in the order of time. Pure; the same diagram gives the same outages on every machine.
//!
//! Windows of 100 ms, 300 ms and 1 s are looked at. One is part of an outage where
//! - more sessions are lost in it than their ages explain, by an exact test on counts (the conditional test of two Poisson rates: Przyborowski and
//!   Wilenski 1940, Biometrika 31, 313) at a level of [`LEVEL`], which leaves room for every window of a long run;
//! - and it loses at least [`LEAST_LOST`] more than that, and [`LEAST_SHARE`] of the sessions at risk.
//!
//! Windows that are no further apart than a second are one outage. What was found is left out of what the others are compared with, until nothing more
//! is found.

use statrs::function::beta::checked_beta_reg;

use super::hazard::{Expected, Hazard, Window, each_bin};
use super::lexis::Lexis;

/// How long windows are, in bins.
const WINDOWS: [u32; 3] = [1, 3, 10];
/// The level of the test of one window.
const LEVEL: f64 = 1e-7;
/// A bin belongs to an outage that was found where it alone has more than it should at this level.
const LEVEL_OF_A_BIN: f64 = 1e-3;
/// So many losses more than expected an outage has at least.
const LEAST_LOST: f64 = 3.0;
/// This share of the sessions at risk an outage costs at least, beyond what was expected.
const LEAST_SHARE: f64 = 0.01;
/// Windows so many bins apart are one outage.
const GAP: u32 = 10;
/// So many times the diagram is gone through at most.
const MOST_ROUNDS: usize = 32;

/// Sessions lost close together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outage {
    /// The bin of 100 ms in which the first was lost.
    pub first: u32,
    /// The bin in which the last was lost.
    pub last: u32,
    /// How many were lost from the first bin to the last, those among them whose time had come.
    pub lost: u64,
    /// How many should have been, by their ages.
    pub expected: f64,
    /// How many sessions there were when the first bin began.
    pub at_risk: u64,
}

impl Outage {
    /// The two as one.
    fn followed_by(self, later: Self) -> Self {
        Self {
            last: self.last.max(later.last),
            lost: self.lost + later.lost,
            expected: self.expected + later.expected,
            ..self
        }
    }
}

/// The outages of a group, in the order of time.
#[must_use]
pub fn find_outages(lexis: &Lexis) -> Vec<Outage> {
    let bins = lexis.bins();
    let mut lost = vec![0_u64; bins as usize];
    for ((end, _), ends) in lexis.ended() {
        lost[end as usize] += ends.lost;
    }
    let mut is_left_out = vec![false; bins as usize];
    let mut found = Vec::new();
    for _ in 0..MOST_ROUNDS {
        let round = find_once(lexis, &lost, &is_left_out);
        if round.is_empty() {
            break;
        }
        for outage in &round {
            is_left_out[outage.first as usize..=outage.last as usize].fill(true);
        }
        found.extend(round);
    }
    joined(found)
}

/// Those that stand out against all but what is left out.
fn find_once(lexis: &Lexis, lost: &[u64], is_left_out: &[bool]) -> Vec<Outage> {
    let hazard = Hazard::of(lexis, is_left_out);
    let mut spans: Vec<(u32, u32)> = Vec::new();
    each_bin(lexis, |first, at_risk| {
        let population: u64 = at_risk.values().sum();
        for length in WINDOWS {
            let range = first as usize..(first + length) as usize;
            if range.end > lost.len() || is_left_out[range.clone()].iter().any(|left_out| *left_out) {
                continue;
            }
            let window = Window { first, length, at_risk, lost: lost[range].iter().sum() };
            if stands_out(lexis, &hazard, &window, population) {
                match spans.last_mut() {
                    Some((_, end)) if first <= *end + GAP => *end = (*end).max(first + length),
                    _ => spans.push((first, first + length)),
                }
            }
        }
    });
    trimmed(lexis, lost, is_left_out, &spans)
}

/// From the first bin that has more than it should, by all that is in none of the spans, to the last.
fn trimmed(lexis: &Lexis, lost: &[u64], is_left_out: &[bool], spans: &[(u32, u32)]) -> Vec<Outage> {
    if spans.is_empty() {
        return Vec::new();
    }
    let mut beside = is_left_out.to_vec();
    for (from, to) in spans {
        beside[*from as usize..*to as usize].fill(true);
    }
    let hazard = Hazard::of(lexis, &beside);
    let mut bins = Vec::new();
    each_bin(lexis, |first, at_risk| {
        if spans.iter().any(|(from, to)| (*from..*to).contains(&first)) {
            let window = Window { first, length: 1, at_risk, lost: lost[first as usize] };
            let expected = hazard.expected_of_left_out(&window);
            let at_risk = at_risk.range(..first).map(|(_, n)| n).sum();
            let bin = Outage { first, last: first, lost: window.lost, expected: expected.losses, at_risk };
            bins.push((bin, chance(window.lost, &expected) < LEVEL_OF_A_BIN));
        }
    });
    let of_span = |&(from, to): &(u32, u32)| {
        let own: Vec<_> = bins.iter().filter(|(bin, _)| (from..to).contains(&bin.first)).collect();
        let stands_out = own.iter().any(|(_, stands_out)| *stands_out);
        let is_edge = |(bin, own): &&(Outage, bool)| if stands_out { *own } else { bin.lost > 0 };
        let first = own.iter().position(&is_edge)?;
        let last = own.iter().rposition(is_edge)?;
        own[first..=last].iter().map(|(bin, _)| *bin).reduce(Outage::followed_by)
    };
    spans.iter().filter_map(of_span).collect()
}

/// Whether a window is part of an outage.
fn stands_out(lexis: &Lexis, hazard: &Hazard, window: &Window<'_>, population: u64) -> bool {
    let least = LEAST_LOST.max(LEAST_SHARE * population as f64);
    let lost = window.lost as f64;
    // Most windows are not looked at any closer.
    if lost < least || lost - hazard.roughly_expected(window) < least / 2.0 {
        return false;
    }
    let expected = hazard.expected(lexis, window);
    lost - expected.losses >= least && chance(window.lost, &expected) < LEVEL
}

/// The chance of so many losses or more where the expectation rests on counts itself: given all losses, inside and out, how many are inside is binomial.
fn chance(lost: u64, expected: &Expected) -> f64 {
    if lost == 0 {
        return 1.0;
    }
    let ratio = if expected.evidence > 0.0 && expected.losses > 0.0 {
        expected.losses / expected.evidence
    } else {
        expected.exposure_ratio
    };
    let share = ratio / (1.0 + ratio);
    // The tail of a binomial is a regularised incomplete beta function.
    checked_beta_reg(lost as f64, expected.evidence + 1.0, share.clamp(0.0, 1.0)).unwrap_or(1.0)
}

/// In the order of time; those that touch are one.
fn joined(mut outages: Vec<Outage>) -> Vec<Outage> {
    outages.sort_by_key(|outage| outage.first);
    let mut joined: Vec<Outage> = Vec::with_capacity(outages.len());
    for outage in outages {
        match joined.last_mut() {
            Some(before) if outage.first <= before.last + GAP => *before = before.followed_by(outage),
            _ => joined.push(outage),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Moment;
    use crate::random::{Draws, Purpose};

    fn ms(ms: u64) -> Moment {
        Moment::ZERO + Duration::from_millis(ms)
    }

    /// Sessions of a fleet that comes back at once whenever one is lost.
    struct Fleet {
        draws: Draws,
        lexis: Lexis,
        /// When each client's session began.
        began: Vec<u64>,
        /// When each will be lost by itself.
        ends: Vec<u64>,
        lives: fn(&mut Draws) -> u64,
    }

    impl Fleet {
        fn start(seed: u64, clients: u32, over_ms: u64, lives: fn(&mut Draws) -> u64) -> Self {
            let mut draws = Draws::new(seed, Purpose::Lifecycle, 0);
            let mut lexis = Lexis::default();
            let began: Vec<u64> = (0..u64::from(clients)).map(|n| n * over_ms / u64::from(clients)).collect();
            began.iter().for_each(|at| lexis.begin(ms(*at), 1));
            let ends = began.iter().map(|at| at + lives(&mut draws)).collect();
            Self { draws, lexis, began, ends, lives }
        }

        fn lose(&mut self, client: usize, at: u64) {
            self.lexis.lose(ms(self.began[client]), ms(at), 1);
            let back = at + 1 + (self.draws.next_unit() * 200.0) as u64;
            self.lexis.begin(ms(back), 1);
            self.began[client] = back;
            self.ends[client] = back + (self.lives)(&mut self.draws);
        }

        fn run_to(&mut self, until: u64) {
            for client in 0..self.began.len() {
                while self.ends[client] < until {
                    self.lose(client, self.ends[client]);
                }
            }
        }

        /// A share of the fleet is lost within `within` from `at`.
        fn strike(&mut self, at: u64, share: f64, within: u64) -> u64 {
            self.run_to(at);
            let mut struck = 0;
            for client in 0..self.began.len() {
                let is_struck = (client as f64 * share).fract() < share;
                if is_struck && self.began[client] < at {
                    let moment = at + (self.draws.next_unit() * within as f64) as u64;
                    if self.ends[client] > moment {
                        self.lose(client, moment);
                        struck += 1;
                    }
                }
            }
            struck
        }
    }

    /// Closed after 5 s of silence, to within 3 ms.
    fn idle(draws: &mut Draws) -> u64 {
        5_000 + (draws.next_unit() * 3.0) as u64
    }

    /// Lost at random, once in 30 s.
    fn at_random(draws: &mut Draws) -> u64 {
        (-(1.0 - draws.next_unit()).ln() * 30_000.0) as u64
    }

    fn for_ever(_: &mut Draws) -> u64 {
        1 << 40
    }

    #[test]
    fn a_reload_is_one_outage_of_the_whole_fleet() {
        let mut fleet = Fleet::start(1, 200, 1_000, for_ever);
        let struck = fleet.strike(20_000, 1.0, 900);
        fleet.run_to(40_000);
        let found = find_outages(&fleet.lexis);
        assert_eq!((found.len(), found[0].lost, struck), (1, 200, 200), "{found:?}");
        assert_eq!((found[0].at_risk, found[0].first), (200, 200));
        assert!((208..=209).contains(&found[0].last), "{found:?}");
    }

    #[test]
    fn what_is_closed_for_its_age_is_no_outage_whenever_the_fleet_started() {
        for (seed, over_ms) in [(1, 5_000), (2, 2_500), (3, 1_000), (4, 20_000)] {
            let mut fleet = Fleet::start(seed, 400, over_ms, idle);
            fleet.run_to(60_000);
            assert_eq!(find_outages(&fleet.lexis), [], "started over {over_ms} ms");
        }
    }

    #[test]
    fn several_outages_are_told_apart_beside_churn() {
        let mut fleet = Fleet::start(5, 1_000, 5_000, at_random);
        fleet.strike(20_000, 1.0, 300);
        fleet.strike(30_000, 0.1, 500);
        fleet.strike(45_000, 0.5, 2_000);
        fleet.run_to(60_000);
        let found = find_outages(&fleet.lexis);
        let firsts: Vec<u32> = found.iter().map(|outage| outage.first).collect();
        assert_eq!(firsts, [200, 300, 450], "{found:?}");
    }

    #[test]
    fn an_empty_diagram_has_none() {
        assert_eq!(find_outages(&Lexis::default()), []);
        let mut lexis = Lexis::default();
        lexis.begin(ms(0), 5);
        lexis.lose(ms(0), ms(50), 5);
        // Nobody is left to compare with: all that there were are gone at once.
        assert_eq!(find_outages(&lexis).len(), 0);
    }

    #[test]
    fn steady_churn_raises_no_alarm_and_five_per_cent_within_a_second_do() {
        let mut missed = 0;
        for seed in 0..40 {
            for lives in [idle, at_random] {
                let mut fleet = Fleet::start(seed, 400, 5_000, lives);
                fleet.run_to(40_000);
                assert_eq!(find_outages(&fleet.lexis), [], "seed {seed}");
            }
            let mut fleet = Fleet::start(seed, 1_000, 5_000, at_random);
            fleet.strike(20_000 + seed * 37, 0.05, 1_000);
            fleet.run_to(40_000);
            let found = find_outages(&fleet.lexis);
            if found.len() != 1 {
                missed += 1;
                println!("seed {seed}: {found:?}");
            }
        }
        assert!(missed <= 1, "{missed} of 40");
    }
}
