//! How a run is split.

use crate::plan::Share;

/// How a run is split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// Into as many processes as this machine needs for it.
    Auto,
    /// Into so many, at least 1.
    Into(u32),
    /// This process runs one share; others run elsewhere.
    Share(Share),
}
