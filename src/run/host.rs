//! The machine that a run is on, and what the process has used of it.
//!
//! In: `/proc`. Out: plain numbers. What cannot be read is zero or absent; a run does not depend on it.

use std::fs;
use std::time::Duration;

use crate::drive::network::local_port_range;

/// Clock ticks per second in `/proc/self/stat` (`USER_HZ`, 100 on every Linux).
const TICKS_PER_SECOND: u64 = 100;

/// CPU time of this process so far, user and system.
#[must_use]
pub fn cpu_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    Duration::from_millis(cpu_ticks(&stat) * 1_000 / TICKS_PER_SECOND)
}

/// How long the calling thread has run, and how long it has waited for a processor, together (schedstat, in the kernel's
/// `Documentation/scheduler/sched-stats`); `None` where the kernel does not tell.
#[must_use]
pub fn thread_busy() -> Option<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let mut fields = text.split_whitespace().map(|field| field.parse::<u64>().ok());
    Some(Duration::from_nanos(fields.next()?? + fields.next()??))
}

/// User and system ticks in a line of `/proc/PID/stat` (proc(5), fields 14 and 15). The second field is the program's name
/// and may hold anything, so fields are counted from behind its closing parenthesis.
fn cpu_ticks(stat: &str) -> u64 {
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
}

/// Largest resident memory of this process so far, in bytes.
#[must_use]
pub fn max_rss_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// The kernel's version.
#[must_use]
pub fn kernel() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "unknown".into(), |text| text.trim().into())
}

/// Processors that this process may use.
#[must_use]
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Open descriptors of this process.
#[must_use]
pub fn open_descriptors() -> u64 {
    fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count().saturating_sub(1) as u64)
}

/// Raises the limit of open descriptors as far as it may be, and says how far that is.
#[must_use]
pub fn raise_descriptor_limit() -> u64 {
    rlimit::increase_nofile_limit(u64::MAX)
        .or_else(|_| rlimit::getrlimit(rlimit::Resource::NOFILE).map(|(soft, _)| soft))
        .unwrap_or(1_024)
}

/// How many local ports there are for connections to one address.
#[must_use]
pub fn local_ports() -> u64 {
    local_port_range().len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_any_program_name() {
        let stat = "12 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 25 0 0 20 0";
        assert_eq!(cpu_ticks(stat), 175);
        assert_eq!(cpu_ticks(""), 0);
    }

    #[test]
    fn this_process_has_used_something() {
        assert!(max_rss_bytes() > 100_000);
        assert!(open_descriptors() >= 3);
        assert!(cores() >= 1 && local_ports() > 1_000);
        assert!(raise_descriptor_limit() >= 256);
    }
}
