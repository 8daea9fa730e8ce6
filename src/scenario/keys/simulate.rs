//! `[simulate]`: what takes time in virtual time.
//!
//! In: the table. Out: [`Simulate`].

use std::time::Duration;

use crate::declare::{At, Table, duration, of, share_above_zero, shipped, some_of, table, then, words};
use crate::scenario::profiles::PROFILES;

use super::capacity::Capacity;
use super::delay::Delay;
use super::target::profile;
use super::target_rules::TargetRules;

table! {
    /// What `resurge simulate` needs to know beside the scenario.
    #[derive(PartialEq)]
    default pub struct Simulate {
        /// A profile whose rules stand for those of a remote target, which nobody knows.
        service: Option<(String, Box<TargetRules>)> = None => then(shipped(PROFILES), |(name, text), _: &At<'_>| {
            Some((name.to_owned(), Box::new(profile(text))))
        });
        /// What each stage takes, beside what the target's rules say.
        stages: StageDelays = StageDelays::default();
        /// The capacity of the token endpoint. Without it: the target's own (`target.token_capacity`).
        token: Option<Capacity> = None => of::<Capacity>();
        /// The capacity of the WebSocket endpoint. Without it: the target's own (`target.upgrade_capacity`).
        upgrade: Option<Capacity> = None => of::<Capacity>();
        /// What the network does wrong, and when.
        faults: Vec<NetworkFault> = Vec::new();
    }
}

words! {
    /// A part of the way that takes time beside what the target's rules say.
    #[derive(PartialOrd, Ord)]
    pub enum TimeStage {
        /// Resolving the name.
        Dns = "dns",
        /// Opening the connection.
        Tcp = "tcp",
        /// The TLS handshake.
        Tls = "tls",
        /// The upgrade request and its answer, both ways together.
        Upgrade = "upgrade",
        /// A token request and its answer, both ways together.
        Token = "token",
        /// A frame on an open session, one way.
        Message = "message",
        /// From the sight of a session's end until the client acts on it: the closing handshake.
        Detect = "detect",
        /// A signature that a client makes by a private key: its own work, before or in the place of a token request.
        Mint = "mint",
        /// A request before a handshake and its answer, both ways together.
        Step = "step",
    }
}

table! {
    /// What each stage takes; the defaults are of the order of what a loopback connection takes.
    #[derive(Copy, PartialEq)]
    default pub struct StageDelays {
        /// Resolving the name.
        dns: Delay = Delay::None;
        /// Opening the connection.
        tcp: Delay = microseconds(100);
        /// The TLS handshake.
        tls: Delay = microseconds(1_000);
        /// The upgrade request and its answer, both ways together.
        upgrade: Delay = microseconds(300);
        /// A token request and its answer, both ways together.
        token: Delay = microseconds(300);
        /// A frame on an open session, one way.
        message: Delay = microseconds(50);
        /// From the sight of a session's end until the client acts on it: the closing handshake.
        detect: Delay = microseconds(100);
        /// A signature that a client makes by a private key (RSA, EC, Ed25519): its own work. The default is of the order of RS256 with 2048 bits; one by a shared secret
        /// (HS256) takes no time.
        mint: Delay = microseconds(1_000);
        /// A request before a handshake and its answer, both ways together.
        step: Delay = microseconds(300);
    }
}

const fn microseconds(us: u64) -> Delay {
    Delay::Constant(Duration::from_micros(us))
}

impl StageDelays {
    /// What `stage` takes.
    #[must_use]
    pub const fn get(&self, stage: TimeStage) -> Delay {
        match stage {
            TimeStage::Dns => self.dns,
            TimeStage::Tcp => self.tcp,
            TimeStage::Tls => self.tls,
            TimeStage::Upgrade => self.upgrade,
            TimeStage::Token => self.token,
            TimeStage::Message => self.message,
            TimeStage::Detect => self.detect,
            TimeStage::Mint => self.mint,
            TimeStage::Step => self.step,
        }
    }
}

table! {
    /// Something that the network does wrong.
    #[derive(Copy, PartialEq)]
    pub struct NetworkFault {
        /// At which stage.
        stage: TimeStage, needed "a fault of the network is { stage = \"tcp\", kind = \"blackhole\", share = 0.01 }"
            => some_of(&[TimeStage::Dns, TimeStage::Tcp, TimeStage::Tls, TimeStage::Upgrade, TimeStage::Token, TimeStage::Step]);
        /// What.
        kind: NetworkFaultKind, needed "a fault of the network is { stage = \"tcp\", kind = \"blackhole\", share = 0.01 }";
        /// The share of those that pass the stage, above 0.
        share: f64 = 1.0 => share_above_zero("the fault would strike nobody");
        /// It strikes from then on.
        from: Duration = Duration::ZERO => duration();
        /// It strikes until then, exclusive. Without it: to the end.
        until: Option<Duration> = None => duration();
    }
    check: check_fault;
}

words! {
    /// What the network does wrong.
    pub enum NetworkFaultKind {
        /// An answer that says no: the name does not resolve, the port is closed.
        Refused = "refused",
        /// The connection is reset.
        Reset = "reset",
        /// Nothing ever comes back: the stage's timeout ends it.
        Blackhole = "blackhole",
    }
}

fn check_fault(fault: NetworkFault, table: &Table<'_>) -> Option<NetworkFault> {
    use NetworkFaultKind::{Refused, Reset};
    if fault.until.is_some_and(|until| until <= fault.from) {
        let message = format!("`{}` is not after `from`", table.path_of("until"));
        table.between(Some("until"), message, "make it later, or leave it out");
    }
    let is_possible = match fault.stage {
        TimeStage::Dns | TimeStage::Tcp => fault.kind != Reset,
        TimeStage::Tls | TimeStage::Upgrade | TimeStage::Step => fault.kind != Refused,
        _ => true,
    };
    if !is_possible {
        let message = format!("`{}` cannot be at this stage", table.path_of("kind"));
        let help = "names and ports are \"refused\", TLS, upgrades and steps are \"reset\", tokens either; all may fall into a \"blackhole\"";
        table.between(Some("kind"), message, help);
    }
    Some(fault)
}
