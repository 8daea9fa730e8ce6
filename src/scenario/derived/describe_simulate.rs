//! `[simulate]` in words.
//!
//! In: what takes time in virtual time. Out: a line for each thing.

use crate::scenario::keys::{Capacity, Delay, NetworkFault, Simulate, TimeStage};
use crate::units::{format_count, format_duration, format_share};

/// What is assumed to take time, a line for each assumption; `passes`: whether clients pass a stage.
#[must_use]
pub fn describe_simulate(simulate: &Simulate, passes: impl Fn(TimeStage) -> bool) -> Vec<String> {
    let stages: Vec<String> = TimeStage::ALL
        .into_iter()
        .filter(|stage| passes(*stage))
        .map(|stage| format!("{} {}", stage.name(), describe_delay(simulate.stages.get(stage))))
        .collect();
    let mut lines = Vec::new();
    if let Some((name, _)) = &simulate.service {
        lines.push(format!("the service is taken for one with the rules of the profile {name}"));
    }
    lines.push(stages.join(", "));
    for (endpoint, capacity) in [("token", &simulate.token), ("upgrade", &simulate.upgrade)] {
        if let Some(capacity) = capacity {
            lines.push(format!("{endpoint} requests: {}", describe_capacity(capacity)));
        }
    }
    lines.extend(simulate.faults.iter().map(describe_fault));
    lines
}

/// A distribution of delays.
#[must_use]
pub fn describe_delay(delay: Delay) -> String {
    match delay {
        Delay::None => "0".to_owned(),
        Delay::Constant(time) => format_duration(time),
        Delay::Uniform { low, high } => {
            format!("uniform {} to {}", format_duration(low), format_duration(high))
        }
        Delay::LogNormal { median, sigma } => {
            format!("log-normal of median {} and σ {sigma}", format_duration(median))
        }
        Delay::Exponential { mean } => format!("exponential of mean {}", format_duration(mean)),
    }
}

pub(super) fn describe_capacity(capacity: &Capacity) -> String {
    let Capacity { servers, service, queue, over_limit, abandoned } = capacity;
    format!(
        "{} at once, each takes {}; {} may wait, one more gets {}; those whose client has gone are {}",
        format_count(u64::from(*servers)),
        describe_delay(*service),
        format_count(u64::from(*queue)),
        over_limit.status,
        abandoned.name(),
    )
}

fn describe_fault(fault: &NetworkFault) -> String {
    let from = format_duration(fault.from);
    let when = match fault.until {
        Some(until) => format!("from {from} to {}", format_duration(until)),
        None if fault.from.is_zero() => "all the time".to_owned(),
        None => format!("from {from}"),
    };
    format!("{} at {}, {} of them, {when}", fault.kind.name(), fault.stage.name(), format_share(fault.share))
}
