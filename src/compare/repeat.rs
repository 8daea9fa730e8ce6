//! A run, condensed to what comparisons need: facts, and blocks of consecutive seconds.
//!
//! In: a run as reports see it. Out: the same numbers in at most [`MOST_BLOCKS`] blocks; nothing is averaged, histograms are added. A baseline
//! holds such repeats.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::record::{
    GroupManifest, HostManifest, Latencies, PackedTally, Reconnects, TalkNames, Tally, count_not_back,
    share_of,
};
use crate::report::{RunModel, Status};
use crate::sample::{Counter, Metric};
use crate::scenario::keys::ShareOf;

use super::buckets::{Buckets, FULL_PRECISION};
use super::outages::{GroupOutage, GroupOutages, RunOutages};
use super::storms::{GroupStorms, RunStorms};

/// Into how many blocks a run is cut. Long blocks keep what hangs together together: neighbouring seconds resemble each other.
pub const MOST_BLOCKS: usize = 12;

/// Whether a run's numbers may be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Validity {
    /// They may. A failed threshold does not hinder.
    Valid,
    /// The generator, the load or the accounts were not as they must be.
    NotValid,
    /// The run was interrupted, or its end is missing.
    CutOff,
}

/// What is known of a run beside its numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Where it was read from, as the user wrote it.
    pub source: String,
    /// Name of the scenario.
    pub scenario: String,
    /// Its hash.
    pub scenario_hash: String,
    /// The scenario as run.
    pub scenario_text: String,
    /// Its seed.
    pub seed: u64,
    /// Version of the program that ran it.
    pub tool_version: String,
    /// When it began, microseconds since 1970.
    pub started_unix_us: u64,
    /// How long it was to be, in seconds.
    pub duration_s: f64,
    /// How long it was, in seconds.
    pub elapsed_s: f64,
    /// `embedded` or `remote`.
    pub target_kind: String,
    /// The groups.
    pub groups: Vec<GroupManifest>,
    /// The machine.
    pub host: HostManifest,
    /// Whether its numbers may be compared.
    pub validity: Validity,
    /// Why not; or which thresholds failed.
    pub reasons: Vec<String>,
    /// CPU time that the generator took, in seconds; `None` where the run's end is missing.
    pub cpu_s: Option<f64>,
    /// The generator's largest resident memory, in bytes; `None` where the run's end is missing.
    pub max_rss_bytes: Option<u64>,
    /// Binary digits that the histograms keep, [`FULL_PRECISION`] in a run.
    pub precision: u8,
}

/// What was counted of a group in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Handshakes that were answered.
    pub answered: u64,
    /// Handshakes refused with 403.
    pub refused_403: u64,
    /// Attempts that say something about the target.
    pub attempts: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// Reconnects that ended in a ready session.
    pub back: u64,
    /// Reconnects that ended, ready or given up; and those under way when the run ended that count as not back.
    pub reconnects_ended: u64,
    /// Tokens fetched for reconnects.
    pub tokens_for_reconnects: u64,
    /// Reconnects that were given up.
    pub given_up: u64,
}

impl Counts {
    /// `not_back`: how many reconnects under way when the run ended count as not back.
    fn of(tally: &Tally, not_back: u64) -> Self {
        let (refused_403, answered) = share_of(ShareOf::Handshake403, tally);
        let (failed, attempts) = share_of(ShareOf::AttemptFailure, tally);
        let (back, given_up) =
            (tally.counter(Counter::Reconnects), tally.counter(Counter::ReconnectsGivenUp));
        Self {
            answered,
            refused_403,
            attempts,
            failed,
            back,
            reconnects_ended: back + given_up + not_back,
            tokens_for_reconnects: tally.counter(Counter::TokensForReconnects),
            given_up,
        }
    }

    /// Each of them.
    #[must_use]
    pub const fn all(&self) -> [u64; 8] {
        let Self {
            answered,
            refused_403,
            attempts,
            failed,
            back,
            reconnects_ended,
            tokens_for_reconnects,
            given_up,
        } = *self;
        [answered, refused_403, attempts, failed, back, reconnects_ended, tokens_for_reconnects, given_up]
    }

    /// Adds another block's.
    pub fn add(&mut self, other: &Self) {
        self.answered += other.answered;
        self.refused_403 += other.refused_403;
        self.attempts += other.attempts;
        self.failed += other.failed;
        self.back += other.back;
        self.reconnects_ended += other.reconnects_ended;
        self.tokens_for_reconnects += other.tokens_for_reconnects;
        self.given_up += other.given_up;
    }
}

/// What was counted and measured of a group in a block.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct GroupBlock {
    /// What was counted.
    pub counts: Counts,
    /// What was measured.
    pub histograms: BTreeMap<Metric, Buckets>,
    /// The latencies of its exchanges, by name.
    pub exchanges: BTreeMap<String, Buckets>,
}

/// Consecutive seconds of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Block {
    /// How many.
    pub seconds: u64,
    /// The groups, in the scenario's order.
    pub groups: Vec<GroupBlock>,
}

/// A run, condensed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Repeat {
    /// What is known of it.
    pub facts: Facts,
    /// Its blocks, in order.
    pub blocks: Vec<Block>,
    /// Its outages and its availability; `None` where it was recorded before these were.
    pub outages: Option<RunOutages>,
    /// Its storms and the busiest second of the token endpoint; `None` where a baseline of before does not have them.
    pub storms: Option<RunStorms>,
}

/// One side of a comparison: one run, or several repeats of it.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSet {
    /// What reports call it.
    pub name: String,
    /// Its runs, at least one.
    pub repeats: Vec<Repeat>,
    /// Whether it was read from a baseline.
    pub is_baseline: bool,
}

impl Repeat {
    /// Condenses a run. `source` is what the user called it.
    #[must_use]
    pub fn of(model: &RunModel, source: &str) -> Self {
        let whole = model.totals.iter().enumerate();
        let groups: Vec<(u64, &TalkNames)> = whole
            .map(|(place, tally)| (Reconnects::of(tally).not_back_from_us, model.manifest.talk_names(place)))
            .collect();
        Self {
            facts: facts(model, source),
            blocks: blocks(&model.seconds, &groups),
            outages: RunOutages::of(model),
            storms: Some(RunStorms::of(model)),
        }
    }

    /// What was counted of a group in the whole run.
    #[must_use]
    pub fn counts(&self, group: usize) -> Counts {
        let mut sum = Counts::default();
        self.blocks
            .iter()
            .filter_map(|block| block.groups.get(group))
            .for_each(|block| sum.add(&block.counts));
        sum
    }

    /// A metric of a group over the whole run.
    #[must_use]
    pub fn histogram(&self, group: usize, metric: Metric) -> Buckets {
        let groups = self.blocks.iter().filter_map(|block| block.groups.get(group));
        Buckets::merged(groups.filter_map(|block| block.histograms.get(&metric)))
    }

    /// The outages of a group, by its index, or of all together, whose index is behind the last group's.
    #[must_use]
    pub fn group_outages(&self, group: usize) -> Option<&GroupOutages> {
        self.outages.as_ref()?.groups.get(group)
    }

    /// An outage of a group, by its order from 0; `None` where the group lost nobody in it.
    #[must_use]
    pub fn outage(&self, group: usize, index: usize) -> Option<&GroupOutage> {
        self.group_outages(group)?.each.get(index)?.as_ref()
    }

    /// The storms of a group, by its index, or of all together, whose index is behind the last group's.
    #[must_use]
    pub fn group_storms(&self, group: usize) -> Option<&GroupStorms> {
        self.storms.as_ref()?.groups.get(group)
    }

    /// A group over the whole run.
    #[must_use]
    pub fn whole(&self, group: usize) -> GroupBlock {
        merge_group(&self.blocks, group, FULL_PRECISION)
    }

    /// The same run in at most `blocks` blocks, with `precision` binary digits.
    #[must_use]
    pub fn reduced(&self, blocks: usize, precision: u8) -> Self {
        let each = self.blocks.len().div_ceil(blocks.max(1)).max(1);
        let merged = self.blocks.chunks(each).map(|chunk| merge_blocks(chunk, precision));
        let facts = Facts { precision: self.facts.precision.min(precision), ..self.facts.clone() };
        let outages = self.outages.as_ref().map(|outages| outages.coarsened(facts.precision));
        let storms = self.storms.as_ref().map(|storms| storms.coarsened(facts.precision));
        Self { facts, blocks: merged.collect(), outages, storms }
    }
}

fn merge_blocks(chunk: &[Block], precision: u8) -> Block {
    let groups = chunk.iter().map(|block| block.groups.len()).max().unwrap_or(0);
    let merged = (0..groups).map(|group| merge_group(chunk, group, precision));
    Block { seconds: chunk.iter().map(|block| block.seconds).sum(), groups: merged.collect() }
}

fn merge_group(blocks: &[Block], group: usize, precision: u8) -> GroupBlock {
    let parts = || blocks.iter().filter_map(move |block| block.groups.get(group));
    let mut counts = Counts::default();
    parts().for_each(|part| counts.add(&part.counts));
    let metrics: std::collections::BTreeSet<Metric> =
        parts().flat_map(|part| part.histograms.keys().copied()).collect();
    let fit = |all: Buckets| if precision < FULL_PRECISION { all.coarsened(precision) } else { all };
    let histograms = metrics.into_iter().map(|metric| {
        (metric, fit(Buckets::merged(parts().filter_map(|part| part.histograms.get(&metric)))))
    });
    let names: std::collections::BTreeSet<&String> = parts().flat_map(|part| part.exchanges.keys()).collect();
    let exchanges = names.into_iter().map(|name| {
        (name.clone(), fit(Buckets::merged(parts().filter_map(|part| part.exchanges.get(name)))))
    });
    GroupBlock { counts, histograms: histograms.collect(), exchanges: exchanges.collect() }
}

fn facts(model: &RunModel, source: &str) -> Facts {
    let manifest = &model.manifest;
    let health = model.end.as_ref().map(|end| &end.health);
    let held = manifest.held_shards();
    let is_part = held.len() < manifest.shards as usize;
    let mut reasons = model.verdict.reasons.clone();
    if is_part {
        let held: Vec<String> = held.iter().map(ToString::to_string).collect();
        reasons.insert(0, format!("it holds only shard {} of {}", held.join(", "), manifest.shards));
    }
    let validity = match model.verdict.status {
        _ if is_part => Validity::CutOff,
        Status::Pass | Status::ThresholdFailed => Validity::Valid,
        Status::NotValid => Validity::NotValid,
        Status::Interrupted | Status::NotAuthorised | Status::Incomplete => Validity::CutOff,
    };
    Facts {
        source: source.to_owned(),
        scenario: manifest.scenario.clone(),
        scenario_hash: manifest.scenario_hash.clone(),
        scenario_text: manifest.scenario_text.clone(),
        seed: manifest.seed,
        tool_version: manifest.tool_version.clone(),
        started_unix_us: manifest.started_unix_us,
        duration_s: manifest.duration_s,
        elapsed_s: model.elapsed_s,
        target_kind: manifest.target_kind.clone(),
        groups: manifest.groups.clone(),
        host: manifest.host.clone(),
        validity,
        reasons,
        cpu_s: health.and_then(|health| health.cpu_s),
        max_rss_bytes: health.and_then(|health| health.max_rss_bytes),
        precision: FULL_PRECISION,
    }
}

/// Cuts the seconds, the empty ones between them counted, into blocks of equal length. One block is unpacked at a time. Each group has the time in
/// microseconds from which one that is still away counts as not back, by how the group came back in the whole run.
fn blocks(seconds: &[(u64, Vec<PackedTally>)], whole: &[(u64, &TalkNames)]) -> Vec<Block> {
    let total = seconds.last().map_or(0, |(second, _)| second + 1);
    let length = total.div_ceil(MOST_BLOCKS as u64).max(1);
    let count = total.div_ceil(length);
    let mut rest = seconds;
    let cut = (0..count).map(|index| {
        let end = ((index + 1) * length).min(total);
        let (own, behind) = rest.split_at(rest.partition_point(|(second, _)| *second < end));
        rest = behind;
        let groups = whole.iter().enumerate().map(|(group, (not_back_from_us, names))| {
            group_block(own.iter().filter_map(|(_, tallies)| tallies.get(group)), *not_back_from_us, names)
        });
        Block { seconds: end - index * length, groups: groups.collect() }
    });
    cut.collect()
}

fn group_block<'t>(
    tallies: impl Iterator<Item = &'t PackedTally>,
    not_back_from_us: u64,
    names: &TalkNames,
) -> GroupBlock {
    let mut exchanges: BTreeMap<String, Vec<(u64, u64)>> = BTreeMap::new();
    let mut counted = Tally::default();
    let mut cells: BTreeMap<Metric, BTreeMap<u64, u64>> = BTreeMap::new();
    for tally in tallies {
        counted.merge(&tally.unpack_counts());
        for (index, counts) in tally.exchange_bucket_counts() {
            exchanges.entry(names.exchange(index)).or_default().extend(counts);
        }
        for (metric, counts) in tally.bucket_counts() {
            let sums = cells.entry(metric).or_default();
            for (lowest, count) in counts {
                *sums.entry(lowest).or_default() += count;
            }
        }
    }
    let histograms: BTreeMap<Metric, Buckets> =
        cells.into_iter().map(|(metric, sums)| (metric, Buckets::new(sums))).collect();
    let mut away = Latencies::new();
    if let Some(buckets) = histograms.get(&Metric::ReconnectAway) {
        buckets.add_to(&mut away, FULL_PRECISION);
    }
    let exchanges = exchanges.into_iter().map(|(name, counts)| (name, Buckets::new(counts))).collect();
    GroupBlock {
        counts: Counts::of(&counted, count_not_back(not_back_from_us, &away)),
        histograms,
        exchanges,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sample::{AttemptKind, Phases, ReadySample, Sample};

    fn second(ms: u64) -> Vec<PackedTally> {
        let mut tally = Tally::default();
        let latency = Duration::from_millis(ms);
        let ready = ReadySample {
            kind: AttemptKind::Reconnect,
            storm: None,
            latency,
            service_time: latency,
            phases: Phases::default(),
        };
        tally.apply(&Sample::Ready(Box::new(ready)));
        vec![PackedTally::of(&tally), PackedTally::of(&Tally::default())]
    }

    #[test]
    fn every_second_is_in_one_block_and_nothing_is_lost() {
        let nobody = [0, 1].map(|_| (1, TalkNames::NONE));
        for total in [1_u64, 5, 12, 13, 100, 3_600] {
            let seconds: Vec<_> =
                (0..total).filter(|n| n % 3 != 1 || *n + 1 == total).map(|n| (n, second(n + 1))).collect();
            let blocks = blocks(&seconds, &nobody);
            assert!(blocks.len() <= MOST_BLOCKS, "{total}: {}", blocks.len());
            assert_eq!(blocks.iter().map(|block| block.seconds).sum::<u64>(), total);
            let mut whole = Latencies::new();
            seconds.iter().for_each(|(n, _)| whole.record(Duration::from_millis(n + 1)));
            let merged = Buckets::merged(
                blocks.iter().filter_map(|b| b.groups[0].histograms.get(&Metric::ReconnectLatency)),
            );
            assert_eq!(merged.count(), whole.count());
            let p50 = super::super::buckets::Stack::new([&merged], FULL_PRECISION).percentile(&[1], 50.0);
            assert_eq!(p50, Some(whole.percentile_us(50.0) as f64));
            let back: u64 = blocks.iter().map(|block| block.groups[0].counts.back).sum();
            assert_eq!(back, seconds.len() as u64);
            assert!(blocks.iter().all(|block| block.groups[1] == GroupBlock::default()));
        }
        assert_eq!(blocks(&[], &nobody), []);
    }
}
