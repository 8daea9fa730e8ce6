//! A run as every report sees it.
//!
//! In: a journal. Out: totals, seconds, results, all derived from it.

use crate::record::{
    Journal, Manifest, Reconciliation, RunEnd, Tally, ThresholdResult, check_accounts, evaluate,
    health_faults, merge_all, reconcile,
};
use crate::sample::Counter;
use crate::scenario::parse_threshold;

use super::verdict::{Findings, Verdict, judge};

/// A run, ready to be reported.
#[derive(Debug, Clone)]
pub struct RunModel {
    /// How it was begun.
    pub manifest: Manifest,
    /// How it ended; `None` after a crash.
    pub end: Option<RunEnd>,
    /// The seconds, in order, a tally for each group.
    pub seconds: Vec<(u64, Vec<Tally>)>,
    /// Totals of each group.
    pub totals: Vec<Tally>,
    /// Totals of all groups together.
    pub all: Tally,
    /// From the start to the last sample, in seconds.
    pub elapsed_s: f64,
    /// How the thresholds came out.
    pub thresholds: Vec<ThresholdResult>,
    /// What does not add up within the run.
    pub account_faults: Vec<String>,
    /// The clients' counts beside the target's, where there are such.
    pub reconciliation: Option<Reconciliation>,
    /// Bytes that a crash cut off.
    pub torn_bytes: u64,
    /// The verdict.
    pub verdict: Verdict,
}

impl RunModel {
    /// Derives everything from a journal.
    #[must_use]
    pub fn new(journal: Journal) -> Self {
        let Journal { manifest, intervals, end, torn_bytes } = journal;
        let mut totals = vec![Tally::default(); manifest.groups.len()];
        for (_, groups) in &intervals {
            for (total, tally) in totals.iter_mut().zip(groups) {
                total.merge(tally);
            }
        }
        let all = merge_all(&totals);
        let recorded_s = intervals.last().map_or(0.0, |(second, _)| (*second + 1) as f64);
        let elapsed_s = end.as_ref().map_or(recorded_s, |end| end.elapsed_s);
        let thresholds = evaluate_all(&manifest, &totals, &all, elapsed_s);
        let account_faults = check_all_accounts(&manifest, &totals, &all, end.is_some());
        let counters = end.as_ref().and_then(|end| end.target_counters.as_ref());
        let reconciliation = counters.map(|counters| reconcile(&all, counters));
        let verdict = judge(&Findings {
            end: end.as_ref(),
            thresholds: &thresholds,
            account_faults: &account_faults,
            reconciliation: reconciliation.as_ref(),
            health_faults: end.as_ref().map(|end| health_faults(&end.health)).unwrap_or_default(),
            clients_started: all.counter(Counter::ClientsStarted),
            all: &all,
        });
        Self {
            manifest,
            end,
            seconds: intervals,
            totals,
            all,
            elapsed_s,
            thresholds,
            account_faults,
            reconciliation,
            torn_bytes,
            verdict,
        }
    }

    /// Name and totals of each group, in the scenario's order.
    pub fn groups(&self) -> impl Iterator<Item = (&str, &Tally)> {
        self.manifest.groups.iter().map(|group| group.name.as_str()).zip(&self.totals)
    }
}

fn evaluate_all(manifest: &Manifest, totals: &[Tally], all: &Tally, elapsed_s: f64) -> Vec<ThresholdResult> {
    let parsed = manifest.thresholds.iter().filter_map(|source| parse_threshold(source).ok());
    parsed
        .map(|threshold| {
            let index = threshold
                .group
                .as_ref()
                .and_then(|name| manifest.groups.iter().position(|group| group.name == *name));
            let tally = index.and_then(|index| totals.get(index)).unwrap_or(all);
            evaluate(&threshold, tally, elapsed_s)
        })
        .collect()
}

fn check_all_accounts(manifest: &Manifest, totals: &[Tally], all: &Tally, ended: bool) -> Vec<String> {
    let named = manifest.groups.iter().map(|group| group.name.as_str()).zip(totals);
    named.chain([("all groups", all)]).flat_map(|(name, tally)| check_accounts(name, tally, ended)).collect()
}
