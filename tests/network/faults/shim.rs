//! A process of our own program whose calendar and names can be meddled with.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use super::strike::Effect;

/// What stands before the C library of a process.
pub(crate) struct Shim {
    told: PathBuf,
}

impl Shim {
    /// A shim whose file is in `home`.
    pub(crate) fn new(home: &Path) -> Self {
        let told = home.join("shim");
        std::fs::write(&told, [0; 24]).unwrap();
        Self { told }
    }

    /// Has a process run behind it.
    pub(crate) fn stand_before(&self, command: &mut Command) {
        command.env("LD_PRELOAD", library()).env("RESURGE_TEST_SHIM", &self.told);
    }

    /// The calendar goes so many seconds forward, or back. It stays there.
    pub(crate) fn jump(&self, seconds: i64) -> Effect {
        let told = self.told.clone();
        Arc::new(move |begins| {
            if begins {
                tell(&told, 0, seconds);
            }
        })
    }

    /// While it lasts no name resolves: at all (1), or in time (2).
    pub(crate) fn names(&self, how: i64) -> Effect {
        let told = self.told.clone();
        Arc::new(move |begins| tell(&told, 8, if begins { how } else { 0 }))
    }

    /// Whether the process has asked it for anything.
    pub(crate) fn was_asked(&self) -> bool {
        std::fs::read(&self.told).unwrap()[16..24].iter().any(|byte| *byte != 0)
    }
}

fn tell(told: &Path, at: u64, number: i64) {
    let file = std::fs::OpenOptions::new().write(true).open(told).unwrap();
    file.write_all_at(&number.to_ne_bytes(), at).unwrap();
}

/// The shim, built by the C compiler once.
fn library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/network/faults/shim.c");
        let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join("network_faults_shim.so");
        let output = Command::new("cc")
            .args(["-O1", "-Wall", "-shared", "-fPIC", "-o"])
            .arg(&built)
            .arg(source)
            .arg("-ldl")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        built
    })
}

#[test]
fn the_shim_moves_the_calendar_of_a_process() {
    let home = tempfile::tempdir().unwrap();
    let shim = Shim::new(home.path());
    shim.jump(3_600)(true);
    let seconds = |command: &mut Command| {
        let output = command.arg("+%s").output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse::<i64>().unwrap()
    };
    let here = seconds(&mut Command::new("date"));
    let mut moved = Command::new("date");
    shim.stand_before(&mut moved);
    let there = seconds(&mut moved);
    assert!((3_500..3_700).contains(&(there - here)), "{there} is not an hour after {here}");
    assert!(shim.was_asked());
}
