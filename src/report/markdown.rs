//! Markdown, for a pull request or the summary of a CI step.
//!
//! In: a run. Out: GitHub-flavoured Markdown, worst first, under 1 MiB whatever the run: tables end after [`MOST_ROWS`] rows, cells after
//! [`MOST_CHARS`] characters, and a sentence says what was left out. Nothing that came from a scenario or a server is markup in it.

use std::fmt::Write as _;

use crate::record::{Mark, ThresholdResult, ThresholdStatus};
use crate::sample::Counter;
use crate::units::{format_count, format_us};

use super::lost::clients_words;
use super::marks;
use super::model::RunModel;
use super::observed::{faults as observed_faults, observed};
use super::outages::{availability, lines, outages};
use super::request_table::{refresh_lines, requests};
use super::simulated::{SIMULATED, assumptions, target_words};
use super::tables::{
    GroupTotals, Table, closes, grounds_words, handshakes, loop_words, messages, never_in, phases,
    reconnects, recovery, throughput, tokens, worst_first,
};
use super::talk_tables::talk_tables;
use super::verdict::Status;
use super::wire_tables::{compression, resumption};
use super::workers::worker_lines;

/// Rows of a table, and items of a list.
const MOST_ROWS: usize = 100;
/// Characters of a cell.
const MOST_CHARS: usize = 300;
/// A space of no width.
const NO_WIDTH: char = '\u{200b}';
/// No section begins behind so many bytes. The longest one that the other bounds allow is shorter than what is left to 1 MiB.
const MOST_BYTES: usize = 512 * 1024;

/// The report of a run as Markdown.
#[must_use]
pub fn markdown(model: &RunModel) -> String {
    let groups = worst_first(model);
    let mut text = head(model);
    let sections = [
        thresholds(model),
        table(&reconnects(&groups)) + &outsiders(&groups),
        recovery(model, &groups).map(|recovery| table(&recovery)).unwrap_or_default(),
        [outages(model), availability(model)].iter().flatten().map(table).collect::<Vec<_>>().join("\n"),
        table(&handshakes(&groups))
            + &grounds_words(&model.all).map_or_else(String::new, |words| format!("\n{words}\n")),
        tokens(&groups).map(|tokens| table(&tokens) + &loops(model, &groups)).unwrap_or_default(),
        requests(model, &groups).map(|asked| table(&asked)).unwrap_or_default() + &refreshes(model, &groups),
        phases(model, &groups).map(|phases| table(&phases)).unwrap_or_default(),
        table(&throughput(model, &groups)),
        messages(&groups).map(|messages| table(&messages)).unwrap_or_default(),
        [compression(&groups), resumption(&groups)]
            .iter()
            .flatten()
            .map(table)
            .collect::<Vec<_>>()
            .join("\n"),
        talk_tables(model).iter().map(table).collect::<Vec<_>>().join("\n"),
        observed(model).map(|own| table(&own)).unwrap_or_default() + &unobserved(model),
        closes_list(&groups),
        marks_table(model),
        books(model),
    ];
    for section in sections.iter().filter(|section| !section.is_empty()) {
        if text.len() + section.len() > MOST_BYTES {
            text.push_str("\nThe rest was left out for its size: the run folder has all of it.\n");
            break;
        }
        text.push('\n');
        text.push_str(section);
    }
    text
}

/// Only the verdict, its reasons and where the rest is: where there is room for no more.
#[must_use]
pub(super) fn short_markdown(model: &RunModel) -> String {
    head(model) + "\nThe tables were left out for want of room: the run folder has them.\n"
}

/// Text that is no markup: on one line, without control characters, at most [`MOST_CHARS`] long, and nobody is notified by it.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::new();
    let is_long = text.chars().nth(MOST_CHARS).is_some();
    for (at, c) in text.chars().take(MOST_CHARS).enumerate() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '!' | '$' => escaped.extend(['\\', c]),
            // A list, or the line under a heading.
            '-' | '+' | '=' if at == 0 => escaped.extend(['\\', c]),
            // A space of no width keeps GitHub from reading a mention, an issue or a link.
            '@' => escaped.extend([c, NO_WIDTH]),
            '#' => escaped.extend(['\\', c, NO_WIDTH]),
            ':' if ends_like_a_link(&escaped) => escaped.extend([c, NO_WIDTH]),
            '.' if ends_with_word(&escaped, "www") => escaped.extend([NO_WIDTH, c]),
            // Letters that turn the direction of writing, and control characters.
            c if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => {
                escaped.push(' ');
            }
            c => escaped.push(c),
        }
    }
    if is_long {
        escaped.push('…');
    }
    escaped
}

/// What GitHub makes a link without any sign around it (GitHub Flavored Markdown §6.9).
fn ends_like_a_link(text: &str) -> bool {
    ["http", "https", "ftp", "mailto", "xmpp"].iter().any(|scheme| ends_with_word(text, scheme))
}

fn ends_with_word(text: &str, word: &str) -> bool {
    let tail = text.len().checked_sub(word.len()).and_then(|at| text.get(at..));
    tail.is_some_and(|tail| tail.eq_ignore_ascii_case(word))
}

fn head(model: &RunModel) -> String {
    let manifest = &model.manifest;
    let status = model.verdict.status;
    let sign = if status == Status::Pass { "✅" } else { "❌" };
    let mut text = format!("## {sign} {}: {}\n\n", status.title(), escape(&manifest.scenario));
    // Writing to a String does not fail.
    let _ = writeln!(
        text,
        "{}, {:.1} s, seed {}, {}, resurge {}",
        clients_words(manifest),
        model.elapsed_s,
        manifest.seed,
        escape(&target_words(manifest)),
        escape(&manifest.tool_version),
    );
    if let Some(description) = &model.answer.description {
        let _ = writeln!(text, "\n{}", escape(description));
    }
    text.push('\n');
    for line in model.answer.lines() {
        let _ = writeln!(text, "- {}", escape(&line));
    }
    for said in lines(model).into_iter().chain(worker_lines(model)) {
        let _ = writeln!(text, "- {}", escape(&said));
    }
    for next in &model.answer.next {
        let _ = writeln!(text, "- **Next:** {}", escape(next));
    }
    if manifest.simulated.is_some() {
        let assumed: Vec<String> = assumptions(manifest).iter().map(|line| escape(line)).collect();
        let _ = writeln!(text, "\n**{SIMULATED}.** Assumed: {}.", assumed.join("; "));
    }
    let faults = model.end.iter().flat_map(|end| &end.write_faults);
    let reasons: Vec<String> =
        model.verdict.reasons.iter().chain(faults).map(|reason| format!("- {}", escape(reason))).collect();
    if !reasons.is_empty() {
        text.push('\n');
        push_lines(&mut text, &reasons, "reasons");
    }
    text
}

/// Lines, at most [`MOST_ROWS`], and how many were left out.
fn push_lines(text: &mut String, lines: &[String], what: &str) {
    for line in lines.iter().take(MOST_ROWS) {
        text.push_str(line);
        text.push('\n');
    }
    if lines.len() > MOST_ROWS {
        let more = format_count((lines.len() - MOST_ROWS) as u64);
        let _ = writeln!(
            text,
            "\n{more} more {what} were left out, worst first: the run folder has all of them."
        );
    }
}

/// The thresholds: failed ones first, then those without samples.
fn thresholds(model: &RunModel) -> String {
    if model.thresholds.is_empty() {
        return String::new();
    }
    let rank = |result: &&ThresholdResult| match result.status {
        ThresholdStatus::Failed => 0,
        ThresholdStatus::NoSamples => 1,
        ThresholdStatus::Passed => 2,
    };
    let mut sorted: Vec<&ThresholdResult> = model.thresholds.iter().collect();
    sorted.sort_by_key(rank);
    let rows: Vec<String> = sorted
        .iter()
        .map(|result| {
            let sign = ["❌ failed", "❓ no samples", "✅ passed"][rank(result)];
            format!("| {sign} | {} | {} |", escape(&result.threshold), escape(&result.measured_text))
        })
        .collect();
    let mut text = "### Thresholds\n\n| | threshold | measured |\n| --- | --- | ---: |\n".to_owned();
    push_lines(&mut text, &rows, "thresholds");
    text
}

/// What was done to the service, and what was told from outside: failed events with their last lines.
fn marks_table(model: &RunModel) -> String {
    if model.marks.is_empty() {
        return String::new();
    }
    let row = |mark: &Mark| {
        let [at, name, by, mut came] = marks::row(mark).map(|cell| escape(&cell));
        for line in marks::failed_lines(mark) {
            came.push_str(&format!("<br>{}", escape(line)));
        }
        format!("| {at} | {name} | {by} | {came} |")
    };
    let rows: Vec<String> = model.marks.iter().map(row).collect();
    let header = marks::HEADER.join(" | ");
    let mut text = format!("### Events and marks\n\n| {header} |\n| ---: | --- | --- | --- |\n");
    push_lines(&mut text, &rows, "events and marks");
    let _ = writeln!(text, "\n<sub>{}</sub>", marks::NOTE);
    text
}

fn table(table: &Table) -> String {
    let mut text = format!("### {}\n\n", table.title);
    let Some((header, rows)) = table.rows.split_first() else { return text };
    let line = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|cell| escape(cell)).collect();
        format!("| {} |", cells.join(" | "))
    };
    let ruler: Vec<&str> = (0..header.len()).map(|column| if column == 0 { "---" } else { "---:" }).collect();
    let _ = writeln!(text, "{}\n| {} |", line(header), ruler.join(" | "));
    let lines: Vec<String> = rows.iter().map(|row| line(row)).collect();
    push_lines(&mut text, &lines, "rows");
    let _ = writeln!(text, "\n<sub>{}</sub>", escape(table.note));
    text
}

fn outsiders(groups: &[GroupTotals<'_>]) -> String {
    let told = never_in(groups);
    let lines: Vec<String> = told.iter().map(|words| format!("- **never in** {}", escape(words))).collect();
    let mut text = String::new();
    if !lines.is_empty() {
        text.push('\n');
        push_lines(&mut text, &lines, "groups");
    }
    text
}

fn loops(model: &RunModel, groups: &[GroupTotals<'_>]) -> String {
    let lines: Vec<String> = groups
        .iter()
        .filter_map(|group| {
            let words = loop_words(model, group)?;
            Some(format!("- **refetch loop** {}: {}", escape(group.name), escape(&words)))
        })
        .collect();
    let mut text = String::new();
    if !lines.is_empty() {
        text.push('\n');
        push_lines(&mut text, &lines, "groups");
    }
    text
}

fn refreshes(model: &RunModel, groups: &[GroupTotals<'_>]) -> String {
    let lines: Vec<String> = refresh_lines(model, groups)
        .iter()
        .map(|line| format!("- **refresh tokens** {}", escape(line)))
        .collect();
    let mut text = String::new();
    if !lines.is_empty() {
        text.push('\n');
        push_lines(&mut text, &lines, "groups");
    }
    text
}

fn unobserved(model: &RunModel) -> String {
    let lines: Vec<String> =
        observed_faults(model).iter().map(|fault| format!("- **not observed** {}", escape(fault))).collect();
    let mut text = String::new();
    if !lines.is_empty() {
        text.push('\n');
        push_lines(&mut text, &lines, "series");
    }
    text
}

fn closes_list(groups: &[GroupTotals<'_>]) -> String {
    let lines: Vec<String> = groups
        .iter()
        .map(|group| {
            let closes = closes(group.tally);
            let list = if closes.is_empty() { "none".to_owned() } else { closes.join(", ") };
            format!("- {}: {}", escape(group.name), escape(&list))
        })
        .collect();
    let mut text = "### Close codes\n\n".to_owned();
    push_lines(&mut text, &lines, "groups");
    text
}

/// The generator's health and the accounts, folded away where all is well.
fn books(model: &RunModel) -> String {
    let mut lines = Vec::new();
    for check in &model.validity {
        match (check.faults.is_empty(), check.skipped) {
            (false, _) => {
                let faults: Vec<String> =
                    check.faults.iter().take(MOST_ROWS).map(|fault| escape(fault)).collect();
                lines.push(format!("- ❌ {}: {}", check.what, faults.join("; ")));
            }
            (true, Some(why)) => lines.push(format!("- ➖ {}: cannot be told, {why}", check.what)),
            (true, None) => lines.push(format!("- ✅ {}", check.what)),
        }
    }
    let real = model.end.as_ref().filter(|_| model.manifest.simulated.is_none());
    if let Some(health) = real.map(|end| &end.health) {
        lines.push(format!(
            "- generator: lag p99 {}, longest stall {}, CPU {}",
            format_us(health.lag_p99_us),
            format_us(health.stall_max_us),
            health.cpu_words(),
        ));
    }
    lines.push(format!(
        "- {} attempts, {} sessions, {} ends",
        format_count(model.all.attempts_total()),
        format_count(model.all.counter(Counter::Upgrades)),
        format_count(model.all.closes_total()),
    ));
    let mut text = "### Can the numbers be believed?\n\n".to_owned();
    push_lines(&mut text, &lines, "lines");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_markup_and_nobody_is_notified() {
        for (text, expected) in [
            ("a|b`c`*d*_e_", "a\\|b\\`c\\`\\*d\\*\\_e\\_"),
            ("<script>&amp;", "&lt;script&gt;&amp;amp;"),
            ("one\r\ntwo\u{0}\u{1b}[31m", "one  two  \\[31m"),
            (
                "@octocat #12 HTTPS://x www.x",
                "@\u{200b}octocat \\#\u{200b}12 HTTPS:\u{200b}//x www\u{200b}.x",
            ),
            ("-a: b-c ws://d", "\\-a: b-c ws://d"),
            ("![i](j) \\|", "\\!\\[i\\](j) \\\\\\|"),
            ("\u{202e}abc", " abc"),
        ] {
            assert_eq!(escape(text), expected, "{text:?}");
        }
        assert_eq!(escape(&"ß".repeat(MOST_CHARS + 1)).chars().count(), MOST_CHARS + 1, "and no more");
    }

    #[test]
    fn what_is_left_out_is_told() {
        let lines: Vec<String> = (0..MOST_ROWS + 7).map(|n| n.to_string()).collect();
        let mut text = String::new();
        push_lines(&mut text, &lines, "rows");
        assert!(text.contains("99\n\n7 more rows were left out") && !text.contains("100\n"), "{text}");
    }
}
