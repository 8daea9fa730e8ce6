//! Distributions of delays.
//!
//! In: `"5ms"`, or a table with a distribution. Out: a [`Delay`].

use std::time::Duration;

use crate::declare::{At, Choices, Kind, Shape, Value, above_zero, duration, list, number, of, table, then};
use crate::random::Random;
use crate::units::format_duration;

/// A distribution of delays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Delay {
    /// No delay.
    None,
    /// Always the same: `"5ms"`.
    Constant(Duration),
    /// Uniform: `{ uniform = ["1ms", "9ms"] }`.
    Uniform {
        /// The least.
        low: Duration,
        /// The most.
        high: Duration,
    },
    /// Log-normal: `{ log_normal = { median = "5ms", sigma = 0.5 } }`.
    LogNormal {
        /// The median.
        median: Duration,
        /// Standard deviation of the logarithm, at most 3.
        sigma: f64,
    },
    /// Exponential: `{ exponential = "5ms" }`.
    Exponential {
        /// The mean.
        mean: Duration,
    },
}

impl Delay {
    /// The next delay of the distribution.
    pub fn draw(self, draws: &mut impl Random) -> Duration {
        match self {
            Self::None => Duration::ZERO,
            Self::Constant(time) => time,
            Self::Uniform { low, high } => low + high.saturating_sub(low).mul_f64(draws.next_unit()),
            Self::LogNormal { median, sigma } => {
                let factor = (sigma * draws.next_normal()).exp();
                Duration::try_from_secs_f64(median.as_secs_f64() * factor).unwrap_or(Duration::MAX)
            }
            Self::Exponential { mean } => {
                let factor = -(1.0 - draws.next_unit()).ln();
                Duration::try_from_secs_f64(mean.as_secs_f64() * factor).unwrap_or(Duration::MAX)
            }
        }
    }
}

table! {
    /// A log-normal distribution.
    #[derive(Copy)]
    pub struct LogNormal {
        /// The median.
        median: Duration, needed "{ log_normal = { median = \"5ms\", sigma = 0.5 } } is needed" => above_zero();
        /// Standard deviation of the logarithm.
        sigma: f64, needed "{ log_normal = { median = \"5ms\", sigma = 0.5 } } is needed" => number(0.0..=3.0);
    }
}

const ALLOWED: &str = "\"5ms\", { uniform = [\"1ms\", \"9ms\"] }, { exponential = \"5ms\" } or { log_normal = { median = \"5ms\", sigma = 0.5 } } is needed";

/// Two durations, the lesser first.
pub(crate) fn span_of_time() -> impl Kind<Out = (Duration, Duration)> {
    let two = "two durations are needed, the lesser first: [\"1ms\", \"9ms\"]";
    then(list(duration(), two).least(2).most(2), move |bounds: Vec<Duration>, at: &At<'_>| {
        match bounds.as_slice() {
            [low, high] if low <= high => Some((*low, *high)),
            [_, _] => {
                at.between(format!("`{}` is no range of durations", at.path), two);
                None
            }
            _ => None,
        }
    })
}

fn constant(time: Duration) -> Delay {
    if time.is_zero() { Delay::None } else { Delay::Constant(time) }
}

fn choices() -> Choices<Delay> {
    Choices::new(ALLOWED)
        .plain(duration(), constant)
        .key("constant", "Always the same.", duration(), constant)
        .key("uniform", "Every delay between two is as likely.", span_of_time(), |(low, high)| {
            Delay::Uniform { low, high }
        })
        .key("exponential", "Exponential, of this mean.", above_zero(), |mean| Delay::Exponential { mean })
        .key("log_normal", "Log-normal.", of(), |LogNormal { median, sigma }| Delay::LogNormal {
            median,
            sigma,
        })
}

impl Value for Delay {
    fn shape() -> Shape {
        choices().shape()
    }

    fn read(at: &At<'_>) -> Option<Self> {
        choices().read(at)
    }

    fn write(&self) -> Option<String> {
        match self {
            Self::None => Some("\"0s\"".to_owned()),
            Self::Constant(time) => Some(format!("\"{}\"", format_duration(*time))),
            Self::Uniform { .. } | Self::LogNormal { .. } | Self::Exponential { .. } => None,
        }
    }
}
