//! What a client knows of a session that it keeps beside the next one.
//!
//! In: nothing. Out: plain types.

use crate::clock::Moment;

use super::recovery::Explained;

/// The session that is kept.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) upgraded: Moment,
    pub(super) stage: Stage,
}

/// How far it has come with it.
#[derive(Debug, Clone)]
pub(super) enum Stage {
    /// It is read until the next one is ready.
    Open,
    /// The next one is ready: the driver is to close it.
    ToRelease,
    /// It is being closed.
    Released,
    /// It ended while it was not yet settled that the client is in by the next one: unless it is, that was the disconnect.
    Ended(Explained),
}
