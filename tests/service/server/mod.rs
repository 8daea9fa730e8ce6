//! The target as a service, over real sockets on free ports.

mod common;
mod hostile;
mod http;
mod open;
mod services;
mod sessions;
