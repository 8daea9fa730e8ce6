//! What a connection knocks at, and from where.

/// What is behind a listening socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    /// The service.
    Main {
        /// The control endpoints too.
        has_control: bool,
        /// Other machines can reach it.
        is_open: bool,
    },
    /// The control endpoints alone.
    Control {
        /// Other machines can reach it.
        is_open: bool,
    },
}

/// Where a connection came from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caller {
    /// What it knocked at.
    pub(super) door: Door,
    /// Whether the peer is on this machine.
    pub(super) is_local: bool,
    /// The SHA-256 of the certificate that it showed.
    pub(super) certificate: Option<[u8; 32]>,
}
