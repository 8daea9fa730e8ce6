//! Tallies as the journal holds them: small, and checked before they are believed.
//!
//! In: tallies; or bytes of a file that may be damaged. Out: the same numbers, packed. A second's histogram takes some hundred
//! bytes so and some hundred thousand unpacked, which is why a run of hours stays packed until a second is looked at.

use serde::{Deserialize, Serialize};

use crate::sample::{AttemptKey, CloseKey, Counter, Metric, StormId};

use super::encoding::{HistogramError, MAX_COUNT, add_count, packed_counts};
use super::histogram::Latencies;
use super::lives::Lives;
use super::requests::{self, PackedRequest};
use super::talk_packed::PackedTalk;
use super::tally::{StormTally, Tally, after_start};

/// A tally as the journal holds it: what [`PackedTally::of`] made, or what was read and checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PackedTally {
    pub(super) attempts: Vec<(AttemptKey, u64)>,
    pub(super) closes: Vec<(CloseKey, u64)>,
    pub(super) counters: Vec<(Counter, u64)>,
    pub(super) histograms: Vec<(Metric, Vec<u8>)>,
    /// Each storm's disconnects, and the histograms of the ways back from them and of those who are still away.
    pub(super) storms: Vec<(StormId, u64, Vec<u8>, Vec<u8>)>,
    /// What is taken back of the intervals before.
    pub(super) minus: Option<Box<PackedTally>>,
    /// What requests for tokens and steps came to.
    pub(super) requests: Vec<PackedRequest>,
    /// The clients' lives, as far as they were told in the interval.
    pub(super) lives: Lives,
    /// What the clients said and heard by their group's rules.
    pub(super) talk: Option<Box<PackedTalk>>,
}

impl PackedTally {
    /// Packs a tally.
    #[must_use]
    pub fn of(tally: &Tally) -> Self {
        Self {
            attempts: tally.attempts.iter().map(|(key, n)| (key.clone(), *n)).collect(),
            closes: tally.closes.iter().map(|(key, n)| (*key, *n)).collect(),
            counters: tally.counters.iter().map(|(counter, n)| (*counter, *n)).collect(),
            histograms: tally
                .histograms
                .iter()
                .map(|(metric, histogram)| (*metric, histogram.to_bytes()))
                .collect(),
            storms: tally
                .storms
                .iter()
                .map(|(id, storm)| (*id, storm.disconnects, storm.back.to_bytes(), storm.away.to_bytes()))
                .collect(),
            minus: tally.minus.as_ref().map(|minus| Box::new(Self::of(minus))),
            requests: requests::pack(&tally.requests),
            lives: tally.lives.clone(),
            talk: tally.talk.as_ref().map(|talk| Box::new(PackedTalk::of(talk))),
        }
    }

    /// Checks everything that was read from a file.
    ///
    /// # Errors
    /// [`HistogramError`] when a number cannot be.
    pub(super) fn check(&self) -> Result<(), HistogramError> {
        let counts = self.attempts.iter().map(|row| row.1).chain(self.closes.iter().map(|row| row.1));
        let counts = counts.chain(self.counters.iter().map(|row| row.1));
        let mut counts = counts.chain(self.storms.iter().map(|row| row.1));
        if counts.any(|count| count > MAX_COUNT) {
            return Err(HistogramError);
        }
        let histograms = self.histograms.iter().map(|(_, bytes)| bytes);
        let mut histograms = histograms.chain(self.storms.iter().flat_map(|(.., back, away)| [back, away]));
        histograms.try_for_each(|bytes| packed_counts(bytes).map(drop))?;
        requests::check(&self.requests)?;
        self.talk.as_ref().map_or(Ok(()), |talk| talk.check())?;
        match &self.minus {
            // What is taken back is not taken back again.
            Some(minus) if minus.minus.is_some() => Err(HistogramError),
            Some(minus) => minus.check(),
            None => Ok(()),
        }
    }

    /// Whether every number can be: what was read from elsewhere must not be believed otherwise.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.check().is_ok()
    }

    /// The tally itself.
    #[must_use]
    pub fn unpack(&self) -> Tally {
        let mut tally = Tally::default();
        self.add_second_to(&mut tally);
        tally
    }

    /// Adds everything to the tally of an interval.
    pub fn add_second_to(&self, tally: &mut Tally) {
        self.add_to(tally);
        tally.lives.merge(&self.lives);
    }

    /// What was told of the clients' lives.
    #[must_use]
    pub const fn lives(&self) -> &Lives {
        &self.lives
    }

    /// Adds everything but the clients' lives to `tally`, without unpacking it in between.
    pub fn add_to(&self, tally: &mut Tally) {
        for (key, n) in &self.attempts {
            add_count(tally.attempts.entry(key.clone()).or_default(), *n);
        }
        for (key, n) in &self.closes {
            add_count(tally.closes.entry(*key).or_default(), *n);
        }
        for (counter, n) in &self.counters {
            add_count(tally.counters.entry(*counter).or_default(), *n);
        }
        for (metric, bytes) in &self.histograms {
            add_packed(tally.histograms.entry(*metric).or_default(), bytes);
        }
        for (id, disconnects, back, away) in &self.storms {
            let storm: &mut StormTally = tally.storms.entry(*id).or_default();
            add_count(&mut storm.disconnects, *disconnects);
            add_packed(&mut storm.back, back);
            add_packed(&mut storm.away, away);
        }
        requests::unpack(&self.requests, &mut tally.requests);
        tally.presence.add(&self.lives.presence(), 0);
        if let Some(talk) = &self.talk {
            talk.add_to(tally.talk.get_or_insert_default());
        }
        if let Some(minus) = &self.minus {
            minus.add_to(tally.minus.get_or_insert_default());
        }
        tally.settle();
    }

    /// What was counted, without what was measured.
    #[must_use]
    pub fn unpack_counts(&self) -> Tally {
        let counts = Self {
            attempts: self.attempts.clone(),
            closes: self.closes.clone(),
            counters: self.counters.clone(),
            histograms: Vec::new(),
            storms: Vec::new(),
            minus: self.minus.clone(),
            requests: requests::counts_of(&self.requests),
            lives: Lives::default(),
            talk: self.talk.as_ref().map(|talk| Box::new(talk.counts())),
        };
        counts.unpack()
    }

    /// The values of each histogram: a bucket's lowest, in microseconds, and how many are in it, ascending.
    pub fn bucket_counts(&self) -> impl Iterator<Item = (Metric, Vec<(u64, u64)>)> + '_ {
        // Checked when it was read, or packed by ourselves.
        self.histograms.iter().map(|(metric, bytes)| (*metric, packed_counts(bytes).unwrap_or_default()))
    }

    /// The values of each exchange's latencies, likewise.
    pub fn exchange_bucket_counts(&self) -> impl Iterator<Item = (u16, Vec<(u64, u64)>)> + '_ {
        let exchanges = self.talk.iter().flat_map(|talk| talk.exchange_latencies());
        exchanges.map(|(index, bytes)| (index, packed_counts(bytes).unwrap_or_default()))
    }

    /// A counter's value, without unpacking.
    #[must_use]
    pub fn counter(&self, wanted: Counter) -> u64 {
        self.counters.iter().filter(|(counter, _)| *counter == wanted).map(|(_, n)| n).sum()
    }
}

impl PackedTally {
    /// How many requests for tokens ended.
    #[must_use]
    pub fn token_requests(&self) -> u64 {
        let wanted = self.requests.iter().filter(|(request, ..)| request.token_name().is_some());
        wanted.flat_map(|(_, _, said, _)| said).map(|(_, _, n)| n).sum()
    }

    /// Those without the requests with which the clients of a fleet began: what clients that are cut off do to the token endpoint.
    #[must_use]
    pub fn token_requests_after_start(&self) -> u64 {
        after_start(self.token_requests(), |counter| self.counter(counter))
    }
}

/// Adds a histogram whose bytes were checked when they were read, or packed by ourselves.
fn add_packed(histogram: &mut Latencies, bytes: &[u8]) {
    let added = histogram.add_bytes(bytes);
    debug_assert!(added.is_ok());
}
