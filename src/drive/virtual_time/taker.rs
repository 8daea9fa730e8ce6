//! Who takes the samples of a run.
//!
//! In: samples, second by second. Out: whether the run goes on.

use crate::sample::Stamped;

/// Who takes what happens.
pub trait SampleTaker {
    /// Takes all of `samples`; they are in the order of their moments, and after those taken before.
    fn take(&mut self, samples: &mut Vec<Stamped>);

    /// All samples of `second` were taken. Answers whether the run goes on.
    fn close_second(&mut self, second: u64) -> GoOn;
}

/// Whether a run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GoOn {
    /// It does.
    Yes,
    /// It stops early: it drains.
    Stop,
}
