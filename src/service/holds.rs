//! What a session was opened with, and what its end means for the session.
//!
//! In: `(now, event)`: revocations, evictions, expiries. Out: which sessions are to be told that what they hold has ended. No I/O,
//! no clock.

use crate::clock::Moment;
use crate::scenario::keys::TargetRules;

use super::open::{Holds, Open};
use super::registry::TokenId;
use super::rules::TargetState;
use super::session::SessionId;

impl TargetState {
    /// A session holds this from now on.
    pub(super) fn pick_up(&mut self, holds: Holds, session: SessionId) {
        if let (Holds::Token(token), true) = (holds, ends_at_revocation(&self.rules)) {
            self.holders.entry(token).or_default().push(session);
        }
    }

    /// A session holds this no more.
    pub(super) fn put_down(&mut self, holds: Holds, session: SessionId) {
        let Holds::Token(token) = holds else { return };
        if let Some(sessions) = self.holders.get_mut(&token) {
            sessions.retain(|held| *held != session);
            if sessions.is_empty() {
                self.holders.remove(&token);
            }
        }
    }

    /// Ends a token's life, and what depends on it: tickets that end with it, sessions that may not outlive it.
    pub(super) fn invalidate(&mut self, token: TokenId) {
        self.tokens.invalidate(token);
        if let Some(sessions) = self.holders.remove(&token) {
            self.hold_ended.extend(sessions);
        }
        for ticket in self.tickets.end_with_token(token) {
            self.tell_ticket_end(ticket);
        }
    }

    /// Ends a ticket's life.
    pub(super) fn end_ticket(&mut self, ticket: TokenId) {
        self.tickets.end(ticket);
        self.tell_ticket_end(ticket);
    }

    pub(super) fn tell_ticket_end(&mut self, ticket: TokenId) {
        if self.rules.ticket_end.is_told() {
            self.hold_ended.extend(self.tickets.session_of(ticket));
        }
    }

    /// The sessions whose token or ticket has ended since this was last asked, each to be told.
    pub fn take_hold_ended(&mut self) -> Vec<SessionId> {
        std::mem::take(&mut self.hold_ended)
    }

    /// When what a session holds ends by itself, where it is told of it; else never.
    #[must_use]
    pub fn hold_end(&self, session: SessionId) -> Moment {
        self.sessions.get(&session).map_or(Moment::NEVER, |open| self.end_of(open.holds()))
    }

    pub(super) fn end_of(&self, holds: Holds) -> Moment {
        match (holds, self.rules.token_end) {
            (Holds::Token(token), Some(end)) => self.tokens.expiry_of(token) + end.grace,
            (Holds::Ticket(ticket), _) if self.rules.ticket_end.is_told() => {
                let token = self.tickets.token_of(ticket).map(|token| self.tokens.expiry_of(token));
                self.tickets.expiry_of(ticket).min(token.unwrap_or(Moment::NEVER))
            }
            _ => Moment::NEVER,
        }
    }

    /// Whether a session holds a ticket, and not a token.
    #[must_use]
    pub fn holds_ticket(&self, session: SessionId) -> bool {
        matches!(self.sessions.get(&session).map(Open::holds), Some(Holds::Ticket(_)))
    }

    /// Revokes the token or refresh token of that text (RFC 7009 §2.1); of an unknown one nothing is said (§2.2).
    pub fn revoke(&mut self, text: &str) {
        if let Some(token) = self.writer.read(text).and_then(|id| self.tokens.find(&id)) {
            self.invalidate(token);
        }
        if let Some(token) = self.refresh_tokens.find(text) {
            self.refresh_tokens.invalidate(token);
            self.families.take(self.refresh_tokens.family_of(token));
        }
    }

    /// Revokes this share of the access tokens that are good now, at random; answers with how many.
    pub fn revoke_share(&mut self, now: Moment, fraction: f64) -> u64 {
        let mut living: Vec<TokenId> = self.tokens.living(now).collect();
        // The order of a hash map is no order: the same seed is to strike the same tokens.
        living.sort_unstable();
        let wanted = (living.len() as f64 * fraction.clamp(0.0, 1.0)).round() as usize;
        // The first `wanted` places of a random order (Fisher and Yates).
        for place in 0..wanted {
            let left = living.len() - place;
            let pick = place + ((self.storms.next_unit() * left as f64) as usize).min(left - 1);
            living.swap(place, pick);
        }
        living.truncate(wanted);
        living.iter().for_each(|token| self.invalidate(*token));
        living.len() as u64
    }
}

fn ends_at_revocation(rules: &TargetRules) -> bool {
    rules.token_end.is_some_and(|end| end.at_revocation)
}
