//! Which of a scenario's storms.
//!
//! In: nothing. Out: [`StormId`].

use serde::{Deserialize, Serialize};

/// Index of a storm in the scenario's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StormId(pub u16);

impl StormId {
    /// Of that index.
    #[must_use]
    pub fn of(index: usize) -> Self {
        Self(u16::try_from(index).unwrap_or(u16::MAX))
    }
}
