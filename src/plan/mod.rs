//! The plan: who starts when, what it needs of this machine. Pure.
//!
//! In: a scenario. Out: due times computed by function (no memory for each client), storms as the lifecycle sees them, and
//! the budget of descriptors and ports, checked before the run.

mod budget;
mod starts;
mod storms;

pub use budget::{BudgetError, Needs, check_budget, needs};
pub use starts::{first_number, starts};
pub use storms::target_storms;
