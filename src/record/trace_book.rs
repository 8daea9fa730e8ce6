//! The traces of refused attempts, while the run goes on.
//!
//! In: what samples tell. Out: a note for each that is new. Bounded by groups, outcomes and causes.

use std::collections::BTreeMap;

use crate::clock::Moment;
use crate::sample::{Cause, GroupId, Outcome, Traced};

use super::note::Note;
use super::traces::RefusedTrace;

/// The traces of a run under way.
#[derive(Debug, Default)]
pub(super) struct TraceBook {
    last: BTreeMap<(u16, Outcome, Option<Cause>), RefusedTrace>,
}

impl TraceBook {
    /// Takes in a trace; those of attempts that were let in, or cut off by the run's end, are left out.
    pub(super) fn take(&mut self, group: GroupId, at: Moment, traced: &Traced) {
        let Traced { id, outcome, cause } = *traced;
        if !matches!(outcome, Outcome::Ok | Outcome::Aborted) {
            let told = RefusedTrace { group: group.0, outcome, cause, at_us: at.as_us(), trace_id: id };
            self.last.insert(told.key(), told);
        }
    }

    /// Puts those that are new among the notes: once in a minute of the run, for they are told again as long as there are such; and at its end (`None`).
    pub(super) fn note(&mut self, second: Option<u64>, notes: &mut Vec<Note>) {
        if second.is_none_or(|second| second.is_multiple_of(60)) {
            notes.extend(std::mem::take(&mut self.last).into_values().map(Note::Refused));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::traces::settled_traces;
    use super::*;
    use crate::sample::TraceId;

    #[test]
    fn the_last_refusal_of_each_cause_is_kept_whatever_the_order_of_shards() {
        let mut book = TraceBook::default();
        let mut take = |at: u64, outcome, cause, id| {
            book.take(
                GroupId(0),
                Moment::from_ns(at * 1_000),
                &Traced { id: TraceId::of(id), outcome, cause },
            );
        };
        take(1, Outcome::Http403, Some(Cause::StaleToken), 1);
        take(2, Outcome::Http403, Some(Cause::StaleToken), 2);
        take(3, Outcome::Http403, Some(Cause::Unknown), 3);
        take(4, Outcome::Ok, None, 4);
        take(5, Outcome::Aborted, None, 5);
        let mut notes = Vec::new();
        book.note(Some(61), &mut notes);
        assert!(notes.is_empty(), "not yet");
        book.note(Some(120), &mut notes);
        book.note(None, &mut notes);
        let told: Vec<RefusedTrace> = notes
            .into_iter()
            .filter_map(|note| match note {
                Note::Refused(told) => Some(told),
                _ => None,
            })
            .collect();
        assert_eq!(told.len(), 2, "once");
        let late = RefusedTrace { at_us: 9, trace_id: TraceId::of(9), ..told[0].clone() };
        let ids = |order: &[&RefusedTrace]| -> Vec<TraceId> {
            settled_traces(order.iter().copied()).iter().map(|trace| trace.trace_id).collect()
        };
        let expected = [TraceId::of(9), TraceId::of(3)];
        assert_eq!(ids(&[&told[0], &told[1], &late]), expected);
        assert_eq!(ids(&[&late, &told[1], &told[0]]), expected);
        let json = serde_json::to_string(&told[0]).unwrap();
        assert!(json.contains("\"trace_id\":\"00000000000000000000000000000002\""), "{json}");
        assert_eq!(serde_json::from_str::<RefusedTrace>(&json).unwrap(), told[0]);
    }
}
