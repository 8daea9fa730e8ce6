//! A message as the rules of a group see it.
//!
//! In: a message, the pointers that are sought. Out: the values there; the message is parsed when the first of them is asked for.

use std::cell::OnceCell;

use crate::scenario::keys::Expression;

use super::sought::{Found, Slot, Sought};
use super::value::Value;

/// The bytes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload<'m> {
    /// A text message.
    Text(&'m str),
    /// A binary one.
    Binary(&'m [u8]),
}

impl<'m> Payload<'m> {
    /// What a packet holds, which does not say what it is: a text, where it is one.
    #[must_use]
    pub fn of_packet(bytes: &'m [u8]) -> Self {
        std::str::from_utf8(bytes).map_or(Self::Binary(bytes), Self::Text)
    }

    /// The text, if it is one.
    #[must_use]
    pub const fn text(self) -> Option<&'m str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }
}

/// A message, and what has been found in it so far.
#[derive(Debug)]
pub struct Look<'m, 'l> {
    payload: Payload<'m>,
    /// What stands before its JSON.
    prefix: Option<&'l Expression>,
    sought: &'l Sought,
    /// A binary message holds values.
    reads_binary: bool,
    found: OnceCell<Found<'m>>,
}

impl<'m, 'l> Look<'m, 'l> {
    /// Nothing has been found yet.
    #[must_use]
    pub const fn new(
        payload: Payload<'m>,
        prefix: Option<&'l Expression>,
        sought: &'l Sought,
        reads_binary: bool,
    ) -> Self {
        Self { payload, prefix, sought, reads_binary, found: OnceCell::new() }
    }

    /// The message.
    #[must_use]
    pub const fn payload(&self) -> Payload<'m> {
        self.payload
    }

    /// Its JSON: behind what `prefix` finds at its beginning; without that key, from the first bracket on, or else all of it.
    #[must_use]
    pub fn json(&self) -> Option<&'m str> {
        let text = self.payload.text()?;
        let begin = match self.prefix {
            Some(prefix) => prefix.end_of_start(text)?,
            None => text.find(['{', '[']).unwrap_or_default(),
        };
        text.get(begin..)
    }

    /// What stands at a pointer that is sought.
    #[must_use]
    pub fn at(&self, slot: Slot) -> &Value<'m> {
        let sought = self.sought;
        let found = self.found.get_or_init(|| match self.payload {
            Payload::Binary(bytes) if self.reads_binary => sought.in_message_pack(bytes),
            _ => self.json().map_or_else(|| sought.nothing(), |json| sought.in_json(json)),
        });
        found.at(slot)
    }
}
