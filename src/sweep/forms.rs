//! A sweep as text, Markdown, CSV and JSON.
//!
//! In: a ranked sweep. Out: a row for each point, the best first. Text and Markdown round, CSV and JSON do not.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::report::html::Unit;
use crate::report::{Style, aligned, escape_markdown};
use crate::units::format_count;

use super::measure::Measure;
use super::measured::Measured;
use super::ranking::{Standing, Sweep};

/// Version of the forms that programs read.
pub const SWEEP_SCHEMA_VERSION: u32 = 1;
/// Rows of the text.
const MOST_ROWS: usize = 40;

const fn unit_name(measure: &Measure) -> &'static str {
    match measure.unit() {
        Unit::Us => "us",
        Unit::Share => "share",
        Unit::PerSecond => "per_s",
        Unit::Count => "count",
        Unit::Number => "number",
        Unit::Bytes => "bytes",
    }
}

impl Sweep {
    /// What was found, in a sentence.
    #[must_use]
    pub fn headline(&self) -> String {
        let (of, way) = (self.grid.len(), if self.is_simulated { "simulated" } else { "real" });
        let Some(best) = self.best() else {
            return format!("none of {} {way} points holds what it must", self.points.len());
        };
        let settings: Vec<String> =
            self.grid.written(&best.at).map(|(key, value)| format!("{key}={value}")).collect();
        let value = best.value.map_or_else(String::new, |value| self.goal.measure.words(value));
        let cut = if self.points.len() < of {
            format!(", {} were not run", of - self.points.len())
        } else {
            String::new()
        };
        format!("{} of {of} {way} points: {value} with {}{cut}", self.goal.words(), settings.join(", "))
    }

    /// That points are ranked by a percentile of too few values; `None` where they are not.
    #[must_use]
    pub fn caution(&self) -> Option<String> {
        let (has, needs) = self.points.iter().filter_map(|point| point.too_few).min()?;
        let name = &self.goal.measure.name;
        let (has, needs) = (format_count(has), format_count(needs));
        Some(format!("{name} rests on as few as {has} values: below {needs} it is what a few of them met"))
    }

    fn conditions_line(&self) -> Option<String> {
        let sources: Vec<&str> = self.conditions.iter().map(|condition| condition.source.as_str()).collect();
        (!sources.is_empty()).then(|| format!("subject to {}", sources.join(", ")))
    }
}

/// A sweep as text, its first rows.
#[must_use]
pub fn sweep_text(sweep: &Sweep, style: Style) -> String {
    let mut text = format!("{}  {}\n", style.bold("SWEEP"), sweep.headline());
    if let Some(line) = sweep.conditions_line() {
        let _ = writeln!(text, "  {line}");
    }
    if let Some(caution) = sweep.caution() {
        let _ = writeln!(text, "  note: {caution}");
    }
    text.push('\n');
    let mut rows = vec![sweep.headings()];
    let points = sweep.points.iter().take(MOST_ROWS).enumerate();
    rows.extend(points.map(|(index, point)| sweep.cells(index + 1, point)));
    text.push_str(&aligned(&rows));
    if sweep.points.len() > MOST_ROWS {
        let _ = writeln!(text, "  … and {} more, in sweep.csv", sweep.points.len() - MOST_ROWS);
    }
    text
}

/// A sweep as Markdown.
#[must_use]
pub fn sweep_markdown(sweep: &Sweep) -> String {
    let mut text = format!(
        "## resurge sweep: {}\n\n{}",
        escape_markdown(&sweep.scenario),
        escape_markdown(&sweep.headline())
    );
    if let Some(line) = sweep.conditions_line() {
        let _ = write!(text, ", {}", escape_markdown(&line));
    }
    text.push_str("\n\n");
    if let Some(caution) = sweep.caution() {
        let _ = writeln!(text, "> {}\n", escape_markdown(&caution));
    }
    let headings: Vec<String> = sweep.headings().iter().map(|heading| escape_markdown(heading)).collect();
    let _ = writeln!(text, "| {} |", headings.join(" | "));
    let _ = writeln!(text, "|{}", "---|".repeat(headings.len()));
    for (index, point) in sweep.points.iter().enumerate() {
        let cells: Vec<String> =
            sweep.cells(index + 1, point).iter().map(|cell| escape_markdown(cell)).collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text
}

/// A sweep as CSV: `rank`, a column for each key, the goal, each condition's measure, `standing`, `status`, `reasons`, `simulated`, `goal_beyond`. The unit follows a
/// measure's name, as `recovery.p99 [us]`. A time beyond what was seen is empty; `goal_beyond` is what the goal is longer than.
///
/// # Errors
/// What the CSV writer says; memory does not fail.
pub fn sweep_csv(sweep: &Sweep) -> Result<String, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let named = |measure: &Measure| format!("{} [{}]", measure.name, unit_name(measure));
    let mut heading = vec!["rank".to_owned()];
    heading.extend(sweep.grid.axes.iter().map(|axis| axis.key.clone()));
    heading.push(named(&sweep.goal.measure));
    heading.extend(sweep.conditions.iter().map(|condition| named(&condition.measure)));
    heading.extend(["standing", "status", "reasons", "simulated", "goal_beyond"].map(str::to_owned));
    writer.write_record(&heading)?;
    let number = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    let seen = |measured: &Option<Measured>| number(measured.and_then(Measured::seen));
    for (index, point) in sweep.points.iter().enumerate() {
        let mut row = vec![(index + 1).to_string()];
        row.extend(sweep.grid.written(&point.at).map(|(_, value)| value.to_owned()));
        row.push(seen(&point.value));
        row.extend(point.measured.iter().map(seen));
        row.push(point.standing.name().to_owned());
        row.push(point.status.title().to_lowercase());
        row.push(point.reasons.join("; "));
        row.push(sweep.is_simulated.to_string());
        row.push(number(point.value.and_then(Measured::beyond)));
        writer.write_record(&row)?;
    }
    let bytes = writer.into_inner().map_err(|error| error.into_error())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A sweep as JSON.
#[must_use]
pub fn sweep_json(sweep: &Sweep) -> Value {
    let points = sweep.points.iter().enumerate().map(|(index, point)| {
        let settings: serde_json::Map<String, Value> = sweep
            .grid
            .overrides(&point.at)
            .into_iter()
            .map(|(key, value)| (key, Value::String(value)))
            .collect();
        json!({
            "rank": index + 1,
            "settings": settings,
            "value": point.value.and_then(Measured::seen),
            "beyond": point.value.and_then(Measured::beyond),
            "conditions": point.measured.iter().map(|value| value.and_then(Measured::seen)).collect::<Vec<_>>(),
            "conditions_beyond": point.measured.iter().map(|value| value.and_then(Measured::beyond)).collect::<Vec<_>>(),
            "standing": point.standing.name(),
            "status": point.status,
            "reasons": point.reasons,
        })
    });
    json!({
        "schema_version": SWEEP_SCHEMA_VERSION,
        "tool": { "name": "resurge", "version": env!("CARGO_PKG_VERSION") },
        "scenario": sweep.scenario,
        "seed": sweep.seed,
        "simulated": sweep.is_simulated,
        "caution": sweep.caution(),
        "goal": {
            "measure": sweep.goal.measure.name,
            "unit": unit_name(&sweep.goal.measure),
            "best": if sweep.goal.is_highest { "highest" } else { "lowest" },
        },
        "conditions": sweep.conditions.iter().map(|condition| json!({
            "condition": condition.source,
            "measure": condition.measure.name,
            "unit": unit_name(&condition.measure),
            "limit": condition.limit,
        })).collect::<Vec<Value>>(),
        "holding": sweep.points.iter().filter(|point| point.standing == Standing::Holds).count(),
        "points": points.collect::<Vec<Value>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::ranking::tests::{POINTS, sweep};
    use super::*;

    #[test]
    fn text_has_the_best_on_top() {
        insta::assert_snapshot!(sweep_text(&sweep("recovery.p99", &POINTS), Style { colour: false }), @r"
        SWEEP  lowest recovery.p99 of 6 simulated points: 2.00 s with groups.0.a=5s, groups.0.b=none
          subject to token_requests.peak < 2000/s

          rank  groups.0.a  groups.0.b  recovery.p99  token_requests.peak            standing
          1             5s        none        2.00 s              1,500/s               holds
          2            30s        none        2.00 s              1,400/s               holds
          3             1s        none        3.00 s                900/s               holds
          4            30s        full        9.00 s                100/s               holds
          5             1s        full        1.00 s              5,000/s   breaks: why | not
          6             5s        full             -                0.0/s  unknown: why | not
        ");
    }

    #[test]
    fn csv_and_json_have_every_number_and_markdown_escapes() {
        let sweep = sweep("recovery.p99", &POINTS);
        let csv = sweep_csv(&sweep).unwrap();
        insta::assert_snapshot!(csv, @r"
        rank,groups.0.a,groups.0.b,recovery.p99 [us],token_requests.peak [per_s],standing,status,reasons,simulated,goal_beyond
        1,5s,none,2000000,1500,holds,pass,,true,
        2,30s,none,2000000,1400,holds,pass,,true,
        3,1s,none,3000000,900,holds,pass,,true,
        4,30s,full,9000000,100,holds,pass,,true,
        5,1s,full,1000000,5000,breaks,pass,why | not,true,
        6,5s,full,,0,unknown,not valid,why | not,true,
        ");
        let json = sweep_json(&sweep);
        assert_eq!((json["points"].as_array().unwrap().len(), json["holding"].as_u64()), (6, Some(4)));
        assert_eq!(json["points"][0]["settings"]["groups.0.a"], "5s");
        let markdown = sweep_markdown(&sweep);
        assert!(markdown.contains("why \\| not"), "{markdown}");
    }
}
