//! What a token request is for, what it shows, and what its group shares.
//!
//! In: a group's rules, the refresh token that is held. Out: what a request shows.

use crate::scenario::keys::TokenRules;
use crate::service::handle::TokenHandle;

use super::group::Asker;
use super::shared_token::{Pool, SharedToken};

/// What a token is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// An attempt, which waits for it.
    Attempt,
    /// Its client's session, to go on.
    Refresh,
    /// It was asked for in a session, and an attempt came to need it.
    RefreshThenAttempt,
}

/// What refresh token a request shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shows {
    None,
    /// The one that the scenario gives.
    Initial,
    Held(TokenHandle),
}

impl Shows {
    /// What a request shows whose client, or group, holds that refresh token.
    pub(super) fn of(asker: Option<&Asker>, held: Option<TokenHandle>) -> Self {
        match (asker.filter(|asker| asker.refreshes), held) {
            (Some(_), Some(held)) => Self::Held(held),
            (Some(asker), None) if asker.initial.is_some() => Self::Initial,
            _ => Self::None,
        }
    }
}

/// What the clients of a group share.
#[derive(Debug)]
pub(super) struct GroupTokens {
    pub(super) shared: Option<SharedToken>,
    pub(super) pool: Option<Pool>,
}

impl GroupTokens {
    pub(super) fn of(rules: Option<&TokenRules>) -> Self {
        Self { shared: rules.and_then(SharedToken::of), pool: rules.and_then(Pool::of) }
    }
}
