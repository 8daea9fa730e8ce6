//! Drivers of the lifecycle: they carry out a virtual client's actions and tell it what happened.
//!
//! [`network`] does so with real sockets in real time.

pub mod network;
mod sink;

pub use sink::{CHANNEL_CAPACITY, SampleSink, sample_channel};
