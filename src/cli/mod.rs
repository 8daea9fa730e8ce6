//! What was typed: a file for each subcommand.
//!
//! In: arguments. Out: text on the streams given, and an exit code.

pub mod serve;
