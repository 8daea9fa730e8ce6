//! The program as people use it: commands, what they print, their exit codes, the files that they leave.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that meets what it does not expect has failed"
)]

#[path = "../support"]
mod support {
    pub(crate) mod begun;
    pub(crate) mod coming_and_going;
    pub(crate) mod free_machine;
    pub(crate) mod output;
    pub(crate) mod processes;
    pub(crate) mod program;
    pub(crate) mod run_folder;
    pub(crate) mod scene;
    pub(crate) mod served;
    pub(crate) mod signals;
    pub(crate) mod tables;
    pub(crate) mod waiting;
}

mod away;
mod bad_input;
mod diagnose;
mod diagnose_handshakes;
mod diagnose_strangers;
mod endings;
mod events;
mod first_minute;
mod live;
mod own_folder;
mod remote_targets;
mod runs;
mod settings;
mod shipped;
mod simulate;
mod stranger;
mod sweep;
