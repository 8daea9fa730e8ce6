//! What is looked at before a run is split into shards.

use crate::plan::own_limits;
use crate::scenario::keys::Scenario;

use super::error::RunError;

/// Says which of the target's limits hold for each shard by itself.
pub(super) fn warn_of_own_limits(scenario: &Scenario, of: u32) {
    let own = own_limits(scenario);
    if of > 1 && !own.is_empty() {
        let keys = own.join(", ");
        log::warn!(
            "each of {of} shards has a target of its own: {keys} holds for each, not for all together"
        );
    }
}

/// Each shard needs a client.
pub(super) fn check_shards(shards: u32, scenario: &Scenario) -> Result<(), RunError> {
    let clients = scenario.clients();
    if shards > clients { Err(RunError::TooManyShards { shards, clients }) } else { Ok(()) }
}

/// In virtual time there is no moment that is the same for all shards: nobody can end them together.
pub(super) fn check_simulated_shares(scenario: &Scenario) -> Result<(), RunError> {
    let ending = scenario.thresholds.iter().find(|threshold| threshold.abort_after.is_some());
    let Some(threshold) = ending else { return Ok(()) };
    let reasons = vec![format!(
        "the threshold {} ends a run early, and shards in virtual time have no moment in common. Simulate it in one process, or take abort_on_fail out",
        threshold.source
    )];
    Err(RunError::NotSimulable { scenario: scenario.name.clone(), reasons })
}
