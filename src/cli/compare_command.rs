//! The command line that would compare what could not be compared.
//!
//! In: what was typed, both sides, what to allow and what to leave out. Out: a line to paste.

use crate::compare::{Remedy, RunSet};
use crate::report::quoted_for_shell;

/// What was typed behind the program's name.
pub(super) fn typed() -> Vec<String> {
    std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect()
}

/// A side: what the user named, and the runs that it stands for.
#[derive(Clone, Copy)]
pub(super) struct Named<'a> {
    pub(super) inputs: &'a [String],
    pub(super) set: &'a RunSet,
}

impl Named<'_> {
    /// The side without some runs. Of a baseline's file nothing can be left out.
    fn without(&self, leave_out: &[String]) -> Vec<String> {
        let sources = || self.set.repeats.iter().map(|run| &run.facts.source);
        if self.set.is_baseline || !sources().any(|source| leave_out.contains(source)) {
            return self.inputs.to_vec();
        }
        sources().filter(|source| !leave_out.contains(source)).cloned().collect()
    }
}

/// The same command with these sides, and with `allow` behind it. `named` are the words of `typed` that name sides.
pub(super) fn command(typed: &[String], named: &[String], sides: [Named<'_>; 2], remedy: &Remedy) -> String {
    let [baseline, candidate] = sides.map(|side| side.without(&remedy.leave_out));
    let mut words = vec!["compare".to_owned()];
    if baseline.len() == 1 && candidate.len() == 1 {
        words.extend(baseline.into_iter().chain(candidate));
    } else {
        words.extend(["--baseline".to_owned()].into_iter().chain(baseline));
        words.extend(["--candidate".to_owned()].into_iter().chain(candidate));
    }
    words.extend(options(typed, named));
    line(words, &remedy.allow)
}

/// The same command, with `allow` behind it.
pub(super) fn command_that_allows(typed: &[String], allow: &[String]) -> String {
    line(typed.to_vec(), allow)
}

fn line(words: Vec<String>, allow: &[String]) -> String {
    let allowed = allow.iter().flat_map(|key| ["--allow".to_owned(), key.clone()]);
    let words: Vec<String> = words.into_iter().chain(allowed).map(|word| quoted_for_shell(&word)).collect();
    format!("resurge {}", words.join(" "))
}

/// What was typed beside the subcommand and the sides.
fn options(typed: &[String], named: &[String]) -> Vec<String> {
    let mut left: Vec<&String> = named.iter().collect();
    let mut options = Vec::new();
    for word in typed.iter().skip(1) {
        let value = word.strip_prefix("--baseline=").or_else(|| word.strip_prefix("--candidate="));
        let name = value.unwrap_or(word);
        if word == "--baseline" || word == "--candidate" {
            continue;
        }
        match left.iter().position(|own| own.as_str() == name) {
            Some(at) => {
                left.remove(at);
            }
            None => options.push(word.clone()),
        }
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::synthetic::{Behaviour, synthetic_run};

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn set(sources: &str, is_baseline: bool) -> RunSet {
        let behaviour = Behaviour { seconds: 1, per_second: 1.0, ..Behaviour::default() };
        let repeats = words(sources).into_iter().map(|source| {
            let mut run = synthetic_run(&behaviour, 1);
            run.facts.source = source;
            run
        });
        RunSet { name: String::new(), repeats: repeats.collect(), is_baseline }
    }

    #[test]
    fn what_was_typed_is_kept_and_what_cannot_be_used_is_left_out() {
        let (old, new) = (set("old/1 old/2", false), set("new/1 new/2", false));
        let saved = set("r1 r2", true);
        // (typed, baseline, candidate, allow, leave out, the command)
        let rows = [
            (
                "compare old new --gate",
                ("old", &old),
                ("new", &new),
                ("target.url host", ""),
                "resurge compare old new --gate --allow target.url --allow host",
            ),
            (
                "compare old new --gate --alpha 1%",
                ("old", &old),
                ("new", &new),
                ("", "new/2"),
                "resurge compare old new/1 --gate --alpha 1%",
            ),
            (
                "compare --baseline old/1 old/2 --candidate=new/1 new/2 --decide-by availability",
                ("old/1 old/2", &old),
                ("new/1 new/2", &new),
                ("a b", "old/1"),
                "resurge compare --baseline old/2 --candidate new/1 new/2 --decide-by availability --allow a --allow b",
            ),
            ("compare v1 new", ("v1", &saved), ("new", &new), ("", "new/1 r1"), "resurge compare v1 new/2"),
        ];
        for (typed, (old_names, old), (new_names, new), (allow, leave_out), expected) in rows {
            let (old_names, new_names) = (words(old_names), words(new_names));
            let named: Vec<String> = old_names.iter().chain(&new_names).cloned().collect();
            let sides = [Named { inputs: &old_names, set: old }, Named { inputs: &new_names, set: new }];
            let remedy = Remedy { allow: words(allow), leave_out: words(leave_out) };
            let told = command(&words(typed), &named, sides, &remedy);
            assert_eq!(told, expected, "{typed}");
        }
        let typed = words("compare --trend a b");
        assert_eq!(
            command_that_allows(&typed, &["host".to_owned()]),
            "resurge compare --trend a b --allow host"
        );
    }
}
