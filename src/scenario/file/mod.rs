//! Reading and writing the file: overrides, copies, rules between tables.

pub(crate) mod ceilings;
pub(crate) mod check;
mod check_events;
pub(crate) mod copy;
pub(crate) mod edit;
pub(crate) mod error;
pub(crate) mod feeder;
pub(crate) mod load;
pub(crate) mod source;
