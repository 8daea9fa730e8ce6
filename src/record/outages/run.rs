//! The outages of a run: found in each group and over all, and what each came to.
//!
//! In: the seconds of a run, as the journal has them. Out: each outage with its losses, its recovery and its cost, over all groups and for each. It reads the
//! seconds one by one and keeps sums; what is told of clients' lives is never unpacked as a whole.

use crate::clock::Moment;
use crate::record::lives::{Lives, Losses};
use crate::record::packed::PackedTally;
use crate::record::survival::{Quantile, Survival};
use crate::sample::{AttemptKey, Bin, CloseKey, Counter, Outcome};

use super::find::{Outage, counted, find_outages};
use super::lexis::{Lexis, LexisBuilder};

/// Outages of groups that are no further apart, in bins, are one outage of the run.
const GAP: u32 = 10;
/// A chain reaction goes on for so long at least, in bins.
const LEAST_CHAIN: u32 = 50;
/// It loses so many clients once more at least, and this share of those at risk.
const LEAST_AGAIN: u64 = 3;
const LEAST_AGAIN_SHARE: f64 = 0.1;

/// An outage of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunOutage {
    /// Over all groups.
    pub all: OutageIn,
    /// In each group that lost clients, in the scenario's order.
    pub groups: Vec<OutageIn>,
}

impl RunOutage {
    /// What it came to in a group, if that lost clients; `None`: over all.
    #[must_use]
    pub fn of(&self, group: Option<usize>) -> Option<&OutageIn> {
        match group {
            None => Some(&self.all),
            group => self.groups.iter().find(|own| own.group == group),
        }
    }
}

/// What an outage came to, in a group or over all.
#[derive(Debug, Clone, PartialEq)]
pub struct OutageIn {
    /// Index of the group; `None`: all groups together.
    pub group: Option<usize>,
    /// When the first was lost, in microseconds since the run's start.
    pub first_us: u64,
    /// When the last was lost.
    pub last_us: u64,
    /// How many were lost; who was lost twice counts twice.
    pub lost: u64,
    /// How many sessions there were when it began.
    pub at_risk: u64,
    /// How the sessions ended, the most frequent first.
    pub ends: Vec<(CloseKey, u64)>,
    /// The fewest clients that were in, from the first loss on, at the ends of tenths of seconds.
    pub connected_least: u64,
    /// How many were back, by the microsecond since the first loss.
    pub back: Vec<(u64, u64)>,
    /// How many were still away when the run ended, by the same.
    pub away: Vec<(u64, u64)>,
    /// How many gave up.
    pub gave_up: u64,
    /// How many were not wanted back.
    pub not_wanted: u64,
    /// Attempts to come back that failed, the most frequent first.
    pub failed: Vec<(AttemptKey, u64)>,
    /// The most requests for tokens in a second, from the first loss until all were back.
    pub token_requests_peak: u64,
    /// Messages that were missed in those seconds.
    pub messages_missed: u64,
    /// What it cost: the time that those who were lost were out, in nanoseconds.
    pub cost_ns: u64,
    /// That it went on by itself.
    pub chain: Option<Chain>,
}

/// An outage that went on when its trigger was over: who had come back was lost once more.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chain {
    /// For how long, in microseconds.
    pub for_us: u64,
    /// Disconnects for each client that was lost.
    pub disconnects_per_client: f64,
}

impl OutageIn {
    /// Which share (0..1) of the sessions that there were was lost; more than 1 where clients were lost more than once.
    #[must_use]
    pub fn share(&self) -> f64 {
        if self.at_risk == 0 { 1.0 } else { self.lost as f64 / self.at_risk as f64 }
    }

    /// How many came back.
    #[must_use]
    pub fn back_count(&self) -> u64 {
        self.back.iter().map(|(_, n)| n).sum()
    }

    /// How many were still away when the run ended.
    #[must_use]
    pub fn away_count(&self) -> u64 {
        self.away.iter().map(|(_, n)| n).sum()
    }

    /// How those who were lost came back, by the time since the first loss.
    #[must_use]
    pub fn recovery(&self) -> Survival {
        Survival::new(self.back.iter().copied(), self.away.iter().copied(), self.gave_up)
    }

    /// Microseconds from the first loss until this percentage (0..100) of those who were lost were back; `None`: nobody was wanted back.
    #[must_use]
    pub fn back_us(&self, percentage: f64) -> Option<Quantile> {
        let time = self.recovery().percentile(percentage)?;
        // Where some were not back by the run's end, all were not back before.
        let longest_away_us = self.away.iter().map(|(us, _)| *us).max();
        let some_are_missing = longest_away_us.is_some() || self.gave_up > 0;
        Some(if percentage >= 100.0 && some_are_missing {
            time.or_longer(longest_away_us.unwrap_or(0))
        } else {
            time
        })
    }

    /// Attempts to come back that the service refused, wherever it said so.
    pub fn refusals(&self) -> impl Iterator<Item = &(AttemptKey, u64)> {
        self.failed.iter().filter(|(key, _)| {
            key.outcome.is_refusal() || matches!(key.outcome, Outcome::TokenRefused | Outcome::StepRefused)
        })
    }

    /// Attempts that failed for each client that was lost, but for those that the run's end broke off.
    #[must_use]
    pub fn retries_per_client(&self) -> f64 {
        let failed = self.failed.iter().filter(|(key, _)| key.outcome.is_about_target());
        failed.map(|(_, n)| n).sum::<u64>() as f64 / self.lost.max(1) as f64
    }

    /// What it cost, in client-seconds.
    #[must_use]
    pub fn cost_s(&self) -> f64 {
        self.cost_ns as f64 / 1e9
    }

    /// When the last of those who were lost was back, or was last seen away, in microseconds since the run's start.
    #[must_use]
    pub fn over_us(&self) -> u64 {
        let last = self.back.last().into_iter().chain(self.away.last()).map(|(us, _)| *us).max();
        self.last_us.max(self.first_us + last.unwrap_or(0))
    }
}

/// The outages of a run of so many groups, in the order of time; `until` is when it was over.
#[must_use]
pub fn run_outages(seconds: &[(u64, Vec<PackedTally>)], groups: usize, until: Moment) -> Vec<RunOutage> {
    let Some((last, _)) = seconds.last() else { return Vec::new() };
    // What a damaged file tells of times that never came is left out.
    let bins = u32::try_from(last.saturating_add(2).saturating_mul(10)).unwrap_or(u32::MAX / 2);
    let diagrams = Diagrams::of(seconds, groups, bins);
    let spans = diagrams.spans();
    let mut outages: Vec<Vec<Losses>> = spans.iter().map(|_| vec![Losses::default(); groups + 1]).collect();
    let of = |bin: u32| spans.iter().position(|(first, last)| (*first..=*last).contains(&bin));
    for (group, lives) in each_lives(seconds) {
        for (bin, losses) in &lives.losses {
            if let Some(outage) = of(*bin) {
                for index in [group, groups] {
                    outages[outage][index].merge(losses);
                }
            }
        }
    }
    let mut found: Vec<RunOutage> = Vec::with_capacity(spans.len());
    for (span, gathered) in spans.iter().zip(outages) {
        let told = gathered.into_iter().enumerate().filter_map(|(index, own)| {
            let group = (index < groups).then_some(index);
            told_of(own, group, &diagrams, *span, until)
        });
        let mut told: Vec<OutageIn> = told.collect();
        if let Some(all) = told.pop_if(|last| last.group.is_none()) {
            found.push(RunOutage { all, groups: told });
        }
    }
    for outage in &mut found {
        let RunOutage { all, groups } = outage;
        std::iter::once(all).chain(groups).for_each(|own| count_beside(own, seconds));
    }
    found
}

/// What was told of each group's clients, by interval.
fn each_lives(seconds: &[(u64, Vec<PackedTally>)]) -> impl Iterator<Item = (usize, &Lives)> {
    let groups = seconds.iter().flat_map(|(_, groups)| groups.iter().enumerate());
    groups.map(|(group, packed)| (group, packed.lives()))
}

/// The diagrams of the groups, then that over all; and how many clients were in.
struct Diagrams {
    lexis: Vec<Lexis>,
    found: Vec<Vec<Outage>>,
    /// `[group][bin]`: how many clients were in at its end.
    inside: Vec<Vec<i64>>,
}

impl Diagrams {
    fn of(seconds: &[(u64, Vec<PackedTally>)], groups: usize, bins: u32) -> Self {
        let mut builders = vec![LexisBuilder::default(); groups + 1];
        let mut inside = vec![vec![0_i64; bins as usize]; groups + 1];
        for (group, lives) in each_lives(seconds) {
            for index in [group, groups] {
                builders[index].add(lives);
                for (bin, presence) in lives.presence.range(..bins) {
                    let change = presence.wanted.net.saturating_sub(presence.out.net);
                    let own = &mut inside[index][*bin as usize];
                    *own = own.saturating_add(change);
                }
            }
        }
        for own in &mut inside {
            let mut level = 0_i64;
            for change in own {
                level = level.saturating_add(*change);
                *change = level;
            }
        }
        let lexis: Vec<Lexis> = builders.into_iter().map(|builder| builder.build(bins)).collect();
        let mut found: Vec<Vec<Outage>> = lexis[..groups].iter().map(find_outages).collect();
        // Of one group alone, all of them are that group.
        found.push(if groups == 1 { found[0].clone() } else { find_outages(&lexis[groups]) });
        Self { lexis, found, inside }
    }

    /// From when to when there are outages, in bins: what is found in groups and over all, joined where it lies close together.
    fn spans(&self) -> Vec<(u32, u32)> {
        let mut spans: Vec<(u32, u32)> =
            self.found.iter().flatten().map(|outage| (outage.first, outage.last)).collect();
        spans.sort_unstable();
        let mut joined: Vec<(u32, u32)> = Vec::with_capacity(spans.len());
        for (first, last) in spans {
            match joined.last_mut() {
                Some((_, end)) if first <= end.saturating_add(GAP) => *end = (*end).max(last),
                _ => joined.push((first, last)),
            }
        }
        joined
    }

    /// The outage that a group had within a span; where none was found in it alone, as if it had been.
    fn outage_in(&self, index: usize, (first, last): (u32, u32)) -> Outage {
        let mut own = self.found[index].iter().filter(|outage| outage.first >= first && outage.last <= last);
        let trigger = own.next().map_or(last, |outage| outage.trigger);
        counted(&self.lexis[index], Outage { first, last, trigger, lost: 0, lost_again: 0, at_risk: 0 })
    }

    /// The fewest that were in, from a bin on to another.
    fn least(&self, index: usize, first: u32, last: u32) -> u64 {
        let own = &self.inside[index];
        let last = (last as usize).min(own.len().saturating_sub(1));
        let least = own.get(first as usize..=last).and_then(|bins| bins.iter().min());
        least.map_or(0, |least| u64::try_from(*least).unwrap_or(0))
    }
}

/// What was gathered of an outage in a group; `None` where nobody was lost.
fn told_of(
    losses: Losses,
    group: Option<usize>,
    diagrams: &Diagrams,
    span: (u32, u32),
    until: Moment,
) -> Option<OutageIn> {
    let Losses { by, between_us, out, back, away, gave_up, not_wanted, failed } = losses;
    let (first_us, last_us) = between_us?;
    let index = group.unwrap_or(diagrams.lexis.len() - 1);
    let outage = diagrams.outage_in(index, span);
    // By the end of the millisecond: nobody is told to be back before it was.
    let since = |ms: u32| (u64::from(ms) * 1_000 + 1_000).saturating_sub(first_us);
    let times = |by_ms: std::collections::BTreeMap<u32, i64>| {
        let told = by_ms.into_iter().map(|(ms, n)| (since(ms), positive(n)));
        told.filter(|(_, n)| *n > 0).collect::<Vec<_>>()
    };
    let mut told = OutageIn {
        group,
        first_us,
        last_us,
        lost: by.values().map(|n| positive(*n)).sum(),
        at_risk: outage.at_risk,
        ends: most_first(by),
        connected_least: 0,
        back: times(back),
        away: times(away),
        gave_up: positive(gave_up),
        not_wanted: positive(not_wanted),
        failed: most_first(failed),
        token_requests_peak: 0,
        messages_missed: 0,
        cost_ns: u64::try_from(out.integral_ns(until.as_ns())).unwrap_or(0),
        chain: chain_of(&outage),
    };
    let over = Bin::of(Moment::from_ns(told.over_us().saturating_mul(1_000))).index();
    // In the run's last tenth of a second all clients leave.
    let last = over.min(Bin::of(until).index().saturating_sub(1)).max(span.0);
    told.connected_least = diagrams.least(index, span.0, last);
    Some(told)
}

/// Whether an outage went on by itself.
fn chain_of(outage: &Outage) -> Option<Chain> {
    let bins = outage.last.saturating_sub(outage.trigger);
    let least = LEAST_AGAIN.max((LEAST_AGAIN_SHARE * outage.at_risk as f64).ceil() as u64);
    if bins < LEAST_CHAIN || outage.lost_again < least {
        return None;
    }
    let clients = outage.lost.saturating_sub(outage.lost_again).max(1);
    Some(Chain {
        for_us: u64::from(bins) * (Bin::LENGTH_NS / 1_000),
        disconnects_per_client: outage.lost as f64 / clients as f64,
    })
}

/// What was counted in the seconds of an outage, from the first loss until all were back.
fn count_beside(own: &mut OutageIn, seconds: &[(u64, Vec<PackedTally>)]) {
    let (from, to) = (own.first_us / 1_000_000, own.over_us() / 1_000_000);
    for (_, groups) in seconds.iter().filter(|(second, _)| (from..=to).contains(second)) {
        let wanted =
            groups.iter().enumerate().filter(|(index, _)| own.group.is_none_or(|group| group == *index));
        let mut requests = 0;
        for (_, packed) in wanted {
            requests += packed.token_requests_after_start();
            own.messages_missed += packed.counter(Counter::MessagesMissed);
        }
        own.token_requests_peak = own.token_requests_peak.max(requests);
    }
}

fn positive(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

/// What was counted, the most frequent first.
fn most_first<K: Ord>(counts: std::collections::BTreeMap<K, i64>) -> Vec<(K, u64)> {
    let counted = counts.into_iter().map(|(key, n)| (key, positive(n)));
    let mut counted: Vec<(K, u64)> = counted.filter(|(_, n)| *n > 0).collect();
    counted.sort_by(|(key, n), (other_key, other)| other.cmp(n).then_with(|| key.cmp(other_key)));
    counted
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
