//! What a token request comes to.
//!
//! In: the answer of the token endpoint, or that there is none. Out: what a client makes of it, and who goes on because of it.

use std::time::Duration;

use crate::clock::Moment;
use crate::drive::network::USE_NONCE;
use crate::lifecycle::{Event, TokenFacts, TokenFailure};
use crate::sample::{ErrorWord, Request, RequestAnswer, RequestEnd};
use crate::service::handle::TokenHandle;
use crate::service::token::TokenError;

use super::refusal::in_whole_seconds;
use super::slab::Key;

/// What a request came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum TokenSays {
    Token {
        token: TokenHandle,
        /// How long it lives, where the answer says so.
        life: Option<Duration>,
        refresh: Option<TokenHandle>,
        /// Whether fewer scopes were granted than were asked for.
        lacks_scope: bool,
    },
    /// Another client's request brought the group's token.
    Shared { facts: TokenFacts, token: Option<TokenHandle> },
    /// A refusal, no answer, or none that can be understood.
    Failed { failure: TokenFailure, retry_after: Option<Duration>, said: Said },
}

/// What an answer said, or that there was none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) answer: RequestAnswer,
    pub(super) status: Option<u16>,
    /// The OAuth error.
    pub(super) code: Option<&'static str>,
}

impl TokenSays {
    pub(super) const NOTHING: Self = Self::no_answer(RequestAnswer::Timeout, None);

    /// No answer, for this reason, and what names it.
    pub(super) const fn no_answer(answer: RequestAnswer, code: Option<&'static str>) -> Self {
        let said = Said { answer, status: None, code };
        Self::Failed { failure: TokenFailure::Error, retry_after: None, said }
    }

    /// A refusal with a status and perhaps an OAuth error; a time to wait is told in whole seconds.
    pub(super) fn refused(status: u16, code: Option<&'static str>, retry_after: Option<Duration>) -> Self {
        let is_oauth = code.is_some() && status < 500 && status != 429;
        Self::Failed {
            failure: if is_oauth { TokenFailure::Refused } else { TokenFailure::Error },
            retry_after: retry_after.map(in_whole_seconds),
            said: Said { answer: RequestAnswer::Refused, status: Some(status), code },
        }
    }

    /// A body with status 200 that is no JSON.
    pub(super) const fn not_json() -> Self {
        let said = Said { answer: RequestAnswer::NotJson, status: Some(200), code: None };
        Self::Failed { failure: TokenFailure::Error, retry_after: None, said }
    }

    /// A token that is bound to no key, and was to be.
    pub(super) const fn not_bound() -> Self {
        let said = Said { answer: RequestAnswer::NotBound, status: Some(200), code: None };
        Self::Failed { failure: TokenFailure::Error, retry_after: None, said }
    }

    /// Whether it is what the rules say, and no fault.
    pub(super) const fn is_by_the_rules(&self) -> bool {
        match self {
            Self::Failed { said, .. } => {
                matches!(said.answer, RequestAnswer::Refused | RequestAnswer::NotBound)
            }
            _ => true,
        }
    }

    /// Whether it asks for a nonce in the proof.
    pub(super) fn wants_nonce(&self) -> bool {
        matches!(self, Self::Failed { said, .. } if said.code == Some(USE_NONCE))
    }

    /// Whether it refuses the refresh token.
    pub(super) fn is_invalid_grant(&self) -> bool {
        matches!(self, Self::Failed { said, .. } if said.code == Some(TokenError::InvalidGrant.name()))
    }

    /// The end of a request with this answer.
    pub(super) fn end_of(&self, request: Request, latency: Duration) -> RequestEnd {
        let Said { answer, status, code } = match self {
            Self::Failed { said, .. } => *said,
            _ => Said { answer: RequestAnswer::Ok, status: Some(200), code: None },
        };
        RequestEnd { request, answer, status, error: code.map(ErrorWord::or_other), latency }
    }

    /// Whether it brings a token of the endpoint.
    pub(super) const fn is_token(&self) -> bool {
        matches!(self, Self::Token { .. })
    }

    /// How a client is told that it gets no token.
    pub(super) const fn failed(self) -> Event {
        match self {
            Self::Failed { failure, retry_after, .. } => Event::TokenFailed { failure, retry_after },
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
