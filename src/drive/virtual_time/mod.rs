//! The virtual-time driver: the same lifecycle and the same target's rules as on the network, without sockets, driven by a queue of events.
//!
//! In: a scenario, the target's rules, what takes time ([`StageTimes`]). Out: samples, in the order of their moments, and the target's counts.
//! One event at a time: what happens depends on the scenario and its seed alone. Nothing here reads a clock.
//!
//! From below: `slab`, `queue` and `frame` name things, moments and what goes to and fro; `network` and `request` hold what is under way,
//! together in `transit`. On these stand the two sides, which know nothing of each other: `service_side` with its `served_sessions`; and
//! `clients`, with `handshakes` and the `token_desk`. `at_service` and `at_client` carry out what comes to either side. `world` says which part
//! hears of what, and `run` has the loop.

mod at_client;
mod at_service;
mod audit;
mod certificates;
mod clients;
mod conversation;
mod end;
mod frame;
mod group;
mod handshakes;
mod holdings;
mod kept;
mod minted_book;
mod network;
mod pages;
mod queue;
mod refusal;
mod request;
mod run;
mod samples;
mod served_sessions;
mod service_side;
mod shared_token;
mod signing;
mod slab;
mod steps;
mod taker;
mod talking;
mod time_model;
mod token_answer;
mod token_ask;
mod token_desk;
mod token_reading;
mod transit;
mod unsupported;
mod wallet;
mod world;
mod written;

pub use end::{EndedBy, Lost, VirtualEnd};
pub use run::{VirtualRun, VirtualSetup};
pub use taker::{GoOn, SampleTaker};
pub use time_model::{MeasuredTimes, StageTime, StageTimes};
pub use unsupported::{UNSUPPORTED, Unsupported, unsupported};
