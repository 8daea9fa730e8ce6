//! resurge: a load-simulation harness for token-authenticated WebSocket services.
//!
//! Thousands of virtual clients, each with its own OAuth2 token lifecycle, are forced off their sessions and come
//! back; resurge records how: the latency of each reconnect phase by phase, refusals and their causes, throughput.
//!
//! Data flows one way, and a module imports only from those above it and from the vocabulary
//! ([`units`], [`clock`], [`random`], [`sample`], [`exit_code`], [`declare`], [`machine`], and `event_loop`, which only
//! those use that have threads of their own):
//!
//! ```text
//! scenario ─▶ plan ─▶ engine ─spawns▶ clients (lifecycle, driven by drive) ─samples▶ record ─▶ run folder ─▶ report, compare
//!                                          ▲▼
//!                                        service
//! ```
//!
//! What always holds:
//! - every attempt has exactly one outcome ([`sample::Outcome`]), so `attempts == Σ outcomes` in every report;
//! - the lifecycle ([`lifecycle`]) and the service's rules ([`service::rules`]) do no I/O, read no clock and draw no
//!   randomness but from the stream that they were given;
//! - every report derives from the run's journal ([`record`]);
//! - only [`clock`] asks the system for the time.
//!
//! Start reading at [`run`], which leads one scenario from its file to its verdict. [`diagnose`] instead sends a single client
//! through controlled experiments.

pub mod access;
pub mod clock;
pub mod deflate;
mod event_loop;
pub mod exit_code;
pub mod jose;
pub mod machine;
pub mod mqtt;
pub mod random;
pub mod sample;
pub mod signing;
pub mod units;

pub mod declare;
pub mod scenario;

pub mod plan;

pub mod conversation;

pub mod lifecycle;

pub mod service;

pub mod observe;

pub mod drive;

pub mod engine;

pub mod record;

pub mod report;

pub mod compare;

pub mod sweep;

pub mod run;

pub mod diagnose;
pub mod draft;

#[cfg(feature = "cluster")]
pub mod launch;

pub mod cli;
