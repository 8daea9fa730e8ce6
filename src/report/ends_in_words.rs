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
    let times = format_count(*count);
    Some(match all {
        1 => format!("the session that was lost ended by {key} (1)"),
        _ if *count == all => format!("all sessions that were lost ended by {key} ({times})"),
        _ if 2 * count > all => format!("most sessions that were lost ended by {key} ({times})"),
        // More than by any other, but no majority.
        _ => format!(
            "{times} of {} sessions that were lost ended by {key}, the others otherwise",
            format_count(all)
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{Abnormal, Said, Word};

    #[test]
    fn ends_are_summed_by_who_and_how_whatever_else_was_said() {
        let idle = CloseKey {
            said: Said::by_target(Word::Code(1001)),
            ..CloseKey::unsaid(Initiator::Target, 1001, None)
        };
        let crossed = CloseKey { said: Said { target: Word::Code(1001), client: Word::Code(1000) }, ..idle };
        let goodbye = CloseKey::unsaid(Initiator::Client, 1000, None);
        let cut = CloseKey::unsaid(Initiator::Network, 1006, Some(Abnormal::Rst));
        type Row<'a> = (&'a [(CloseKey, u64)], Option<&'a str>);
        let left = CloseKey::unsaid(Initiator::Client, 4000, None);
        let rows: [Row<'_>; 6] = [
            (&[(goodbye, 3)], None),
            (&[(idle, 1)], Some("the session that was lost ended by target 1001 (1)")),
            (
                &[(idle, 7), (crossed, 2), (goodbye, 90)],
                Some("all sessions that were lost ended by target 1001 (9)"),
            ),
            (
                &[(idle, 2), (crossed, 2), (cut, 3)],
                Some("most sessions that were lost ended by target 1001 (4)"),
            ),
            (&[(idle, 2), (cut, 3)], Some("most sessions that were lost ended by network 1006 (rst) (3)")),
            (
                &[(idle, 2), (cut, 4), (left, 3)],
                Some("4 of 9 sessions that were lost ended by network 1006 (rst), the others otherwise"),
            ),
        ];
        for (closes, expected) in rows {
            let counters = [(Counter::Disconnects, 1)].into();
            let tally = Tally { closes: closes.iter().copied().collect(), counters, ..Tally::default() };
            assert_eq!(what_ended_sessions(&tally).as_deref(), expected);
        }
    }
}
