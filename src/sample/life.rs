//! When a client is wanted in, is in, and is out: what outages are found by, and what availability is made of.
//!
//! In: nothing. Out: [`Life`], [`Bin`].

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::clock::Moment;

use super::attempt::{AttemptKey, Recount};
use super::session_end::CloseKey;

/// A tenth of a second since the run's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Bin(NonZeroU32);

impl Bin {
    /// How long one is, in nanoseconds.
    pub const LENGTH_NS: u64 = 100_000_000;

    /// The one that `at` falls in.
    #[must_use]
    pub fn of(at: Moment) -> Self {
        Self::nth(u32::try_from(at.as_ns() / Self::LENGTH_NS).unwrap_or(u32::MAX))
    }

    /// The one before which there are so many.
    #[must_use]
    pub const fn nth(index: u32) -> Self {
        Self(NonZeroU32::MIN.saturating_add(index))
    }

    /// How many there are before it.
    #[must_use]
    pub const fn index(self) -> u32 {
        self.0.get() - 1
    }

    /// When it begins.
    #[must_use]
    pub const fn begins(self) -> Moment {
        Moment::from_ns(self.index() as u64 * Self::LENGTH_NS)
    }
}

/// A turn in a client's life. A client is wanted in from [`Life::Came`] to [`Life::Gone`], for good where there is none. While it is wanted it is out from
/// when it came, or from [`Life::Out`], to the next [`Life::In`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Life {
    /// It was to begin then.
    Came(Moment),
    /// It is in.
    In(WayIn),
    /// It was in, and is so no longer.
    Out(Box<WayOut>),
    /// An attempt on its way back from a loss in that tenth of a second failed.
    Failed(Bin, Box<AttemptKey>),
    /// The same, but for how such attempts are counted.
    Recounted(Bin, Box<Recount>),
    /// A client that was lost does not come back.
    NotBack(NotBack),
    /// It is wanted in no longer.
    Gone {
        /// From when on.
        at: Moment,
        /// When its session had been upgraded; `None`: it was out.
        upgraded: Option<Moment>,
    },
}

/// A way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WayIn {
    /// When it was ready.
    pub at: Moment,
    /// When its handshake was answered with 101.
    pub upgraded: Moment,
    /// In which tenth of a second it was lost before; `None`: it is its first way in, or it was not lost.
    pub lost_in: Option<Bin>,
}

/// A disconnect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WayOut {
    /// Since when it is out: a storm's from when it was due.
    pub from: Moment,
    /// When its handshake had been answered with 101.
    pub upgraded: Moment,
    /// How the session ended.
    pub key: CloseKey,
    /// Whether it was lost: by no wish of the client's, and by no storm of the scenario's.
    pub is_lost: bool,
}

/// A client that was lost and does not come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotBack {
    /// In which tenth of a second it was lost.
    pub lost_in: Bin,
    /// Until when it might have come back.
    pub at: Moment,
    /// Why it does not.
    pub why: WhyNotBack,
}

/// Why a client that was lost does not come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyNotBack {
    /// The run ended first.
    RunEnded,
    /// It gave up.
    GaveUp,
    /// The scenario does not want it back.
    NotWanted,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_falls_in_one_tenth_of_a_second() {
        for (ns, index) in [(0, 0), (99_999_999, 0), (100_000_000, 1), (12_345_000_000, 123)] {
            let bin = Bin::of(Moment::from_ns(ns));
            assert_eq!(bin.index(), index);
            assert!(bin.begins().as_ns() <= ns && ns < bin.begins().as_ns() + Bin::LENGTH_NS);
        }
        assert_eq!(size_of::<Option<Bin>>(), 4);
        assert_eq!(Bin::of(Moment::NEVER), Bin::nth(u32::MAX), "a moment that never comes is in the last");
    }
}
