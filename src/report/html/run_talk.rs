//! The section of a run's page on what clients said and heard: exchanges, streams, kinds.
//!
//! In: a run and its points. Out: a section, where the scenario has such.

use crate::record::Latencies;

use super::super::model::RunModel;
use super::super::talk::{exchanges, has_kinds, streams};
use super::buckets::Buckets;
use super::marks::time_marks;
use super::messages::conversation_tables;
use super::page::{Block, Section};
use super::plot::{Plot, PlotKind, Unit};
use super::run_time::{TimePlots, spread_series};

/// Exchanges, and streams, that have lines of their own; the tables have all.
const MOST_LINES: usize = 12;

/// The section; `None` where the scenario has no exchanges, streams or kinds.
pub(super) fn section(model: &RunModel, buckets: &Buckets) -> Option<Section> {
    let (exchanges, streams) = (exchanges(model), streams(model));
    if exchanges.is_empty() && streams.is_empty() && !has_kinds(model) {
        return None;
    }
    let lead = "What the clients said and heard by their groups' rules. An exchange is a message and its reply, from when the message was due; a stream is messages with \
                one numbering; the blind time is how long after a disconnect a client knew nothing new.";
    let mut section = Section::new("conversation", "Exchanges and streams", lead);
    let several = model.manifest.groups.len() > 1;
    let called = |group: &str, name: &str| if several { format!("{group}: {name}") } else { name.to_owned() };
    let mut by_percentile = Vec::new();
    let exchange_names: Vec<String> = exchanges.iter().map(|row| called(row.group, &row.name)).collect();
    let stream_names: Vec<String> = streams.iter().map(|row| called(row.group, &row.name)).collect();
    let own = exchanges.iter().map(|row| &row.own.latencies);
    by_percentile.extend(percentiles("exchanges", "Exchanges", &exchange_names, own.map(Some)));
    let own = streams.iter().map(|row| row.latencies.as_ref());
    by_percentile.extend(percentiles("streams", "Streams: by both clocks", &stream_names, own));
    let own = streams.iter().map(|row| Some(&row.own.blind));
    by_percentile.extend(percentiles("blind", "Blind time", &stream_names, own));
    if !by_percentile.is_empty() {
        section.push(Block::Plots { plots: by_percentile });
    }
    let time = TimePlots { model, buckets, marks: time_marks(model) };
    let shown = exchanges.iter().zip(&exchange_names).take(MOST_LINES).enumerate();
    let over_time = shown.map(|(number, (row, name))| {
        let id = format!("exchange-{number}");
        let mut plot = time.plot(&id, name, PlotKind::Time, "exchange latency", Unit::Us);
        plot.log_y = true;
        plot.series =
            spread_series(&buckets.groups[row.place], |bucket| bucket.exchanges.get(&row.index).copied());
        plot
    });
    let over_time: Vec<Plot> = over_time.filter(|plot| !plot.is_empty()).collect();
    if !over_time.is_empty() {
        section.push(Block::Plots { plots: over_time });
    }
    section.blocks.extend(conversation_tables(model));
    if exchanges.len().max(streams.len()) > MOST_LINES {
        section.absent(&format!("The first {MOST_LINES} are plotted. The tables have all."));
    }
    Some(section)
}

/// Latencies by percentile, a line for each; `None` where none has values.
fn percentiles<'l>(
    id: &str,
    title: &str,
    names: &[String],
    latencies: impl Iterator<Item = Option<&'l Latencies>>,
) -> Option<Plot> {
    let named = names.iter().zip(latencies).take(MOST_LINES);
    let curves: Vec<(&str, &Latencies)> =
        named.filter_map(|(name, latencies)| Some((name.as_str(), latencies?))).collect();
    let plot = Plot::percentiles(&format!("percentiles-{id}"), title, &curves);
    (!plot.is_empty()).then_some(plot)
}
