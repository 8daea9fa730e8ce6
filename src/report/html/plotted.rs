//! Which groups of a run have plots of their own.
//!
//! In: a run. Out: the groups, and a sentence where some are left out.

use crate::sample::Counter;

use super::super::model::RunModel;
use super::page::Section;

/// Groups that have plots of their own; where there are more, those that were cut off most have.
pub(super) const MOST_GROUPS: usize = 6;

/// The groups that have plots of their own: index, name.
pub(super) fn plotted_groups(model: &RunModel) -> Vec<(usize, &str)> {
    let mut groups: Vec<(usize, &str, u64)> = model
        .groups()
        .enumerate()
        .map(|(index, (name, tally))| (index, name, tally.counter(Counter::Disconnects)))
        .collect();
    groups.sort_by_key(|(index, _, disconnects)| (std::cmp::Reverse(*disconnects), *index));
    groups.truncate(MOST_GROUPS);
    groups.sort_unstable_by_key(|(index, ..)| *index);
    groups.into_iter().map(|(index, name, _)| (index, name)).collect()
}

/// A sentence where not every group has plots.
pub(super) fn left_out(section: &mut Section, model: &RunModel) {
    let groups = model.manifest.groups.len();
    if groups > MOST_GROUPS {
        section.absent(&format!(
            "Of {groups} groups, the {MOST_GROUPS} with the most disconnects are plotted. The tables have all."
        ));
    }
}
