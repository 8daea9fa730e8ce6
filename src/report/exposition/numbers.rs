//! The numbers of a run under way, as families.
//!
//! In: a run. Out: its families, in the order in which Prometheus' text has them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Moment;
use crate::record::{AnswerTally, Quantile, Reconnects, Share, Tally};
use crate::sample::{
    Abnormal, AttemptKind, Cause, Counter, Metric, Outcome, Phase, Request, RequestAnswer, StormId,
};

use super::buckets::Bounds;
use super::expected::{End, Expected, code_label};
use super::families::{Family, FamilyKind, FamilyUnit, Value, text};
use super::help::{counter_family, histogram_family};
use super::live::LiveRun;
use super::talk;

/// The percentiles of the run so far that are exact, beside the histograms.
const PERCENTILES: [(&str, f64); 6] =
    [("50", 50.0), ("90", 90.0), ("95", 95.0), ("99", 99.0), ("99.9", 99.9), ("100", 100.0)];

impl LiveRun {
    /// All its families.
    pub(super) fn families(&self) -> Vec<Family<'_>> {
        let mut families = vec![self.run()];
        families.extend(self.time());
        families.extend(self.clients());
        families.push(self.attempts());
        families.push(self.ends());
        families.extend(self.storms());
        families.extend(self.presence());
        families.extend(self.outages());
        families.extend(self.requests());
        families.extend(Counter::ALL.iter().map(|counter| self.counter(*counter)));
        let talking = self.tallies().zip(&self.talks).map(|((group, tally, _), names)| (group, names, tally));
        families.extend(talk::families(&talking.collect::<Vec<_>>()));
        families.extend(Metric::ALL.iter().filter_map(|metric| self.histogram(*metric)));
        families.push(self.phases());
        families.push(self.percentiles());
        families
    }

    fn run(&self) -> Family<'_> {
        let mut family = Family::new("run", "What is run", FamilyKind::Info);
        let version = text(env!("CARGO_PKG_VERSION"));
        let seed = Cow::Owned(self.seed.to_string());
        family.put([("scenario", text(&self.scenario)), ("seed", seed), ("version", version)], Value::Info);
        family
    }

    fn time(&self) -> [Family<'_>; 3] {
        let elapsed = "Time since the run's start up to which these numbers go";
        let duration = "How long the scenario holds its clients";
        [
            single("run_elapsed", elapsed, self.elapsed_s).in_unit(FamilyUnit::Seconds),
            single("run_duration", duration, self.duration_s).in_unit(FamilyUnit::Seconds),
            single("run_finished", "1 when nothing more is to come", f64::from(u8::from(self.is_final))),
        ]
    }

    fn clients(&self) -> [Family<'_>; 2] {
        let mut clients = Family::new("clients", "Clients that the scenario has", FamilyKind::Gauge);
        for (group, own) in &self.groups {
            clients.put([("group", text(group))], Value::Count(u64::from(*own)));
        }
        let help = "Sessions that are open";
        [clients, self.gauge("sessions_open", help, |tally| tally.connected() as f64)]
    }

    /// A number of each group.
    fn gauge(&self, name: &'static str, help: &'static str, of: impl Fn(&Tally) -> f64) -> Family<'_> {
        let mut family = Family::new(name, help, FamilyKind::Gauge);
        for (group, tally, _) in self.tallies() {
            family.put([("group", text(group))], Value::Number(of(tally)));
        }
        family
    }

    /// Availability: the one over the other, over any time.
    fn presence(&self) -> [Family<'_>; 3] {
        let until = Moment::ZERO + Duration::from_secs(self.view.second + 1);
        // What is told late of a moment changes them backwards: they are no counters.
        let client_s =
            |of: fn(Share) -> u128| move |tally: &Tally| of(Share::of(&tally.presence, until)) as f64 / 1e9;
        let wanted = "Time that clients were wanted in so far, of all of them";
        let wanted = self.gauge("clients_wanted", wanted, client_s(|share| share.wanted_ns));
        let within = "Time that clients were in so far, of all of them";
        let within = self.gauge("clients_in", within, client_s(|share| share.in_ns));
        let help = "Clients that are wanted in and are out";
        let out = self.gauge("clients_out", help, |tally| tally.presence.out.net as f64);
        [wanted.in_unit(FamilyUnit::Seconds), within.in_unit(FamilyUnit::Seconds), out]
    }

    /// The last outage of the last two minutes.
    fn outages(&self) -> [Family<'_>; 3] {
        let found = self.view.recent.outages();
        let last = found.last();
        let lost = "Clients that the last of them lost";
        [
            single("outages_recent", "Outages that began in the last two minutes", found.len() as f64),
            single("outage_lost", lost, last.map_or(0, |outage| outage.lost) as f64),
            single(
                "outage_back",
                "Clients of those that are back",
                last.map_or(0, |outage| outage.back) as f64,
            ),
        ]
    }

    fn attempts(&self) -> Family<'_> {
        let help = "Attempts to get a session, by their one outcome; the cause is for refusals";
        let mut family = Family::new("attempts", help, FamilyKind::Corrected);
        for (group, tally, expected) in self.tallies() {
            for ((kind, outcome, cause), count) in attempts_of(tally, expected) {
                let labels = [
                    ("group", text(group)),
                    ("kind", text(kind.name())),
                    ("outcome", text(outcome.name())),
                    ("cause", text(cause.map_or("", Cause::name))),
                ];
                family.put(labels, Value::Count(count));
            }
        }
        family
    }

    fn ends(&self) -> Family<'_> {
        let help = "Sessions that ended, by who ended them, with which close code, and how where there was no closing handshake";
        let mut family = Family::new("sessions_ended", help, FamilyKind::Counter);
        for (group, tally, expected) in self.tallies() {
            let mut ends: BTreeMap<End, u64> = expected.ends.iter().map(|end| (end.clone(), 0)).collect();
            for (key, count) in &tally.closes {
                *ends.entry((key.initiator, code_label(key.code), key.abnormal)).or_default() += count;
            }
            for ((initiator, code, how), count) in ends {
                let labels = [
                    ("group", text(group)),
                    ("initiator", text(initiator.name())),
                    ("code", Cow::Owned(code)),
                    ("how", text(how.map_or("", Abnormal::name))),
                ];
                family.put(labels, Value::Count(count));
            }
        }
        family
    }

    fn storms(&self) -> Vec<Family<'_>> {
        if self.storms_at_s.is_empty() {
            return Vec::new();
        }
        let help = "When a storm is due, after the run's start";
        let mut due = Family::new("storm_due", help, FamilyKind::Gauge).in_unit(FamilyUnit::Seconds);
        for (storm, at_s) in self.storms_at_s.iter().enumerate() {
            due.put([("storm", Cow::Owned(storm.to_string()))], Value::Number(*at_s));
        }
        let help = "Disconnects that a storm forced";
        let mut disconnects = Family::new("storm_disconnects", help, FamilyKind::Counter);
        let help = "Reconnects after them that ended in a ready session";
        let mut reconnects = Family::new("storm_reconnects", help, FamilyKind::Corrected);
        for (group, tally, expected) in self.tallies() {
            let mut struck: BTreeMap<StormId, (u64, u64)> =
                expected.storms.iter().map(|storm| (*storm, (0, 0))).collect();
            struck.extend(tally.storms.iter().map(|(id, own)| (*id, (own.disconnects, own.back.count()))));
            for (storm, (lost, back)) in struck {
                let labels = || [("group", text(group)), ("storm", Cow::Owned(storm.0.to_string()))];
                disconnects.put(labels(), Value::Count(lost));
                reconnects.put(labels(), Value::Count(back));
            }
        }
        vec![due, disconnects, reconnects]
    }

    /// Each request is there with every answer; statuses and words are in `tokens.csv` and `steps.csv`.
    fn requests(&self) -> [Family<'_>; 2] {
        let help = "Requests for tokens, by what they came to";
        let mut tokens = Family::new("token_requests", help, FamilyKind::Counter);
        let help = "Requests before handshakes, by their step and what they came to";
        let mut steps = Family::new("step_requests", help, FamilyKind::Counter);
        for ((group, tally, expected), names) in self.tallies().zip(&self.steps) {
            for (request, answer, count) in answered(tally, expected) {
                let (group, answer) = (("group", text(group)), ("answer", text(answer.name())));
                if let Some(name) = request.token_name() {
                    tokens.put([group, ("request", text(name)), answer], Value::Count(count));
                } else if let Some(index) = request.step() {
                    let name = ("step", text(names.get(index).map_or("", String::as_str)));
                    let number = ("number", Cow::Owned((index + 1).to_string()));
                    steps.put([group, name, number, answer], Value::Count(count));
                }
            }
        }
        [tokens, steps]
    }

    fn counter(&self, counter: Counter) -> Family<'_> {
        let (name, unit, help) = counter_family(counter);
        // An admission that turns out to be none is taken back, and a cause that is proved moves what follows from it.
        let kind = match counter {
            Counter::Reconnects | Counter::DeadTokenHandshakes => FamilyKind::Corrected,
            _ => FamilyKind::Counter,
        };
        let mut family = Family::new(name, help, kind).in_unit(unit);
        for (group, tally, _) in self.tallies() {
            family.put([("group", text(group))], Value::Count(tally.counter(counter)));
        }
        family
    }

    fn histogram(&self, metric: Metric) -> Option<Family<'_>> {
        let (name, bounds, help) = histogram_family(metric)?;
        let unit = if metric.is_time() { FamilyUnit::Seconds } else { FamilyUnit::None };
        let mut family = Family::new(name, help, FamilyKind::Histogram(bounds)).in_unit(unit);
        for (group, tally, _) in self.tallies() {
            let measured = tally.histograms.get(&metric).map(Cow::Borrowed);
            family.put([("group", text(group))], Value::Histogram(measured));
        }
        Some(family)
    }

    fn phases(&self) -> Family<'_> {
        let help = "Time that completed reconnects spent in a phase";
        let kind = FamilyKind::Histogram(Bounds::Latency);
        let mut family = Family::new("phase", help, kind).in_unit(FamilyUnit::Seconds);
        for (group, tally, _) in self.tallies() {
            for &phase in Phase::ALL {
                let measured = tally.histograms.get(&Metric::of_phase(phase)).map(Cow::Borrowed);
                let labels = [("group", text(group)), ("phase", text(phase.name()))];
                family.put(labels, Value::Histogram(measured));
            }
        }
        family
    }

    fn percentiles(&self) -> Family<'_> {
        let help = "Reconnect latency of the run so far, as its report has it";
        let mut family = Family::new("reconnect_latency_percentile", help, FamilyKind::Gauge);
        for (group, tally, _) in self.tallies() {
            let reconnects = Reconnects::of(tally);
            for (label, percentile) in PERCENTILES {
                let value_s = match reconnects.percentile(percentile) {
                    Some(Quantile::At(us)) => us as f64 / 1e6,
                    Some(Quantile::Beyond(_) | Quantile::Never(_)) => f64::INFINITY,
                    None => continue,
                };
                let labels = [("group", text(group)), ("percentile", text(label))];
                family.put(labels, Value::Number(value_s));
            }
        }
        family.in_unit(FamilyUnit::Seconds)
    }
}

/// A number of the whole run.
fn single(name: &'static str, help: &'static str, value: f64) -> Family<'static> {
    let mut family = Family::new(name, help, FamilyKind::Gauge);
    family.put([], Value::Number(value));
    family
}

/// Attempts by what they are counted by.
fn attempts_of(tally: &Tally, expected: &Expected) -> BTreeMap<(AttemptKind, Outcome, Option<Cause>), u64> {
    let mut attempts = BTreeMap::new();
    for (key, count) in &tally.attempts {
        *attempts.entry((key.kind, key.outcome, key.cause)).or_default() += count;
    }
    for &outcome in Outcome::ALL {
        for cause in expected.causes_of(outcome) {
            for &kind in AttemptKind::ALL {
                attempts.entry((kind, outcome, cause)).or_default();
            }
        }
    }
    attempts
}

/// How many requests got each answer, for every kind of request that was made or can be.
fn answered(tally: &Tally, expected: &Expected) -> impl Iterator<Item = (Request, RequestAnswer, u64)> {
    let mut counts: BTreeMap<(Request, RequestAnswer), u64> = BTreeMap::new();
    let made = tally.requests.keys().map(|(request, _)| *request);
    for request in made.chain(expected.requests.iter().copied()) {
        for &answer in RequestAnswer::ALL {
            let count = tally.requests.get(&(request, answer)).map_or(0, AnswerTally::count);
            counts.insert((request, answer), count);
        }
    }
    counts.into_iter().map(|((request, answer), count)| (request, answer, count))
}
