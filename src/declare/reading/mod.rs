//! Reading a TOML document value by value: every fault at once, each with its place, none with a secret.

pub(crate) mod fault;
pub(crate) mod reader;
pub(crate) mod secrets;
