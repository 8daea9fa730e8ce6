//! What handshakes carry that may be refused: a token or a signature, with its age.
//!
//! In: when a handshake passed its stages, what the client holds. Out: how old that was, and whether its life was over; when the attempt began that it belongs to.

use std::time::Duration;

use crate::clock::Moment;
use crate::sample::Phase;
use crate::scenario::keys::Grant;

use super::event::{Marks, TokenFacts};
use super::history::Carried;
use super::machine::{Client, State, Step};
use super::recovery::Recovery;

impl Client {
    /// When the attempt began whose requests are under way; `None`: none are.
    #[must_use]
    pub const fn attempt_began(&self) -> Option<Moment> {
        match &self.state {
            State::Token { attempt, .. }
            | State::Preparing { attempt, .. }
            | State::Connecting { attempt, .. } => Some(attempt.began),
            _ => None,
        }
    }
}

impl Step<'_> {
    /// A signature is to the client what a token is to others: it has an age and a life.
    pub(super) fn take_marks(&mut self, recovery: &mut Recovery, marks: &Marks) {
        if marks.signed.is_some() {
            recovery.account(Phase::Token, marks.began);
        }
        if let (Some(at), Some(life), None) = (marks.signed, self.rules.signature_life, &self.rules.token) {
            self.client.token.take(TokenFacts::new(at, at, at + life));
        }
        recovery.account_marks(marks);
    }

    /// How old the token was that a handshake carried; `None` where it carried none that was fetched, or was not sent.
    pub(super) fn token_age(&self, marks: &Marks) -> Option<Duration> {
        let fetched = self.rules.token.as_ref().is_some_and(|token| !matches!(token.grant, Grant::Fixed(_)));
        let facts = self.client.token.facts.filter(|_| fetched || self.rules.shows_signature())?;
        Some(marks.tls?.since(facts.received))
    }

    /// The token that what was sent then, and answered by now, carried; `None`: none that was fetched.
    pub(super) fn carried(&self, sent: Moment) -> Option<Carried> {
        if self.rules.token.is_none() && !self.rules.shows_signature() {
            return None;
        }
        let TokenFacts { requested, received, life_ends, lacks_scope, .. } = self.client.token.facts?;
        let issued_before = received.since(requested);
        Some(Carried {
            requested,
            expired: life_ends <= sent,
            may_have_expired: life_ends <= self.now + issued_before,
            lacks_scope,
        })
    }
}
