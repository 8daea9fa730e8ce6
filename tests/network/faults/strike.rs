//! What a proxy can do to a connection, and when.

use std::sync::Arc;
use std::time::Duration;

use super::proxy::Door;

/// How long a strike holds the stage up before it does what it does: so the stage can be told by the time that it took.
pub(crate) const DWELL: Duration = Duration::from_millis(100);
/// How long an outage lasts: a restart, a stop, a name that does not resolve.
pub(crate) const OUTAGE: Duration = Duration::from_millis(350);

/// What goes over a proxy's connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// Token requests.
    Http,
    /// A WebSocket in the clear.
    WebSocket,
    /// Anything over TLS.
    Tls,
}

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The name is resolved and TCP opened.
    Connect,
    /// The token is asked for.
    Token,
    /// The TLS handshake.
    Tls,
    /// The upgrade: request and answer.
    Upgrade,
    /// Upgraded, before the first message.
    Ready,
    /// In the middle of a session.
    Session,
    /// In the middle of a session over TLS.
    SecureSession,
    /// The closing handshake, begun by the client.
    Close,
}

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    ToTarget,
    ToClient,
}

/// Something that is done beside the connections: told `true` when it begins, `false` when it is to end.
pub(crate) type Effect = Arc<dyn Fn(bool) + Send + Sync>;

/// What is done to a connection, or to all.
#[derive(Clone)]
pub(crate) enum Fault {
    /// Each piece is late by [`DWELL`].
    Latency,
    /// The first piece is late by it or more, the others by less, as a generator with a fixed seed draws it.
    Jitter,
    /// Each piece takes [`DWELL`] to go through, bit by bit.
    Rate,
    /// Single bytes.
    Slices,
    /// Nothing passes any more, in either way; what was on its way to the target is lost.
    Blackhole,
    /// Nothing of the target's passes any more.
    Silence,
    /// Both connections are reset.
    Reset,
    /// Both connections end.
    End,
    /// Half of what was on its way passes, then both connections end.
    CutShort,
    /// The target's side ends towards the client, the other way goes on.
    EndToClient,
    /// The client's side ends towards the target, in the middle of what was on its way; the other way goes on.
    EndToTarget,
    /// A byte of the target's is another.
    CorruptToClient,
    /// A byte of the client's is another.
    CorruptToTarget,
    /// All connections of this proxy are reset, and for [`OUTAGE`] nobody listens.
    Restart,
    /// The same at the other proxy.
    RestartOf(Arc<Door>),
    /// For [`OUTAGE`] nobody listens; connections that are there stay.
    Refuse,
    /// For so long nothing answers who wants to connect.
    DropSyn(Duration),
    /// Something else for so long, while the connection goes on; at the sight of bytes that go this way.
    Beside(Effect, Way, Duration),
    /// Something else for so long, before who connects next.
    BesideTheDoor(Effect, Duration),
}

impl Fault {
    /// The way of the bytes at whose sight it strikes.
    pub(crate) fn way(&self) -> Way {
        match self {
            Self::Blackhole | Self::EndToTarget | Self::CorruptToTarget => Way::ToTarget,
            Self::Beside(_, way, _) => *way,
            _ => Way::ToClient,
        }
    }
}

/// What a proxy does, to the connection of that number of each client, counted from 0.
#[derive(Clone)]
pub(crate) struct Strike {
    pub(crate) stage: Stage,
    pub(crate) fault: Fault,
    pub(crate) nth: u32,
}
