//! Storms that somebody asks for while the run goes on.
//!
//! In: storms, when they are asked for. Out: those that a client looks for. The one list of a run is shared by its groups and only ever grows; where nobody
//! asks, looking costs the reading of one number. In virtual time nobody asks.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::storm::StormRule;

/// The storms that were asked for so far.
#[derive(Debug, Clone, Default)]
pub struct AskedStorms(Arc<Asked>);

#[derive(Debug, Default)]
struct Asked {
    count: AtomicUsize,
    storms: RwLock<Vec<StormRule>>,
}

impl AskedStorms {
    /// One more, which is due now.
    pub fn add(&self, storm: StormRule) {
        let mut storms = self.0.storms.write().unwrap_or_else(PoisonError::into_inner);
        storms.push(storm);
        self.0.count.store(storms.len(), Ordering::Release);
    }

    /// Whether nobody has asked yet.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.count.load(Ordering::Acquire) == 0
    }

    /// The first that `look` finds, from the latest back.
    pub(super) fn find_back<T>(&self, look: impl Fn(&StormRule) -> Option<T>) -> Option<T> {
        self.0.storms.read().unwrap_or_else(PoisonError::into_inner).iter().rev().find_map(look)
    }
}
