//! Tallies as journals of older schema versions held them.
//!
//! In: what was read of one. Out: the same numbers as a [`PackedTally`]; what was not recorded then is not there.

use serde::Deserialize;
#[cfg(test)]
use serde::Serialize;

use crate::sample::{Abnormal, AttemptKind, Cause, Counter, Initiator, Metric, Outcome, StormId};

use super::histogram::Latencies;
use super::packed::PackedTally;

/// Of version 1: which storm forced a disconnect was not recorded.
#[derive(Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub(super) struct PackedTallyV1 {
    attempts: Vec<(AttemptKind, Outcome, Option<Cause>, u64)>,
    closes: Vec<(Initiator, u16, Option<Abnormal>, u64)>,
    counters: Vec<(Counter, u64)>,
    histograms: Vec<(Metric, Vec<u8>)>,
}

/// Of version 2: where a refusal was spoken, and by whom, was not recorded.
#[derive(Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub(super) struct PackedTallyV2 {
    attempts: Vec<(AttemptKind, Outcome, Option<Cause>, u64)>,
    closes: Vec<(Initiator, u16, Option<Abnormal>, u64)>,
    counters: Vec<(Counter, u64)>,
    histograms: Vec<(Metric, Vec<u8>)>,
    storms: Vec<(StormId, u64, Vec<u8>)>,
}

impl From<PackedTallyV1> for PackedTallyV2 {
    fn from(old: PackedTallyV1) -> Self {
        let PackedTallyV1 { attempts, closes, counters, histograms } = old;
        Self { attempts, closes, counters, histograms, storms: Vec::new() }
    }
}

impl From<PackedTallyV2> for PackedTally {
    fn from(old: PackedTallyV2) -> Self {
        let PackedTallyV2 { attempts, closes, counters, histograms, storms } = old;
        // How long those who were still away had been so was not recorded.
        let away = Latencies::new().to_bytes();
        let with_away = |(id, disconnects, back)| (id, disconnects, back, away.clone());
        let storms = storms.into_iter().map(with_away).collect();
        Self { attempts, closes, counters, histograms, storms }
    }
}
