//! Signals that end a run or mark a moment of it.
//!
//! In: what the system sends this process. Out: each time that somebody wants the run to end; marks. A system without signals has Ctrl-C, and no marks.

#[cfg(not(all(unix, not(without_unix))))]
pub(crate) use of_others::{MarkSignals, mark_this_process};
#[cfg(not(all(unix, not(without_unix))))]
pub use of_others::{StopSignals, survive_file_size_limit, survive_mark_signals};
#[cfg(all(unix, not(without_unix)))]
pub(crate) use of_unix::{MarkSignals, mark_this_process};
#[cfg(all(unix, not(without_unix)))]
pub use of_unix::{StopSignals, survive_file_size_limit, survive_mark_signals};

/// Whether processes have signals and groups.
pub(crate) const HAS_SIGNALS: bool = cfg!(all(unix, not(without_unix)));

#[cfg(all(unix, not(without_unix)))]
mod of_unix {
    use std::fs;
    use std::io;

    use nix::sys::signal::{Signal as Number, raise};
    use tokio::signal::unix::{Signal, SignalKind, signal};

    use crate::event_loop::single_loop;

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

    /// SIGUSR1, each time. What comes faster than it is heard is one to the system.
    #[derive(Debug)]
    pub(crate) struct MarkSignals(Signal);

    impl MarkSignals {
        /// Hears them from now on. Needs a runtime.
        ///
        /// # Errors
        /// The system refuses.
        pub(crate) fn listen() -> io::Result<Self> {
            signal(SignalKind::user_defined1()).map(Self)
        }

        /// Until the next of them.
        pub(crate) async fn next(&mut self) {
            if self.0.recv().await.is_none() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Sends this process a SIGUSR1.
    pub(crate) fn mark_this_process() {
        if let Err(error) = raise(Number::SIGUSR1) {
            log::debug!("this process cannot signal itself: {error}");
        }
    }

    /// Whether the process was started with `number` ignored. Where the system does not say, it was not.
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
}

#[cfg(any(test, not(all(unix, not(without_unix)))))]
#[cfg_attr(
    test,
    allow(dead_code, unreachable_pub, reason = "compiled for its tests, also where another way is taken")
)]
mod of_others {
    use std::io;

    /// Wishes that the run should end: Ctrl-C.
    #[derive(Debug)]
    pub struct StopSignals(());

    impl StopSignals {
        /// Hears them from now on. Needs a runtime.
        ///
        /// # Errors
        /// None here.
        pub fn listen() -> io::Result<Self> {
            Ok(Self(()))
        }

        /// Until the next of them; for ever where the system does not tell.
        pub async fn next(&mut self) {
            if let Err(error) = tokio::signal::ctrl_c().await {
                log::warn!("Ctrl-C cannot be heard: {error}");
                std::future::pending::<()>().await;
            }
        }
    }

    /// Marks: none come.
    #[derive(Debug)]
    pub(crate) struct MarkSignals(());

    impl MarkSignals {
        /// Hears nothing.
        ///
        /// # Errors
        /// None here.
        pub(crate) fn listen() -> io::Result<Self> {
            Ok(Self(()))
        }

        /// For ever.
        pub(crate) async fn next(&mut self) {
            std::future::pending::<()>().await;
        }
    }

    /// Does nothing: no mark ever comes that would be passed on.
    pub(crate) const fn mark_this_process() {}

    /// Does nothing: a limit of file sizes ends no process here.
    ///
    /// # Errors
    /// None here.
    pub const fn survive_file_size_limit() -> io::Result<()> {
        Ok(())
    }

    /// Does nothing: there is no signal that marks.
    ///
    /// # Errors
    /// None here.
    pub const fn survive_mark_signals() -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::of_others;

    #[tokio::test]
    async fn a_system_without_signals_hears_none() {
        of_others::survive_file_size_limit().and_then(|()| of_others::survive_mark_signals()).unwrap();
        of_others::mark_this_process();
        let mut marks = of_others::MarkSignals::listen().unwrap();
        assert!(timeout(Duration::from_millis(20), marks.next()).await.is_err());
    }
}
