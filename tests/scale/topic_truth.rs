//! Streams under loss, in virtual time: whatever the target loses, repeats and moves, every number is the truth.
//!
//! `RESURGE_SEEDS=10000` runs so many seeds.

use resurge::random::{Draws, Purpose};
use resurge::report::RunModel;
use resurge::run::{InMemory, simulation_of};
use resurge::scenario::load;

use crate::support::topics::{exact, scene};

/// The scenario of a seed: its target's shares, its times and its ways to fall are drawn.
fn scenario_of(seed: u64) -> String {
    let mut draws = Draws::new(seed, Purpose::Bootstrap, 1);
    let mut up_to = |most: u64| draws.next_u64() % (most + 1);
    let topics = format!(
        "{{ count = {}, drop = {}, repeat = {}, reorder = {} }}",
        1 + up_to(6),
        [0.0, 0.02, 0.2, 0.6][up_to(3) as usize],
        [0.0, 0.01, 0.3, 1.0][up_to(3) as usize],
        [0.0, 0.02, 0.3, 1.0][up_to(3) as usize],
    );
    scene(seed, &topics)
        .replace("419ms", &format!("{}ms", 40 + up_to(100)))
        .replace("base = \"400ms\"", &format!("base = \"{}ms\"", 1 + up_to(700)))
        .replace("1350ms", &format!("{}ms", 100 + up_to(2_800)))
        .replace(
            "by = \"target\"\ncode = 1012",
            ["by = \"target\"\ncode = 1012", "by = \"client\""][up_to(1) as usize],
        )
}

#[test]
fn every_number_of_a_stream_under_loss_is_the_truth() {
    let seeds = std::env::var("RESURGE_SEEDS").ok().map_or(1_000, |seeds| seeds.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scenario.toml");
    let mut sums = [0_u64; 6];
    for seed in 1..=seeds {
        let text = scenario_of(seed);
        std::fs::write(&path, &text).unwrap();
        let loaded = load(&path, &Vec::new(), None, &|_| None).unwrap();
        let simulation = simulation_of(loaded, None).unwrap_or_else(|why| panic!("{why}: {text}"));
        let (journal, _) = simulation.run_audited(InMemory::Totals, None);
        let (heard, did) =
            exact(&RunModel::new(journal)).unwrap_or_else(|why| panic!("seed {seed}: {why}\n{text}"));
        let told =
            [heard.missed(), heard.missed_away(), heard.late, heard.duplicates, did.dropped, did.moved];
        sums.iter_mut().zip(told).for_each(|(sum, more)| *sum += more);
    }
    // There was something to be wrong about.
    assert!(sums.iter().all(|sum| *sum > seeds), "{sums:?}");
}
