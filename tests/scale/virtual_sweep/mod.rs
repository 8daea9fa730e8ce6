//! Thousands of scenarios at random, in virtual time: what must hold whatever clients, service and network do.
//!
//! `RESURGE_SEEDS=10000` runs so many seeds; `RESURGE_SEED=77` one alone, and prints its scenario.

mod scenarios;

use std::path::Path;

use resurge::drive::virtual_time::VirtualEnd;
use resurge::record::{Agreement, Journal, ReconciliationRow};
use resurge::report::RunModel;
use resurge::run::{InMemory, Simulation, simulation_of};
use resurge::sample::{Counter, Outcome};
use resurge::scenario::load;

/// Seeds of the default run, which takes a few seconds.
const SEEDS: u64 = 300;
/// Each of so many is run twice.
const TWICE_EVERY: u64 = 10;
/// The whole world is looked at each time that so many events were worked off.
const AUDIT_EVERY: u64 = 997;

fn simulation(folder: &Path, text: &str) -> Result<Simulation, String> {
    let file = folder.join("sweep.toml");
    std::fs::write(&file, text).unwrap();
    let loaded = load(&file, &Vec::new(), None, &|_| None).map_err(|error| error.to_string())?;
    simulation_of(loaded, None).map_err(|error| error.to_string())
}

/// What does not hold in the run of a seed.
fn faults_of(seed: u64, folder: &Path) -> Vec<String> {
    let text = scenarios::scenario_of(seed);
    let simulation = match simulation(folder, &text) {
        Ok(simulation) => simulation,
        Err(error) => return vec![format!("the scenario does not load: {error}")],
    };
    let (journal, end) = simulation.run_audited(InMemory::Seconds, Some(AUDIT_EVERY));
    let mut faults = end.faults.clone();
    if seed.is_multiple_of(TWICE_EVERY) {
        let (again, end_again) = simulation.run_audited(InMemory::Seconds, Some(AUDIT_EVERY));
        if again != journal || end_again != end {
            faults.push("the same seed gives another run".to_owned());
        }
    }
    faults.extend(accounts(journal, &end));
    faults
}

/// The accounts: within the clients' own, and with the target's to the last one.
fn accounts(journal: Journal, end: &VirtualEnd) -> Vec<String> {
    let seconds: Vec<u64> = journal.intervals.iter().map(|(second, _)| *second).collect();
    let model = RunModel::new(journal);
    let mut faults = model.account_faults.clone();
    if seconds != (0..seconds.len() as u64).collect::<Vec<_>>() {
        faults.push(format!("seconds are missing: {seconds:?}"));
    }
    let reconciliation = model.reconciliation.as_ref().unwrap();
    let (all, target) = (&model.all, &end.counters);
    // Clients that do not know the service's refusals, or leave before they come, take themselves for let in; then the run is not valid, as it should be.
    let not_noticed = |row: &ReconciliationRow| {
        row.what == "refused on a session"
            && (row.clients..=row.clients + row.unsettled + all.outcome(Outcome::Ok)).contains(&row.target)
    };
    let mut wrong = reconciliation.rows.iter().filter(|row| row.agreement == Agreement::Mismatch);
    if !wrong.all(not_noticed) {
        faults.push(format!("clients and target do not agree: {:?}", reconciliation.rows));
    }
    let count = |outcomes: &[Outcome]| -> i128 {
        outcomes.iter().map(|outcome| i128::from(all.outcome(*outcome))).sum()
    };
    let refusals = [Outcome::Http401, Outcome::Http403, Outcome::Http429, Outcome::Http4xx, Outcome::Http5xx];
    let refused: u64 = target.refused.iter().map(|row| row.count).sum();
    let closes: u64 = target.closes.iter().map(|row| row.count).sum();
    let exact = |what: &str, clients: i128, target: u64, lost: i128| {
        (clients + lost != i128::from(target))
            .then(|| format!("{what}: the clients counted {clients}, the target {target}, {lost} were lost"))
    };
    faults.extend(exact(
        "connections",
        i128::from(all.counter(Counter::TcpConnections)),
        target.accepted_events,
        -i128::from(end.lost.requests),
    ));
    faults.extend(exact(
        "upgrades",
        i128::from(all.counter(Counter::Upgrades)),
        target.upgrades,
        i128::from(end.lost.upgrades),
    ));
    faults.extend(exact("refusals", count(&refusals), refused, i128::from(end.lost.refusals)));
    faults.extend(exact(
        "tokens",
        i128::from(all.counter(Counter::TokensFetched)),
        target.tokens_issued,
        i128::from(end.lost.tokens),
    ));
    faults.extend(exact("ends of sessions", i128::from(target.upgrades), closes, 0));
    if target.sessions_open > 0 {
        faults.push(format!("{} sessions are open at the target when all is over", target.sessions_open));
    }
    faults
}

#[test]
fn whatever_happens_the_invariants_hold() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let one = number("RESURGE_SEED");
    let seeds = one.map_or(0..number("RESURGE_SEEDS").unwrap_or(SEEDS), |seed| seed..seed + 1);
    let folder = tempfile::tempdir().unwrap();
    let mut failed = Vec::new();
    for seed in seeds {
        let faults = faults_of(seed, folder.path());
        if !faults.is_empty() {
            failed.push(format!("seed {seed}:\n  {}", faults.join("\n  ")));
        }
    }
    let scenario = one.map(scenarios::scenario_of).unwrap_or_default();
    assert!(
        failed.is_empty(),
        "{scenario}\n{} seeds fail. Replay one by RESURGE_SEED=<seed>.\n{}",
        failed.len(),
        failed.iter().take(10).cloned().collect::<Vec<_>>().join("\n")
    );
}
