//! Clients over real sockets: every way to the target, everything that networks and services do to them, and whom they may hit.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that meets what it does not expect has failed"
)]

#[path = "../support"]
mod support {
    pub(crate) mod alone;
    pub(crate) mod free_machine;
    pub(crate) mod in_process;
    pub(crate) mod output;
    pub(crate) mod program;
    pub(crate) mod requests;
    pub(crate) mod run_folder;
    pub(crate) mod scene;
    pub(crate) mod served;
    pub(crate) mod signals;
    pub(crate) mod tables;
    pub(crate) mod topics;
    pub(crate) mod whole_request;
}

mod authority;
mod both;
mod bound_tokens;
mod causes;
mod compression;
mod driver;
mod ends;
mod faults;
mod mqtt;
mod observe;
mod options;
mod policies;
mod requests;
mod signatures;
mod signed;
mod steps;
mod target_tls;
mod token_lifecycles;
mod token_requests;
