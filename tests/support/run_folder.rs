//! What a run folder says of its run.

use std::fs;
use std::path::Path;

/// Its `run.json`.
pub(crate) fn json(folder: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(folder.join("run.json")).unwrap()).unwrap()
}
