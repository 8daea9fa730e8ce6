//! How long a session must live for its client to be let in.
//!
//! In: a scenario. Out: for a group, the times that hold: `session.admission` and `session.refused_within`, or less where the embedded target, or the clients themselves, end
//! sessions sooner than that in good order.

use std::time::Duration;

use crate::scenario::keys::{Scenario, ScriptAt, Target, TargetRules};

/// What holds for a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    /// Without `ready`: how long a session must live for its client to be let in.
    pub after: Duration,
    /// How long after the upgrade a refusing close code still refuses a session that has heard nothing.
    pub refused_within: Duration,
}

/// What holds for the scenario's group `index`: what it says, but at most half of the shortest life that its sessions have in good order. Where the embedded
/// target closes a session as soon as its token is revoked, such a close may come at any moment, and is no late refusal.
#[must_use]
pub fn admission_of(scenario: &Scenario, index: usize) -> Admission {
    let group = &scenario.groups[index];
    let own = group.disconnects.iter().map(|disconnect| disconnect.after);
    let by_target = match &scenario.target {
        Target::Embedded(rules) => shortest_life(rules),
        Target::Remote(_) => None,
    };
    let most = own.chain(by_target).min().map_or(Duration::MAX, |shortest| shortest / 2);
    let session = &group.session;
    let after = session.admission.min(most);
    let latest = if closes_at_revocation(&scenario.target) { after } else { most };
    Admission { after, refused_within: session.refused_within.min(latest) }
}

/// Whether the embedded target closes a session when its token is revoked: with its family, by a newer one, by a request.
fn closes_at_revocation(target: &Target) -> bool {
    matches!(target, Target::Embedded(rules) if rules.token_end.is_some_and(|end| end.at_revocation))
}

/// The shortest life that the target's rules give a session.
fn shortest_life(rules: &TargetRules) -> Option<Duration> {
    let token = rules.token_end.map(|end| rules.token_life.saturating_add(end.grace));
    let closes = rules.script.iter().filter(|rule| rule.close.is_some()).filter_map(|rule| match rule.at {
        ScriptAt::After(after) | ScriptAt::Every(after) => Some(after),
        _ => None,
    });
    let storms = rules.storms.iter().filter_map(|storm| storm.every);
    rules.idle_timeout.into_iter().chain(token).chain(closes).chain(storms).min()
}
