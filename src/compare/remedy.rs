//! What to change for runs that are not comparable to be compared.
//!
//! In: both sides' runs, and what the user allows to differ. Out: all keys to allow, and the runs to leave out, at once.

use super::comparable::{incomparable, is_empty, keys_to_allow, unusable};
use super::measure::Measure;
use super::repeat::{Facts, Repeat};

/// What would make two sides comparable.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Remedy {
    /// Keys of the scenario to allow, `duration` and `host` among them.
    pub allow: Vec<String>,
    /// The runs to leave out, as the user named them: they are not valid, not whole, or empty.
    pub leave_out: Vec<String>,
}

/// What would make these sides comparable; `None` where nothing would.
#[must_use]
pub fn remedy(
    baseline: &[Repeat],
    candidate: &[Repeat],
    allowed: &[String],
    measures: &[Measure],
) -> Option<Remedy> {
    let is_out = |run: &&Repeat| unusable(&run.facts).is_some() || is_empty(run);
    let kept = |runs: &[Repeat]| -> Vec<Repeat> { runs.iter().filter(|run| !is_out(run)).cloned().collect() };
    let (old, new) = (kept(baseline), kept(candidate));
    let facts: Vec<&Facts> = old.iter().chain(&new).map(|run| &run.facts).collect();
    let allow = keys_to_allow(&facts, allowed);
    let all: Vec<String> = allowed.iter().chain(&allow).cloned().collect();
    let is_enough = !old.is_empty() && !new.is_empty() && incomparable(&old, &new, &all, measures).is_empty();
    let mut leave_out: Vec<String> = Vec::new();
    for run in baseline.iter().chain(candidate).filter(is_out) {
        if !leave_out.contains(&run.facts.source) {
            leave_out.push(run.facts.source.clone());
        }
    }
    is_enough.then_some(Remedy { allow, leave_out })
}

#[cfg(test)]
mod tests {
    use super::super::measure::measures;
    use super::super::repeat::Validity;
    use super::super::synthetic::{Behaviour, synthetic_run};
    use super::*;

    fn run(source: &str, scenario: &str) -> Repeat {
        let mut run = synthetic_run(&Behaviour { seconds: 4, per_second: 50.0, ..Behaviour::default() }, 1);
        run.facts.source = source.to_owned();
        run.facts.scenario_hash = scenario.to_owned();
        run.facts.scenario_text = scenario.to_owned();
        run
    }

    fn found(baseline: &[Repeat], candidate: &[Repeat]) -> Option<(String, String)> {
        let remedy = remedy(baseline, candidate, &[], &measures())?;
        Some((remedy.allow.join(" "), remedy.leave_out.join(" ")))
    }

    fn some(allow: &str, leave_out: &str) -> Option<(String, String)> {
        Some((allow.to_owned(), leave_out.to_owned()))
    }

    #[test]
    fn all_that_differs_is_told_at_once_and_what_cannot_be_used_is_left_out() {
        let old = [run("a1", "duration = 1\ntarget.idle = 1"), run("a2", "duration = 1\ntarget.idle = 1")];
        let mut other = run("b1", "duration = 2\ntarget.idle = 3");
        other.facts.host.cores = 64;
        assert_eq!(found(&old, &[other.clone()]), some("duration host target.idle", ""));
        let mut late = run("b2", "duration = 1\ntarget.idle = 1");
        late.facts.validity = Validity::NotValid;
        let mut cut = late.clone();
        cut.facts.source = "b3".to_owned();
        cut.facts.validity = Validity::CutOff;
        let good = run("b4", "duration = 1\ntarget.idle = 1");
        assert_eq!(found(&old, &[late.clone(), good.clone(), cut]), some("", "b2 b3"));
        assert_eq!(found(&[late.clone()], &[other.clone(), good]), None, "nothing is left");
        assert_eq!(found(&old, &[late, other]), some("duration host target.idle", "b2"));
        assert_eq!(found(&old, &old), some("", ""));
    }

    #[test]
    fn many_keys_of_a_table_are_allowed_as_the_table() {
        let keys = ["base", "factor", "jitter", "kind", "max"];
        let whole = |value: u8| {
            format!("[groups.0.backoff]\n{}", keys.map(|key| format!("{key} = {value}\n")).concat())
        };
        assert_eq!(found(&[run("a", &whole(1))], &[run("b", &whole(2))]), some("groups.0.backoff", ""));
    }
}
