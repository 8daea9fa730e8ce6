//! An open session, as the rules know it: what opened it, whose it is, whether it is closing.

use super::client_key::ClientKey;
use super::registry::TokenId;

/// What a session was opened with, or has shown since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    /// Nothing yet: the token comes in a message.
    Nothing,
    /// A token.
    Token(TokenId),
    /// A ticket.
    Ticket(TokenId),
}

/// An open session.
#[derive(Debug)]
pub(super) struct Open {
    holds: Holds,
    client: Option<ClientKey>,
    /// The number that the client goes by, where it told one.
    stream: Option<u64>,
    is_closing: bool,
}

impl Open {
    pub(super) const fn new(holds: Holds, client: Option<ClientKey>, stream: Option<u64>) -> Self {
        Self { holds, client, stream, is_closing: false }
    }

    /// A session that was opened only to be refused.
    pub(super) const fn refused() -> Self {
        Self::new(Holds::Nothing, None, None)
    }

    pub(super) const fn holds(&self) -> Holds {
        self.holds
    }

    pub(super) const fn client(&self) -> Option<ClientKey> {
        self.client
    }

    pub(super) const fn stream(&self) -> Option<u64> {
        self.stream
    }

    pub(super) const fn is_closing(&self) -> bool {
        self.is_closing
    }

    /// It has shown this since.
    pub(super) const fn show(&mut self, holds: Holds) {
        self.holds = holds;
    }

    /// The target is done with it.
    pub(super) const fn begin_closing(&mut self) {
        self.is_closing = true;
    }
}
