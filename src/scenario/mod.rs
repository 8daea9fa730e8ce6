//! The scenario: a TOML file becomes typed, checked data, or every fault at once.
//!
//! In: a path and what the command line adds to it. Out: [`keys::Scenario`], its copy and its hash. Start with [`keys`]: a file for each table.
//!
//! ```text
//! keys      the tables: each key once, with its type, default, bounds, description (what that is made of: `declare`)
//! file      reading, overrides, copies; rules between tables
//! derived   from the keys: JSON Schema, reference page, words for `check`
//! ```

mod derived;
mod file;
pub mod keys;
mod policies;
mod profiles;
mod shipped;

pub use crate::declare::{Fault, Faults, Rule};
pub use derived::admission::{Admission, admission_of};
pub use derived::arrivals::{Arrival, Schedule, arrivals, arrivals_of};
pub use derived::describe::describe;
pub use derived::describe_simulate::{describe_delay, describe_simulate};
pub use derived::pages::{reference, schema};
pub use file::edit::Overrides;
pub use file::error::ScenarioError;
pub use file::load::{Loaded, load, load_for_traffic, load_target_rules, target_rules_of};
#[cfg(feature = "cluster")]
pub use file::load::{load_text, load_to_lead};
pub use file::source::{is_address, is_read_again};
pub use keys::threshold::{parse_threshold, share_named, share_names};
pub use policies::policy_names;
pub use profiles::{profile_names, profile_text};
pub use shipped::{SHIPPED, ShippedScenario, shipped_path, shipped_scenario};

#[cfg(test)]
mod name_server_tests;
#[cfg(test)]
mod talk_threshold_tests;
#[cfg(test)]
mod tests;

#[cfg(test)]
mod event_tests;
#[cfg(test)]
mod mqtt_tests;
#[cfg(test)]
mod token_tests;
