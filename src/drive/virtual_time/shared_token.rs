//! What a group's clients share at the token endpoint: one token, a number of connections.
//!
//! In: requests that need the token, or a connection. Out: which of them goes out, which waits for another, and what they get.

use std::collections::VecDeque;

use crate::clock::Moment;
use crate::lifecycle::TokenFacts;
use crate::lifecycle::{SharedTokens, TokenVerdict};
use crate::scenario::keys::{Sharing, TokenConnection, TokenRules};
use crate::service::handle::TokenHandle;

use super::slab::Key;

/// The token of a group that shares one.
#[derive(Debug, Default)]
pub(super) struct SharedToken {
    rules: SharedTokens,
    token: Option<TokenHandle>,
    refresh: Option<TokenHandle>,
    /// Requests that wait for the one under way.
    waiting: Vec<Key>,
    is_single_flight: bool,
    /// Requests under way.
    in_flight: u32,
    most_in_flight: u32,
}

/// What a request for a shared token comes to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Share {
    /// The token that is there.
    Use(TokenFacts, Option<TokenHandle>),
    /// It waits for the request under way.
    Wait,
    /// It fetches the token.
    Lead,
}

impl SharedToken {
    /// The shared token of a group with these rules, if it has one.
    pub(super) fn of(rules: &TokenRules) -> Option<Self> {
        let is_single_flight = rules.sharing == Sharing::Group;
        (rules.sharing != Sharing::Own).then(|| Self { is_single_flight, ..Self::default() })
    }

    /// A request needs a token that was asked for no earlier than `not_before` and is valid until `valid_until`.
    pub(super) fn request(&mut self, key: Key, not_before: Moment, valid_until: Moment) -> Share {
        match self.rules.request(not_before, valid_until) {
            TokenVerdict::Use(facts) => Share::Use(facts, self.token),
            TokenVerdict::Wait if self.is_single_flight => {
                self.waiting.push(key);
                Share::Wait
            }
            TokenVerdict::Wait | TokenVerdict::Lead => {
                self.in_flight += 1;
                self.most_in_flight = self.most_in_flight.max(self.in_flight);
                Share::Lead
            }
        }
    }

    /// The refresh token that a request shows.
    pub(super) const fn refresh(&self) -> Option<TokenHandle> {
        self.refresh
    }

    /// A request that fetched the token has ended: what it brought. Answers with those who wait for it.
    pub(super) fn settle(&mut self, brought: Option<Brought>) -> Vec<Key> {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.rules.settle(brought.map(|brought| brought.facts));
        if let Some(Brought { token, refresh, .. }) = brought {
            self.token = Some(token);
            self.refresh = refresh.or(self.refresh);
        }
        std::mem::take(&mut self.waiting)
    }

    /// How many requests were under way at once where it must be one; `None`: no more than that.
    pub(super) fn too_many(&self) -> Option<u32> {
        (self.is_single_flight && self.most_in_flight > 1).then_some(self.most_in_flight)
    }
}

/// What a request for a shared token brought.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Brought {
    pub(super) facts: TokenFacts,
    pub(super) token: TokenHandle,
    pub(super) refresh: Option<TokenHandle>,
}

/// Connections to the token endpoint, where they are limited.
#[derive(Debug)]
pub(super) struct Pool {
    free: u32,
    waiting: VecDeque<Key>,
}

impl Pool {
    /// The pool of a group with these rules, if it has one.
    pub(super) fn of(rules: &TokenRules) -> Option<Self> {
        let pool = Self { free: rules.max_connections, waiting: VecDeque::new() };
        (rules.connection == TokenConnection::Pooled && !rules.grant.is_minted()).then_some(pool)
    }

    /// Takes a connection, if one is free; else the request waits for one.
    pub(super) fn take(&mut self, key: Key) -> bool {
        if self.free == 0 {
            self.waiting.push_back(key);
            return false;
        }
        self.free -= 1;
        true
    }

    /// A connection is free again. Answers with the first that waits for it and is still there.
    pub(super) fn release(&mut self, waits: impl Fn(Key) -> bool) -> Option<Key> {
        // One that was cut off meanwhile is passed over.
        while let Some(next) = self.waiting.pop_front() {
            if waits(next) {
                return Some(next);
            }
        }
        self.free += 1;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn key(index: u32) -> Key {
        Key { index, generation: 0 }
    }

    #[test]
    fn a_connection_goes_to_the_first_that_still_waits() {
        let mut pool = Pool { free: 1, waiting: VecDeque::new() };
        assert_eq!([1, 2, 3].map(|index| pool.take(key(index))), [true, false, false]);
        assert_eq!(pool.release(|waiting| waiting != key(2)), Some(key(3)));
        assert_eq!(pool.release(|_| true), None);
        assert!(pool.take(key(4)), "it is free again");
    }

    #[test]
    fn where_flights_are_single_the_others_wait_for_the_first() {
        let far = Moment::from_ns(1_000);
        let request = |shared: &mut SharedToken, index| shared.request(key(index), Moment::ZERO, far);
        let mut single = SharedToken { is_single_flight: true, ..SharedToken::default() };
        assert_eq!(
            [1, 2, 3].map(|index| request(&mut single, index)),
            [Share::Lead, Share::Wait, Share::Wait]
        );
        assert_eq!((single.settle(None), single.too_many()), (vec![key(2), key(3)], None));
        let mut many = SharedToken::default();
        assert_eq!([1, 2].map(|index| request(&mut many, index)), [Share::Lead, Share::Lead]);
        assert_eq!((many.settle(None), many.too_many(), many.most_in_flight), (Vec::new(), None, 2));
    }
}
