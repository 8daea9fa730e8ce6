//! A token request as its client keeps it, and what a client holds.
//!
//! In: when it was made, and for what. Out: nothing of its own: the token desk writes in it.

use crate::clock::Moment;
use crate::service::handle::TokenHandle;

use super::slab::Key;
use super::token_answer::{Need, TokenSays};

/// A token request.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) need: Need,
    /// When it was sent.
    pub(super) requested: Moment,
    /// When it went out last: with the refresh token, and once more where that was refused.
    pub(super) sent: Moment,
    pub(super) has_connection: bool,
    /// Whether it fetches the group's token.
    pub(super) leads: bool,
    pub(super) purpose: Purpose,
    pub(super) shows: Shows,
    pub(super) says: TokenSays,
}

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

/// What a client holds.
#[derive(Debug)]
pub(super) struct Wallet {
    pub(super) token: Option<TokenHandle>,
    pub(super) refresh_token: Option<Box<TokenHandle>>,
    /// The refresh that is under way, or has come and was not taken.
    pub(super) refresh: Key,
}

impl Ask {
    pub(super) const fn new(need: Need, now: Moment, purpose: Purpose) -> Self {
        let (shows, says) = (Shows::None, TokenSays::NOTHING);
        Self { need, requested: now, sent: now, has_connection: false, leads: false, purpose, shows, says }
    }
}
