//! What may end a run from outside.
//!
//! In: signals. Out: each time that somebody wants the run to end; and a process that a limit of file sizes does not end.

use std::fs;
use std::io;
use std::time::Duration;

use nix::sys::signal::Signal as Number;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::event_loop::single_loop;
use crate::units::format_duration;

/// Wishes that the run should end: Ctrl-C, a polite kill, a terminal that was closed.
#[derive(Debug)]
pub struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
    /// `None` where the process was started to outlive its terminal, as by nohup.
    hangup: Option<Signal>,
}

impl StopSignals {
    /// Hears them from now on. Needs a runtime.
    ///
    /// # Errors
    /// The system refuses.
    pub fn listen() -> io::Result<Self> {
        let hangup = if is_ignored(Number::SIGHUP) { None } else { Some(signal(SignalKind::hangup())?) };
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup,
        })
    }

    /// Until the next of them.
    pub async fn next(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = hangup => {}
        }
    }
}

/// Says what an interrupt does: to drain takes its time.
pub(super) fn tell_interrupt(drain: Duration) {
    let most = format_duration(drain);
    log::warn!("interrupted: the clients drain, for {most} at most; once more cuts them off");
}

/// Whether the process was started with `number` ignored.
fn is_ignored(number: Number) -> bool {
    is_in_mask(&fs::read_to_string("/proc/self/status").unwrap_or_default(), number)
}

/// Whether `number` is in the mask of ignored signals in `/proc/PID/status` (proc(5): in hexadecimal, signal 1 is the lowest bit).
fn is_in_mask(status: &str, number: Number) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (number as i32 - 1) & 1 == 1
}

/// Lets a write beyond the limit of a file's size (`ulimit -f`) fail as any other, where it would end the process.
///
/// # Errors
/// The system refuses.
pub fn survive_file_size_limit() -> io::Result<()> {
    survive(Number::SIGXFSZ)
}

/// Lets SIGUSR1, which marks a moment of a run, not end a process whose run has not begun, or is over.
///
/// # Errors
/// The system refuses.
pub fn survive_mark_signals() -> io::Result<()> {
    survive(Number::SIGUSR1)
}

fn survive(number: Number) -> io::Result<()> {
    let runtime = single_loop()?;
    let _entered = runtime.enter();
    // A signal that somebody has listened to once never ends the process again.
    signal(SignalKind::from_raw(number as i32)).map(drop)
}

/// SIGUSR1, each time. What comes faster than it is heard is one to the system.
///
/// # Errors
/// The system refuses.
pub(super) fn mark_signals() -> io::Result<Signal> {
    signal(SignalKind::user_defined1())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_is_read() {
        let status = "Name:\tresurge\nSigIgn:\t0000000000001001\nSigCgt:\tffffffffffffffff\n";
        for (number, expected) in [
            (Number::SIGHUP, true),
            (Number::SIGPIPE, true),
            (Number::SIGINT, false),
            (Number::SIGTERM, false),
        ] {
            assert_eq!(is_in_mask(status, number), expected, "{number}");
        }
        assert!(!is_in_mask("", Number::SIGHUP));
    }
}
