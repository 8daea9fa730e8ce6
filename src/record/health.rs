//! Whether the generator itself was the bottleneck.
//!
//! In: its figures and the scenario's limits. Out: a sentence for each limit that it broke. A run with any is not valid.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sample::Metric;
use crate::scenario::keys::Health;
use crate::units::{format_count, format_duration, format_share, format_us};

use super::histogram::Latencies;
use super::tally::Tally;

/// Of a figure that the system does not tell.
const NOT_KNOWN: &str = "not known here";

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
    /// 99th percentile of the event loop's stalls, watched every 20 ms, every 50 ms where no attempt ends.
    pub stall_p99_us: u64,
    /// Their maximum.
    pub stall_max_us: u64,
    /// The least delay that is looked at.
    #[serde(default)]
    pub max_delay_us: u64,
    /// The share of a latency that the event loop's delay may be, 0..1.
    #[serde(default)]
    pub max_delay_share: f64,
    /// Median of how late the clients' event loops were when an attempt ended; each attempt counts once.
    #[serde(default)]
    pub delay_p50_us: u64,
    /// Its 99th percentile.
    #[serde(default)]
    pub delay_p99_us: u64,
    /// Median of what an attempt, or a reconnect of several, took: what the delay's is set beside.
    #[serde(default)]
    pub latency_p50_us: u64,
    /// Its 99th percentile.
    #[serde(default)]
    pub latency_p99_us: u64,
    /// The share of attempts that may end in seconds in which the event loop had no rest, 0..1.
    #[serde(default)]
    pub max_saturated_share: f64,
    /// Attempts that ended while the event loops were watched.
    #[serde(default)]
    pub attempts_watched: u64,
    /// Those of them that ended in a second in which their event loop had no rest; null where the system does not tell how busy a thread is.
    #[serde(default)]
    pub attempts_saturated: Option<u64>,
    /// Attempts that failed for want of descriptors or ports here.
    pub local_limits: u64,
    /// How often a client had to wait because the recorder could not keep up.
    pub recorder_stalls: u64,
    /// Token requests that waited for a connection of our own pool.
    pub token_pool_waits: u64,
    /// The longest such wait.
    pub token_pool_wait_max_us: u64,
    /// Tokens that waited for a processor of this machine to be signed.
    #[serde(default)]
    pub mint_waits: u64,
    /// The longest such wait.
    #[serde(default)]
    pub mint_wait_max_us: u64,
    /// Tokens that clients sign by themselves and that were not there in time: nobody else was asked for them.
    #[serde(default)]
    pub mint_timeouts: u64,
    /// Descriptors that the run was budgeted to need.
    pub descriptors_needed: u64,
    /// Descriptors that it may have had.
    pub descriptor_limit: u64,
    /// CPU time of the process, user and system, an embedded target included; null where it is not known.
    #[serde(default)]
    pub cpu_s: Option<f64>,
    /// CPU time over the run's time and the machine's cores, 0..1; null where it is not known.
    #[serde(default)]
    pub cpu_share: Option<f64>,
    /// Largest resident memory of the process; null where it is not known.
    #[serde(default)]
    pub max_rss_bytes: Option<u64>,
    /// The grain of the timers by which clients wake up: 0 where it is below a microsecond.
    #[serde(default)]
    pub timer_grain_us: u64,
}

impl GeneratorHealth {
    /// Takes the limits from a scenario.
    pub fn set_limits(&mut self, limits: &Health) {
        self.max_lag_p99_us = u64::try_from(limits.max_lag_p99.as_micros()).unwrap_or(u64::MAX);
        self.max_stall_us = u64::try_from(limits.max_stall.as_micros()).unwrap_or(u64::MAX);
        self.max_delay_us = u64::try_from(limits.max_delay.as_micros()).unwrap_or(u64::MAX);
        self.max_delay_share = limits.max_delay_share;
        self.max_saturated_share = limits.max_saturated_share;
    }

    /// Takes what is told of distributions: of the clients' numbers, of the event loops' delays at the attempts' ends, of their stalls.
    pub fn set_distributions(&mut self, all: &Tally, delays: &Latencies, stalls: &Latencies) {
        let measured = [Metric::ConnectLatency, Metric::ReconnectLatency, Metric::RefusedLatency];
        let mut latencies = Latencies::new();
        measured
            .iter()
            .filter_map(|metric| all.histograms.get(metric))
            .for_each(|each| latencies.merge(each));
        (self.latency_p50_us, self.latency_p99_us) = middle_and_tail(&latencies);
        (self.delay_p50_us, self.delay_p99_us) = middle_and_tail(delays);
        if let Some(lag) = all.histograms.get(&Metric::Lag) {
            (self.lag_p50_us, self.lag_p99_us) = middle_and_tail(lag);
            self.lag_max_us = lag.max_us();
        }
        (_, self.stall_p99_us) = middle_and_tail(stalls);
        self.stall_max_us = stalls.max_us();
    }
}

impl GeneratorHealth {
    /// Takes the CPU time of a process that ran for `elapsed` on a machine of that many cores.
    pub fn set_cpu(&mut self, used: Duration, elapsed: Duration, cores: usize) {
        let cpu_s = used.as_secs_f64();
        let available_s = elapsed.as_secs_f64() * cores as f64;
        self.cpu_s = Some(cpu_s);
        self.cpu_share = Some(if available_s > 0.0 { cpu_s / available_s } else { 0.0 });
    }

    /// The CPU time, in words.
    #[must_use]
    pub fn cpu_words(&self) -> String {
        match (self.cpu_s, self.cpu_share) {
            (Some(cpu_s), Some(share)) => format!("{cpu_s:.1} s ({} of the machine)", format_share(share)),
            _ => NOT_KNOWN.to_owned(),
        }
    }

    /// The share of the machine's CPU time, in words.
    #[must_use]
    pub fn cpu_share_words(&self) -> String {
        self.cpu_share.map_or_else(|| NOT_KNOWN.to_owned(), format_share)
    }

    /// The memory, in words.
    #[must_use]
    pub fn memory_words(&self) -> String {
        let mib = self.max_rss_bytes.map(|bytes| format!("{:.0} MiB", bytes as f64 / 1_048_576.0));
        mib.unwrap_or_else(|| NOT_KNOWN.to_owned())
    }
}

fn middle_and_tail(latencies: &Latencies) -> (u64, u64) {
    (latencies.percentile_us(50.0), latencies.percentile_us(99.0))
}

/// A loop without rest takes each client in its turn: what is measured then is this machine's speed.
fn saturation_fault(health: &GeneratorHealth) -> Option<String> {
    let (saturated, watched) = (health.attempts_saturated?, health.attempts_watched);
    let share = saturated as f64 / watched.max(1) as f64;
    (share > health.max_saturated_share).then(|| {
        format!(
            "the generator was saturated: {} of {} attempts ended in seconds in which its event loop had no rest (health.max_saturated_share). Spread the load, use fewer clients or a larger machine",
            format_count(saturated),
            format_count(watched),
        )
    })
}

/// How much later the tail may be than the middle before it is looked at, and how much larger its share of the latencies' tail.
const TAIL_LEAST: u64 = 10;
const TAIL_SHARE: f64 = 5.0;

/// A client that is kept waiting by its own event loop takes that for the target's slowness: what it measures is too long by about the
/// loop's delay. The tail of the one is seldom the tail of the other, so it may be larger.
fn delay_fault(health: &GeneratorHealth) -> Option<String> {
    let (least_us, share) = (health.max_delay_us, health.max_delay_share);
    let rows = [
        (50, health.delay_p50_us, least_us, health.latency_p50_us, share),
        (
            99,
            health.delay_p99_us,
            least_us.saturating_mul(TAIL_LEAST),
            health.latency_p99_us,
            share * TAIL_SHARE,
        ),
    ];
    let is_over = |row: &(u32, u64, u64, u64, f64)| row.1 > row.2 && row.1 as f64 > row.4 * row.3 as f64;
    let (p, delay_us, _, latency_us, share) = rows.into_iter().find(is_over)?;
    Some(format!(
        "the generator kept its own clients waiting: p{p} of the delay is {} where p{p} of the latency is {}, over {:.0} % (health.max_delay_share). Spread the load, use fewer clients or a larger machine",
        format_us(delay_us),
        format_us(latency_us),
        share * 100.0,
    ))
}

/// Why the generator's numbers are not to be believed; empty when they are.
#[must_use]
pub fn health_faults(health: &GeneratorHealth) -> Vec<String> {
    let mut faults = Vec::new();
    let duration = |us| format_duration(Duration::from_micros(us));
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
    faults.extend(saturation_fault(health));
    faults.extend(delay_fault(health));
    if health.mint_wait_max_us > health.max_stall_us {
        faults.push(format!(
            "the generator was busy signing tokens: {} waited for a processor, up to {}, over {} (health.max_stall). Take a quicker algorithm, as ES256, spread the load, or use a larger machine",
            format_count(health.mint_waits),
            format_us(health.mint_wait_max_us),
            duration(health.max_stall_us),
        ));
    }
    if health.mint_timeouts > 0 {
        faults.push(format!(
            "the generator was busy signing tokens: {} were not signed in time (token.timeout)",
            format_count(health.mint_timeouts),
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
        let full = GeneratorHealth { recorder_stalls: 1, ..healthy.clone() };
        let signing = GeneratorHealth { mint_waits: 40, mint_wait_max_us: 600_000, ..healthy.clone() };
        let late_signatures = GeneratorHealth { mint_waits: 40, mint_timeouts: 3, ..healthy.clone() };
        let kept = |delay_p50_us, latency_p50_us, delay_p99_us, latency_p99_us| GeneratorHealth {
            delay_p50_us,
            latency_p50_us,
            delay_p99_us,
            latency_p99_us,
            ..healthy.clone()
        };
        for fine in [
            kept(2_000, 2_500, 20_000, 25_000),
            kept(29_000, 1_000_000, 440_000, 3_000_000),
            kept(0, 0, 0, 0),
        ] {
            assert_eq!(health_faults(&fine), [""; 0], "{fine:?}");
        }
        let kept_waiting = kept(7_000, 70_000, 8_000, 120_000);
        let saturated =
            GeneratorHealth { attempts_watched: 1_000, attempts_saturated: Some(51), ..healthy.clone() };
        let nearly = GeneratorHealth { attempts_saturated: Some(50), ..saturated.clone() };
        assert_eq!(health_faults(&nearly), [""; 0]);
        let kept_in_the_tail = kept(100, 70_000, 21_000, 120_000);
        for (health, part) in [
            (late, "lag p99 300 ms"),
            (stalled, "2.00 s"),
            (starved, "3 attempts"),
            (full, "1 times"),
            (signing, "40 waited for a processor, up to 600 ms, over 500ms"),
            (late_signatures, "3 were not signed in time"),
            (kept_waiting, "p50 of the delay is 7.00 ms"),
            (saturated, "51 of 1,000 attempts"),
            (kept_in_the_tail, "p99 of the delay is 21.0 ms"),
        ] {
            let faults = health_faults(&health);
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert!(faults[0].contains(part), "{faults:?}");
        }
    }
}
