//! Tokens: where a group's come from, and what is made of the answers.
//!
//! In: the group's grant, what a client needs. Out: a token and what is known of it, or why there is none. A token is never logged.

mod answer;
mod command;
mod dpop;
mod endpoint;
mod form;
mod grant;
mod mint;
mod pool;
mod shared;
mod source;
mod watched;

pub use answer::Refusal;
pub(super) use answer::{Acquired, Wish};
pub(in crate::drive) use answer::{Token, tls_code};
pub(super) use command::read_output;
pub(super) use dpop::DPOP_NONCE;
pub(in crate::drive) use dpop::{DpopBook, Prover, ShownTo, USE_NONCE, proved_uri};
pub(super) use endpoint::TokenEndpoint;
pub(in crate::drive) use grant::{Places, Unreadable, read_answer};
pub(super) use pool::PoolWaits;
pub(super) use source::{TokenCommon, TokenMeans, TokenSource};
