//! The embedded target: a service with a token endpoint and a guarded WebSocket endpoint.
//!
//! In: [`TargetRules`](crate::scenario::keys::TargetRules). Out: decisions ([`rules`], [`session`], [`token`], [`capacity`], [`delay`], [`faults`]: no
//! I/O, no clock), the [`server`] that carries them out on sockets, and its own exact [`counters`].

mod assertion;
mod binding;
mod bound;
pub mod capacity;
mod capacity_gate;
mod client_key;
pub mod counters;
mod credential;
pub mod delay;
mod families;
pub mod fates;
pub mod faults;
pub mod handle;
pub mod holder;
mod holds;
pub mod jwt;
mod limits;
pub mod message;
pub mod minted;
mod open;
pub mod origin;
pub mod pages;
mod passing;
pub mod presented;
mod refresh;
pub mod refusal;
pub mod refusal_text;
mod registry;
mod returns;
pub mod route_text;
pub mod routes;
pub mod rules;
pub mod saying;
mod script;
pub mod server;
pub mod session;
mod shown;
mod shows;
pub mod signature;
pub mod storms;
mod tally;
mod tickets;
pub mod token;
pub mod token_text;
mod topic_book;
pub mod topic_truth;
mod topics;
pub mod windows;

#[cfg(test)]
mod routes_tests;
#[cfg(test)]
mod rules_tests;
