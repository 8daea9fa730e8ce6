//! The token that a group shares: held, waited for, fetched by one of its clients.
//!
//! In: what a client needs. Out: the token, or that this client is to fetch it. Who leads and who waits is the lifecycle's rule.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::lifecycle::{SharedTokens, TokenFacts, TokenFailure, TokenVerdict};
use crate::sample::RequestAnswer;

use super::answer::{Acquired, Refusal, Token, Wish};

/// The token of a group that shares one.
#[derive(Debug)]
pub(super) struct SharedToken {
    /// Whether only one request for it is under way at a time.
    is_single_flight: bool,
    state: Mutex<SharedState>,
    settled: Notify,
}

#[derive(Debug, Default)]
struct SharedState {
    rules: SharedTokens,
    token: Option<Token>,
    refresh: Option<Token>,
    /// How the last request ended, and how many there have been.
    requests: u64,
    failure: Option<Refusal>,
}

/// What a client that needs the token has got.
pub(super) enum Share<'a> {
    /// The token.
    Token(Acquired),
    /// The task to fetch it.
    Lead(Flight<'a>),
}

/// A request for the group; settled when dropped, whatever became of it.
pub(super) struct Flight<'a> {
    shared: &'a SharedToken,
    result: Result<(TokenFacts, Token, Option<Token>), Refusal>,
}

impl SharedToken {
    pub(super) fn new(is_single_flight: bool) -> Self {
        Self { is_single_flight, state: Mutex::default(), settled: Notify::new() }
    }

    /// Takes the token that is there, waits for the request under way, or leads.
    pub(super) async fn request(&self, wish: &Wish) -> Result<Share<'_>, Refusal> {
        loop {
            let settled = self.settled.notified();
            tokio::pin!(settled);
            let request = {
                let mut state = self.lock();
                match state.rules.request(wish.not_before, wish.valid_until) {
                    TokenVerdict::Use(facts) => {
                        let token = state.token.clone().ok_or(TokenFailure::Error)?;
                        return Ok(Share::Token(Acquired::from_cache(token, facts)));
                    }
                    TokenVerdict::Wait if self.is_single_flight => {
                        settled.as_mut().enable();
                        state.requests
                    }
                    TokenVerdict::Wait | TokenVerdict::Lead => return Ok(Share::Lead(self.flight())),
                }
            };
            settled.await;
            let state = self.lock();
            if let Some(refusal) = state.failure.filter(|_| state.requests == request + 1) {
                return Err(refusal);
            }
        }
    }

    const fn flight(&self) -> Flight<'_> {
        Flight {
            shared: self,
            result: Err(Refusal::of(TokenFailure::Error, RequestAnswer::ConnectionBroken)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, SharedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flight<'_> {
    /// The refresh token that the group holds.
    pub(super) fn refresh(&self) -> Option<Token> {
        self.shared.lock().refresh.clone()
    }

    /// Ends it with what came. If it is dropped instead, the next client leads.
    pub(super) fn settle(mut self, fetched: &Result<Acquired, Refusal>) {
        self.result = match fetched {
            Ok(acquired) => Ok((acquired.facts, Arc::clone(&acquired.token), acquired.refresh.clone())),
            Err(refusal) => Err(*refusal),
        };
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.requests += 1;
        state.failure = self.result.as_ref().err().copied();
        state.rules.settle(self.result.as_ref().ok().map(|(facts, _, _)| *facts));
        if let Ok((_, token, refresh)) = &self.result {
            state.token = Some(Arc::clone(token));
            if refresh.is_some() {
                state.refresh.clone_from(refresh);
            }
        }
        drop(state);
        self.shared.settled.notify_waiters();
    }
}
