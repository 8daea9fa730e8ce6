//! Which outages of a comparison belong together, in words.
//!
//! In: both sides' runs. Out: a sentence for each outage that both have, with its name and when it began; what is not compared, and why.

use super::outages::{MOST_OUTAGES, OutageBegin, RunOutages};
use super::repeat::RunSet;

/// Outages of one order that begin further apart than this, and are not of one name, may be two.
const APART_US: u64 = 10_000_000;

/// Whether something is known of a side's outages.
pub(super) fn knows_outages(set: &RunSet) -> bool {
    set.repeats.iter().any(|run| run.outages.is_some())
}

/// What a reader should know of how outages were matched.
pub(super) fn outage_notes(baseline: &RunSet, candidate: &RunSet) -> Vec<String> {
    let sides = [Known::of(baseline, "baseline"), Known::of(candidate, "candidate")];
    let [base, cand] = &sides;
    let mut notes = Vec::new();
    match (base.runs.is_empty(), cand.runs.is_empty()) {
        (true, true) => return notes,
        (false, false) => {}
        (true, false) => return vec![base.is_older()],
        (false, true) => return vec![cand.is_older()],
    }
    notes.extend(sides.iter().filter_map(Known::is_partly_older));
    notes.extend((0..MOST_OUTAGES).filter_map(|index| matched(base, cand, index)));
    notes.extend(not_matched(base, cand));
    notes
}

/// A side, and those of its runs of which outages are known.
struct Known<'s> {
    set: &'s RunSet,
    side: &'static str,
    runs: Vec<&'s RunOutages>,
}

impl<'s> Known<'s> {
    fn of(set: &'s RunSet, side: &'static str) -> Self {
        Self { set, side, runs: set.repeats.iter().filter_map(|run| run.outages.as_ref()).collect() }
    }

    fn is_older(&self) -> String {
        format!(
            "{} is from before outages were found: neither they nor the availability are compared",
            self.set.name
        )
    }

    /// Where some of its runs are, they are left out.
    fn is_partly_older(&self) -> Option<String> {
        let older = self.set.repeats.len() - self.runs.len();
        (older > 0).then(|| {
            format!(
                "{older} of {} runs of {} are from before outages were found: there, the others alone are compared",
                self.set.repeats.len(),
                self.set.name
            )
        })
    }

    /// The fewest outages of a run, and the most.
    fn numbers(&self) -> (u64, u64) {
        let numbers = || self.runs.iter().map(|run| run.number());
        (numbers().min().unwrap_or(0), numbers().max().unwrap_or(0))
    }

    fn begins(&self, index: usize) -> Vec<&'s OutageBegin> {
        self.runs.iter().filter_map(|run| run.begins.get(index)).collect()
    }

    /// Its name, when it began, and in how many runs where not in all: `"deploy of 4f2a" at 20.1 to 20.4 s in 3 of 5 runs of the baseline`.
    fn told(&self, begins: &[&OutageBegin]) -> String {
        let name = name_of(begins).map_or_else(String::new, |name| format!("\"{name}\" "));
        let seconds = |us: u64| format!("{:.1}", us as f64 / 1e6);
        let (from, to) = span(begins);
        let (from, to) = (seconds(from), seconds(to));
        let when = if from == to { from } else { format!("{from} to {to}") };
        let of_all = self.runs.len();
        let runs = if begins.len() < of_all {
            format!("{} of {of_all} runs of ", begins.len())
        } else {
            String::new()
        };
        format!("{name}at {when} s in {runs}the {}", self.side)
    }

    /// `the candidate had 2 outages`, `the baseline 1 to 3`, `the baseline none`.
    fn counted(&self) -> String {
        let (least, most) = self.numbers();
        let number = match (least, most) {
            (_, 0) => "none".to_owned(),
            _ if least == most => most.to_string(),
            _ => format!("{least} to {most}"),
        };
        format!("the {} {number}", self.side)
    }
}

/// What most runs call it; `None` where they have no name for it.
fn name_of<'b>(begins: &[&'b OutageBegin]) -> Option<&'b str> {
    let named = || begins.iter().map(|begin| begin.name.as_str()).filter(|name| !name.is_empty());
    let often = |name: &str| named().filter(|other| *other == name).count();
    // Of those that are as frequent, the first.
    named().rev().max_by_key(|name| often(name))
}

/// When the first and when the last of them began.
fn span(begins: &[&OutageBegin]) -> (u64, u64) {
    let times = || begins.iter().map(|begin| begin.at_us);
    (times().min().unwrap_or(0), times().max().unwrap_or(0))
}

/// An outage that both sides had.
fn matched(base: &Known<'_>, cand: &Known<'_>, index: usize) -> Option<String> {
    let (ours, theirs) = (base.begins(index), cand.begins(index));
    if ours.is_empty() || theirs.is_empty() {
        return None;
    }
    let both: Vec<&OutageBegin> = ours.iter().chain(&theirs).copied().collect();
    let (first, last) = span(&both);
    let has_one_name = both.iter().all(|begin| !begin.name.is_empty() && begin.name == both[0].name);
    let doubt = if last - first > APART_US && !has_one_name { ": they may not be the same" } else { "" };
    Some(format!("outage {}: {}, {}{doubt}", index + 1, base.told(&ours), cand.told(&theirs)))
}

/// What only one side had, and what lies behind those that are looked at one by one.
fn not_matched(base: &Known<'_>, cand: &Known<'_>) -> Option<String> {
    let ((base_least, base_most), (cand_least, cand_most)) = (base.numbers(), cand.numbers());
    let compared = base_most.min(cand_most).min(MOST_OUTAGES as u64);
    let most = base_most.max(cand_most);
    if most == compared && base_least == cand_least {
        return None;
    }
    let counts = format!("outages: {}, {}", base.counted(), cand.counted());
    Some(match compared {
        _ if most == compared => counts,
        0 => format!("{counts}: none is compared one by one"),
        1 => format!("{counts}: those behind the first are not compared one by one"),
        _ => format!("{counts}: those behind the first {compared} are not compared one by one"),
    })
}
