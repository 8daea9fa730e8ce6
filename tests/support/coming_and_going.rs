//! The scenario of most runs whose speed is not asked for.

/// Clients that come and go several times a second, and a run that is valid however busy the machine is. More tables may follow.
pub(crate) fn coming_and_going(clients: u32, duration: &str) -> String {
    format!(
        r#"
seed = 3
duration = "{duration}"
drain = "5s"
health = {{ max_lag_p99 = "60s", max_stall = "60s", max_delay = "60s", max_saturated_share = "100%" }}
[target]
idle_timeout = "200ms"
messages_every = "40ms"
[[groups]]
name = "g"
clients = {clients}
token = {{ client_id = "a", client_secret = "b", on_reconnect = "fetch" }}
reconnect = {{ backoff = {{ kind = "none" }} }}
# Where a client waits for more than the upgrade, the two sides' clocks are not compared: a busy machine is no fault here.
session = {{ ready = "first-message" }}
"#
    )
}
