//! One comparison: a baseline's repeats against a candidate's.
//!
//! In: the repeats of both sides, settings. Out: a row for each group and measure, and one verdict.

use super::estimate::{Difference, Side, SideEstimate, difference, estimate_side};
use super::judge::{Finding, Judged, judge, overall};
use super::measure::{Measure, Quantity, measures};
use super::repeat::{Facts, Repeat};

/// The group that numbers of the run as a whole belong to.
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
        Self { measures: measures(), alpha: 0.01, assumed_spread: 0.1, seed: 1 }
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
pub fn compare(baseline: &[Repeat], candidate: &[Repeat], settings: &Settings) -> Comparison {
    let mut notes = Vec::new();
    let mut rows = Vec::new();
    for (group, own) in groups(candidate).iter().enumerate() {
        let Some(other) = groups(baseline).iter().position(|name| name == own) else {
            notes.push(format!("group {own} is only in the candidate"));
            continue;
        };
        let of_groups = settings.measures.iter().filter(|m| !matches!(m.quantity, Quantity::Run(_)));
        let of_groups: Vec<&Measure> = of_groups.collect();
        rows.extend(estimates(own, &of_groups, (baseline, other), (candidate, group), settings.seed));
    }
    for name in groups(baseline).iter().filter(|name| !groups(candidate).contains(name)) {
        notes.push(format!("group {name} is only in the baseline"));
    }
    let of_runs: Vec<&Measure> =
        settings.measures.iter().filter(|m| matches!(m.quantity, Quantity::Run(_))).collect();
    rows.extend(estimates(WHOLE_RUN, &of_runs, (baseline, 0), (candidate, 0), settings.seed));
    // Those that decide are one family of tests, those that explain another: explanations cost the verdict no power.
    for decides in [true, false] {
        judge_family(&mut rows, decides, settings);
    }
    let finding = overall(rows.iter().filter(|row| row.measure.decides).map(|row| row.finding));
    Comparison {
        baseline: baseline.iter().map(|repeat| repeat.facts.clone()).collect(),
        candidate: candidate.iter().map(|repeat| repeat.facts.clone()).collect(),
        notes,
        rows,
        finding,
    }
}

fn groups(repeats: &[Repeat]) -> Vec<&str> {
    let groups = repeats.first().map(|repeat| repeat.facts.groups.as_slice()).unwrap_or_default();
    groups.iter().map(|group| group.name.as_str()).collect()
}

/// The rows of a group, not yet judged. What neither side has a sample of has no row.
fn estimates(
    group: &str,
    measures: &[&Measure],
    (baseline, baseline_group): (&[Repeat], usize),
    (candidate, candidate_group): (&[Repeat], usize),
    seed: u64,
) -> Vec<Row> {
    let sides = [
        Side { repeats: baseline, group: baseline_group, seed },
        Side { repeats: candidate, group: candidate_group, seed: seed.wrapping_add(1) },
    ];
    let [baseline, candidate] = sides.map(|side| estimate_side(side, measures));
    let mut rows: Vec<Row> = measures
        .iter()
        .zip(baseline.into_iter().zip(candidate))
        .filter(|(measure, (baseline, candidate))| {
            let is_something = |side: &Option<SideEstimate>| {
                // A phase that no reconnect had is zero throughout.
                side.as_ref()
                    .is_some_and(|side| side.value > 0.0 || matches!(measure.quantity, Quantity::Share(_)))
            };
            is_something(baseline) || is_something(candidate)
        })
        .map(|(measure, (baseline, candidate))| Row {
            group: group.to_owned(),
            measure: (*measure).clone(),
            baseline,
            candidate,
            tested: None,
            finding: Finding::Inconclusive,
        })
        .collect();
    rows.sort_by_key(|row| !row.measure.decides);
    rows
}

fn judge_family(rows: &mut [Row], decides: bool, settings: &Settings) {
    let mut family = Vec::new();
    let mut indices = Vec::new();
    for (index, row) in rows.iter_mut().enumerate().filter(|(_, row)| row.measure.decides == decides) {
        let (Some(baseline), Some(candidate)) = (&row.baseline, &row.candidate) else { continue };
        if is_same_throughout(&row.measure, baseline, candidate) {
            row.finding = Finding::Unchanged;
        } else if let Some(found) = difference(&row.measure, baseline, candidate, settings.assumed_spread) {
            family.push((row.measure.clone(), found, baseline.value));
            indices.push(index);
        }
    }
    let tests: Vec<(&Measure, Difference, f64)> =
        family.iter().map(|(measure, found, value)| (measure, *found, *value)).collect();
    for ((index, judged), (_, found, _)) in indices.into_iter().zip(judge(&tests, settings.alpha)).zip(&tests)
    {
        rows[index].finding = judged.finding;
        rows[index].tested = Some((*found, judged));
    }
}

/// Whether every repeat of both sides has the very same number, and it is one that is counted: no 403 anywhere, a token each time. There is
/// nothing to test then, and no test to correct for (Tarone 1990).
fn is_same_throughout(measure: &Measure, baseline: &SideEstimate, candidate: &SideEstimate) -> bool {
    let is_counted = matches!(measure.quantity, Quantity::Share(_) | Quantity::TokensPerReconnect);
    let mut all = baseline.repeats.iter().chain(&candidate.repeats).flatten();
    is_counted && all.all(|value| value.to_bits() == baseline.value.to_bits())
}
