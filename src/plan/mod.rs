//! The plan: who starts when, what it needs of this machine. Pure.
//!
//! In: a scenario. Out: due times computed by function (no memory for each client), storms as the lifecycle sees them, and
//! the budget of descriptors and ports, checked before the run; and which clients are a shard's own.

mod budget;
mod numbering;
mod own_limits;
mod share;
mod starts;
mod storms;

pub use budget::{
    BudgetError, Machine, Needs, check_budget, check_split, needs, processes_each, shards_needed,
};
pub use numbering::first_number;
pub use own_limits::own_limits;
pub use share::{MOST_SHARDS, NoShare, Share};
pub use starts::{own_starts, starts};
pub use storms::target_storms;
