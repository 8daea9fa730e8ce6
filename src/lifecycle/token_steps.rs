//! What a token request comes to in a client's life.
//!
//! In: the token that came, or how its request failed. Out: what is counted, and what the client does next.

use std::time::Duration;

use crate::sample::{AttemptKind, Counter, Phase};

use super::event::{Action, TokenFacts, TokenFailure};
use super::machine::Step;
use super::recovery::{Attempt, Recovery};

impl Step<'_> {
    pub(super) fn take_token(&mut self, facts: TokenFacts, fetched: bool) {
        if fetched {
            self.count(Counter::TokensFetched);
            if facts.lacks_scope {
                self.count(Counter::ScopesWithheld);
            }
        }
        self.client.token.take(facts);
    }

    /// A token was fetched for such an attempt.
    pub(super) fn count_token_for(&mut self, kind: AttemptKind) {
        match kind {
            AttemptKind::Reconnect => self.count(Counter::TokensForReconnects),
            AttemptKind::First => self.count_token_at_start(),
        }
    }

    /// The requests of the ramp with which a run begins are the harness's doing. Where clients arrive all the time, their first requests are the load.
    fn count_token_at_start(&mut self) {
        if !self.rules.arrives {
            self.count(Counter::TokenRequestsAtStart);
        }
    }

    pub(super) fn token_failed(
        &mut self,
        mut recovery: Recovery,
        attempt: Attempt,
        failure: TokenFailure,
        retry_after: Option<Duration>,
    ) -> Action {
        self.count(Counter::TokenFailures);
        if recovery.kind == AttemptKind::First {
            self.count_token_at_start();
        }
        recovery.account(Phase::Token, self.now);
        recovery.refuse(false);
        self.end_plainly(&recovery, attempt, failure.outcome(), None);
        self.next_attempt(recovery, retry_after)
    }
}
