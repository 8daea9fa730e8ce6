//! One comparison: a baseline's repeats against a candidate's.
//!
//! In: the repeats of both sides, settings. Out: a row for each group and measure, and one verdict.

use super::buckets::FULL_PRECISION;
use super::estimate::{Basis, Difference, SideEstimate, difference, estimate_side};
use super::judge::{Finding, Judged, judge, overall};
use super::measure::{Measure, OfOutage, Quantity, measures};
use super::outage_notes::{knows_outages, outage_notes};
use super::repeat::{Facts, Repeat, RunSet};
use super::side::Side;

/// The group that numbers of the run as a whole belong to; where there are several groups, those of outages of all together, too.
pub const WHOLE_RUN: &str = "(run)";

/// How a comparison is made.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What is compared.
    pub measures: Vec<Measure>,
    /// The chance, over all measures, that any is called changed when none is (0..1).
    pub alpha: f64,
    /// The standard deviation from run to run, relative to the value, that is assumed where no side has repeats.
    pub assumed_spread: f64,
    /// What resamples are drawn by.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { measures: measures(), alpha: 0.02, assumed_spread: 0.1, seed: 1 }
    }
}

/// A measure of a group, compared.
#[derive(Debug, Clone)]
pub struct Row {
    /// The group's name, or [`WHOLE_RUN`].
    pub group: String,
    /// What was compared.
    pub measure: Measure,
    /// The baseline's value; `None` where it has no sample.
    pub baseline: Option<SideEstimate>,
    /// The candidate's.
    pub candidate: Option<SideEstimate>,
    /// The difference and what it is judged by; `None` where there was nothing to test.
    pub tested: Option<(Difference, Judged)>,
    /// The verdict.
    pub finding: Finding,
}

/// A comparison.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// What the baseline is called.
    pub baseline_name: String,
    /// What the candidate is called.
    pub candidate_name: String,
    /// The baseline's runs.
    pub baseline: Vec<Facts>,
    /// The candidate's.
    pub candidate: Vec<Facts>,
    /// Why they are not comparable, where they were compared all the same; and what to know.
    pub notes: Vec<String>,
    /// The rows: group by group, those that decide first.
    pub rows: Vec<Row>,
    /// The overall verdict.
    pub finding: Finding,
}

impl Comparison {
    /// The rows that decide.
    pub fn deciding(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.measure.decides)
    }

    /// The number of measures that decide and came out so.
    #[must_use]
    pub fn count(&self, finding: Finding) -> usize {
        self.deciding().filter(|row| row.finding == finding).count()
    }
}

/// Compares. Groups are matched by name; one that only one side has is left out and noted.
#[must_use]
pub fn compare(baseline_set: &RunSet, candidate_set: &RunSet, settings: &Settings) -> Comparison {
    let (baseline, candidate) = (baseline_set.repeats.as_slice(), candidate_set.repeats.as_slice());
    let of_runs = |measure: &&Measure| matches!(measure.quantity, Quantity::Run(_));
    // What one side alone knows of is left out.
    let knows = knows_outages(baseline_set) && knows_outages(candidate_set);
    let known = settings.measures.iter().filter(|measure| knows || !measure.is_of_outages());
    let (run_measures, group_measures): (Vec<&Measure>, Vec<&Measure>) = known.partition(of_runs);
    let sides = |of_baseline, of_candidate| {
        let seed = settings.seed;
        [
            Side { repeats: baseline, group: of_baseline, seed },
            Side { repeats: candidate, group: of_candidate, seed: seed.wrapping_add(1) },
        ]
    };
    let mut rows = Vec::new();
    for (group, own) in groups(candidate).iter().enumerate() {
        if let Some(other) = groups(baseline).iter().position(|name| name == own) {
            rows.extend(estimates(own, &group_measures, sides(other, group)));
        }
    }
    let names = groups(candidate);
    if names.len() > 1 && is_the_same(&names, &groups(baseline)) {
        let of_all: Vec<&Measure> =
            group_measures.iter().filter(|measure| measure.is_of_outages()).copied().collect();
        rows.extend(estimates(WHOLE_RUN, &of_all, sides(names.len(), names.len())));
    }
    rows.extend(estimates(WHOLE_RUN, &run_measures, sides(0, 0)));
    // Those that decide are one family of tests, those that explain another: explanations cost the verdict no power.
    for decides in [true, false] {
        judge_family(&mut rows, decides, settings);
    }
    let finding = overall(rows.iter().filter(|row| row.measure.decides).map(|row| row.finding));
    Comparison {
        baseline_name: baseline_set.name.clone(),
        candidate_name: candidate_set.name.clone(),
        baseline: baseline.iter().map(|repeat| repeat.facts.clone()).collect(),
        candidate: candidate.iter().map(|repeat| repeat.facts.clone()).collect(),
        notes: notes(baseline_set, candidate_set, &rows, settings),
        rows,
        finding,
    }
}

/// What a reader should know of a comparison.
fn notes(baseline: &RunSet, candidate: &RunSet, rows: &[Row], settings: &Settings) -> Vec<String> {
    let mut notes = Vec::new();
    for set in [baseline, candidate] {
        if set.repeats.iter().any(|run| run.facts.target_kind == "simulated") {
            notes.push(format!("{} was simulated in virtual time: no latency of it was measured", set.name));
        }
    }
    for (set, other, side) in [(candidate, baseline, "candidate"), (baseline, candidate, "baseline")] {
        let missing = groups(&set.repeats).into_iter().filter(|name| !groups(&other.repeats).contains(name));
        notes.extend(missing.map(|name| format!("group {name} is only in the {side}")));
        let precision =
            set.repeats.iter().map(|repeat| repeat.facts.precision).min().unwrap_or(FULL_PRECISION);
        if precision < FULL_PRECISION {
            let percent = 100.0 * 0.5_f64.powi(i32::from(precision) + 1);
            notes.push(format!("{} keeps times to ±{percent:.1} %", set.name));
        }
    }
    notes.extend(outage_notes(baseline, candidate));
    for group in groups(&candidate.repeats) {
        let counts = |set: &RunSet| -> u64 {
            let index = groups(&set.repeats).iter().position(|name| *name == group);
            index.map_or(0, |index| set.repeats.iter().map(|repeat| repeat.counts(index).back).sum())
        };
        if counts(baseline) == 0 && counts(candidate) == 0 {
            notes.push(format!("group {group} has no completed reconnect on either side"));
        }
    }
    if rows.iter().any(|row| row.tested.is_some_and(|(found, _)| found.basis == Basis::Assumed)) {
        notes.push(format!(
            "neither side has three repeats: runs are assumed to differ by {:.0} % by themselves (--assumed-spread), and only large differences show. Five repeats each can tell more",
            100.0 * settings.assumed_spread
        ));
    }
    let mut versions: Vec<&str> =
        baseline.repeats.iter().chain(&candidate.repeats).map(|r| r.facts.tool_version.as_str()).collect();
    versions.sort_unstable();
    versions.dedup();
    if versions.len() > 1 {
        notes.push(format!("the runs are of different versions of resurge: {}", versions.join(", ")));
    }
    notes
}

/// Whether two scenarios have the same groups, in whichever order.
fn is_the_same(names: &[&str], others: &[&str]) -> bool {
    names.len() == others.len() && names.iter().all(|name| others.contains(name))
}

fn groups(repeats: &[Repeat]) -> Vec<&str> {
    let groups = repeats.first().map(|repeat| repeat.facts.groups.as_slice()).unwrap_or_default();
    groups.iter().map(|group| group.name.as_str()).collect()
}

/// The rows of a group, not yet judged. What neither side has a sample of has no row.
fn estimates(group: &str, measures: &[&Measure], sides: [Side<'_>; 2]) -> Vec<Row> {
    let [baseline, candidate] = sides.map(|side| estimate_side(side, measures));
    let mut rows: Vec<Row> = measures
        .iter()
        .zip(baseline.into_iter().zip(candidate))
        .filter(|(measure, (baseline, candidate))| {
            let is_something = |side: &Option<SideEstimate>| {
                // A phase that no reconnect had is zero throughout; that there was no outage is told.
                side.as_ref().is_some_and(|side| side.value > 0.0 || !measure.is_ratio())
            };
            is_something(baseline) || is_something(candidate)
        })
        .map(|(measure, (baseline, candidate))| {
            let mut measure = (*measure).clone();
            // What only one side has cannot decide: that there are refusals at all is told by their share. Nor can the percentile of a few.
            let decides =
                |side: &Option<SideEstimate>| side.as_ref().is_some_and(|side| !is_thin(&measure, side));
            measure.decides &= decides(&baseline) && decides(&candidate);
            Row {
                group: group.to_owned(),
                measure,
                baseline,
                candidate,
                tested: None,
                finding: Finding::Inconclusive,
            }
        })
        .collect();
    rows.sort_by_key(|row| !row.measure.decides);
    rows
}

fn judge_family(rows: &mut [Row], decides: bool, settings: &Settings) {
    let mut family: Vec<(Measure, Difference, f64)> = Vec::new();
    // Which test of the family each row is.
    let mut tests: Vec<(usize, usize)> = Vec::new();
    for index in 0..rows.len() {
        let row = &rows[index];
        if row.measure.decides != decides {
            continue;
        }
        let (Some(baseline), Some(candidate)) = (&row.baseline, &row.candidate) else { continue };
        if is_thin(&row.measure, baseline) || is_thin(&row.measure, candidate) {
            continue;
        }
        if is_same_throughout(&row.measure, baseline, candidate) {
            rows[index].finding = Finding::Unchanged;
        } else if let Some((_, test)) = tests.iter().find(|(other, _)| is_same_share(&rows[*other], row)) {
            tests.push((index, *test));
        } else if let Some(found) = difference(&row.measure, baseline, candidate, settings.assumed_spread) {
            tests.push((index, family.len()));
            family.push((row.measure.clone(), found, baseline.value));
        }
    }
    let asked: Vec<(&Measure, Difference, f64)> =
        family.iter().map(|(measure, found, value)| (measure, *found, *value)).collect();
    let judged = judge(&asked, settings.alpha);
    for (index, test) in tests {
        rows[index].finding = judged[test].finding;
        rows[index].tested = Some((asked[test].1, judged[test]));
    }
}

/// This many values must lie beyond a percentile: the 99th of twenty is but the largest, and says what one of them met.
const LEAST_BEYOND: f64 = 10.0;

/// Whether a percentile rests on too few values to be compared.
fn is_thin(measure: &Measure, side: &SideEstimate) -> bool {
    match measure.quantity {
        Quantity::Percentile(_, percentile)
        | Quantity::Exchange(percentile)
        | Quantity::Outage(_, OfOutage::Recovery(percentile)) => {
            let beyond = (percentile / 100.0).min(1.0 - percentile / 100.0);
            beyond * (side.samples as f64) < LEAST_BEYOND
        }
        _ => false,
    }
}

/// Whether two rows are the same numbers under two names, as the share of 403s and that of failures where every failure is a 403: one question,
/// asked once.
fn is_same_share(one: &Row, other: &Row) -> bool {
    let is_share = |row: &Row| matches!(row.measure.quantity, Quantity::Share(_));
    let same = |a: &Option<SideEstimate>, b: &Option<SideEstimate>| match (a, b) {
        (Some(a), Some(b)) => a.repeats == b.repeats && a.samples == b.samples,
        _ => false,
    };
    one.group == other.group
        && is_share(one)
        && is_share(other)
        && one.measure.less_is_better == other.measure.less_is_better
        && one.measure.min_effect == other.measure.min_effect
        && same(&one.baseline, &other.baseline)
        && same(&one.candidate, &other.candidate)
}

/// Whether every repeat of both sides has the very same number, and it is one that is counted: no 403 anywhere, a token each time, no outage. There is
/// nothing to test then, and no test to correct for (Tarone 1990).
fn is_same_throughout(measure: &Measure, baseline: &SideEstimate, candidate: &SideEstimate) -> bool {
    let is_counted = matches!(
        measure.quantity,
        Quantity::Share(_)
            | Quantity::TokensPerReconnect
            | Quantity::Availability
            | Quantity::Outages(_)
            | Quantity::Outage(_, OfOutage::Lost)
    );
    let mut all = baseline.repeats.iter().chain(&candidate.repeats).flatten();
    is_counted && all.all(|value| value.to_bits() == baseline.value.to_bits())
}
