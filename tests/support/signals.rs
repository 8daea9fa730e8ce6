//! Signals to processes that a test started.

use std::process::Command;

/// Sends a signal by its name without `SIG`.
pub(crate) fn send(pid: u32, signal: &str) {
    let status = Command::new("kill").args(["-s", signal, &pid.to_string()]).status().unwrap();
    assert!(status.success(), "kill -s {signal} {pid}");
}
