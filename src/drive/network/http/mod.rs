//! HTTP/1.1 requests of clients that wait for the answer: those for tokens, and those before a handshake.
//!
//! In: a request. Out: the answer's head and its body, up to a cap. A group has one client, with one pool of connections, on each worker;
//! hyper speaks the protocol.

mod client;
mod link;
mod pool;

pub(super) use client::{HttpClient, HttpFailure, HttpRequest, HttpTarget};
pub(super) use link::read;
