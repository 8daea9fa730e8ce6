//! Storms, as the clients and as the target see them; and what else the clients of a group share.
//!
//! In: a scenario. Out: rules for the lifecycle.

use crate::clock::Moment;
use crate::lifecycle::{GroupRules, StormRule};
use crate::scenario::model::{Scenario, StormBy};

/// The rules of group `index`.
#[must_use]
pub fn group_rules(scenario: &Scenario, index: usize) -> GroupRules {
    let group = &scenario.groups[index];
    GroupRules {
        token: group.token.clone(),
        session: group.session.clone(),
        disconnects: group.disconnects.clone(),
        reconnect: group.reconnect.clone(),
        storms: storms_of(scenario, index),
        seed: scenario.seed,
    }
}

fn storms_of(scenario: &Scenario, group: usize) -> Vec<StormRule> {
    let mut storms: Vec<StormRule> = Vec::new();
    for (index, storm) in scenario.storms.iter().enumerate() {
        let at = Moment::ZERO + storm.at;
        match &storm.by {
            StormBy::Target { code } => {
                storms.push(StormRule::ByTarget { at, code: *code, all: storm.fraction >= 1.0 });
            }
            StormBy::Client { how, groups }
                if groups.as_ref().is_none_or(|groups| groups.contains(&group)) =>
            {
                storms.push(StormRule::ByClient { at, how: *how, index, fraction: storm.fraction });
            }
            StormBy::Client { .. } => {}
        }
    }
    storms.sort_by_key(StormRule::at);
    storms
}

/// The storms that the target raises: when, with which code, on which share; by time.
#[must_use]
pub fn target_storms(scenario: &Scenario) -> Vec<(Moment, u16, f64)> {
    let mut storms: Vec<_> = scenario
        .storms
        .iter()
        .filter_map(|storm| match storm.by {
            StormBy::Target { code } => Some((Moment::ZERO + storm.at, code, storm.fraction)),
            StormBy::Client { .. } => None,
        })
        .collect();
    storms.sort_by_key(|storm| storm.0);
    storms
}
