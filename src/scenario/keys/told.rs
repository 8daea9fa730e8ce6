//! What some keys tell those that are read after them.

use std::time::Duration;

use crate::declare::Reading;

/// The file's name without its ending.
#[derive(Clone)]
pub(crate) struct Stem(pub(crate) String);

/// The names of the groups, for the keys that follow.
#[derive(Clone)]
pub(crate) struct GroupNames(pub(crate) Vec<String>);

/// What a group has that thresholds may name.
#[derive(Clone)]
pub(crate) struct GroupParts {
    pub(crate) group: String,
    pub(crate) exchanges: Vec<String>,
    pub(crate) streams: Vec<String>,
}

/// The exchanges and streams of each group, for the keys that follow; told only where no group has faults.
#[derive(Clone)]
pub(crate) struct TalkParts(pub(crate) Vec<GroupParts>);

/// The events by their names, and when each is done first, for the keys that follow.
#[derive(Clone)]
pub(crate) struct EventTimes(pub(crate) Vec<(String, Duration)>);

/// Whether the target is the embedded one, for the keys that follow.
#[derive(Clone, Copy)]
pub(crate) struct IsEmbedded(pub(crate) bool);

/// Whether the target is the embedded one.
pub(crate) fn is_embedded(reading: &Reading<'_>) -> bool {
    reading.told().is_some_and(|IsEmbedded(is_embedded)| is_embedded)
}
