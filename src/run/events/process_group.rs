//! Whether a process group is still alive.
//!
//! In: its number. Out: whether somebody is in it who has not exited, by what the system says.

use std::fs;
use std::time::Duration;

use nix::sys::signal::killpg;
use nix::unistd::Pid;

/// How long a group gets to end after a SIGTERM, and again after a SIGKILL.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// Whether somebody is in a process group who has not exited.
pub(super) fn is_alive(group: i32) -> bool {
    // Who has exited is signalled like anybody, until it was waited for, which nobody may ever do.
    killpg(Pid::from_raw(group), None).is_ok() && has_living(group).unwrap_or(true)
}

/// The same by the processes that there are; `None` where the system does not say.
fn has_living(group: i32) -> Option<bool> {
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
