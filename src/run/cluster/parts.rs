//! The further processes of a worker whose part of a run takes several: one can hold only so many connections.
//!
//! In: the worker's first share. Out: a worker for each further share, on this machine; wishes to stop that reach this process reach them too.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use crate::exit_code::ExitCode;
use crate::machine::{StopSignals, ask_process_to_end, own_group};
use crate::plan::Share;

use super::super::error::RunError;
use super::request::WorkRequest;
use super::spec::RunSpec;

/// The further processes of a worker.
pub(super) struct Parts {
    children: Vec<Child>,
}

impl Parts {
    /// There are none.
    pub(super) const fn none() -> Self {
        Self { children: Vec::new() }
    }

    /// Starts those of the worker whose first share is `first`.
    ///
    /// # Errors
    /// One could not be started; then none is left.
    pub(super) fn start(request: &WorkRequest, spec: &RunSpec, first: Share) -> Result<Self, RunError> {
        let mut parts = Self::none();
        for nth in 1..spec.processes {
            let shard = first.shard() + nth * spec.workers;
            match part(request, shard).spawn() {
                Ok(child) => parts.children.push(child),
                Err(source) => {
                    parts.children.iter_mut().for_each(|child| drop(child.kill()));
                    return Err(RunError::Start { what: "a further process of this worker", source });
                }
            }
        }
        let pids: Vec<u32> = parts.children.iter().map(Child::id).collect();
        if !pids.is_empty() {
            std::thread::Builder::new()
                .name("parts".to_owned())
                .spawn(move || pass_on(&pids))
                .map_err(|source| RunError::Start { what: "the thread that passes signals on", source })?;
        }
        Ok(parts)
    }

    /// Waits for them; answers with the gravest of their exit codes.
    pub(super) fn wait(self) -> ExitCode {
        let ended = self.children.into_iter().map(|mut child| match child.wait() {
            Ok(status) => {
                let code = status.code().and_then(|code| u8::try_from(code).ok());
                code.and_then(|code| ExitCode::try_from(code).ok()).unwrap_or(ExitCode::Incomplete)
            }
            Err(_) => ExitCode::Incomplete,
        });
        ended.fold(ExitCode::Pass, ExitCode::max_by_gravity)
    }
}

/// The worker of one further share.
fn part(request: &WorkRequest, shard: u32) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap_or_else(|_| PathBuf::from("resurge")));
    // A password may stand in the address: not where every user of the machine sees it.
    command.env("RESURGE_CLUSTER", &request.link.address).args(["worker", "--part"]);
    command.args(["--run", &request.run.to_string(), "--index", &shard.to_string()]);
    let path = |command: &mut Command, option: &str, path: &Option<PathBuf>| {
        if let Some(path) = path {
            command.arg(option).arg(path);
        }
    };
    path(&mut command, "--nats-creds", &request.link.creds);
    path(&mut command, "--nats-ca", &request.link.ca_file);
    path(&mut command, "--out", &request.out.as_deref().map(|out| beside(out, shard)));
    for host in &request.authorised {
        command.args(["--authorize", host]);
    }
    let flags = [("--nats-insecure", request.link.insecure), ("--allow-commands", request.allow_commands)];
    command.args(flags.into_iter().filter(|(_, is_set)| *is_set).map(|(flag, _)| flag));
    let time = |time: std::time::Duration| format!("{}ms", time.as_millis());
    command.args(["--wait", &time(request.wait), "--upload-within", &time(request.upload_within)]);
    if let Some(grace) = request.orphan_grace {
        command.args(["--orphan-grace", &time(grace)]);
    }
    // A Ctrl-C reaches this process alone, which passes it on: twice would cut them off.
    own_group(&mut command);
    command
}

/// The folder of a further share, beside that of the first.
fn beside(out: &Path, shard: u32) -> PathBuf {
    let name = out.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    out.with_file_name(format!("{name}-{shard}"))
}

/// Passes each wish to stop on.
fn pass_on(pids: &[u32]) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    runtime.block_on(async {
        let Ok(mut signals) = StopSignals::listen() else { return };
        loop {
            signals.next().await;
            pids.iter().for_each(|pid| ask_process_to_end(*pid));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folders_of_further_shares_lie_beside_the_first() {
        assert_eq!(beside(Path::new("/tmp/out/w1"), 9), Path::new("/tmp/out/w1-9"));
        assert_eq!(beside(Path::new("w1/"), 9), Path::new("w1-9"));
    }
}
