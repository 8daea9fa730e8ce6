//! What a token request comes to.
//!
//! In: the answer of the token endpoint, or that there is none. Out: what a client makes of it, and who goes on because of it.

use std::time::Duration;

use crate::clock::Moment;
use crate::lifecycle::{Event, TokenFacts, TokenFailure};
use crate::service::handle::TokenHandle;
use crate::service::rules::HandshakeRefusal;

use super::refusal::in_whole_seconds;
use super::slab::Key;

/// What a request came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum TokenSays {
    Token {
        token: TokenHandle,
        /// How long it lives, as the answer says.
        life: Duration,
        refresh: Option<TokenHandle>,
    },
    /// Another client's request brought the group's token.
    Shared { facts: TokenFacts, token: Option<TokenHandle> },
    /// An OAuth error; whether it is `invalid_grant`.
    Refused { is_invalid_grant: bool },
    /// No answer, or none that can be understood.
    Error { retry_after: Option<Duration> },
}

impl TokenSays {
    pub(super) const NOTHING: Self = Self::Error { retry_after: None };

    /// A refusal that is no OAuth error.
    pub(super) fn refused_over_http(refusal: HandshakeRefusal) -> Self {
        Self::error(refusal.retry_after)
    }

    /// No OAuth answer, but perhaps a time to wait, which is told in whole seconds.
    pub(super) fn error(retry_after: Option<Duration>) -> Self {
        Self::Error { retry_after: retry_after.map(in_whole_seconds) }
    }

    /// Whether it brings a token of the endpoint.
    pub(super) const fn is_token(&self) -> bool {
        matches!(self, Self::Token { .. })
    }

    /// How a client is told that it gets no token.
    pub(super) const fn failed(self) -> Event {
        match self {
            Self::Refused { .. } => Event::TokenFailed { failure: TokenFailure::Refused, retry_after: None },
            Self::Error { retry_after } => Event::TokenFailed { failure: TokenFailure::Error, retry_after },
            _ => Event::TokenFailed { failure: TokenFailure::Error, retry_after: None },
        }
    }
}

/// What a token must be to do: asked for no earlier, valid until.
#[derive(Debug, Clone, Copy)]
pub(super) struct Need {
    pub(super) not_before: Moment,
    pub(super) valid_until: Moment,
}

/// What a client that needs a token is to do.
#[derive(Debug)]
pub(super) enum Fetch {
    /// It is told so at once.
    Told(Event),
    /// It waits for that request.
    Waits(Key),
}

/// What happens when a token request has ended.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// Whether another request gets its connection, for which it waited.
    pub(super) hands_on: bool,
    /// Requests that waited for the same token.
    pub(super) waiting: Vec<Key>,
    /// What to tell them; `None`: the token is there, and they ask for it again.
    pub(super) failure: Option<TokenSays>,
}

/// What is done with what a request came to.
#[derive(Debug)]
pub(super) enum HandedOver {
    /// Client so-and-so is told.
    Told(u32, Event),
    /// It waits for another request.
    Waits(u32, Key),
    /// It has a refresh that it takes when it holds a session.
    Refreshed(u32),
}
