//! What clients said and heard by their groups' rules, as rows.
//!
//! In: a run. Out: its exchanges, streams and kinds: those that the scenario has, whether anything was said of them or not.

use crate::record::{ExchangeTally, Latencies, StreamTally, TalkNames, TalkTally};
use crate::sample::ErrorWord;

use super::model::RunModel;

/// What a message is called whose kind could not be told.
const NO_KIND: &str = "(none)";
/// What messages of the less frequent kinds are called.
const OTHER_KINDS: &str = ErrorWord::OTHER;

/// An exchange of a group.
#[derive(Debug, Clone)]
pub(super) struct ExchangeRow<'m> {
    /// The group's place in the scenario, and its name.
    pub(super) place: usize,
    pub(super) group: &'m str,
    /// The saying's place in the group, and its name.
    pub(super) index: u16,
    pub(super) name: String,
    pub(super) own: ExchangeTally,
}

/// A stream of a group.
#[derive(Debug, Clone)]
pub(super) struct StreamRow<'m> {
    /// The group's place in the scenario, and its name.
    pub(super) place: usize,
    pub(super) group: &'m str,
    pub(super) name: String,
    pub(super) is_relative: bool,
    pub(super) own: StreamTally,
    /// How long its messages took; `None`: by these clocks it is not known.
    pub(super) latencies: Option<Latencies>,
}

/// Messages of a kind.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct KindRow<'m> {
    pub(super) group: &'m str,
    pub(super) kind: String,
    pub(super) count: u64,
    /// In a second of the run.
    pub(super) rate: f64,
}

/// The exchanges of a run, group by group.
pub(super) fn exchanges(model: &RunModel) -> Vec<ExchangeRow<'_>> {
    groups(model).flat_map(|group| group.exchanges()).collect()
}

/// The streams of a run, group by group.
pub(super) fn streams(model: &RunModel) -> Vec<StreamRow<'_>> {
    groups(model).flat_map(|group| group.streams()).collect()
}

/// The kinds of each group, the most frequent first, as many as the scenario says; the rest is `other`.
pub(super) fn kinds(model: &RunModel) -> Vec<KindRow<'_>> {
    groups(model).flat_map(|group| group.kinds(model.elapsed_s)).collect()
}

/// Whether the scenario counts kinds.
pub(super) fn has_kinds(model: &RunModel) -> bool {
    groups(model).any(|group| {
        group.names.kinds_at_most.is_some() || group.talk.is_some_and(|talk| !talk.kinds.is_empty())
    })
}

/// A group: its place and name, what its parts are called, what was said and heard.
struct Group<'m> {
    place: usize,
    name: &'m str,
    names: &'m TalkNames,
    talk: Option<&'m TalkTally>,
}

fn groups(model: &RunModel) -> impl Iterator<Item = Group<'_>> {
    model.groups().enumerate().map(|(place, (name, tally))| Group {
        place,
        name,
        names: model.manifest.talk_names(place),
        talk: tally.talk.as_deref(),
    })
}

impl<'m> Group<'m> {
    fn exchanges(&self) -> Vec<ExchangeRow<'m>> {
        let told = self.talk.map(|talk| &talk.exchanges);
        let mut indexes: Vec<u16> = self.names.exchanges.iter().map(|(index, _)| *index).collect();
        indexes.extend(told.into_iter().flatten().map(|(index, _)| *index));
        indexes.sort_unstable();
        indexes.dedup();
        let row = |index: u16| ExchangeRow {
            place: self.place,
            group: self.name,
            index,
            name: self.names.exchange(index),
            own: told.and_then(|told| told.get(&index)).cloned().unwrap_or_default(),
        };
        indexes.into_iter().map(row).collect()
    }

    fn streams(&self) -> Vec<StreamRow<'m>> {
        let told = self.talk.map(|talk| &talk.streams);
        let last = told.and_then(|told| told.keys().next_back()).map_or(0, |index| usize::from(*index) + 1);
        let count = u16::try_from(self.names.streams.len().max(last)).unwrap_or(u16::MAX);
        let row = |index: u16| {
            let own = told.and_then(|told| told.get(&index)).cloned().unwrap_or_default();
            let is_relative = self.names.is_relative(index);
            let latencies = own.latencies(is_relative);
            StreamRow {
                place: self.place,
                group: self.name,
                name: self.names.stream(index),
                is_relative,
                own,
                latencies,
            }
        };
        (0..count).map(row).collect()
    }

    fn kinds(&self, elapsed_s: f64) -> Vec<KindRow<'m>> {
        let most = self.names.kinds_at_most.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
        let told = || self.talk.into_iter().flat_map(|talk| &talk.kinds);
        let worded = told().filter_map(|(kind, n)| Some((kind.as_ref()?, *n)));
        let (unkept, mut named): (Vec<(&ErrorWord, u64)>, Vec<_>) =
            worded.partition(|(kind, _)| kind.text() == OTHER_KINDS);
        named.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        let beyond: u64 = named.iter().skip(most).map(|(_, n)| n).sum();
        named.truncate(most);
        let none: u64 = told().filter(|(kind, _)| kind.is_none()).map(|(_, n)| n).sum();
        let unkept = unkept.into_iter().map(|(_, n)| n).sum::<u64>();
        let other = beyond + unkept + self.talk.map_or(0, |talk| talk.other_kinds);
        let rest = [(OTHER_KINDS, other), (NO_KIND, none)];
        let rows = named.into_iter().map(|(kind, n)| (kind.text(), n));
        let rows = rows.chain(rest.into_iter().filter(|(_, n)| *n > 0));
        let row = |(kind, count): (&str, u64)| KindRow {
            group: self.name,
            kind: kind.to_owned(),
            count,
            rate: if elapsed_s > 0.0 { count as f64 / elapsed_s } else { 0.0 },
        };
        rows.map(row).collect()
    }
}
