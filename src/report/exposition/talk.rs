//! What clients said and heard by their groups' rules, in the exposition.
//!
//! In: names and totals of each group. Out: families for exchanges, streams and kinds, where the scenario has such. Names are the scenario's, and kinds are as
//! bounded as the recorder keeps them.

use std::borrow::Cow;

use crate::record::{ExchangeTally, StreamTally, TalkNames, Tally};
use crate::sample::ErrorWord;

use super::buckets::Bounds;
use super::families::{Family, FamilyKind, FamilyUnit, Value, text};

/// A group: its name, what its exchanges and streams are called, its totals.
pub(super) type TalkingGroup<'r> = (&'r str, &'r TalkNames, &'r Tally);

/// What a count of an exchange is called.
type ExchangeEnd = (&'static str, fn(&ExchangeTally) -> u64);

const ENDS: [ExchangeEnd; 5] = [
    ("ok", |own| own.counts.ok),
    ("failed_check", |own| own.counts.failed_checks),
    ("timeout", |own| own.counts.timeouts),
    ("cut_off", |own| own.counts.cut_off),
    ("unfinished", |own| own.counts.unfinished),
];

/// What a number of a stream is called, and what it is.
type StreamNumber = (&'static str, &'static str, fn(&StreamTally) -> u64);

const COUNTS: [StreamNumber; 3] = [
    ("stream_messages", "Messages of a stream", |own| own.counts.messages),
    ("stream_late", "Messages of a stream that came out of order", |own| own.counts.late),
    ("stream_duplicates", "Messages of a stream that came twice", |own| own.counts.duplicates),
];

/// What never came may come yet: these are no counters.
const MISSED: [StreamNumber; 2] = [
    ("stream_missed", "Messages of a stream left out within sessions that have not come", |own| {
        own.counts.missed()
    }),
    (
        "stream_missed_away",
        "Messages of a stream left out while clients were away that have not come",
        |own| own.counts.missed_away(),
    ),
];

/// The families that there are.
pub(super) fn families<'r>(groups: &[TalkingGroup<'r>]) -> Vec<Family<'r>> {
    let mut families = Vec::new();
    if groups.iter().any(|(_, names, _)| !names.exchanges.is_empty()) {
        families.extend(exchanges(groups));
    }
    if groups.iter().any(|(_, names, _)| !names.streams.is_empty()) {
        families.extend(streams(groups));
    }
    if groups.iter().any(|(_, names, _)| names.kinds_at_most.is_some()) {
        families.push(kinds(groups));
    }
    families
}

/// A family of times with a bound for each power of two and a half.
fn latencies<'r>(name: &'static str, help: &'static str) -> Family<'r> {
    Family::new(name, help, FamilyKind::Histogram(Bounds::Latency)).in_unit(FamilyUnit::Seconds)
}

fn exchanges<'r>(groups: &[TalkingGroup<'r>]) -> [Family<'r>; 4] {
    let help = "Messages that were sent and wait for a reply";
    let mut sent = Family::new("exchange_sent", help, FamilyKind::Counter);
    let help = "Messages of an exchange, by how they ended";
    let mut ended = Family::new("exchange_ended", help, FamilyKind::Counter);
    let help = "Replies that nobody waited for";
    let mut unexpected = Family::new("exchange_unexpected", help, FamilyKind::Counter);
    let mut latency = latencies("exchange_latency", "From when a message was due to its reply");
    for (group, names, tally) in groups {
        for (index, name) in &names.exchanges {
            let own = tally.talk.as_deref().and_then(|talk| talk.exchanges.get(index));
            let count = |of: fn(&ExchangeTally) -> u64| Value::Count(own.map_or(0, of));
            let labels = || [("group", text(group)), ("exchange", text(name))];
            sent.put(labels(), count(|own| own.counts.sent));
            for (end, of) in ENDS {
                let [group, exchange] = labels();
                ended.put([group, exchange, ("end", text(end))], count(of));
            }
            unexpected.put(labels(), count(|own| own.counts.unexpected));
            latency.put(labels(), Value::Histogram(own.map(|own| Cow::Borrowed(&own.latencies))));
        }
    }
    [sent, ended, unexpected, latency]
}

/// Its labels, whether it is relative, and what came of it.
type StreamRow<'r> = ([(&'static str, Cow<'r, str>); 2], bool, Option<&'r StreamTally>);

fn streams<'r>(groups: &[TalkingGroup<'r>]) -> Vec<Family<'r>> {
    let mut rows: Vec<StreamRow<'r>> = Vec::new();
    for (group, names, tally) in groups {
        for (index, stream) in (0_u16..).zip(&names.streams) {
            let own = tally.talk.as_deref().and_then(|talk| talk.streams.get(&index));
            rows.push(([("group", text(group)), ("stream", text(&stream.name))], stream.relative, own));
        }
    }
    let mut families = Vec::new();
    for (name, help, of) in COUNTS {
        let mut family = Family::new(name, help, FamilyKind::Counter);
        for (labels, _, own) in &rows {
            family.put(labels.clone(), Value::Count(own.map_or(0, of)));
        }
        families.push(family);
    }
    for (name, help, of) in MISSED {
        let mut family = Family::new(name, help, FamilyKind::Gauge);
        for (labels, _, own) in &rows {
            family.put(labels.clone(), Value::Number(own.map_or(0, of) as f64));
        }
        families.push(family);
    }
    let help = "From a disconnect to the first new message of a stream after it";
    let mut blind = latencies("blind_time", help);
    // The least difference of a run is known when it is over: what counts from it cannot be told before.
    let help = "From when a message was sent, by its sender's clock; not of relative streams, and of none of whose differences are below zero";
    let mut latency = latencies("stream_latency", help);
    for (labels, is_relative, own) in &rows {
        blind.put(labels.clone(), Value::Histogram(own.map(|own| Cow::Borrowed(&own.blind))));
        if *is_relative {
            continue;
        }
        match own.map(|own| own.latencies(false)) {
            Some(None) => {}
            measured => latency.put(labels.clone(), Value::Histogram(measured.flatten().map(Cow::Owned))),
        }
    }
    families.extend([blind, latency]);
    families
}

fn kinds<'r>(groups: &[TalkingGroup<'r>]) -> Family<'r> {
    let help = "Messages by the word in them; other: those for which there was no room";
    let mut family = Family::new("messages_of_kind", help, FamilyKind::Counter);
    for (group, _, tally) in groups {
        let Some(talk) = &tally.talk else { continue };
        let mut other = talk.other_kinds;
        for (kind, count) in &talk.kinds {
            match kind.as_ref().map(ErrorWord::text) {
                Some(ErrorWord::OTHER) => other += count,
                kind => {
                    let labels = [("group", text(group)), ("kind", text(kind.unwrap_or("(none)")))];
                    family.put(labels, Value::Count(*count));
                }
            }
        }
        if other > 0 {
            family.put([("group", text(group)), ("kind", text(ErrorWord::OTHER))], Value::Count(other));
        }
    }
    family
}
