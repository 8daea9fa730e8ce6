//! The virtual-time driver: the same lifecycle and the same target's rules as on the network, without sockets, driven by a queue of events.
//!
//! In: a scenario, the target's rules, what takes time ([`StageTimes`]). Out: samples, in the order of their moments, and the target's counts.
//! One event at a time: what happens depends on the scenario and its seed alone. Nothing here reads a clock.

mod at_service;
mod audit;
mod clients;
mod frame;
mod group;
mod handshakes;
mod network;
mod queue;
mod refusal;
mod request;
mod run;
mod samples;
mod served_sessions;
mod service_side;
mod shared_token;
mod slab;
mod time_model;
mod token_answer;
mod token_desk;
mod transit;
mod unsupported;
mod world;

use crate::clock::Moment;
use crate::sample::Stamped;
use crate::service::counters::TargetCounters;

pub use run::{VirtualRun, VirtualSetup};
pub use time_model::{MeasuredTimes, StageTime, StageTimes};
pub use unsupported::unsupported;

/// Who takes what happens.
pub trait SampleTaker {
    /// Takes all of `samples`; they are in the order of their moments, and after those taken before.
    fn take(&mut self, samples: &mut Vec<Stamped>);

    /// All samples of `second` were taken. Answers whether the run goes on.
    fn close_second(&mut self, second: u64) -> GoOn;
}

/// Whether a run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GoOn {
    /// It does.
    Yes,
    /// It stops early: it drains.
    Stop,
}

/// What ended a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndedBy {
    /// Its time was over.
    Time,
    /// Every client was done before.
    ClientsDone,
    /// Whoever took the samples.
    Taker,
}

/// How a run in virtual time ended.
#[derive(Debug, Clone, PartialEq)]
pub struct VirtualEnd {
    /// What ended it.
    pub by: EndedBy,
    /// When the last client was done.
    pub elapsed: Moment,
    /// The target's counts, once it had seen the last session end.
    pub counters: TargetCounters,
    /// What the target did that no client came to know of.
    pub lost: Lost,
    /// Events that were worked off.
    pub events: u64,
    /// What an audit found; empty where none was asked for.
    pub faults: Vec<String>,
}

/// What one side knows and the other does not: exactly by how much their counts differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lost {
    /// TCP connections that clients count and the target does not, for no upgrade request came over them; less those that the target
    /// counts and a client that was cut off does not.
    pub requests: i64,
    /// Upgrades (101) whose answer found no client.
    pub upgrades: u64,
    /// Refusals of handshakes whose answer found no client.
    pub refusals: u64,
    /// Tokens that were issued to a client that had gone.
    pub tokens: u64,
}
