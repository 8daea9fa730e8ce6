//! Events and marks, as the reports tell them.
//!
//! In: marks. Out: rows of words; what makes the run not valid.

use crate::record::{Mark, MarkBy};
use crate::units::format_us;

/// Lines of an output that are shown below a table.
const MOST_LINES: usize = 5;

/// The columns of [`rows`].
pub(super) const HEADER: [&str; 4] = ["at", "name", "by", "what came of it"];
/// Rows that are shown.
pub(super) const MOST_ROWS: usize = 100;
/// What the rows show.
pub(super) const NOTE: &str = "what was done to the service, or told from outside";

/// A mark as a row: when, its name, by whom, what came of it.
pub(super) fn row(mark: &Mark) -> [String; 4] {
    let came = mark.outcome_words().unwrap_or_default();
    [format_us(mark.at_us), mark.name.clone(), by_words(mark), came]
}

/// Who made a mark, or what the event does.
fn by_words(mark: &Mark) -> String {
    if mark.storm.is_some() {
        return "by hand".to_owned();
    }
    match (mark.by, &mark.does) {
        (MarkBy::Event, Some(does)) if *does != mark.name => format!("event: {does}"),
        (MarkBy::Event, _) => "event".to_owned(),
        (MarkBy::Outside, _) => "resurge mark".to_owned(),
        (MarkBy::Signal, _) => "signal".to_owned(),
    }
}

/// The last lines that an event printed, where it failed.
pub(super) fn failed_lines(mark: &Mark) -> &[String] {
    if mark.has_failed() { last_lines(mark) } else { &[] }
}

/// The last lines that an event printed.
fn last_lines(mark: &Mark) -> &[String] {
    let lines = mark.outcome.as_ref().map_or(&[][..], |outcome| outcome.last_lines.as_slice());
    &lines[lines.len().saturating_sub(MOST_LINES)..]
}

/// Events that failed, a sentence each.
pub(super) fn failed_words(marks: &[Mark]) -> Vec<String> {
    let failed = marks.iter().filter(|mark| mark.has_failed()).take(MOST_ROWS);
    failed
        .map(|mark| {
            let [at, name, by, came] = row(mark);
            let last = failed_lines(mark).last().map_or_else(String::new, |line| format!(" | {line}"));
            format!("{name} at {at} ({by}): {came}{last}")
        })
        .collect()
}

/// Why the run is not valid by its events, a sentence each: those that must be done and were not.
pub(super) fn event_faults(marks: &[Mark]) -> Vec<String> {
    let required =
        |mark: &&Mark| mark.outcome.as_ref().is_some_and(|outcome| outcome.is_required && !outcome.is_good);
    marks
        .iter()
        .filter(required)
        .map(|mark| {
            let came = mark.outcome_words().unwrap_or_default();
            format!("the event {} at {} failed: {came}", mark.name, format_us(mark.at_us))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{EventEnd, MarkOutcome};

    fn event(is_good: bool, is_required: bool, code: i32) -> Mark {
        let end = EventEnd::Exited { code };
        let last_lines = (0..9).map(|n| format!("line {n}")).collect();
        Mark {
            number: 1,
            name: "reload".into(),
            by: MarkBy::Event,
            at_us: 20_000_000,
            until_us: Some(20_300_000),
            names_until_us: Some(50_300_000),
            does: Some("nginx -s reload".into()),
            outcome: Some(MarkOutcome { is_good, is_required, end, took_us: 300_000, last_lines }),
            storm: None,
        }
    }

    #[test]
    fn a_mark_is_a_row_in_words() {
        let outside = Mark { by: MarkBy::Outside, does: None, outcome: None, ..event(true, false, 0) };
        let open = Mark { outcome: None, ..event(true, false, 0) };
        let rows = [
            (event(true, false, 0), "20.0 s|reload|event: nginx -s reload|exit code 0 after 300 ms"),
            (outside, "20.0 s|reload|resurge mark|"),
            (open, "20.0 s|reload|event: nginx -s reload|not over when the numbers break off"),
        ];
        for (mark, expected) in rows {
            assert_eq!(row(&mark).join("|"), expected);
        }
        assert_eq!(last_lines(&event(false, false, 1)), ["line 4", "line 5", "line 6", "line 7", "line 8"]);
    }

    #[test]
    fn only_a_required_event_that_fails_spoils_the_run() {
        for (mark, count) in
            [(event(true, true, 0), 0), (event(false, false, 1), 0), (event(false, true, 1), 1)]
        {
            assert_eq!(event_faults(&[mark]).len(), count);
        }
        assert_eq!(
            event_faults(&[event(false, true, 3)]),
            ["the event reload at 20.0 s failed: exit code 3 after 300 ms"]
        );
    }
}
