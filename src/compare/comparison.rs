//! One comparison: a baseline's repeats against a candidate's.
//!
//! In: the repeats of both sides, settings. Out: a row for each group and measure, and one verdict.

use super::buckets::FULL_PRECISION;
use super::comparable::length_note;
use super::estimate::{Basis, Difference, SideEstimate, difference, estimate_side};
use super::judge::{Finding, Judged, judge, overall};
use super::measure::{Measure, OfOutage, Quantity, is_named, measures};
use super::not_judged::NotJudged;
use super::outage_notes::{knows_outages, outage_notes};
use super::repeat::{Facts, Repeat, RunSet};
use super::side::Side;
use super::storm_notes::{knows_storms, storm_note};

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
    /// The measures that were asked to decide, as the user named them: each must be judged.
    pub named: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { measures: measures(), alpha: 0.02, assumed_spread: 0.1, seed: 1, named: Vec::new() }
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
    /// The verdict; inconclusive where it is not judged.
    pub finding: Finding,
    /// Whether it was to decide: by default, or because it was asked for.
    pub asked: bool,
    /// Whether the user named this very measure, and not only what it is of.
    pub is_named: bool,
    /// Why it is not judged; `None` where it is.
    pub not_judged: Option<NotJudged>,
}

impl Row {
    /// What was to be judged and is not. A maximum that came with its percentiles never was.
    #[must_use]
    pub fn is_missed(&self) -> bool {
        let is_by_itself = self.not_judged == Some(NotJudged::Maximum) && !self.is_named;
        self.asked && self.not_judged.is_some() && !is_by_itself
    }

    /// Whether the user named it and it is not judged. That a side had no such outage is an answer.
    fn is_owed(&self) -> bool {
        let is_one_sided = self.baseline.is_none() || self.candidate.is_none();
        self.is_named && self.is_missed() && !(self.measure.is_of_outages() && is_one_sided)
    }
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
    /// Measures that the user named and that no group has on either side.
    pub absent: Vec<String>,
    /// The overall verdict.
    pub finding: Finding,
}

impl Comparison {
    /// The rows that decide.
    pub fn deciding(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.measure.decides)
    }

    /// What was to decide and is not judged: which measures, of which group, why. Those of a group that share a reason are one sentence.
    #[must_use]
    pub fn missed(&self) -> Vec<String> {
        let mut told: Vec<(&str, String, Vec<&str>)> = Vec::new();
        for row in self.rows.iter().filter(|row| row.is_missed()) {
            let Some(why) = row.not_judged.as_ref().map(NotJudged::words) else { continue };
            match told.iter_mut().find(|(group, known, _)| *group == row.group && *known == why) {
                Some((.., names)) => names.push(&row.measure.name),
                None => told.push((&row.group, why, vec![&row.measure.name])),
            }
        }
        let rows =
            told.into_iter().map(|(group, why, names)| format!("{} of {group}: {why}", names.join(", ")));
        let absent = self.absent.iter().map(|name| format!("{name}: no group has a sample of it"));
        rows.chain(absent).collect()
    }

    /// How many measures that is.
    #[must_use]
    pub fn missed_count(&self) -> usize {
        self.rows.iter().filter(|row| row.is_missed()).count() + self.absent.len()
    }

    /// Whether a gate must not pass because something could not be judged: what the user named, and where it is `strict` what more values would judge.
    #[must_use]
    pub fn is_left_open(&self, strict: bool) -> bool {
        let could_be = |row: &Row| row.not_judged.as_ref().is_some_and(NotJudged::is_open);
        self.owed() > 0
            || strict
                && (self.count(Finding::Inconclusive) > 0
                    || self.rows.iter().any(|row| row.is_missed() && could_be(row)))
    }

    /// How many measures the user named in vain.
    fn owed(&self) -> usize {
        let absent = self.absent.iter().filter(|name| !name.starts_with("outage_"));
        self.rows.iter().filter(|row| row.is_owed()).count() + absent.count()
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
    let knows_storms = knows_storms(baseline_set) && knows_storms(candidate_set);
    let known = settings
        .measures
        .iter()
        .filter(|measure| (knows || !measure.is_of_outages()) && (knows_storms || !measure.is_of_storms()));
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
        let is_of_all = |measure: &&&Measure| measure.is_of_outages() || measure.is_of_storms();
        let of_all: Vec<&Measure> = group_measures.iter().filter(is_of_all).copied().collect();
        rows.extend(estimates(WHOLE_RUN, &of_all, sides(names.len(), names.len())));
    }
    rows.extend(estimates(WHOLE_RUN, &run_measures, sides(0, 0)));
    // Those that decide are one family of tests, those that explain another: explanations cost the verdict no power.
    for decides in [true, false] {
        judge_family(&mut rows, decides, settings);
    }
    for row in &mut rows {
        row.is_named = settings.named.contains(&row.measure.name);
        row.not_judged = why_not(row, settings);
    }
    let has_row = |name: &String| rows.iter().any(|row| is_named(&row.measure, name));
    let absent: Vec<String> = settings.named.iter().filter(|name| !has_row(name)).cloned().collect();
    let found: Vec<Finding> = rows.iter().filter(|row| row.measure.decides).map(|row| row.finding).collect();
    let mut comparison = Comparison {
        baseline_name: baseline_set.name.clone(),
        candidate_name: candidate_set.name.clone(),
        baseline: baseline.iter().map(|repeat| repeat.facts.clone()).collect(),
        candidate: candidate.iter().map(|repeat| repeat.facts.clone()).collect(),
        notes: notes(baseline_set, candidate_set, &rows, settings),
        rows,
        absent,
        finding: Finding::Inconclusive,
    };
    // What was named in vain leaves the verdict open.
    let open = std::iter::repeat_n(Finding::Inconclusive, comparison.owed());
    comparison.finding = overall(found.into_iter().chain(open));
    comparison
}

/// Why a row was not judged. The same number throughout needs no test.
fn why_not(row: &Row, settings: &Settings) -> Option<NotJudged> {
    if row.tested.is_some() || row.finding == Finding::Unchanged {
        return None;
    }
    let (baseline, candidate) = (row.baseline.as_ref(), row.candidate.as_ref());
    let why = NotJudged::of(&row.measure, baseline, candidate);
    why.or_else(|| {
        let told = difference(&row.measure, baseline?, candidate?, settings.assumed_spread);
        let is_beyond = baseline?.is_beyond || candidate?.is_beyond;
        told.is_none().then_some(if is_beyond { NotJudged::Beyond } else { NotJudged::Zero })
    })
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
    notes.extend(storm_note(baseline, candidate));
    notes.extend(outage_notes(baseline, candidate));
    notes.extend(length_note(baseline, candidate));
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
            let asked = measure.decides;
            measure.decides &= NotJudged::of(&measure, baseline.as_ref(), candidate.as_ref()).is_none();
            Row {
                group: group.to_owned(),
                measure,
                baseline,
                candidate,
                tested: None,
                finding: Finding::Inconclusive,
                asked,
                is_named: false,
                not_judged: None,
            }
        })
        .collect();
    rows.sort_by_key(|row| (!row.measure.decides, !row.asked));
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
        if NotJudged::of(&row.measure, Some(baseline), Some(candidate)).is_some() {
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
