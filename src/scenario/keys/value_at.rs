//! Where in a message a value stands.
//!
//! In: a JSON Pointer, or a regular expression with a group. Out: [`ValueAt`].

use crate::declare::{At, Choices, POINTER, Shape, Value, of, ruled};

use super::prepare::Pattern;

/// Where in a message a value stands.
#[derive(Debug, Clone, PartialEq)]
pub enum ValueAt {
    /// `"/id"`: in its JSON (JSON Pointer, RFC 6901).
    Pointer(String),
    /// `{ regex = "^43(\\d+)" }`: what the first group of a regular expression finds in its text.
    Regex(Pattern),
}

impl ValueAt {
    /// Whether it looks into the message's JSON.
    #[must_use]
    pub const fn reads_json(&self) -> bool {
        matches!(self, Self::Pointer(_))
    }
}

fn places() -> Choices<ValueAt> {
    Choices::new("a JSON Pointer as \"/id\" or { regex = '^43(\\d+)' } is needed")
        .plain(ruled(POINTER), ValueAt::Pointer)
        .key(
            "regex",
            "In its text: what the first group of a regular expression finds.",
            of::<Pattern>(),
            ValueAt::Regex,
        )
}

impl Value for ValueAt {
    fn shape() -> Shape {
        places().shape()
    }

    fn read(at: &At<'_>) -> Option<Self> {
        places().read(at)
    }
}
