//! `[groups.token]` `on_reconnect`: what happens to the token at a reconnect. A group says it, or its policy.

use std::time::Duration;

use crate::declare::{At, Choices, Shape, Value, duration};

/// What happens to the token at a reconnect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnReconnect {
    /// `"reuse"`: the old one.
    #[default]
    Reuse,
    /// `"fetch"`: a new one, before the handshake.
    Fetch,
    /// `{ fetch_if_older_than = "30s" }`: a new one if the old one is older.
    FetchIfOlderThan(Duration),
}

fn on_reconnect() -> Choices<OnReconnect> {
    Choices::new("\"reuse\", \"fetch\" or { fetch_if_older_than = \"30s\" } is needed")
        .word("reuse", "The old one.", OnReconnect::Reuse)
        .word("fetch", "A new one, before the handshake.", OnReconnect::Fetch)
        .key(
            "fetch_if_older_than",
            "A new one if the old one is older.",
            duration(),
            OnReconnect::FetchIfOlderThan,
        )
}

impl Value for OnReconnect {
    fn shape() -> Shape {
        on_reconnect().shape()
    }

    fn read(at: &At<'_>) -> Option<Self> {
        on_reconnect().read(at)
    }

    fn write(&self) -> Option<String> {
        on_reconnect().write(self)
    }
}
