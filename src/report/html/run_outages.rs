//! The section of a run's page that shows its outages, and its availability.
//!
//! In: a run. Out: a sentence and a recovery curve for each outage, and tables.

use crate::record::Latencies;
use crate::record::outages::{OutageIn, RunOutage};

use super::super::model::RunModel;
use super::super::outages::{availability, group_name, lines, outages, title, told};
use super::super::recovery::RecoveryCurve;
use super::super::tables;
use super::page::{Block, Section};
use super::plot::{Mark, Plot};
use super::plotted::MOST_GROUPS;
use super::table::Table;
use super::tone::Tone;

/// Outages that have a curve of their own.
const MOST_CURVES: usize = 8;

pub(super) fn section(model: &RunModel) -> Section {
    let lead = "Disconnects close together that the clients did not ask for and that no storm of the scenario explains. Times count from the first loss; who was still away when \
                the run ended counts for as long as it was seen to be (Kaplan-Meier). What an outage cost is for how long those who were lost were out, added up.";
    let mut section = Section::new("outages", "Outages", lead);
    if model.outages.is_empty() {
        section.absent("None was found.");
    }
    for text in lines(model) {
        section.push(Block::Note { tone: Tone::Warning, text });
    }
    let shown = model.outages.iter().enumerate().take(MOST_CURVES);
    let plots: Vec<Plot> = shown.map(|(index, outage)| recovery_plot(model, index, outage)).collect();
    if !plots.is_empty() {
        section.plots_or(plots, "");
    }
    for own in [outages(model), availability(model)].into_iter().flatten() {
        section.push(Block::Table(as_table(&own)));
    }
    section
}

/// The outages as marks of a time plot.
pub(super) fn outage_marks(model: &RunModel) -> Vec<Mark> {
    let marks = model.outages.iter().enumerate();
    marks
        .map(|(index, outage)| Mark::vertical(outage.all.first_us as f64 / 1e6, &title(model, index)))
        .collect()
}

fn recovery_plot(model: &RunModel, index: usize, outage: &RunOutage) -> Plot {
    let curves: Vec<(&str, RecoveryCurve)> =
        told(model, outage).take(MOST_GROUPS).map(|own| (group_name(model, own), curve(own))).collect();
    let curves: Vec<(&str, &RecoveryCurve)> = curves.iter().map(|(name, curve)| (*name, curve)).collect();
    let mut title = title(model, index);
    if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    Plot::recovery(&format!("outage-{index}"), &title, &curves)
}

fn curve(own: &OutageIn) -> RecoveryCurve {
    let histogram = |times: &[(u64, u64)]| {
        let mut histogram = Latencies::new();
        times.iter().for_each(|(us, n)| histogram.record_many(*us, *n));
        histogram
    };
    RecoveryCurve {
        group: own.group,
        storm: None,
        disconnects: own.lost.saturating_sub(own.not_wanted),
        back: histogram(&own.back),
        away: histogram(&own.away),
    }
}

/// The same cells; words stand to the left.
fn as_table(own: &tables::Table) -> Table {
    let Some((header, rows)) = own.rows.split_first() else { return Table::new(own.title, &[]) };
    let is_text = |name: &str| ["outage", "group", "ended by"].contains(&name);
    let columns: Vec<String> =
        header.iter().map(|name| if is_text(name) { format!("<{name}") } else { name.clone() }).collect();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let mut table = Table::new(own.title, &columns);
    rows.iter().for_each(|row| table.row(row.clone()));
    table
}
