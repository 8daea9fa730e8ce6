//! How long an answer is held back.
//!
//! In: a [`Delay`] and a stream of draws. Out: a duration. Never waits itself.

use std::time::Duration;

use crate::random::Random;
use crate::scenario::keys::Delay;

/// The next delay of the distribution `delay`.
pub fn sample(delay: Delay, draws: &mut impl Random) -> Duration {
    delay.draw(draws)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Draws, Purpose};

    /// 10,000 delays, sorted, in milliseconds.
    fn sorted_ms(delay: Delay) -> Vec<f64> {
        let mut draws = Draws::new(5, Purpose::TargetDelay, 0);
        let mut all: Vec<f64> =
            (0..10_000).map(|_| sample(delay, &mut draws).as_secs_f64() * 1_000.0).collect();
        all.sort_by(f64::total_cmp);
        all
    }

    #[test]
    fn delays_have_the_quantiles_of_their_distribution() {
        let ms = Duration::from_millis;
        let near = |value: f64, expected: f64| {
            assert!((value - expected).abs() <= expected * 0.05 + 1e-9, "{value} is not about {expected}");
        };
        let constant = sorted_ms(Delay::Constant(ms(5)));
        near(constant[0], 5.0);
        near(constant[9_999], 5.0);
        let uniform = sorted_ms(Delay::Uniform { low: ms(10), high: ms(20) });
        near(uniform[5_000], 15.0);
        assert!(uniform[0] >= 10.0 && uniform[9_999] < 20.0);
        let log_normal = sorted_ms(Delay::LogNormal { median: ms(5), sigma: 0.5 });
        near(log_normal[5_000], 5.0);
        // The 99th percentile of the standard normal distribution is 2.3263.
        near(log_normal[9_900], 5.0 * (0.5_f64 * 2.3263).exp());
        let exponential = sorted_ms(Delay::Exponential { mean: ms(5) });
        near(exponential[5_000], 5.0 * 2.0_f64.ln());
        near(exponential[9_500], 5.0 * 20.0_f64.ln());
        assert_eq!(sorted_ms(Delay::None)[9_999], 0.0);
    }

    #[test]
    fn an_absurd_delay_saturates() {
        let mut draws = Draws::new(5, Purpose::TargetDelay, 0);
        let delay = Delay::LogNormal { median: Duration::MAX, sigma: 3.0 };
        let longest = (0..20).map(|_| sample(delay, &mut draws)).max();
        assert_eq!(longest, Some(Duration::MAX));
    }
}
