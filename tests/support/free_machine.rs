//! Runs again whatever a busy machine has spoiled.

use std::sync::Mutex;
use std::time::Duration;

/// How often a run is made, at most.
const MOST: u32 = 5;
/// Before a run is made for the nth time, this long for each.
const PAUSE: Duration = Duration::from_secs(1);
/// Who repeats does so alone: whatever is repeated was spoiled by what ran beside it.
static REPEATS: Mutex<()> = Mutex::new(());

/// Makes a run until it is valid, or has not been for another reason than that the machine was too busy, by its summary.
pub(crate) fn on_a_free_machine<R>(mut run: impl FnMut() -> R, summary: impl Fn(&R) -> String) -> R {
    let spoiled = |done: &R| {
        let summary = summary(done);
        let was_busy = summary.contains("! the generator ") || summary.contains("this machine was too busy");
        summary.starts_with("NOT VALID") && was_busy
    };
    let mut done = run();
    for nth in 1..MOST {
        if !spoiled(&done) {
            break;
        }
        // A test that failed while it repeated spoils nothing of the others.
        let _alone = REPEATS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        std::thread::sleep(nth * PAUSE);
        done = run();
    }
    done
}
