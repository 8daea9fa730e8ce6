//! The engine: walks the plan, starts clients when they are due, strikes storms, stops and drains.
//!
//! In: populations of clients with their due times, storms, the run's end. Out: how the run ended. It keeps no
//! statistics and never prints.

mod control;
mod walk;

pub use control::{RunControl, StopReason};
pub use walk::{EnginePlan, Population, StormStrike, walk_plan};
