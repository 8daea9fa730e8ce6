//! The scenario: a TOML file becomes typed, checked data.

pub mod model;
