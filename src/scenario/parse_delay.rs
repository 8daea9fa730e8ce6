//! Distributions of delays become typed data, or faults.
//!
//! In: a table and a key. Out: a [`Delay`].

use std::time::Duration;

use super::model::Delay;
use super::reader::Table;

/// A distribution of delays; `None` where the key is absent or faulty.
pub(super) fn parse_delay(table: &Table<'_>, key: &str) -> Option<Delay> {
    let allowed = "\"5ms\", { uniform = [\"1ms\", \"9ms\"] }, { exponential = \"5ms\" } or { log_normal = { median = \"5ms\", sigma = 0.5 } } is needed";
    let value = table.get(key)?;
    if value.get_ref().as_str().is_some() {
        return table.duration(key).map(constant);
    }
    let Some(choice) = table.as_table(key, value) else {
        table.wrong(key, value, allowed);
        return None;
    };
    let uniform = choice.strings("uniform");
    let log_normal = choice.table("log_normal");
    let always = choice.duration("constant");
    let exponential = choice.positive_duration("exponential");
    choice.finish();
    match (uniform, log_normal, always, exponential) {
        (None, None, Some(time), None) => Some(constant(time)),
        (None, None, None, Some(mean)) => Some(Delay::Exponential { mean }),
        (Some(bounds), None, None, None) => parse_uniform(&choice, &bounds),
        (None, Some(inner), None, None) => {
            let median = inner.positive_duration("median");
            let sigma = inner.float("sigma", 0.0..=3.0);
            for key in ["median", "sigma"] {
                if inner.get(key).is_none() {
                    inner.missing(key, allowed);
                }
            }
            inner.finish();
            median.zip(sigma).map(|(median, sigma)| Delay::LogNormal { median, sigma })
        }
        _ => {
            table.wrong(key, value, allowed);
            None
        }
    }
}

fn constant(time: Duration) -> Delay {
    if time.is_zero() { Delay::None } else { Delay::Constant(time) }
}

fn parse_uniform(table: &Table<'_>, bounds: &[String]) -> Option<Delay> {
    let parsed: Vec<Duration> =
        bounds.iter().filter_map(|bound| crate::units::parse_duration(bound).ok()).collect();
    match parsed.as_slice() {
        [low, high] if low <= high && bounds.len() == 2 => Some(Delay::Uniform { low: *low, high: *high }),
        _ => {
            let message = format!("`{}` is no range of durations", table.path_of("uniform"));
            table.fault(
                table.span_of("uniform"),
                message,
                "two durations are needed, the lesser first: [\"1ms\", \"9ms\"]",
            );
            None
        }
    }
}
