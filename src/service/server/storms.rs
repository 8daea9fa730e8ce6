//! Storms by the target's own schedule.
//!
//! In: the rules. Out: warnings and closes, when they are due. A server that stops takes its storms with it.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::clock::Moment;
use crate::scenario::keys::{Probe, TargetStorm};

use super::shared::Shared;

/// Has every storm of the rules strike when it is due, and the service probed.
pub(super) fn schedule(runtime: &Handle, shared: &Arc<Shared>) {
    for index in 0..shared.rules.storms.len() {
        runtime.spawn(run(Arc::clone(shared), index));
    }
    if let Some(probe) = shared.rules.probe {
        runtime.spawn(keep_probing(Arc::clone(shared), probe));
    }
}

/// Probes the service; where that fails often enough, all its sessions are closed.
async fn keep_probing(shared: Arc<Shared>, probe: Probe) {
    let mut at = probe.every;
    loop {
        sleep_until(&shared, at).await;
        if shared.change(|state, _| state.probe())
            && let Err(error) = shared.storm(probe.code, 1.0)
        {
            log::error!("a restart by the target's probe could not be: {error}");
        }
        while Moment::ZERO + at <= shared.clock.now() {
            at += probe.every;
        }
    }
}

async fn run(shared: Arc<Shared>, index: usize) {
    let rules = Arc::clone(&shared.rules);
    let storm = &rules.storms[index];
    let mut at = storm.at;
    loop {
        strike(&shared, storm, index, at).await;
        let Some(every) = storm.every else { return };
        at += every;
        // On the grid; what a late target missed is not made up for.
        while Moment::ZERO + at < shared.clock.now() {
            at += every;
        }
    }
}

async fn strike(shared: &Shared, storm: &TargetStorm, index: usize, at: Duration) {
    if storm.warning.is_none() {
        sleep_until(shared, at).await;
        if let Err(error) = shared.storm(storm.code, storm.fraction) {
            log::error!("a storm of the target's schedule could not be: {error}");
        }
        return;
    }
    sleep_until(shared, at.saturating_sub(storm.warning_before)).await;
    let warned = shared.warn(index, storm.fraction);
    sleep_until(shared, at).await;
    shared.close_sessions(&warned, storm.code);
}

async fn sleep_until(shared: &Shared, at: Duration) {
    tokio::time::sleep_until(shared.clock.instant(Moment::ZERO + at).into()).await;
}
