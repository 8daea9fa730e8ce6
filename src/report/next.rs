//! What to do next, with a command that can be pasted.
//!
//! In: sentences, and the run's folder where it is known. Out: sentences and command lines. Pure.

use std::path::Path;

/// The scenario's copy in a run folder.
const SCENARIO: &str = "scenario.toml";
/// How a command on that copy begins where the folder is not known.
pub(super) const COMMAND: &str = "resurge diagnose RUN/scenario.toml";
/// What RUN is.
pub(super) const EXPLAINED: &str = " (RUN: this run's folder)";

/// What compares a run with the one after a setting of a group was changed.
pub(super) const COMPARE: &str = "resurge compare last --allow groups";
/// The folder in which `last` is looked for.
const REPORTS: &str = "reports";

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Next {
    pub(super) said: String,
    /// A command line, whole; `None`: none, or the run's folder is not known.
    pub(super) command: Option<String>,
}

/// The sentences, their commands on the run's `folder`.
pub(super) fn next_in(folder: Option<&Path>, next: &[String]) -> Vec<Next> {
    let next = next.iter().map(|next| match (next.split_once(COMMAND), folder) {
        (None, Some(folder)) if next.ends_with(COMPARE) => Next {
            said: next.trim_end_matches(COMPARE).trim_end().to_owned(),
            command: Some(compared_with_next(folder)),
        },
        (Some((said, rest)), Some(folder)) => {
            let scenario = quoted_for_shell(&folder.join(SCENARIO).display().to_string());
            let options = rest.strip_suffix(EXPLAINED).unwrap_or(rest);
            let command = format!("resurge diagnose {scenario}{options}");
            Next { said: said.trim_end().to_owned(), command: Some(command) }
        }
        _ => Next { said: next.clone(), command: None },
    });
    next.collect()
}

/// The run in `folder` against the next one, which is then the last.
fn compared_with_next(folder: &Path) -> String {
    if folder.parent().is_some_and(|parent| parent.ends_with(REPORTS)) {
        return COMPARE.to_owned();
    }
    let name = quoted_for_shell(&folder.display().to_string());
    COMPARE.replace("compare last", &format!("compare {name} last"))
}

/// `text` as one word of a shell's command line.
pub(crate) fn quoted_for_shell(text: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "/._-+:@%,=".contains(letter);
    if text.chars().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comparison_with_the_next_run_can_be_pasted() {
        let next = [format!("change it, and compare the two runs: {COMPARE}")];
        let told = |folder: &str| next_in(Some(Path::new(folder)), &next).remove(0);
        assert_eq!(told("reports/x-1").said, "change it, and compare the two runs:");
        assert_eq!(told("reports/x-1").command.unwrap(), COMPARE);
        assert_eq!(told("my run").command.unwrap(), "resurge compare 'my run' last --allow groups");
        assert_eq!(next_in(None, &next)[0].said, next[0]);
    }

    #[test]
    fn a_command_can_be_pasted() {
        let next = [format!("to learn why: {COMMAND} --group b{EXPLAINED}"), "sweep".to_owned()];
        let told = |folder: &str| next_in(Some(Path::new(folder)), &next).remove(0);
        assert_eq!(told("reports/x-1").said, "to learn why:");
        let command = |folder: &str| told(folder).command.unwrap();
        assert_eq!(command("reports/x-1"), "resurge diagnose reports/x-1/scenario.toml --group b");
        assert_eq!(command("my runs/it's"), r"resurge diagnose 'my runs/it'\''s/scenario.toml' --group b");
        let unknown = next_in(None, &next);
        let plain: Vec<Next> = next.iter().map(|said| Next { said: said.clone(), command: None }).collect();
        assert_eq!(unknown, plain);
    }
}
