//! A storm, as a client sees it.
//!
//! In: nothing. Out: [`StormRule`].

use std::time::Duration;

use crate::clock::Moment;
use crate::sample::StormId;
use crate::scenario::keys::DisconnectHow;

/// A storm, as a client sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum StormRule {
    /// The target closes sessions with this code; the client only has to know it for what it is.
    ByTarget {
        /// When.
        at: Moment,
        /// The close code.
        code: u16,
        /// Whether it closes every session.
        all: bool,
        /// Which it is in the scenario.
        id: StormId,
    },
    /// An event of the scenario strikes the service, and the service loses sessions.
    ByEvent {
        /// When it is done first.
        at: Moment,
        /// It is done again so long after.
        every: Option<Duration>,
        /// How long after it a session that is lost was struck by it.
        window: Duration,
        /// Which it is in the scenario.
        id: StormId,
    },
    /// The clients leave.
    ByClient {
        /// When.
        at: Moment,
        /// How.
        how: DisconnectHow,
        /// Which it is in the scenario: with the client's number it decides who is struck.
        id: StormId,
        /// Share of the clients that it strikes.
        fraction: f64,
    },
}

impl StormRule {
    /// When it is due.
    #[must_use]
    pub const fn at(&self) -> Moment {
        match self {
            Self::ByTarget { at, .. } | Self::ByEvent { at, .. } | Self::ByClient { at, .. } => *at,
        }
    }
}
