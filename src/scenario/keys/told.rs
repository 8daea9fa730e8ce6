//! What some keys tell those that are read after them.

use std::time::Duration;

use crate::declare::Reading;

/// The file's name without its ending.
#[derive(Clone)]
pub(crate) struct Stem(pub(crate) String);

/// The names of the groups, for the keys that follow.
#[derive(Clone)]
pub(crate) struct GroupNames(pub(crate) Vec<String>);

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
