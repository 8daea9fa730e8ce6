//! What clients said and heard by their groups' rules, in the exposition.
//!
//! In: names and totals of each group. Out: families for exchanges, streams and kinds, where the scenario has such. Names are the scenario's, and kinds are as
//! bounded as the recorder keeps them.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use crate::record::{ExchangeTally, StreamTally, TalkNames, Tally};
use crate::sample::ErrorWord;

use super::buckets::Bounds;
use super::families::{write_counter, write_histogram};

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

/// Writes the families that there are.
pub(super) fn encode(groups: &[TalkingGroup<'_>], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    if groups.iter().any(|(_, names, _)| !names.exchanges.is_empty()) {
        encode_exchanges(groups, encoder)?;
    }
    if groups.iter().any(|(_, names, _)| !names.streams.is_empty()) {
        encode_streams(groups, encoder)?;
    }
    if groups.iter().any(|(_, names, _)| names.kinds_at_most.is_some()) {
        encode_kinds(groups, encoder)?;
    }
    Ok(())
}

fn encode_exchanges(groups: &[TalkingGroup<'_>], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let none = ExchangeTally::default();
    let rows: Vec<(&str, &str, &ExchangeTally)> = groups
        .iter()
        .flat_map(|(group, names, tally)| {
            let own = tally.talk.as_deref().map(|talk| &talk.exchanges);
            let none = &none;
            names.exchanges.iter().map(move |(index, name)| {
                (*group, name.as_str(), own.and_then(|own| own.get(index)).unwrap_or(none))
            })
        })
        .collect();
    let counter = MetricType::Counter;
    let help = "Messages that were sent and wait for a reply";
    let mut family = encoder.encode_descriptor("exchange_sent", help, None, counter)?;
    for (group, name, own) in &rows {
        write_counter(&mut family, &[("group", *group), ("exchange", *name)], own.counts.sent)?;
    }
    let help = "Messages of an exchange, by how they ended";
    let mut family = encoder.encode_descriptor("exchange_ended", help, None, MetricType::Counter)?;
    for (group, name, own) in &rows {
        for (end, count) in ENDS {
            let labels = [("group", *group), ("exchange", *name), ("end", end)];
            write_counter(&mut family, &labels, count(own))?;
        }
    }
    let help = "Replies that nobody waited for";
    let mut family = encoder.encode_descriptor("exchange_unexpected", help, None, MetricType::Counter)?;
    for (group, name, own) in &rows {
        write_counter(&mut family, &[("group", *group), ("exchange", *name)], own.counts.unexpected)?;
    }
    let (seconds, help) = (Some(Unit::Seconds), "From when a message was due to its reply");
    let mut family =
        encoder.encode_descriptor("exchange_latency", help, seconds.as_ref(), MetricType::Histogram)?;
    for (group, name, own) in &rows {
        let labels = [("group", *group), ("exchange", *name)];
        write_histogram(&mut family, &labels, Bounds::Latency, Some(&own.latencies))?;
    }
    Ok(())
}

fn encode_streams(groups: &[TalkingGroup<'_>], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let none = StreamTally::default();
    let rows: Vec<(&str, &str, bool, &StreamTally)> = groups
        .iter()
        .flat_map(|(group, names, tally)| {
            let own = tally.talk.as_deref().map(|talk| &talk.streams);
            let none = &none;
            (0_u16..).zip(&names.streams).map(move |(index, stream)| {
                let own = own.and_then(|own| own.get(&index)).unwrap_or(none);
                (*group, stream.name.as_str(), stream.relative, own)
            })
        })
        .collect();
    for (name, help, count) in COUNTS {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (group, stream, _, own) in &rows {
            write_counter(&mut family, &[("group", *group), ("stream", *stream)], count(own))?;
        }
    }
    for (name, help, number) in MISSED {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (group, stream, _, own) in &rows {
            let labels = [("group", *group), ("stream", *stream)];
            family.encode_family(&labels)?.encode_gauge(&(number(own) as f64))?;
        }
    }
    let seconds = Some(Unit::Seconds);
    let help = "From a disconnect to the first new message of a stream after it";
    let mut family =
        encoder.encode_descriptor("blind_time", help, seconds.as_ref(), MetricType::Histogram)?;
    for (group, stream, _, own) in &rows {
        let labels = [("group", *group), ("stream", *stream)];
        write_histogram(&mut family, &labels, Bounds::Latency, Some(&own.blind))?;
    }
    // The least difference of a run is known when it is over: what counts from it cannot be told before.
    let help = "From when a message was sent, by its sender's clock; not of relative streams, and of none of whose differences are below zero";
    let mut family =
        encoder.encode_descriptor("stream_latency", help, seconds.as_ref(), MetricType::Histogram)?;
    for (group, stream, is_relative, own) in &rows {
        let latencies = own.latencies(false).filter(|_| !is_relative);
        if let Some(latencies) = latencies {
            let labels = [("group", *group), ("stream", *stream)];
            write_histogram(&mut family, &labels, Bounds::Latency, Some(&latencies))?;
        }
    }
    Ok(())
}

fn encode_kinds(groups: &[TalkingGroup<'_>], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "Messages by the word in them; other: those for which there was no room";
    let mut family = encoder.encode_descriptor("messages_of_kind", help, None, MetricType::Counter)?;
    for (group, _, tally) in groups {
        let Some(talk) = &tally.talk else { continue };
        let mut other = talk.other_kinds;
        for (kind, count) in &talk.kinds {
            match kind.as_ref().map(ErrorWord::text) {
                Some(ErrorWord::OTHER) => other += count,
                kind => {
                    let labels = [("group", *group), ("kind", kind.unwrap_or("(none)"))];
                    write_counter(&mut family, &labels, *count)?;
                }
            }
        }
        if other > 0 {
            write_counter(&mut family, &[("group", *group), ("kind", ErrorWord::OTHER)], other)?;
        }
    }
    Ok(())
}
