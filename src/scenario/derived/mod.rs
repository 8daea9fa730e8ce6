//! What is made from the keys: JSON Schema, reference page, words for `check`.

pub(crate) mod admission;
pub(crate) mod describe;
pub(crate) mod describe_simulate;
pub(crate) mod pages;
pub(crate) mod settings;
