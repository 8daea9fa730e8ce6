//! The embedded target: a service with a token endpoint and a guarded WebSocket endpoint.

pub mod counters;
pub mod rules;
