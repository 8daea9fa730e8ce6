//! One at a time of what would keep each other waiting.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// While it is held nobody else of this binary has it.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
