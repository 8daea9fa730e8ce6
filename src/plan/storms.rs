//! The storms that the target raises.
//!
//! In: a scenario. Out: their moments, in order. Those that clients raise are in their own rules.

use crate::clock::Moment;
use crate::scenario::keys::{Scenario, StormBy};

/// The storms that the target raises: when, with which code, on which share; by time.
#[must_use]
pub fn target_storms(scenario: &Scenario) -> Vec<(Moment, u16, f64)> {
    let mut storms: Vec<_> = scenario
        .storms
        .iter()
        .filter_map(|storm| match storm.by {
            StormBy::Target { code } => Some((Moment::ZERO + storm.at, code, storm.fraction)),
            StormBy::Client { .. } | StormBy::Event { .. } => None,
        })
        .collect();
    storms.sort_by_key(|storm| storm.0);
    storms
}
