//! Which groups have clients that leave before the run ends.
//!
//! In: the scenario as it was run. Out: for each group, whether its clients come and go by themselves.

use crate::record::Manifest;

/// For each group, whether its clients come and go (`arrivals`), or leave one after the other (`leave`).
pub(super) fn come_and_go(manifest: &Manifest) -> Vec<bool> {
    let scenario: toml::Table = manifest.scenario_text.parse().unwrap_or_default();
    let groups = scenario.get("groups").and_then(toml::Value::as_array);
    let leaves = |group: &toml::Value| ["arrivals", "leave"].iter().any(|key| group.get(*key).is_some());
    let of_group = |index| groups.and_then(|groups| groups.get(index)).is_some_and(leaves);
    (0..manifest.groups.len()).map(of_group).collect()
}
