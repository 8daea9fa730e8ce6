//! What a run is called on a NATS server.
//!
//! In: the run's name. Out: subjects, streams and keys; nothing of another run has the same.

use std::fmt;
use std::str::FromStr;

/// The longest name.
const MOST: usize = 40;

/// The name of a run of many machines: letters, digits, `-` and `_`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunName(String);

/// A text that names no run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a run's name has letters, digits, - and _, {MOST} at most")]
pub struct NoRunName;

impl FromStr for RunName {
    type Err = NoRunName;

    fn from_str(text: &str) -> Result<Self, NoRunName> {
        let is_one = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let fits = (1..=MOST).contains(&text.len()) && text.bytes().all(is_one);
        if fits { Ok(Self(text.to_owned())) } else { Err(NoRunName) }
    }
}

impl fmt::Display for RunName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl RunName {
    /// The name of a run that was given none: after its scenario, and unlike any other by `mark`.
    #[must_use]
    pub fn of(scenario: &str, mark: u16) -> Self {
        Self(format!("{}-{mark:04x}", Self::after(scenario)))
    }

    /// The name after a scenario, to which a mark is added where it is to be unlike any other.
    #[must_use]
    pub fn after(scenario: &str) -> Self {
        let plain =
            |one: char| if one.is_ascii_alphanumeric() || one == '-' || one == '_' { one } else { '-' };
        Self(scenario.chars().map(plain).take(MOST - 5).collect())
    }

    /// The key-value store of the run: what to run, who has which share, orders.
    pub(super) fn bucket(&self) -> String {
        format!("resurge_{self}")
    }

    /// The stream of what the workers tell.
    pub(super) fn stream(&self) -> String {
        format!("RESURGE_{self}")
    }

    /// Where the worker of a share tells what is to be kept until it is heard.
    pub(super) fn report(&self, shard: u32) -> String {
        format!("resurge.{self}.report.{shard}")
    }

    /// Where all do.
    pub(super) fn reports(&self) -> String {
        format!("resurge.{self}.report.*")
    }

    /// Where the worker of a share says that it is there.
    pub(super) fn beat(&self, shard: u32) -> String {
        format!("resurge.{self}.beat.{shard}")
    }

    /// Where all do.
    pub(super) fn beats(&self) -> String {
        format!("resurge.{self}.beat.*")
    }

    /// Where the coordinator says that it is there.
    pub(super) fn lead(&self) -> String {
        format!("resurge.{self}.lead")
    }

    /// Where a worker asks for the time.
    pub(super) fn time(&self) -> String {
        format!("resurge.{self}.time")
    }

    /// Where whoever was refused says so.
    pub(super) fn refusals(&self) -> String {
        format!("resurge.{self}.refused")
    }
}

/// The share in the last word of a subject.
pub(super) fn shard_of(subject: &str) -> Option<u32> {
    subject.rsplit('.').next().and_then(|word| word.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_reach_into_subjects() {
        for bad in ["", "a.b", "a b", "*", ">", "ä", "a/b", &"x".repeat(41)] {
            assert_eq!(bad.parse::<RunName>(), Err(NoRunName), "{bad}");
        }
        let name: RunName = "nightly-7_b".parse().unwrap();
        assert_eq!(name.report(3), "resurge.nightly-7_b.report.3");
        assert_eq!((shard_of(&name.beat(12)), shard_of("resurge.x.beat.one")), (Some(12), None));
        let made = RunName::of("Ärger im Büro, und noch viel mehr als das: ein langer Name", 0xbeef);
        assert_eq!(made.to_string().parse(), Ok(made));
    }
}
