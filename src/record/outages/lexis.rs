//! When sessions began and when they ended: a group's Lexis diagram, in bins of 100 ms.
//!
//! In: sessions. Out: counts that merge without loss, whatever the order. What it takes grows with the bins that differ, not with sessions.
//!
//! Source: Keiding 1990, Phil. Trans. R. Soc. Lond. A 332, 487.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Moment;

/// How long a bin is.
pub const BIN: Duration = Duration::from_millis(100);

/// Sessions by the bins in which they began and ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lexis {
    began: BTreeMap<u32, u64>,
    /// By the bin of the end, then that of the beginning.
    ended: BTreeMap<(u32, u32), Ends>,
}

/// How sessions ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Ends {
    /// By no wish of the client's, and by no storm of the scenario's.
    pub(super) lost: u64,
    /// In another way.
    pub(super) otherwise: u64,
}

impl Ends {
    pub(super) const fn all(self) -> u64 {
        self.lost.saturating_add(self.otherwise)
    }
}

impl Lexis {
    /// So many sessions began at `at`.
    pub fn begin(&mut self, at: Moment, times: u64) {
        let began = self.began.entry(bin_of(at)).or_default();
        *began = began.saturating_add(times);
    }

    /// So many sessions that had begun at `began` ended at `at`. They were lost: by no wish of the client's, and by no storm of the scenario's.
    pub fn lose(&mut self, began: Moment, at: Moment, times: u64) {
        let lost = &mut self.ends(began, at).lost;
        *lost = lost.saturating_add(times);
    }

    /// So many sessions that had begun at `began` ended at `at`, in another way.
    pub fn leave(&mut self, began: Moment, at: Moment, times: u64) {
        let otherwise = &mut self.ends(began, at).otherwise;
        *otherwise = otherwise.saturating_add(times);
    }

    fn ends(&mut self, began: Moment, at: Moment) -> &mut Ends {
        let began = bin_of(began);
        self.ended.entry((bin_of(at).max(began), began)).or_default()
    }

    /// Adds another diagram.
    pub fn merge(&mut self, other: &Self) {
        for (bin, n) in &other.began {
            let began = self.began.entry(*bin).or_default();
            *began = began.saturating_add(*n);
        }
        for (bins, ends) in &other.ended {
            let sum = self.ended.entry(*bins).or_default();
            sum.lost = sum.lost.saturating_add(ends.lost);
            sum.otherwise = sum.otherwise.saturating_add(ends.otherwise);
        }
    }

    /// How many bins there are, from the run's start to the last in which something happened.
    pub(super) fn bins(&self) -> u32 {
        let last = self.began.last_key_value().map(|(bin, _)| *bin);
        let last = last.into_iter().chain(self.ended.last_key_value().map(|((bin, _), _)| *bin)).max();
        last.map_or(0, |last| last.saturating_add(1))
    }

    /// By bin, ascending: how many sessions began.
    pub(super) const fn began(&self) -> &BTreeMap<u32, u64> {
        &self.began
    }

    /// The ends in a bin, by the bin of the beginning.
    pub(super) fn ended_in(&self, bin: u32) -> impl Iterator<Item = (u32, Ends)> + '_ {
        self.ended.range((bin, 0)..=(bin, u32::MAX)).map(|((_, began), ends)| (*began, *ends))
    }

    /// All ends: by the bin of the end, that of the beginning.
    pub(super) fn ended(&self) -> impl Iterator<Item = ((u32, u32), Ends)> + '_ {
        self.ended.iter().map(|(bins, ends)| (*bins, *ends))
    }
}

fn bin_of(at: Moment) -> u32 {
    u32::try_from(u128::from(at.as_ns()) / BIN.as_nanos()).unwrap_or(u32::MAX - 1)
}
