//! What a journal tells of a run beside its clients' numbers: what was done to the service, and the service's own numbers.
//!
//! In: plain facts. Out: JSON inside frames of the journal. Plain data.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A note in a journal.
#[derive(Debug, Clone, PartialEq)]
pub enum Note {
    /// Something was done to the service, or told from outside.
    Mark(Mark),
    /// The service's own numbers of a second.
    Observed(Observed),
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
    for mark in marks {
        match settled.iter_mut().find(|own| own.number == mark.number) {
            Some(own) => *own = mark,
            None => settled.push(mark),
        }
    }
    settled.sort_by_key(|mark| (mark.at_us, mark.number));
    settled
}

#[cfg(test)]
mod tests {
    use super::*;

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
