//! Differences of shares: judged as angles, told in points.
//!
//! In: the shares of both sides, and how uncertain their angles are. Out: bounds around the difference that never lie beyond −100 or +100 points.
//!
//! A share is looked at as asin √p, whose variance is that of the number of trials, whatever the share (Anscombe 1948, Biometrika 35, 246): so the spread from run to run can be
//! compared with what chance alone makes of so many trials, and the larger of both is taken. The bounds of each side's share are put together to those of the difference by the
//! method of variance estimates recovery (Zou and Donner 2008, Stat. Med. 27, 1693), as Newcombe 1998, Stat. Med. 17, 873, does it with score intervals.

use std::f64::consts::FRAC_PI_2;

/// The shares of both sides, baseline first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SharePair {
    /// As they are, 0..1.
    pub shares: (f64, f64),
    /// As angles.
    pub angles: (f64, f64),
    /// Variances of the angles.
    pub variances: (f64, f64),
}

/// A share (0..1) as an angle; `trials`: of how many, where it is of such (Anscombe's correction).
pub(super) fn angle(share: f64, trials: Option<u64>) -> f64 {
    let corrected = trials.map_or(share, |trials| {
        let trials = trials as f64;
        (share * trials + 0.375) / (trials + 0.75)
    });
    corrected.clamp(0.0, 1.0).sqrt().asin()
}

/// The variance of the angle of so many independent trials.
pub(super) fn chance_variance(trials: u64) -> f64 {
    1.0 / (4.0 * trials as f64 + 2.0)
}

/// The share of an angle.
fn share_of(angle: f64) -> f64 {
    angle.clamp(0.0, FRAC_PI_2).sin().powi(2)
}

impl SharePair {
    /// Candidate less baseline.
    #[must_use]
    pub const fn difference(&self) -> f64 {
        self.shares.1 - self.shares.0
    }

    /// Bounds around the difference, each side's share being within `t` standard errors of its angle.
    #[must_use]
    pub fn bounds(&self, t: f64) -> (f64, f64) {
        let below_and_above = |share: f64, angle: f64, variance: f64| {
            let reach = t * variance.sqrt();
            ((share - share_of(angle - reach)).max(0.0), (share_of(angle + reach) - share).max(0.0))
        };
        let (below_a, above_a) = below_and_above(self.shares.0, self.angles.0, self.variances.0);
        let (below_b, above_b) = below_and_above(self.shares.1, self.angles.1, self.variances.1);
        (self.difference() - below_b.hypot(above_a), self.difference() + above_b.hypot(below_a))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_angle_of_a_share_and_back() {
        for share in [0.0, 0.01, 0.25, 0.5, 0.99, 1.0] {
            assert!((share_of(angle(share, None)) - share).abs() < 1e-12, "{share}");
        }
        // asin √((3 + 3/8) / (20 + 3/4))
        assert!((angle(0.15, Some(20)) - 0.415_119_893).abs() < 1e-7, "{}", angle(0.15, Some(20)));
        assert!((chance_variance(20) - 1.0 / 82.0).abs() < 1e-15);
    }

    /// Newcombe 1998, table II: 56 of 70 against 48 of 80 is 0.2000, 95 % from 0.0524 to 0.3339 by his method 10; the angle's interval is close to the score's.
    #[test]
    fn bounds_are_near_those_of_newcombe() {
        let trials = (80_u64, 70_u64);
        let shares = (48.0 / 80.0, 56.0 / 70.0);
        let pair = SharePair {
            shares,
            angles: (angle(shares.0, Some(trials.0)), angle(shares.1, Some(trials.1))),
            variances: (chance_variance(trials.0), chance_variance(trials.1)),
        };
        let (low, high) = pair.bounds(1.959_964);
        assert!((low - 0.0524).abs() < 0.005 && (high - 0.3339).abs() < 0.005, "{low} {high}");
    }

    proptest! {
        #[test]
        fn bounds_hold_the_difference_and_lie_within_a_hundred_points(
            a in 0.0_f64..=1.0, b in 0.0_f64..=1.0, trials in (1_u64..5_000, 1_u64..5_000), times in 1.0_f64..50.0, t in 0.0_f64..15.0,
        ) {
            let pair = SharePair {
                shares: (a, b),
                angles: (angle(a, Some(trials.0)), angle(b, Some(trials.1))),
                variances: (times * chance_variance(trials.0), times * chance_variance(trials.1)),
            };
            let (low, high) = pair.bounds(t);
            prop_assert!((-1.0..=1.0).contains(&low) && (-1.0..=1.0).contains(&high), "{low} {high}");
            prop_assert!(low <= b - a && b - a <= high, "{low} {high}");
        }
    }
}
