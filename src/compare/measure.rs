//! What is compared: quantities of a group, which way is better, and how large a difference has to be to matter.
//!
//! In: what the user settled. Out: the list of measures, the same for every comparison. Nothing is computed here.

use std::collections::BTreeSet;

use crate::sample::Metric;
use crate::units::{parse_duration, parse_share};

use super::outages::MOST_OUTAGES;

/// A share of attempts or reconnects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShareKind {
    /// 403s over the handshakes that were answered.
    Refused403,
    /// Failed attempts over all.
    AttemptFailure,
    /// Reconnects that ended in a ready session, over all that ended.
    ReconnectSuccess,
}

/// A number of a run as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunNumber {
    /// CPU time of the generator, in seconds.
    CpuSeconds,
    /// Largest resident memory of the generator, in bytes.
    MaxRssBytes,
}

/// A number of all outages of a run together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfAllOutages {
    /// How many there were.
    Number,
    /// Client-seconds that they cost; 0 where there was none.
    Cost,
}

/// A number of one outage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum OfOutage {
    /// Microseconds from the first loss until this percentage (0..100) of those who were lost were back.
    Recovery(f64),
    /// Client-seconds that it cost.
    Cost,
    /// How many clients were lost.
    Lost,
}

/// A quantity of a group, or of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Quantity {
    /// A percentile (0..100) of a metric, in microseconds.
    Percentile(Metric, f64),
    /// A share, 0..1.
    Share(ShareKind),
    /// Completed reconnects per second of the run.
    ReconnectsPerSecond,
    /// Tokens fetched for reconnects, over completed reconnects.
    TokensPerReconnect,
    /// A number of the run as a whole, not of a group.
    Run(RunNumber),
    /// Client-seconds in over client-seconds wanted, 0..1.
    Availability,
    /// A number of all outages of a run.
    Outages(OfAllOutages),
    /// A percentile (0..100) of the latency of [`Measure::exchange`], in microseconds.
    Exchange(f64),
    /// A number of an outage, by its order in the run, from 0.
    Outage(usize, OfOutage),
    /// The most token requests in a second of a run.
    TokenRequestsPeak,
    /// Microseconds until this percentage (0..100) of those whom storms cut off was back.
    StormRecovery(f64),
}

/// In what a value is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Microseconds.
    Us,
    /// A share, 0..1.
    Share,
    /// Per second.
    PerSecond,
    /// A plain number.
    Number,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// Client-seconds.
    ClientSeconds,
}

impl Unit {
    /// The name that files use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Us => "us",
            Self::Share => "share",
            Self::PerSecond => "per_s",
            Self::Number => "number",
            Self::Seconds => "s",
            Self::Bytes => "bytes",
            Self::ClientSeconds => "client_s",
        }
    }
}

/// The least difference that matters: both parts must be reached.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MinEffect {
    /// Relative to the baseline, 0..; of the availability, to what it lacks of 1.
    pub relative: f64,
    /// In the measure's own unit.
    pub absolute: f64,
}

impl MinEffect {
    /// The least difference that matters from `baseline` on, in its unit.
    #[must_use]
    pub const fn from(self, baseline: f64) -> f64 {
        let relative = self.relative * baseline.abs();
        if relative > self.absolute { relative } else { self.absolute }
    }
}

/// One thing that is compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Measure {
    /// Its name, as `reconnect_latency.p99`.
    pub name: String,
    /// What it is.
    pub quantity: Quantity,
    /// Of which exchange, where it is of one.
    pub exchange: Option<String>,
    /// Whether less is better.
    pub less_is_better: bool,
    /// Whether the overall verdict depends on it; else it explains.
    pub decides: bool,
    /// The least difference that matters.
    pub min_effect: MinEffect,
}

impl Measure {
    /// In what its values are given.
    #[must_use]
    pub const fn unit(&self) -> Unit {
        match self.quantity {
            Quantity::Percentile(..)
            | Quantity::Exchange(_)
            | Quantity::StormRecovery(_)
            | Quantity::Outage(_, OfOutage::Recovery(_)) => Unit::Us,
            Quantity::Share(_) | Quantity::Availability => Unit::Share,
            Quantity::ReconnectsPerSecond | Quantity::TokenRequestsPeak => Unit::PerSecond,
            Quantity::TokensPerReconnect
            | Quantity::Outages(OfAllOutages::Number)
            | Quantity::Outage(_, OfOutage::Lost) => Unit::Number,
            Quantity::Outages(OfAllOutages::Cost) | Quantity::Outage(_, OfOutage::Cost) => {
                Unit::ClientSeconds
            }
            Quantity::Run(RunNumber::CpuSeconds) => Unit::Seconds,
            Quantity::Run(RunNumber::MaxRssBytes) => Unit::Bytes,
        }
    }

    /// Whether differences are looked at as ratios, on the logarithmic scale; else as they are.
    #[must_use]
    pub const fn is_ratio(&self) -> bool {
        !self.is_share() && !matches!(self.quantity, Quantity::Outages(_))
    }

    /// Whether it is a part of a whole: differences are told in points, and judged as angles.
    #[must_use]
    pub const fn is_share(&self) -> bool {
        matches!(self.quantity, Quantity::Share(_) | Quantity::Availability)
    }

    /// Of what it is a share.
    #[must_use]
    pub const fn whole(&self) -> Option<&'static str> {
        match self.quantity {
            Quantity::Share(ShareKind::Refused403) => Some("answered handshakes"),
            Quantity::Share(ShareKind::AttemptFailure) => Some("attempts"),
            Quantity::Share(ShareKind::ReconnectSuccess) => Some("reconnects that ended"),
            Quantity::Availability => Some("client-seconds wanted"),
            _ => None,
        }
    }

    /// Whether it is of storms or of the busiest second: what a setting that spreads reconnects buys. A comparison always shows it.
    #[must_use]
    pub const fn is_of_storms(&self) -> bool {
        matches!(self.quantity, Quantity::TokenRequestsPeak | Quantity::StormRecovery(_))
    }

    /// Whether it is of outages or of the availability: of runs of before, nothing of it is known.
    #[must_use]
    pub const fn is_of_outages(&self) -> bool {
        matches!(self.quantity, Quantity::Availability | Quantity::Outages(_) | Quantity::Outage(..))
    }

    /// The least difference that matters from `baseline` on, in its unit. Of the availability, what matters is the time that clients were out: its relative
    /// part is of that.
    #[must_use]
    pub const fn least_effect(&self, baseline: f64) -> f64 {
        match self.quantity {
            Quantity::Availability => self.min_effect.from(1.0 - baseline),
            _ => self.min_effect.from(baseline),
        }
    }
}

/// Least relative difference of times and rates.
pub(super) const MIN_RELATIVE: f64 = 0.05;
/// Least absolute difference of times, in microseconds.
pub(super) const MIN_US: f64 = 1_000.0;
/// Least absolute difference of shares.
const MIN_SHARE: f64 = 0.005;
/// Of the availability: a tenth of a point, from 99.9 % to 99.8 %.
const MIN_AVAILABILITY: f64 = 0.001;
/// Of the number of outages: one more in every second run.
const MIN_OUTAGES: f64 = 0.5;
/// Of what outages cost, in client-seconds.
const MIN_COST_S: f64 = 1.0;

const RECONNECT: &[(f64, bool)] =
    &[(50.0, true), (90.0, false), (95.0, true), (99.0, true), (99.9, false), (100.0, false)];
const WAYS_IN: &[(f64, bool)] = &[(50.0, true), (90.0, false), (95.0, false), (99.0, false)];
const MESSAGES: &[(f64, bool)] = &[(50.0, false), (95.0, false), (99.0, true)];
const EXPLAINING: &[(f64, bool)] = &[(50.0, false), (99.0, false)];

/// The metrics, each with its percentiles and whether they decide. What decides is what users feel, once: a measure more would cost power
/// (every test makes all others stricter) and hardly add anything. So throughput does not decide: it follows from latencies and failures.
const METRICS: &[(Metric, &[(f64, bool)])] = &[
    (Metric::ReconnectLatency, RECONNECT),
    (Metric::ConnectLatency, WAYS_IN),
    (Metric::RefusedLatency, WAYS_IN),
    (Metric::MessageLatency, MESSAGES),
    (Metric::ReconnectServiceTime, EXPLAINING),
    (Metric::PhaseDetect, EXPLAINING),
    (Metric::PhaseBackoff, EXPLAINING),
    (Metric::PhaseToken, EXPLAINING),
    (Metric::PhaseDns, EXPLAINING),
    (Metric::PhaseTcp, EXPLAINING),
    (Metric::PhaseTls, EXPLAINING),
    (Metric::PhaseUpgrade, EXPLAINING),
    (Metric::PhaseReady, EXPLAINING),
    (Metric::PhaseMint, EXPLAINING),
    (Metric::Lag, EXPLAINING),
];

/// The metrics that comparisons look at; a baseline keeps these.
pub fn compared_metrics() -> impl Iterator<Item = Metric> {
    METRICS.iter().map(|(metric, _)| *metric)
}

/// Everything that is compared, with the defaults.
#[must_use]
pub fn measures() -> Vec<Measure> {
    let times = METRICS.iter().flat_map(|(metric, percentiles)| {
        percentiles.iter().map(move |(percentile, decides)| Measure {
            name: format!("{metric}.{}", percentile_name(*percentile)),
            quantity: Quantity::Percentile(*metric, *percentile),
            exchange: None,
            less_is_better: true,
            decides: *decides,
            min_effect: MinEffect { relative: MIN_RELATIVE, absolute: MIN_US },
        })
    });
    let share = |name: &str, kind, less_is_better| Measure {
        name: name.to_owned(),
        quantity: Quantity::Share(kind),
        exchange: None,
        less_is_better,
        decides: true,
        min_effect: MinEffect { relative: 0.0, absolute: MIN_SHARE },
    };
    let ratio = |name: &str, quantity, less_is_better, decides| Measure {
        name: name.to_owned(),
        quantity,
        exchange: None,
        less_is_better,
        decides,
        min_effect: MinEffect { relative: MIN_RELATIVE, absolute: 0.0 },
    };
    let others = [
        share("handshake_403_rate", ShareKind::Refused403, true),
        share("attempt_failure_rate", ShareKind::AttemptFailure, true),
        share("reconnect_success_rate", ShareKind::ReconnectSuccess, false),
        ratio("reconnects_per_s", Quantity::ReconnectsPerSecond, false, false),
        ratio("tokens_per_reconnect", Quantity::TokensPerReconnect, true, true),
        ratio("generator_cpu_s", Quantity::Run(RunNumber::CpuSeconds), true, false),
        ratio("generator_max_rss_bytes", Quantity::Run(RunNumber::MaxRssBytes), true, false),
    ];
    times.chain(others).chain(of_storms()).chain(of_outages()).collect()
}

/// What storms and their reconnects come to, called as in a sweep. It explains, unless it is asked to decide: most scenarios strike one storm, and its latencies decide.
fn of_storms() -> impl Iterator<Item = Measure> {
    let explains = |name: String, quantity, absolute| Measure {
        name,
        quantity,
        exchange: None,
        less_is_better: true,
        decides: false,
        min_effect: MinEffect { relative: MIN_RELATIVE, absolute },
    };
    let recovery = [50.0, 95.0, 99.0, 100.0].map(|percentile| {
        let name = format!("recovery.{}", percentile_name(percentile));
        explains(name, Quantity::StormRecovery(percentile), MIN_US)
    });
    [explains("token_requests.peak".to_owned(), Quantity::TokenRequestsPeak, 0.0)].into_iter().chain(recovery)
}

/// What is compared of outages. It explains, unless it is asked to decide: whether a run meets an outage may be chance.
fn of_outages() -> impl Iterator<Item = Measure> {
    let explains = |name: String, quantity, absolute| Measure {
        name,
        quantity,
        exchange: None,
        less_is_better: quantity != Quantity::Availability,
        decides: false,
        min_effect: MinEffect { relative: MIN_RELATIVE, absolute },
    };
    let of_all = [
        explains("availability".to_owned(), Quantity::Availability, MIN_AVAILABILITY),
        explains("outages".to_owned(), Quantity::Outages(OfAllOutages::Number), MIN_OUTAGES),
        explains("outage_cost".to_owned(), Quantity::Outages(OfAllOutages::Cost), MIN_COST_S),
    ];
    let each = (0..MOST_OUTAGES).flat_map(move |index| {
        let own = [
            ("recovery_p50", OfOutage::Recovery(50.0), MIN_US),
            ("recovery_p95", OfOutage::Recovery(95.0), MIN_US),
            ("recovery_max", OfOutage::Recovery(100.0), MIN_US),
            ("cost", OfOutage::Cost, MIN_COST_S),
            ("lost", OfOutage::Lost, 0.0),
        ];
        own.map(|(name, number, absolute)| {
            explains(format!("outage_{}.{name}", index + 1), Quantity::Outage(index, number), absolute)
        })
    });
    of_all.into_iter().chain(each)
}

/// `p50`, `p99_9`, `max`.
pub(super) fn percentile_name(percentile: f64) -> String {
    if percentile >= 100.0 { "max".to_owned() } else { format!("p{percentile}").replace('.', "_") }
}

/// A user's choice of least effect: for the measures of that name, or that begin with it and a dot.
#[derive(Debug, Clone, PartialEq)]
pub struct MinEffectChoice {
    name: String,
    relative: Option<f64>,
    /// In this unit: of measures of another it says nothing.
    absolute: Option<(f64, Unit)>,
}

/// Parses `reconnect_latency.p99=10%,2ms`, `reconnects_per_s=3%`, `outage_cost=10%,50` or `handshake_403_rate=1%` (of a share: points, not relative).
///
/// # Errors
/// A sentence that says what is allowed.
pub fn parse_min_effect(text: &str) -> Result<MinEffectChoice, String> {
    let allowed = "write it as METRIC=RELATIVE[,ABSOLUTE], as reconnect_latency.p99=10%,2ms";
    let (name, effect) = text.split_once('=').ok_or_else(|| allowed.to_owned())?;
    let name = name.trim();
    let known = measures();
    let unit = match known.iter().find(|measure| is_named(measure, name)) {
        Some(first) => first.unit(),
        // Which exchanges there are, the runs say.
        None if name.starts_with("exchange_latency") => Unit::Us,
        None => return Err(unknown(name)),
    };
    let mut choice = MinEffectChoice { name: name.to_owned(), relative: None, absolute: None };
    for part in effect.split(',').map(str::trim) {
        let number = || part.parse().ok().filter(|number: &f64| *number >= 0.0 && number.is_finite());
        let absolute = match unit {
            Unit::Share => parse_share(part).ok(),
            _ if part.ends_with('%') => None,
            Unit::Us => parse_duration(part).ok().map(|time| time.as_secs_f64() * 1e6),
            Unit::Number | Unit::ClientSeconds => number(),
            Unit::PerSecond | Unit::Seconds | Unit::Bytes => None,
        };
        match (absolute, parse_share(part)) {
            (Some(absolute), _) => choice.absolute = Some((absolute, unit)),
            (None, Ok(share)) if part.ends_with('%') => choice.relative = Some(share),
            _ => return Err(format!("{part} is no least effect of {name}: {allowed}")),
        }
        if unit == Unit::Share {
            choice.relative = Some(0.0);
        }
    }
    Ok(choice)
}

/// That there is no such measure; of outages, the first one's stand for all.
fn unknown(name: &str) -> String {
    let known = measures();
    let is_told = |measure: &&Measure| !matches!(measure.quantity, Quantity::Outage(index, _) if index > 0);
    let names: Vec<&str> = known.iter().filter(is_told).map(|measure| measure.name.as_str()).collect();
    format!(
        "nothing that is compared is called {name}; known are: {} (and so on up to outage_{MOST_OUTAGES})",
        names.join(", ")
    )
}

/// A name with or without the percentile; of exchanges, also without the exchange.
pub(super) fn is_named(measure: &Measure, name: &str) -> bool {
    measure.name == name || measure.name.strip_prefix(name).is_some_and(|rest| rest.starts_with(['.', '{']))
}

/// Applies the user's choices, the last one last.
pub fn apply_min_effects(measures: &mut [Measure], choices: &[MinEffectChoice]) {
    for choice in choices {
        for measure in measures.iter_mut().filter(|measure| is_named(measure, &choice.name)) {
            measure.min_effect.relative = choice.relative.unwrap_or(measure.min_effect.relative);
            if let Some((absolute, unit)) = choice.absolute
                && unit == measure.unit()
            {
                measure.min_effect.absolute = absolute;
            }
        }
    }
}

/// Lets only the measures of these names decide, each with or without its percentile.
///
/// # Errors
/// A sentence that names what is not known.
pub fn decide_by(measures: &mut [Measure], names: &[String]) -> Result<(), String> {
    for name in names {
        if !measures.iter().any(|measure| is_named(measure, name)) {
            let exchanges: BTreeSet<&str> =
                measures.iter().filter_map(|measure| measure.exchange.as_deref()).collect();
            let exchanges =
                exchanges.into_iter().map(|name| format!(", exchange_latency{{exchange:{name}}}"));
            return Err(unknown(name) + &exchanges.collect::<String>());
        }
    }
    let is_maximum = |measure: &Measure| measure.name.ends_with(".max") || measure.name.ends_with("_max");
    if let Some(name) =
        names.iter().find(|name| measures.iter().any(|own| own.name == **name && is_maximum(own)))
    {
        let percentiles = name.trim_end_matches("max");
        return Err(format!(
            "{name} cannot decide: a maximum is one value, and is never judged. A percentile can, as {percentiles}p95"
        ));
    }
    for measure in measures.iter_mut() {
        measure.decides = names.iter().any(|name| is_named(measure, name));
    }
    Ok(())
}

#[cfg(test)]
#[path = "measure_tests.rs"]
mod tests;
