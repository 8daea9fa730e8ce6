//! Verdicts: of each measure, and of all together.
//!
//! In: differences with their standard errors. Out: p-values, adjusted for how many there are (Holm 1979), intervals, verdicts, and how many repeats
//! would decide what is open.

use serde::Serialize;

use super::estimate::{Difference, LEAST_US};
use super::measure::{Measure, Unit};
use super::student::{two_sided_p, two_sided_t};

/// Confidence of the intervals that are shown, and within which nothing may matter for `unchanged`: 95 %.
const INTERVAL_P: f64 = 0.05;
/// More repeats than this nobody makes.
const MOST_REPEATS: u32 = 1_000;

/// What became of a measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// Significantly worse, by at least the least effect.
    Regressed,
    /// Significantly better, by at least the least effect.
    Improved,
    /// It cannot be told.
    Inconclusive,
    /// Any difference that fits the data is less than the least effect.
    Unchanged,
}

impl Finding {
    /// The name that files use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Regressed => "regressed",
            Self::Improved => "improved",
            Self::Inconclusive => "inconclusive",
            Self::Unchanged => "unchanged",
        }
    }
}

/// What a measure is judged by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judged {
    /// Student's t of the difference.
    pub t: f64,
    /// Two-sided p-value of the difference.
    pub p: f64,
    /// The same, adjusted for all measures that were tested.
    pub p_adjusted: f64,
    /// Bounds of the interval around the difference, on its scale, at 95 % confidence.
    pub interval: (f64, f64),
    /// What a reader sees of the difference: of shares as they are, else on its scale.
    pub change: f64,
    /// Bounds around it, at 95 % confidence.
    pub bounds: (f64, f64),
    /// The changes between which nothing matters.
    pub margin: (f64, f64),
    /// The verdict.
    pub finding: Finding,
    /// How many repeats on each side would decide it; `None` when decided, or when no number up to 1,000 would.
    pub repeats_needed: Option<u32>,
}

/// Judges measures together. `alpha` is the chance, over all of them, that any is called changed when none is (0..1).
#[must_use]
pub fn judge(rows: &[(&Measure, Difference, f64)], alpha: f64) -> Vec<Judged> {
    let ps: Vec<f64> = rows
        .iter()
        .map(|(_, difference, _)| two_sided_p(difference.estimate / difference.standard_error, difference.df))
        .collect();
    let adjusted = holm(&ps);
    let judged = rows.iter().zip(ps.iter().zip(&adjusted));
    judged
        .map(|((measure, difference, baseline), (p, p_adjusted))| {
            let t = two_sided_t(INTERVAL_P, difference.df);
            let half = t * difference.standard_error;
            let (change, bounds) = (difference.change(), difference.bounds(t));
            let margin = margin(measure, *baseline);
            let finding = finding(measure, change, *p_adjusted <= alpha, bounds, margin);
            let repeats_needed = (finding == Finding::Inconclusive)
                .then(|| repeats_needed(difference, margin, alpha, rows.len()))
                .flatten();
            Judged {
                t: difference.estimate / difference.standard_error,
                p: *p,
                p_adjusted: *p_adjusted,
                interval: (difference.estimate - half, difference.estimate + half),
                change,
                bounds,
                margin,
                finding,
                repeats_needed,
            }
        })
        .collect()
}

/// Holm's step-down adjustment (Holm 1979): the least is multiplied by the number of tests, the next by one less, and none may fall below one before.
#[must_use]
pub fn holm(ps: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..ps.len()).collect();
    order.sort_by(|a, b| ps[*a].total_cmp(&ps[*b]));
    let mut adjusted = vec![0.0; ps.len()];
    let mut least: f64 = 0.0;
    for (step, index) in order.into_iter().enumerate() {
        least = least.max(ps[index] * (ps.len() - step) as f64).min(1.0);
        adjusted[index] = least;
    }
    adjusted
}

/// The least effect from `baseline` on, downwards and upwards, as changes are.
fn margin(measure: &Measure, baseline: f64) -> (f64, f64) {
    let least = measure.least_effect(baseline);
    if !measure.is_ratio() {
        return (-least, least);
    }
    // A time of nothing stands for a microsecond, here as in the difference.
    let baseline = if measure.unit() == Unit::Us { baseline.max(LEAST_US) } else { baseline };
    let relative = if baseline > 0.0 { least / baseline } else { f64::INFINITY };
    // A fall by all of it and more does not happen: any fall is less.
    ((1.0 - relative).max(0.0).ln(), relative.ln_1p())
}

fn finding(
    measure: &Measure,
    estimate: f64,
    is_significant: bool,
    interval: (f64, f64),
    margin: (f64, f64),
) -> Finding {
    let (rises, falls) = (estimate >= margin.1, estimate <= margin.0);
    if is_significant && (rises || falls) {
        return if rises == measure.less_is_better { Finding::Regressed } else { Finding::Improved };
    }
    if interval.0 > margin.0 && interval.1 < margin.1 { Finding::Unchanged } else { Finding::Inconclusive }
}

/// With how many repeats on each side the same difference would be decided: as a change where it is one, else as none. The strictest of `tests`
/// adjustments is taken. A difference just at the least effect is decided by no number.
fn repeats_needed(difference: &Difference, margin: (f64, f64), alpha: f64, tests: usize) -> Option<u32> {
    let change = difference.change();
    let is_change = change >= margin.1 || change <= margin.0;
    (3..=MOST_REPEATS).find(|repeats| {
        let then = difference.of_repeats(*repeats);
        if is_change {
            two_sided_p(then.estimate / then.standard_error, then.df) * tests as f64 <= alpha
        } else {
            let bounds = then.bounds(two_sided_t(INTERVAL_P, then.df));
            bounds.0 > margin.0 && bounds.1 < margin.1
        }
    })
}

/// The overall verdict of those that decide: the worst news, but that an improvement shows beside what is open.
#[must_use]
pub fn overall(findings: impl IntoIterator<Item = Finding>) -> Finding {
    let findings: Vec<Finding> = findings.into_iter().collect();
    let has = |wanted| findings.contains(&wanted);
    if has(Finding::Regressed) {
        Finding::Regressed
    } else if has(Finding::Improved) {
        Finding::Improved
    } else if has(Finding::Inconclusive) || findings.is_empty() {
        Finding::Inconclusive
    } else {
        Finding::Unchanged
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::estimate::Basis;
    use super::super::measure::{MinEffect, measures};
    use super::super::shares::SharePair;
    use super::*;

    fn measure(name: &str) -> Measure {
        measures().into_iter().find(|measure| measure.name == name).unwrap()
    }

    fn difference(estimate: f64, standard_error: f64) -> Difference {
        let per_run = 5.0 * standard_error.powi(2) / 2.0;
        let (df, basis) = (8.0, Basis::Repeats);
        Difference { estimate, per_run: (per_run, per_run), standard_error, df, basis, shares: None }
    }

    /// The same of shares: the error is that of the candidate's, in points, and the baseline's is known.
    fn of_shares(baseline: f64, change: f64, error: f64) -> Difference {
        let angle = |share: f64| share.sqrt().asin();
        let candidate = baseline + change;
        let slope = 2.0 * (candidate * (1.0 - candidate)).max(1e-6).sqrt();
        let angles = (angle(baseline), angle(candidate));
        let pair =
            SharePair { shares: (baseline, candidate), angles, variances: (1e-18, (error / slope).powi(2)) };
        Difference { shares: Some(pair), ..difference(angles.1 - angles.0, error / slope) }
    }

    fn finding_of(name: &str, baseline: f64, estimate: f64, error: f64) -> Judged {
        let measure = measure(name);
        let difference = if measure.is_share() {
            of_shares(baseline, estimate, error)
        } else {
            difference(estimate, error)
        };
        judge(&[(&measure, difference, baseline)], 0.01)[0]
    }

    #[test]
    fn a_change_needs_significance_and_size() {
        let up = |percent: f64| (1.0 + percent / 100.0).ln();
        // (measure, baseline, difference, standard error, verdict)
        let rows = [
            ("reconnect_latency.p99", 100_000.0, up(10.0), 0.01, Finding::Regressed),
            ("reconnect_latency.p99", 100_000.0, up(-10.0), 0.01, Finding::Improved),
            ("reconnect_latency.p99", 100_000.0, up(10.0), 0.05, Finding::Inconclusive),
            ("reconnect_latency.p99", 100_000.0, up(4.0), 0.001, Finding::Unchanged),
            ("reconnect_latency.p99", 100_000.0, up(4.0), 0.01, Finding::Inconclusive),
            ("reconnect_latency.p99", 100_000.0, 0.0, 0.02, Finding::Unchanged),
            ("reconnect_latency.p99", 100_000.0, 0.0, 0.025, Finding::Inconclusive),
            // Of 2 ms, half is less than the millisecond that a change must have.
            ("reconnect_latency.p99", 2_000.0, up(30.0), 0.001, Finding::Unchanged),
            ("reconnect_latency.p99", 900.0, up(-90.0), 0.001, Finding::Unchanged),
            // From nothing to two seconds and a half, and to less than a millisecond.
            ("phase_backoff.p50", 0.0, 2.46e6_f64.ln(), 0.1, Finding::Regressed),
            ("phase_backoff.p50", 0.0, 600.0_f64.ln(), 0.01, Finding::Unchanged),
            ("phase_backoff.p50", 2.46e6, -(2.46e6_f64.ln()), 0.1, Finding::Improved),
            ("handshake_403_rate", 0.0, 0.02, 0.001, Finding::Regressed),
            ("handshake_403_rate", 0.0, 0.002, 0.0001, Finding::Unchanged),
            ("reconnect_success_rate", 1.0, -0.02, 0.001, Finding::Regressed),
            ("reconnects_per_s", 50.0, up(20.0), 0.01, Finding::Improved),
            ("reconnects_per_s", 50.0, up(-20.0), 0.01, Finding::Regressed),
            // Of the availability, a tenth of a point and a twentieth of the time that clients were out.
            ("availability", 0.999, -0.0011, 0.000_1, Finding::Regressed),
            ("availability", 0.999, -0.0009, 0.000_01, Finding::Unchanged),
            ("availability", 0.900, -0.0040, 0.000_1, Finding::Unchanged),
            ("availability", 0.900, 0.0060, 0.000_1, Finding::Improved),
            ("outage_cost", 0.0, 412.0, 20.0, Finding::Regressed),
            ("outage_cost", 412.0, -412.0, 20.0, Finding::Improved),
            ("outage_cost", 400.0, 19.0, 0.1, Finding::Unchanged),
            ("outages", 0.0, 0.4, 0.01, Finding::Unchanged),
            ("outages", 1.0, 1.0, 0.1, Finding::Regressed),
            ("outage_1.recovery_p95", 5e6, up(10.0), 0.01, Finding::Regressed),
        ];
        for (name, baseline, estimate, error, expected) in rows {
            let judged = finding_of(name, baseline, estimate, error);
            assert_eq!(judged.finding, expected, "{name} {baseline} {estimate} {error}: {judged:?}");
        }
    }

    #[test]
    fn what_is_open_says_how_many_repeats_would_decide_it() {
        let open = finding_of("reconnect_latency.p99", 100_000.0, 0.1, 0.05);
        assert_eq!(open.finding, Finding::Inconclusive);
        let repeats = open.repeats_needed.unwrap();
        assert!((10..30).contains(&repeats), "{repeats}");
        assert_eq!(finding_of("reconnect_latency.p99", 100_000.0, 0.1, 0.01).repeats_needed, None);
        let edge = finding_of("reconnect_latency.p99", 100_000.0, 1.049_f64.ln(), 0.05);
        assert_eq!(edge.repeats_needed, None, "no number decides what lies at the edge");
    }

    #[test]
    fn more_tests_are_stricter() {
        let measure =
            Measure { min_effect: MinEffect { relative: 0.0, absolute: 0.0 }, ..measure("reconnects_per_s") };
        let alone = judge(&[(&measure, difference(0.1, 0.028), 50.0)], 0.01);
        assert_eq!(alone[0].finding, Finding::Improved);
        let among = judge(&vec![(&measure, difference(0.1, 0.028), 50.0); 20], 0.01);
        assert_eq!(among[0].finding, Finding::Inconclusive);
    }

    #[test]
    fn the_overall_verdict_is_the_worst_news() {
        use Finding::{Improved, Inconclusive, Regressed, Unchanged};
        assert_eq!(overall([Unchanged, Improved, Regressed]), Regressed);
        assert_eq!(overall([Inconclusive, Improved]), Improved);
        assert_eq!(overall([Inconclusive, Unchanged]), Inconclusive);
        assert_eq!(overall([Unchanged]), Unchanged);
        assert_eq!(overall([]), Inconclusive, "nothing decided nothing");
    }

    #[test]
    fn holm_as_in_the_paper() {
        let adjusted = holm(&[0.01, 0.04, 0.03, 0.005]);
        let expected = [0.03, 0.06, 0.06, 0.02];
        assert!(adjusted.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{adjusted:?}");
    }

    proptest! {
        #[test]
        fn holm_lies_between_none_and_bonferroni_and_keeps_the_order(ps in prop::collection::vec(0.0_f64..1.0, 1..12)) {
            let adjusted = holm(&ps);
            for (i, (p, a)) in ps.iter().zip(&adjusted).enumerate() {
                prop_assert!(*a >= *p && *a <= (*p * ps.len() as f64).min(1.0) + 1e-12);
                for (j, other) in ps.iter().enumerate() {
                    prop_assert!(other < p || adjusted[j] >= adjusted[i], "{ps:?} {adjusted:?}");
                }
            }
        }
    }
}
