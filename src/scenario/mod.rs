//! The scenario: a TOML file becomes typed, checked data, or every fault at once.
//!
//! In: a path and what the command line adds to it. Out: [`keys::Scenario`], its copy and its hash. Start with [`keys`]: a file for each table.
//!
//! ```text
//! keys      the tables: each key once, with its type, default, bounds, description
//! declare   what such a declaration is made of
//! file      reading (spans, faults, secrets), overrides, copies; rules between tables
//! derived   from the keys: JSON Schema, reference page, words for `check`
//! ```

mod declare;
mod derived;
mod file;
pub mod hidden;
pub mod keys;
mod policies;
mod profiles;
pub mod template;

pub use derived::describe::describe;
pub use derived::describe_simulate::{describe_delay, describe_simulate};
pub use derived::reference::reference;
pub use derived::schema::schema;
pub use file::edit::Overrides;
pub use file::fault::{Fault, Faults, Rule, ScenarioError};
pub use file::load::{Loaded, load, load_for_traffic, load_target_rules, target_rules_of};
pub use file::secrets::bare_url;
pub use keys::threshold::{parse_threshold, share_named, share_names};
pub use policies::policy_names;
pub use profiles::{profile_names, profile_text};

#[cfg(test)]
mod tests;
