//! The program under test.

use std::process::{Command, Stdio};

pub(crate) fn resurge() -> Command {
    resurge_behind(&[])
}

/// The program behind the words of a command that ends in it, as `taskset -c 0`. It does not take the tests' own run for a step of a workflow.
pub(crate) fn resurge_behind(words: &[&str]) -> Command {
    let words = [words, &[env!("CARGO_BIN_EXE_resurge")]].concat();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::null());
    command.env_remove("GITHUB_ACTIONS").env_remove("GITHUB_STEP_SUMMARY");
    command
}
