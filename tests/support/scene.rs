//! A scenario in a folder of its own, and the command lines that run it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::program::resurge;

/// A folder that goes when this does, with a scenario in it.
pub(crate) struct Scene {
    home: TempDir,
}

impl Scene {
    pub(crate) fn new(scenario: &str) -> Self {
        let scene = Self { home: tempfile::tempdir().unwrap() };
        fs::write(scene.file(), scenario).unwrap();
        scene
    }

    /// A place in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The scenario.
    pub(crate) fn file(&self) -> PathBuf {
        self.path("scenario.toml")
    }

    /// What stands behind the program's name in the command line of a run, whose run folder is `out`.
    pub(crate) fn words(&self, out: &str, more: &[&str]) -> Vec<String> {
        let (file, out) = (self.file(), self.path(out));
        let own = ["run", file.to_str().unwrap(), "--out", out.to_str().unwrap()];
        own.iter().chain(more).map(|word| (*word).to_owned()).collect()
    }

    /// A run without a word about its progress.
    pub(crate) fn command(&self, out: &str, more: &[&str]) -> Command {
        let mut command = resurge();
        command.args(self.words(out, more)).args(["--progress", "none"]);
        command
    }
}
