//! permessage-deflate (RFC 7692), without I/O.
//!
//! In: headers of a handshake, the bytes of a session as they are on the wire or as a WebSocket library wants them. Out: what both sides
//! agreed on, and the same frames compressed or inflated. It stands between the wire and the library, which knows nothing of it; a session
//! that does not use it has nothing of it.

mod header;
mod incoming;
mod layer;
mod message;
mod outgoing;
mod terms;

pub(crate) use layer::Layer;
pub use message::Broken;
pub use terms::{Disagreement, Offer, Side, Terms};

/// The name of the extension, as handshakes have it.
pub const NAME: &str = "permessage-deflate";

/// How much went over a session whose messages may be compressed: payloads of data frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Volume {
    /// Bytes of the messages that were received.
    pub plain_in: u64,
    /// Bytes that carried them.
    pub wire_in: u64,
    /// Bytes of the messages that were sent.
    pub plain_out: u64,
    /// Bytes that carried them.
    pub wire_out: u64,
}
