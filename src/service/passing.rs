//! Messages of the target's row as they pass, in its state.
//!
//! In: a session, a place of the row. Out: counts.

use super::counters::TargetCounters;
use super::open::Open;
use super::rules::TargetState;
use super::session::SessionId;

impl TargetState {
    /// A session's message was sent, or, of topics, lost: it stood at this place.
    pub fn pass_message(&mut self, session: SessionId, sequence: u64) {
        let Some(book) = &mut self.topics else { return self.count_message_sent() };
        let client = self.sessions.get(&session).and_then(Open::stream);
        let times = book.pass(client, session, sequence);
        (0..times).for_each(|_| self.count_message_sent());
    }

    /// All counts, once no session is open any more, with what clients must have heard of topics.
    #[must_use]
    pub fn final_counters(&self) -> TargetCounters {
        let topics = self.topics.as_ref().map(|book| book.with_truth());
        TargetCounters { topics, ..self.counters() }
    }
}
