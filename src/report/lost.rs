//! What is said of shards whose numbers are missing.
//!
//! In: a manifest. Out: a sentence for each: which shard, whose clients, from when on, why.

use crate::record::{LostShard, Manifest};
use crate::units::format_count;

/// A sentence for each lost shard.
pub(super) fn lost_words(manifest: &Manifest) -> Vec<String> {
    manifest.lost.iter().map(|lost| words(manifest, lost)).collect()
}

fn words(manifest: &Manifest, lost: &LostShard) -> String {
    let LostShard { shard, from_s, why } = lost;
    let clients = clients_of(manifest, *shard);
    let all: u64 = clients.iter().map(|(_, count)| count).sum();
    let groups: Vec<String> =
        clients.iter().map(|(group, count)| format!("{group} {}", format_count(*count))).collect();
    let missing = match from_s {
        0 => "all its numbers are missing".to_owned(),
        from => format!("its numbers are missing from second {from} on"),
    };
    format!(
        "shard {shard} of {} is lost with its {} clients ({}): {missing}; {why}",
        manifest.shards,
        format_count(all),
        groups.join(", "),
    )
}

/// Name of each group that has clients in `shard`, and how many.
pub(super) fn clients_of(manifest: &Manifest, shard: u32) -> Vec<(&str, u64)> {
    let groups = manifest.groups.iter().enumerate();
    let counted = groups.map(|(index, group)| (group.name.as_str(), manifest.clients_of_shard(shard, index)));
    counted.filter(|(_, count)| *count > 0).collect()
}

/// How many clients there are, and which part of how many where the run was split.
pub(in crate::report) fn clients_words(manifest: &Manifest) -> String {
    let all: u64 = manifest.groups.iter().map(|group| u64::from(group.clients)).sum();
    let held: u64 = (0..manifest.groups.len()).map(|group| manifest.held_clients(group)).sum();
    match (manifest.held_shards().as_slice(), manifest.shards) {
        (_, 1) => format!("{} clients", format_count(all)),
        ([shard], of) => {
            format!("shard {shard} of {of}: {} of {} clients", format_count(held), format_count(all))
        }
        (shards, of) if shards.len() as u32 == of => format!("{} clients in {of} shards", format_count(all)),
        (shards, of) => {
            let (held, all) = (format_count(held), format_count(all));
            format!("{} of {of} shards: {held} of {all} clients", shards.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{GroupManifest, manifest_of_a_test};

    #[test]
    fn a_lost_shard_is_named_with_its_clients_and_its_second() {
        let group = |name: &str, clients| GroupManifest { name: name.into(), clients };
        let mut manifest = Manifest {
            shards: 4,
            held: vec![1, 2, 3],
            lost: vec![LostShard { shard: 2, from_s: 7, why: "it was killed".into() }],
            groups: vec![group("a", 4_001), group("b", 1)],
            ..manifest_of_a_test()
        };
        assert_eq!(
            lost_words(&manifest),
            [
                "shard 2 of 4 is lost with its 1,001 clients (a 1,000, b 1): its numbers are missing from second 7 on; it was killed"
            ]
        );
        assert_eq!(clients_words(&manifest), "3 of 4 shards: 3,002 of 4,002 clients");
        manifest.held = vec![2];
        assert_eq!(clients_words(&manifest), "shard 2 of 4: 1,001 of 4,002 clients");
        manifest.held = Vec::new();
        assert_eq!(clients_words(&manifest), "4,002 clients in 4 shards");
    }
}
