//! The processes that events have started, by their process groups.
//!
//! In: groups, as commands begin and end. Out: none of them, once the run is over: each gets a SIGTERM, and after a while a SIGKILL. A process that has left
//! its group (setsid(2)) is not found. A guard ([`super::guard`]) knows the groups too, in case this process is killed.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::machine::{HAS_SIGNALS, ask_group_to_end, end_group, has_living, own_group};

use super::guard::{GRACE, GUARD_COMMAND, begun_line, over_line};

/// How often a group is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// How long the guard gets to hear, or to end.
const GUARD_PATIENCE: Duration = Duration::from_secs(1);

/// Process groups that are to be gone with the run.
pub(super) struct Groups {
    live: Mutex<BTreeSet<i32>>,
    guard: tokio::sync::Mutex<Option<Child>>,
}

impl Groups {
    /// None yet, and a guard beside them.
    pub(super) fn guarded() -> Self {
        let guard = start_guard().inspect_err(|error| {
            log::warn!(
                "commands of events have no guard ({error}): where this process is killed by SIGKILL, they go on"
            );
        });
        Self { live: Mutex::default(), guard: tokio::sync::Mutex::new(guard.ok()) }
    }

    /// A group has begun.
    pub(super) async fn begun(&self, group: i32) {
        self.lock().insert(group);
        self.tell_guard(&begun_line(group)).await;
    }

    /// Forgets a group of which nobody is left. Answers whether somebody is.
    pub(super) async fn has_left_some(&self, group: i32) -> bool {
        let is_alive = has_living(group);
        if !is_alive {
            self.forget(group).await;
        }
        is_alive
    }

    async fn forget(&self, group: i32) {
        self.lock().remove(&group);
        self.tell_guard(&over_line(group)).await;
    }

    /// Ends a group, whose leader `child` is where it is still waited for.
    pub(super) async fn end(&self, group: i32, mut child: Option<&mut Child>, grace: Duration) {
        if !HAS_SIGNALS && let Some(child) = child.as_mut() {
            // One that has exited cannot be ended.
            let _ = child.start_kill();
        }
        let mut is_gone = async |end: fn(i32), patience: Duration| {
            end(group);
            let mut waited = Duration::ZERO;
            loop {
                // One that has exited is a process of the group until it was waited for.
                let is_over = child.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)));
                if is_over && !has_living(group) {
                    return true;
                }
                if waited >= patience {
                    return false;
                }
                sleep(LOOK_EVERY).await;
                waited += LOOK_EVERY;
            }
        };
        let is_gone = is_gone(ask_group_to_end, grace).await || is_gone(end_group, GRACE).await;
        if !is_gone {
            log::warn!(
                "the process group {group} of an event's command does not end, and is left to the system"
            );
        }
        self.forget(group).await;
    }

    /// Ends all groups of which somebody is left, and the guard.
    pub(super) async fn end_all(&self, grace: Duration) {
        let left: Vec<i32> = self.lock().iter().copied().collect();
        let ending = left.into_iter().map(|group| async move {
            if self.has_left_some(group).await {
                self.end(group, None, grace).await;
            }
        });
        futures::future::join_all(ending).await;
        let Some(mut guard) = self.guard.lock().await.take() else { return };
        drop(guard.stdin.take());
        if timeout(GUARD_PATIENCE, guard.wait()).await.is_err() {
            // It is killed when it is dropped, and waited for by the runtime.
            log::debug!("the guard does not end by itself");
        }
    }

    async fn tell_guard(&self, line: &str) {
        let mut guard = self.guard.lock().await;
        let Some(input) = guard.as_mut().and_then(|guard| guard.stdin.as_mut()) else { return };
        if !matches!(timeout(GUARD_PATIENCE, input.write_all(line.as_bytes())).await, Ok(Ok(()))) {
            log::warn!(
                "the guard of events' commands is gone: where this process is killed by SIGKILL, they go on"
            );
            guard.take();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<i32>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn start_guard() -> std::io::Result<Child> {
    if !HAS_SIGNALS {
        // It could end nobody.
        return Err(std::io::ErrorKind::Unsupported.into());
    }
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(GUARD_COMMAND).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // The terminal's Ctrl-C is not for it.
    own_group(command.as_std_mut());
    command.kill_on_drop(true).spawn()
}
