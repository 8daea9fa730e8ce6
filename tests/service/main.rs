//! The embedded target: what it does as a service, how it plays other services, its faults.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that meets what it does not expect has failed"
)]

#[path = "../support"]
mod support {
    pub(crate) mod free_machine;
    pub(crate) mod in_process;
    pub(crate) mod program;
    pub(crate) mod served;
}

mod faults;
mod server;
mod shipped;
