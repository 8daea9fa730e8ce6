//! A run's seconds as the points of its time plots.
//!
//! In: a run's packed seconds. Out: at most [`MOST_POINTS`] points for each group and for all together. Where seconds share a point, counts are added,
//! percentiles come from the merged histograms, a maximum is the largest. One point's histograms are in memory at a time.

use std::collections::{BTreeMap, BTreeSet};

use crate::record::{Latencies, PackedTally, Tally, merge_all};
use crate::sample::{Cause, Counter, Metric, Outcome, Phase};

use super::super::model::RunModel;
use super::plot::Axis;

/// The most points of a time plot.
const MOST_POINTS: u64 = 600;
/// Lengths of a point, in seconds, beyond which it is doubled.
const WIDTHS: [u64; 14] = [1, 2, 3, 5, 6, 10, 12, 15, 20, 30, 60, 120, 300, 600];

/// The points of a run.
pub(super) struct Buckets {
    /// Seconds in each.
    pub(super) width_s: u64,
    /// Those of each group.
    pub(super) groups: Vec<Vec<Bucket>>,
    /// Those of all groups together.
    pub(super) all: Vec<Bucket>,
}

/// A point: some seconds of a group.
#[derive(Debug, Clone, Default)]
pub(super) struct Bucket {
    /// Sessions open at its end.
    pub(super) connected: i64,
    /// Clients that are there at its end: they have come, and have not left.
    pub(super) clients: i64,
    pub(super) outcomes: BTreeMap<Outcome, u64>,
    /// Refusals by cause.
    pub(super) causes: BTreeMap<Option<Cause>, u64>,
    /// Ends of sessions by close code.
    pub(super) codes: BTreeMap<u16, u64>,
    pub(super) counters: BTreeMap<Counter, u64>,
    /// Most token requests in one of its seconds, without those with which clients began.
    pub(super) peak_tokens: u64,
    pub(super) reconnect: Option<Spread>,
    pub(super) lag: Option<Spread>,
    pub(super) message: Option<Spread>,
    /// Exchanges by the index of their saying: of a group alone.
    pub(super) exchanges: BTreeMap<u16, Spread>,
    /// Mean time in each phase of the reconnects that came to their end, in microseconds; they add up to the mean latency.
    pub(super) phases: Option<[f64; Phase::ALL.len()]>,
}

/// What a time plot shows of a histogram, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spread {
    pub(super) p50: u64,
    pub(super) p99: u64,
    pub(super) max: u64,
}

impl Spread {
    fn of(latencies: Option<&Latencies>) -> Option<Self> {
        let latencies = latencies.filter(|latencies| latencies.count() > 0)?;
        let (p50, p99) = (latencies.percentile_us(50.0), latencies.percentile_us(99.0));
        Some(Self { p50, p99, max: latencies.max_us() })
    }
}

impl Bucket {
    pub(super) fn of(tally: &Tally, before: Option<&Self>, peak_tokens: u64) -> Self {
        let mut bucket = Self { peak_tokens, counters: tally.counters.clone(), ..Self::default() };
        let opened = tally.counter(Counter::Upgrades) as i64;
        let (connected, clients) = before.map_or((0, 0), |before| (before.connected, before.clients));
        bucket.connected = connected + opened - tally.closes_total() as i64;
        bucket.clients = clients + tally.presence.wanted.net;
        // What is counted otherwise is no attempt of these seconds.
        let told: BTreeSet<(Outcome, Option<Cause>)> =
            tally.attempts.keys().map(|key| (key.outcome, key.cause)).collect();
        for (outcome, cause) in told {
            let count = tally.attempts_where(|_, other, why| (other, why) == (outcome, cause));
            if outcome.is_refusal() && cause.is_some() {
                *bucket.causes.entry(cause).or_default() += count;
            }
        }
        for outcome in Outcome::ALL {
            let count = tally.outcome(*outcome);
            if count > 0 {
                bucket.outcomes.insert(*outcome, count);
            }
        }
        for (key, count) in &tally.closes {
            *bucket.codes.entry(key.code).or_default() += count;
        }
        let histogram = |metric| tally.histograms.get(&metric);
        bucket.reconnect = Spread::of(histogram(Metric::ReconnectLatency));
        bucket.lag = Spread::of(histogram(Metric::Lag));
        bucket.message = Spread::of(histogram(Metric::MessageLatency));
        let talked = tally.talk.iter().flat_map(|talk| &talk.exchanges);
        bucket.exchanges = talked
            .filter_map(|(index, exchange)| Some((*index, Spread::of(Some(&exchange.latencies))?)))
            .collect();
        bucket.phases = bucket.reconnect.map(|_| {
            let mut means = [0.0; Phase::ALL.len()];
            for (mean, phase) in means.iter_mut().zip(Phase::ALL) {
                *mean = histogram(Metric::of_phase(*phase)).map_or(0.0, Latencies::mean_us);
            }
            means
        });
        bucket
    }

    /// A counter's value.
    pub(super) fn counter(&self, counter: Counter) -> u64 {
        self.counters.get(&counter).copied().unwrap_or(0)
    }
}

impl Buckets {
    /// The points of `model`.
    pub(super) fn of(model: &RunModel) -> Self {
        let seconds = model.seconds.last().map_or(0, |(second, _)| second + 1);
        let width_s = width_for(seconds);
        let groups = model.manifest.groups.len();
        let mut buckets = Self { width_s, groups: vec![Vec::new(); groups], all: Vec::new() };
        let mut rest = model.seconds.as_slice();
        for point in 0..seconds.div_ceil(width_s) {
            let end = (point + 1) * width_s;
            let (here, later) = rest.split_at(rest.partition_point(|(second, _)| *second < end));
            rest = later;
            let mut tallies = vec![Tally::default(); groups];
            let (mut peaks, mut peak) = (vec![0; groups], 0);
            for (_, packed) in here {
                let tokens = packed.iter().map(PackedTally::token_requests_after_start);
                peak = peak.max(tokens.clone().sum());
                peaks.iter_mut().zip(tokens).for_each(|(peak, tokens)| *peak = tokens.max(*peak));
                packed.iter().zip(&mut tallies).for_each(|(packed, tally)| packed.add_to(tally));
            }
            push(&mut buckets.all, &merge_all(&tallies), peak);
            for ((own, tally), peak) in buckets.groups.iter_mut().zip(&tallies).zip(peaks) {
                push(own, tally, peak);
            }
        }
        buckets
    }

    /// The axis of the time plots.
    pub(super) fn axis(&self) -> Axis {
        Axis::Even { from: 0.0, step: self.width_s as f64, count: self.all.len() }
    }

    /// Counts of a point as a rate.
    pub(super) fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.width_s as f64
    }
}

fn push(points: &mut Vec<Bucket>, tally: &Tally, peak_tokens: u64) {
    let bucket = Bucket::of(tally, points.last(), peak_tokens);
    points.push(bucket);
}

/// The least length of a point at which a run of `seconds` has no more than [`MOST_POINTS`].
fn width_for(seconds: u64) -> u64 {
    let fits = |width: &u64| seconds.div_ceil(*width) <= MOST_POINTS;
    let nice = WIDTHS.iter().copied().find(fits);
    nice.unwrap_or_else(|| seconds.div_ceil(MOST_POINTS).next_multiple_of(600))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_any_length_has_few_points() {
        for (seconds, width) in
            [(0, 1), (1, 1), (600, 1), (601, 2), (3_600, 6), (7_201, 15), (86_400, 300), (864_000, 1_800)]
        {
            assert_eq!(width_for(seconds), width, "{seconds}");
            assert!(seconds.div_ceil(width) <= MOST_POINTS, "{seconds}");
        }
    }
}
