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
    pub values: Vec<Option<f64>>,
    /// Why whom it was asked of gave no value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
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
