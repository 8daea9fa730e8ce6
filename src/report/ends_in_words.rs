//! What ended the sessions that were lost, in words.
//!
//! In: a group's numbers. Out: a clause of a sentence. What each side said beside the code makes no other end of it.

use std::collections::BTreeMap;

use crate::record::Tally;
use crate::sample::{CloseKey, Counter, Initiator};
use crate::units::format_count;

/// What ended the sessions that were lost, where nothing stood in the way.
pub(super) fn what_ended_sessions(tally: &Tally) -> Option<String> {
    if tally.counter(Counter::Disconnects) == 0 {
        return None;
    }
    let mut ends: BTreeMap<CloseKey, u64> = BTreeMap::new();
    for (key, n) in &tally.closes {
        if !(key.initiator == Initiator::Client && key.code == 1000) {
            *ends.entry(CloseKey::unsaid(key.initiator, key.code, key.abnormal)).or_default() += n;
        }
    }
    let (key, count) = ends.iter().max_by_key(|(_, n)| **n)?;
    let all: u64 = ends.values().sum();
    let which = match all {
        1 => "the session that was lost",
        _ if *count == all => "all sessions that were lost",
        _ => "most sessions that were lost",
    };
    Some(format!("{which} ended by {key} ({})", format_count(*count)))
}
