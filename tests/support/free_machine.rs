//! Runs again whatever a busy machine has spoiled.

/// How often a run is made, at most.
const MOST: usize = 3;

/// Makes a run until it is valid, or has not been for another reason than that the machine was too busy, by its summary.
pub(crate) fn on_a_free_machine<R>(mut run: impl FnMut() -> R, summary: impl Fn(&R) -> String) -> R {
    for _ in 1..MOST {
        let done = run();
        let summary = summary(&done);
        let was_busy = summary.contains("! the generator ") || summary.contains("this machine was too busy");
        if !summary.starts_with("NOT VALID") || !was_busy {
            return done;
        }
    }
    run()
}
