//! How several shards ended, as one end.
//!
//! In: the shards' ends, the numbers of all their clients. Out: one end: counts are sums, distributions are merged, limits are the worst shard's.

use crate::engine::StopReason;
use crate::service::counters::TargetCounters;

use super::health::GeneratorHealth;
use super::manifest::RunEnd;
use super::tally::Tally;

/// Whether shards used one machine's processors together, or each had its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machines {
    /// All ran on one: their shares of it add up.
    One,
    /// On several, or it is not known: the share is the largest.
    Several,
}

/// Merges ends; `all` are the numbers of all clients. `None` when there is no end at all.
#[must_use]
pub fn merge_ends(ends: &[&RunEnd], all: &Tally, machines: Machines) -> Option<RunEnd> {
    let (first, others) = ends.split_first()?;
    let mut merged = (*first).clone();
    for end in others {
        if gravity(&end.reason) > gravity(&merged.reason) {
            merged.reason = end.reason.clone();
        }
        merged.elapsed_s = merged.elapsed_s.max(end.elapsed_s);
        merged.clients_planned += end.clients_planned;
        merged.drained &= end.drained;
        merge_health(&mut merged.health, &end.health, machines);
        merged.target_counters = match (merged.target_counters.take(), &end.target_counters) {
            (Some(mut counters), Some(other)) => {
                counters.add(other);
                Some(counters)
            }
            // Counters of some shards alone are not those of the run.
            _ => None::<TargetCounters>,
        };
        merged.write_faults.extend(end.write_faults.iter().cloned());
        merged.first_starts.extend(&end.first_starts);
        merged.delays.add(&end.delays);
        merged.stalls.add(&end.stalls);
        merged.target_reconnects = match (merged.target_reconnects.take(), &end.target_reconnects) {
            (Some(mut reconnects), Some(other)) => {
                reconnects.add(other);
                Some(reconnects)
            }
            _ => None,
        };
    }
    merged.health.set_distributions(all, &merged.delays.latencies(), &merged.stalls.latencies());
    Some(merged)
}

/// Of several reasons, the one that says most; clients are done only where they are in every shard.
const fn gravity(reason: &StopReason) -> u8 {
    match reason {
        StopReason::ClientsDone => 0,
        StopReason::Completed => 1,
        StopReason::Threshold { .. } => 2,
        StopReason::Interrupted => 3,
        StopReason::NotAuthorised => 4,
    }
}

fn merge_health(merged: &mut GeneratorHealth, other: &GeneratorHealth, machines: Machines) {
    merged.attempts_watched += other.attempts_watched;
    merged.attempts_saturated = both(merged.attempts_saturated, other.attempts_saturated, |a, b| a + b);
    merged.local_limits += other.local_limits;
    merged.recorder_stalls += other.recorder_stalls;
    merged.token_pool_waits += other.token_pool_waits;
    merged.token_pool_wait_max_us = merged.token_pool_wait_max_us.max(other.token_pool_wait_max_us);
    merged.mint_waits += other.mint_waits;
    merged.mint_timeouts += other.mint_timeouts;
    merged.mint_wait_max_us = merged.mint_wait_max_us.max(other.mint_wait_max_us);
    merged.descriptors_needed = merged.descriptors_needed.max(other.descriptors_needed);
    merged.descriptor_limit = merged.descriptor_limit.min(other.descriptor_limit);
    merged.cpu_s = both(merged.cpu_s, other.cpu_s, |a, b| a + b);
    merged.cpu_share = both(merged.cpu_share, other.cpu_share, |a, b| match machines {
        Machines::One => a + b,
        Machines::Several => a.max(b),
    });
    merged.max_rss_bytes = both(merged.max_rss_bytes, other.max_rss_bytes, |a, b| a + b);
    merged.timer_grain_us = merged.timer_grain_us.max(other.timer_grain_us);
}

/// What is not known of one is not known of both.
fn both<T>(one: Option<T>, other: Option<T>, merge: impl FnOnce(T, T) -> T) -> Option<T> {
    one.zip(other).map(|(one, other)| merge(one, other))
}
