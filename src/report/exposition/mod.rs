//! A run under way in the text that Prometheus scrapes.
//!
//! In: the live view that the recorder publishes each second. Out: OpenMetrics, or Prometheus' own text format. Every label's values are bounded: groups,
//! storms and the words of the vocabulary; close codes of applications are told by class. Nothing is kept between two scrapes.

mod buckets;
mod families;
mod help;
mod talk;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use crate::clock::Moment;
use crate::record::{
    AnswerTally, LiveView, Quantile, Reconnects, Share, StormManifest, TalkNames, Tally, add_asked_storms,
};
use crate::sample::{
    Abnormal, AttemptKind, Cause, Counter, Initiator, Metric, Outcome, Phase, Request, RequestAnswer,
};
use crate::scenario::keys::{Group, Scenario};

use buckets::Bounds;
use families::{write_counter, write_histogram};
use help::{counter_family, histogram_family};

/// Content type of OpenMetrics text.
pub const OPENMETRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Content type of Prometheus' own text format.
pub const PROMETHEUS_TYPE: &str = prometheus_client::encoding::prometheus_text::CONTENT_TYPE;
/// Before each name.
const PREFIX: &str = "resurge";
/// The percentiles of the run so far that are exact, beside the histograms.
const PERCENTILES: [(&str, f64); 6] =
    [("50", 50.0), ("90", 90.0), ("95", 95.0), ("99", 99.0), ("99.9", 99.9), ("100", 100.0)];

/// A run under way, as it is scraped.
#[derive(Debug, Clone)]
pub struct LiveRun {
    scenario: String,
    seed: u64,
    duration_s: f64,
    groups: Vec<(String, u32)>,
    /// The names of each group's steps.
    steps: Vec<Vec<String>>,
    /// What each group's exchanges and streams are called.
    talks: Vec<TalkNames>,
    storms_at_s: Vec<f64>,
    /// How it stands.
    view: LiveView,
    /// Whether these are its last numbers.
    is_final: bool,
}

impl LiveRun {
    /// The run of `scenario`, as it stands.
    #[must_use]
    pub fn new(scenario: &Scenario, view: LiveView) -> Self {
        Self {
            scenario: scenario.name.clone(),
            seed: scenario.seed,
            duration_s: scenario.duration.as_secs_f64(),
            groups: scenario.groups.iter().map(|group| (group.name.clone(), group.clients)).collect(),
            steps: scenario.groups.iter().map(Group::step_names).collect(),
            talks: scenario.groups.iter().map(TalkNames::of).collect(),
            storms_at_s: storm_times(scenario, &view),
            view,
            is_final: false,
        }
    }

    /// The same run with nothing more to come.
    #[must_use]
    pub fn into_final(self) -> Self {
        Self { is_final: true, ..self }
    }

    /// Whether nothing more is to come.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        self.is_final
    }
}

/// When each storm is due, in seconds: the scenario's, and behind them those that were asked for.
fn storm_times(scenario: &Scenario, view: &LiveView) -> Vec<f64> {
    let mut storms: Vec<StormManifest> = scenario
        .storms
        .iter()
        .map(|storm| StormManifest {
            at_s: storm.at.as_secs_f64(),
            what: String::new(),
            fraction: storm.fraction,
        })
        .collect();
    add_asked_storms(&mut storms, &view.marks);
    storms.iter().map(|storm| storm.at_s).collect()
}

/// The run in OpenMetrics text.
///
/// # Errors
/// Only when memory cannot be written.
pub fn openmetrics_text(run: &Arc<LiveRun>) -> Result<String, fmt::Error> {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry(run))?;
    Ok(text)
}

/// The run in Prometheus' own text format, for readers that do not know OpenMetrics.
///
/// # Errors
/// Only when memory cannot be written.
pub fn prometheus_text(run: &Arc<LiveRun>) -> Result<String, fmt::Error> {
    let mut text = String::new();
    prometheus_client::encoding::prometheus_text::encode(&mut text, &registry(run))?;
    Ok(text)
}

fn registry(run: &Arc<LiveRun>) -> Registry {
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(Arc::clone(run)));
    registry
}

impl Collector for LiveRun {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        self.encode_run(encoder)?;
        self.encode_clients(encoder)?;
        self.encode_attempts(encoder)?;
        self.encode_ends(encoder)?;
        self.encode_storms(encoder)?;
        self.encode_presence(encoder)?;
        self.encode_outages(encoder)?;
        self.encode_requests(encoder)?;
        for &counter in Counter::ALL {
            let (name, unit, help) = counter_family(counter);
            let mut family = encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Counter)?;
            for (group, tally) in self.tallies() {
                write_counter(&mut family, &[("group", group)], tally.counter(counter))?;
            }
        }
        let talking = self.tallies().zip(&self.talks).map(|((group, tally), names)| (group, names, tally));
        talk::encode(&talking.collect::<Vec<_>>(), encoder)?;
        self.encode_histograms(encoder)?;
        self.encode_percentiles(encoder)
    }
}

impl LiveRun {
    /// Name and totals of each group; none before the first second is over.
    fn tallies(&self) -> impl Iterator<Item = (&str, &Tally)> {
        self.groups.iter().map(|(name, _)| name.as_str()).zip(self.view.totals.iter())
    }

    fn encode_run(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let seed = self.seed.to_string();
        let info =
            [("scenario", self.scenario.as_str()), ("seed", &seed), ("version", env!("CARGO_PKG_VERSION"))];
        encoder.encode_descriptor("run", "What is run", None, MetricType::Info)?.encode_info(&info)?;
        let elapsed_s = if self.view.totals.is_empty() { 0.0 } else { self.view.second as f64 + 1.0 };
        let gauges = [
            (
                "run_elapsed",
                Some(Unit::Seconds),
                "Time since the run's start up to which these numbers go",
                elapsed_s,
            ),
            ("run_duration", Some(Unit::Seconds), "How long the scenario holds its clients", self.duration_s),
            ("run_finished", None, "1 when nothing more is to come", f64::from(u8::from(self.is_final))),
        ];
        for (name, unit, help, value) in gauges {
            let mut gauge = encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
            gauge.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn encode_clients(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family =
            encoder.encode_descriptor("clients", "Clients that the scenario has", None, MetricType::Gauge)?;
        for (group, clients) in &self.groups {
            family.encode_family(&[("group", group.as_str())])?.encode_gauge(clients)?;
        }
        let help = "Sessions that are open";
        let mut family = encoder.encode_descriptor("sessions_open", help, None, MetricType::Gauge)?;
        for (group, tally) in self.tallies() {
            family.encode_family(&[("group", group)])?.encode_gauge(&(tally.connected() as f64))?;
        }
        Ok(())
    }

    /// Availability: the one over the other, over any time.
    fn encode_presence(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let until = Moment::ZERO + Duration::from_secs(self.view.second + 1);
        // What is told late of a moment changes them backwards: they are no counters.
        let unit = Some(Unit::Seconds);
        let mut gauge = |name, help, of: fn(Share) -> u128| {
            let mut family = encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
            for (group, tally) in self.tallies() {
                let client_s = of(Share::of(&tally.presence, until)) as f64 / 1e9;
                family.encode_family(&[("group", group)])?.encode_gauge(&client_s)?;
            }
            fmt::Result::Ok(())
        };
        gauge("clients_wanted", "Time that clients were wanted in so far, of all of them", |share| {
            share.wanted_ns
        })?;
        gauge("clients_in", "Time that clients were in so far, of all of them", |share| share.in_ns)?;
        let help = "Clients that are wanted in and are out";
        let mut family = encoder.encode_descriptor("clients_out", help, None, MetricType::Gauge)?;
        for (group, tally) in self.tallies() {
            family.encode_family(&[("group", group)])?.encode_gauge(&(tally.presence.out.net as f64))?;
        }
        Ok(())
    }

    /// The last outage of the last two minutes.
    fn encode_outages(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let found = self.view.recent.outages();
        let last = found.last();
        let gauges = [
            ("outages_recent", "Outages that began in the last two minutes", found.len() as u64),
            ("outage_lost", "Clients that the last of them lost", last.map_or(0, |outage| outage.lost)),
            ("outage_back", "Clients of those that are back", last.map_or(0, |outage| outage.back)),
        ];
        for (name, help, value) in gauges {
            let mut gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            gauge.encode_gauge(&(value as f64))?;
        }
        Ok(())
    }

    /// What has not come about yet is there with 0, so that its first increase shows.
    fn encode_attempts(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Attempts to get a session, by their one outcome; the cause is for refusals";
        let mut family = encoder.encode_descriptor("attempts", help, None, MetricType::Counter)?;
        for (group, tally) in self.tallies() {
            let mut attempts: BTreeMap<(AttemptKind, Outcome, Option<Cause>), u64> = BTreeMap::new();
            for (key, count) in &tally.attempts {
                *attempts.entry((key.kind, key.outcome, key.cause)).or_default() += count;
            }
            for (&kind, &outcome) in
                AttemptKind::ALL.iter().flat_map(|kind| Outcome::ALL.iter().map(move |o| (kind, o)))
            {
                for cause in causes_of(outcome) {
                    attempts.entry((kind, outcome, cause)).or_default();
                }
            }
            for ((kind, outcome, cause), count) in attempts {
                let cause = cause.map_or("", Cause::name);
                let labels =
                    [("group", group), ("kind", kind.name()), ("outcome", outcome.name()), ("cause", cause)];
                write_counter(&mut family, &labels, count)?;
            }
        }
        Ok(())
    }

    fn encode_ends(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Sessions that ended, by who ended them, with which close code, and how where there was no closing handshake";
        let mut family = encoder.encode_descriptor("sessions_ended", help, None, MetricType::Counter)?;
        for (group, tally) in self.tallies() {
            let mut ends: BTreeMap<(Initiator, String, Option<Abnormal>), u64> = BTreeMap::new();
            for (key, count) in &tally.closes {
                *ends.entry((key.initiator, code_label(key.code), key.abnormal)).or_default() += count;
            }
            for ((initiator, code, how), count) in &ends {
                let how = how.map_or("", Abnormal::name);
                let labels =
                    [("group", group), ("initiator", initiator.name()), ("code", code), ("how", how)];
                write_counter(&mut family, &labels, *count)?;
            }
        }
        Ok(())
    }

    fn encode_storms(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        if self.storms_at_s.is_empty() {
            return Ok(());
        }
        let (seconds, help) = (Some(Unit::Seconds), "When a storm is due, after the run's start");
        let mut family = encoder.encode_descriptor("storm_due", help, seconds.as_ref(), MetricType::Gauge)?;
        for (storm, at_s) in self.storms_at_s.iter().enumerate() {
            family.encode_family(&[("storm", storm.to_string())])?.encode_gauge(at_s)?;
        }
        let families = [
            ("storm_disconnects", "Disconnects that a storm forced"),
            ("storm_reconnects", "Reconnects after them that ended in a ready session"),
        ];
        for (at, (name, help)) in families.into_iter().enumerate() {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (group, tally) in self.tallies() {
                for (storm, struck) in &tally.storms {
                    let labels = [("group", group.to_owned()), ("storm", storm.0.to_string())];
                    write_counter(&mut family, &labels, [struck.disconnects, struck.back.count()][at])?;
                }
            }
        }
        Ok(())
    }

    /// What was asked for is there with every answer, so that its first increase shows; statuses and words are in `tokens.csv` and `steps.csv`.
    fn encode_requests(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let counter = MetricType::Counter;
        let help = "Requests for tokens, by what they came to";
        let mut family = encoder.encode_descriptor("token_requests", help, None, counter)?;
        for (group, tally) in self.tallies() {
            for (request, answer, count) in answered(tally) {
                let Some(name) = request.token_name() else { continue };
                let labels = [("group", group), ("request", name), ("answer", answer.name())];
                write_counter(&mut family, &labels, count)?;
            }
        }
        let help = "Requests before handshakes, by their step and what they came to";
        let mut family = encoder.encode_descriptor("step_requests", help, None, MetricType::Counter)?;
        for ((group, tally), names) in self.tallies().zip(&self.steps) {
            for (request, answer, count) in answered(tally) {
                let Some(index) = request.step() else { continue };
                let (name, number) = (names.get(index).map_or("", String::as_str), (index + 1).to_string());
                let labels =
                    [("group", group), ("step", name), ("number", &number), ("answer", answer.name())];
                write_counter(&mut family, &labels, count)?;
            }
        }
        Ok(())
    }

    fn encode_histograms(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for &metric in Metric::ALL {
            let Some((name, bounds, help)) = histogram_family(metric) else { continue };
            let unit = metric.is_time().then_some(Unit::Seconds);
            let mut family = encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Histogram)?;
            for (group, tally) in self.tallies() {
                write_histogram(&mut family, &[("group", group)], bounds, tally.histograms.get(&metric))?;
            }
        }
        let (seconds, help) = (Some(Unit::Seconds), "Time that completed reconnects spent in a phase");
        let mut family = encoder.encode_descriptor("phase", help, seconds.as_ref(), MetricType::Histogram)?;
        for (group, tally) in self.tallies() {
            for &phase in Phase::ALL {
                let histogram = tally.histograms.get(&Metric::of_phase(phase));
                let labels = [("group", group), ("phase", phase.name())];
                write_histogram(&mut family, &labels, Bounds::Latency, histogram)?;
            }
        }
        Ok(())
    }

    fn encode_percentiles(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (name, help) =
            ("reconnect_latency_percentile", "Reconnect latency of the run so far, as its report has it");
        let seconds = Some(Unit::Seconds);
        let mut family = encoder.encode_descriptor(name, help, seconds.as_ref(), MetricType::Gauge)?;
        for (group, tally) in self.tallies() {
            let reconnects = Reconnects::of(tally);
            for (label, percentile) in PERCENTILES {
                let value_s = match reconnects.percentile(percentile) {
                    Some(Quantile::At(us)) => us as f64 / 1e6,
                    Some(Quantile::Beyond(_)) => f64::INFINITY,
                    None => continue,
                };
                family.encode_family(&[("group", group), ("percentile", label)])?.encode_gauge(&value_s)?;
            }
        }
        Ok(())
    }
}

/// The causes that an outcome may have, of those that are there from the start.
fn causes_of(outcome: Outcome) -> Vec<Option<Cause>> {
    match outcome {
        Outcome::Http401 | Outcome::Http403 => Cause::ALL.iter().copied().map(Some).collect(),
        _ => vec![None],
    }
}

/// How many requests got each answer, for every kind of request that was made.
fn answered(tally: &Tally) -> impl Iterator<Item = (Request, RequestAnswer, u64)> + '_ {
    let mut kinds: Vec<Request> = tally.requests.keys().map(|(request, _)| *request).collect();
    kinds.dedup();
    kinds.into_iter().flat_map(move |request| {
        let count = move |answer| tally.requests.get(&(request, answer)).map_or(0, AnswerTally::count);
        RequestAnswer::ALL.iter().map(move |answer| (request, *answer, count(*answer)))
    })
}

/// A close code as a label: those of RFC 6455 as they are; the peer chooses among thousands of others, which are told by class.
fn code_label(code: u16) -> String {
    match code {
        1000..=1015 => code.to_string(),
        3000..=3999 => "3xxx".to_owned(),
        4000..=4999 => "4xxx".to_owned(),
        _ => "other".to_owned(),
    }
}
