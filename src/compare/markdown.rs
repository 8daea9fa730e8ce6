//! A comparison for a pull request or the summary of a CI step: worst first, what explains folded away.
//!
//! In: a comparison. Out: GitHub-flavoured Markdown. Names are escaped: nothing of them becomes markup.

use std::fmt::Write as _;

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

/// Writing to a String does not fail.
fn write_comparison(text: &mut String, comparison: &Comparison) {
    let _ = writeln!(
        text,
        "## resurge compare: {}\n\n{} ({}) against the baseline {} ({}); {}.\n",
        comparison.finding.name(),
        escaped(&comparison.candidate_name),
        words::runs(comparison.candidate.len()),
        escaped(&comparison.baseline_name),
        words::runs(comparison.baseline.len()),
        words::counts(comparison),
    );
    for note in &comparison.notes {
        let _ = writeln!(text, "> {}\n", escaped(note));
    }
    let (mut deciding, mut explaining): (Vec<&Row>, Vec<&Row>) =
        comparison.rows.iter().partition(|row| row.measure.decides);
    deciding.sort_by_key(|row| row.finding);
    explaining.sort_by_key(|row| row.finding);
    write_table(text, &deciding);
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
            escaped(&row.group),
            escaped(&row.measure.name),
            words::value(row, row.baseline.as_ref().map(|side| side.value)),
            words::value(row, row.candidate.as_ref().map(|side| side.value)),
            escaped(&p),
        );
    }
}

/// Text in which no character means anything to Markdown or HTML.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '\\' | '|' | '`' | '*' | '_' | '[' | ']' | '#' | '~' | '!' => {
                safe.push('\\');
                safe.push(letter);
            }
            letter if letter.is_control() => safe.push(' '),
            letter => safe.push(letter),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_name_becomes_markup() {
        assert_eq!(escaped("a|b <script>\n*x*"), "a\\|b &lt;script&gt; \\*x\\*");
    }
}
