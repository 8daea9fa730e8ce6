//! Events and marks of a run that goes on, in words.
//!
//! In: the marks so far. Out: a line for each that is new, or over. Pure.

use std::collections::HashMap;

use crate::record::{Mark, MarkBy};
use crate::units::format_us;

/// What was told of marks so far.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// By its number, whether a mark was told as over.
    marks: HashMap<u32, bool>,
}

impl Told {
    /// A line for each of `marks` of which there is something new.
    pub(super) fn news(&mut self, marks: &[Mark]) -> Vec<String> {
        let is_new = |mark: &&Mark| self.marks.insert(mark.number, is_over(mark)) != Some(is_over(mark));
        marks.iter().filter(is_new).map(mark_words).collect()
    }
}

/// Whether no more is to come of a mark.
const fn is_over(mark: &Mark) -> bool {
    mark.outcome.is_some() || !matches!(mark.by, MarkBy::Event)
}

/// A mark in words, as `event reload at 20.0 s: exit code 0 after 300 ms`.
pub(super) fn mark_words(mark: &Mark) -> String {
    let (at, name) = (format_us(mark.at_us), &mark.name);
    match mark.by {
        MarkBy::Event if is_over(mark) => {
            format!("event {name} at {at}: {}", mark.outcome_words().unwrap_or_default())
        }
        MarkBy::Event => format!("event {name} at {at}: under way"),
        MarkBy::Outside | MarkBy::Signal => format!("mark at {at}: {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{EventEnd, MarkOutcome};

    #[test]
    fn a_mark_is_told_when_it_is_new_and_when_it_is_over() {
        let outcome = MarkOutcome {
            is_good: true,
            is_required: false,
            end: EventEnd::Exited { code: 0 },
            took_us: 300_000,
            last_lines: Vec::new(),
        };
        let (name, does) = ("reload".to_owned(), None);
        let (until_us, names_until_us) = (None, None);
        let mut event = Mark {
            number: 1,
            name,
            by: MarkBy::Event,
            at_us: 20_000_000,
            until_us,
            names_until_us,
            does,
            outcome: None,
            storm: None,
        };
        let outside = Mark { number: 2, name: "deploy".into(), by: MarkBy::Outside, ..event.clone() };
        let mut told = Told::default();
        assert_eq!(told.news(&[event.clone()]), ["event reload at 20.0 s: under way"]);
        assert_eq!(told.news(&[event.clone(), outside.clone()]), ["mark at 20.0 s: deploy"]);
        event.outcome = Some(outcome);
        let both = [event, outside];
        assert_eq!(told.news(&both), ["event reload at 20.0 s: exit code 0 after 300 ms"]);
        assert_eq!(told.news(&both), Vec::<String>::new());
    }
}
