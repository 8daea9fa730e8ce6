//! Waiting for something to be so, with a deadline.

use std::time::Duration;

/// Waits until that holds, for a minute.
pub(crate) fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..6_000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(holds(), "a minute was not enough for {what}");
}
