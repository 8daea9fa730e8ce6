//! The guard: a small process beside a run that has commands, which ends them where the run itself was killed.
//!
//! In: lines on standard input: which process groups have begun, and which are over. Out: when the input ends, none of those that are left. Only the run
//! writes to the other end, so it ends with the run, however that ends.

use std::collections::BTreeSet;
use std::io::BufRead;
use std::time::Duration;

use crate::machine::{ask_group_to_end, end_group, has_living};

/// The subcommand that is a guard.
pub(super) const GUARD_COMMAND: &str = "event-guard";

/// How long a group gets to end after a SIGTERM, and again after a SIGKILL.
pub(super) const GRACE: Duration = Duration::from_secs(2);
/// How often the groups are looked at while they end.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// That a group has begun.
pub(super) fn begun_line(group: i32) -> String {
    format!("+{group}\n")
}

/// That nobody is left of a group.
pub(super) fn over_line(group: i32) -> String {
    format!("-{group}\n")
}

/// Hears of process groups until `input` ends, and ends those that are left.
pub fn guard_commands(input: impl BufRead) {
    let left = groups_left(input);
    left.iter().for_each(|group| ask_group_to_end(*group));
    let mut waited = Duration::ZERO;
    while left.iter().any(|group| has_living(*group)) && waited < GRACE {
        std::thread::sleep(LOOK_EVERY);
        waited += LOOK_EVERY;
    }
    left.iter().for_each(|group| end_group(*group));
}

/// The groups that have begun and are not over.
fn groups_left(input: impl BufRead) -> BTreeSet<i32> {
    let mut left = BTreeSet::new();
    for line in input.lines().map_while(Result::ok) {
        let group = |sign: char| line.strip_prefix(sign).and_then(|group| group.parse::<i32>().ok());
        left.extend(group('+').filter(|group| *group > 1));
        if let Some(over) = group('-') {
            left.remove(&over);
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_groups_left_are_those_that_have_begun_and_are_not_over() {
        let told =
            [begun_line(12), begun_line(13), over_line(12), "+1\n+0\n+-3\nnonsense\n".to_owned()].concat();
        assert_eq!(groups_left(told.as_bytes()), BTreeSet::from([13]));
    }
}
