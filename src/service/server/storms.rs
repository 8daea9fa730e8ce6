//! Storms by the target's own schedule.
//!
//! In: the rules. Out: warnings and closes, when they are due. A server that stops takes its storms with it.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::clock::Moment;
use crate::scenario::keys::TargetStorm;

use super::shared::Shared;

/// Has every storm of the rules strike when it is due.
pub(super) fn schedule(runtime: &Handle, shared: &Arc<Shared>) {
    for index in 0..shared.rules.storms.len() {
        runtime.spawn(run(Arc::clone(shared), index));
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
