//! How known clients come back, each a file in the vocabulary of a group's `[token]` and `[reconnect]`.
//!
//! In: a name. Out: the file's text.

/// Name and text of each policy.
pub(super) const POLICIES: &[(&str, &str)] = &[
    ("thread", include_str!("thread.toml")),
    ("rfc6455", include_str!("rfc6455.toml")),
    ("genesys-streaming", include_str!("genesys-streaming.toml")),
    ("genesys-messenger", include_str!("genesys-messenger.toml")),
    ("socket-io", include_str!("socket-io.toml")),
    ("phoenix", include_str!("phoenix.toml")),
    ("graphql-ws", include_str!("graphql-ws.toml")),
    ("slack", include_str!("slack.toml")),
    ("centrifuge", include_str!("centrifuge.toml")),
    ("reconnecting-websocket", include_str!("reconnecting-websocket.toml")),
    ("signalr", include_str!("signalr.toml")),
    ("pusher", include_str!("pusher.toml")),
];

/// The names of all policies.
#[must_use]
pub fn policy_names() -> Vec<&'static str> {
    POLICIES.iter().map(|(name, _)| *name).collect()
}
