//! The service's own numbers, over the whole run and around a time of it.
//!
//! In: what the journal tells of them. Out: a row for each second, least, most and mean of each series between two moments, and who did not answer. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::manifest::ObservedSeries;
use super::note::Observed;

/// What a series was between two moments.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ObservedSpread {
    /// The least.
    pub least: f64,
    /// The most.
    pub most: f64,
    /// The mean of the seconds that have a value.
    pub mean: f64,
    /// How many seconds have a value.
    pub seconds: u64,
}

/// What the run asked for without an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unanswered {
    /// The first series.
    pub first: usize,
    /// How many series have the same fate.
    pub series: usize,
    /// How often it was asked for.
    pub asked: u64,
    /// How often there was no answer of use.
    pub failed: u64,
    /// Why not, most of the time.
    pub why: String,
    /// Why the question at the run's end, for all of its time, had no answer.
    pub at_end: Option<String>,
}

/// A row with a value for each of `series`, for each second that was told of, in order: each as it was told last.
#[must_use]
pub fn settled_observed<'n>(series: usize, notes: impl IntoIterator<Item = &'n Observed>) -> Vec<Observed> {
    let mut rows: BTreeMap<u64, Vec<Option<f64>>> = BTreeMap::new();
    for note in notes.into_iter().filter(|note| !note.values.is_empty()) {
        let row = rows.entry(note.second).or_insert_with(|| vec![None; series]);
        let places = row.iter_mut().skip(note.first);
        places.zip(&note.values).for_each(|(place, value)| *place = value.filter(|value| value.is_finite()));
    }
    rows.into_iter().map(|(second, values)| Observed { second, values, ..Observed::default() }).collect()
}

/// Least, most and mean of each series in the seconds that touch the time from `from_us` to `to_us`, in microseconds since the run's start; `None`: it has no
/// value there. `observed` has a value for each series in every row.
#[must_use]
pub fn around(observed: &[Observed], from_us: u64, to_us: u64) -> Vec<Option<ObservedSpread>> {
    let series = observed.first().map_or(0, |row| row.values.len());
    let mut spreads: Vec<Option<ObservedSpread>> = vec![None; series];
    let touches = |row: &&Observed| {
        let begins = row.second.saturating_mul(1_000_000);
        begins <= to_us && begins.saturating_add(1_000_000) > from_us
    };
    for row in observed.iter().filter(touches) {
        for (spread, value) in spreads.iter_mut().zip(&row.values) {
            let Some(value) = *value else { continue };
            let before =
                spread.unwrap_or(ObservedSpread { least: value, most: value, mean: 0.0, seconds: 0 });
            let seconds = before.seconds + 1;
            *spread = Some(ObservedSpread {
                least: before.least.min(value),
                most: before.most.max(value),
                mean: before.mean + (value - before.mean) / seconds as f64,
                seconds,
            });
        }
    }
    spreads
}

/// What of `series` had no answer, in their order; nothing of those that always had one. Neighbours of one source and of the same fate stand together.
#[must_use]
pub fn unanswered(series: &[ObservedSeries], notes: &[&Observed]) -> Vec<Unanswered> {
    let mut found: Vec<Unanswered> = Vec::new();
    let is_of_one =
        |a: usize, b: usize| (&series[a].source, &series[a].url) == (&series[b].source, &series[b].url);
    for index in 0..series.len() {
        let Some(own) = fate(index, notes) else { continue };
        match found.last_mut().filter(|last| last.first + last.series == index) {
            Some(last) if is_alike(last, &own) && is_of_one(last.first, index) => last.series += 1,
            _ => found.push(own),
        }
    }
    found
}

fn is_alike(a: &Unanswered, b: &Unanswered) -> bool {
    let fate = |of: &Unanswered| (of.asked, of.failed, of.why.clone(), of.at_end.clone());
    fate(a) == fate(b)
}

/// What became of the questions for a series; `None`: each had an answer.
fn fate(index: usize, notes: &[&Observed]) -> Option<Unanswered> {
    let (mut asked, mut faults, mut at_end) = (BTreeSet::new(), BTreeMap::new(), None);
    for note in notes {
        let place = index.checked_sub(note.first);
        if note.values.is_empty() && place == Some(0) {
            at_end.clone_from(&note.fault);
        }
        if place.is_none_or(|place| place >= note.values.len()) {
            continue;
        }
        asked.insert(note.second);
        match &note.fault {
            Some(why) => faults.insert(note.second, why.as_str()),
            None => faults.remove(&note.second),
        };
    }
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    faults.values().for_each(|why| *reasons.entry(why).or_default() += 1);
    let why = reasons.into_iter().rev().max_by_key(|(_, count)| *count).map_or("", |(why, _)| why);
    let (asked, failed) = (asked.len() as u64, faults.len() as u64);
    let is_told = failed > 0 || at_end.is_some();
    is_told.then(|| Unanswered { first: index, series: 1, asked, failed, why: why.to_owned(), at_end })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(second: u64, first: usize, values: &[Option<f64>], fault: Option<&str>) -> Observed {
        Observed { second, first, values: values.to_vec(), fault: fault.map(str::to_owned) }
    }

    #[test]
    fn a_second_is_as_it_was_told_last() {
        let notes = [
            note(3, 0, &[Some(1.0), Some(2.0)], None),
            note(3, 2, &[Some(9.0)], None),
            note(1, 2, &[Some(5.0)], None),
            note(3, 2, &[None], None),
            note(9, 2, &[], Some("the range")),
            // What a damaged journal may say.
            note(u64::MAX, 2, &[Some(1.0), Some(2.0), Some(3.0)], None),
            note(1, usize::MAX, &[Some(1.0)], None),
        ];
        let rows: Vec<(u64, Vec<Option<f64>>)> =
            settled_observed(3, &notes).into_iter().map(|row| (row.second, row.values)).collect();
        let expected = [
            (1, vec![None, None, Some(5.0)]),
            (3, vec![Some(1.0), Some(2.0), None]),
            (u64::MAX, vec![None, None, Some(1.0)]),
        ];
        assert_eq!(rows, expected);
    }

    #[test]
    fn least_most_and_mean_are_those_of_the_seconds_that_are_touched() {
        let rows: Vec<Observed> = [4.0, 1.0, 7.0, 2.0]
            .iter()
            .enumerate()
            .map(|(second, value)| note(second as u64, 0, &[Some(*value), None], None))
            .collect();
        let of =
            |from_us, to_us| around(&rows, from_us, to_us)[0].map(|s| (s.least, s.most, s.mean, s.seconds));
        assert_eq!(of(0, u64::MAX), Some((1.0, 7.0, 3.5, 4)));
        assert_eq!(of(1_999_999, 2_000_000), Some((1.0, 7.0, 4.0, 2)));
        assert_eq!(of(2_000_000, 2_000_000), Some((7.0, 7.0, 7.0, 1)));
        assert_eq!(of(4_000_000, 9_000_000), None);
        assert_eq!(around(&rows, 0, u64::MAX)[1], None, "a series without a value");
        assert_eq!(around(&[], 0, 1), []);
    }

    #[test]
    fn who_gives_no_answer_is_told_with_the_most_frequent_reason() {
        let mut notes = vec![
            note(0, 0, &[None, None, None], Some("refused")),
            note(1, 0, &[None, None, None], Some("timeout")),
            note(2, 0, &[None, None, None], Some("timeout")),
            note(3, 0, &[Some(1.0), None, None], None),
            note(0, 3, &[None], Some("bad query")),
            note(0, 4, &[Some(1.0)], None),
            note(3, 4, &[], Some("no range")),
            note(0, 5, &[Some(1.0)], None),
        ];
        // The third is of another source that has the same fate.
        let series = ["a", "a", "b", "c", "c", "c"].map(|source| ObservedSeries {
            name: "s".into(),
            unit: String::new(),
            of: "m".into(),
            source: source.into(),
            url: "http://h/".into(),
            every_s: 1.0,
        });
        let told = |notes: &[Observed]| -> Vec<(usize, usize, u64, u64, String, Option<String>)> {
            let one = |u: Unanswered| (u.first, u.series, u.asked, u.failed, u.why, u.at_end);
            unanswered(&series, &notes.iter().collect::<Vec<_>>()).into_iter().map(one).collect()
        };
        let page = (0, 2, 4, 3, "timeout".to_owned(), None);
        let other = (2, 1, 4, 3, "timeout".to_owned(), None);
        let at_end = (4, 1, 1, 0, String::new(), Some("no range".to_owned()));
        let wrong = (3, 1, 1, 1, "bad query".to_owned(), None);
        assert_eq!(told(&notes), [page.clone(), other.clone(), wrong, at_end.clone()]);
        // What was asked again at the end was answered.
        notes.push(note(0, 3, &[Some(2.0)], None));
        assert_eq!(told(&notes), [page, other, at_end]);
    }
}
