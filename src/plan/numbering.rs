//! The numbers of a scenario's clients.
//!
//! In: a scenario. Out: where a group's numbers begin. Clients are numbered over all groups in the scenario's order, so that client *c* is the
//! same client whatever else the scenario holds behind it.

use crate::scenario::keys::Scenario;

/// The number of the first client of group `index`.
#[must_use]
pub fn first_number(scenario: &Scenario, index: usize) -> u32 {
    scenario.groups[..index].iter().map(|group| group.clients).sum()
}
