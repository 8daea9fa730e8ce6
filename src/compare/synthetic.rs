//! Runs made by a formula, whose behaviour is known: what the gate's own error is measured on.
//!
//! In: a behaviour, a seed. Out: a run, condensed. The noise is as real runs have it: runs differ in level, and neighbouring seconds resemble each other (a first-order
//! autoregression of the logarithm of the level). Only benches and tests use it.

use std::collections::BTreeMap;
use std::f64::consts::TAU;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::record::{GroupManifest, HostManifest};
use crate::sample::Metric;

use super::buckets::{Buckets, FULL_PRECISION};
use super::measure::compared_metrics;
use super::repeat::{Block, Counts, Facts, GroupBlock, Repeat, Validity};

/// How synthetic runs behave. Standard deviations are of logarithms: 0.01 is about one percent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Behaviour {
    /// Groups.
    pub groups: usize,
    /// How many metrics each reconnect has: 1 is the reconnect latency alone, besides 100 first connects in the first second.
    pub metrics: usize,
    /// Seconds of each run.
    pub seconds: u64,
    /// Reconnects per second and group.
    pub per_second: f64,
    /// Median reconnect latency, in microseconds.
    pub median_us: f64,
    /// Spread of single latencies.
    pub sigma: f64,
    /// Spread of the level from run to run.
    pub run_spread: f64,
    /// Spread of `sigma` from run to run: tails vary more than medians.
    pub tail_spread: f64,
    /// Spread of the level from second to second.
    pub second_spread: f64,
    /// How much of a second's deviation is left in the next (0..1).
    pub memory: f64,
    /// Share of handshakes refused with 403.
    pub refused: f64,
    /// By which latencies above the 90th percentile are stretched, growing to this factor at the 99th; 1 leaves them.
    pub tail_factor: f64,
}

impl Default for Behaviour {
    /// As 16 repeats of `scenarios/smoke.toml` with 400 clients and a log-normal token delay behaved on a quiet machine of two cores: medians spread by 0.7 %, 99th
    /// percentiles by 2.2 %, of which 1.9 % are but the number of samples (3,400 a run; these have 10,000).
    fn default() -> Self {
        Self {
            groups: 1,
            metrics: 1,
            seconds: 24,
            per_second: 400.0,
            median_us: 31_500.0,
            sigma: 0.29,
            run_spread: 0.003,
            tail_spread: 0.015,
            second_spread: 0.015,
            memory: 0.6,
            refused: 0.01,
            tail_factor: 1.0,
        }
    }
}

/// Uniform and normal draws.
struct Noise {
    generator: ChaCha8Rng,
    spare: Option<f64>,
}

impl Noise {
    fn unit(&mut self) -> f64 {
        (self.generator.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Box and Muller 1958, both of the pair.
    fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        let angle = TAU * self.unit();
        self.spare = Some(radius * angle.sin());
        radius * angle.cos()
    }
}

/// A run of that behaviour.
#[must_use]
pub fn synthetic_run(behaviour: &Behaviour, seed: u64) -> Repeat {
    let mut noise = Noise { generator: ChaCha8Rng::seed_from_u64(seed), spare: None };
    let per_group: Vec<Vec<GroupBlock>> =
        (0..behaviour.groups).map(|_| synthetic_group(behaviour, &mut noise)).collect();
    let blocks = (0..behaviour.seconds as usize).map(|second| Block {
        seconds: 1,
        groups: per_group.iter().map(|group| group[second].clone()).collect(),
    });
    let elapsed_s = behaviour.seconds as f64;
    let names =
        (0..behaviour.groups).map(|group| GroupManifest { name: format!("group-{group}"), clients: 100 });
    let facts = Facts {
        source: format!("synthetic-{seed}"),
        scenario: "synthetic".into(),
        scenario_hash: "0".into(),
        scenario_text: String::new(),
        seed,
        tool_version: env!("CARGO_PKG_VERSION").into(),
        started_unix_us: seed,
        duration_s: elapsed_s,
        elapsed_s,
        target_kind: "embedded".into(),
        groups: names.collect(),
        host: HostManifest { cores: 2, kernel: "6.0".into(), descriptor_limit: 1, local_ports: 1 },
        validity: Validity::Valid,
        reasons: Vec::new(),
        cpu_s: Some(1.0 + 0.05 * noise.normal()),
        max_rss_bytes: Some(50_000_000),
        precision: FULL_PRECISION,
    };
    let run = Repeat { facts, blocks: blocks.collect(), outages: None, storms: None };
    run.reduced(super::repeat::MOST_BLOCKS, FULL_PRECISION)
}

fn synthetic_group(behaviour: &Behaviour, noise: &mut Noise) -> Vec<GroupBlock> {
    let level = behaviour.run_spread * noise.normal();
    let sigma = behaviour.sigma * (behaviour.tail_spread * noise.normal()).exp();
    // The autoregression begins in its stationary state.
    let mut drift = behaviour.second_spread * noise.normal();
    let innovation = behaviour.second_spread * (1.0 - behaviour.memory.powi(2)).sqrt();
    let seconds = (0..behaviour.seconds).map(|second| {
        drift = behaviour.memory * drift + innovation * noise.normal();
        let expected = behaviour.per_second;
        let back = (expected + expected.sqrt() * noise.normal()).round().max(0.0) as u64;
        let location = behaviour.median_us.ln() + level + drift;
        let latency = |noise: &mut Noise| {
            let z = noise.normal();
            (location + sigma * z + stretch(behaviour.tail_factor, z)).exp()
        };
        let mut histograms = BTreeMap::new();
        for metric in compared_metrics().take(behaviour.metrics) {
            histograms.insert(metric, histogram(back, || latency(noise)));
        }
        if second == 0 {
            let first = histogram(100, || latency(noise));
            histograms.entry(Metric::ConnectLatency).or_insert(first);
        }
        histograms.retain(|_, buckets| !buckets.is_empty());
        let refused = (0..back).filter(|_| noise.unit() < behaviour.refused).count() as u64;
        let counts = Counts {
            answered: back + refused,
            refused_403: refused,
            attempts: back + refused,
            failed: refused,
            back,
            reconnects_ended: back,
            tokens_for_reconnects: back,
            given_up: 0,
        };
        GroupBlock { counts, histograms, ..GroupBlock::default() }
    });
    seconds.collect()
}

/// How much later, as a logarithm, a latency in the tail is: nothing below the 90th percentile, all of it from the 99th on.
fn stretch(factor: f64, z: f64) -> f64 {
    let (begin, full) = (1.281_551_565_5, 2.326_347_874);
    factor.ln() * ((z - begin) / (full - begin)).clamp(0.0, 1.0)
}

fn histogram(count: u64, mut draw: impl FnMut() -> f64) -> Buckets {
    let values = (0..count).map(|_| {
        let us = draw().round().clamp(1.0, 1e10) as u64;
        let digits = 63 - us.leading_zeros();
        let shift = digits.saturating_sub(u32::from(FULL_PRECISION));
        (us >> shift << shift, 1)
    });
    Buckets::new(values)
}
