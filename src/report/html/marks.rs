//! What stands across every time plot of a run: its storms, its events and its marks; and the section that lists events and marks.
//!
//! In: a run. Out: lines of time plots, a section.

use crate::units::clipped;

use super::super::marks::{HEADER, MOST_ROWS, failed_lines, row};
use super::super::model::RunModel;
use super::page::{Block, Section};
use super::plot::Mark;
use super::run_outages::outage_marks;
use super::table::Table;
use super::tone::Tone;

/// Events and marks that stand in plots; more would hide the numbers.
const MOST_LINES: usize = 40;
/// The longest name in a plot, in characters.
const LONGEST_LABEL: usize = 24;

/// The lines across the time plots of a run.
pub(super) fn time_marks(model: &RunModel) -> Vec<Mark> {
    let storms = &model.manifest.storms;
    let storms = storms.iter().enumerate().map(|(index, storm)| {
        let name = if storms.len() == 1 { "storm".to_owned() } else { format!("storm {}", index + 1) };
        Mark::vertical(storm.at_s, &name)
    });
    // A storm by hand is among the storms.
    let told = model.marks.iter().filter(|mark| mark.storm.is_none()).take(MOST_LINES);
    let told = told.map(|mark| Mark::vertical(mark.at_us as f64 / 1e6, &clipped(&mark.name, LONGEST_LABEL)));
    storms.chain(told).chain(outage_marks(model)).collect()
}

/// The section of events and marks; `None` where there are none.
pub(super) fn section(model: &RunModel) -> Option<Section> {
    if model.marks.is_empty() {
        return None;
    }
    let lead = "What the run did to the service, and what was told of it from outside, while the run went on. Every plot over time has a line at each.";
    let mut section = Section::new("events", "Events and marks", lead);
    let [at, name, by, came] = HEADER;
    let mut table = Table::new("", &[at, &format!("<{name}"), &format!("<{by}"), &format!("<{came}")]);
    for mark in model.marks.iter().take(MOST_ROWS) {
        let tone = if mark.has_failed() { Tone::Bad } else { Tone::Plain };
        table.row_in(tone, row(mark).to_vec());
    }
    section.push(Block::Table(table));
    if model.marks.len() > MOST_ROWS {
        section.absent(&format!(
            "Of {} events and marks, the first {MOST_ROWS} are here: run.json has all.",
            model.marks.len()
        ));
    }
    for mark in model.marks.iter().take(MOST_ROWS) {
        let lines = failed_lines(mark);
        if !lines.is_empty() {
            let title = format!("The last lines of {}", mark.name);
            section.push(Block::Source { title, text: lines.join("\n") });
        }
    }
    Some(section)
}
