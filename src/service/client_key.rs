//! The name of a client id within one target: a number, for the tables of the rules.

/// Names a client id of one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ClientKey(u32);

impl ClientKey {
    /// The name of the client id that came as number `index`.
    pub(super) fn of(index: usize) -> Self {
        Self(u32::try_from(index).unwrap_or(u32::MAX))
    }

    /// Which number it came as.
    pub(super) const fn index(self) -> usize {
        self.0 as usize
    }
}
