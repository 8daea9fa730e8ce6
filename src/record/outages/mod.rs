//! Outages: sessions that are lost close together, and not because their time had come.
//!
//! In: when sessions began and how they ended, in bins of 100 ms. Out: when an outage's first and last session was lost, and how many. Pure.

mod find;
mod hazard;
mod lexis;
mod live;
mod run;

pub use find::{Outage, find_outages};
pub use lexis::{Lexis, LexisBuilder};
pub use live::{LiveOutage, Recent};
pub use run::{Chain, OutageIn, RunOutage, run_outages};
