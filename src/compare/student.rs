//! Student's t distribution: how surprising a difference is, and how wide its interval.
//!
//! In: a statistic or a probability, degrees of freedom. Out: a p-value or a quantile. The incomplete beta function is a library's; agreement with
//! SciPy is tested in `tests/interop`.

use statrs::function::beta::checked_beta_reg;

/// The two-sided p-value of `t` with `df` degrees of freedom: I(df/(df+t²); df/2, 1/2) (Abramowitz and Stegun 26.7.1 and 26.5.27).
#[must_use]
pub fn two_sided_p(t: f64, df: f64) -> f64 {
    if !t.is_finite() || !df.is_finite() || df <= 0.0 {
        return if t.is_infinite() { 0.0 } else { 1.0 };
    }
    checked_beta_reg(df / 2.0, 0.5, df / (df + t * t)).map_or(1.0, |p| p.clamp(0.0, 1.0))
}

/// The `t` whose two-sided p-value is `p` (0..1, not 0): by bisection, for the p-value falls as `t` grows.
#[must_use]
pub fn two_sided_t(p: f64, df: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while two_sided_p(high, df) > p && high < 1e12 {
        high *= 2.0;
    }
    // 200 halvings exhaust a double.
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if two_sided_p(middle, df) > p {
            low = middle;
        } else {
            high = middle;
        }
        if high - low <= f64::EPSILON * high {
            break;
        }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_the_distribution_are_met() {
        // (p, df, t), as printed tables have them.
        let rows = [
            (0.05, 1.0, 12.706_204_736),
            (0.05, 8.0, 2.306_004_135),
            (0.01, 8.0, 3.355_387_331),
            (0.001, 4.0, 8.610_301_581),
            (0.10, 30.0, 1.697_260_887),
            (0.01, 2.5, 7.163_728_139),
        ];
        for (p, df, t) in rows {
            assert!((two_sided_p(t, df) - p).abs() < 1e-6, "{p} {df}: {}", two_sided_p(t, df));
            assert!((two_sided_t(p, df) - t).abs() < 1e-7, "{p} {df}: {}", two_sided_t(p, df));
        }
    }

    #[test]
    fn extremes_do_not_panic() {
        assert_eq!(two_sided_p(f64::INFINITY, 4.0), 0.0);
        assert_eq!(two_sided_p(f64::NAN, 4.0), 1.0);
        assert_eq!(two_sided_p(0.0, 4.0), 1.0);
        assert!(two_sided_p(1e9, 1.0) > 0.0);
        assert!(two_sided_t(1e-9, 1.0).is_finite());
    }
}
