//! What a sweep looks at: one number of a run.
//!
//! In: a name as `reconnect_latency.p99`, and a run. Out: its value, which may lie beyond what was seen; `None` where the run has no sample of it.
//!
//! | name | is |
//! |---|---|
//! | `recovery.pN` | until N % of all clients that were cut off were back: by storms where there are any, else by anything |
//! | a time's name with `.pN`, `.min`, `.mean`, `.max`, `.count` | as a threshold has it |
//! | a share's name | 0..1 |
//! | a count's name with `.count`, `.rate`, `.peak` | in all, per second of the run, and in its busiest second; also of `attempts` and `token_requests`, whose busiest second leaves out the requests with which a fleet begins |
//! | `availability` | client-seconds in over client-seconds wanted |
//! | `outages`, `outage_cost` | how many there were, and the client-seconds that all of them cost |
//! | `outage_recovery.pN` | until N % of those who were lost were back, of the outage that took the longest; 0 where there was none |
//!
//! `{group:NAME}` before the point limits it to a group.

use crate::compare::values_needed;
use crate::record::{PackedTally, Quantile, Reconnects, Tally, share_of, success_of};
use crate::report::RunModel;
use crate::report::html::Unit;
use crate::sample::{Counter, Metric};
use crate::scenario::keys::ShareOf;
use crate::scenario::{share_named, share_names};
use crate::units::{
    format_availability, format_count, format_share, format_us, parse_duration, parse_rate, parse_share,
};

use super::measured::Measured;

/// How the recovery is called.
const RECOVERY: &str = "recovery";
/// How the recovery from outages is called.
const OUTAGE_RECOVERY: &str = "outage_recovery";
/// What is no count and has no percentiles.
const PLAIN: [(&str, Subject); 3] = [
    ("availability", Subject::Availability),
    ("outages", Subject::Outages(OfOutages::Number)),
    ("outage_cost", Subject::Outages(OfOutages::Cost)),
];

/// What a number is taken of.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Subject {
    /// Until this share (0..1) of those that were cut off was back.
    Recovery(f64),
    /// A metric, and which number of it.
    Metric(Metric, Number),
    /// A share of attempts.
    Share(ShareOf),
    /// A count, and which number of it.
    Count(Counted, Rate),
    /// Client-seconds in over client-seconds wanted.
    Availability,
    /// A number of the outages.
    Outages(OfOutages),
}

/// A number of outages.
#[derive(Debug, Clone, Copy, PartialEq)]
enum OfOutages {
    Number,
    /// Client-seconds of all of them.
    Cost,
    /// Until this percentage (0..100) was back from the one that took the longest.
    Recovery(f64),
}

/// A number of a histogram.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Number {
    Percentile(f64),
    Min,
    Mean,
    Count,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counted {
    Counter(Counter),
    Attempts,
    /// Tokens fetched, and requests for one that failed.
    TokenRequests,
}

/// A number of a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rate {
    Count,
    PerSecond,
    Peak,
}

/// One number of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Measure {
    /// As written.
    pub name: String,
    group: Option<String>,
    subject: Subject,
}

/// What is to be as low or as high as can be.
#[derive(Debug, Clone, PartialEq)]
pub struct Goal {
    /// The number.
    pub measure: Measure,
    /// Whether the highest is the best.
    pub is_highest: bool,
}

/// What a point must hold to be among the good ones.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// The number.
    pub measure: Measure,
    /// Whether it is to be below the limit; else above it.
    is_below: bool,
    /// Whether the limit itself will do.
    with_limit: bool,
    /// The limit: microseconds, a share 0..1, per second, or a count.
    pub limit: f64,
    /// As written.
    pub source: String,
}

/// Parses `reconnect_latency.p99` or `recovery.p99{group:a}`, with `lowest` or `highest` before it; by itself the better end: high for
/// `reconnect_success_rate` and `availability`, low for anything else.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn parse_goal(text: &str) -> Result<Goal, String> {
    let (end, name) = match text.trim().split_once(char::is_whitespace) {
        Some(("highest", name)) => (Some(true), name),
        Some(("lowest", name)) => (Some(false), name),
        Some((word, _)) => return Err(format!("`{word}` is neither lowest nor highest")),
        None => (None, text),
    };
    let measure = parse_measure(name)?;
    let is_better_high =
        matches!(measure.subject, Subject::Share(ShareOf::ReconnectSuccess) | Subject::Availability);
    let is_highest = end.unwrap_or(is_better_high);
    Ok(Goal { measure, is_highest })
}

/// Parses `token_requests.peak < 2000/s`.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn parse_condition(text: &str) -> Result<Condition, String> {
    let at =
        text.find(['<', '>']).ok_or("a condition is MEASURE < LIMIT, as token_requests.peak < 2000/s")?;
    let (name, rest) = text.split_at(at);
    let measure = parse_measure(name)?;
    let is_below = rest.starts_with('<');
    let (with_limit, limit) = match rest[1..].strip_prefix('=') {
        Some(limit) => (true, limit),
        None => (false, &rest[1..]),
    };
    let limit = measure.parse_limit(limit.trim())?;
    Ok(Condition { measure, is_below, with_limit, limit, source: text.trim().to_owned() })
}

fn parse_measure(text: &str) -> Result<Measure, String> {
    let text = text.trim();
    let (bare, group) = match text.split_once('{') {
        None => (text.to_owned(), None),
        Some((before, rest)) => {
            let (selector, after) = rest.split_once('}').ok_or("a selector is {group:NAME}")?;
            let group = selector.trim().strip_prefix("group:").map(str::trim).filter(|name| !name.is_empty());
            (format!("{before}{after}"), Some(group.ok_or("a selector is {group:NAME}")?.to_owned()))
        }
    };
    let (name, number) = match bare.split_once('.') {
        Some((name, number)) => (name, Some(number)),
        None => (bare.as_str(), None),
    };
    Ok(Measure { name: text.to_owned(), group, subject: parse_subject(name, number)? })
}

fn parse_subject(name: &str, number: Option<&str>) -> Result<Subject, String> {
    if name == RECOVERY {
        let share =
            number.and_then(percentile).ok_or("recovery has pN, as recovery.p99: until 99 % were back")?;
        return Ok(Subject::Recovery(share / 100.0));
    }
    if name == OUTAGE_RECOVERY {
        let percentage = number.and_then(percentile);
        let percentage =
            percentage.ok_or("outage_recovery has pN, as outage_recovery.p95: until 95 % were back")?;
        return Ok(Subject::Outages(OfOutages::Recovery(percentage)));
    }
    if let Some((_, subject)) = PLAIN.iter().find(|(plain, _)| *plain == name) {
        return match number {
            None => Ok(*subject),
            Some(other) => Err(format!("{name} is one number: it has no {other}")),
        };
    }
    if let Some(share) = share_named(name) {
        return match number {
            None | Some("rate") => Ok(Subject::Share(share)),
            Some(other) => Err(format!("{name} is a share: it has no {other}")),
        };
    }
    if let Some(metric) = Metric::from_name(name) {
        let number = match number {
            Some("min") => Some(Number::Min),
            Some("mean") => Some(Number::Mean),
            Some("max") => Some(Number::Percentile(100.0)),
            Some("count") => Some(Number::Count),
            other => other.and_then(percentile).map(Number::Percentile),
        };
        let number =
            number.ok_or_else(|| format!("{name} has pN, min, mean, max and count, as {name}.p99"))?;
        return Ok(Subject::Metric(metric, number));
    }
    let counted = match name {
        "attempts" => Some(Counted::Attempts),
        "token_requests" => Some(Counted::TokenRequests),
        _ => Counter::from_name(name).map(Counted::Counter),
    };
    let counted =
        counted.ok_or_else(|| format!("there is no measure `{name}`; there are {}", names().join(", ")))?;
    let rate = match number {
        Some("count") => Rate::Count,
        Some("rate") => Rate::PerSecond,
        Some("peak") => Rate::Peak,
        _ => return Err(format!("{name} has count, rate and peak (in its busiest second), as {name}.peak")),
    };
    Ok(Subject::Count(counted, rate))
}

fn names() -> Vec<&'static str> {
    let metrics = Metric::ALL.iter().map(|metric| metric.name());
    let counters = Counter::ALL.iter().map(|counter| counter.name());
    [RECOVERY, OUTAGE_RECOVERY]
        .into_iter()
        .chain(PLAIN.map(|(name, _)| name))
        .chain(metrics)
        .chain(share_names())
        .chain(["attempts", "token_requests"])
        .chain(counters)
        .collect()
}

/// `p99.9`, as a number in (0, 100].
fn percentile(text: &str) -> Option<f64> {
    let number = text.strip_prefix('p')?.replace('_', ".").parse::<f64>().ok()?;
    (number > 0.0 && number <= 100.0).then_some(number)
}

impl Measure {
    /// In which unit its values are.
    #[must_use]
    pub const fn unit(&self) -> Unit {
        match self.subject {
            Subject::Recovery(_) | Subject::Outages(OfOutages::Recovery(_)) => Unit::Us,
            Subject::Metric(metric, Number::Percentile(_) | Number::Min | Number::Mean)
                if metric.is_time() =>
            {
                Unit::Us
            }
            Subject::Share(_) | Subject::Availability => Unit::Share,
            Subject::Count(_, Rate::PerSecond | Rate::Peak) => Unit::PerSecond,
            Subject::Metric(..) | Subject::Count(_, Rate::Count) | Subject::Outages(_) => Unit::Count,
        }
    }

    /// Its value for people.
    #[must_use]
    pub fn words(&self, measured: Measured) -> String {
        match measured {
            Measured::Value(value) => self.value_words(value),
            Measured::Beyond(least) => format!("> {}", self.value_words(least)),
        }
    }

    fn value_words(&self, value: f64) -> String {
        match self.unit() {
            Unit::Us => format_us(value as u64),
            Unit::Share if self.subject == Subject::Availability => format_availability(value),
            Unit::Share => format_share(value),
            Unit::PerSecond if value >= 100.0 => format!("{}/s", format_count(value.round() as u64)),
            Unit::PerSecond => format!("{value:.1}/s"),
            Unit::Count | Unit::Number | Unit::Bytes if value.fract() > 0.0 => format!("{value:.1}"),
            Unit::Count | Unit::Number | Unit::Bytes => format_count(value as u64),
        }
    }

    fn parse_limit(&self, text: &str) -> Result<f64, String> {
        let told =
            |error: &dyn std::fmt::Display| format!("\"{text}\" is no limit for {}: {error}", self.name);
        match self.unit() {
            Unit::Us => {
                parse_duration(text).map(|limit| limit.as_secs_f64() * 1e6).map_err(|error| told(&error))
            }
            Unit::Share => parse_share(text).map_err(|error| told(&error)),
            Unit::PerSecond => parse_rate(text).map_err(|error| told(&error)),
            Unit::Count | Unit::Number | Unit::Bytes => {
                let number = text.replace('_', "").parse::<f64>().ok();
                let number = number.filter(|number| *number >= 0.0 && number.is_finite());
                number.ok_or_else(|| told(&"a number is needed, as 100"))
            }
        }
    }

    /// Its value in a run; `None` where there is no sample, or nobody was cut off.
    #[must_use]
    pub fn value(&self, run: &RunModel) -> Option<Measured> {
        let group = match &self.group {
            None => None,
            Some(name) => Some(run.manifest.groups.iter().position(|group| group.name == *name)?),
        };
        let tally = group.map_or(Some(&run.all), |group| run.totals.get(group))?;
        match self.subject {
            Subject::Recovery(share) => run.recovered_us(group, share).map(Measured::from),
            Subject::Metric(Metric::ReconnectLatency, Number::Percentile(percentile)) => {
                Reconnects::of(tally).percentile(percentile).map(Measured::from)
            }
            Subject::Outages(of) => outages_value(run, group, of),
            _ => self.seen_value(run, group, tally).map(Measured::Value),
        }
    }

    fn seen_value(&self, run: &RunModel, group: Option<usize>, tally: &Tally) -> Option<f64> {
        match self.subject {
            Subject::Recovery(_) | Subject::Outages(_) => None,
            Subject::Availability => {
                run.availability.get(group.unwrap_or(run.totals.len())).and_then(|own| own.all.share())
            }
            Subject::Metric(metric, number) => {
                let histogram = tally.histograms.get(&metric).filter(|histogram| histogram.count() > 0)?;
                Some(match number {
                    Number::Percentile(percentile) => histogram.percentile_us(percentile) as f64,
                    Number::Min => histogram.min_us() as f64,
                    Number::Mean => histogram.mean_us(),
                    Number::Count => histogram.count() as f64,
                })
            }
            Subject::Share(share) => {
                let (part, whole) = match (share, group) {
                    (ShareOf::ReconnectSuccess, None) => success_of(&run.totals),
                    _ => share_of(share, tally),
                };
                (whole > 0).then(|| part as f64 / whole as f64)
            }
            Subject::Count(counted, Rate::Count) => Some(count(counted, tally) as f64),
            Subject::Count(counted, Rate::PerSecond) => {
                (run.elapsed_s > 0.0).then(|| count(counted, tally) as f64 / run.elapsed_s)
            }
            Subject::Count(counted, Rate::Peak) => Some(peak(run, group, counted)),
        }
    }

    /// That a percentile rests on too few values of a run: how many there are, and how many it needs.
    #[must_use]
    pub fn too_few(&self, run: &RunModel) -> Option<(u64, u64)> {
        let group = self.group.as_deref();
        let tally = match group {
            None => &run.all,
            Some(name) => run.groups().find(|(own, _)| *own == name)?.1,
        };
        let (percentile, has) = match self.subject {
            Subject::Recovery(share) => (100.0 * share, tally.counter(Counter::Disconnects)),
            Subject::Metric(metric, Number::Percentile(percentile)) if metric.is_time() => {
                (percentile, tally.histograms.get(&metric).map_or(0, |histogram| histogram.count()))
            }
            _ => return None,
        };
        let needs = values_needed(percentile)?;
        (has > 0 && has < needs).then_some((has, needs))
    }

    /// Whether the group that it names is there.
    #[must_use]
    pub fn fits(&self, groups: &[&str]) -> bool {
        self.group.as_deref().is_none_or(|name| groups.contains(&name))
    }
}

fn count(counted: Counted, tally: &Tally) -> u64 {
    match counted {
        Counted::Counter(counter) => tally.counter(counter),
        Counted::Attempts => tally.attempts_total(),
        Counted::TokenRequests => {
            tally.counter(Counter::TokensFetched) + tally.counter(Counter::TokenFailures)
        }
    }
}

/// A number of the outages of a group, or of all; `None` where they were not recorded.
fn outages_value(run: &RunModel, group: Option<usize>, of: OfOutages) -> Option<Measured> {
    run.availability.last()?.all.share()?;
    let own = || run.outages.iter().filter_map(|outage| outage.of(group));
    Some(match of {
        OfOutages::Number => Measured::Value(own().count() as f64),
        OfOutages::Cost => {
            let ns: u128 = own().map(|outage| u128::from(outage.cost_ns)).sum();
            Measured::Value(ns as f64 / 1e9)
        }
        OfOutages::Recovery(percentage) => {
            let times: Vec<Quantile> = own().filter_map(|outage| outage.back_us(percentage)).collect();
            let longest = times.iter().map(|time| time.least_us()).max().unwrap_or(0) as f64;
            let is_beyond = times.iter().any(|time| time.beyond_us().is_some());
            if is_beyond { Measured::Beyond(longest) } else { Measured::Value(longest) }
        }
    })
}

/// The largest count in a second.
fn peak(run: &RunModel, group: Option<usize>, counted: Counted) -> f64 {
    if counted == Counted::TokenRequests {
        return run.token_requests_peak(group) as f64;
    }
    let in_second = |tallies: &[PackedTally]| -> u64 {
        let own = tallies.iter().enumerate().filter(|(index, _)| group.is_none_or(|group| group == *index));
        own.map(|(_, tally)| count(counted, &tally.unpack_counts())).sum()
    };
    run.seconds.iter().map(|(_, tallies)| in_second(tallies)).max().unwrap_or(0) as f64
}

impl Goal {
    /// What is sought, in words.
    #[must_use]
    pub fn words(&self) -> String {
        format!("{} {}", if self.is_highest { "highest" } else { "lowest" }, self.measure.name)
    }
}

impl Condition {
    /// Whether what was measured holds it. A time beyond what was seen is below nothing.
    #[must_use]
    pub fn holds(&self, measured: Measured) -> bool {
        let value = match measured {
            Measured::Value(value) => value,
            Measured::Beyond(least) => return !self.is_below && least >= self.limit,
        };
        let strictly = if self.is_below { value < self.limit } else { value > self.limit };
        strictly || self.with_limit && value == self.limit
    }
}

#[cfg(test)]
#[path = "measure_tests.rs"]
mod tests;
