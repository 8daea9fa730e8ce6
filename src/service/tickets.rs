//! Tickets: what routes issue and handshakes show instead of a token. Their topics.
//!
//! In: `(now, event)`. Out: where a ticket stands, which session it displaces, which ticket ends. No I/O, no clock.

use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::clock::Moment;
use crate::random::Purpose;
use crate::scenario::keys::{Evicts, Tickets};

use super::client_key::ClientKey;
use super::registry::{MOST_DEAD, Standing, TokenId, TokenRegistry};
use super::session::SessionId;

/// All tickets of a target.
#[derive(Debug)]
pub(super) struct TicketBook {
    registry: TokenRegistry,
    /// The good ones of each client id, oldest first; only where somebody asks for them.
    by_client: HashMap<ClientKey, VecDeque<TokenId>>,
    keeps_clients: bool,
    /// The newest session of each; only where there is one.
    sessions: HashMap<TokenId, SessionId>,
    topics: HashMap<TokenId, BTreeSet<String>>,
    /// The token for which each was issued; only where it ends with it.
    issued_for: HashMap<TokenId, TokenId>,
    /// The same the other way round.
    by_token: HashMap<TokenId, Vec<TokenId>>,
}

/// Too many topics for a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooManyTopics;

impl TicketBook {
    /// A book of tickets; it keeps which client has which only where it is told to.
    pub(super) fn new(seed: u64, keeps_clients: bool) -> Self {
        Self {
            keeps_clients,
            registry: TokenRegistry::of(Purpose::TargetTicket, seed, MOST_DEAD),
            by_client: HashMap::new(),
            sessions: HashMap::new(),
            topics: HashMap::new(),
            issued_for: HashMap::new(),
            by_token: HashMap::new(),
        }
    }

    /// Issues a ticket to a client, for this token. One more than it may have ends another, which is answered, too.
    pub(super) fn issue(
        &mut self,
        now: Moment,
        rules: Tickets,
        client: Option<ClientKey>,
        token: Option<TokenId>,
    ) -> (TokenId, Option<TokenId>) {
        let id = self.registry.issue(now, now + rules.life, true, client);
        if let Some(token) = token.filter(|_| rules.ends_with_token) {
            self.issued_for.insert(id, token);
            self.by_token.entry(token).or_default().push(id);
        }
        let Some(client) = client.filter(|_| self.keeps_clients) else { return (id, None) };
        self.forget_ended(now, client);
        let held = self.by_client.entry(client).or_default();
        held.push_back(id);
        if rules.per_client.is_none_or(|most| held.len() <= most as usize) {
            return (id, None);
        }
        let sessions = &self.sessions;
        let unconnected = held.iter().take(held.len() - 1).position(|ticket| !sessions.contains_key(ticket));
        let index = match rules.evicts {
            Evicts::Oldest => 0,
            Evicts::UnconnectedFirst => unconnected.unwrap_or(0),
        };
        let evicted = held.remove(index);
        if let Some(evicted) = evicted {
            self.end(evicted);
        }
        (id, evicted)
    }

    /// Lets go of the tickets of a client that have ended by themselves.
    fn forget_ended(&mut self, now: Moment, client: ClientKey) {
        let Some(held) = self.by_client.get_mut(&client) else { return };
        let (registry, mut ended) = (&self.registry, Vec::new());
        held.retain(|id| {
            let is_good = registry.is_good(now, *id);
            if !is_good {
                ended.push(*id);
            }
            is_good
        });
        for id in ended {
            self.topics.remove(&id);
            self.forget_token(id);
        }
    }

    /// Ends a ticket before its time. Its session, if it has one, is still there.
    pub(super) fn end(&mut self, id: TokenId) {
        self.registry.invalidate(id);
        self.topics.remove(&id);
        self.forget_token(id);
        if let Some(held) = self.registry.client_of(id).and_then(|client| self.by_client.get_mut(&client)) {
            held.retain(|held| *held != id);
        }
    }

    fn forget_token(&mut self, id: TokenId) {
        let Some(token) = self.issued_for.remove(&id) else { return };
        if let Some(tickets) = self.by_token.get_mut(&token) {
            tickets.retain(|ticket| *ticket != id);
            if tickets.is_empty() {
                self.by_token.remove(&token);
            }
        }
    }

    /// Ends the tickets that were issued for a token; answers with them.
    pub(super) fn end_with_token(&mut self, token: TokenId) -> Vec<TokenId> {
        let ended = self.by_token.remove(&token).unwrap_or_default();
        ended.iter().for_each(|ticket| self.end(*ticket));
        ended
    }

    pub(super) fn look_up(&self, now: Moment, text: &str) -> Standing {
        self.registry.look_up(now, text)
    }

    pub(super) fn client_of(&self, id: TokenId) -> Option<ClientKey> {
        self.registry.client_of(id)
    }

    /// The token for which a ticket was issued, where it ends with it.
    pub(super) fn token_of(&self, id: TokenId) -> Option<TokenId> {
        self.issued_for.get(&id).copied()
    }

    /// When a ticket expires.
    pub(super) fn expiry_of(&self, id: TokenId) -> Moment {
        self.registry.expiry_of(id)
    }

    /// Whether a ticket is good.
    pub(super) fn is_good(&self, now: Moment, id: TokenId) -> bool {
        self.registry.is_good(now, id)
    }

    /// The good tickets of a client, oldest first.
    pub(super) fn of_client(&self, now: Moment, client: ClientKey) -> Vec<TokenId> {
        let held = self.by_client.get(&client).into_iter().flatten();
        held.copied().filter(|id| self.registry.is_good(now, *id)).collect()
    }

    /// The session that a ticket has open.
    pub(super) fn session_of(&self, id: TokenId) -> Option<SessionId> {
        self.sessions.get(&id).copied()
    }

    /// A session was opened with a ticket; answers with the one that it displaces.
    pub(super) fn open(&mut self, id: TokenId, session: SessionId, rules: Tickets) -> Option<SessionId> {
        if rules.one_use {
            self.end(id);
        }
        let before = self.sessions.insert(id, session);
        before.filter(|_| rules.displaces)
    }

    /// A session that a ticket had opened is ending.
    pub(super) fn leave(&mut self, id: TokenId, session: SessionId) {
        if self.sessions.get(&id) == Some(&session) {
            self.sessions.remove(&id);
        }
    }

    /// The topics of a ticket, in the order of their names.
    pub(super) fn topics_of(&self, id: TokenId) -> Vec<String> {
        self.topics.get(&id).into_iter().flatten().cloned().collect()
    }

    /// Gives a ticket topics, beside those that it has or in their place.
    ///
    /// # Errors
    /// They are more than it may have; then it keeps what it had.
    pub(super) fn set_topics(
        &mut self,
        now: Moment,
        id: TokenId,
        topics: &[String],
        replaces: bool,
        rules: Tickets,
    ) -> Result<(), TooManyTopics> {
        let mut all =
            if replaces { BTreeSet::new() } else { self.topics.get(&id).cloned().unwrap_or_default() };
        all.extend(topics.iter().cloned());
        if all.len() > rules.most_topics as usize {
            return Err(TooManyTopics);
        }
        if all.is_empty() {
            self.topics.remove(&id);
        } else {
            self.topics.insert(id, all);
        }
        if rules.renewed_by_topics {
            self.registry.extend(id, now + rules.life);
        }
        Ok(())
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
        evicts: Evicts::Oldest,
        ends_with_token: true,
        most_topics: 3,
        renewed_by_topics: true,
    };

    fn at(s: u64) -> Moment {
        Moment::ZERO + Duration::from_secs(s)
    }

    fn client() -> ClientKey {
        super::super::limits::ClientLimits::default().key("c")
    }

    #[test]
    fn the_oldest_is_evicted_and_the_first_session_displaced() {
        let mut book = TicketBook::new(1, true);
        let issued: Vec<_> = (0..3).map(|_| book.issue(at(0), RULES, Some(client()), None)).collect();
        let ids: Vec<TokenId> = issued.iter().map(|(id, _)| *id).collect();
        assert_eq!(
            issued.iter().map(|(_, evicted)| *evicted).collect::<Vec<_>>(),
            [None, None, Some(ids[0])]
        );
        let stands = |book: &TicketBook, id: TokenId| book.look_up(at(0), &id.text());
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
    fn the_unconnected_are_evicted_first() {
        let rules = Tickets { evicts: Evicts::UnconnectedFirst, ..RULES };
        let mut book = TicketBook::new(1, true);
        let (first, _) = book.issue(at(0), rules, Some(client()), None);
        let (second, _) = book.issue(at(0), rules, Some(client()), None);
        book.open(first, SessionId(1), rules);
        let (third, evicted) = book.issue(at(0), rules, Some(client()), None);
        assert_eq!(evicted, Some(second));
        book.open(third, SessionId(2), rules);
        assert_eq!(book.issue(at(0), rules, Some(client()), None).1, Some(first), "all have a session");
    }

    #[test]
    fn a_ticket_for_one_use_is_used_once() {
        let rules = Tickets { one_use: true, ..RULES };
        let mut book = TicketBook::new(1, true);
        let (id, _) = book.issue(at(0), rules, None, None);
        book.open(id, SessionId(1), rules);
        assert_eq!(book.look_up(at(0), &id.text()), Standing::Stale);
    }

    #[test]
    fn topics_are_added_replaced_limited_and_renew_the_ticket() {
        let mut book = TicketBook::new(1, true);
        let (id, _) = book.issue(at(0), RULES, Some(client()), None);
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(book.set_topics(at(10), id, &names(&["b", "a", "b"]), false, RULES), Ok(()));
        assert_eq!(book.topics_of(id), ["a", "b"]);
        assert_eq!(book.set_topics(at(10), id, &names(&["c", "d"]), false, RULES), Err(TooManyTopics));
        assert_eq!(book.topics_of(id), ["a", "b"], "nothing has changed");
        assert_eq!(book.set_topics(at(20), id, &names(&["c", "d"]), true, RULES), Ok(()));
        assert_eq!((book.topics_of(id).len(), book.expiry_of(id)), (2, at(80)));
        assert_eq!(book.set_topics(at(20), id, &[], true, RULES), Ok(()));
        assert_eq!(book.topics_of(id), [""; 0]);
    }

    #[test]
    fn tickets_end_with_their_token() {
        let mut book = TicketBook::new(1, true);
        let mut tokens = TokenRegistry::new(2, 10);
        let token = tokens.issue(at(0), at(60), true, None);
        let (id, _) = book.issue(at(0), RULES, Some(client()), Some(token));
        assert_eq!(book.of_client(at(0), client()), [id]);
        assert_eq!(book.end_with_token(token), [id]);
        assert_eq!((book.end_with_token(token), book.of_client(at(0), client())), (vec![], vec![]));
    }
}
