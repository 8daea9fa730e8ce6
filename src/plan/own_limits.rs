//! What the embedded targets of several shards do not have in common.
//!
//! In: a scenario. Out: the target's keys that count by client id or by token, and its capacities: each shard's target counts for itself, so such a
//! limit holds for each shard and not for all of them together.

use crate::scenario::keys::{Invalidation, Scenario, Target};

/// The keys of the embedded target that hold for each shard by itself; empty where there are none, and for a remote target.
#[must_use]
pub fn own_limits(scenario: &Scenario) -> Vec<&'static str> {
    let Target::Embedded(rules) = &scenario.target else { return Vec::new() };
    let per_client = rules.tickets.as_ref().is_some_and(|tickets| tickets.per_client.is_some());
    let rows = [
        ("handshake_limit", rules.handshake_limit.is_some()),
        ("token_limit", rules.token_limit.is_some()),
        ("token_capacity", rules.token_capacity.is_some()),
        ("upgrade_capacity", rules.upgrade_capacity.is_some()),
        ("probe", rules.probe.is_some()),
        ("request_limits", !rules.request_limits.is_empty()),
        ("sessions_per_client", rules.sessions_per_client.is_some()),
        ("client_lock", rules.client_lock.is_some()),
        ("tickets.per_client", per_client),
        ("invalidation = \"on-new-token\"", rules.invalidation == Invalidation::OnNewToken),
    ];
    rows.into_iter().filter(|(_, is_set)| *is_set).map(|(key, _)| key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::load;

    #[test]
    fn limits_by_client_id_are_each_shards_own() {
        let keys = |target: &str| {
            let text = format!(
                "duration = \"9s\"\n[target]\n{target}\n[[groups]]\nname = \"g\"\nclients = 1\ntoken = {{ client_id = \"a\", client_secret = \"b\" }}\n"
            );
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("s.toml");
            std::fs::write(&file, text).unwrap();
            own_limits(&load(&file, &Vec::new(), None, &|_| None).unwrap().scenario)
        };
        assert_eq!(keys(""), [""; 0]);
        assert_eq!(
            keys("sessions_per_client = 3\nclient_lock = \"2s\""),
            ["sessions_per_client", "client_lock"]
        );
        let capacity = "token_capacity = { servers = 1, service = \"1ms\" }";
        assert_eq!(keys(capacity), ["token_capacity"]);
        assert_eq!(keys("invalidation = \"on-new-token\""), ["invalidation = \"on-new-token\""]);
        let remote = "kind = \"remote\"\nurl = \"ws://127.0.0.1:1/\"\ntoken_url = \"http://127.0.0.1:1/\"";
        assert_eq!(keys(remote), [""; 0]);
    }
}
