//! Outages and availability in comparisons and baselines, on runs whose numbers are known.

use super::baseline::{pack_baseline, read_baseline};
use super::buckets::{Buckets, FULL_PRECISION};
use super::comparison::{Comparison, Row, Settings, WHOLE_RUN, compare};
use super::estimate::{Basis, estimate_side};
use super::judge::Finding;
use super::measure::{decide_by, measures};
use super::outage_notes::outage_notes;
use super::outages::{GroupOutage, GroupOutages, MOST_OUTAGES, OutageBegin, RunOutages};
use super::repeat::{Repeat, RunSet};
use super::side::Side;
use super::synthetic::{Behaviour, synthetic_run};

/// Of 400 clients one came back every 10 ms, times `scale`; but the last `away` did not, and were last seen at the end.
fn outage(scale: f64, away: u64) -> GroupOutage {
    let us = |n: u64| (n as f64 * 10_000.0 * scale) as u64;
    let back = Buckets::new((1..=400 - away).map(|n| (us(n), 1)));
    let still = Buckets::new([(us(400), away)]);
    let times = (1..=400).map(|n| us(n.min(400)) as f64 / 1e6);
    GroupOutage {
        lost: 400,
        cost_s: times.sum(),
        back: back.coarsened(FULL_PRECISION),
        away: still.coarsened(FULL_PRECISION),
        gave_up: 0,
    }
}

/// A group whose clients were wanted for 40,000 client-seconds.
fn group(availability: f64, outages: &[GroupOutage]) -> GroupOutages {
    GroupOutages {
        wanted_s: 40_000.0,
        in_s: 40_000.0 * availability,
        number: outages.len() as u64,
        cost_s: outages.iter().map(|outage| outage.cost_s).sum(),
        each: outages.iter().take(MOST_OUTAGES).cloned().map(Some).collect(),
    }
}

fn of_one_group(group: GroupOutages) -> RunOutages {
    let begins = (1..=group.each.len() as u64).map(|n| begin("", n as f64 * 20.0));
    RunOutages { begins: begins.collect(), groups: vec![group] }
}

fn begin(name: &str, at_s: f64) -> OutageBegin {
    OutageBegin { name: name.into(), at_us: (at_s * 1e6) as u64 }
}

fn set(name: &str, outages: Vec<Option<RunOutages>>) -> RunSet {
    let repeats = outages.into_iter().zip(1..).map(|(outages, seed)| {
        let groups = outages.as_ref().map_or(1, |outages| outages.groups.len().div_ceil(2));
        let behaviour = Behaviour { groups, seconds: 6, per_second: 50.0, ..Behaviour::default() };
        Repeat { outages, ..synthetic_run(&behaviour, seed) }
    });
    RunSet { name: name.into(), repeats: repeats.collect(), is_baseline: false }
}

/// Runs with so many outages each; each run differs a little.
fn runs(name: &str, outages: &[usize], scale: f64) -> RunSet {
    let wobble = [1.0, 1.01, 0.99, 1.02, 0.98];
    let of_run = |(count, wobble): (&usize, &f64)| {
        let each = vec![outage(scale * wobble, 0); *count];
        let cost_s: f64 = each.iter().map(|outage| outage.cost_s).sum();
        Some(of_one_group(group(1.0 - cost_s / 40_000.0, &each)))
    };
    set(name, outages.iter().zip(&wobble).map(of_run).collect())
}

fn compared(baseline: &RunSet, candidate: &RunSet, by: &[&str]) -> Comparison {
    let mut settings = Settings::default();
    if !by.is_empty() {
        let by: Vec<String> = by.iter().map(|name| (*name).to_owned()).collect();
        decide_by(&mut settings.measures, &by).unwrap();
    }
    compare(baseline, candidate, &settings)
}

fn row<'c>(comparison: &'c Comparison, group: &str, name: &str) -> &'c Row {
    let mut rows = comparison.rows.iter();
    rows.find(|row| row.group == group && row.measure.name == name).unwrap_or_else(|| panic!("no {name}"))
}

fn values(comparison: &Comparison, group: &str, name: &str) -> (f64, f64) {
    let row = row(comparison, group, name);
    (row.baseline.as_ref().unwrap().value, row.candidate.as_ref().unwrap().value)
}

fn close(found: (f64, f64), expected: (f64, f64)) -> bool {
    let near = |a: f64, b: f64| (a - b).abs() <= 0.002 * b.abs();
    near(found.0, expected.0) && near(found.1, expected.1)
}

const ONE: [usize; 5] = [1; 5];
const NONE: [usize; 5] = [0; 5];

#[test]
fn each_number_of_an_outage_is_that_of_all_runs_together() {
    let found = compared(&runs("old", &ONE, 1.0), &runs("new", &ONE, 1.5), &[]);
    // 400 clients, one each 10 ms: half of them after 2 s, 95 % after 3.8 s, the last after 4 s (of the run that took the longest); a sum of 802 s.
    let rows = [
        ("outage_1.recovery_p50", (2e6, 3e6)),
        ("outage_1.recovery_p95", (3.8e6, 5.7e6)),
        ("outage_1.recovery_max", (4.08e6, 6.12e6)),
        ("outage_1.cost", (802.0, 1_203.0)),
        ("outage_1.lost", (400.0, 400.0)),
        ("outages", (1.0, 1.0)),
        ("outage_cost", (802.0, 1_203.0)),
        ("availability", (1.0 - 802.0 / 40_000.0, 1.0 - 1_203.0 / 40_000.0)),
    ];
    for (name, expected) in rows {
        let found = values(&found, "group-0", name);
        assert!(close(found, expected), "{name}: {found:?}");
    }
    let p95 = row(&found, "group-0", "outage_1.recovery_p95").baseline.clone().unwrap();
    let each: Vec<f64> = p95.repeats.iter().map(|value| (value.unwrap() / 38_000.0).round()).collect();
    assert_eq!((each, p95.samples), (vec![100.0, 101.0, 99.0, 102.0, 98.0], 2_000));
    let finding = |name: &str| row(&found, "group-0", name).finding;
    assert_eq!(finding("outage_1.recovery_p95"), Finding::Regressed);
    assert_eq!(finding("outage_1.cost"), Finding::Regressed);
    assert_eq!(finding("availability"), Finding::Regressed);
    assert_eq!(finding("outages"), Finding::Unchanged);
    assert_eq!(finding("outage_1.lost"), Finding::Unchanged);
    assert!(
        row(&found, "group-0", "outage_1.recovery_max").tested.is_none(),
        "of the last alone nothing is told"
    );
    assert!(found.rows.iter().all(|row| !row.measure.decides || !row.measure.is_of_outages()));
    assert!(!found.rows.iter().any(|row| row.group == WHOLE_RUN && row.measure.is_of_outages()));
}

#[test]
fn they_decide_when_they_are_asked() {
    // (outages of the baseline's runs, of the candidate's, its times, by what, verdict)
    type Asked<'r> = (&'r [usize], &'r [usize], f64, &'r str, Finding);
    let rows: [Asked<'_>; 12] = [
        (&ONE, &ONE, 1.5, "outage_1.recovery_p95", Finding::Regressed),
        (&ONE, &ONE, 0.5, "outage_1", Finding::Improved),
        (&ONE, &ONE, 1.0, "outage_1.recovery_p95", Finding::Unchanged),
        (&ONE, &ONE, 1.5, "availability", Finding::Regressed),
        (&ONE, &NONE, 1.0, "availability", Finding::Improved),
        (&ONE, &ONE, 1.5, "outage_cost", Finding::Regressed),
        (&NONE, &ONE, 1.0, "outage_cost", Finding::Regressed),
        (&ONE, &NONE, 1.0, "outages", Finding::Improved),
        (&NONE, &NONE, 1.0, "outage_cost", Finding::Unchanged),
        // That one run of five met an outage may be chance; so may that a single one did.
        (&NONE, &[1, 0, 0, 0, 0], 1.0, "outage_cost", Finding::Inconclusive),
        (&[0], &[1], 1.0, "outage_cost", Finding::Inconclusive),
        (&[0], &[1], 1.0, "outages", Finding::Inconclusive),
    ];
    for (baseline, candidate, scale, by, expected) in rows {
        let found = compared(&runs("old", baseline, 1.0), &runs("new", candidate, scale), &[by]);
        assert_eq!(found.finding, expected, "{baseline:?} {candidate:?} {scale} {by}");
        assert!(found.deciding().count() > 0, "{by}");
    }
    let single = compared(&runs("old", &[0], 1.0), &runs("new", &[1], 1.0), &["outages"]);
    let (difference, judged) = row(&single, "group-0", "outages").tested.unwrap();
    assert_eq!(difference.basis, Basis::Assumed);
    assert!(difference.standard_error >= 1.0, "{difference:?}");
    assert!(judged.repeats_needed.is_some_and(|n| (3..30).contains(&n)), "{judged:?}");
}

#[test]
fn who_is_still_away_is_not_left_out() {
    let away = |away: u64| {
        let each = [outage(1.0, away)];
        set("x", vec![Some(of_one_group(group(0.98, &each))); 3])
    };
    let found = compared(&away(0), &away(40), &["outage_1"]);
    let p95 = row(&found, "group-0", "outage_1.recovery_p95");
    let candidate = p95.candidate.as_ref().unwrap();
    assert!(candidate.is_beyond && candidate.seen().is_none() && candidate.samples == 1_200, "{candidate:?}");
    assert!(close((candidate.value, 0.0), (4e6, 0.0)), "{candidate:?}");
    let p50 = row(&found, "group-0", "outage_1.recovery_p50");
    assert!(!p50.candidate.as_ref().unwrap().is_beyond);
    assert_eq!(p50.finding, Finding::Unchanged);
}

#[test]
fn an_outage_that_not_every_run_met_is_told_by_those_that_did() {
    let found = compared(&runs("old", &[1, 2, 2, 2, 1], 1.0), &runs("new", &[2, 2, 1, 1, 1], 1.0), &[]);
    let cost = row(&found, "group-0", "outage_2.cost");
    let (baseline, candidate) = (cost.baseline.clone().unwrap(), cost.candidate.clone().unwrap());
    assert_eq!(
        (baseline.repeats.iter().flatten().count(), candidate.repeats.iter().flatten().count()),
        (3, 2)
    );
    // s²/n of the costs 1.01, 0.99 and 1.02 times 802, over their squared mean.
    let relative =
        [1.01, 0.99, 1.02].map(|value: f64| (value - 1.006_667).powi(2)).iter().sum::<f64>() / 2.0 / 3.0;
    let found = baseline.variance_repeats.unwrap() * 1.006_667_f64.powi(2);
    assert!((found / relative - 1.0).abs() < 0.05, "{found} {relative}");
    // Two are too few to tell how they spread: they are taken to do as the other side.
    let (difference, _) = cost.tested.unwrap();
    assert_eq!((difference.basis, difference.df), (Basis::OtherSide, 2.0));
}

#[test]
fn of_several_groups_all_together_are_a_row_of_the_run() {
    let two = |scale: f64| {
        let (a, b) = (outage(scale, 0), outage(1.0, 0));
        let all = GroupOutage {
            lost: 800,
            cost_s: a.cost_s + b.cost_s,
            back: Buckets::merged([&a.back, &b.back]),
            ..a.clone()
        };
        let groups = vec![
            group(0.9, &[a]),
            GroupOutages { each: vec![None], ..group(0.99, &[]) },
            group(0.945, &[all]),
        ];
        Some(RunOutages { begins: vec![begin("", 20.0)], groups })
    };
    let side =
        |name: &str, scale: f64| set(name, [1.0, 1.01, 0.99].map(|wobble| two(scale * wobble)).to_vec());
    let found = compared(&side("old", 1.0), &side("new", 2.0), &["outage_1.cost", "availability"]);
    assert_eq!(values(&found, "group-1", "availability"), (0.99, 0.99));
    let ratio = |group: &str| {
        let (old, new) = values(&found, group, "outage_1.cost");
        new / old
    };
    assert!((ratio("group-0") - 2.0).abs() < 0.01 && (ratio(WHOLE_RUN) - 1.5).abs() < 0.01);
    let of_group_1 = found.rows.iter().filter(|row| row.group == "group-1");
    assert!(!of_group_1.clone().any(|row| row.measure.name.starts_with("outage_1")), "it lost nobody");
    assert_eq!(found.count(Finding::Regressed), 2, "of the group, and of all together");
}

#[test]
fn where_a_side_is_from_before_there_are_no_rows_and_a_note() {
    let older = set("v1", vec![None; 5]);
    let newer = runs("new", &ONE, 1.0);
    let found = compared(&older, &newer, &[]);
    assert!(!found.rows.iter().any(|row| row.measure.is_of_outages()));
    let note = "v1 is from before outages were found: neither they nor the availability are compared";
    assert_eq!(outage_notes(&older, &newer), [note]);
    assert_eq!(outage_notes(&newer, &older), [note]);
    assert_eq!(outage_notes(&older, &older), [""; 0], "nobody misses what neither has");
    let mut mixed = runs("mixed", &ONE, 1.0);
    mixed.repeats[0].outages = None;
    let found = compared(&mixed, &newer, &[]);
    assert_eq!(values(&found, "group-0", "outages"), (1.0, 1.0));
    let note =
        "1 of 5 runs of mixed are from before outages were found: there, the others alone are compared";
    assert!(found.notes.iter().any(|own| own == note), "{:?}", found.notes);
}

#[test]
fn outages_are_matched_by_their_order_and_named() {
    let with = |name: &str, runs: &[&[(&str, f64)]]| {
        let run = |begins: &&[(&str, f64)]| {
            let each = vec![outage(1.0, 0); begins.len()];
            let begins = begins.iter().take(MOST_OUTAGES).map(|(name, at)| begin(name, *at));
            Some(RunOutages { begins: begins.collect(), groups: vec![group(0.9, &each)] })
        };
        set(name, runs.iter().map(run).collect())
    };
    let deploy = ("deploy of 4f2a", 20.1);
    let ten: Vec<(&str, f64)> = (0..10).map(|n| ("", f64::from(n) * 5.0)).collect();
    // (baseline, candidate, notes)
    type Runs<'r> = &'r [&'r [(&'r str, f64)]];
    let rows: &[(Runs<'_>, Runs<'_>, &[&str])] = &[
        (&[&[]], &[&[]], &[]),
        (
            &[&[deploy]],
            &[&[("deploy of 9b1c", 20.3)]],
            &[
                "outage 1: \"deploy of 4f2a\" at 20.1 s in the baseline, \"deploy of 9b1c\" at 20.3 s in the candidate",
            ],
        ),
        (
            &[&[deploy], &[("deploy of 4f2a", 20.4)], &[]],
            &[&[("", 40.0)]],
            &[
                "outage 1: \"deploy of 4f2a\" at 20.1 to 20.4 s in 2 of 3 runs of the baseline, at 40.0 s in the candidate: they may not be the same",
                "outages: the baseline 0 to 1, the candidate 1",
            ],
        ),
        (
            &[&[deploy]],
            &[&[("deploy of 4f2a", 50.0), ("", 80.0)]],
            &[
                "outage 1: \"deploy of 4f2a\" at 20.1 s in the baseline, \"deploy of 4f2a\" at 50.0 s in the candidate",
                "outages: the baseline 1, the candidate 2: those behind the first are not compared one by one",
            ],
        ),
        (&[&[deploy]], &[&[]], &["outages: the baseline 1, the candidate none: none is compared one by one"]),
    ];
    for (baseline, candidate, expected) in rows {
        let notes = outage_notes(&with("old", baseline), &with("new", candidate));
        assert_eq!(notes, *expected);
    }
    let many = outage_notes(&with("old", &[&ten]), &with("new", &[&ten]));
    assert_eq!(many.len(), MOST_OUTAGES + 1);
    assert_eq!(
        many[MOST_OUTAGES],
        "outages: the baseline 10, the candidate 10: those behind the first 8 are not compared one by one"
    );
}

#[test]
fn a_baseline_keeps_them_and_is_not_much_larger() {
    let mut repeats = runs("x", &[1, 2, 0, 9, 1], 1.0).repeats;
    let read = read_baseline(&pack_baseline(&repeats).unwrap(), "b").unwrap();
    assert_eq!(read, repeats);
    // The worst: four groups, in each run as many outages as are kept, with a time of its own for each of many clients.
    for (seed, repeat) in (0_u64..).zip(&mut repeats) {
        let behaviour =
            Behaviour { groups: 4, metrics: 14, seconds: 60, per_second: 3.0, ..Behaviour::default() };
        let times = |outage: u64| {
            (0..3_000)
                .map(move |n: u64| (50_000 + (n * 7_919 + outage * 104_729 + seed * 31) % 60_000_000, 1))
        };
        let outage = |n: u64| GroupOutage {
            lost: 3_000,
            cost_s: 9.0,
            back: Buckets::new(times(n)).coarsened(FULL_PRECISION),
            ..GroupOutage::default()
        };
        let outages: Vec<GroupOutage> = (0..MOST_OUTAGES as u64).map(outage).collect();
        let own = of_one_group(group(0.9, &outages));
        let outages = RunOutages { groups: vec![own.groups[0].clone(); 5], ..own };
        *repeat = Repeat { outages: Some(outages), ..synthetic_run(&behaviour, seed) };
    }
    let bytes = pack_baseline(&repeats).unwrap();
    assert!(bytes.len() < 200_000, "{}", bytes.len());
    let read = read_baseline(&bytes, "b").unwrap();
    let measure = measures().into_iter().find(|measure| measure.name == "outage_8.recovery_p95").unwrap();
    let p95 = |repeats: &[Repeat]| {
        let side = Side { repeats, group: 3, seed: 1 };
        estimate_side(side, &[&measure]).remove(0).unwrap().value
    };
    assert!((p95(&read) / p95(&repeats) - 1.0).abs() < 0.02);
}

#[test]
fn what_a_file_cannot_have_of_outages_is_refused() {
    let changed = |change: &dyn Fn(&mut RunOutages)| {
        let mut repeats = runs("x", &[1], 1.0).repeats;
        repeats[0].outages.as_mut().into_iter().for_each(change);
        read_baseline(&pack_baseline(&repeats).unwrap(), "b").map_err(|error| error.to_string())
    };
    assert!(changed(&|_| {}).is_ok());
    let wrong: [&dyn Fn(&mut RunOutages); 6] = [
        &|own| own.groups[0].wanted_s = f64::NAN,
        &|own| own.groups[0].in_s = 50_000.0,
        &|own| own.groups[0].cost_s = -1.0,
        &|own| own.groups[0].number = u64::MAX,
        &|own| own.groups.clear(),
        &|own| own.groups[0].each = vec![None; MOST_OUTAGES + 1],
    ];
    for (index, change) in wrong.into_iter().enumerate() {
        let error = changed(change).unwrap_err();
        assert!(error.contains("a number in it cannot be"), "{index}: {error}");
    }
    let escaped = changed(&|own| own.begins[0].name = format!("a\u{1b}[31m{}", "x".repeat(200))).unwrap();
    let name = &escaped[0].outages.as_ref().unwrap().begins[0].name;
    assert!(name.starts_with("a[31mx") && name.len() == 80, "{name}");
}
