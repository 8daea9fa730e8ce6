//! Stopping a run: one place where everybody who may stop it says so.
//!
//! In: reasons to stop, from the clock, the user, a threshold, the address policy. Out: the phase that every client
//! watches, and the first reason given.

use std::sync::{Mutex, PoisonError};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::clock::Moment;
use crate::lifecycle::StopPhase;

/// Why a run stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "how")]
pub enum StopReason {
    /// Its time was over.
    Completed,
    /// Every client had come to its end before.
    ClientsDone,
    /// The user interrupted it.
    Interrupted,
    /// A threshold failed that ends the run.
    Threshold {
        /// The threshold, as written.
        threshold: String,
    },
    /// A name resolved to an address that may not be hit.
    NotAuthorised,
}

/// The handle that stops a run.
#[derive(Debug)]
pub struct RunControl {
    phase: watch::Sender<StopPhase>,
    reason: Mutex<Option<StopReason>>,
    /// When the first client was due to start, and when it did.
    first_start: Mutex<Option<(Moment, Moment)>>,
}

impl Default for RunControl {
    fn default() -> Self {
        Self::new()
    }
}

impl RunControl {
    /// The control of a run that has not begun to stop.
    #[must_use]
    pub fn new() -> Self {
        let phase = watch::Sender::new(StopPhase::Running);
        Self { phase, reason: Mutex::new(None), first_start: Mutex::new(None) }
    }

    /// A view of the phase.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<StopPhase> {
        self.phase.subscribe()
    }

    /// Lets the run drain. The first reason is the one that counts.
    pub fn stop(&self, reason: StopReason) {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
        self.advance(StopPhase::Draining);
    }

    /// Wakes every client that holds a session: there is something new to look for.
    pub fn call(&self) {
        self.phase.send_modify(|_| {});
    }

    /// Cuts everything off.
    pub fn abort(&self) {
        self.advance(StopPhase::Aborting);
    }

    fn advance(&self, phase: StopPhase) {
        self.phase.send_if_modified(|now| {
            let further = phase > *now;
            *now = phase.max(*now);
            further
        });
    }

    /// A client that was due at `due` is started at `at`.
    pub fn note_start(&self, due: Moment, at: Moment) {
        let mut first = self.first_start.lock().unwrap_or_else(PoisonError::into_inner);
        if first.is_none_or(|(known, _)| due < known) {
            *first = Some((due, at));
        }
    }

    /// When the first client was due, and when it was started; `None`: none was.
    #[must_use]
    pub fn first_start(&self) -> Option<(Moment, Moment)> {
        *self.first_start.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far the stop has come.
    #[must_use]
    pub fn phase(&self) -> StopPhase {
        *self.phase.borrow()
    }

    /// Why the run stops; [`StopReason::Completed`] while nobody has said.
    #[must_use]
    pub fn reason(&self) -> StopReason {
        let reason = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        reason.clone().unwrap_or(StopReason::Completed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_counts_and_phases_only_go_forward() {
        let control = RunControl::new();
        control.stop(StopReason::Interrupted);
        control.stop(StopReason::Completed);
        assert_eq!(control.reason(), StopReason::Interrupted);
        assert_eq!(control.phase(), StopPhase::Draining);
        control.abort();
        control.stop(StopReason::Completed);
        assert_eq!(control.phase(), StopPhase::Aborting);
    }
}
