//! What baselines of older versions counted.
//!
//! In: what was read of one. Out: the same as [`Counts`]; what was not known then is worked out of what was.

use serde::{Deserialize, Serialize};

use super::repeat::Counts;

/// What version 1 counted: who was still away when a run ended was left out.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct CountsV1 {
    pub(super) answered: u64,
    pub(super) refused_403: u64,
    pub(super) attempts: u64,
    pub(super) failed: u64,
    pub(super) back: u64,
    pub(super) reconnects_ended: u64,
    pub(super) tokens_for_reconnects: u64,
}

impl From<CountsV1> for Counts {
    fn from(old: CountsV1) -> Self {
        let CountsV1 {
            answered,
            refused_403,
            attempts,
            failed,
            back,
            reconnects_ended,
            tokens_for_reconnects,
        } = old;
        let given_up = reconnects_ended.saturating_sub(back);
        Self {
            answered,
            refused_403,
            attempts,
            failed,
            back,
            reconnects_ended,
            tokens_for_reconnects,
            given_up,
        }
    }
}
