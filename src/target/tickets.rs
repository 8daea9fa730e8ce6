//! Tickets: what routes issue and handshakes show instead of a token.
//!
//! In: `(now, event)`. Out: where a ticket stands, which session it displaces. No I/O, no clock.

use std::collections::{HashMap, VecDeque};

use crate::clock::Moment;
use crate::random::Purpose;
use crate::scenario::target_script::Tickets;

use super::limits::ClientKey;
use super::registry::{MOST_DEAD, Standing, TokenId, TokenRegistry};
use super::session::SessionId;

/// All tickets of a target.
#[derive(Debug)]
pub(super) struct TicketBook {
    registry: TokenRegistry,
    /// The good ones of each client id, oldest first; only where their number is limited.
    by_client: HashMap<ClientKey, VecDeque<TokenId>>,
    /// The session of each; only where another one displaces it.
    sessions: HashMap<TokenId, SessionId>,
}

impl TicketBook {
    pub(super) fn new(seed: u64) -> Self {
        let registry = TokenRegistry::of(Purpose::TargetTicket, seed, MOST_DEAD);
        Self { registry, by_client: HashMap::new(), sessions: HashMap::new() }
    }

    /// Issues a ticket to a client. One more than it may have ends the oldest.
    pub(super) fn issue(&mut self, now: Moment, rules: Tickets, client: Option<ClientKey>) -> TokenId {
        let id = self.registry.issue(now, now + rules.life, true, client);
        if let (Some(most), Some(client)) = (rules.per_client, client) {
            let held = self.by_client.entry(client).or_default();
            held.push_back(id);
            if held.len() > most as usize
                && let Some(oldest) = held.pop_front()
            {
                self.registry.invalidate(oldest);
            }
        }
        id
    }

    pub(super) fn look_up(&self, now: Moment, text: &str) -> Standing {
        self.registry.look_up(now, text)
    }

    pub(super) fn client_of(&self, id: TokenId) -> Option<ClientKey> {
        self.registry.client_of(id)
    }

    /// A session was opened with a ticket; answers with the one that it displaces.
    pub(super) fn open(&mut self, id: TokenId, session: SessionId, rules: Tickets) -> Option<SessionId> {
        if rules.one_use {
            self.registry.invalidate(id);
        }
        if rules.displaces { self.sessions.insert(id, session) } else { None }
    }

    /// A session that a ticket had opened is ending.
    pub(super) fn leave(&mut self, id: TokenId, session: SessionId) {
        if self.sessions.get(&id) == Some(&session) {
            self.sessions.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const RULES: Tickets = Tickets {
        life: Duration::from_secs(60),
        one_use: false,
        per_client: Some(2),
        displaces: true,
        optional: false,
    };

    #[test]
    fn the_oldest_is_evicted_and_the_first_session_displaced() {
        let mut book = TicketBook::new(1);
        let client = super::super::limits::ClientLimits::default().key("c");
        let ids: Vec<TokenId> = (0..3).map(|_| book.issue(Moment::ZERO, RULES, Some(client))).collect();
        let stands = |book: &TicketBook, id: TokenId| book.look_up(Moment::ZERO, &id.text());
        assert_eq!(stands(&book, ids[0]), Standing::Stale);
        assert_eq!(stands(&book, ids[1]), Standing::Good(ids[1]));
        assert_eq!(book.open(ids[1], SessionId(1), RULES), None);
        assert_eq!(book.open(ids[1], SessionId(2), RULES), Some(SessionId(1)));
        book.leave(ids[1], SessionId(1));
        assert_eq!(book.open(ids[1], SessionId(3), RULES), Some(SessionId(2)));
        book.leave(ids[1], SessionId(3));
        assert_eq!(book.open(ids[1], SessionId(4), RULES), None);
    }

    #[test]
    fn a_ticket_for_one_use_is_used_once() {
        let rules = Tickets { one_use: true, ..RULES };
        let mut book = TicketBook::new(1);
        let id = book.issue(Moment::ZERO, rules, None);
        book.open(id, SessionId(1), rules);
        assert_eq!(book.look_up(Moment::ZERO, &id.text()), Standing::Stale);
    }
}
