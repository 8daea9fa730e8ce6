//! What a page of a run under way is told.

use std::sync::Arc;

use super::*;
use crate::record::{AskedStorm, Mark as Told, MarkBy};
use crate::sample::Sample;
use crate::scenario::load;

fn scenario() -> Scenario {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("live.toml");
    let text = "duration = \"1m\"\n[target]\n[[groups]]\nname = \"g\"\nclients = 9\ntoken = { grant = \"none\" }\n[[storms]]\nat = \"50s\"\n";
    std::fs::write(&file, text).unwrap();
    load(&file, &Vec::new(), None, &|_| None).unwrap().scenario
}

/// A second with 4 upgrades, of which a storm by hand has ended 3.
fn view(second: u64) -> LiveView {
    let mut tally = Tally::default();
    let struck = StormId::of(1);
    let counts = [(Counter::Upgrades, 4), (Counter::Disconnects, 3), (Counter::TokensFetched, 2)];
    counts.iter().for_each(|(counter, count)| tally.apply(&Sample::Count(*counter, *count)));
    (0..3).for_each(|_| tally.apply(&Sample::StormDisconnect(struck)));
    let storm = AskedStorm { number: 0, what: "clients reset, by hand".into(), fraction: 0.5 };
    let mark = Told {
        number: 1,
        name: "storm by hand".into(),
        by: MarkBy::Outside,
        at_us: 1_500_000,
        until_us: None,
        names_until_us: None,
        does: None,
        outcome: None,
        storm: Some(storm),
    };
    let tallies = Arc::new(vec![tally]);
    LiveView {
        second,
        totals: Arc::clone(&tallies),
        last: tallies,
        marks: Arc::new(vec![mark]),
        ..LiveView::default()
    }
}

fn news(page: &LivePage) -> serde_json::Value {
    serde_json::from_str(&page.news()).unwrap()
}

#[test]
fn before_the_first_second_there_is_a_page_without_numbers() {
    let page = LivePage::default();
    assert!(page.html().unwrap().contains("live-storm"));
    let told = news(&page);
    assert_eq!((told["state"].as_str(), told["time"].as_str()), (Some("waiting"), Some("Not begun")));
    assert_eq!(told["tables"]["storms"][0][0], "none so far");
}

#[test]
fn a_second_that_was_not_told_is_a_gap_and_a_storm_by_hand_a_row() {
    let mut page = LivePage::default();
    page.take(&scenario(), &view(1));
    page.take(&scenario(), &view(4));
    let told = news(&page);
    assert_eq!(told["time"], "5s of 1m, 55s left");
    let moved = &told["plots"][1];
    assert_eq!((moved["x"]["from"].as_f64(), moved["x"]["count"].as_u64()), (Some(1.0), Some(4)));
    assert_eq!(moved["series"][0]["values"], "3,*2,3");
    let labels: Vec<&str> =
        moved["marks"].as_array().unwrap().iter().filter_map(|mark| mark["label"].as_str()).collect();
    assert_eq!(labels, ["storm 1", "storm 2"]);
    let row: Vec<&str> =
        told["tables"]["storms"][0].as_array().unwrap().iter().filter_map(|cell| cell.as_str()).collect();
    assert_eq!(
        row,
        ["storm 2, 50.0% of the sessions, clients reset, by hand", "1.5 s", "3", "0", "0.0%", "–", "–"]
    );
    let page = page.html().unwrap().to_lowercase();
    assert!(page.contains("<html") && page.contains("live"), "{page}");
}

#[test]
fn a_long_run_keeps_ten_minutes_and_draws_the_same_series() {
    let (scenario, mut page) = (scenario(), LivePage::default());
    (0..900).for_each(|second| page.take(&scenario, &view(second)));
    page.take(&scenario, &view(5_000_000));
    assert_eq!(page.points.len(), MOST_SECONDS);
    let told = news(&page);
    assert_eq!(
        (told["state"].as_str(), told["plots"][0]["x"]["count"].as_u64()),
        (Some("draining"), Some(600))
    );
}
