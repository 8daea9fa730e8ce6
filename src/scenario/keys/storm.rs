//! `[[storms]]` and `[[groups.disconnects]]`: disconnects that are forced.
//!
//! In: tables. Out: [`Storm`]s and [`ClientDisconnect`]s.

use std::time::Duration;

use crate::declare::{
    At, Rows, Table, above_zero, duration, field, meaning, sent_code, share_above_zero, string, strings,
    table, tagged, then,
};

use super::told::{EventTimes, GroupNames};

/// A disconnect forced on many clients at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Storm {
    /// When, after the run's start.
    pub at: Duration,
    /// Which share of the sessions, above 0%.
    pub fraction: f64,
    /// Who does it.
    pub by: StormBy,
}

table! {
    /// A disconnect forced on many clients at one moment.
    pub struct StormKeys {
        /// Which share of the sessions, above 0%.
        fraction: f64 = 1.0 => share_above_zero("the storm would strike nobody");
        ..
        /// Who does it, and when.
        strike: Strike;
    }
}

meaning! { Storm: StormKeys => storm_of }

/// A storm by an event strikes whom it strikes.
fn storm_of(keys: StormKeys, table: &Table<'_>) -> Option<Storm> {
    let StormKeys { fraction, strike: Strike { at, by } } = keys;
    if matches!(by, StormBy::Event { .. }) && fraction < 1.0 {
        let message = "a storm by an event has no `fraction` of its own";
        table.between(Some("fraction"), message, "take it out: it strikes whom the service loses");
    }
    Some(Storm { at, fraction, by })
}

/// Who forces a storm, and when.
#[derive(Debug, Clone)]
pub struct Strike {
    /// When, after the run's start.
    at: Duration,
    /// Who does it.
    by: StormBy,
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
    /// `by = "event"`: the service itself closes, for it was struck by an event.
    Event {
        /// The event's index.
        event: usize,
    },
}

fn strike_rows() -> Rows<Strike> {
    let at = || {
        field("at", "When, after the run's start.", duration())
            .needed("say when the storm strikes, as at = \"10s\"")
    };
    let code = field("code", "The close code.", sent_code()).or(1012);
    let groups = field(
        "groups",
        "Names of the groups that it strikes. Without it: all.",
        then(strings(), group_indexes),
    );
    let event = field(
        "event",
        "Name of the event. It strikes whom the service loses from the event's start until its `window` is over; times count from each loss.",
        then(string(), event_strike),
    )
    .needed("name the event that strikes, as event = \"reload\"");
    Rows::or("by", "target", "Who does it.")
        .row("target", "The embedded target closes its sessions.", (at(), code), |(at, code)| Strike {
            at,
            by: StormBy::Target { code },
        })
        .below("client", "The clients leave.", (at(), groups), |(at, groups), how| Strike {
            at,
            by: StormBy::Client { how, groups },
        })
        .row("event", "A service loses its sessions by an event of the scenario.", event, |strike| strike)
}

tagged! { Strike => strike_rows }

/// The storm by the event of that name.
#[expect(clippy::needless_pass_by_value, reason = "a meaning takes what was read")]
fn event_strike(name: String, at: &At<'_>) -> Option<Strike> {
    let EventTimes(times) = at.reading.told().unwrap_or_else(|| EventTimes(Vec::new()));
    let named: Vec<usize> =
        times.iter().enumerate().filter(|(_, (own, _))| *own == name).map(|(index, _)| index).collect();
    match named.as_slice() {
        [event] => return Some(Strike { at: times[*event].1, by: StormBy::Event { event: *event } }),
        [] => {
            let names: Vec<&str> = times.iter().map(|(name, _)| name.as_str()).collect();
            let there_are = if names.is_empty() {
                "there is none".to_owned()
            } else {
                format!("there are {}", names.join(", "))
            };
            at.between(format!("there is no event \"{name}\""), there_are);
        }
        _ => {
            at.between(format!("{} events are named \"{name}\"", named.len()), "give each a name of its own");
        }
    }
    None
}

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
