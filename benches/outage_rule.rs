//! How often the rule by which outages are found errs: false alarms where there is none, and misses where there is one, in virtual time.
//!
//! Each row is a scenario that is simulated by so many seeds. Where nothing but churn ends sessions, an outage is a false alarm. Where a share of the clients is cut off
//! within a second, a run without exactly that one outage is a miss.
//!
//! `cargo bench --bench outage_rule` takes some minutes for 1,000 seeds; `-- --seeds 50` takes fewer, `-- beside` the rows whose names hold that word.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench prints, and what it does not foresee ends it"
)]

use std::path::Path;
use std::process::ExitCode;

use resurge::record::outages::RunOutage;
use resurge::report::RunModel;
use resurge::run::{InMemory, simulation_of};
use resurge::scenario::load;

/// Seeds of a row, where no number is given.
const SEEDS: u64 = 1_000;
/// This share of the runs may miss their outage.
const MOST_MISSED: f64 = 0.01;
/// This share of the runs may have a false alarm, where sessions end at random; where they are closed for being idle, none may.
const MOST_ALARMS: f64 = 0.01;

/// A row: what it is, the scenario's text, and what is to be found.
struct Row {
    name: &'static str,
    text: String,
    expected: Expected,
}

/// What is to be found in a run.
#[derive(Clone, Copy)]
enum Expected {
    Nothing,
    /// One outage that begins between these, in seconds, and loses about so many.
    One {
        from_s: f64,
        to_s: f64,
        lost: u64,
    },
}

/// Sessions that end at random: of those that begin, a twentieth each after one of twenty times, as long as they last.
fn churn(share: f64) -> String {
    let fault = |n: u32| {
        let after = 700 + n * 1_130;
        format!("[[target.faults]]\nkind = \"close_without_frame\"\nshare = {share}\nafter = \"{after}ms\"\n")
    };
    (0..20).map(fault).collect()
}

fn group(clients: u32, over: &str) -> String {
    format!(
        "[[groups]]\nname = \"g\"\nclients = {clients}\nstart = {{ over = \"{over}\" }}\n\
         token = {{ client_id = \"a\", client_secret = \"b\", on_reconnect = \"fetch\" }}\n\
         reconnect = {{ backoff = {{ kind = \"constant\", base = \"500ms\", jitter = \"full\" }} }}\n"
    )
}

fn rows() -> Vec<Row> {
    let target = |idle: &str| format!("duration = \"40s\"\n[target]\nidle_timeout = \"{idle}\"\n");
    let row = |name, parts: &[String], expected| Row { name, text: parts.concat(), expected };
    let cut = |share: f64| {
        format!(
            "[[target.faults]]\nkind = \"reset_after_upgrade\"\nshare = {share}\nuntil = \"1s\"\nafter = \"20s\"\n"
        )
    };
    let one = |lost| Expected::One { from_s: 19.9, to_s: 21.2, lost };
    vec![
        row(
            "idle closes, 400 clients that began within 5 s",
            &[target("5s"), group(400, "5s")],
            Expected::Nothing,
        ),
        row(
            "idle closes, 400 clients that began within 1 s",
            &[target("5s"), group(400, "1s")],
            Expected::Nothing,
        ),
        row(
            "ends at random, 400 clients",
            &[target("never"), churn(0.05), group(400, "5s")],
            Expected::Nothing,
        ),
        row("both, 1,000 clients", &[target("10s"), churn(0.02), group(1_000, "5s")], Expected::Nothing),
        row(
            "5 % of 1,000 clients lost within a second, and nothing else",
            &[target("never"), cut(0.05), group(1_000, "1s")],
            one(50),
        ),
        row(
            "the same beside ends at random",
            // A tenth of the clients begin in the first second; the others spread what ends at random.
            &[target("never"), cut(0.5), churn(0.005), group(1_000, "10s")],
            one(50),
        ),
        row(
            "all of 200 clients lost within a second",
            &[target("never"), cut(1.0), group(200, "1s")],
            one(200),
        ),
    ]
}

/// The outages of a run of that scenario.
fn outages(file: &Path, seed: u64) -> Vec<RunOutage> {
    let loaded = load(file, &Vec::new(), Some(seed), &|_| None).unwrap();
    RunModel::new(simulation_of(loaded, None).unwrap().run_in_memory(InMemory::Seconds)).outages
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let given = arguments.iter().position(|argument| argument == "--seeds");
    let seeds = given.map_or(SEEDS, |at| arguments[at + 1].parse().unwrap());
    let home = tempfile::tempdir().unwrap();
    println!("| in {seeds} runs each | false alarms | misses | lost, in the mean |\n|---|---:|---:|---:|");
    let mut is_fine = true;
    let word = arguments.iter().skip(1).find(|argument| argument.chars().all(char::is_alphabetic));
    let is_wanted = |row: &&Row| word.is_none_or(|word| row.name.contains(word.as_str()));
    for (number, row) in rows().iter().filter(is_wanted).enumerate() {
        let file = home.path().join(format!("row-{number}.toml"));
        std::fs::write(&file, &row.text).unwrap();
        let (mut alarms, mut misses, mut lost) = (0_u64, 0_u64, 0_u64);
        for seed in 1..=seeds {
            let found = outages(&file, seed);
            match row.expected {
                Expected::Nothing => alarms += found.len() as u64,
                Expected::One { from_s, to_s, .. } => {
                    let is_it = |outage: &&RunOutage| {
                        let first_s = outage.all.first_us as f64 / 1e6;
                        (from_s..=to_s).contains(&first_s)
                    };
                    let own: Vec<&RunOutage> = found.iter().filter(is_it).collect();
                    misses += u64::from(own.len() != 1);
                    alarms += (found.len() - own.len()) as u64;
                    lost += own.iter().map(|outage| outage.all.lost).sum::<u64>();
                }
            }
        }
        let (missed, mean) = match row.expected {
            Expected::Nothing => ("–".to_owned(), "–".to_owned()),
            Expected::One { lost: expected, .. } => {
                (misses.to_string(), format!("{:.1} (about {expected})", lost as f64 / seeds as f64))
            }
        };
        println!("| {} | {alarms} | {missed} | {mean} |", row.name);
        let most_alarms =
            if row.name.starts_with("idle") { 0.0 } else { (MOST_ALARMS * seeds as f64).ceil() };
        is_fine &= alarms as f64 <= most_alarms && misses as f64 <= MOST_MISSED * seeds as f64;
    }
    if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
