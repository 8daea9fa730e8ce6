//! Tests of the product-limit estimator: textbook numbers, properties, and whether its intervals hold what they promise.

use proptest::prelude::*;

use super::*;
use crate::random::{Purpose, Random as _, Stream};

fn once(times: &[u64]) -> Vec<(u64, u64)> {
    times.iter().map(|time| (*time, 1)).collect()
}

fn curve(survival: &Survival) -> Vec<(u64, f64)> {
    survival.steps().iter().map(|step| (step.time_us, step.away)).collect()
}

/// Remission times of 21 patients with 6-MP (Freireich et al. 1963), the example of every textbook: weeks until relapse, and weeks until last seen.
const RELAPSED: [u64; 9] = [6, 6, 6, 7, 10, 13, 16, 22, 23];
const LAST_SEEN: [u64; 12] = [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35];

#[test]
fn it_is_the_textbooks_curve() {
    let survival = Survival::new(once(&RELAPSED), once(&LAST_SEEN), 0);
    // Shares as in Cox and Oakes 1984, standard errors by Greenwood's formula.
    let expected = [
        (6, 0.857_142_857, 0.076_4),
        (7, 0.806_722_689, 0.086_9),
        (10, 0.752_941_176, 0.096_3),
        (13, 0.690_196_078, 0.106_8),
        (16, 0.627_450_980, 0.114_1),
        (22, 0.537_815_126, 0.128_2),
        (23, 0.448_179_272, 0.134_6),
    ];
    assert_eq!(survival.steps().len(), expected.len());
    for (step, (time, away, error)) in survival.steps().iter().zip(expected) {
        assert_eq!(step.time_us, time);
        assert!((step.away - away).abs() < 1e-9, "{step:?}");
        assert!((step.away * step.relative_variance.sqrt() - error).abs() < 5e-5, "{step:?}");
    }
    assert_eq!(survival.percentile(50.0), Some(Quantile::At(23)));
    assert_eq!(survival.percentile(95.0), Some(Quantile::Beyond(35)));
    // The intervals are those of lifelines 0.30.0.
    assert_eq!(survival.percentile(25.0), Some(Quantile::At(13)));
    assert_eq!(survival.interval(25.0), Some((Quantile::At(6), Quantile::At(22))));
    assert_eq!(survival.interval(50.0), Some((Quantile::At(13), Quantile::Beyond(35))));
}

#[test]
fn who_gave_up_is_away_for_ever_and_nobody_has_no_percentile() {
    // (back, away, never, percentile, expected)
    type Row<'a> = (&'a [u64], &'a [u64], u64, f64, Option<Quantile>);
    let rows: &[Row<'_>] = &[
        (&[], &[], 0, 50.0, None),
        (&[], &[], 7, 50.0, None),
        (&[], &[5], 0, 50.0, Some(Quantile::Beyond(5))),
        (&[], &[0], 0, 50.0, Some(Quantile::Beyond(0))),
        (&[3], &[], 1, 50.0, Some(Quantile::At(3))),
        (&[3], &[], 1, 51.0, Some(Quantile::Never(3))),
        (&[3], &[9], 1, 51.0, Some(Quantile::Beyond(9))),
        // Were the one that is away back at once: of three, two are back, and no more.
        (&[3], &[9], 1, 67.0, Some(Quantile::Never(9))),
        // The last one to come back came later than the other was last seen.
        (&[8], &[5], 0, 100.0, Some(Quantile::At(8))),
        (&[5], &[5], 0, 50.0, Some(Quantile::At(5))),
        (&[5], &[5], 0, 51.0, Some(Quantile::Beyond(5))),
    ];
    for (back, away, never, percentile, expected) in rows {
        let survival = Survival::new(once(back), once(away), *never);
        assert_eq!(survival.percentile(*percentile), *expected, "{back:?} {away:?} {never} {percentile}");
        assert_eq!(
            percentile_of_ascending(&once(back), &once(away), *never, *percentile),
            *expected,
            "{back:?} {away:?} {never} {percentile}"
        );
    }
}

#[test]
fn the_mean_is_the_area_under_the_curve_as_far_as_it_was_seen() {
    let mean = |back: &[u64], away: &[u64], never| Survival::new(once(back), once(away), never).mean_us();
    assert_eq!(mean(&[10, 20, 60], &[], 0), Some(Quantile::At(30)));
    assert_eq!(mean(&[10, 30], &[20], 0), Some(Quantile::At(23)), "a third at 10, the rest at 30");
    assert_eq!(mean(&[10], &[30], 0), Some(Quantile::Beyond(20)), "half of them were away up to 30");
    assert_eq!(mean(&[10, 10], &[], 2), Some(Quantile::Never(10)));
    assert_eq!(mean(&[], &[], 2), None);
}

fn times() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec((0_u32..34, any::<u64>()).prop_map(|(bits, n)| n % (1 << bits)), 0..60)
}

fn histogram(times: &[u64]) -> Latencies {
    let mut latencies = Latencies::new();
    times.iter().for_each(|us| latencies.record_us(*us));
    latencies
}

proptest! {
    #[test]
    fn with_nobody_away_percentiles_are_the_histograms(back in times(), percentile in 0.001_f64..100.0, many in 1_u64..5_000) {
        let mut latencies = histogram(&back);
        latencies.record_many(777, many);
        let survival = Survival::of(&latencies, &Latencies::new(), 0);
        for percentile in [percentile, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99, 100.0] {
            prop_assert_eq!(survival.percentile(percentile), Some(Quantile::At(latencies.percentile_us(percentile))));
        }
    }

    #[test]
    fn neither_the_order_nor_how_it_is_split_matters(back in times(), away in times(), never in 0_u64..9, cut in 0_usize..60) {
        let whole = Survival::of(&histogram(&back), &histogram(&away), never);
        let parts = |times: &[u64]| {
            let (first, second) = times.split_at(cut.min(times.len()));
            let mut merged = histogram(second);
            merged.merge(&histogram(first));
            merged
        };
        prop_assert_eq!(&Survival::of(&parts(&back), &parts(&away), never), &whole);
        let reversed = |times: &[u64]| counts(&histogram(times)).collect::<Vec<_>>().into_iter().rev();
        prop_assert_eq!(&Survival::new(reversed(&back), reversed(&away), never), &whole);
    }

    #[test]
    fn the_curve_falls_and_is_the_product_of_the_textbook(back in times(), away in times(), never in 0_u64..9) {
        let survival = Survival::new(once(&back), once(&away), never);
        let mut product = 1.0;
        let mut last = 1.0;
        for (time, share) in curve(&survival) {
            let at_risk = back.iter().chain(&away).filter(|other| **other >= time).count() as u64 + never;
            let here = back.iter().filter(|other| **other == time).count() as u64;
            product *= (at_risk - here) as f64 / at_risk as f64;
            prop_assert!((share - product).abs() < 1e-12 && share < last, "{time}: {share} {product}");
            last = share;
        }
        prop_assert_eq!(survival.population(), (back.len() + away.len()) as u64 + never);
        for percentile in [10.0, 50.0, 95.0] {
            if let (Some(found), Some((low, high))) = (survival.percentile(percentile), survival.interval(percentile)) {
                prop_assert!(low.least_us() <= found.least_us() && found.least_us() <= high.least_us());
            }
            let quick = percentile_of_ascending(&ascending(once(&back)), &ascending(once(&away)), never, percentile);
            prop_assert_eq!(quick, survival.percentile(percentile));
        }
    }
}

/// A thousand runs of a known recovery, each cut off at random: clients are disconnected at any moment of a run, and who would come back after its end is
/// seen only up to it.
#[test]
fn the_interval_of_the_p95_covers_the_truth_in_95_of_100_runs() {
    const RUNS: u32 = 1_000;
    const CLIENTS: u32 = 600;
    // 1.6449 is the normal's 95th percentile. (name, how long a way back takes in seconds, its true p95)
    type Recovery = (&'static str, fn(&mut Stream) -> f64, f64);
    let recoveries: [Recovery; 3] = [
        ("exponential", |random| -2.0 * (1.0 - random.next_unit()).ln(), 2.0 * 20.0_f64.ln()),
        ("log-normal", |random| (0.5 * random.next_normal()).exp(), (0.5 * 1.644_853_627_f64).exp()),
        ("uniform", |random| 4.0 * random.next_unit(), 3.8),
    ];
    for (index, (name, draw, truth)) in (0_u32..).zip(recoveries) {
        let (mut covered, mut cut_off, mut naive) = (0, 0, 0);
        for run in 0..RUNS {
            let mut random = Stream::new(19, Purpose::Bootstrap, index * RUNS + run);
            let length = 8.0 + 12.0 * random.next_unit();
            let (mut back, mut away) = (Vec::new(), Vec::new());
            for _ in 0..CLIENTS {
                let (seen, takes) = (length * random.next_unit(), draw(&mut random));
                let list = if takes <= seen { &mut back } else { &mut away };
                list.push(((takes.min(seen) * 1e6) as u64, 1));
            }
            cut_off += away.len();
            let survival = Survival::new(back.clone(), away, 0);
            let (low, high) = survival.interval(95.0).unwrap();
            let truth_us = (truth * 1e6) as u64;
            let is_below = matches!(high, Quantile::At(high) if high < truth_us);
            covered += u32::from(low.least_us() <= truth_us && !is_below);
            let alone = Survival::new(back, [], 0).interval(95.0).unwrap();
            naive += u32::from(alone.0.least_us() <= truth_us && alone.1.least_us() >= truth_us);
        }
        let share = f64::from(covered) / f64::from(RUNS);
        assert!((0.93..=0.97).contains(&share), "{name}: {share} of {RUNS}");
        assert!(cut_off > (RUNS * CLIENTS / 30) as usize, "{name}: {cut_off} were cut off");
        assert!(naive < covered, "{name}: without those who were cut off {naive} of {RUNS}");
    }
}
