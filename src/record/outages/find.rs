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

use super::hazard::{Expected, Hazard, Window};
use super::lexis::{Lexis, each_bin};

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
/// A chain reaction is looked for in windows of so many bins.
const CHAIN_WINDOW: u32 = 10;
/// It is over where so many bins have no more than they should.
const CHAIN_GAP: u32 = 30;
/// The level of the test of one of its windows: it is looked for behind an outage alone.
const LEVEL_OF_A_CHAIN: f64 = 1e-5;
/// The trigger of an outage is over where so many bins do not stand out.
const TRIGGER_GAP: u32 = 5;
/// So many times the diagram is gone through at most.
const MOST_ROUNDS: usize = 32;

/// Sessions lost close together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outage {
    /// The bin of 100 ms in which the first was lost.
    pub first: u32,
    /// The bin in which the last was lost.
    pub last: u32,
    /// The last bin of its trigger. Where sessions are lost behind it that began within the outage, that is a chain reaction.
    pub trigger: u32,
    /// How many were lost from the first bin to the last, those among them whose time had come.
    pub lost: u64,
    /// How many of them had come since the first bin: they were lost once more.
    pub lost_again: u64,
    /// How many sessions there were when the first bin began.
    pub at_risk: u64,
}

impl Outage {
    /// The two as one.
    fn followed_by(self, later: Self) -> Self {
        Self { last: self.last.max(later.last), lost: self.lost + later.lost, ..self }
    }
}

/// The outages of a group, in the order of time.
#[must_use]
pub fn find_outages(lexis: &Lexis) -> Vec<Outage> {
    let lost = lexis.lost();
    let mut is_left_out = vec![false; lost.len()];
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
    let mut outages = joined(found);
    extend_chains(lexis, &lost, &mut outages);
    outages.into_iter().map(|outage| counted(lexis, outage)).collect()
}

/// With all that were at risk when it began, and all that were lost in it, the last of a chain reaction included.
pub(super) fn counted(lexis: &Lexis, outage: Outage) -> Outage {
    let began: u64 = lexis.began().range(..outage.first).map(|(_, n)| n).sum();
    let gone: u64 = (0..outage.first).flat_map(|bin| lexis.ended_in(bin)).map(|ended| ended.all()).sum();
    let at_risk = began.saturating_sub(gone);
    let ended = (outage.first..=outage.last).flat_map(|bin| lexis.ended_in(bin));
    let (mut lost, mut lost_again) = (0, 0);
    for ended in ended {
        lost += ended.lost;
        lost_again += if ended.began >= outage.first { ended.lost } else { 0 };
    }
    Outage { lost, lost_again, at_risk, ..outage }
}

/// Outages go on while more is lost than ever was before them.
fn extend_chains(lexis: &Lexis, lost: &[u64], outages: &mut Vec<Outage>) {
    let mut index = 0;
    while index < outages.len() {
        let last = chain_end(lexis, lost, &outages[index]);
        outages[index].last = last;
        // Those that it goes on through are its own.
        while outages.get(index + 1).is_some_and(|next| next.first <= last + CHAIN_GAP) {
            let next = outages.remove(index + 1);
            outages[index].last = outages[index].last.max(next.last);
        }
        let is_longer = outages[index].last > last;
        if !is_longer {
            index += 1;
        }
    }
}

/// The last bin of an outage, as far as seconds on end have more than they should, by what was before its first.
fn chain_end(lexis: &Lexis, lost: &[u64], outage: &Outage) -> u32 {
    let beside: Vec<bool> = (0..lexis.bins()).map(|bin| bin >= outage.first).collect();
    let hazard = Hazard::of(lexis, &beside);
    let mut last = outage.last;
    each_bin(lexis, |first, at_risk| {
        let follows = first > last && (first - outage.last - 1).is_multiple_of(CHAIN_WINDOW);
        if !follows || first > last + CHAIN_GAP {
            return;
        }
        let end = lexis.bins().min(first + CHAIN_WINDOW);
        let in_window = &lost[first as usize..end as usize];
        let window = Window { first, length: end - first, at_risk, lost: in_window.iter().sum() };
        let expected = hazard.expected_of_left_out(&window);
        let is_more = window.lost as f64 - expected.losses >= least_lost(&window);
        if is_more && chance(window.lost, &expected) < LEVEL_OF_A_CHAIN {
            let behind = in_window.iter().rposition(|lost| *lost > 0).unwrap_or(0);
            last = first + u32::try_from(behind).unwrap_or(0);
        }
    });
    last
}

/// Those that stand out against all but what is left out.
fn find_once(lexis: &Lexis, lost: &[u64], is_left_out: &[bool]) -> Vec<Outage> {
    let hazard = Hazard::of(lexis, is_left_out);
    let mut spans: Vec<(u32, u32)> = Vec::new();
    each_bin(lexis, |first, at_risk| {
        for length in WINDOWS {
            let range = first as usize..(first + length) as usize;
            if range.end > lost.len() || is_left_out[range.clone()].iter().any(|left_out| *left_out) {
                continue;
            }
            let window = Window { first, length, at_risk, lost: lost[range].iter().sum() };
            if stands_out(lexis, &hazard, &window) {
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
            let at_risk = at_risk.by_began.range(..first).map(|(_, n)| n).sum();
            let bin =
                Outage { first, last: first, trigger: first, lost: window.lost, lost_again: 0, at_risk };
            // Where nothing is lost but in outages, the last one to be lost is part of one.
            let is_alone = window.lost > 0 && expected.evidence == 0.0;
            bins.push((bin, is_alone || chance(window.lost, &expected) < LEVEL_OF_A_BIN));
        }
    });
    let of_span = |&(from, to): &(u32, u32)| {
        let own: Vec<_> = bins.iter().filter(|(bin, _)| (from..to).contains(&bin.first)).collect();
        let stands_out = own.iter().any(|(_, stands_out)| *stands_out);
        let is_edge = |(bin, own): &&(Outage, bool)| if stands_out { *own } else { bin.lost > 0 };
        let first = own.iter().position(&is_edge)?;
        let last = own.iter().rposition(is_edge)?;
        let outage = own[first..=last].iter().map(|(bin, _)| *bin).reduce(Outage::followed_by)?;
        // The bins of the trigger follow each other closely.
        let mut trigger = outage.first;
        for (bin, _) in own[first..=last].iter().filter(|own| is_edge(own)) {
            if bin.first > trigger + TRIGGER_GAP {
                break;
            }
            trigger = bin.first;
        }
        Some(Outage { trigger, ..outage })
    };
    spans.iter().filter_map(of_span).collect()
}

/// How many more than expected an outage costs in a window at least.
fn least_lost(window: &Window<'_>) -> f64 {
    LEAST_LOST.max(LEAST_SHARE * window.at_risk.all as f64)
}

/// Whether a window is part of an outage.
fn stands_out(lexis: &Lexis, hazard: &Hazard, window: &Window<'_>) -> bool {
    let least = least_lost(window);
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
#[path = "find_tests.rs"]
mod tests;
