//! Other processes: their groups, signals to them, how they ended.
//!
//! In: a process's or a group's number. Out: a signal sent; whether somebody is left. Where a system has neither groups nor signals, nothing is sent, and who
//! has begun a process ends that one alone ([`HAS_SIGNALS`](super::HAS_SIGNALS)).

#[cfg(not(all(unix, not(without_unix))))]
pub(crate) use of_others::*;
#[cfg(all(unix, not(without_unix)))]
pub(crate) use of_unix::*;

#[cfg(all(unix, not(without_unix)))]
mod of_unix {
    use std::fs::{self, File, OpenOptions};
    use std::io;
    use std::os::unix::fs::OpenOptionsExt;
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::path::Path;
    use std::process::{Command, ExitStatus};
    use std::str::FromStr;

    use nix::libc::O_NONBLOCK;
    use nix::sys::signal::{Signal, kill, killpg};
    use nix::unistd::Pid;

    /// Has the process that `command` starts be the first of a process group, so that the terminal's Ctrl-C is not for it.
    pub(crate) fn own_group(command: &mut Command) {
        command.process_group(0);
    }

    /// Sends a SIGTERM to a process group; who is gone cannot be signalled.
    pub(crate) fn ask_group_to_end(group: i32) {
        let _ = killpg(Pid::from_raw(group), Signal::SIGTERM);
    }

    /// Sends a SIGKILL to a process group; who is gone cannot be signalled.
    pub(crate) fn end_group(group: i32) {
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }

    /// Whether somebody is in a process group who has not exited.
    pub(crate) fn has_living(group: i32) -> bool {
        // Who has exited is signalled like anybody, until it was waited for, which nobody may ever do.
        killpg(Pid::from_raw(group), None).is_ok() && is_any_living(group).unwrap_or(true)
    }

    /// The same by the processes that there are; `None` where the system does not say.
    fn is_any_living(group: i32) -> Option<bool> {
        let processes = fs::read_dir("/proc").ok()?.flatten();
        let mut stats = processes.filter_map(|process| fs::read_to_string(process.path().join("stat")).ok());
        Some(stats.any(|stat| is_living_of(&stat, group)))
    }

    /// Whether a process is of a group and has not exited, by its `/proc/PID/stat` (proc(5): state, parent and group stand behind the name's last bracket).
    fn is_living_of(stat: &str, group: i32) -> bool {
        let behind = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
        let mut fields = behind.split_whitespace();
        let (state, own) = (fields.next(), fields.nth(1));
        own.and_then(|own| own.parse().ok()) == Some(group) && !matches!(state, Some("Z" | "X"))
    }

    /// Sends a SIGTERM to a process.
    #[cfg(feature = "cluster")]
    pub(crate) fn ask_process_to_end(pid: u32) {
        let Ok(pid) = i32::try_from(pid) else { return };
        if let Err(error) = kill(Pid::from_raw(pid), Signal::SIGTERM) {
            log::debug!("process {pid}: {error}");
        }
    }

    /// Sends a process the signal of this name, as `HUP`.
    ///
    /// # Errors
    /// Why it was not sent, in words.
    pub(crate) fn signal_process(pid: i32, name: &str) -> Result<(), String> {
        let signal = Signal::from_str(&format!("SIG{name}")).map_err(|error| error.desc().to_owned())?;
        kill(Pid::from_raw(pid), signal).map_err(|error| error.desc().to_owned())
    }

    /// Opens a file to read it. A pipe without a writer is not waited for.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub(crate) fn open_without_waiting(path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(path)
    }

    /// The signal that ended a process, where one did.
    pub(crate) fn signal_of(status: ExitStatus) -> Option<i32> {
        status.signal()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn who_has_exited_is_not_alive() {
            for (stat, expected) in [
                ("77 (sleep) S 1 77 70 0 -1", true),
                ("78 (a ) Z 1) b) R 1 77 70 0 -1", true),
                ("79 (sleep) Z 1 77 70 0 -1", false),
                ("79 (sleep) S 1 78 77 0 -1", false),
                ("", false),
            ] {
                assert_eq!(is_living_of(stat, 77), expected, "{stat}");
            }
        }
    }
}

#[cfg(any(test, not(all(unix, not(without_unix)))))]
#[cfg_attr(
    test,
    allow(dead_code, unreachable_pub, reason = "compiled for its tests, also where another way is taken")
)]
mod of_others {
    use std::fs::File;
    use std::io;
    use std::path::Path;
    use std::process::{Command, ExitStatus};

    /// Does nothing: there are no groups.
    pub(crate) const fn own_group(_command: &mut Command) {}

    /// Does nothing: there are no groups.
    pub(crate) const fn ask_group_to_end(_group: i32) {}

    /// Does nothing: there are no groups.
    pub(crate) const fn end_group(_group: i32) {}

    /// Nobody is: there are no groups.
    pub(crate) const fn has_living(_group: i32) -> bool {
        false
    }

    /// Does nothing: a console's Ctrl-C reaches all processes in it.
    #[cfg(feature = "cluster")]
    pub(crate) const fn ask_process_to_end(_pid: u32) {}

    /// Sends nothing.
    ///
    /// # Errors
    /// Always: there are no signals.
    pub(crate) fn signal_process(_pid: i32, name: &str) -> Result<(), String> {
        Err(format!("this system has no signal {name}"))
    }

    /// Opens a file to read it.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub(crate) fn open_without_waiting(path: &Path) -> io::Result<File> {
        File::open(path)
    }

    /// None: no signal ends a process.
    pub(crate) const fn signal_of(_status: ExitStatus) -> Option<i32> {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::of_others;

    #[test]
    fn a_system_without_groups_and_signals_sends_none() {
        let mut command = Command::new("sleep");
        of_others::own_group(&mut command);
        let mut child = command.arg("60").spawn().unwrap();
        let group = i32::try_from(child.id()).unwrap();
        of_others::ask_group_to_end(group);
        of_others::end_group(group);
        assert!(!of_others::has_living(group));
        assert_eq!(
            of_others::signal_process(group, "TERM"),
            Err("this system has no signal TERM".to_owned())
        );
        assert!(child.try_wait().unwrap().is_none(), "it goes on");
        child.kill().unwrap();
        assert_eq!(of_others::signal_of(child.wait().unwrap()), None);
        assert!(of_others::open_without_waiting(&std::env::current_exe().unwrap()).is_ok());
    }
}
