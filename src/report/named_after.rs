//! After which mark an outage is named.
//!
//! In: the marks of a run, in the order of time; when an outage began, and how its sessions ended. Out: a mark, where there is one.

use crate::record::outages::OutageIn;
use crate::record::{Mark, mark_behind};
use crate::sample::Abnormal;

/// So much earlier than its mark an outage may begin: what a mark is made of takes time to be told.
const EARLIER_US: u64 = 500_000;

/// What is asked of an outage.
#[derive(Debug, Clone, Copy)]
pub(super) struct Losses {
    first_us: u64,
    last_us: u64,
    /// Whether its sessions ended by silence.
    is_silence: bool,
}

impl Losses {
    /// Of an outage.
    pub(super) fn of(outage: &OutageIn) -> Self {
        let most = outage.ends.first();
        let is_silence = most.is_some_and(|(key, _)| key.abnormal == Some(Abnormal::Timeout));
        Self { first_us: outage.first_us, last_us: outage.last_us, is_silence }
    }

    /// Until when a mark may be made that silenced them: each was lost when it was last heard of, which is before what silenced it, and the
    /// more clients there are, the less.
    const fn silenced_until(&self) -> u64 {
        let spread = (self.last_us - self.first_us) / 4;
        self.last_us.saturating_add(if spread > EARLIER_US { spread } else { EARLIER_US })
    }
}

/// The mark that an outage follows: the last in whose window it begins. One of silence follows what was done while its clients were last heard of.
pub(super) fn named_after(marks: &[Mark], losses: Losses) -> Option<&Mark> {
    let silenced =
        || marks.iter().find(|mark| (losses.first_us..=losses.silenced_until()).contains(&mark.at_us));
    if let Some(mark) = losses.is_silence.then(silenced).flatten() {
        return Some(mark);
    }
    let told_late = marks.iter().rev().find(|mark| {
        mark.at_us > losses.first_us && mark.at_us <= losses.first_us.saturating_add(EARLIER_US)
    });
    told_late.or_else(|| mark_behind(marks, losses.first_us))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::MarkBy;

    fn mark(number: u32, at_us: u64, names_until_us: u64) -> Mark {
        let (by, names_until_us) = (MarkBy::Event, Some(names_until_us));
        let name = format!("m{number}");
        Mark {
            number,
            name,
            by,
            at_us,
            until_us: None,
            names_until_us,
            does: None,
            outcome: None,
            storm: None,
        }
    }

    #[test]
    fn an_outage_follows_the_mark_in_whose_window_it_begins_and_silence_what_silenced_it() {
        let marks = [mark(1, 1_000_000, 9_000_000), mark(2, 20_000_000, 30_000_000)];
        let rows = [
            // (first, last, whether it is silence, the mark)
            (900_000, 900_000, false, Some(1)),
            (400_000, 900_000, false, None),
            (9_000_000, 9_900_000, false, Some(1)),
            (9_000_001, 9_900_000, false, None),
            (19_600_000, 20_100_000, false, Some(2)),
            // Last heard of up to ten seconds before it, the last of them just before.
            (10_000_000, 19_900_000, false, None),
            (10_000_000, 19_900_000, true, Some(2)),
            (10_000_000, 17_600_000, true, None),
            (2_000_000, 3_000_000, true, Some(1)),
        ];
        for (first_us, last_us, is_silence, expected) in rows {
            let losses = Losses { first_us, last_us, is_silence };
            let found = named_after(&marks, losses).map(|mark| mark.number);
            assert_eq!(found, expected, "{losses:?}");
        }
    }
}
