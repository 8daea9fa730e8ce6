//! The rule by which outages are found, held against fleets whose outages are known.

use std::time::Duration;

use super::super::lexis::LexisBuilder;
use super::*;
use crate::clock::Moment;
use crate::random::{Draws, Purpose};
use crate::record::lives::Lives;
use crate::sample::{CloseKey, Initiator, Life, WayIn, WayOut};

fn ms(ms: u64) -> Moment {
    Moment::ZERO + Duration::from_millis(ms)
}

fn begin(told: &mut Lives, at: Moment) {
    told.apply(&Life::In(WayIn { at, upgraded: at, lost_in: None }), 1);
}

fn lose(told: &mut Lives, upgraded: Moment, from: Moment) {
    let key = CloseKey::unsaid(Initiator::Target, 1001, None);
    told.apply(&Life::Out(Box::new(WayOut { from, upgraded, key, is_lost: true })), 1);
}

fn outages_of(told: &Lives) -> Vec<Outage> {
    let mut builder = LexisBuilder::default();
    builder.add(told);
    find_outages(&builder.build(u32::MAX))
}

/// Sessions of a fleet that comes back at once whenever one is lost.
struct Fleet {
    draws: Draws,
    told: Lives,
    /// When each client's session began.
    began: Vec<u64>,
    /// When each will be lost by itself.
    ends: Vec<u64>,
    lives: fn(&mut Draws) -> u64,
}

impl Fleet {
    fn start(seed: u64, clients: u32, over_ms: u64, lives: fn(&mut Draws) -> u64) -> Self {
        let mut draws = Draws::new(seed, Purpose::Lifecycle, 0);
        let mut told = Lives::default();
        let began: Vec<u64> = (0..u64::from(clients)).map(|n| n * over_ms / u64::from(clients)).collect();
        began.iter().for_each(|at| begin(&mut told, ms(*at)));
        let ends = began.iter().map(|at| at + lives(&mut draws)).collect();
        Self { draws, told, began, ends, lives }
    }

    fn lose(&mut self, client: usize, at: u64) {
        lose(&mut self.told, ms(self.began[client]), ms(at));
        let back = at + 1 + (self.draws.next_unit() * 200.0) as u64;
        begin(&mut self.told, ms(back));
        self.began[client] = back;
        self.ends[client] = back + (self.lives)(&mut self.draws);
    }

    fn outages(&self) -> Vec<Outage> {
        outages_of(&self.told)
    }

    /// From `at` on each session that comes lives so long in the mean, until `until`: then as before.
    fn react(&mut self, at: u64, until: u64, mean_ms: f64) {
        self.run_to(at);
        for client in 0..self.began.len() {
            loop {
                let life = (-(1.0 - self.draws.next_unit()).ln() * mean_ms) as u64;
                let end = self.began[client].max(at) + life;
                if end >= until || self.began[client] >= until {
                    break;
                }
                self.lose(client, end);
            }
        }
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
    let found = fleet.outages();
    assert_eq!((found.len(), found[0].lost, struck), (1, 200, 200), "{found:?}");
    assert_eq!((found[0].at_risk, found[0].first), (200, 200));
    assert!((208..=209).contains(&found[0].last), "{found:?}");
}

#[test]
fn the_last_of_a_reload_is_part_of_it_however_short_the_run() {
    let mut fleet = Fleet::start(1, 200, 1_000, for_ever);
    (0..199).for_each(|client| fleet.lose(client, 3_000));
    fleet.lose(199, 3_340);
    fleet.run_to(10_000);
    let found = fleet.outages();
    assert_eq!(found.iter().map(|outage| (outage.lost, outage.last)).collect::<Vec<_>>(), [(200, 33)]);
}

#[test]
fn what_is_closed_for_its_age_is_no_outage_whenever_the_fleet_started() {
    for (seed, over_ms) in [(1, 5_000), (2, 2_500), (3, 1_000), (4, 20_000)] {
        let mut fleet = Fleet::start(seed, 400, over_ms, idle);
        fleet.run_to(60_000);
        assert_eq!(fleet.outages(), [], "started over {over_ms} ms");
    }
}

#[test]
fn several_outages_are_told_apart_beside_churn() {
    let mut fleet = Fleet::start(5, 1_000, 5_000, at_random);
    fleet.strike(20_000, 1.0, 300);
    fleet.strike(30_000, 0.1, 500);
    fleet.strike(45_000, 0.5, 2_000);
    fleet.run_to(60_000);
    let found = fleet.outages();
    let firsts: Vec<u32> = found.iter().map(|outage| outage.first).collect();
    assert_eq!(firsts, [200, 300, 450], "{found:?}");
}

#[test]
fn an_empty_diagram_has_none() {
    assert_eq!(find_outages(&Lexis::default()), []);
    let mut told = Lives::default();
    for _ in 0..5 {
        begin(&mut told, ms(0));
        lose(&mut told, ms(0), ms(50));
    }
    // Nobody is left to compare with: all that there were are gone at once.
    assert_eq!(outages_of(&told), []);
}

#[test]
fn steady_churn_raises_no_alarm_and_five_per_cent_within_a_second_do() {
    let mut missed = 0;
    for seed in 0..40 {
        for lives in [idle, at_random] {
            let mut fleet = Fleet::start(seed, 400, 5_000, lives);
            fleet.run_to(40_000);
            assert_eq!(fleet.outages(), [], "seed {seed}");
        }
        let mut fleet = Fleet::start(seed, 1_000, 5_000, at_random);
        fleet.strike(20_000 + seed * 37, 0.05, 1_000);
        fleet.run_to(40_000);
        let found = fleet.outages();
        if found.len() != 1 {
            missed += 1;
            println!("seed {seed}: {found:?}");
        }
    }
    assert!(missed <= 1, "{missed} of 40");
}

#[test]
fn an_outage_that_goes_on_by_itself_is_one_to_its_last_loss_and_no_longer() {
    let mut fleet = Fleet::start(7, 200, 2_000, for_ever);
    fleet.strike(20_000, 1.0, 500);
    fleet.react(20_600, 50_000, 20_000.0);
    fleet.run_to(80_000);
    let found = fleet.outages();
    assert_eq!(found.len(), 1, "{found:?}");
    let Outage { first, last, trigger, lost, lost_again, at_risk } = found[0];
    assert_eq!((first, at_risk), (200, 200));
    assert!((203..=212).contains(&trigger), "{found:?}");
    assert!((480..=499).contains(&last), "{found:?}");
    assert!(lost > 350 && lost - lost_again <= 200, "{found:?}");
}

#[test]
fn what_is_closed_for_its_age_after_an_outage_is_no_chain_reaction() {
    let mut fleet = Fleet::start(8, 400, 5_000, idle);
    fleet.strike(20_000, 1.0, 500);
    fleet.run_to(60_000);
    let found = fleet.outages();
    assert_eq!((found.len(), found[0].first), (1, 200), "{found:?}");
    assert!(found[0].last <= 205 && found[0].lost_again == 0, "{found:?}");
}

#[test]
fn rolling_restarts_are_an_outage_each() {
    let mut fleet = Fleet::start(9, 500, 2_000, for_ever);
    for step in 0..5 {
        fleet.strike(20_000 + step * 10_000, 0.2, 800);
    }
    fleet.run_to(90_000);
    let firsts: Vec<u32> = fleet.outages().iter().map(|outage| outage.first).collect();
    assert_eq!(firsts, [200, 300, 400, 500, 600]);
}
