//! Estimates and their uncertainty, on sides whose numbers are known.

use super::super::buckets::Buckets;
use super::super::repeat::{GroupBlock, Repeat};
use super::*;

fn side(n: usize, value: f64, variance: Option<f64>, blocks: Option<f64>) -> SideEstimate {
    SideEstimate {
        value,
        is_beyond: false,
        repeats: vec![Some(value); n],
        samples: 100,
        variance_repeats: variance,
        variance_blocks: blocks,
        variance_floor: 1e-12,
    }
}

fn time() -> Measure {
    super::super::measure::measures().into_iter().find(|m| m.name == "reconnect_latency.p99").unwrap()
}

#[test]
fn the_standard_error_rests_on_what_there_is() {
    let five = side(5, 100.0, Some(0.0004), None);
    let two = side(2, 110.0, Some(0.5), Some(0.0001));
    let one = side(1, 110.0, None, Some(0.0001));
    let of = |a: &SideEstimate, b: &SideEstimate| difference(&time(), a, b, 0.1).unwrap();

    let both = of(&five, &five);
    assert_eq!((both.basis, both.df), (Basis::Repeats, 8.0));
    assert!((both.standard_error - 0.0008_f64.sqrt()).abs() < 1e-12);

    let borrowed = of(&five, &one);
    assert_eq!((borrowed.basis, borrowed.df), (Basis::OtherSide, 4.0));
    // A run spreads by 5 × 0.0004.
    assert!((borrowed.standard_error - (0.0004 + 0.002_f64).sqrt()).abs() < 1e-12);
    assert!((borrowed.estimate - 1.1_f64.ln()).abs() < 1e-12);
    assert_eq!(of(&one, &five).df, 4.0);

    let assumed = of(&one, &two);
    assert_eq!((assumed.basis, assumed.df), (Basis::Assumed, ASSUMED_DF));
    let expected = 0.01 + 0.0001 + 0.005 + 0.0001;
    assert!((assumed.standard_error - f64::sqrt(expected)).abs() < 1e-12);
}

#[test]
fn a_side_that_varies_alone_has_its_own_degrees_of_freedom() {
    assert_eq!(welch_df(1.0, 4.0, 1.0, 4.0), 8.0);
    assert!((welch_df(1.0, 4.0, 1e-9, 4.0) - 4.0).abs() < 1e-6);
}

#[test]
fn a_share_of_none_is_not_without_doubt() {
    let share =
        super::super::measure::measures().into_iter().find(|m| m.name == "handshake_403_rate").unwrap();
    let of = |attempts: u64, refused: u64, clients: u32| {
        let mut run = run(0, 0, 0);
        run.facts.groups[0].clients = clients;
        let counts = Counts { answered: attempts, refused_403: refused, ..Counts::default() };
        run.blocks[0].groups[0].counts = counts;
        estimate_side(Side { repeats: &[run], group: 0, seed: 1 }, &[&share]).remove(0).unwrap()
    };
    let bounds =
        |old: &SideEstimate, new: &SideEstimate| difference(&share, old, new, 0.1).unwrap().bounds(2.0);
    let (low, high) = bounds(&of(20, 0, 20), &of(20, 0, 20));
    assert!(low < -0.1 && high > 0.1, "twenty of twenty is not a share without doubt: {low} {high}");
    let (low, high) = bounds(&of(20_000, 0, 20_000), &of(20_000, 0, 20_000));
    assert!(low > -0.001 && high < 0.001, "{low} {high}");
    // A client that asks four times of a service that refuses it was not refused four times by chance.
    assert!((of(4_000, 4_000, 1_000).variance_floor - chance_variance(1_000)).abs() < 1e-15);
    // All refusals follow one moment: in which seconds they lie says nothing. That three in four are cured is seen.
    let mut cut = of(500, 400, 100);
    cut.variance_blocks = None;
    let cured = difference(&share, &cut, &of(500, 25, 100), 0.1).unwrap();
    assert!(cured.bounds(5.0).1 < -0.4, "{:?}", cured.bounds(5.0));
}

#[test]
fn what_lies_beyond_what_was_seen_is_told_only_from_what_is_shorter() {
    let seen = |value| side(5, value, Some(0.0004), None);
    let beyond = |value| SideEstimate { is_beyond: true, ..seen(value) };
    let is_told = |a: &SideEstimate, b: &SideEstimate| difference(&time(), a, b, 0.1).is_some();
    assert!(is_told(&seen(100.0), &beyond(500.0)) && is_told(&beyond(500.0), &seen(100.0)));
    assert!(!is_told(&seen(600.0), &beyond(500.0)) && !is_told(&beyond(500.0), &seen(600.0)));
    assert!(!is_told(&beyond(500.0), &beyond(900.0)), "nobody knows which");
}

/// A run in which clients came back after a millisecond, some were away for five seconds when it ended, some had given up.
fn run(back: u64, away: u64, given_up: u64) -> Repeat {
    let behaviour = super::super::synthetic::Behaviour::default();
    let mut repeat = super::super::synthetic::synthetic_run(&behaviour, 1);
    let counts = Counts { back, given_up, reconnects_ended: back + given_up + away, ..Counts::default() };
    let times = [(Metric::ReconnectLatency, 1_000, back), (Metric::ReconnectAway, 4_997_120, away)];
    let histograms = times.map(|(metric, us, count)| (metric, Buckets::new([(us, count)])));
    let group = GroupBlock { counts, histograms: histograms.into(), ..GroupBlock::default() };
    repeat.blocks = vec![super::super::repeat::Block { seconds: 5, groups: vec![group] }];
    repeat
}

#[test]
fn a_percentile_knows_of_those_who_are_away_and_of_those_who_gave_up() {
    // (runs: back, away, given up; the p99, whether it lies beyond, on how many it rests)
    type Row<'a> = (&'a [(u64, u64, u64)], Option<(f64, bool, u64)>);
    let rows: &[Row<'_>] = &[
        (&[(1_000, 0, 0)], Some((1_000.0, false, 1_000))),
        (&[(1_000, 10, 0)], Some((1_000.0, false, 1_010))),
        (&[(1_000, 11, 0)], Some((5_001_215.0, true, 1_011))),
        (&[(1_000, 0, 11)], Some((1_000.0, true, 1_011))),
        (&[(1_000, 0, 0), (1_000, 22, 0)], Some((5_001_215.0, true, 2_022))),
        (&[(0, 9, 0)], Some((5_001_215.0, true, 9))),
        (&[(0, 0, 9)], None),
    ];
    for (runs, expected) in rows {
        let repeats: Vec<Repeat> =
            runs.iter().map(|(back, away, given_up)| run(*back, *away, *given_up)).collect();
        let side = Side { repeats: &repeats, group: 0, seed: 1 };
        let found = estimate_side(side, &[&time()]).remove(0);
        let found = found.map(|side| (side.value, side.is_beyond, side.samples));
        assert_eq!(found, *expected, "{runs:?}");
    }
}
