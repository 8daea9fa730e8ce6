//! Truth: what a run tells is so, or the run is marked not valid. A binary of its own, whose tests run one after the other: other tests' load would be told
//! as theirs.
#![expect(clippy::unwrap_used, reason = "a test that meets what it does not expect has failed")]

#[path = "../support"]
mod support {
    pub(crate) mod alone;
    pub(crate) mod begun;
    pub(crate) mod free_machine;
    pub(crate) mod output;
    pub(crate) mod program;
    pub(crate) mod run_folder;
    pub(crate) mod scene;
    pub(crate) mod signals;
    pub(crate) mod tables;
    pub(crate) mod waiting;
}

mod latency;
mod under_load;

/// A scenario of one group, whose clients come back at once with a new token.
fn scenario(clients: u32, over: &str, duration: &str, target: &str) -> String {
    format!(
        r#"
duration = "{duration}"
[target]
{target}
[[groups]]
name = "g"
clients = {clients}
start = {{ over = "{over}" }}
[groups.token]
client_id = "a"
client_secret = "b"
on_reconnect = "fetch"
[groups.reconnect]
backoff = {{ kind = "none" }}
"#
    )
}
