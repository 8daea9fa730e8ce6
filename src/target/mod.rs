//! The embedded target: a service with a token endpoint and a guarded WebSocket endpoint.
//!
//! In: [`TargetRules`](crate::scenario::model::TargetRules). Out: decisions ([`rules`], [`session`], [`token`], [`delay`]: no
//! I/O, no clock) and its own exact [`counters`].

pub mod counters;
pub mod delay;
pub mod message;
mod registry;
pub mod rules;
pub mod session;
mod tally;
pub mod token;

#[cfg(test)]
mod rules_tests;
