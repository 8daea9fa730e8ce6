//! What a run needs of this machine, before it begins.
//!
//! In: a scenario and the machine's limits. Out: the numbers needed, or an error whose message holds the line that mends it.

use crate::scenario::model::{DisconnectHow, Grant, Group, Scenario, StormBy, Target, TokenConnection};

/// Descriptors for everything that is not a client's: runtimes, files, the listener.
const OVERHEAD: u64 = 64;

/// What a run needs at most at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// File descriptors of this process.
    pub descriptors: u64,
    /// Local ports towards one address of the target.
    pub ports: u64,
}

/// Why a run is not begun.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BudgetError {
    /// Descriptors would run out.
    #[error(
        "this run needs {needed} file descriptors, this process may open {limit}.\n  \
         Either allow more:      ulimit -n {needed}   (the hard limit is what `ulimit -Hn` prints)\n  \
         or run fewer clients:   --set groups.{largest}.clients={clients_that_fit}{hint}"
    )]
    Descriptors {
        /// How many it needs.
        needed: u64,
        /// How many it may have.
        limit: u64,
        /// Index of the largest group.
        largest: usize,
        /// How many clients of that group would fit.
        clients_that_fit: u64,
        /// Another way out.
        hint: &'static str,
    },
    /// Ports would run out.
    #[error(
        "this run needs {needed} local ports towards one address, this machine has {limit}.\n  \
         Allow more:  sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\""
    )]
    Ports {
        /// How many it needs.
        needed: u64,
        /// How many there are.
        limit: u64,
    },
}

/// What a scenario needs.
#[must_use]
pub fn needs(scenario: &Scenario) -> Needs {
    let connections: u64 =
        scenario.groups.iter().enumerate().map(|(index, group)| connections_of(scenario, index, group)).sum();
    // An embedded target holds the other end of each.
    let ends = if matches!(scenario.target, Target::Embedded(_)) { 2 } else { 1 };
    let ports = scenario.groups.iter().enumerate().map(|(index, group)| {
        let sources = group.connect.source_addresses.len().max(1) as u64;
        connections_of(scenario, index, group).div_ceil(sources)
    });
    Needs { descriptors: connections * ends + OVERHEAD, ports: ports.sum() }
}

/// Programs that a group runs at once for its tokens, at most.
const MOST_COMMANDS: u64 = 4;

/// Connections that a group holds at once, at most.
fn connections_of(scenario: &Scenario, index: usize, group: &Group) -> u64 {
    let clients = u64::from(group.clients);
    let tokens = group.token.as_ref().map_or(0, |token| match (&token.grant, token.connection) {
        (Grant::Fixed(_), _) => 0,
        (Grant::Command(_), _) => 3 * MOST_COMMANDS,
        (_, TokenConnection::Pooled) => u64::from(token.max_connections).min(clients),
        // A client fetches before it connects; only a refresh needs a second connection beside the session.
        (_, TokenConnection::Fresh) if token.refresh_before_expiry.is_some() => clients,
        (_, TokenConnection::Fresh) => clients.min(64),
    });
    // A connection that has fallen silent stays open beside the next.
    let own = group.disconnects.iter().any(|disconnect| disconnect.how == DisconnectHow::HalfOpen);
    let stormy = scenario.storms.iter().filter(|storm| match &storm.by {
        StormBy::Client { how: DisconnectHow::HalfOpen, groups } => {
            groups.as_ref().is_none_or(|groups| groups.contains(&index))
        }
        _ => false,
    });
    let silent = clients * (stormy.count() as u64 + u64::from(own));
    // Requests before a handshake have connections of their own, kept for a while.
    let steps = group.prepare.as_ref().is_some_and(|prepare| !prepare.steps.is_empty());
    clients + tokens + silent + if steps { clients } else { 0 }
}

/// Whether a scenario fits into `descriptor_limit` and `port_limit`.
///
/// # Errors
/// [`BudgetError`] when it does not.
pub fn check_budget(
    scenario: &Scenario,
    descriptor_limit: u64,
    port_limit: u64,
) -> Result<Needs, BudgetError> {
    let needs = needs(scenario);
    let is_embedded = matches!(scenario.target, Target::Embedded(_));
    if needs.descriptors > descriptor_limit {
        let sizes = scenario.groups.iter().enumerate();
        let (largest, clients) = sizes
            .map(|(index, group)| (index, u64::from(group.clients)))
            .max_by_key(|(_, clients)| *clients)
            .unwrap_or((0, 0));
        let each = if is_embedded { 2 } else { 1 };
        let excess = (needs.descriptors - descriptor_limit).div_ceil(each);
        return Err(BudgetError::Descriptors {
            needed: needs.descriptors,
            limit: descriptor_limit,
            largest,
            clients_that_fit: clients.saturating_sub(excess),
            hint: if is_embedded {
                "\n  or the target apart:     resurge serve, and kind = \"remote\" in [target] (half the descriptors)"
            } else {
                ""
            },
        });
    }
    if needs.ports > port_limit {
        return Err(BudgetError::Ports { needed: needs.ports, limit: port_limit });
    }
    Ok(needs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::load;

    fn scenario(target: &str, clients: u32) -> Scenario {
        let text = format!(
            "duration = \"60s\"\n[target]\n{target}\n[[groups]]\nname = \"g\"\nclients = {clients}\ntoken = {{ client_id = \"a\", client_secret = \"b\" }}\n"
        );
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("s.toml");
        std::fs::write(&file, text).unwrap();
        load(&file, &Vec::new(), None, &|_| None).unwrap().scenario
    }

    const REMOTE: &str =
        "kind = \"remote\"\nurl = \"ws://127.0.0.1:1/\"\ntoken_url = \"http://127.0.0.1:1/\"";

    #[test]
    fn the_usual_limit_holds_what_is_promised() {
        assert!(check_budget(&scenario("", 9_000), 20_000, 28_232).is_ok());
        assert!(check_budget(&scenario(REMOTE, 18_000), 20_000, 28_232).is_ok());
    }

    #[test]
    fn what_does_not_fit_is_told_with_the_line_that_mends_it() {
        let error = check_budget(&scenario("", 12_000), 20_000, 28_232).unwrap_err().to_string();
        assert!(error.contains("ulimit -n 24576"), "{error}");
        assert!(error.contains("--set groups.0.clients=9712"), "{error}");
        let fits = check_budget(&scenario("", 9_712), 20_000, 28_232);
        assert!(fits.is_ok(), "what it proposes fits: {fits:?}");
        let error = check_budget(&scenario(REMOTE, 40_000), 100_000, 28_232).unwrap_err().to_string();
        assert!(error.contains("ip_local_port_range"), "{error}");
    }
}
