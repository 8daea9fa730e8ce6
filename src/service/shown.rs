//! A token as it is shown to the target: a text from a wire, or the token itself from a driver in the same process.

use crate::clock::Moment;

use super::assertion::Wrong;
use super::registry::{Standing, TokenId, TokenRegistry};

/// A token as it is shown to the target.
#[derive(Clone, Copy)]
pub(super) enum Shown<'a> {
    /// As it goes over a wire.
    Text(&'a str),
    /// Itself.
    Token(TokenId),
    /// A JWT that is not trusted, read already.
    Wrong(Wrong),
}

impl Shown<'_> {
    pub(super) fn standing(self, now: Moment, registry: &TokenRegistry) -> Standing {
        match self {
            Self::Text(text) => registry.look_up(now, text),
            Self::Token(id) => registry.standing_of(now, id),
            Self::Wrong(_) => Standing::Unknown,
        }
    }

    /// The token itself, if it was issued and is not forgotten.
    pub(super) fn id(self, registry: &TokenRegistry) -> Option<TokenId> {
        match self {
            Self::Text(text) => registry.find(text),
            Self::Token(id) => Some(id),
            Self::Wrong(_) => None,
        }
    }

    pub(super) const fn is_empty(self) -> bool {
        matches!(self, Self::Text(text) if text.is_empty())
    }
}
