//! Setting up: what the clients of a worker share, and those of a group on it.
//!
//! In: the scenario's rules for a group, the target's address. Out: [`RunShared`] and [`GroupContext`], built once for each worker. A client
//! keeps only a pointer to them: headers, URLs and TLS are not its own.

mod context;
mod error;
mod header_lines;
mod target;
mod worker;

pub use context::{GroupContext, GroupSetup};
pub use error::ContextError;
pub(in crate::drive) use header_lines::header_lines;
pub use target::TargetAddress;
pub use worker::RunShared;
