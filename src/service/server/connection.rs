//! One connection while it speaks HTTP: what it is about, and what becomes of it after its answer.

use std::sync::{Arc, Mutex, PoisonError};

use crate::deflate::Terms;

use super::busy::InFlight;
use super::cut::{Cut, CutOff};
use super::door::Caller;
use super::shared::{Admitted, Shared};

/// A connection while it speaks HTTP.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) shared: Arc<Shared>,
    pub(super) caller: Caller,
    stage: Mutex<Stage>,
}

/// What a connection is about.
#[derive(Debug)]
pub(super) enum Stage {
    /// No request has come. Until one does, something may yet happen here, so the target is not quiet.
    Fresh { _in_flight: InFlight },
    /// Requests have come.
    Used,
    /// 101 is on its way.
    Upgrading(Box<Pending>),
    /// A fault ends the connection.
    Cut { cut: Cut, _in_flight: InFlight },
}

/// A session whose connection is still hyper's.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) admitted: Admitted,
    pub(super) in_flight: InFlight,
    /// How messages are compressed, where both sides agreed on it.
    pub(super) deflate: Option<Terms>,
}

impl Connection {
    /// A connection on which no request has come.
    pub(super) fn new(shared: Arc<Shared>, caller: Caller, in_flight: InFlight) -> Self {
        Self { shared, caller, stage: Mutex::new(Stage::Fresh { _in_flight: in_flight }) }
    }

    /// It is about something else from here on; answers with what it was about.
    pub(super) fn set(&self, stage: Stage) -> Stage {
        std::mem::replace(&mut *self.stage.lock().unwrap_or_else(PoisonError::into_inner), stage)
    }

    /// Hands a session over to the connection's task.
    pub(super) fn hand_over(&self, pending: Pending) {
        self.set(Stage::Upgrading(Box::new(pending)));
    }

    /// Has the connection cut off in place of an answer.
    pub(super) fn cut_off(&self, cut: Cut, in_flight: InFlight) -> CutOff {
        self.set(Stage::Cut { cut, _in_flight: in_flight });
        CutOff
    }
}
