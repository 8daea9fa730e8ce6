//! How long clients knew nothing new after disconnects, by the storm that forced them.
//!
//! In: how each such time ended. Out: histograms by storm that merge without loss; the same packed, as the journal holds them. There are as many as a scenario
//! has storms, and one more.

use std::collections::BTreeMap;

use crate::sample::{Blind, BlindEnd, StormId};

use super::differences::{add_packed, check_packed, packed_or_nothing};
use super::encoding::{HistogramError, MAX_COUNT, add_count};
use super::histogram::Latencies;

/// What became of those who knew nothing new of a stream: each client's keys count one by one.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BlindTally {
    /// From the disconnect to the first new message.
    pub seen: Latencies,
    /// From the disconnect to the run's end, of those to whom nothing new had come; or until the client was not wanted any more.
    pub open: Latencies,
    /// Clients that gave up coming back before something new came.
    pub given_up: u64,
}

/// [`BlindTally`] by the storm that forced the disconnect; `None`: no storm did.
pub type BlindByStorm = BTreeMap<Option<StormId>, BlindTally>;

/// A row of [`BlindByStorm`] as the journal holds it: the storm, both histograms, the count.
type PackedRow = (Option<StormId>, Vec<u8>, Vec<u8>, u64);

/// [`BlindByStorm`] as the journal holds it.
pub(super) type PackedBlind = Vec<PackedRow>;

impl BlindTally {
    /// All who knew nothing new.
    #[must_use]
    pub fn cut_off(&self) -> u64 {
        self.seen.count().saturating_add(self.open.count()).saturating_add(self.given_up)
    }
}

pub(super) fn record(all: &mut BlindByStorm, blind: &Blind) {
    let own = all.entry(blind.storm).or_default();
    match blind.end {
        BlindEnd::Seen => own.seen.record_us(blind.us),
        BlindEnd::Open => own.open.record_us(blind.us),
        BlindEnd::GaveUp => add_count(&mut own.given_up, 1),
    }
}

pub(super) fn merge(all: &mut BlindByStorm, other: &BlindByStorm) {
    for (storm, blind) in other {
        let own = all.entry(*storm).or_default();
        own.seen.merge(&blind.seen);
        own.open.merge(&blind.open);
        add_count(&mut own.given_up, blind.given_up);
    }
}

pub(super) fn pack(all: &BlindByStorm) -> PackedBlind {
    let packed = |(storm, blind): (&Option<StormId>, &BlindTally)| {
        (*storm, packed_or_nothing(&blind.seen), packed_or_nothing(&blind.open), blind.given_up)
    };
    all.iter().map(packed).collect()
}

/// Checks what was read from a file.
pub(super) fn check(packed: &[PackedRow]) -> Result<(), HistogramError> {
    packed.iter().try_for_each(|(_, seen, open, given_up)| {
        let is_sound = *given_up <= MAX_COUNT;
        is_sound.then_some(()).ok_or(HistogramError).and(check_packed(seen)).and(check_packed(open))
    })
}

pub(super) fn unpack(packed: &[PackedRow], all: &mut BlindByStorm) {
    for (storm, seen, open, given_up) in packed {
        let own = all.entry(*storm).or_default();
        add_packed(&mut own.seen, seen);
        add_packed(&mut own.open, open);
        add_count(&mut own.given_up, *given_up);
    }
}
