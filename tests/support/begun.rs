//! Waiting until a run is under way.

use std::path::Path;

use resurge::record::read_journal;

use super::waiting::until;

/// Waits until each of the journals of so many shards has a second.
pub(crate) fn await_begun(folder: &Path, shards: u32) {
    let journal = |shard: u32| match shards {
        1 => folder.join("journal.bin"),
        _ => folder.join("shards").join(shard.to_string()).join("journal.bin"),
    };
    let begun = |shard| read_journal(&journal(shard)).is_ok_and(|journal| !journal.intervals.is_empty());
    until("the run to begin", || (1..=shards).all(begun));
}
