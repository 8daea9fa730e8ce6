//! Ends of sessions: whose doing they are, and how.
//!
//! In: nothing. Out: [`Initiator`], [`Abnormal`], [`SessionEnd`].

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

named_enum! {
    /// Who ended a session.
    Initiator {
        /// The target closed it.
        Target = "target",
        /// The client closed it.
        Client = "client",
        /// The connection ended without a close frame, or the peer fell silent.
        Network = "network",
        /// A storm forced it.
        Storm = "storm",
    }
}

named_enum! {
    /// How a session ended that has no close frame (close code 1006, RFC 6455 §7.1.5).
    Abnormal {
        /// The peer closed the connection (FIN).
        Fin = "fin",
        /// The peer reset the connection (RST).
        Rst = "rst",
        /// The peer fell silent past a timeout.
        Timeout = "timeout",
        /// The peer broke the protocol.
        Protocol = "protocol",
        /// This client dropped the connection: on purpose, or because the run was cut short.
        Dropped = "dropped",
    }
}

/// The end of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionEnd {
    /// Who ended it.
    pub initiator: Initiator,
    /// The close code: 1006 where no close frame came.
    pub code: u16,
    /// How, where no close frame came.
    pub abnormal: Option<Abnormal>,
    /// From the upgrade to the end.
    pub length: Duration,
}
