//! A comparison as a page: verdict, percentile curves and recovery curves of both sides over each other, tables.
//!
//! In: comparisons and the runs that they are of; or a trend. Out: HTML, one self-contained file. Texts are escaped by the page kit.

use crate::record::Latencies;
use crate::report::RecoveryCurve;
use crate::report::html::{
    Axis, Block, Line, Page, Plot, PlotKind, RenderError, Section, Series, Table, Tone, Unit as PlotUnit,
    render_page,
};
use crate::sample::Metric;

use super::comparison::{Comparison, Row, WHOLE_RUN};
use super::judge::Finding;
use super::measure::Unit;
use super::outages::MOST_OUTAGES;
use super::repeat::{Facts, RunSet};
use super::trend::{Trend, TrendRow};
use super::words;

/// A side's single runs are drawn beside their sum up to so many.
const MOST_RUNS_DRAWN: usize = 10;

/// Both sides of a comparison, and what became of it.
#[derive(Debug, Clone, Copy)]
pub struct Compared<'c> {
    /// The baseline.
    pub baseline: &'c RunSet,
    /// The candidate.
    pub candidate: &'c RunSet,
    /// What became of it.
    pub comparison: &'c Comparison,
}

/// Comparisons as a page.
///
/// # Errors
/// [`RenderError`], a fault of this program.
pub fn comparison_html(all: &[Compared<'_>]) -> Result<String, RenderError> {
    let names: Vec<&str> = all.iter().map(|one| one.candidate.name.as_str()).collect();
    let baseline = all.first().map_or("", |one| one.baseline.name.as_str());
    let sections = all.iter().enumerate().flat_map(|(index, one)| sections(index, *one));
    render_page(&Page {
        title: format!("{} against {baseline}", names.join(", ")),
        subtitle: "resurge compare".to_owned(),
        sections: sections.collect(),
        footer: footer(),
    })
}

fn footer() -> String {
    format!("resurge {}", env!("CARGO_PKG_VERSION"))
}

const fn tone(finding: Finding) -> Tone {
    match finding {
        Finding::Regressed => Tone::Bad,
        Finding::Improved | Finding::Unchanged => Tone::Good,
        Finding::Inconclusive => Tone::Plain,
    }
}

fn sections(index: usize, one: Compared<'_>) -> Vec<Section> {
    let mut sections = vec![verdict(index, one)];
    let rows = &one.comparison.rows;
    for (group, manifest) in
        one.candidate.repeats.iter().take(1).flat_map(|run| run.facts.groups.iter().enumerate())
    {
        sections.push(group_section(index, group, &manifest.name, one));
    }
    let of_run: Vec<&Row> = rows.iter().filter(|row| row.group == WHOLE_RUN).collect();
    let mut runs =
        Section::new(&format!("runs-{index}"), "The runs", "What was compared, and the generator's own cost");
    runs.push(Block::Table(runs_table(one)));
    runs.push(Block::Table(measures_table("Of each run as a whole", &of_run)));
    sections.push(runs);
    sections
}

fn verdict(index: usize, one: Compared<'_>) -> Section {
    let comparison = one.comparison;
    let title = format!("{} against {}", one.candidate.name, one.baseline.name);
    let mut section = Section::new(&format!("verdict-{index}"), &title, "");
    let mut reasons = vec![words::counts(comparison)];
    let changed =
        comparison.deciding().filter(|row| matches!(row.finding, Finding::Regressed | Finding::Improved));
    reasons.extend(changed.map(words::sentence));
    reasons.extend(comparison.missed().into_iter().map(|missed| format!("not judged: {missed}")));
    let title = comparison.finding.name().to_uppercase();
    section.push(Block::Verdict { tone: tone(comparison.finding), title, reasons });
    for note in &comparison.notes {
        section.push(Block::Note { tone: Tone::Warning, text: note.clone() });
    }
    if let Some(text) = words::wholes(&comparison.rows) {
        section.push(Block::Note { tone: Tone::Plain, text });
    }
    section
}

fn group_section(index: usize, group: usize, name: &str, one: Compared<'_>) -> Section {
    let id = |what: &str| format!("{what}-{index}-{group}");
    let mut section = Section::new(
        &id("group"),
        &format!("Group {name}"),
        "Bold lines are all repeats together, dotted ones single runs. Intervals are of 95 %",
    );
    let lines = lines(group, name, one);
    let curves: Vec<(&str, &Latencies)> =
        lines.iter().map(|line| (line.name.as_str(), &line.curve.back)).collect();
    let mut percentiles = Plot::percentiles(&id("percentiles"), "Reconnect latency by percentile", &curves);
    let curves: Vec<(&str, &RecoveryCurve)> =
        lines.iter().map(|line| (line.name.as_str(), &line.curve)).collect();
    let mut recovery = Plot::recovery(&id("recovery"), "Share back by time since the disconnect", &curves);
    for plot in [&mut percentiles, &mut recovery] {
        painted(plot, &lines);
    }
    section.plots_or(vec![percentiles, recovery], "No completed reconnect on either side.");
    for (number, lines) in outage_lines(group, name, one) {
        let title = format!("Outage {number}: share back by time since the first loss");
        let curves: Vec<(&str, &RecoveryCurve)> =
            lines.iter().map(|line| (line.name.as_str(), &line.curve)).collect();
        let mut plot = Plot::recovery(&id(&format!("outage-{number}")), &title, &curves);
        painted(&mut plot, &lines);
        section.push(Block::Plots { plots: vec![plot] });
    }
    let rows: Vec<&Row> = one.comparison.rows.iter().filter(|row| row.group == name).collect();
    let (deciding, explaining): (Vec<&Row>, Vec<&Row>) =
        rows.into_iter().partition(|row| row.measure.decides);
    section.push(Block::Table(measures_table("Measures that decide", &deciding)));
    section.push(Block::Table(measures_table("Measures that explain", &explaining)));
    section
}

/// Each side has its colour, single runs are dotted.
fn painted(plot: &mut Plot, lines: &[DrawnLine]) {
    for series in &mut plot.series {
        if let Some(line) = lines.iter().find(|line| line.name == series.name) {
            series.colour = line.side;
            series.line = if line.is_single { Line::Dotted } else { Line::Solid };
        }
    }
}

/// A line of the plots.
struct DrawnLine {
    name: String,
    /// 0 is the baseline, 1 the candidate.
    side: usize,
    is_single: bool,
    curve: RecoveryCurve,
}

fn lines(group: usize, name: &str, one: Compared<'_>) -> Vec<DrawnLine> {
    let mut lines = Vec::new();
    for (side, set, word) in sides(one) {
        let Some(index) = index_in(set, side, group, name) else { continue };
        let singles: Vec<RecoveryCurve> = set.repeats.iter().map(|run| curve(&[run], index)).collect();
        let all: Vec<&super::repeat::Repeat> = set.repeats.iter().collect();
        lines.push(DrawnLine {
            name: format!("{word} {}", set.name),
            side,
            is_single: false,
            curve: curve(&all, index),
        });
        let drawn = if (2..=MOST_RUNS_DRAWN).contains(&singles.len()) { singles } else { Vec::new() };
        lines.extend(drawn.into_iter().enumerate().map(|(number, curve)| DrawnLine {
            name: format!("{word} run {}", number + 1),
            side,
            is_single: true,
            curve,
        }));
    }
    lines
}

/// Each side, with its colour and its word.
const fn sides(one: Compared<'_>) -> [(usize, &RunSet, &str); 2] {
    [(0, one.baseline, "baseline"), (1, one.candidate, "candidate")]
}

/// The index of a group of the candidate on a side.
fn index_in(set: &RunSet, side: usize, group: usize, name: &str) -> Option<usize> {
    let names = set.repeats.first().map(|run| run.facts.groups.as_slice()).unwrap_or_default();
    if side == 1 { Some(group) } else { names.iter().position(|group| group.name == name) }
}

/// The outages that both sides had in a group, by number, with a line for each side: its runs together.
fn outage_lines(group: usize, name: &str, one: Compared<'_>) -> Vec<(usize, Vec<DrawnLine>)> {
    let numbered = (0..MOST_OUTAGES).map(|outage| {
        let lines = sides(one).into_iter().filter_map(|(side, set, word)| {
            let index = index_in(set, side, group, name)?;
            let curve = outage_curve(set, index, outage).filter(|curve| curve.disconnects > 0)?;
            Some(DrawnLine { name: format!("{word} {}", set.name), side, is_single: false, curve })
        });
        (outage + 1, lines.collect::<Vec<_>>())
    });
    numbered.filter(|(_, lines)| lines.len() == 2).collect()
}

/// How those came back who were lost in an outage, over all runs of a side together; `None` where none met it.
fn outage_curve(set: &RunSet, group: usize, outage: usize) -> Option<RecoveryCurve> {
    let (mut back, mut away) = (Latencies::new(), Latencies::new());
    let mut given_up = 0;
    let mut is_any = false;
    for run in &set.repeats {
        let Some(own) = run.outage(group, outage) else { continue };
        own.back.add_to(&mut back, run.facts.precision);
        own.away.add_to(&mut away, run.facts.precision);
        given_up += own.gave_up;
        is_any = true;
    }
    let disconnects = back.count() + away.count() + given_up;
    is_any.then_some(RecoveryCurve { group: None, storm: None, disconnects, back, away })
}

/// How a group came back, over these runs together.
fn curve(runs: &[&super::repeat::Repeat], group: usize) -> RecoveryCurve {
    let (mut back, mut away) = (Latencies::new(), Latencies::new());
    let mut given_up = 0;
    for run in runs {
        run.histogram(group, Metric::ReconnectLatency).add_to(&mut back, run.facts.precision);
        run.histogram(group, Metric::ReconnectAway).add_to(&mut away, run.facts.precision);
        given_up += run.counts(group).given_up;
    }
    let disconnects = back.count() + away.count() + given_up;
    RecoveryCurve { group: None, storm: None, disconnects, back, away }
}

fn measures_table(caption: &str, rows: &[&Row]) -> Table {
    let columns = ["<measure", "baseline", "candidate", "change", "95 % interval", "p (Holm)", "<verdict"];
    let mut table = Table::new(caption, &columns);
    for row in rows {
        let [change, interval, p] = words::tested(row);
        let cells = vec![
            row.measure.name.clone(),
            words::value(row, row.baseline.as_ref()),
            words::value(row, row.candidate.as_ref()),
            change,
            interval,
            p,
            words::finding(row),
        ];
        let tone = match row.finding {
            Finding::Regressed => Tone::Bad,
            Finding::Improved => Tone::Good,
            Finding::Unchanged | Finding::Inconclusive => Tone::Plain,
        };
        table.row_in(tone, cells);
    }
    table
}

fn runs_table(one: Compared<'_>) -> Table {
    let columns = ["<side", "<run", "seed", "<began", "took", "<version", "<host"];
    let mut table = Table::new("", &columns);
    for (side, runs) in [("baseline", &one.comparison.baseline), ("candidate", &one.comparison.candidate)] {
        for facts in runs {
            table.row(run_cells(side, facts));
        }
    }
    table
}

fn run_cells(side: &str, facts: &Facts) -> Vec<String> {
    let began = i64::try_from(facts.started_unix_us).ok();
    let began = began.and_then(|us| jiff::Timestamp::from_microsecond(us).ok());
    vec![
        side.to_owned(),
        facts.source.clone(),
        facts.seed.to_string(),
        began.map_or_else(String::new, |time| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()),
        format!("{:.1} s", facts.elapsed_s),
        facts.tool_version.clone(),
        format!("{} cores, kernel {}", facts.host.cores, facts.host.kernel),
    ]
}

/// A trend as a page: a plot for each measure that decides, and the table.
///
/// # Errors
/// [`RenderError`], a fault of this program.
pub fn trend_html(trend: &Trend) -> Result<String, RenderError> {
    let mut groups: Vec<&str> = trend.rows.iter().map(|row| row.group.as_str()).collect();
    groups.dedup();
    let sections = groups.into_iter().enumerate().map(|(index, group)| {
        let numbered =
            trend.names.iter().enumerate().map(|(number, name)| format!("{} is {name}", number + 1));
        let lead = format!("Over releases: {}", numbered.collect::<Vec<_>>().join(", "));
        let mut section = Section::new(&format!("group-{index}"), &format!("Group {group}"), &lead);
        let rows: Vec<&TrendRow> = trend.rows.iter().filter(|row| row.group == group).collect();
        let plots = rows.iter().filter(|row| row.measure.decides).enumerate();
        let plots = plots.map(|(number, row)| trend_plot(&format!("trend-{index}-{number}"), trend, row));
        section.plots_or(plots.collect(), "Nothing of this decides.");
        let mut columns = vec!["<measure".to_owned()];
        columns.extend(trend.names.clone());
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        let mut table = Table::new("The last step tells the colour", &columns);
        for row in rows {
            let mut cells = vec![row.measure.name.clone()];
            cells.extend(row.values.iter().map(|value| words::value_of(&row.measure, *value)));
            let last = row.steps.last().copied().flatten();
            table.row_in(
                match last {
                    Some(Finding::Regressed) => Tone::Bad,
                    Some(Finding::Improved) => Tone::Good,
                    _ => Tone::Plain,
                },
                cells,
            );
        }
        section.push(Block::Table(table));
        section
    });
    render_page(&Page {
        title: format!("Trend over {} releases", trend.names.len()),
        subtitle: trend.names.join(" → "),
        sections: sections.collect(),
        footer: footer(),
    })
}

fn trend_plot(id: &str, trend: &Trend, row: &TrendRow) -> Plot {
    let unit = match row.measure.unit() {
        Unit::Us => PlotUnit::Us,
        Unit::Share => PlotUnit::Share,
        Unit::PerSecond => PlotUnit::PerSecond,
        Unit::Number | Unit::Seconds | Unit::Bytes | Unit::ClientSeconds => PlotUnit::Count,
    };
    let x = Axis::Even { from: 1.0, step: 1.0, count: trend.names.len() };
    let mut plot = Plot::new(id, &row.measure.name, PlotKind::Releases, x, "", unit);
    plot.series.push(Series::new(&row.measure.name, 0, row.values.clone()));
    plot
}
