//! A command of an event, from its start to its end.
//!
//! In: a program and its arguments; no shell reads them. Out: how it ended, and its last lines. It has no standard input and a process group of its own; its
//! output is drained, and kept only at its end. It ends within its time, or with the run, and its group with it.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::access::TOKEN_VARIABLE;
use crate::clock::{Clock, Moment};
use crate::declare::Redactor;
use crate::lifecycle::StopPhase;
use crate::machine::{own_group, signal_of};
use crate::record::EventEnd;
use crate::scenario::keys::{Argument, Event};

use super::groups::Groups;
use super::guard::GRACE;
use super::tail::Tail;

/// How long what is still in the pipe gets to come once the command has exited: a process that it left behind may keep the pipe open.
const LAST_WORDS: Duration = Duration::from_millis(300);
/// How long a command that was killed may take to be gone.
const KILLED: Duration = Duration::from_secs(2);

/// What came of an event.
pub(super) struct Came {
    pub(super) end: EventEnd,
    pub(super) is_good: bool,
    pub(super) last_lines: Vec<String>,
    /// When it was over.
    pub(super) over: Moment,
}

impl Came {
    /// It could not be done.
    pub(super) const fn not_done(why: String, over: Moment) -> Self {
        Self::cut_off(EventEnd::NotDone { why }, over)
    }

    /// It was cut off.
    pub(super) const fn cut_off(end: EventEnd, over: Moment) -> Self {
        Self { end, is_good: false, last_lines: Vec::new(), over }
    }
}

/// Runs the command of `event` to its end.
pub(super) async fn run_command(
    event: &Event,
    command: &[Argument],
    groups: &Groups,
    (clock, redactor): (Clock, &Redactor),
    phase: &mut watch::Receiver<StopPhase>,
) -> Came {
    let (mut child, tail) = match start(event, command) {
        Ok(started) => started,
        Err(error) => {
            let program = command.first().map_or("", |program| program.shown.as_str());
            return Came::not_done(format!("{program} cannot be started: {error}"), clock.now());
        }
    };
    let group = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(group) = group {
        groups.begun(group).await;
    }
    let ended = tokio::select! {
        ended = child.wait() => Ok(ended),
        () = sleep(event.timeout) => Err(EventEnd::TimedOut),
        _ = phase.wait_for(|phase| *phase > StopPhase::Running) => Err(EventEnd::EndedWithRun),
    };
    let over = clock.now();
    let (end, is_good) = match ended {
        Ok(Ok(status)) => (end_of(status), status.success()),
        Ok(Err(error)) => (EventEnd::NotDone { why: format!("it cannot be waited for: {error}") }, false),
        Err(cut_off) => (cut_off, false),
    };
    if let Some(group) = group {
        match &end {
            EventEnd::TimedOut | EventEnd::EndedWithRun => {
                let grace = grace(*phase.borrow());
                groups.end(group, Some(&mut child), grace).await;
                // One that does not even hear a SIGKILL is left to the system.
                let _ = timeout(KILLED, child.wait()).await;
            }
            // What it has left behind may run as long as the run does.
            _ => drop(groups.has_left_some(group).await),
        }
    }
    Came { end, is_good, last_lines: tail.shown(redactor, LAST_WORDS).await, over }
}

/// How long a group gets to end by itself.
pub(super) fn grace(phase: StopPhase) -> Duration {
    if phase == StopPhase::Aborting { Duration::ZERO } else { GRACE }
}

fn start(event: &Event, command: &[Argument]) -> std::io::Result<(Child, Tail)> {
    let (reader, writer) = std::io::pipe()?;
    let (program, arguments) = command.split_first().ok_or(std::io::ErrorKind::InvalidInput)?;
    // Both ends of the pipe that are ours to write to are gone with this value: else it would never end.
    let mut process = Command::new(program.value.as_str());
    process.args(arguments.iter().map(|argument| argument.value.as_str()));
    // It is for who watches the run.
    process.env_remove(TOKEN_VARIABLE);
    process.envs(event.environment.iter().map(|(name, value)| (name, value.as_str())));
    process.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    own_group(process.as_std_mut());
    let child = process.kill_on_drop(true).spawn()?;
    Ok((child, Tail::of(reader)?))
}

fn end_of(status: ExitStatus) -> EventEnd {
    match signal_of(status) {
        Some(signal) => EventEnd::Killed { signal },
        None => EventEnd::Exited { code: status.code().unwrap_or_default() },
    }
}
