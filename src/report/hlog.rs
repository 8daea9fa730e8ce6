//! `histograms.hlog`: the HdrHistogram interval log (format 1.3), which any HDR tool opens.
//!
//! In: a run. Out: text: a line for each interval, group and metric, tagged `group.metric`, as `g.exchange:NAME`. Intervals are seconds; in runs of more than five minutes
//! neighbours are merged, so that there are at most 300, and each line says how long its own is. Values in the histograms are microseconds; the
//! column `Interval_Max` is in milliseconds, as the format's tools show it.

use std::borrow::Cow;
use std::fmt::Write as _;

use base64::Engine as _;

use crate::record::{Latencies, TalkNames, Tally};

use super::model::RunModel;
use super::simulated::{SIMULATED, assumptions};

/// The most intervals of a log.
const MOST_INTERVALS: u64 = 300;

/// The interval log of a run.
#[must_use]
pub fn histograms_hlog(model: &RunModel) -> String {
    let start_s = model.manifest.started_unix_us as f64 / 1e6;
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = writeln!(text, "#[Logged with resurge {}]", model.manifest.tool_version);
    let _ = writeln!(text, "#[Histogram log format version 1.3]");
    if model.manifest.simulated.is_some() {
        let _ = writeln!(text, "#[{SIMULATED}]");
        for assumption in assumptions(&model.manifest) {
            let _ = writeln!(text, "#[assumed: {}]", assumption.replace(['\n', '\r'], " "));
        }
    }
    let _ = writeln!(text, "#[StartTime: {start_s:.3} (seconds since epoch)]");
    // Without it, some readers take small timestamps for seconds since 1970.
    let _ = writeln!(text, "#[BaseTime: {start_s:.3} (seconds since epoch)]");
    let _ = writeln!(
        text,
        "#[Values are microseconds; Interval_Max is milliseconds; schema version {}]",
        model.manifest.schema_version
    );
    let _ = writeln!(
        text,
        "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\""
    );
    let seconds = model.seconds.last().map_or(0, |(second, _)| second + 1);
    let length = seconds.div_ceil(MOST_INTERVALS).max(1);
    let mut merged = vec![Tally::default(); model.manifest.groups.len()];
    for (second, groups) in model.unpacked_seconds() {
        merged.iter_mut().zip(&groups).for_each(|(sum, tally)| sum.merge(tally));
        if (second + 1).is_multiple_of(length) || second + 1 == seconds {
            let start = second - second % length;
            write_interval(&mut text, model, (start, second + 1 - start), &merged);
            merged.fill(Tally::default());
        }
    }
    text
}

/// The latencies of exchanges and streams, and blind times, by name. The least difference of the run's clocks is none in a relative stream.
fn of_talk<'t>(
    names: &TalkNames,
    total: &Tally,
    tally: &'t Tally,
) -> impl Iterator<Item = (String, Cow<'t, Latencies>)> {
    let (mut found, whole) = (Vec::new(), total.talk.as_deref());
    for (index, exchange) in tally.talk.iter().flat_map(|talk| &talk.exchanges) {
        let tag = format!("exchange:{}", tag_word(&names.exchange(*index)));
        found.push((tag, Cow::Borrowed(&exchange.latencies)));
    }
    for (index, stream) in tally.talk.iter().flat_map(|talk| &talk.streams) {
        let name = tag_word(&names.stream(*index));
        let whole = whole.and_then(|talk| talk.streams.get(index));
        if let Some(zero) = whole.and_then(|whole| whole.zero_us(names.is_relative(*index))) {
            found.push((format!("stream:{name}"), Cow::Owned(stream.differences.latencies_from(zero))));
        }
        found.push((format!("blind_time:{name}"), Cow::Borrowed(&stream.blind)));
    }
    found.into_iter().filter(|(_, latencies)| latencies.count() > 0)
}

/// A name as a tag may hold it: without commas, blanks and line ends.
fn tag_word(name: &str) -> String {
    name.replace(|c: char| c == ',' || c.is_whitespace() || c.is_control(), "_")
}

/// The lines of an interval, which begins at that second and is so many long.
fn write_interval(text: &mut String, model: &RunModel, (start, length): (u64, u64), merged: &[Tally]) {
    for (place, ((name, total), tally)) in model.groups().zip(merged).enumerate() {
        let measured = tally.histograms.iter().filter(|(metric, _)| metric.is_time());
        let measured = measured.map(|(metric, histogram)| (metric.to_string(), Cow::Borrowed(histogram)));
        for (metric, histogram) in measured.chain(of_talk(model.manifest.talk_names(place), total, tally)) {
            let encoded = base64::engine::general_purpose::STANDARD.encode(histogram.to_deflated_bytes());
            let max_ms = histogram.max_us() as f64 / 1e3;
            let _ = writeln!(
                text,
                "Tag={name}.{metric},{:.3},{:.3},{max_ms:.3},{encoded}",
                start as f64, length as f64
            );
        }
    }
}
