//! Runs of one small group against a service that takes note of who is hit.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;

use super::service::Service;
use crate::support::program::resurge;
use crate::support::run_folder::json;

/// Runs at once.
const AT_ONCE: usize = 8;

/// A group of one client.
pub(crate) struct Case {
    /// Lines of the target.
    pub(crate) target: String,
    /// Lines of the group.
    pub(crate) group: String,
}

pub(crate) fn to_url(url: &str) -> Case {
    Case { target: format!("url = \"{url}\""), group: "token = { grant = \"none\" }".into() }
}

pub(crate) fn near(group: &str) -> Case {
    Case { target: "url = \"ws://127.0.0.1:PORT/403\"".into(), group: group.into() }
}

pub(crate) fn token_at(url: &str) -> Case {
    near(&format!("token = {{ client_id = \"c\", client_secret = \"s\", url = \"{url}\" }}"))
}

pub(crate) fn step_at(url: &str, more: &str) -> Case {
    near(&format!(
        "token = {{ grant = \"none\" }}\nconnect = {{ url = \"{{uri}}\"{more} }}\nprepare = {{ steps = [{{ url = \"{url}\", save = {{ uri = \"/uri\" }} }}] }}"
    ))
}

/// An event that asks there.
pub(crate) fn hook_at(url: &str) -> Case {
    near(&format!(
        "token = {{ grant = \"none\" }}\n[[events]]\nat = \"0s\"\nhttp = {{ method = \"GET\", url = \"{url}\" }}"
    ))
}

pub(crate) struct World {
    pub(crate) home: PathBuf,
    pub(crate) service: Service,
    pub(crate) runs: usize,
}

impl World {
    pub(crate) fn text(&self, case: &Case) -> String {
        format!(
            "duration = \"30s\"\ndrain = \"250ms\"\n[target]\n{}\n[[groups]]\nname = \"g\"\nclients = 2\nreconnect = {{ max_attempts = 3, backoff = {{ kind = \"constant\", base = \"50ms\" }} }}\n{}\n",
            case.target, case.group
        )
        .replace("PORT", &self.service.port.to_string())
    }

    pub(crate) fn program(&mut self, command: &str, case: &Case, more: &[&str]) -> Output {
        self.runs += 1;
        let path = self.home.join(format!("case-{}.toml", self.runs));
        fs::write(&path, self.text(case)).unwrap();
        let out = self.home.join(format!("run-{}", self.runs));
        let mut program = resurge();
        program.arg(command).arg(&path).args(more).current_dir(&self.home);
        match command {
            "run" => program.args(["--progress", "none", "--out"]).arg(&out),
            _ => program.args(["--wait", "50ms", "--idle-timeout", "50ms"]),
        };
        program.output().unwrap()
    }

    pub(crate) fn run_json(&self) -> serde_json::Value {
        json(&self.home.join(format!("run-{}", self.runs)))
    }
}

/// Does something with each of several things, each with a service and a folder of its own: most of the time is waiting.
pub(crate) fn each_with_a_world<T: Sync>(home: &Path, things: &[T], work: impl Fn(&mut World, &T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(thing) = things.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let home = TempDir::new_in(home).unwrap();
                    work(
                        &mut World {
                            home: home.path().to_owned(),
                            service: Service::start("[::]:0"),
                            runs: 0,
                        },
                        thing,
                    );
                }
            });
        }
    });
}
