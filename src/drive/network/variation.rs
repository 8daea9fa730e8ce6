//! One thing of a handshake that a probe does otherwise.
//!
//! In: nothing. Out: [`Variation`]. What it changes is changed where requests are written.

/// One thing of a handshake that is other than the scenario has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Variation {
    /// Another `Host`, at the same address.
    Host(String),
    /// The path with a slash at its end where it has none, and without where it has one.
    OtherSlash,
    /// A plain GET of the same URL: nothing in it asks for an upgrade.
    PlainGet,
    /// The same handshake by HTTP/1.0.
    OldHttp,
    /// Signed so long ago that the signature's time is over.
    OldSignature,
}
