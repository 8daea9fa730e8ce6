//! The tokens that clients signed by themselves, until nobody holds them any more.
//!
//! In: who signs by which rules, and when. Out: what comes of it; what the target reads in a token that it has not seen yet. Each mint by a
//! group whose clients share one token is kept to the end: they are few.

use std::collections::HashMap;

use crate::clock::Moment;
use crate::sample::RequestAnswer;
use crate::service::handle::{Credential, TokenHandle};
use crate::service::minted::{MintedReader, MintedToken};

use super::signing::{Filled, Minter};
use super::token_answer::TokenSays;

/// The tokens that clients signed, and how often each was signed.
#[derive(Debug)]
pub(super) struct MintedBook {
    reader: MintedReader,
    start_unix_us: u64,
    held: HashMap<TokenHandle, Held>,
}

/// A token that somebody holds.
#[derive(Debug)]
struct Held {
    minted: MintedToken,
    times: u32,
    /// Its text, where somebody writes it out.
    text: Option<Box<str>>,
}

impl MintedBook {
    /// An empty one, for a target that reads so; the run's moment zero is that, in microseconds since 1970.
    pub(super) fn new(reader: MintedReader, start_unix_us: u64) -> Self {
        Self { reader, start_unix_us, held: HashMap::new() }
    }

    /// What fills the texts of client `number`, of index `index` in its group, at `now`.
    pub(super) const fn filled(&self, number: u32, first: u32, now: Moment) -> Filled {
        let unix_us = self.start_unix_us.saturating_add(now.as_us());
        Filled { client: number, index: number - first, unix_us }
    }

    /// A client signs a token; it may be written out.
    pub(super) fn mint(&mut self, minter: &Minter, at: Filled, is_written: bool) -> TokenSays {
        let Some((text, life)) = minter.mint(at) else {
            return TokenSays::no_answer(RequestAnswer::NotSent, None);
        };
        let minted = self.reader.read(&text);
        let token = minted.handle();
        let text = is_written.then(|| text.into_boxed_str());
        self.held.entry(token).or_insert(Held { minted, times: 0, text }).times += 1;
        TokenSays::Token { token, life: Some(life), refresh: None, lacks_scope: false }
    }

    /// What a handshake with that token brings.
    pub(super) fn credential(&self, token: TokenHandle) -> Credential<'_> {
        self.held.get(&token).map_or(Credential::Token(token), |held| Credential::Minted(&held.minted))
    }

    /// A token as a text.
    pub(super) fn text_of(&self, token: TokenHandle) -> String {
        let own = self.held.get(&token).and_then(|held| held.text.as_deref());
        own.map_or_else(|| token.text(), str::to_owned)
    }

    /// A client has another token than that now.
    pub(super) fn put_down(&mut self, token: TokenHandle) {
        if let Some(held) = self.held.get_mut(&token) {
            held.times -= 1;
            if held.times == 0 {
                self.held.remove(&token);
            }
        }
    }
}
