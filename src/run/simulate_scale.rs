//! The same scenario with another number of clients.
//!
//! In: a scenario, how many clients there are to be in all. Out: overrides of its keys that make it so: each group keeps its share.

use crate::scenario::Overrides;
use crate::scenario::keys::{Scenario, Start};

/// The overrides that scale all groups to `total` clients. Shares are rounded to the largest remainder, and every group keeps a client.
///
/// # Errors
/// A sentence, where there are fewer clients than groups, or stages.
pub(super) fn scaled(scenario: &Scenario, total: u32) -> Result<Overrides, String> {
    let counts: Vec<u32> = scenario.groups.iter().map(|group| group.clients).collect();
    let wanted = apportion(&counts, total).ok_or_else(|| {
        format!("--clients {total} are fewer than the scenario has groups ({}): each needs one", counts.len())
    })?;
    let mut overrides = Overrides::new();
    for (index, (group, clients)) in scenario.groups.iter().zip(wanted).enumerate() {
        overrides.push((format!("groups.{index}.clients"), clients.to_string()));
        if let Start::Stages(stages) = &group.start {
            let counts: Vec<u32> = stages.iter().map(|stage| stage.clients).collect();
            let parts = apportion(&counts, clients).ok_or_else(|| {
                format!(
                    "--clients {total} leaves group \"{}\" {clients}, fewer than its start has stages",
                    group.name
                )
            })?;
            for (stage, part) in parts.into_iter().enumerate() {
                overrides.push((format!("groups.{index}.start.stages.{stage}.clients"), part.to_string()));
            }
        }
    }
    Ok(overrides)
}

/// `total` in the proportion of `counts`, each part at least 1; `None`: there are too few for that.
fn apportion(counts: &[u32], total: u32) -> Option<Vec<u32>> {
    let parts = u32::try_from(counts.len()).ok()?;
    let rest = u64::from(total.checked_sub(parts)?);
    let sum: u64 = counts.iter().map(|count| u64::from(*count)).sum::<u64>().max(1);
    let mut shares: Vec<(usize, u64, u64)> = counts
        .iter()
        .enumerate()
        .map(|(index, count)| {
            let product = rest * u64::from(*count);
            (index, 1 + product / sum, product % sum)
        })
        .collect();
    let given: u64 = shares.iter().map(|share| share.1).sum();
    shares.sort_by_key(|(index, _, remainder)| (std::cmp::Reverse(*remainder), *index));
    let left = usize::try_from(u64::from(total) - given).ok()?;
    shares.iter_mut().take(left).for_each(|share| share.1 += 1);
    shares.sort_by_key(|share| share.0);
    shares.into_iter().map(|share| u32::try_from(share.1).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shares_are_kept_and_none_is_left_without() {
        assert_eq!(apportion(&[1_000, 1_000], 1_000_000), Some(vec![500_000, 500_000]));
        assert_eq!(apportion(&[4_000, 1_000], 10), Some(vec![7, 3]));
        assert_eq!(apportion(&[1_000_000, 1], 2), Some(vec![1, 1]));
        assert_eq!(apportion(&[5, 5, 5], 2), None);
    }

    proptest! {
        #[test]
        fn nobody_is_lost(counts in prop::collection::vec(1_u32..1_000_000, 1..20), more in 0_u32..10_000_000) {
            let total = counts.len() as u32 + more;
            let parts = apportion(&counts, total).unwrap();
            prop_assert_eq!(parts.iter().map(|part| u64::from(*part)).sum::<u64>(), u64::from(total));
            prop_assert!(parts.iter().all(|part| *part > 0));
        }
    }
}
