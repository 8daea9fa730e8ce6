//! Families of tokens: what descends from one grant, and ends when a used refresh token of it is shown again (RFC 9700 §4.14.2).
//!
//! In: tokens that are issued, by the refresh token that was shown for them. Out: the tokens that end. No I/O, no clock.

use std::collections::BTreeMap;

use crate::clock::Moment;
use crate::scenario::keys::{OnReuse, TargetRules};

use super::registry::{TokenId, TokenRegistry};

/// Families that are kept before those are looked for whose refresh token is dead.
const SLACK: usize = 64;

/// What descends from one grant: where refresh tokens rotate, there is one living refresh token at most.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) refresh: TokenId,
    /// Its access tokens that may be alive; only where they end with it.
    pub(super) access: Vec<TokenId>,
}

/// The families that a reuse can end.
#[derive(Debug)]
pub(super) struct Families {
    on_reuse: OnReuse,
    last: u32,
    by_number: BTreeMap<u32, Family>,
    /// How many there may be before the dead are taken out.
    most: usize,
}

impl Families {
    /// None yet. Where a reuse ends nothing, none is ever kept.
    pub(super) fn of(rules: &TargetRules) -> Self {
        let on_reuse = rules.refresh_tokens.map_or(OnReuse::Refuse, |tokens| tokens.on_reuse);
        Self { on_reuse, last: 0, by_number: BTreeMap::new(), most: SLACK }
    }

    /// An access token was issued, and this refresh token with it: to the family of the refresh token that was shown for them, or to a new one.
    pub(super) fn grow(
        &mut self,
        shown: u32,
        access: TokenId,
        refresh: Option<TokenId>,
        (tokens, refresh_tokens): (&TokenRegistry, &mut TokenRegistry),
        now: Moment,
    ) {
        let Some(refresh) = refresh.filter(|_| self.on_reuse != OnReuse::Refuse) else { return };
        if self.by_number.len() >= self.most {
            let is_alive = |number: u32, family: &Family| {
                // That of the token shown is used up, and its successor is here.
                number == shown || refresh_tokens.is_good(now, family.refresh)
            };
            self.by_number.retain(|number, family| is_alive(*number, family));
            self.most = 2 * self.by_number.len() + SLACK;
        }
        let number = if self.by_number.contains_key(&shown) { shown } else { self.found() };
        let family = self.by_number.entry(number).or_insert_with(|| Family { refresh, access: Vec::new() });
        family.refresh = refresh;
        refresh_tokens.join(refresh, number);
        if self.on_reuse == OnReuse::EndFamilyAndTokens {
            family.access.retain(|token| tokens.is_good(now, *token));
            family.access.push(access);
        }
    }

    /// The number of a new family.
    const fn found(&mut self) -> u32 {
        self.last = self.last.wrapping_add(1);
        if self.last == 0 {
            self.last = 1;
        }
        self.last
    }

    /// Takes a family out: it is no longer kept.
    pub(super) fn take(&mut self, number: u32) -> Option<Family> {
        self.by_number.remove(&number)
    }

    /// How many are kept.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.by_number.len()
    }
}
