//! Storms that struck nobody: they were due while the run went on, and no client lost its session to them.
//!
//! In: a run. Out: a sentence for each.

use crate::sample::StormId;
use crate::units::format_us;

use super::model::RunModel;

/// The storms that were due before the run was over and disconnected nobody, by their place in the manifest.
#[must_use]
fn storms_without_a_hit(model: &RunModel) -> Vec<usize> {
    let storms = model.manifest.storms.iter().enumerate();
    let idle = storms.filter(|(index, storm)| {
        let hit = model.all.storms.get(&StormId::of(*index)).map_or(0, |tally| tally.disconnects);
        storm.at_s < model.elapsed_s && hit == 0
    });
    idle.map(|(index, _)| index).collect()
}

/// They in words: what nobody was hit by is in no table of storms.
pub(super) fn idle_storms(model: &RunModel) -> Vec<String> {
    let told = storms_without_a_hit(model).into_iter().map(|index| {
        let storm = &model.manifest.storms[index];
        let at = format_us((storm.at_s * 1e6) as u64);
        format!("the storm at {at} ({}) disconnected nobody: it found no session to end", storm.what)
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use crate::record::{Journal, Manifest, PackedTally, StormManifest, Tally, manifest_of_a_test};
    use crate::sample::Sample;

    use super::*;

    #[test]
    fn a_storm_that_was_due_and_hit_nobody_is_named_and_no_other() {
        let storm = |at_s| StormManifest { at_s, what: "close 1012".to_owned(), fraction: 1.0 };
        // The first hits somebody, the second nobody, the third is due after the run's end.
        let manifest = Manifest { storms: vec![storm(0.5), storm(1.5), storm(60.0)], ..manifest_of_a_test() };
        let mut tally = Tally::default();
        tally.apply(&Sample::StormDisconnect(StormId::of(0)));
        let idle = PackedTally::of(&Tally::default());
        let intervals = vec![(0, vec![PackedTally::of(&tally)]), (1, vec![idle.clone()]), (2, vec![idle])];
        let run = RunModel::new(Journal { manifest, intervals, notes: Vec::new(), end: None, torn_bytes: 0 });
        assert_eq!(storms_without_a_hit(&run), [1]);
        assert_eq!(
            idle_storms(&run),
            ["the storm at 1.50 s (close 1012) disconnected nobody: it found no session to end"]
        );
    }
}
