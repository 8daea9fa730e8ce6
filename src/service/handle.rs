//! The rules for a driver that is in the same process: a token is itself, and not a text that goes over a wire.
//!
//! In: `(now, event)` with [`TokenHandle`]s. Out: the same decisions and the same counts as for texts. No I/O, no clock.

use std::time::Duration;

use crate::clock::Moment;

use super::minted::MintedToken;
use super::refusal::HandshakeRefusal;
use super::registry::TokenId;
use super::rules::{Handshake, TargetState};
use super::shown::Shown;
use super::token::{TokenAnswer, TokenRefusal, TokenRequest};

/// A token, or a refresh token, of a [`TargetState`]; 16 bytes, and never printed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHandle(TokenId);

impl std::fmt::Debug for TokenHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenHandle").finish_non_exhaustive()
    }
}

impl TokenHandle {
    /// The token as a text, where one is needed: that of an opaque token.
    #[must_use]
    pub fn text(self) -> String {
        self.0.text()
    }

    /// The token of that text. One that is none of this target's is its own.
    #[must_use]
    pub fn of_text(text: &str) -> Self {
        Self(TokenId::read(text).unwrap_or_else(|| TokenId::of_text(text)))
    }
}

impl MintedToken {
    /// The token itself.
    #[must_use]
    pub const fn handle(&self) -> TokenHandle {
        TokenHandle(self.id)
    }
}

/// What a handshake brings, or a token request as its refresh token.
#[derive(Debug, Clone, Copy)]
pub enum Credential<'a> {
    /// A text that may be a token.
    Text(&'a str),
    /// A token that was issued.
    Token(TokenHandle),
    /// A token that its client signed.
    Minted(&'a MintedToken),
}

impl<'a> Credential<'a> {
    fn shown(self) -> Shown<'a> {
        match self {
            Self::Text(text) => Shown::Text(text),
            Self::Token(handle) => Shown::Token(handle.0),
            Self::Minted(minted) => match minted.says {
                Ok(_) => Shown::Token(minted.id),
                Err(wrong) => Shown::Wrong(wrong),
            },
        }
    }
}

/// The answer to a token request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum HandleAnswer {
    /// A token.
    Issued {
        /// It.
        token: TokenHandle,
        /// Its life.
        expires_in: Duration,
        /// The refresh token that goes with it.
        refresh: Option<TokenHandle>,
        /// Whether fewer scopes are granted than were asked for.
        lacks_scope: bool,
        /// Whether it is bound to a client's key.
        is_dpop: bool,
    },
    /// None.
    Refused(TokenRefusal),
    /// None: there were too many requests.
    Limited(HandshakeRefusal),
}

impl TargetState {
    /// As [`TargetState::token_request`]; `refresh` is the refresh token that it shows, in place of `request.refresh_token`.
    pub fn handle_request(
        &mut self,
        now: Moment,
        request: TokenRequest<'_>,
        refresh: Option<Credential<'_>>,
    ) -> HandleAnswer {
        self.handle_and_tell(now, request, refresh).0
    }

    /// The same, with the scopes that the answer tells.
    pub fn handle_and_tell(
        &mut self,
        now: Moment,
        request: TokenRequest<'_>,
        refresh: Option<Credential<'_>>,
    ) -> (HandleAnswer, Option<String>) {
        let mut scope = None;
        let answer = match self.grant_token(now, &request, refresh.map(Credential::shown)) {
            Ok((id, grant, refresh)) => HandleAnswer::Issued {
                lacks_scope: {
                    let lacks = grant.lacks(request.scope);
                    scope = grant.scope;
                    lacks
                },
                is_dpop: self.bindings.as_ref().is_some_and(|bindings| bindings.is_to_key(id)),
                token: TokenHandle(id),
                expires_in: self.rules.token_life,
                refresh: refresh.map(TokenHandle),
            },
            Err(TokenAnswer::Limited(refusal)) => HandleAnswer::Limited(refusal),
            Err(TokenAnswer::Refused(refusal)) => HandleAnswer::Refused(refusal),
            // A refusal is all that it can be.
            Err(TokenAnswer::Issued(_)) => HandleAnswer::Refused(TokenRefusal {
                error: super::token::TokenError::InvalidRequest,
                description: "",
                used_basic: false,
            }),
        };
        (answer, scope)
    }

    /// As [`TargetState::handshake`].
    pub fn handle_handshake(
        &mut self,
        now: Moment,
        credential: Option<Credential<'_>>,
        stream: Option<u64>,
    ) -> Handshake {
        if let Some(Credential::Minted(minted)) = credential {
            self.adopt_minted(now, minted);
        }
        self.handshake_with(now, credential.map(Credential::shown), stream)
    }

    /// From now on nobody is to be told how long clients were away.
    pub fn forget_returns(&mut self) {
        self.returns.turn_off();
    }
}
