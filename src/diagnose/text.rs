//! A diagnosis for a terminal: the evidence as a table, the verdict in a sentence, the change to make.
//!
//! In: a [`Diagnosis`]. Out: text.

use std::fmt::Write as _;

use crate::units::{format_count, format_us, wrapped};

use super::{Diagnosis, Finding, TokenCost};

/// The widest line of words.
const WIDTH: usize = 100;

/// The diagnosis in words.
#[must_use]
pub fn diagnosis_text(diagnosis: &Diagnosis) -> String {
    let mut text = format!("{} · group {} · {}\n\n", diagnosis.scenario, diagnosis.group, diagnosis.target);
    let head = ["experiment", "token age", "result", "took"].map(str::to_owned);
    let rows: Vec<[String; 4]> =
        std::iter::once(head).chain(diagnosis.evidence.iter().map(super::Observation::cells)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2), width(3)];
    for [experiment, age, seen, took] in &rows {
        let line = format!(
            "  {experiment:<0$}  {age:>1$}  {seen:<2$}  {took:>3$}",
            widths[0], widths[1], widths[2], widths[3]
        );
        // Writing to a String does not fail.
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text.push('\n');
    write_finding(&mut text, "verdict", &diagnosis.verdict);
    if let Some(cost) = &diagnosis.token_cost {
        write_wrapped(&mut text, "tokens", &cost_words(cost));
    }
    for finding in &diagnosis.also {
        write_finding(&mut text, "also", finding);
    }
    if let Some(unseen) = diagnosis.unseen {
        write_wrapped(&mut text, "unseen", unseen);
    }
    text
}

fn write_finding(text: &mut String, label: &str, finding: &Finding) {
    write_wrapped(text, label, &finding.sentence);
    write_wrapped(text, "change", &finding.change);
    for set in &finding.set {
        // On one line, however long: it is there to be pasted.
        let _ = writeln!(text, "        --set '{set}'");
    }
}

fn cost_words(cost: &TokenCost) -> String {
    let needed = match cost.needed_each_time {
        Some(true) => "It is needed.",
        Some(false) => "It is not needed.",
        None => "Whether it is needed is not known.",
    };
    let storm = match cost.requests_per_storm {
        0 | 1 => String::new(),
        clients => format!(
            ", and {} requests at once when the group's {} clients come back together",
            format_count(u64::from(clients)),
            format_count(u64::from(clients))
        ),
    };
    format!(
        "A fresh token for each reconnect costs one request of {} (median of {}, longest {}){storm}. {needed}",
        format_us(cost.median_us),
        cost.requests,
        format_us(cost.max_us)
    )
}

/// Words after a label, wrapped under each other.
fn write_wrapped(text: &mut String, label: &str, words: &str) {
    for line in wrapped(&format!("{label:<8}"), words, 8, WIDTH) {
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_wrapped_under_each_other() {
        let mut text = String::new();
        write_wrapped(&mut text, "verdict", &"four ".repeat(30));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH));
        assert!(lines[0].starts_with("verdict four four"));
        assert!(lines[1].starts_with("        four"));
    }
}
