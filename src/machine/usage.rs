//! What the machine has, and what this process has used of it.
//!
//! In: what the system tells: `/proc` on Linux, getrusage(2) and uname(2) on another Unix. Out: plain numbers, and `None` for what is not known here; a run
//! does not depend on it.

use std::time::Duration;

use super::sockets::local_port_range;

#[cfg(all(target_os = "linux", not(without_linux)))]
use of_linux as system;
#[cfg(not(all(unix, not(without_unix))))]
use of_others as system;
#[cfg(all(unix, not(without_unix), not(all(target_os = "linux", not(without_linux)))))]
use of_unix as system;

/// CPU time of this process so far, user and system.
#[must_use]
pub fn cpu_time() -> Option<Duration> {
    system::cpu_time()
}

/// How long the calling thread has run, and how long it has waited for a processor, together.
#[must_use]
pub fn thread_busy() -> Option<Duration> {
    system::thread_busy()
}

/// Largest resident memory of this process so far, in bytes.
#[must_use]
pub fn max_rss_bytes() -> Option<u64> {
    system::max_rss_bytes()
}

/// The kernel and its version, or what is known of it: on Linux the version alone.
#[must_use]
pub fn kernel() -> String {
    system::kernel()
}

/// The name of this machine.
#[cfg(feature = "cluster")]
pub(crate) fn host_name() -> String {
    system::host_name()
}

/// Processors that this process may use.
#[must_use]
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Raises the limit of open descriptors as far as it may be, and says how far that is.
#[must_use]
pub fn raise_descriptor_limit() -> u64 {
    system::raise_descriptor_limit()
}

/// How many local ports there are for connections to one address.
#[must_use]
pub fn local_ports() -> u64 {
    local_port_range().len() as u64
}

#[cfg(all(target_os = "linux", not(without_linux)))]
mod of_linux {
    use std::fs;
    use std::time::Duration;

    #[cfg(feature = "cluster")]
    pub(super) use super::of_unix::host_name;
    pub(super) use super::of_unix::raise_descriptor_limit;

    /// Clock ticks per second in `/proc/self/stat` (`USER_HZ`, 100 on every Linux).
    const TICKS_PER_SECOND: u64 = 100;

    pub(super) fn cpu_time() -> Option<Duration> {
        let ticks = cpu_ticks(&fs::read_to_string("/proc/self/stat").ok()?)?;
        Some(Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND))
    }

    /// By schedstat, in the kernel's `Documentation/scheduler/sched-stats`.
    pub(super) fn thread_busy() -> Option<Duration> {
        let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        let mut fields = text.split_whitespace().map(|field| field.parse::<u64>().ok());
        Some(Duration::from_nanos(fields.next()?? + fields.next()??))
    }

    /// User and system ticks in a line of `/proc/PID/stat` (proc(5), fields 14 and 15). The second field is the program's name
    /// and may hold anything, so fields are counted from behind its closing parenthesis.
    fn cpu_ticks(stat: &str) -> Option<u64> {
        let (_, after_name) = stat.rsplit_once(')')?;
        let mut fields = after_name.split_whitespace().skip(11).map(|field| field.parse::<u64>().ok());
        Some(fields.next()?? + fields.next()??)
    }

    pub(super) fn max_rss_bytes() -> Option<u64> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kib = line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()?;
        Some(kib * 1024)
    }

    pub(super) fn kernel() -> String {
        fs::read_to_string("/proc/sys/kernel/osrelease")
            .map_or_else(|_| "not known here".into(), |text| text.trim().into())
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn ticks_are_found_behind_any_program_name() {
            let stat = "12 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 25 0 0 20 0";
            assert_eq!(cpu_ticks(stat), Some(175));
            assert_eq!(cpu_ticks(""), None);
        }
    }
}

#[cfg(all(unix, not(without_unix)))]
mod of_unix {
    #[cfg(any(not(target_os = "linux"), without_linux))]
    pub(super) use plain::*;

    /// The limit of a shell, raised.
    pub(super) fn raise_descriptor_limit() -> u64 {
        rlimit::increase_nofile_limit(u64::MAX)
            .or_else(|_| rlimit::getrlimit(rlimit::Resource::NOFILE).map(|(soft, _)| soft))
            .unwrap_or(1_024)
    }

    #[cfg(feature = "cluster")]
    pub(super) fn host_name() -> String {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    }

    #[cfg(any(test, not(target_os = "linux"), without_linux))]
    #[cfg_attr(
        test,
        allow(
            dead_code,
            unreachable_pub,
            reason = "compiled for its tests, also where another way is taken"
        )
    )]
    pub(super) mod plain {
        use std::time::Duration;

        use nix::sys::resource::{Usage, UsageWho, getrusage};
        use nix::sys::time::{TimeVal, TimeValLike};

        /// Bytes of a unit of `ru_maxrss`: Apple counts in bytes, everybody else in KiB (getrusage(2)).
        const RSS_UNIT: u64 = if cfg!(target_vendor = "apple") { 1 } else { 1_024 };

        fn usage() -> Option<Usage> {
            getrusage(UsageWho::RUSAGE_SELF).ok()
        }

        pub(in super::super) fn cpu_time() -> Option<Duration> {
            let time =
                |time: TimeVal| Duration::from_micros(u64::try_from(time.num_microseconds()).unwrap_or(0));
            usage().map(|usage| time(usage.user_time()) + time(usage.system_time()))
        }

        pub(in super::super) const fn thread_busy() -> Option<Duration> {
            None
        }

        pub(in super::super) fn max_rss_bytes() -> Option<u64> {
            u64::try_from(usage()?.max_rss()).ok().map(|units| units * RSS_UNIT)
        }

        pub(in super::super) fn kernel() -> String {
            let kernel = rustix::system::uname();
            format!("{} {}", kernel.sysname().to_string_lossy(), kernel.release().to_string_lossy())
        }
    }
}

#[cfg(any(test, not(all(unix, not(without_unix)))))]
#[cfg_attr(
    test,
    allow(dead_code, unreachable_pub, reason = "compiled for its tests, also where another way is taken")
)]
mod of_others {
    use std::time::Duration;

    pub(super) const fn cpu_time() -> Option<Duration> {
        None
    }

    pub(super) const fn thread_busy() -> Option<Duration> {
        None
    }

    pub(super) const fn max_rss_bytes() -> Option<u64> {
        None
    }

    pub(super) fn kernel() -> String {
        format!("{}, version not known here", std::env::consts::OS)
    }

    /// Windows' limit of handles for a process, which nobody can lower ("Pushing the Limits of Windows: Handles").
    pub(super) const fn raise_descriptor_limit() -> u64 {
        1 << 24
    }

    #[cfg(feature = "cluster")]
    pub(super) fn host_name() -> String {
        ["COMPUTERNAME", "HOSTNAME"]
            .iter()
            .find_map(|name| std::env::var(name).ok())
            .unwrap_or_else(|| "not known".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_something_or_that_is_not_known() {
        assert!(max_rss_bytes().is_none_or(|bytes| bytes > 100_000));
        assert!(cores() >= 1 && local_ports() > 1_000);
        assert!(raise_descriptor_limit() >= 256);
        assert!(!kernel().is_empty());
        let is_known = cfg!(all(unix, not(without_unix)));
        assert_eq!((max_rss_bytes().is_some(), cpu_time().is_some()), (is_known, is_known));
        let is_linux = cfg!(all(target_os = "linux", not(without_linux)));
        assert_eq!(thread_busy().is_some(), is_linux);
    }

    #[test]
    fn a_unix_without_proc_tells_cpu_time_and_memory_and_another_system_nothing() {
        #[cfg(all(unix, not(without_unix)))]
        {
            use super::of_unix::plain;

            assert!(plain::max_rss_bytes().is_some_and(|bytes| bytes > 100_000));
            assert!(plain::cpu_time().is_some_and(|time| time < Duration::from_secs(3_600)));
            assert_eq!(plain::thread_busy(), None);
            assert!(plain::kernel().contains(' '), "{}", plain::kernel());
        }
        assert_eq!(
            (of_others::cpu_time(), of_others::thread_busy(), of_others::max_rss_bytes()),
            (None, None, None)
        );
        assert!(of_others::kernel().ends_with("not known here"));
        assert!(of_others::raise_descriptor_limit() > 1_000_000);
    }
}
