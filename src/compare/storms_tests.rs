//! The token peak and the recovery from storms in comparisons and baselines, on runs whose numbers are known.

use std::time::Duration;

use super::baseline::{pack_baseline, read_baseline};
use super::comparison::{Comparison, Row, Settings, WHOLE_RUN, compare};
use super::judge::Finding;
use super::measure::decide_by;
use super::not_judged::NotJudged;
use super::repeat::{Repeat, RunSet};
use crate::record::{
    GroupManifest, Journal, Manifest, PackedTally, StormManifest, Tally, manifest_of_a_test,
};
use crate::report::RunModel;
use crate::sample::{AttemptKind, AwaySample, Counter, Phases, ReadySample, Sample, StormId};

/// A storm cuts off 200 clients of each group at 2 s. One each `every_ms` is back, with a token each; the last `away` of the second group are not.
struct Run {
    groups: usize,
    every_ms: u64,
    away: u64,
}

const CLIENTS: u64 = 200;
const STORM_S: u64 = 2;
const SECONDS: u64 = 60;

impl Run {
    fn model(&self) -> RunModel {
        let storm = Some(StormId::of(0));
        let mut seconds = vec![vec![Tally::default(); self.groups]; SECONDS as usize];
        for group in 0..self.groups {
            for client in 0..CLIENTS {
                let after_ms = (client + 1) * self.every_ms;
                let is_away = group == 1 && client + self.away >= CLIENTS;
                let at = if is_away { SECONDS - 1 } else { STORM_S + after_ms / 1_000 };
                let tally = seconds.get_mut(at as usize).and_then(|groups| groups.get_mut(group)).unwrap();
                tally.apply(&Sample::Count(Counter::Disconnects, 1));
                tally.apply(&Sample::StormDisconnect(StormId::of(0)));
                if is_away {
                    let away = Duration::from_secs(SECONDS - STORM_S);
                    tally.apply(&Sample::Count(Counter::ReconnectsUnfinished, 1));
                    tally.apply(&Sample::Away(AwaySample { storm, away }));
                    continue;
                }
                let latency = Duration::from_millis(after_ms);
                let (kind, phases) = (AttemptKind::Reconnect, Phases::default());
                let ready = ReadySample { kind, storm, latency, service_time: latency, phases };
                tally.apply(&Sample::Ready(Box::new(ready)));
                tally.apply(&Sample::Count(Counter::TokensFetched, 1));
            }
        }
        let packed = seconds.iter().map(|groups| groups.iter().map(PackedTally::of).collect());
        let manifest = Manifest {
            groups: (0..self.groups)
                .map(|group| GroupManifest { name: format!("g{group}"), clients: CLIENTS as u32 })
                .collect(),
            storms: vec![StormManifest { at_s: STORM_S as f64, what: "1012".into(), fraction: 1.0 }],
            duration_s: SECONDS as f64,
            ..manifest_of_a_test()
        };
        let intervals = (0..).zip(packed).collect();
        RunModel::new(Journal { manifest, intervals, notes: Vec::new(), end: None, torn_bytes: 0 })
    }
}

fn set(name: &str, runs: &[Run]) -> RunSet {
    let repeats = runs.iter().map(|run| Repeat::of(&run.model(), name)).collect();
    RunSet { name: name.into(), repeats, is_baseline: false }
}

/// Five runs, each a little unlike the others.
fn five(name: &str, every_ms: u64, groups: usize) -> RunSet {
    set(name, &[0, 1, 0, 1, 0].map(|more| Run { groups, every_ms: every_ms + more, away: 0 }))
}

fn row<'c>(comparison: &'c Comparison, group: &str, name: &str) -> &'c Row {
    let mut rows = comparison.rows.iter();
    rows.find(|row| row.group == group && row.measure.name == name).unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn they_are_the_report_s_own() {
    let model = Run { groups: 2, every_ms: 20, away: 30 }.model();
    let alone = set("x", &[Run { groups: 2, every_ms: 20, away: 30 }]);
    let found = compare(&alone, &alone, &Settings::default());
    for (group, name) in [(Some(0), "g0"), (Some(1), "g1"), (None, WHOLE_RUN)] {
        let peak = row(&found, name, "token_requests.peak").baseline.clone().unwrap();
        assert_eq!(peak.value.to_bits(), (model.token_requests_peak(group) as f64).to_bits(), "{name}");
        for (percentile, share) in [("p50", 0.5), ("p95", 0.95), ("max", 1.0)] {
            let own = row(&found, name, &format!("recovery.{percentile}")).baseline.clone().unwrap();
            let told = model.recovered_us(group, share).unwrap();
            let ratio = own.value / told.least_us() as f64;
            assert!((ratio - 1.0).abs() < 0.002, "{name} {percentile}: {own:?} {told:?}");
            assert_eq!(own.is_beyond, told.seen_us().is_none(), "{name} {percentile}");
        }
    }
    assert_eq!(model.token_requests_peak(Some(0)), 50, "one each 20 ms");
}

#[test]
fn what_spreads_the_way_back_costs_time_and_spares_the_endpoint() {
    let found = compare(&five("old", 5, 1), &five("new", 40, 1), &Settings::default());
    let finding = |name: &str| row(&found, "g0", name).finding;
    assert_eq!(finding("recovery.p50"), Finding::Regressed);
    assert_eq!(finding("token_requests.peak"), Finding::Improved);
    assert!(found.rows.iter().all(|row| !row.measure.decides || !row.measure.is_of_storms()));
    assert_eq!(row(&found, "g0", "recovery.max").not_judged, Some(NotJudged::Maximum));
    // 200 clients in each of five runs: just enough for a p99.
    assert!(row(&found, "g0", "recovery.p99").tested.is_some());
    let mut settings = Settings::default();
    decide_by(&mut settings.measures, &["token_requests.peak".to_owned()]).unwrap();
    assert_eq!(compare(&five("old", 5, 1), &five("new", 40, 1), &settings).finding, Finding::Improved);
    // Of one run each, a busiest second of 200 or of 100 requests may be chance.
    let alone = |every_ms| set("x", &[Run { groups: 1, every_ms, away: 0 }]);
    let found = compare(&alone(10), &alone(11), &Settings::default());
    assert_eq!(row(&found, "g0", "token_requests.peak").finding, Finding::Inconclusive);
}

#[test]
fn a_baseline_keeps_them_and_one_of_before_has_none() {
    let old = five("old", 5, 2);
    let kept = read_baseline(&pack_baseline(&old.repeats).unwrap(), "b").unwrap();
    assert_eq!(kept, old.repeats);
    let mut before = old.clone();
    before.repeats.iter_mut().for_each(|run| run.storms = None);
    let found = compare(&before, &five("new", 5, 2), &Settings::default());
    assert!(!found.rows.iter().any(|row| row.measure.is_of_storms()));
    let note = "old is from before these were kept: neither the busiest second of the token endpoint nor the recovery from storms is compared";
    assert!(found.notes.iter().any(|own| own == note), "{:?}", found.notes);
}
