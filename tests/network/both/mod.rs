//! The same scenario by both drivers: outcomes, causes, requests, ends and counts are the same.

mod bound;
mod conversation;
mod handshakes;
mod steps;
mod talk;
mod token_answers;
mod topics;

use std::collections::BTreeMap;
use std::path::Path;

use resurge::record::{StreamCounts, Tally};
use resurge::report::RunModel;
use resurge::run::{InMemory, simulation_of};
use resurge::sample::{Cause, Counter, Metric, Outcome};
use resurge::scenario::load;
use tempfile::TempDir;

use crate::support::in_process::run_file;

/// What all attempts of a case that are not let in come to; `None`: all are let in.
type Refused = Option<(Outcome, Option<Cause>)>;

/// A case: its name, its scenario, what its refusals are.
struct Case {
    name: &'static str,
    scenario: String,
    refused: Refused,
}

impl Case {
    /// A run of 4.5 s: what follows `[target]`, what follows a group of 4 clients, and more tables. The target closes them once, by a storm.
    fn new(name: &'static str, target: &str, group: &str, refused: Refused) -> Self {
        // A machine that is busy lets clients in late: that is not to be an early end.
        let session = "[groups.session]\nadmission = \"50ms\"\n";
        let group = if group.contains("[groups.session]\n") {
            group.replace("[groups.session]\n", session)
        } else {
            format!("{group}{session}")
        };
        let scenario = format!(
            "duration = \"4500ms\"\n[target]\nidle_timeout = \"never\"\ninvalidation = \"never\"\n{target}\n[[groups]]\nname = \"g\"\nclients = 4\nreconnect = {{ max_attempts = 2, backoff = {{ kind = \"constant\", base = \"1ms\" }} }}\n{group}\n[[storms]]\nat = \"3s\"\nby = \"target\"\ncode = 1012\n"
        );
        Self { name, scenario, refused }
    }
}

impl Case {
    /// The same, whose idle timeout is that line.
    fn idle(self, line: &str) -> Self {
        Self { scenario: self.scenario.replacen("idle_timeout = \"never\"\n", line, 1), ..self }
    }
}

/// By both drivers: the real one, and virtual time.
pub(crate) fn by_both(folder: &Path, name: &str, scenario: &str) -> [RunModel; 2] {
    let path = folder.join(format!("{name}.toml"));
    std::fs::write(&path, scenario).unwrap();
    let real = run_file(&path, &[], folder.join(name)).model;
    let loaded = load(&path, &Vec::new(), None, &|_| None).unwrap();
    let simulation = simulation_of(loaded, None).unwrap_or_else(|why| panic!("{name}: {why}"));
    let (journal, end) = simulation.run_audited(InMemory::Totals, Some(50));
    assert_eq!(end.faults, [""; 0], "{name}");
    [real, RunModel::new(journal)]
}

/// What both drivers must tell alike.
fn told(all: &Tally) -> BTreeMap<String, u64> {
    let mut rows = BTreeMap::new();
    for (key, count) in &all.attempts {
        *rows.entry(format!("{:?} {} {:?}", key.kind, key.outcome, key.cause)).or_default() += count;
    }
    for (key, count) in &all.closes {
        *rows.entry(format!("end {:?} {} {:?}", key.initiator, key.code, key.abnormal)).or_default() += count;
    }
    for (key, of_answer) in &all.requests {
        for (said, count) in &of_answer.said {
            rows.insert(format!("{key:?} {said:?}"), *count);
        }
    }
    for metric in [Metric::PhaseMint, Metric::PhaseToken, Metric::TokenAge, Metric::ReconnectLatency] {
        rows.insert(metric.name().to_owned(), all.histograms.get(&metric).map_or(0, |h| h.count()));
    }
    for counter in [
        Counter::TokensFetched,
        Counter::DeadTokenHandshakes,
        Counter::ScopesWithheld,
        Counter::NonceRetries,
        Counter::TcpConnections,
        Counter::Upgrades,
        Counter::Disconnects,
        Counter::Reconnects,
        Counter::ResumesOverlapped,
        Counter::RefreshTokensRefused,
    ] {
        rows.insert(counter.name().to_owned(), all.counter(counter));
    }
    for (index, exchange) in all.talk.iter().flat_map(|talk| &talk.exchanges) {
        let mut counts = exchange.counts;
        // How many waited at once is a matter of moments.
        counts.most_in_flight = 0;
        rows.insert(format!("exchange {index} {counts:?}"), exchange.latencies.count());
    }
    for (index, stream) in all.talk.iter().flat_map(|talk| &talk.streams) {
        // A message that is due while a client comes, or goes, is heard or not.
        let counts = StreamCounts { messages: 0, skipped_away: 0, ..stream.counts };
        rows.insert(format!("stream {index} {counts:?}"), stream.blind.count());
    }
    for (kind, count) in all.talk.iter().flat_map(|talk| &talk.kinds) {
        rows.insert(format!("kind {kind:?}"), *count);
    }
    rows
}

/// Runs each case by both drivers, and compares them.
fn compare(folder: &TempDir, cases: &[Case]) {
    // A few at once: each waits for most of its time, and a machine that is busy ends sessions early.
    for some in cases.chunks(4) {
        std::thread::scope(|scope| {
            for case in some {
                scope.spawn(|| case.compare(folder.path()));
            }
        });
    }
}

impl Case {
    fn compare(&self, folder: &Path) {
        let Self { name, scenario, refused } = self;
        let [real, simulated] = by_both(folder, name, scenario);
        assert_eq!(told(&real.all), told(&simulated.all), "{name}");
        for model in [&real, &simulated] {
            assert_eq!(model.account_faults, [""; 0], "{name}");
            let reconciliation = model.reconciliation.as_ref().unwrap();
            // A connection that comes to nothing, or a token that is not taken, one side alone knows of.
            let is_known_to_one =
                matches!(refused, Some((Outcome::Tls | Outcome::TokenError, _))) || *name == "plain-to-tls";
            let agrees = if is_known_to_one { reconciliation.holds() } else { reconciliation.is_exact() };
            assert!(agrees, "{name}: {reconciliation:?}");
            assert!(!model.all.attempts.is_empty(), "{name}");
            let failed = model.all.attempts.iter().filter(|(key, _)| key.outcome != Outcome::Ok);
            let mut causes: Vec<_> = failed.map(|(key, _)| (key.outcome, key.cause)).collect();
            causes.dedup();
            assert_eq!(causes, refused.map_or_else(Vec::new, |one| vec![one]), "{name}");
        }
    }
}
