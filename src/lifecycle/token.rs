//! Whether the next handshake needs a new token, and when a token is to be refreshed.
//!
//! In: the group's token rules, what is known of the token in hand, why one might be needed. Out: a [`TokenNeed`] or a
//! moment. No I/O, no state.

use std::time::Duration;

use crate::clock::Moment;
use crate::random::Draws;
use crate::sample::AttemptKind;
use crate::scenario::keys::{Grant, OnReconnect, Sharing, Skew, TokenRules};

use super::event::TokenFacts;

/// A token is not refreshed sooner than this after it came.
const LEAST_REFRESH: Duration = Duration::from_millis(500);

/// A token that a request must bring: the bounds of [`super::Action::FetchToken`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TokenNeed {
    pub(super) not_before: Moment,
    pub(super) valid_until: Moment,
}

/// What a client holds and what happened to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct TokenState {
    /// The token in hand.
    pub(super) facts: Option<TokenFacts>,
    /// A disconnect or a refusal calls for a token requested no earlier than this.
    pub(super) wanted_since: Option<Moment>,
}

impl TokenState {
    /// Takes a token that has come.
    pub(super) fn take(&mut self, facts: TokenFacts) {
        self.facts = Some(facts);
        if self.wanted_since.is_some_and(|since| facts.requested >= since) {
            self.wanted_since = None;
        }
    }

    /// Something calls for a token that is requested no earlier than now.
    pub(super) const fn want(&mut self, now: Moment) {
        self.wanted_since = Some(now);
    }

    /// What the attempt that begins now needs; `None`: the token in hand will do, or none is used. A shared token is
    /// asked for `at_first` in any case: the cache may hold a newer one than this client has seen.
    pub(super) fn need(
        &self,
        rules: &TokenRules,
        kind: AttemptKind,
        now: Moment,
        at_first: bool,
    ) -> Option<TokenNeed> {
        if matches!(rules.grant, Grant::Fixed(_)) {
            return None;
        }
        let valid_until = rules.refresh_before_expiry.map_or(Moment::ZERO, |margin| now + margin);
        let not_before = self.not_before(rules, kind, now);
        let will_do =
            self.facts.is_some_and(|facts| facts.requested >= not_before && facts.expires >= valid_until);
        let ask = !will_do || (at_first && rules.sharing != Sharing::Own);
        ask.then_some(TokenNeed { not_before, valid_until })
    }

    fn not_before(&self, rules: &TokenRules, kind: AttemptKind, now: Moment) -> Moment {
        let by_age = match rules.on_reconnect {
            OnReconnect::FetchIfOlderThan(age) if kind == AttemptKind::Reconnect => {
                Moment::from_ns(now.as_ns().saturating_sub(u64::try_from(age.as_nanos()).unwrap_or(u64::MAX)))
            }
            _ => Moment::ZERO,
        };
        by_age.max(self.wanted_since.unwrap_or(Moment::ZERO))
    }

    /// When the token in hand is to be refreshed while a session lasts. A token that lives no longer than the
    /// margin is refreshed at half its life, but never sooner than a refresh makes sense: a token that is dead on arrival
    /// must not make its client ask without end. The jitter is the token's: were it drawn anew for each session, those that come back together
    /// would find their draw in the past, and refresh together.
    pub(super) fn refresh_due(&self, rules: &TokenRules, draws: &Draws) -> Option<Moment> {
        let margin = rules.refresh_before_expiry?;
        let facts = self.facts?;
        let earlier = match rules.refresh_jitter {
            0.0 => Duration::ZERO,
            share => margin.mul_f64(share * draws.unit_of(facts.received.as_us())),
        };
        let margin = margin + earlier;
        if matches!(rules.grant, Grant::Fixed(_)) || facts.expires == Moment::NEVER {
            return None;
        }
        let life = facts.expires.since(facts.received);
        Some(facts.received + life.saturating_sub(margin).max(life / 2).max(LEAST_REFRESH))
    }
}

/// How long to wait after a failed refresh before the next: a quarter of the margin, at least a second.
pub(super) fn refresh_retry(rules: &TokenRules) -> Duration {
    rules
        .refresh_before_expiry
        .map_or(Duration::from_secs(1), |margin| (margin / 4).max(Duration::from_secs(1)))
}

/// Whether a disconnect with this close code calls for a new token.
pub(super) fn disconnect_wants_token(rules: &TokenRules, code: u16) -> bool {
    rules.on_reconnect == OnReconnect::Fetch
        && rules.fetch_on_codes.as_ref().is_none_or(|codes| codes.contains(&code))
}

/// When a token that came at `received` expires, as far as a client with a clock of this skew believes; [`Moment::NEVER`] where the
/// endpoint gave it no life.
#[must_use]
pub fn believed_expiry(received: Moment, life: Option<Duration>, skew: Option<Skew>) -> Moment {
    life.map_or(Moment::NEVER, |life| {
        received
            + match skew {
                None => life,
                Some(Skew::Longer(by)) => life.saturating_add(by),
                Some(Skew::Shorter(by)) => life.saturating_sub(by),
            }
    })
}

#[cfg(test)]
mod tests {
    use super::super::machine::tests::token_rules;
    use super::*;
    use crate::random::Purpose;

    #[test]
    fn a_clock_that_is_wrong_moves_the_expiry_and_never_before_the_token_came() {
        let s = Duration::from_secs;
        let came = Moment::ZERO + s(100);
        // (life, skew, seconds from when it came)
        let rows = [
            (60, None, 60),
            (60, Some(Skew::Longer(s(30))), 90),
            (60, Some(Skew::Shorter(s(30))), 30),
            (60, Some(Skew::Shorter(s(90))), 0),
        ];
        for (life, skew, after) in rows {
            assert_eq!(believed_expiry(came, Some(s(life)), skew), came + s(after), "{life} {skew:?}");
        }
        assert_eq!(believed_expiry(came, None, Some(Skew::Longer(s(30)))), Moment::NEVER);
    }

    #[test]
    fn the_jitter_of_a_refresh_is_the_tokens_whenever_it_is_asked_for() {
        let mut rules = token_rules(OnReconnect::Reuse);
        rules.refresh_before_expiry = Some(Duration::from_secs(10));
        rules.refresh_jitter = 1.0;
        let at = |s: u64| Moment::from_ns(s * 1_000_000_000);
        let due = |received: u64, client: u32| {
            let facts = TokenFacts::new(at(received), at(received), at(received + 100));
            let state = TokenState { facts: Some(facts), wanted_since: None };
            let mut draws = Draws::new(1, Purpose::Lifecycle, client);
            let first = state.refresh_due(&rules, &draws);
            draws.next_u64();
            assert_eq!(state.refresh_due(&rules, &draws), first, "a backoff in between changes nothing");
            first.unwrap().since(at(received)).as_secs_f64()
        };
        let all: Vec<f64> = (0..50).map(|client| due(5, client)).collect();
        assert!(all.iter().all(|due| (80.0..=90.0).contains(due)), "{all:?}");
        let distinct: std::collections::BTreeSet<u64> = all.iter().map(|due| (due * 1e6) as u64).collect();
        assert_eq!(distinct.len(), 50, "each client at its own moment");
        assert!((due(5, 1) - due(6, 1)).abs() > 1e-6, "and each token");
    }
}
