//! A value in a message.
//!
//! In: what a parser found. Out: the same as text, or compared with what a rule says.

use std::borrow::Cow;

use crate::scenario::keys::Literal;

/// What stands at a pointer of a message. Texts are the message's own bytes, unless they had escapes in them.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value<'m> {
    /// Nothing.
    #[default]
    Absent,
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number, not below zero.
    Unsigned(u64),
    /// A whole number below zero.
    Signed(i64),
    /// Another number.
    Float(f64),
    /// A text.
    Text(Cow<'m, str>),
    /// Bytes, of a binary format.
    Bytes(&'m [u8]),
    /// A list or an object.
    Composite,
}

impl Value<'_> {
    /// Whether something stands there, `null` included.
    #[must_use]
    pub const fn is_there(&self) -> bool {
        !matches!(self, Self::Absent)
    }

    /// As a number.
    #[must_use]
    pub const fn number(&self) -> Option<f64> {
        match *self {
            Self::Unsigned(number) => Some(number as f64),
            Self::Signed(number) => Some(number as f64),
            Self::Float(number) => Some(number),
            _ => None,
        }
    }

    /// As a whole number, not below zero; a text of digits is one, too, also in hexadecimal behind `0x`: services write sequence numbers as any of these.
    #[must_use]
    pub fn unsigned(&self) -> Option<u64> {
        match self {
            Self::Unsigned(number) => Some(*number),
            Self::Float(number)
                if number.fract() == 0.0 && (0.0..=9.007_199_254_740_992e15).contains(number) =>
            {
                Some(*number as u64)
            }
            Self::Text(text) => match text.strip_prefix("0x") {
                Some(digits) => u64::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+')),
                None => text.parse().ok(),
            },
            _ => None,
        }
    }

    /// As text: strings without their quotes, numbers and truth values as JSON has them; nothing else is one.
    #[must_use]
    pub fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Bool(is) => Some(Cow::Borrowed(if *is { "true" } else { "false" })),
            Self::Unsigned(number) => Some(Cow::Owned(number.to_string())),
            Self::Signed(number) => Some(Cow::Owned(number.to_string())),
            Self::Float(number) => Some(Cow::Owned(number.to_string())),
            Self::Bytes(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
            Self::Absent | Self::Null | Self::Composite => None,
        }
    }

    /// Whether it is what a rule says. A number is no text, and a text no number.
    #[must_use]
    pub fn is(&self, literal: &Literal) -> bool {
        match literal {
            Literal::Text(wanted) => matches!(self, Self::Text(text) if text == wanted.as_str()),
            Literal::Bool(wanted) => matches!(self, Self::Bool(is) if is == wanted),
            Literal::Number(wanted) => self.number().is_some_and(|number| number == *wanted),
        }
    }
}
