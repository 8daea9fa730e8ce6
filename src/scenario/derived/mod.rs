//! What is made from the keys: JSON Schema, reference page, words for `check`.

pub(crate) mod describe;
pub(crate) mod describe_simulate;
pub(crate) mod reference;
pub(crate) mod schema;
pub(crate) mod settings;
pub(crate) mod words;
