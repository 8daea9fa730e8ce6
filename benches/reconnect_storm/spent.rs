//! What processes spent: CPU time and memory, as the system tells it.

use std::fs;

/// Ticks per second in `/proc/PID/stat` (proc(5)).
const TICKS: f64 = 100.0;

/// What a process spent on a number of sessions.
#[derive(Clone, Copy)]
pub(crate) struct Spent {
    pub(crate) sessions: f64,
    pub(crate) cpu_s: f64,
}

impl Spent {
    pub(crate) fn ms_per_thousand(self) -> f64 {
        self.cpu_s * 1e6 / self.sessions
    }
}

/// CPU time of the children that were waited for (proc(5), fields 16 and 17).
pub(crate) fn children_cpu_s() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
    (ticks(13) + ticks(14)) / TICKS
}

pub(crate) fn children_of(parent: u32) -> Vec<u32> {
    let is_child = |id: &u32| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok())
            == Some(parent)
    };
    let ids =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    ids.filter(is_child).collect()
}

/// Memory of a process, what it shares counted by its share.
pub(crate) fn proportional_bytes(id: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap_or("0 kB");
    line.trim().trim_end_matches("kB").trim().parse::<f64>().unwrap() * 1024.0
}

pub(crate) fn resident_of(process: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}
