//! Tallies as journals of older schema versions held them.
//!
//! In: what was read of one. Out: the same numbers as a [`PackedTally`]; what was not recorded then is not there.

use serde::Deserialize;
#[cfg(test)]
use serde::Serialize;

use crate::sample::{
    Abnormal, AttemptKey, AttemptKind, Cause, CloseKey, Counter, Initiator, Metric, Outcome, StormId,
};

use super::histogram::Latencies;
use super::lives::Lives;
use super::packed::PackedTally;
use super::requests::PackedRequest;
use super::talk_packed::PackedTalkV5;

/// Of version 1: which storm forced a disconnect was not recorded.
#[derive(Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub(super) struct PackedTallyV1 {
    attempts: Vec<(AttemptKind, Outcome, Option<Cause>, u64)>,
    closes: Vec<(Initiator, u16, Option<Abnormal>, u64)>,
    counters: Vec<(Counter, u64)>,
    histograms: Vec<(Metric, Vec<u8>)>,
}

/// Of version 2: where a refusal was spoken, and by whom, and what each side said at an end, was not recorded.
#[derive(Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub(super) struct PackedTallyV2 {
    attempts: Vec<(AttemptKind, Outcome, Option<Cause>, u64)>,
    closes: Vec<(Initiator, u16, Option<Abnormal>, u64)>,
    counters: Vec<(Counter, u64)>,
    histograms: Vec<(Metric, Vec<u8>)>,
    storms: Vec<(StormId, u64, Vec<u8>)>,
}

/// Of version 3: when clients were in, and when they were not, was not recorded.
#[derive(Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub(super) struct PackedTallyV3 {
    attempts: Vec<(AttemptKey, u64)>,
    closes: Vec<(CloseKey, u64)>,
    counters: Vec<(Counter, u64)>,
    histograms: Vec<(Metric, Vec<u8>)>,
    storms: Vec<(StormId, u64, Vec<u8>, Vec<u8>)>,
    minus: Option<Box<PackedTallyV3>>,
    requests: Vec<PackedRequest>,
}

/// Of version 4: what clients said and heard was not recorded.
#[derive(Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub(super) struct PackedTallyV4 {
    attempts: Vec<(AttemptKey, u64)>,
    closes: Vec<(CloseKey, u64)>,
    counters: Vec<(Counter, u64)>,
    histograms: Vec<(Metric, Vec<u8>)>,
    storms: Vec<(StormId, u64, Vec<u8>, Vec<u8>)>,
    minus: Option<Box<PackedTallyV4>>,
    requests: Vec<PackedRequest>,
    lives: Lives,
}

/// Of version 5: after which storm clients knew nothing new for how long was not recorded.
#[derive(Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub(super) struct PackedTallyV5 {
    attempts: Vec<(AttemptKey, u64)>,
    closes: Vec<(CloseKey, u64)>,
    counters: Vec<(Counter, u64)>,
    histograms: Vec<(Metric, Vec<u8>)>,
    storms: Vec<(StormId, u64, Vec<u8>, Vec<u8>)>,
    minus: Option<Box<PackedTallyV5>>,
    requests: Vec<PackedRequest>,
    lives: Lives,
    talk: Option<Box<PackedTalkV5>>,
}

impl From<PackedTallyV5> for PackedTally {
    fn from(old: PackedTallyV5) -> Self {
        let PackedTallyV5 { attempts, closes, counters, histograms, storms, minus, requests, lives, talk } =
            old;
        let minus = minus.map(|minus| Box::new(Self::from(*minus)));
        let talk = talk.map(|talk| Box::new((*talk).into()));
        Self { attempts, closes, counters, histograms, storms, minus, requests, lives, talk }
    }
}

impl From<PackedTallyV4> for PackedTally {
    fn from(old: PackedTallyV4) -> Self {
        let PackedTallyV4 { attempts, closes, counters, histograms, storms, minus, requests, lives } = old;
        let minus = minus.map(|minus| Box::new(Self::from(*minus)));
        Self { attempts, closes, counters, histograms, storms, minus, requests, lives, talk: None }
    }
}

impl From<PackedTallyV3> for PackedTally {
    fn from(old: PackedTallyV3) -> Self {
        let PackedTallyV3 { attempts, closes, counters, histograms, storms, minus, requests } = old;
        let minus = minus.map(|minus| Box::new(Self::from(*minus)));
        let lives = Lives::default();
        Self { attempts, closes, counters, histograms, storms, minus, requests, lives, talk: None }
    }
}

impl From<PackedTallyV1> for PackedTallyV2 {
    fn from(old: PackedTallyV1) -> Self {
        let PackedTallyV1 { attempts, closes, counters, histograms } = old;
        Self { attempts, closes, counters, histograms, storms: Vec::new() }
    }
}

impl From<PackedTallyV2> for PackedTally {
    fn from(old: PackedTallyV2) -> Self {
        let PackedTallyV2 { attempts, closes, mut counters, histograms, storms } = old;
        let upgrades: u64 =
            attempts.iter().filter(|row| row.1 == Outcome::Ok).fold(0, |sum, row| sum.saturating_add(row.3));
        if upgrades > 0 {
            counters.push((Counter::Upgrades, upgrades));
        }
        let key = |kind, outcome, cause| AttemptKey { kind, outcome, cause, answer: None };
        let attempts = attempts.into_iter().map(|(kind, outcome, cause, n)| (key(kind, outcome, cause), n));
        let unsaid = |(who, code, how, n)| (CloseKey::unsaid(who, code, how), n);
        // How long those who were still away had been so was not recorded.
        let away = Latencies::new().to_bytes();
        let with_away = |(id, disconnects, back)| (id, disconnects, back, away.clone());
        let storms = storms.into_iter().map(with_away).collect();
        Self {
            attempts: attempts.collect(),
            closes: closes.into_iter().map(unsaid).collect(),
            counters,
            histograms,
            storms,
            minus: None,
            requests: Vec::new(),
            lives: Lives::default(),
            talk: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_version_2_say_nothing_of_what_was_said() {
        let old = PackedTallyV2 {
            attempts: Vec::new(),
            closes: vec![
                (Initiator::Target, 1001, None, 3),
                (Initiator::Network, 1006, Some(Abnormal::Protocol), 2),
            ],
            counters: Vec::new(),
            histograms: Vec::new(),
            storms: Vec::new(),
        };
        let read: PackedTallyV2 = postcard::from_bytes(&postcard::to_stdvec(&old).unwrap()).unwrap();
        let closes = PackedTally::from(read).unpack().closes;
        let told: Vec<String> =
            closes.iter().map(|(key, n)| format!("{key} × {n}; {:?}", key.said.to_string())).collect();
        assert_eq!(told, ["target 1001 × 3; \"\"", "network 1006 (protocol) × 2; \"\""]);
    }
}
