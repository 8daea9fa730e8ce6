//! A trend as text, Markdown, JSON and CSV.
//!
//! In: a trend. Out: a line for each measure, with a sparkline and a mark for each step. Names are escaped where they could be markup.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::report::{Style, aligned, escape_markdown};

use super::data::COMPARISON_SCHEMA_VERSION;
use super::judge::Finding;
use super::trend::{Trend, TrendRow};
use super::words::value_of;

/// From the least to the largest value.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const LEGEND: &str = "steps against the release before: ✗ regressed, ✓ improved, = unchanged, ? inconclusive";

const fn mark(step: Option<Finding>) -> &'static str {
    match step {
        Some(Finding::Regressed) => "✗",
        Some(Finding::Improved) => "✓",
        Some(Finding::Unchanged) => "=",
        Some(Finding::Inconclusive) => "?",
        None => " ",
    }
}

/// Values as bars, from zero to the largest; a gap where there is none.
fn sparkline(values: &[Option<f64>]) -> String {
    let most = values.iter().flatten().copied().fold(0.0_f64, f64::max);
    let bar = |value: &Option<f64>| match value {
        Some(value) if most > 0.0 => BARS[((value / most * 7.0).round() as usize).min(7)],
        Some(_) => BARS[0],
        None => ' ',
    };
    values.iter().map(bar).collect()
}

/// The cells of a row: name, sparkline, then a value for each release with the mark of its step.
fn cells(row: &TrendRow) -> Vec<String> {
    let mut cells = vec![row.measure.name.clone(), sparkline(&row.values)];
    for (index, value) in row.values.iter().enumerate() {
        let step = index.checked_sub(1).and_then(|step| row.steps[step]);
        cells.push(format!("{} {}", value_of(&row.measure, *value), mark(step)));
    }
    cells
}

fn groups(trend: &Trend) -> Vec<&str> {
    let mut groups: Vec<&str> = trend.rows.iter().map(|row| row.group.as_str()).collect();
    groups.dedup();
    groups
}

fn shown(trend: &Trend, all: bool) -> impl Iterator<Item = &TrendRow> {
    trend.rows.iter().filter(move |row| all || row.measure.decides)
}

/// A trend as text; `all` shows the measures too that explain.
#[must_use]
pub fn trend_text(trend: &Trend, all: bool, style: Style) -> String {
    let mut text = format!("{}  {}\n", style.bold("TREND"), trend.names.join(" → "));
    let _ = writeln!(text, "  {LEGEND}");
    for group in groups(trend) {
        let rows: Vec<&TrendRow> = shown(trend, all).filter(|row| row.group == group).collect();
        if rows.is_empty() {
            continue;
        }
        let mut table = vec![vec!["measure".to_owned(), "trend".to_owned()]];
        table[0].extend(trend.names.iter().map(|name| format!("{name}  ")));
        table.extend(rows.into_iter().map(cells));
        let _ = writeln!(text, "\n{}", style.bold(&format!("GROUP {group}")));
        text.push_str(&aligned(&table));
    }
    text
}

/// A trend as Markdown, what explains folded away.
#[must_use]
pub fn trend_markdown(trend: &Trend) -> String {
    let mut text = format!("## resurge compare: trend over {} releases\n\n{LEGEND}\n\n", trend.names.len());
    let (deciding, explaining): (Vec<&TrendRow>, Vec<&TrendRow>) =
        trend.rows.iter().partition(|row| row.measure.decides);
    write_table(&mut text, trend, &deciding);
    let _ = write!(text, "\n<details><summary>{} measures that explain</summary>\n\n", explaining.len());
    write_table(&mut text, trend, &explaining);
    text.push_str("\n</details>\n");
    text
}

fn write_table(text: &mut String, trend: &Trend, rows: &[&TrendRow]) {
    let names: Vec<String> = trend.names.iter().map(|name| escape_markdown(name)).collect();
    let _ = writeln!(text, "| group | measure | trend | {} |", names.join(" | "));
    let _ = writeln!(text, "|---|---|---|{}", "---:|".repeat(names.len()));
    for row in rows {
        let cells: Vec<String> = cells(row).iter().map(|cell| escape_markdown(cell.trim_end())).collect();
        let _ = writeln!(text, "| {} | {} |", escape_markdown(&row.group), cells.join(" | "));
    }
}

/// A trend as JSON.
#[must_use]
pub fn trend_json(trend: &Trend) -> Value {
    let releases = trend.names.iter().zip(&trend.repeats);
    json!({
        "schema_version": COMPARISON_SCHEMA_VERSION,
        "tool": { "name": "resurge", "version": env!("CARGO_PKG_VERSION") },
        "releases": releases.map(|(name, repeats)| json!({ "name": name, "repeats": repeats })).collect::<Vec<Value>>(),
        "steps": trend.steps,
        "measures": trend.rows.iter().map(|row| json!({
            "group": row.group,
            "measure": row.measure.name,
            "unit": row.measure.unit().name(),
            "less_is_better": row.measure.less_is_better,
            "decides": row.measure.decides,
            "values": row.values,
            "steps": row.steps,
        })).collect::<Vec<Value>>(),
    })
}

/// A trend as CSV, a row for each release and measure.
///
/// # Errors
/// What the CSV writer says; memory does not fail.
pub fn trend_csv(trend: &Trend) -> Result<String, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["release", "group", "measure", "unit", "decides", "value", "step"])?;
    for row in &trend.rows {
        for (index, name) in trend.names.iter().enumerate() {
            let step = index.checked_sub(1).and_then(|step| row.steps[step]);
            writer.write_record([
                name.as_str(),
                &row.group,
                &row.measure.name,
                row.measure.unit().name(),
                if row.measure.decides { "true" } else { "false" },
                &row.values[index].map_or_else(String::new, |value| value.to_string()),
                step.map_or("", Finding::name),
            ])?;
        }
    }
    let bytes = writer.into_inner().map_err(|error| error.into_error())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_grow_with_the_values_and_gaps_stay_gaps() {
        assert_eq!(sparkline(&[Some(0.0), Some(50.0), None, Some(100.0)]), "▁▅ █");
        assert_eq!(sparkline(&[Some(0.0), Some(0.0)]), "▁▁");
    }
}
