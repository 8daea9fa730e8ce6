//! Requests counted in windows of time.
//!
//! In: `(now, whose request, limit)`. Out: where the window stands. No I/O, no clock.

use std::collections::HashMap;
use std::time::Duration;

use crate::clock::Moment;
use crate::scenario::keys::WindowLimit;

use super::client_key::ClientKey;
use super::registry::TokenId;

/// What is counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Counted {
    /// The requests with one token for the route of that index.
    Route(usize, TokenId),
    /// The requests with one token, by the limit of that index.
    Token(usize, TokenId),
    /// The requests of one client id, by the limit of that index.
    Client(usize, ClientKey),
    /// The token requests of one client id.
    TokenRequests(ClientKey),
    /// The handshakes of one client id.
    Handshakes(ClientKey),
}

/// The requests in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// How many were counted.
    pub count: u32,
    /// How many are allowed.
    pub allowed: u32,
    /// How long until the window ends.
    pub reset: Duration,
}

impl Usage {
    /// Whether it is one too many.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.count > self.allowed
    }
}

/// All windows: when each ends, and how many it has counted.
#[derive(Debug, Default)]
pub(super) struct Windows {
    open: HashMap<Counted, (Moment, u32)>,
    /// At this many, those that have ended are dropped.
    clear_at: usize,
}

/// This many windows are kept before those that have ended are looked for.
const CLEAR_AT: usize = 10_000;

impl Windows {
    /// Counts a request.
    pub(super) fn count(&mut self, now: Moment, what: Counted, limit: WindowLimit) -> Usage {
        if self.open.len() >= self.clear_at.max(CLEAR_AT) {
            self.open.retain(|_, (end, _)| now < *end);
            // Twice what is left: the work of looking stays in proportion to the requests.
            self.clear_at = 2 * self.open.len();
        }
        let window = self.open.entry(what).or_insert((now + limit.per, 0));
        if now >= window.0 {
            *window = (now + limit.per, 0);
        }
        window.1 = window.1.saturating_add(1);
        Usage { count: window.1, allowed: limit.count, reset: window.0.since(now) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: WindowLimit =
        WindowLimit { count: 2, per: Duration::from_secs(10), status: 429, retry_after: true };

    fn at(s: u64) -> Moment {
        Moment::ZERO + Duration::from_secs(s)
    }

    #[test]
    fn a_window_begins_with_its_first_request_and_counts_what_belongs_together() {
        let mut windows = Windows::default();
        let key = super::super::limits::ClientLimits::default().key("a");
        let (requests, other) = (Counted::TokenRequests(key), Counted::Client(0, key));
        let usages = [5, 6, 14, 15].map(|s| windows.count(at(s), requests, LIMIT));
        assert_eq!(
            usages.map(|usage| (usage.count, usage.is_over())),
            [(1, false), (2, false), (3, true), (1, false)]
        );
        assert_eq!(usages[2].reset, Duration::from_secs(1));
        assert_eq!(windows.count(at(15), other, LIMIT).count, 1);
    }

    #[test]
    fn windows_that_have_ended_are_dropped() {
        let mut windows = Windows::default();
        let mut limits = super::super::limits::ClientLimits::default();
        for n in 0..50_000_u64 {
            let key = limits.key(&n.to_string());
            windows.count(at(n), Counted::Client(0, key), LIMIT);
        }
        assert!(windows.open.len() <= CLEAR_AT, "{}", windows.open.len());
    }
}
