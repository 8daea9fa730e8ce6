//! What must not harm: strangers' input, secrets in the wrong place, kills, full disks, crates of others.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that meets what it does not expect has failed"
)]

#[path = "../support"]
mod support {
    pub(crate) mod coming_and_going;
    pub(crate) mod output;
    pub(crate) mod processes;
    pub(crate) mod program;
    pub(crate) mod requests;
    pub(crate) mod scene;
    pub(crate) mod served;
    pub(crate) mod signals;
    pub(crate) mod whole_request;
}

mod canary;
mod failing_disk;
mod kill_nine;
mod supply_chain;
