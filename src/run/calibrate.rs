//! What stages take, from the journal of a real run.
//!
//! In: a run folder. Out: times by stage, and what was done to them, in words. What the embedded target's rules held back on purpose is taken
//! out again, for the same rules hold it back in virtual time as well.

use std::path::{Path, PathBuf};
use std::time::Duration;

use statrs::distribution::{ContinuousCDF as _, Normal};

use crate::drive::virtual_time::{MeasuredTimes, StageTimes};
use crate::record::{JournalError, Latencies, Manifest, Tally, read_journal};
use crate::report::JOURNAL_FILE;
use crate::sample::{Metric, Request, RequestAnswer};
use crate::scenario::keys::{Delay, TargetRules, TimeStage};
use crate::scenario::target_rules_of;
use crate::units::{format_count, format_us};

/// Why a run's times cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum CalibrateError {
    /// Its journal cannot be read.
    #[error("--calibrate: {0}")]
    Journal(#[from] JournalError),
    /// It was a simulation itself.
    #[error("--calibrate {}: that run was simulated; name one that ran in real time", path.display())]
    Simulated {
        /// The run.
        path: PathBuf,
    },
    /// It measured nothing of use.
    #[error("--calibrate {}: that run completed no reconnect, so that no stage was measured", path.display())]
    Nothing {
        /// The run.
        path: PathBuf,
    },
}

/// Where each stage's times are measured.
const MEASURED: [(TimeStage, Metric); 8] = [
    (TimeStage::Dns, Metric::PhaseDns),
    (TimeStage::Tcp, Metric::PhaseTcp),
    (TimeStage::Tls, Metric::PhaseTls),
    (TimeStage::Upgrade, Metric::PhaseUpgrade),
    (TimeStage::Token, Metric::PhaseToken),
    (TimeStage::Message, Metric::MessageLatency),
    (TimeStage::Detect, Metric::PhaseDetect),
    (TimeStage::Mint, Metric::PhaseMint),
];

/// Puts a run's measured times in place of the given ones, for clients that sign something or do not; answers with a sentence for each stage.
pub(super) fn calibrate(
    run: &Path,
    signs: bool,
    times: &mut StageTimes,
) -> Result<Vec<String>, CalibrateError> {
    let file = if run.is_dir() { run.join(JOURNAL_FILE) } else { run.to_owned() };
    let journal = read_journal(&file)?;
    if journal.manifest.simulated.is_some() {
        return Err(CalibrateError::Simulated { path: run.to_owned() });
    }
    let mut all = Tally::default();
    journal.intervals.iter().flat_map(|(_, groups)| groups).for_each(|tally| tally.add_to(&mut all));
    let rules = rules_of(&journal.manifest);
    let mut words = Vec::new();
    let steps = of_requests(&all, |request| matches!(request, Request::Step(_)));
    let tokens = of_requests(&all, |request| matches!(request, Request::Credentials | Request::Refresh));
    let of_metric = |(stage, metric)| match stage {
        // What steps take is part of the phase of the token.
        TimeStage::Token if steps.is_some() => (stage, tokens.clone()),
        _ => (stage, measured(&all, metric)),
    };
    for (stage, measured) in MEASURED.into_iter().map(of_metric).chain([(TimeStage::Step, steps.clone())]) {
        let Some(measured) = measured else { continue };
        // A run without TLS took no time for it, which says nothing of one with it.
        if stage == TimeStage::Tls && measured.iter().all(|(us, _)| *us == 0) {
            continue;
        }
        let (delay, has_capacity) = match (&rules, stage) {
            (Some(rules), TimeStage::Token) => (rules.token_delay, rules.token_capacity.is_some()),
            (Some(rules), TimeStage::Upgrade) => (rules.upgrade_delay, rules.upgrade_capacity.is_some()),
            _ => (Delay::None, false),
        };
        let name = stage.name();
        if has_capacity {
            words.push(format!("{name}: not taken from that run, for its target had a capacity there, and its times hold the waiting"));
            continue;
        }
        let Some(overhead) = without(&measured, delay) else { continue };
        let note = if delay == Delay::None { "" } else { ", less what its target's rules held back" };
        words.push(format!(
            "{name}: as measured {} times, p50 {}, p99 {}{note}",
            format_count(overhead.count()),
            format_us(us(overhead.quantile(0.5))),
            format_us(us(overhead.quantile(0.99))),
        ));
        times.measure(stage, overhead);
    }
    let asks =
        all.histograms.get(&Metric::PhaseToken).is_some_and(|times| times.steps().any(|(us, _)| us > 0));
    if signs
        && asks
        && !all.histograms.contains_key(&Metric::PhaseMint)
        && let Some(nothing) = MeasuredTimes::of([(0, 1)])
    {
        words.push("mint: nothing, for that run's token requests hold their signatures".to_owned());
        times.measure(TimeStage::Mint, nothing);
    }
    if !words.is_empty() && journal.end.is_none() {
        words.push("that run was cut off: its times are those until then".to_owned());
    }
    if words.is_empty() {
        return Err(CalibrateError::Nothing { path: run.to_owned() });
    }
    Ok(words)
}

fn us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The rules of a run's embedded target; `None` where it had none.
fn rules_of(manifest: &Manifest) -> Option<TargetRules> {
    (manifest.target_kind == "embedded").then(|| target_rules_of(&manifest.scenario_text)).flatten()
}

/// A metric's times. A reconnect that fetched no token took none for it, which says nothing of the token endpoint.
fn measured(all: &Tally, metric: Metric) -> Option<Vec<(u64, u64)>> {
    let histogram = all.histograms.get(&metric)?;
    let mut below = 0;
    let counts = histogram.steps().map(|(us, up_to)| (us, up_to - std::mem::replace(&mut below, up_to)));
    let counts: Vec<(u64, u64)> = counts.filter(|(us, _)| metric != Metric::PhaseToken || *us > 0).collect();
    (!counts.is_empty()).then_some(counts)
}

/// The times of requests that came to what they were made for; `None`: there were none.
fn of_requests(all: &Tally, wanted: impl Fn(&Request) -> bool) -> Option<Vec<(u64, u64)>> {
    let mut latencies = Latencies::default();
    let answered =
        all.requests.iter().filter(|((request, answer), _)| *answer == RequestAnswer::Ok && wanted(request));
    answered.for_each(|(_, tally)| latencies.merge(&tally.latencies));
    let mut below = 0;
    let counts = latencies.steps().map(|(us, up_to)| (us, up_to - std::mem::replace(&mut below, up_to)));
    let counts: Vec<(u64, u64)> = counts.collect();
    (!counts.is_empty()).then_some(counts)
}

/// Measured times less a delay that is part of them, quantile by quantile, and never less than nothing.
///
/// That is right on average whatever the two have to do with each other, and right altogether where long delays and long rests come
/// together; where they do not, the rest's spread comes out a little too small.
fn without(counts: &[(u64, u64)], delay: Delay) -> Option<MeasuredTimes> {
    let total: u64 = counts.iter().map(|(_, count)| count).sum();
    let mut rests = Vec::with_capacity(counts.len());
    let mut below = 0;
    for (us, count) in counts {
        let middle = (below as f64 + *count as f64 / 2.0) / total.max(1) as f64;
        below += count;
        let rest = Duration::from_micros(*us).saturating_sub(quantile(delay, middle));
        rests.push((self::us(rest), *count));
    }
    rests.sort_unstable();
    MeasuredTimes::of(rests)
}

/// The delay at or below which that share of a distribution lies.
fn quantile(delay: Delay, share: f64) -> Duration {
    let scaled = |time: Duration, factor: f64| {
        Duration::try_from_secs_f64(time.as_secs_f64() * factor).unwrap_or(Duration::MAX)
    };
    match delay {
        Delay::None => Duration::ZERO,
        Delay::Constant(time) => time,
        Delay::Uniform { low, high } => low + scaled(high.saturating_sub(low), share),
        Delay::LogNormal { median, sigma } => {
            scaled(median, (sigma * Normal::standard().inverse_cdf(share)).exp())
        }
        Delay::Exponential { mean } => scaled(mean, -(1.0 - share).ln()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_rules_held_back_is_taken_out() {
        let counts = [(5_100, 10), (5_300, 80), (9_000, 10)];
        let rest = without(&counts, Delay::Constant(Duration::from_millis(5))).unwrap();
        let us = |share| rest.quantile(share).as_micros();
        assert_eq!((rest.count(), us(0.05), us(0.5), us(0.95)), (100, 100, 300, 4_000));
        let nothing = without(&[(3, 5)], Delay::Constant(Duration::from_millis(5))).unwrap();
        assert_eq!(nothing.quantile(0.5), Duration::ZERO, "never less than nothing");
    }

    #[test]
    fn quantiles_are_those_of_the_distributions() {
        let ms = Duration::from_millis(10);
        let us = |delay, share| quantile(delay, share).as_micros();
        assert_eq!(us(Delay::Uniform { low: ms, high: ms * 3 }, 0.5), 20_000);
        assert_eq!(us(Delay::LogNormal { median: ms, sigma: 0.5 }, 0.5), 10_000);
        // The 97.5th percentile of the standard normal distribution is 1.96.
        assert!(us(Delay::LogNormal { median: ms, sigma: 0.5 }, 0.975).abs_diff(26_643) < 30);
        assert_eq!(us(Delay::Exponential { mean: ms }, 0.5), 6_931);
    }
}
