//! What virtual time refuses.
//!
//! In: a scenario, the target's rules. Out: a sentence for each thing in them that is not simulated. All of them stand in one table.

use crate::scenario::keys::{
    FaultKind, FrameFlaw, Grant, Group, Scenario, StepPlace, TargetRules, path_fits,
};

/// Something that is refused.
pub struct Unsupported {
    /// The key that asks for it.
    pub key: &'static str,
    /// What it is, and why it is not simulated.
    pub why: &'static str,
    asks: Asks,
}

/// Who asks for it.
enum Asks {
    Group(fn(&Group) -> bool),
    Target(fn(&TargetRules) -> bool),
}

/// Everything that is refused.
pub const UNSUPPORTED: [Unsupported; 4] = [
    Unsupported {
        key: "token.command",
        why: "gets its tokens from a program: what it answers, and when, is known to that program alone",
        asks: Asks::Group(has_command),
    },
    Unsupported {
        key: "prepare.steps",
        why: "asks the target's token endpoint, or for its keys, by a step: those endpoints are here asked by [groups.token] alone",
        asks: Asks::Group(steps_to_an_endpoint),
    },
    Unsupported {
        key: "session.mqtt",
        why: "speaks MQTT: no rules of a broker are simulated",
        asks: Asks::Group(speaks_mqtt),
    },
    Unsupported {
        key: "target.faults",
        why: "breaks compressed messages (flaw = \"deflate\"): no message has bytes here that could be compressed",
        asks: Asks::Target(breaks_deflate),
    },
];

/// Why a scenario cannot be run in virtual time, a sentence for each reason; empty: it can.
#[must_use]
pub fn unsupported(scenario: &Scenario, rules: &TargetRules) -> Vec<String> {
    let told = |row: &Unsupported| -> Vec<String> {
        let Unsupported { key, why, asks } = row;
        match asks {
            Asks::Group(asks) => {
                let groups = scenario.groups.iter().filter(|group| asks(group));
                groups.map(|group| format!("group \"{}\" {why} ({key})", group.name)).collect()
            }
            Asks::Target(asks) => {
                asks(rules).then(|| format!("the target {why} ({key})")).into_iter().collect()
            }
        }
    };
    UNSUPPORTED.iter().flat_map(told).collect()
}

fn has_command(group: &Group) -> bool {
    matches!(group.token.as_ref().map(|token| &token.grant), Some(Grant::Command(_)))
}

fn speaks_mqtt(group: &Group) -> bool {
    group.session.mqtt.is_some()
}

/// The target's endpoints beside its routes and its sessions.
const ENDPOINTS: [&str; 3] = ["/oauth/token", "/oauth/revoke", "/.well-known/*"];

fn steps_to_an_endpoint(group: &Group) -> bool {
    let steps = group.prepare.iter().flat_map(|prepare| &prepare.steps);
    let mut paths = steps.filter_map(|step| match &step.place {
        StepPlace::Path(path) => path.fixed().map(str::to_owned),
        StepPlace::Url(_) => None,
    });
    paths.any(|path| {
        let path = path.split('?').next().unwrap_or_default();
        ENDPOINTS.iter().any(|endpoint| path_fits(endpoint, path))
    })
}

fn breaks_deflate(rules: &TargetRules) -> bool {
    let is_of_deflate =
        |kind: &FaultKind| matches!(kind, FaultKind::MalformedFrame { flaw: FrameFlaw::Deflate, .. });
    rules.faults.iter().any(|fault| is_of_deflate(&fault.kind))
}
