//! What baselines of older versions held.
//!
//! In: what was read of one. Out: the same as today's; what was not known then is worked out of what was, or is not there.

use serde::{Deserialize, Serialize};

use super::baseline_form::{FileLater, FileOutages, NamedTimes};
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

/// What version 4 held beside counts: nothing of storms.
#[derive(Serialize, Deserialize)]
pub(super) struct FileV4 {
    outages: FileOutages,
    exchanges: Vec<Vec<NamedTimes>>,
}

impl From<FileV4> for FileLater {
    fn from(old: FileV4) -> Self {
        Self::new(old.outages, old.exchanges, None)
    }
}

#[cfg(test)]
impl FileV4 {
    pub(super) fn of(later: FileLater) -> Self {
        let (outages, exchanges, _) = later.into_parts();
        Self { outages, exchanges }
    }
}

/// Version 3 held nothing of exchanges.
impl From<FileOutages> for FileLater {
    fn from(outages: FileOutages) -> Self {
        FileV4 { outages, exchanges: Vec::new() }.into()
    }
}

/// Versions 1 and 2 held nothing of outages.
impl From<()> for FileLater {
    fn from((): ()) -> Self {
        FileOutages(None).into()
    }
}
