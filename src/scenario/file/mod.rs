//! Reading and writing the file: spans, faults, secrets, overrides, copies.

pub(crate) mod ceilings;
pub(crate) mod check;
pub(crate) mod copy;
pub(crate) mod edit;
pub(crate) mod fault;
pub(crate) mod feeder;
pub(crate) mod load;
pub(crate) mod reader;
pub(crate) mod secrets;
