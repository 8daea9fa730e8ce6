//! What GitHub Actions is told of a run: annotations, and what fits into the step's summary.
//!
//! In: a run, how much the summary holds already. Out: workflow commands and Markdown. Nothing here looks at the environment or writes a file.
//! Source: docs.github.com, "Workflow commands for GitHub Actions".

use super::markdown::{markdown, short_markdown};
use super::model::RunModel;
use super::verdict::Status;

/// GitHub shows at most ten annotations of a kind for each step; so many are given in all.
const MOST_ANNOTATIONS: usize = 10;
/// What GitHub takes for the summary of a step, in bytes.
const MOST_SUMMARY: u64 = 1024 * 1024;

/// Workflow commands, a line each: an error for each reason of the verdict, a warning for what deserves a look though the run passed.
#[must_use]
pub fn annotations(model: &RunModel) -> Vec<String> {
    let title = format!("resurge {}: {}", model.manifest.scenario, model.verdict.status.title());
    let kind = if model.verdict.status == Status::Pass { "warning" } else { "error" };
    let end = model.end.iter();
    let written = end.clone().flat_map(|end| end.write_faults.iter().cloned());
    let waits = end.filter(|end| end.health.token_pool_waits > 0).map(|end| {
        format!(
            "{} token requests waited for a connection of resurge's own pool",
            end.health.token_pool_waits
        )
    });
    let reasons = model.verdict.reasons.iter().map(|reason| (kind, reason.clone()));
    let told: Vec<(&str, String)> =
        reasons.chain(written.chain(waits).map(|fault| ("warning", fault))).collect();
    let shown = if told.len() > MOST_ANNOTATIONS { MOST_ANNOTATIONS - 1 } else { told.len() };
    let mut lines: Vec<String> =
        told.iter().take(shown).map(|(kind, text)| command(kind, &title, text)).collect();
    if told.len() > shown {
        lines.push(command(kind, &title, &format!("and {} more: see the summary", told.len() - shown)));
    }
    lines
}

fn command(kind: &str, title: &str, text: &str) -> String {
    format!("::{kind} title={}::{}", escape_property(title), escape_data(text))
}

/// As the toolkit of GitHub Actions has it; what else controls a terminal is left out.
fn escape_data(text: &str) -> String {
    let escaped = text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    escaped.chars().filter(|c| !c.is_control()).collect()
}

fn escape_property(text: &str) -> String {
    escape_data(text).replace(':', "%3A").replace(',', "%2C")
}

/// What to append to a step's summary that holds so many bytes already: all of it, the verdict alone, or nothing.
#[must_use]
pub fn step_summary(model: &RunModel, held_bytes: u64) -> Option<String> {
    let room = MOST_SUMMARY.saturating_sub(held_bytes);
    [markdown(model), short_markdown(model)]
        .into_iter()
        .map(|text| format!("\n{text}"))
        .find(|text| text.len() as u64 <= room)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_cannot_be_a_command_of_its_own() {
        assert_eq!(
            command("error", "a:b,c", "100%\n::set-output name=x::y\r\u{1b}[0m"),
            "::error title=a%3Ab%2Cc::100%25%0A::set-output name=x::y%0D[0m"
        );
    }
}
