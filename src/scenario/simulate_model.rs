//! What takes time in virtual time, and what a service can do at once, as typed data.
//!
//! In: nothing. Out: types whose values are checked when a file is loaded. A [`Capacity`] holds for the embedded target on the
//! network as well.

use std::time::Duration;

use super::target_fault::StatusFault;
use super::target_model::{Delay, TargetRules};

/// `[simulate]`: what `resurge simulate` needs to know beside the scenario.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Simulate {
    /// `service`: the name and the rules of a profile, in place of a remote target's unknown ones.
    pub service: Option<(String, Box<TargetRules>)>,
    /// `stages`: what each stage takes.
    pub stages: StageDelays,
    /// `token`: the capacity of the token endpoint; `None`: the target's own (`target.token_capacity`).
    pub token: Option<Capacity>,
    /// `upgrade`: the capacity of the WebSocket endpoint; `None`: the target's own (`target.upgrade_capacity`).
    pub upgrade: Option<Capacity>,
    /// `faults`: what the network does wrong, and when.
    pub faults: Vec<NetworkFault>,
}

/// A part of the way that takes time beside what the target's rules say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimeStage {
    /// `dns`: resolving the name.
    Dns,
    /// `tcp`: opening the connection.
    Tcp,
    /// `tls`: the TLS handshake.
    Tls,
    /// `upgrade`: the upgrade request and its answer, both ways together.
    Upgrade,
    /// `token`: a token request and its answer, both ways together.
    Token,
    /// `message`: a frame on an open session, one way.
    Message,
    /// `detect`: from the sight of a session's end until the client acts on it: the closing handshake.
    Detect,
}

impl TimeStage {
    /// Every stage, in the order in which a client passes them.
    pub const ALL: [Self; 7] =
        [Self::Dns, Self::Tcp, Self::Tls, Self::Upgrade, Self::Token, Self::Message, Self::Detect];

    /// The name that files and reports use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Upgrade => "upgrade",
            Self::Token => "token",
            Self::Message => "message",
            Self::Detect => "detect",
        }
    }
}

/// What each stage takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StageDelays(pub [Delay; TimeStage::ALL.len()]);

impl StageDelays {
    /// What `stage` takes.
    #[must_use]
    pub const fn get(&self, stage: TimeStage) -> Delay {
        self.0[stage as usize]
    }
}

impl Default for StageDelays {
    /// Of the order of what a loopback connection takes.
    fn default() -> Self {
        let us = |us| Delay::Constant(Duration::from_micros(us));
        Self([Delay::None, us(100), us(1_000), us(300), us(300), us(50), us(100)])
    }
}

/// How many requests a service works on at once, and what becomes of the others: c servers with one queue in front of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Capacity {
    /// `servers`: requests that are worked on at once, at least 1.
    pub servers: u32,
    /// `service`: how long each takes.
    pub service: Delay,
    /// `queue`: requests that may wait.
    pub queue: u32,
    /// `over_limit` and `retry_after`: how one more is refused.
    pub over_limit: StatusFault,
    /// `abandoned`: what becomes of a request that waits when its client goes.
    pub abandoned: Abandoned,
}

/// What becomes of a request whose client has gone while it waited. One that a server has begun with is worked off in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abandoned {
    /// `"served"`: it is worked off all the same, for nobody.
    Served,
    /// `"dropped"`: it leaves the queue.
    Dropped,
}

impl Abandoned {
    /// The name that files use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::Dropped => "dropped",
        }
    }
}

/// Something that the network does wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NetworkFault {
    /// At which stage.
    pub stage: TimeStage,
    /// What.
    pub kind: NetworkFaultKind,
    /// The share of those that pass the stage, 0..1.
    pub share: f64,
    /// It strikes from then on.
    pub from: Duration,
    /// It strikes until then, exclusive; `None`: to the end.
    pub until: Option<Duration>,
}

/// What the network does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkFaultKind {
    /// `"refused"`: an answer that says no: the name does not resolve, the port is closed, the certificate is wrong.
    Refused,
    /// `"reset"`: the connection is reset.
    Reset,
    /// `"blackhole"`: nothing ever comes back: the stage's timeout ends it.
    Blackhole,
}

impl NetworkFaultKind {
    /// The name that files use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::Blackhole => "blackhole",
        }
    }
}
