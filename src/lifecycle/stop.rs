//! How far a run's end has come.
//!
//! In: nothing. Out: [`StopPhase`], which every client watches. Phases only go forward.

/// How far the run's end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StopPhase {
    /// It goes on.
    Running,
    /// No new attempts; what is under way goes on to its end.
    Draining,
    /// Everything is cut off.
    Aborting,
}
