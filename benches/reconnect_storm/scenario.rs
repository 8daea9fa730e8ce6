//! The scenarios of the comparison.

use std::net::SocketAddr;
use std::path::Path;

/// Connections over which tokens are fetched, on both sides.
pub(crate) const TOKEN_CONNECTIONS: usize = 64;

/// A group of clients that start over `over` seconds, and come back at once by a token of their own.
pub(crate) fn group(clients: usize, over: f64, token_rules: &str) -> String {
    format!(
        r#"[[groups]]
name = "g"
clients = {clients}
start = {{ over = "{over_ms}ms" }}
[groups.token]
client_id = "bench"
client_secret = "bench"
on_reconnect = "fetch"
{token_rules}
[groups.reconnect]
backoff = {{ kind = "none" }}"#,
        over_ms = (over * 1_000.0) as u64,
    )
}

pub(crate) fn scenario(target: SocketAddr, clients: usize, seconds: u64, over: f64) -> String {
    scenario_of(target, clients, seconds, over, None)
}

pub(crate) fn scenario_of(
    target: SocketAddr,
    clients: usize,
    seconds: u64,
    over: f64,
    ca: Option<&Path>,
) -> String {
    let (s, ca_file) = match ca {
        Some(path) => ("s", format!("ca_file = \"{}\"", path.display())),
        None => ("", String::new()),
    };
    let group = group(clients, over, &format!("max_connections = {TOKEN_CONNECTIONS}"));
    format!(
        r#"
name = "bench"
duration = "{seconds}s"
[target]
kind = "remote"
url = "ws{s}://{target}/api/v2/analytics/events"
token_url = "http{s}://{target}/oauth/token"
{ca_file}
{group}
"#
    )
}
