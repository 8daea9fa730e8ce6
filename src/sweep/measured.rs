//! What was measured of a run: a value, or what it is longer than.
//!
//! In: a number, or a quantile that may lie beyond what was seen. Out: either, told apart.

use crate::record::Quantile;

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Measured {
    /// A value.
    Value(f64),
    /// A time that is longer than this, the longest that was seen.
    Beyond(f64),
}

impl Measured {
    /// The value, where it was seen.
    #[must_use]
    pub const fn seen(self) -> Option<f64> {
        match self {
            Self::Value(value) => Some(value),
            Self::Beyond(_) => None,
        }
    }

    /// What it is longer than, where it was not.
    #[must_use]
    pub const fn beyond(self) -> Option<f64> {
        match self {
            Self::Value(_) => None,
            Self::Beyond(least) => Some(least),
        }
    }
}

impl From<Quantile> for Measured {
    fn from(quantile: Quantile) -> Self {
        match quantile {
            Quantile::At(us) => Self::Value(us as f64),
            Quantile::Beyond(us) | Quantile::Never(us) => Self::Beyond(us as f64),
        }
    }
}
