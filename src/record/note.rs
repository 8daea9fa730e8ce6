//! What a journal tells of a run beside its clients' numbers: what was done to the service, and the service's own numbers.
//!
//! In: plain facts. Out: JSON inside frames of the journal. Plain data.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::format_us;

use super::manifest::StormManifest;
use super::traces::RefusedTrace;

/// A note in a journal.
#[derive(Debug, Clone, PartialEq)]
pub enum Note {
    /// Something was done to the service, or told from outside.
    Mark(Mark),
    /// The service's own numbers of a second.
    Observed(Observed),
    /// The trace of a refused attempt.
    Refused(RefusedTrace),
}

/// Something done to the service, or told from outside, at a moment of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Mark {
    /// Which mark of the run; a later one of the same number takes its place, as when an event has ended.
    pub number: u32,
    /// What it is called.
    pub name: String,
    /// Who made it.
    pub by: MarkBy,
    /// When, in microseconds since the run's start.
    pub at_us: u64,
    /// When what it did was over, in microseconds since the run's start; `None`: it took no time, or is not over.
    pub until_us: Option<u64>,
    /// Outages that begin up to then are named after it, in microseconds since the run's start; `None`: what it did is not over.
    #[serde(default)]
    pub names_until_us: Option<u64>,
    /// What the event does, in words; `None`: it is no event.
    #[serde(default)]
    pub does: Option<String>,
    /// What came of the event; `None`: it is none, or is not over.
    #[serde(default)]
    pub outcome: Option<MarkOutcome>,
    /// The storm that was asked for then; `None`: none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storm: Option<AskedStorm>,
}

/// A storm that somebody asked for while the run went on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AskedStorm {
    /// Which of those that were asked for, from 0: they follow the scenario's.
    pub number: u16,
    /// What it is, in words.
    pub what: String,
    /// Share of the sessions, 0..1.
    pub fraction: f64,
}

/// Who made a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MarkBy {
    /// An event of the scenario.
    Event,
    /// `resurge mark`, from another shell.
    Outside,
    /// The signal SIGUSR1.
    Signal,
}

/// What came of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MarkOutcome {
    /// Whether it did what it was to do.
    pub is_good: bool,
    /// Whether the run is not valid where it did not.
    pub is_required: bool,
    /// How it ended.
    pub end: EventEnd,
    /// How long it took, in microseconds.
    pub took_us: u64,
    /// The last lines that its command printed, or of the answer, without secrets and control characters; empty: there were none.
    pub last_lines: Vec<String>,
}

/// How an event ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum EventEnd {
    /// Its command exited.
    Exited {
        /// The exit code.
        code: i32,
    },
    /// Its command was ended by a signal of somebody else.
    Killed {
        /// Which.
        signal: i32,
    },
    /// Its request was answered.
    Answered {
        /// The HTTP status.
        status: u16,
    },
    /// Its signal was sent.
    Signalled {
        /// To which process.
        pid: i32,
    },
    /// It took too long, and was ended.
    TimedOut,
    /// The run ended before it did, and it was ended.
    EndedWithRun,
    /// It could not be done.
    NotDone {
        /// Why, in words.
        why: String,
    },
}

impl EventEnd {
    /// It in words.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Exited { code } => format!("exit code {code}"),
            Self::Killed { signal } => format!("killed by signal {signal}"),
            Self::Answered { status } => format!("HTTP {status}"),
            Self::Signalled { pid } => format!("sent to process {pid}"),
            Self::TimedOut => "timed out".to_owned(),
            Self::EndedWithRun => "not over when the run ended".to_owned(),
            Self::NotDone { why } => format!("not done: {why}"),
        }
    }
}

impl Mark {
    /// Whether an outage that begins at `at_us` is named after it.
    #[must_use]
    pub fn names(&self, at_us: u64) -> bool {
        self.at_us <= at_us && self.names_until_us.is_none_or(|until_us| at_us <= until_us)
    }

    /// What came of it, in words; `None` for a mark that is no event.
    #[must_use]
    pub fn outcome_words(&self) -> Option<String> {
        match &self.outcome {
            None if self.by == MarkBy::Event => Some("not over when the numbers break off".to_owned()),
            None => None,
            // What was not done took no time.
            Some(outcome) if outcome.took_us == 0 => Some(outcome.end.words()),
            Some(outcome) => Some(format!("{} after {}", outcome.end.words(), format_us(outcome.took_us))),
        }
    }

    /// Whether it is an event that must be done.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.outcome.as_ref().is_some_and(|outcome| outcome.is_required)
    }

    /// Whether it is an event that did not do what it was to do.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.outcome.as_ref().is_some_and(|outcome| !outcome.is_good)
    }
}

/// The service's own numbers of a second.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Observed {
    /// Which second since the run's start.
    pub second: u64,
    /// Which of the manifest's series the first value is of.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub first: usize,
    /// The values of that series and of those that follow it, in the manifest's order; `None`: it had none. A later note of the same second and series takes
    /// the place of an earlier one. Without values, it tells of a fault alone.
    #[serde(with = "exact")]
    pub values: Vec<Option<f64>>,
    /// Why whom it was asked of gave no value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// Numbers as texts: read as JSON's numbers, some would differ in their last digit.
mod exact {
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(values: &[Option<f64>], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(|value| value.map(|value| value.to_string())))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Option<f64>>, D::Error> {
        let texts: Vec<Option<String>> = Vec::deserialize(deserializer)?;
        let number = |text: String| text.parse().map_err(serde::de::Error::custom);
        texts.into_iter().map(|text| text.map(number).transpose()).collect()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
const fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Marks in the order of time, each as it was told last.
#[must_use]
pub fn settled_marks(marks: impl IntoIterator<Item = Mark>) -> Vec<Mark> {
    let mut settled: Vec<Mark> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for mark in marks {
        match places.get(&mark.number) {
            Some(&at) => settled[at] = mark,
            None => {
                places.insert(mark.number, settled.len());
                settled.push(mark);
            }
        }
    }
    settled.sort_by_key(|mark| (mark.at_us, mark.number));
    settled
}

/// The storms that were asked for, behind those that were `planned`, each at its place.
pub fn add_asked_storms(planned: &mut Vec<StormManifest>, marks: &[Mark]) {
    let first = planned.len();
    for mark in marks {
        let Some(AskedStorm { number, what, fraction }) = &mark.storm else { continue };
        let place = first + usize::from(*number);
        while planned.len() <= place {
            // Of one whose mark is missing, only what it did is known.
            planned.push(StormManifest {
                at_s: 0.0,
                what: "by hand; its mark is missing".to_owned(),
                fraction: 1.0,
            });
        }
        planned[place] =
            StormManifest { at_s: mark.at_us as f64 / 1e6, what: what.clone(), fraction: *fraction };
    }
}

/// The mark that an outage is named after which begins at `at_us`: of those whose window it lies in, the last. `marks` are in the order of time.
#[must_use]
pub fn mark_behind(marks: &[Mark], at_us: u64) -> Option<&Mark> {
    marks.iter().rev().find(|mark| mark.names(at_us))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(number: u32, at_us: u64, names_until_us: Option<u64>) -> Mark {
        let (name, by, does, outcome) = (format!("m{number}"), MarkBy::Event, None, None);
        Mark { number, name, by, at_us, until_us: None, names_until_us, does, outcome, storm: None }
    }

    #[test]
    fn the_last_word_on_a_mark_counts() {
        let told = [mark(2, 9, None), mark(1, 5, None), mark(2, 9, Some(20)), mark(3, 9, None)];
        let settled = settled_marks(told);
        let seen: Vec<_> = settled.iter().map(|mark| (mark.number, mark.names_until_us)).collect();
        assert_eq!(seen, [(1, None), (2, Some(20)), (3, None)]);
    }

    #[test]
    fn an_outage_is_named_after_the_last_mark_whose_window_it_is_in() {
        let marks = [mark(1, 10, Some(100)), mark(2, 20, Some(30)), mark(3, 200, None)];
        let rows = [
            (9, None),
            (10, Some(1)),
            (19, Some(1)),
            (30, Some(2)),
            (31, Some(1)),
            (101, None),
            (200, Some(3)),
            (u64::MAX, Some(3)),
        ];
        for (at_us, expected) in rows {
            assert_eq!(mark_behind(&marks, at_us).map(|mark| mark.number), expected, "{at_us}");
        }
    }

    #[test]
    fn a_mark_of_before_reads_and_says_that_it_is_not_over() {
        let old = r#"{"number":1,"name":"n","by":"event","at_us":5,"until_us":null}"#;
        let read: Mark = serde_json::from_str(old).unwrap();
        assert_eq!(read.outcome_words().as_deref(), Some("not over when the numbers break off"));
        let json = serde_json::to_string(&read).unwrap();
        assert_eq!(serde_json::from_str::<Mark>(&json).unwrap(), read);
    }

    #[test]
    fn a_number_is_read_as_it_was_written_to_the_last_digit() {
        // The first is one that a reader of JSON's numbers gets wrong.
        for value in [245.350_000_000_000_02, 245.35, 0.1 + 0.2, -1e-300, f64::MAX, 0.0] {
            let observed = Observed { second: 7, first: 2, values: vec![Some(value), None], fault: None };
            let text = serde_json::to_string(&observed).unwrap();
            assert_eq!(serde_json::from_str::<Observed>(&text).unwrap(), observed, "{text}");
        }
        assert!(serde_json::from_str::<Observed>("{\"second\":1,\"values\":[\"x\"]}").is_err());
    }
}
