//! Drivers of the lifecycle: they carry out a virtual client's actions and tell it what happened.
//!
//! [`network`] does so with real sockets in real time, [`virtual_time`] with neither.

mod driver;
pub mod network;
mod sink;
mod timers;
pub mod virtual_time;

pub use driver::Driver;
pub use sink::{SampleSink, sample_channel};
pub use timers::{Sleep, Timers};
