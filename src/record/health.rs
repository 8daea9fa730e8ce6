//! Whether the generator itself was the bottleneck.
//!
//! In: its figures and the scenario's limits. Out: a sentence for each limit that it broke. A run with any is not valid.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scenario::model::Health;
use crate::units::{format_count, format_duration, format_us};

/// The generator's own figures.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct GeneratorHealth {
    /// Limit of `lag_p99_us`.
    pub max_lag_p99_us: u64,
    /// Limit of `stall_max_us`.
    pub max_stall_us: u64,
    /// Median of the clients' lag: due time to actual time.
    pub lag_p50_us: u64,
    /// Its 99th percentile.
    pub lag_p99_us: u64,
    /// Its maximum.
    pub lag_max_us: u64,
    /// 99th percentile of the event loop's stalls, watched every 10 ms.
    pub stall_p99_us: u64,
    /// Their maximum.
    pub stall_max_us: u64,
    /// Attempts that failed for want of descriptors or ports here.
    pub local_limits: u64,
    /// How often a client had to wait because the recorder could not keep up.
    pub recorder_stalls: u64,
    /// Token requests that waited for a connection of our own pool.
    pub token_pool_waits: u64,
    /// The longest such wait.
    pub token_pool_wait_max_us: u64,
    /// Descriptors that the run was budgeted to need.
    pub descriptors_needed: u64,
    /// Descriptors that it may have had.
    pub descriptor_limit: u64,
    /// CPU time of the process, user and system, an embedded target included.
    pub cpu_s: f64,
    /// CPU time over the run's time and the machine's cores, 0..1.
    pub cpu_share: f64,
    /// Largest resident memory of the process.
    pub max_rss_bytes: u64,
}

impl GeneratorHealth {
    /// Takes the limits from a scenario.
    pub fn set_limits(&mut self, limits: &Health) {
        self.max_lag_p99_us = u64::try_from(limits.max_lag_p99.as_micros()).unwrap_or(u64::MAX);
        self.max_stall_us = u64::try_from(limits.max_stall.as_micros()).unwrap_or(u64::MAX);
    }
}

/// Why the generator's numbers are not to be believed; empty when they are.
#[must_use]
pub fn health_faults(health: &GeneratorHealth) -> Vec<String> {
    let mut faults = Vec::new();
    let duration = |us| format_duration(std::time::Duration::from_micros(us));
    if health.lag_p99_us > health.max_lag_p99_us {
        faults.push(format!(
            "the generator was late: lag p99 {} is over {} (health.max_lag_p99). Use fewer clients or a larger machine",
            format_us(health.lag_p99_us),
            duration(health.max_lag_p99_us),
        ));
    }
    if health.stall_max_us > health.max_stall_us {
        faults.push(format!(
            "the generator's event loop stood still for {}, over {} (health.max_stall)",
            format_us(health.stall_max_us),
            duration(health.max_stall_us),
        ));
    }
    if health.local_limits > 0 {
        faults.push(format!(
            "{} attempts failed because this machine ran out of descriptors or ports",
            format_count(health.local_limits)
        ));
    }
    if health.recorder_stalls > 0 {
        faults
            .push(format!("clients waited {} times for the recorder", format_count(health.recorder_stalls)));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_is_found_and_a_healthy_generator_has_none() {
        let mut healthy = GeneratorHealth::default();
        healthy.set_limits(&Health::default());
        healthy.lag_p99_us = 2_000;
        assert_eq!(health_faults(&healthy), [""; 0]);
        let late = GeneratorHealth { lag_p99_us: 300_000, ..healthy.clone() };
        let stalled = GeneratorHealth { stall_max_us: 2_000_000, ..healthy.clone() };
        let starved = GeneratorHealth { local_limits: 3, ..healthy.clone() };
        let full = GeneratorHealth { recorder_stalls: 1, ..healthy };
        for (health, part) in
            [(late, "lag p99 300 ms"), (stalled, "2.00 s"), (starved, "3 attempts"), (full, "1 times")]
        {
            let faults = health_faults(&health);
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert!(faults[0].contains(part), "{faults:?}");
        }
    }
}
