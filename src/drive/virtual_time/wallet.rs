//! What a client holds: its token, its refresh token, and the refresh that is under way.
//!
//! In: tokens, keys of requests. Out: the same.

use crate::service::handle::TokenHandle;

use super::slab::Key;

/// What a client holds.
#[derive(Debug)]
pub(super) struct Wallet {
    token: Option<TokenHandle>,
    refresh_token: Option<Box<TokenHandle>>,
    /// The refresh that is under way, or has come and was not taken.
    refresh: Key,
}

impl Wallet {
    pub(super) const fn empty() -> Self {
        Self { token: None, refresh_token: None, refresh: Key::NONE }
    }

    pub(super) const fn token(&self) -> Option<TokenHandle> {
        self.token
    }

    pub(super) fn refresh_token(&self) -> Option<TokenHandle> {
        self.refresh_token.as_deref().copied()
    }

    pub(super) const fn refresh(&self) -> Key {
        self.refresh
    }

    /// It holds this token from now on. Answers with the one that it held.
    pub(super) const fn put_in(&mut self, token: Option<TokenHandle>) -> Option<TokenHandle> {
        std::mem::replace(&mut self.token, token)
    }

    pub(super) fn put_in_refresh_token(&mut self, token: TokenHandle) {
        self.refresh_token = Some(Box::new(token));
    }

    /// A refresh is under way.
    pub(super) const fn wait_for(&mut self, refresh: Key) {
        self.refresh = refresh;
    }

    /// The refresh that is under way is nobody's any more. Answers with it.
    pub(super) const fn take_refresh(&mut self) -> Key {
        std::mem::replace(&mut self.refresh, Key::NONE)
    }
}
