//! What a token request comes to.
//!
//! In: the answer of the token endpoint, or that there is none. Out: what a client makes of it.

use std::time::Duration;

use crate::lifecycle::{Event, TokenFacts, TokenFailure};
use crate::service::handle::TokenHandle;
use crate::service::rules::HandshakeRefusal;

use super::refusal::in_whole_seconds;

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
