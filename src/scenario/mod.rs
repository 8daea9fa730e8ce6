//! The scenario: a TOML file becomes typed, checked data, or every fault at once.
//!
//! In: a path and what the command line adds to it. Out: [`model::Scenario`], its copy and its hash.

mod ceilings;
mod check;
mod describe;
mod describe_simulate;
mod edit;
mod fault;
mod feeder;
mod health_model;
mod limits_model;
mod load;
pub mod model;
mod parse;
mod parse_common;
mod parse_delay;
mod parse_fault;
mod parse_group;
mod parse_limit;
mod parse_prepare;
mod parse_reconnect;
mod parse_refusal;
mod parse_rules;
mod parse_script;
mod parse_simulate;
mod parse_tickets;
mod policies;
pub mod prepare_model;
mod profiles;
mod reader;
mod schema;
mod schema_simulate;
mod schema_target;
mod secrets;
mod shown;
mod simulate_model;
mod target_fault;
mod target_model;
pub mod target_script;
pub mod template;
mod threshold;
mod threshold_model;

pub use describe::describe;
pub use describe_simulate::{describe_delay, describe_simulate};
pub use fault::{Fault, Faults, ScenarioError};
pub use load::{Loaded, load, load_for_traffic, load_target_rules, target_rules_of};
pub use policies::policy_names;
pub use profiles::{profile_names, profile_text};
pub use schema::schema;
pub use secrets::bare_url;
pub use threshold::{parse_threshold, share_named, share_names};

#[cfg(test)]
mod tests;
