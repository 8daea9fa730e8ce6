//! What tests of shards do with them: merge what they left, and see that none is left.

use std::path::{Path, PathBuf};
use std::process::Output;

use crate::support::processes::processes_of;
use crate::support::program::resurge;
use crate::support::scene::Scene;
use crate::support::waiting::until;

pub(crate) fn merge(runs: &[PathBuf], out: &Path) -> Output {
    resurge().arg("merge").args(runs).arg("--out").arg(out).output().unwrap()
}

/// Waits until no process of this scenario is left.
pub(crate) fn assert_no_process_is_left(scenario: &Scene) {
    until("its processes to be gone", || processes_of(&scenario.file()).is_empty());
}
