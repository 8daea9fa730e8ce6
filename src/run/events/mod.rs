//! What a run does to the service itself, and what is told of the service from outside, while it goes on.
//!
//! In: the scenario's events; `resurge mark`, SIGUSR1. Out: marks in the journal, each with what came of it. It is done by the first share alone, however
//! many there are. Whatever was started is ended with the run: [`command`], or [`guard`] where the run itself was killed.

mod command;
mod door;
mod groups;
mod guard;
mod knock;
mod marks;
mod pid_file;
mod runner;
mod tail;

pub(super) use door::Door;
pub use guard::guard_commands;
pub use knock::{KnockError, mark_run};
pub(super) use marks::{Marks, OnMark, OnNote};
pub(super) use runner::Runner;
