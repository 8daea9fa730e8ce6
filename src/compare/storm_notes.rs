//! Whether both sides of a comparison know of their storms, in words.
//!
//! In: both sides' runs. Out: a sentence where one is from before storms were kept.

use super::repeat::RunSet;

/// Whether something is known of a side's storms.
pub(super) fn knows_storms(set: &RunSet) -> bool {
    set.repeats.iter().any(|run| run.storms.is_some())
}

/// What a reader should know where one side alone knows of them.
pub(super) fn storm_note(baseline: &RunSet, candidate: &RunSet) -> Option<String> {
    let older = match (knows_storms(baseline), knows_storms(candidate)) {
        (true, false) => candidate,
        (false, true) => baseline,
        _ => return None,
    };
    Some(format!(
        "{} is from before these were kept: neither the busiest second of the token endpoint nor the recovery from storms is compared",
        older.name
    ))
}
