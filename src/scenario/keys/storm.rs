//! `[[storms]]` and `[[groups.disconnects]]`: disconnects that are forced.
//!
//! In: tables. Out: [`Storm`]s and [`ClientDisconnect`]s.

use std::time::Duration;

use crate::declare::{
    At, Rows, above_zero, duration, field, sent_code, share_above_zero, strings, table, tagged, then,
};

use super::told::GroupNames;

table! {
    /// A disconnect forced on many clients at one moment.
    #[derive(PartialEq)]
    pub struct Storm {
        /// When, after the run's start.
        at: Duration, needed "say when the storm strikes, as at = \"10s\"" => duration();
        /// Which share of the sessions, above 0%.
        fraction: f64 = 1.0 => share_above_zero("the storm would strike nobody");
        ..
        /// Who does it.
        by: StormBy;
    }
}

/// Who forces a storm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StormBy {
    /// `by = "target"`: the embedded target closes its sessions with this code.
    Target {
        /// The close code.
        code: u16,
    },
    /// `by = "client"`: the clients leave.
    Client {
        /// How.
        how: DisconnectHow,
        /// Indexes of the groups it strikes; `None`: all.
        groups: Option<Vec<usize>>,
    },
}

fn storm_rows() -> Rows<StormBy> {
    let code = field("code", "The close code.", sent_code()).or(1012);
    let groups = field(
        "groups",
        "Names of the groups that it strikes. Without it: all.",
        then(strings(), group_indexes),
    );
    Rows::or("by", "target", "Who does it.")
        .row("target", "The embedded target closes its sessions.", code, |code| StormBy::Target { code })
        .below("client", "The clients leave.", groups, |groups, how| StormBy::Client { how, groups })
}

tagged! { StormBy => storm_rows }

/// The indexes of groups by their names.
fn group_indexes(names: Vec<String>, at: &At<'_>) -> Option<Vec<usize>> {
    // Where a group has no name, which there are is not known.
    let GroupNames(groups) = at.reading.told()?;
    let mut indexes = Vec::new();
    for name in names {
        match groups.iter().position(|group| *group == name) {
            Some(index) => indexes.push(index),
            None => at
                .between(format!("there is no group \"{name}\""), format!("there are {}", groups.join(", "))),
        }
    }
    Some(indexes)
}

table! {
    /// A disconnect that the client itself causes, again and again.
    #[derive(Copy, PartialEq, Eq)]
    pub struct ClientDisconnect {
        /// How long after a session became ready.
        after: Duration, needed "say how long after the session became ready, as after = \"10s\"" => above_zero();
        ..
        /// How.
        how: DisconnectHow;
    }
}

/// How a client leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisconnectHow {
    /// `"close"` with `code`: a close frame and the closing handshake.
    Close {
        /// The close code.
        code: u16,
    },
    /// `"rst"`: the connection is reset.
    Reset,
    /// `"half-open"`: the client falls silent and keeps the connection, until its keep-alive or silence timeout notices.
    HalfOpen,
}

fn how_rows() -> Rows<DisconnectHow> {
    let code = field("code", "The close code.", sent_code()).or(1000);
    Rows::or("how", "close", "How the client leaves.")
        .row("close", "A close frame and the closing handshake.", code, |code| DisconnectHow::Close { code })
        .row("rst", "The connection is reset.", (), |()| DisconnectHow::Reset)
        .row("half-open", "The client falls silent and keeps the connection, until its keep-alive or silence timeout notices.", (), |()| DisconnectHow::HalfOpen)
}

tagged! { DisconnectHow => how_rows }
