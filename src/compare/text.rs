//! A comparison for a terminal: the verdict first, then what it rests on.
//!
//! In: a comparison. Out: text in aligned columns.

use std::fmt::Write as _;

use crate::report::{Style, aligned};

use super::comparison::{Comparison, Row};
use super::judge::Finding;
use super::words;

/// Which rows are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// Those that decide or were to, the token peak and the recovery, and of the others those that changed.
    Telling,
    /// All.
    All,
}

/// Writing to a String does not fail.
fn line(text: &mut String, content: &str) {
    let _ = writeln!(text, "{content}");
}

/// Comparisons as text.
#[must_use]
pub fn comparison_text(comparisons: &[Comparison], rows: Rows, style: Style) -> String {
    let mut text = String::new();
    for (index, comparison) in comparisons.iter().enumerate() {
        if index > 0 {
            line(&mut text, "");
        }
        write_comparison(&mut text, comparison, rows, style);
    }
    text
}

fn painted(style: Style, finding: Finding, word: &str) -> String {
    match finding {
        Finding::Regressed => style.bad(word),
        Finding::Improved | Finding::Unchanged => style.good(word),
        Finding::Inconclusive => word.to_owned(),
    }
}

fn write_comparison(text: &mut String, comparison: &Comparison, rows: Rows, style: Style) {
    let title = comparison.finding.name().to_uppercase();
    line(
        text,
        &format!(
            "{}  {} ({}) against the baseline {} ({})",
            style.bold(&painted(style, comparison.finding, &title)),
            comparison.candidate_name,
            words::runs(comparison.candidate.len()),
            comparison.baseline_name,
            words::runs(comparison.baseline.len()),
        ),
    );
    line(text, &format!("  {}", words::counts(comparison)));
    for missed in comparison.missed() {
        line(text, &format!("  not judged: {missed}"));
    }
    for note in &comparison.notes {
        line(text, &format!("  note: {note}"));
    }
    let shown = comparison.rows.iter().filter(|row| is_shown(row, rows));
    if let Some(wholes) = words::wholes(shown) {
        line(text, &format!("  {wholes}"));
    }
    let mut groups: Vec<&str> = comparison.rows.iter().map(|row| row.group.as_str()).collect();
    groups.dedup();
    for group in groups {
        let own: Vec<&Row> =
            comparison.rows.iter().filter(|row| row.group == group && is_shown(row, rows)).collect();
        if own.is_empty() {
            continue;
        }
        line(text, "");
        line(text, &style.bold(&format!("GROUP {group}")));
        text.push_str(&coloured(&aligned(&table(&own)), &own, style));
    }
}

fn is_shown(row: &Row, rows: Rows) -> bool {
    let is_changed = matches!(row.finding, Finding::Regressed | Finding::Improved);
    let is_one_sided = row.baseline.is_none() || row.candidate.is_none();
    let is_price = row.measure.is_of_storms() && row.not_judged.is_none();
    rows == Rows::All
        || row.measure.decides
        || row.is_missed()
        || is_changed
        || is_price
        || is_one_sided && row.measure.name.ends_with("p50")
}

fn table(rows: &[&Row]) -> Vec<Vec<String>> {
    let header = ["measure", "baseline", "candidate", "change", "95 % interval", "p (Holm)", "verdict"];
    let mut cells = vec![header.map(str::to_owned).to_vec()];
    for row in rows {
        let [change, interval, p] = words::tested(row);
        let name =
            if row.measure.decides { row.measure.name.clone() } else { format!("· {}", row.measure.name) };
        cells.push(vec![
            name,
            words::value(row, row.baseline.as_ref()),
            words::value(row, row.candidate.as_ref()),
            change,
            interval,
            p,
            words::finding(row),
        ]);
    }
    cells
}

/// Colours are put on when the columns are aligned: they have no width.
fn coloured(table: &str, rows: &[&Row], style: Style) -> String {
    let mut text = String::new();
    for (index, content) in table.lines().enumerate() {
        let row = index.checked_sub(1).and_then(|index| rows.get(index));
        match row {
            Some(row) => {
                let verdict = words::finding(row);
                let rest = content.strip_suffix(verdict.as_str()).unwrap_or(content);
                let _ = writeln!(text, "{rest}{}", painted(style, row.finding, &verdict));
            }
            None => line(&mut text, content),
        }
    }
    text
}
