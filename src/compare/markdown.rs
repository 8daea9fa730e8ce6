//! A comparison for a pull request or the summary of a CI step: worst first, what explains folded away.
//!
//! In: a comparison. Out: GitHub-flavoured Markdown. Names are escaped: nothing of them becomes markup.

use std::fmt::Write as _;

use crate::report::escape_markdown;

use super::comparison::{Comparison, Row};
use super::judge::Finding;
use super::words;

/// Comparisons as Markdown.
#[must_use]
pub fn comparison_markdown(comparisons: &[Comparison]) -> String {
    let mut text = String::new();
    for comparison in comparisons {
        write_comparison(&mut text, comparison);
    }
    text
}

/// Why runs were not compared, as Markdown.
#[must_use]
pub fn refusal_markdown(why: &str) -> String {
    let lines = why.lines().filter(|line| !line.trim().is_empty());
    let told: String = lines.map(|line| format!("> {}\n>\n", escape_markdown(line.trim()))).collect();
    format!("## resurge compare: not compared\n\n{}\n", told.trim_end_matches(">\n"))
}

/// Writing to a String does not fail.
fn write_comparison(text: &mut String, comparison: &Comparison) {
    let _ = writeln!(
        text,
        "## resurge compare: {}\n\n{} ({}) against the baseline {} ({}); {}.\n",
        comparison.finding.name(),
        escape_markdown(&comparison.candidate_name),
        words::runs(comparison.candidate.len()),
        escape_markdown(&comparison.baseline_name),
        words::runs(comparison.baseline.len()),
        words::counts(comparison),
    );
    for missed in comparison.missed() {
        let _ = writeln!(text, "> **not judged:** {}\n", escape_markdown(&missed));
    }
    for note in &comparison.notes {
        let _ = writeln!(text, "> {}\n", escape_markdown(note));
    }
    let is_telling = |row: &&Row| {
        row.measure.decides || row.is_missed() || row.measure.is_of_storms() && row.not_judged.is_none()
    };
    let (mut deciding, mut explaining): (Vec<&Row>, Vec<&Row>) = comparison.rows.iter().partition(is_telling);
    deciding.sort_by_key(|row| (!row.measure.decides, row.finding));
    explaining.sort_by_key(|row| row.finding);
    write_table(text, &deciding);
    if let Some(wholes) = words::wholes(deciding.iter().copied()) {
        let _ = writeln!(text, "\n{}", escape_markdown(&wholes));
    }
    if !explaining.is_empty() {
        let changed =
            explaining.iter().filter(|row| matches!(row.finding, Finding::Regressed | Finding::Improved));
        let _ = writeln!(
            text,
            "\n<details><summary>{} measures that explain, {} of them changed</summary>\n",
            explaining.len(),
            changed.count()
        );
        write_table(text, &explaining);
        text.push_str("\n</details>\n");
    }
    text.push('\n');
}

fn write_table(text: &mut String, rows: &[&Row]) {
    text.push_str(
        "| group | measure | baseline | candidate | change | 95 % interval | p (Holm) | verdict |\n",
    );
    text.push_str("|---|---|---:|---:|---:|---:|---:|---|\n");
    for row in rows {
        let [change, interval, p] = words::tested(row);
        let verdict = words::finding(row);
        let changed = matches!(row.finding, Finding::Regressed | Finding::Improved);
        let verdict = if changed { format!("**{verdict}**") } else { verdict };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {change} | {interval} | {} | {verdict} |",
            escape_markdown(&row.group),
            escape_markdown(&row.measure.name),
            words::value(row, row.baseline.as_ref()),
            words::value(row, row.candidate.as_ref()),
            escape_markdown(&p),
        );
    }
}
