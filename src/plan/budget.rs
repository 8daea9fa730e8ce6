//! What a run needs of this machine, before it begins.
//!
//! In: a scenario, which share of its clients, and the machine's limits. Out: the numbers needed, how many shards would do, or an error whose message
//! holds the line that mends it.

use crate::scenario::keys::{DisconnectHow, Grant, Group, Scenario, StormBy, Target, TokenConnection};

use super::share::{MOST_SHARDS, Share};

/// Descriptors for everything that is not a client's: runtimes, files, the listener.
const OVERHEAD: u64 = 64;
/// Descriptors of the process that starts the shards, for each of them: two pipes, and at the end its journal.
const PARENT_EACH: u64 = 3;
/// Of the descriptors that a process may open, the share that a split plans with: what is left is for what the budget cannot know.
const HEADROOM: f64 = 0.9;
/// From so many clients on, a process of their own pays, as long as there are cores for it: one recorder takes the samples of all.
const PAYS_FROM: u64 = 10_000;

/// What this machine has, and over how many addresses of the target the clients spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// File descriptors that a process may open.
    pub descriptors: u64,
    /// Local ports of one source address towards one address and port of the target.
    pub ports: u64,
    /// Processors.
    pub cores: u64,
    /// Addresses that the target's name resolves to, or that the embedded target listens on; at least 1.
    pub target_addresses: u64,
}

/// What a process needs at most at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// File descriptors of this process.
    pub descriptors: u64,
    /// Local ports of one source address towards one address and port of the target.
    pub ports: u64,
}

/// Why a run is not begun.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BudgetError {
    /// Descriptors would run out.
    #[error(
        "this run needs {needed} file descriptors{}, a process may open {limit}.\n  \
         Either split it:         --shards {shards}   (--shards auto finds the number)\n  \
         or allow more:           ulimit -n {needed}   (the hard limit is what `ulimit -Hn` prints)\n  \
         or run fewer clients:    --set groups.{largest}.clients={clients_that_fit}{hint}", in_shards(*of)
    )]
    Descriptors {
        /// How many it needs.
        needed: u64,
        /// How many it may have.
        limit: u64,
        /// Into how many shards it is split.
        of: u32,
        /// Into how many it would have to be.
        shards: u32,
        /// Index of the largest group.
        largest: usize,
        /// How many clients of that group would fit.
        clients_that_fit: u64,
        /// Another way out.
        hint: &'static str,
    },
    /// The parent of the shards would run out of descriptors.
    #[error(
        "a run in {of} shards needs {needed} file descriptors in the process that starts them, which may open {limit}. \
         Name fewer shards ({shards} are enough), or allow more: ulimit -n {needed}"
    )]
    Shards {
        /// How many shards were asked for.
        of: u32,
        /// How many descriptors that needs.
        needed: u64,
        /// How many there may be.
        limit: u64,
        /// How many shards would do.
        shards: u32,
    },
    /// Ports would run out.
    #[error(
        "this run needs {needed} local ports of one address towards one address of the target, this machine has {limit}.\n  \
         Either use more addresses of this machine: connect.source_addresses = [...] in each group, {sources} of them{hint}\n  \
         or allow more ports:                       sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\""
    )]
    Ports {
        /// How many it needs.
        needed: u64,
        /// How many there are.
        limit: u64,
        /// How many source addresses would do.
        sources: u64,
        /// Another way out.
        hint: String,
    },
}

fn in_shards(of: u32) -> String {
    if of > 1 { format!(" in each of {of} shards") } else { String::new() }
}

/// What `share` of a scenario needs, where the clients spread over `target_addresses`.
#[must_use]
pub fn needs(scenario: &Scenario, share: Share, target_addresses: u64) -> Needs {
    needs_of(scenario, target_addresses, |index| at_once(scenario, index, share))
}

/// What the shard with the most to do needs at most, where a scenario is split into `of`.
fn widest(scenario: &Scenario, of: u32, target_addresses: u64) -> Needs {
    needs_of(scenario, target_addresses, |index| {
        u64::from(scenario.groups[index].at_once().div_ceil(of.max(1)))
    })
}

/// How many of a group's clients that are `share`'s own are there at once. Of those who come and go it has about its part; as many more as are within three
/// standard deviations of it.
fn at_once(scenario: &Scenario, index: usize, share: Share) -> u64 {
    let group = &scenario.groups[index];
    let clients = u64::from(share.clients_in(scenario, index));
    if group.arrivals.is_none() {
        return clients;
    }
    let part = f64::from(group.at_once()) / f64::from(share.of());
    let more = if share.is_whole() { 0.0 } else { 3.0 * part.sqrt() };
    clients.min((part + more).ceil() as u64)
}

fn needs_of(scenario: &Scenario, target_addresses: u64, clients: impl Fn(usize) -> u64) -> Needs {
    let mut needs = Needs { descriptors: OVERHEAD, ports: 0 };
    // An embedded target holds the other end of each.
    let ends = if is_embedded(scenario) { 2 } else { 1 };
    for (index, group) in scenario.groups.iter().enumerate() {
        let connections = connections_of(scenario, index, group, clients(index));
        let sources = group.connect.source_addresses.len().max(1) as u64;
        needs.descriptors += connections * ends;
        needs.ports += connections.div_ceil(sources * target_addresses.max(1));
    }
    needs
}

const fn is_embedded(scenario: &Scenario) -> bool {
    matches!(scenario.target, Target::Embedded(_))
}

/// Programs that a group runs at once for its tokens, at most.
const MOST_COMMANDS: u64 = 4;

/// Connections that `clients` of a group hold at once, at most.
fn connections_of(scenario: &Scenario, index: usize, group: &Group, clients: u64) -> u64 {
    let tokens = group.token.as_ref().map_or(0, |token| match (&token.grant, token.connection) {
        (Grant::Fixed(_) | Grant::Jwt(_), _) => 0,
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

/// The least number of processes that this machine can run a scenario in: as many as the descriptors ask for (with some in reserve), as the ports
/// ask for where each shard has a target of its own, and one for each core where there are clients enough.
#[must_use]
pub fn shards_needed(scenario: &Scenario, machine: &Machine) -> u32 {
    let clients = scenario.clients().max(1);
    let most = clients.min(MOST_SHARDS);
    let planned = (machine.descriptors as f64 * HEADROOM) as u64;
    let fits = |of: &u32| {
        let needs = widest(scenario, *of, machine.target_addresses);
        // Shards share the ports towards a service that they share: more of them bring no more ports.
        needs.descriptors <= planned && (needs.ports <= machine.ports || !is_embedded(scenario))
    };
    let whole = needs(scenario, Share::WHOLE, machine.target_addresses);
    let fits_whole =
        whole.descriptors <= machine.descriptors && (whole.ports <= machine.ports || !is_embedded(scenario));
    let least = if fits_whole { 1 } else { (1..=most).find(fits).unwrap_or(most) };
    let that_pay = machine.cores.min(u64::from(clients) / PAYS_FROM);
    least.max(u32::try_from(that_pay).unwrap_or(1)).clamp(1, most)
}

/// In how many processes each of `workers` machines like this one has to run its part of a scenario.
#[must_use]
pub fn processes_each(scenario: &Scenario, machine: &Machine, workers: u32) -> u32 {
    let clients = scenario.clients().max(1);
    let most = (clients / workers.max(1)).clamp(1, MOST_SHARDS);
    let planned = (machine.descriptors as f64 * HEADROOM) as u64;
    let fits = |each: &u32| widest(scenario, workers * each, machine.target_addresses).descriptors <= planned;
    if fits(&1) { 1 } else { (2..=most).find(fits).unwrap_or(most) }
}

/// Whether `share` of a scenario fits into one process of `machine`, where the other shards run elsewhere.
///
/// # Errors
/// [`BudgetError`] when it does not.
pub fn check_budget(scenario: &Scenario, machine: &Machine, share: Share) -> Result<Needs, BudgetError> {
    let needs = needs(scenario, share, machine.target_addresses);
    check(scenario, machine, share.of(), needs, needs.ports)
}

/// Whether a scenario fits into `of` processes of `machine`, all of them here.
///
/// # Errors
/// [`BudgetError`] when it does not.
pub fn check_split(scenario: &Scenario, machine: &Machine, of: u32) -> Result<Needs, BudgetError> {
    let parent = u64::from(of) * PARENT_EACH + OVERHEAD;
    if parent > machine.descriptors {
        let shards = shards_needed(scenario, machine);
        return Err(BudgetError::Shards { of, needed: parent, limit: machine.descriptors, shards });
    }
    let each = widest(scenario, of, machine.target_addresses);
    let ports = match is_embedded(scenario) {
        true => each.ports,
        false => needs(scenario, Share::WHOLE, machine.target_addresses).ports,
    };
    check(scenario, machine, of, each, ports)
}

fn check(
    scenario: &Scenario,
    machine: &Machine,
    of: u32,
    needs: Needs,
    ports: u64,
) -> Result<Needs, BudgetError> {
    let embedded = is_embedded(scenario);
    if needs.descriptors > machine.descriptors {
        let sizes = scenario.groups.iter().enumerate();
        let (largest, clients) = sizes
            .map(|(index, group)| (index, u64::from(group.clients)))
            .max_by_key(|(_, clients)| *clients)
            .unwrap_or((0, 0));
        let each = if embedded { 2 } else { 1 };
        let excess = (needs.descriptors - machine.descriptors).div_ceil(each) * u64::from(of);
        return Err(BudgetError::Descriptors {
            needed: needs.descriptors,
            limit: machine.descriptors,
            of,
            shards: shards_needed(scenario, machine),
            largest,
            clients_that_fit: clients.saturating_sub(excess),
            hint: if embedded {
                "\n  or the target apart:      resurge serve, and kind = \"remote\" in [target] (half the descriptors)"
            } else {
                ""
            },
        });
    }
    if ports > machine.ports {
        let sources = ports.div_ceil(machine.ports.max(1));
        return Err(BudgetError::Ports {
            needed: ports,
            limit: machine.ports,
            sources,
            hint: match embedded {
                true => format!(
                    "\n  or more of the target's:                   target.addresses = [\"127.0.0.1\", \"127.0.0.2\", ...], {sources} of them\n  \
                     or a target for each shard:                --shards {}",
                    shards_needed(scenario, machine)
                ),
                false => format!(
                    "\n  or more machines:                          --shard 1/{sources} here, the others elsewhere"
                ),
            },
        });
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
    const USUAL: Machine = Machine { descriptors: 20_000, ports: 28_232, cores: 2, target_addresses: 1 };

    #[test]
    fn the_usual_limit_holds_what_is_promised() {
        assert!(check_budget(&scenario("", 9_000), &USUAL, Share::WHOLE).is_ok());
        assert!(check_budget(&scenario(REMOTE, 18_000), &USUAL, Share::WHOLE).is_ok());
    }

    #[test]
    fn what_does_not_fit_is_told_with_the_line_that_mends_it() {
        let error = check_budget(&scenario("", 12_000), &USUAL, Share::WHOLE).unwrap_err().to_string();
        assert!(error.contains("ulimit -n 24576"), "{error}");
        assert!(error.contains("--shards 2 "), "{error}");
        assert!(check_split(&scenario("", 12_000), &USUAL, 2).is_ok(), "what it proposes fits");
        assert!(error.contains("--set groups.0.clients=9712"), "{error}");
        let fits = check_budget(&scenario("", 9_712), &USUAL, Share::WHOLE);
        assert!(fits.is_ok(), "what it proposes fits: {fits:?}");
        let many = Machine { descriptors: 100_000, ..USUAL };
        let error = check_budget(&scenario(REMOTE, 40_000), &many, Share::WHOLE).unwrap_err().to_string();
        assert!(
            error.contains("ip_local_port_range")
                && error.contains("source_addresses = [...] in each group, 2 of them"),
            "{error}"
        );
    }

    #[test]
    fn shards_that_share_a_service_share_the_ports_towards_it() {
        let remote = scenario(REMOTE, 40_000);
        assert!(matches!(check_split(&remote, &USUAL, 4), Err(BudgetError::Ports { needed: 40_256, .. })));
        let two_addresses = Machine { target_addresses: 2, ..USUAL };
        assert!(
            check_split(&remote, &two_addresses, 4).is_ok(),
            "a name with two addresses has twice the ports"
        );
        let elsewhere = check_budget(&remote, &USUAL, "1/4".parse().unwrap());
        assert!(elsewhere.is_ok(), "the others are on other machines: {elsewhere:?}");
        assert!(
            check_split(&scenario("", 100_000), &USUAL, 12).is_ok(),
            "each shard has a target of its own"
        );
    }

    #[test]
    fn as_many_shards_as_it_takes_and_no_more() {
        // (target, clients, shards)
        for (target, clients, shards) in [
            ("", 1, 1),
            ("", 9_000, 1),
            ("", 9_900, 2),
            ("", 20_000, 3),
            ("", 100_000, 12),
            (REMOTE, 15_000, 1),
            (REMOTE, 25_000, 2),
        ] {
            let scenario = scenario(target, clients);
            let found = shards_needed(&scenario, &USUAL);
            assert_eq!(found, shards, "{target} {clients}");
            assert!(widest(&scenario, found, 1).descriptors <= USUAL.descriptors, "{target} {clients}");
        }
        let tight = Machine { descriptors: 100, ..USUAL };
        let error = check_split(&scenario("", 60), &tight, 60).unwrap_err().to_string();
        assert!(error.contains("needs 244 file descriptors in the process that starts them"), "{error}");
        let large = Machine { descriptors: 1_000_000, ports: 60_000, cores: 16, target_addresses: 1 };
        assert_eq!(
            shards_needed(&scenario("", 45_000), &large),
            4,
            "a process for each 10,000 clients, while there are cores"
        );
        let none = Machine { descriptors: 100, ..USUAL };
        assert_eq!(
            shards_needed(&scenario("", 3), &Machine { descriptors: 60, ..none }),
            3,
            "no more than clients"
        );
    }
}
