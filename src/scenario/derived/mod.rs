//! What is made from the keys: JSON Schema, reference page, words for `check`.

pub(crate) mod admission;
pub(crate) mod arrivals;
pub(crate) mod describe;
mod describe_events;
pub(crate) mod describe_simulate;
pub(crate) mod pages;
pub(crate) mod settings;
