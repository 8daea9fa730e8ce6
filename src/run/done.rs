//! A run that came to its end: what it found, and where its files are.

use std::path::PathBuf;

use crate::report::{RunModel, WriteFault};

/// A run that came to its end.
#[derive(Debug)]
pub struct RunDone {
    /// What it found.
    pub model: RunModel,
    /// Its folder.
    pub folder: PathBuf,
    /// Files that could not be written.
    pub write_faults: Vec<WriteFault>,
}
