//! A run under way, to be watched and acted on: its page, and what may be asked of it.
//!
//! In: how the run stands, each second; requests of a browser. Out: the page and its news; storms and the run's stop, given to who leads the run.

mod commands;
mod server;
mod striker;

pub(super) use commands::{LiveCommand, StormOrder, next_command};
pub use commands::{LiveCommands, LiveControl, StormAnswer, live_commands};
pub use server::{LiveFeed, LiveServer};
pub(super) use striker::{Striker, check as check_storm};
