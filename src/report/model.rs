//! A run as every report sees it.
//!
//! In: a journal. Out: totals, seconds, results, all derived from it.

use std::time::Duration;

use crate::clock::Moment;
use crate::record::outages::{OutageIn, RunOutage, run_outages};
use crate::record::{
    Availability, Journal, Latencies, Manifest, Mark, NamedTally, Note, Observed, PackedTally, Presence,
    Quantile, Reconciliation, ReconnectClocks, RefusedTrace, RunEnd, RunTime, Tally, ThresholdResult,
    Unanswered, add_asked_storms, availability_of, check_accounts, check_exchanges, evaluate,
    evaluate_outages, evaluate_talk, health_faults, merge_all, reconcile, settled_marks, settled_observed,
    settled_traces, unanswered,
};
use crate::sample::Counter;
use crate::scenario::keys::Subject;
use crate::scenario::parse_threshold;

use super::answer::InWords;
use super::lost::lost_words;
use super::marks::event_faults;
use super::recovery::{RecoveryCurve, recovery_curves};
use super::requests::what_keeps_out;
use super::simulated::NO_GENERATOR;
use super::verdict::{Findings, ValidityCheck, Verdict, check_validity, judge};

/// A run, ready to be reported.
#[derive(Debug, Clone)]
pub struct RunModel {
    /// How it was begun.
    pub manifest: Manifest,
    /// How it ended; `None` after a crash.
    pub end: Option<RunEnd>,
    /// The seconds, in order, a packed tally for each group.
    pub seconds: Vec<(u64, Vec<PackedTally>)>,
    /// Totals of each group.
    pub totals: Vec<Tally>,
    /// Totals of all groups together.
    pub all: Tally,
    /// What was done to the service, or told from outside, in the order of time.
    pub marks: Vec<Mark>,
    /// The service's own numbers, a row for each second that has any, in order: a value for each of the manifest's series.
    pub observed: Vec<Observed>,
    /// Disconnects close together that no storm explains.
    pub outages: Vec<RunOutage>,
    /// The availability of each group, and at last of all together.
    pub availability: Vec<Availability>,
    /// What of them the run asked for without an answer.
    pub unanswered: Vec<Unanswered>,
    /// The traces of refused attempts, the last of each group, outcome and cause.
    pub refused_traces: Vec<RefusedTrace>,
    /// From the start to the last sample, in seconds.
    pub elapsed_s: f64,
    /// How the thresholds came out.
    pub thresholds: Vec<ThresholdResult>,
    /// What does not add up within the run.
    pub account_faults: Vec<String>,
    /// The clients' counts beside the target's, where there are such.
    pub reconciliation: Option<Reconciliation>,
    /// Bytes that a crash cut off.
    pub torn_bytes: u64,
    /// What must hold for its numbers to be believed, and whether it does.
    pub validity: Vec<ValidityCheck>,
    /// The verdict.
    pub verdict: Verdict,
    /// What happened, in words.
    pub answer: InWords,
}

impl RunModel {
    /// The most token requests in a second of one group, or of all; those with which a fleet begins are left out.
    #[must_use]
    pub fn token_requests_peak(&self, group: Option<usize>) -> u64 {
        let in_second = |tallies: &[PackedTally]| -> u64 {
            let own = tallies.iter().enumerate();
            let own = own.filter(|(index, _)| group.is_none_or(|group| group == *index));
            own.map(|(_, tally)| tally.token_requests_after_start()).sum()
        };
        self.seconds.iter().map(|(_, tallies)| in_second(tallies)).max().unwrap_or(0)
    }

    /// Derives everything from a journal.
    #[must_use]
    pub fn new(journal: Journal) -> Self {
        let Journal { mut manifest, intervals, notes, end, torn_bytes } = journal;
        let marks = settled_marks(notes.iter().filter_map(|note| match note {
            Note::Mark(mark) => Some(mark.clone()),
            Note::Observed(_) | Note::Refused(_) => None,
        }));
        add_asked_storms(&mut manifest.storms, &marks);
        let told = notes.iter().filter_map(|note| match note {
            Note::Observed(observed) => Some(observed),
            Note::Mark(_) | Note::Refused(_) => None,
        });
        let told: Vec<&Observed> = told.collect();
        let refused_traces = settled_traces(notes.iter().filter_map(|note| match note {
            Note::Refused(told) => Some(told),
            Note::Mark(_) | Note::Observed(_) => None,
        }));
        let unanswered = unanswered(&manifest.observed, &told);
        let observed = settled_observed(manifest.observed.len(), told);
        let mut totals = vec![Tally::default(); manifest.groups.len()];
        for (_, groups) in &intervals {
            for (total, tally) in totals.iter_mut().zip(groups) {
                tally.add_to(total);
            }
        }
        let all = merge_all(&totals);
        let recorded_s = intervals.last().map_or(0.0, |(second, _)| (*second + 1) as f64);
        let elapsed_s = end.as_ref().map_or(recorded_s, |end| end.elapsed_s);
        let until = over(&manifest, elapsed_s);
        let outages = run_outages(&intervals, totals.len(), until);
        let availability = availability_of(&intervals, totals.len(), until);
        let time = RunTime { elapsed_s, until };
        let thresholds = evaluate_all(&manifest, &totals, &outages, time);
        // Where a shard's numbers break off, sessions may be open, and what its target counted is unknown.
        let breaks_off = manifest.breaks_off();
        let account_faults = check_all_accounts(&manifest, &totals, &all, end.is_some() && !breaks_off);
        let counters = end.as_ref().filter(|_| !breaks_off).and_then(|end| end.target_counters.as_ref());
        let lost = lost_words(&manifest);
        let times = end.as_ref().and_then(|end| end.target_reconnects.as_ref());
        let reconciliation = counters.map(|counters| Reconciliation {
            reconnects: times.and_then(|times| ReconnectClocks::of(&all, times)),
            ..reconcile(&all, counters)
        });
        let names = manifest.groups.iter().map(|group| group.name.as_str());
        let groups: Vec<(&str, &Tally)> = names.zip(&totals).collect();
        let findings = Findings {
            lost: &lost,
            breaks_off,
            end: end.as_ref(),
            recorded_s: intervals.last().map_or(0, |(second, _)| second + 1),
            planned_s: manifest.duration_s,
            thresholds: &thresholds,
            account_faults: &account_faults,
            reconciliation: reconciliation.as_ref(),
            health_faults: end.as_ref().map(|end| health_faults(&end.health)).unwrap_or_default(),
            no_generator: manifest.simulated.is_some().then_some(NO_GENERATOR),
            has_required_events: marks.iter().any(Mark::is_required),
            event_faults: event_faults(&marks),
            clients_started: all.counter(Counter::ClientsStarted),
            kept_out: &what_keeps_out(&manifest, &totals),
            groups: &groups,
            all: &all,
        };
        let validity = check_validity(&findings);
        let verdict = judge(&findings, &validity);
        let answer = InWords::of(&manifest, &totals, verdict.status);
        Self {
            manifest,
            end,
            seconds: intervals,
            totals,
            all,
            marks,
            observed,
            outages,
            availability,
            unanswered,
            refused_traces,
            elapsed_s,
            thresholds,
            account_faults,
            reconciliation,
            torn_bytes,
            validity,
            verdict,
            answer,
        }
    }

    /// Each second from the first to the last, with a tally for each group: empty ones where nothing was recorded, as when the
    /// recorder was late. One second is unpacked at a time.
    pub fn unpacked_seconds(&self) -> impl Iterator<Item = (u64, Vec<Tally>)> + '_ {
        let mut next = 0;
        self.seconds.iter().flat_map(move |(second, groups)| {
            let gap = next..*second;
            next = second + 1;
            let nothing = vec![Tally::default(); groups.len()];
            let unpacked =
                std::iter::once_with(|| (*second, groups.iter().map(PackedTally::unpack).collect()));
            gap.map(move |missing| (missing, nothing.clone())).chain(unpacked)
        })
    }

    /// How the clients came back: for each group and then for all together, a curve for each of the manifest's storms and one for the
    /// disconnects that no storm forced. Curves of which nobody was cut off are among them. Journals before schema version 2
    /// do not tell storms apart: there, every disconnect is one that no storm forced.
    #[must_use]
    pub fn recovery_curves(&self) -> Vec<RecoveryCurve> {
        let groups = self.totals.iter().enumerate().map(|(index, tally)| (Some(index), tally));
        let storms = self.manifest.storms.len();
        groups
            .chain([(None, &self.all)])
            .flat_map(|(group, tally)| recovery_curves(group, tally, storms))
            .collect()
    }

    /// Microseconds until `share` (0..1) of all clients of a group (`None`: of all groups) that were cut off were back: by storms where there are any,
    /// else by anything. `None` when none was cut off, or nobody was seen since.
    #[must_use]
    pub fn recovered_us(&self, group: Option<usize>, share: f64) -> Option<Quantile> {
        let curves = self.recovery_curves();
        let own = || curves.iter().filter(|curve| curve.group == group && curve.disconnects > 0);
        let has_storm = own().any(|curve| curve.storm.is_some());
        let (back, away) = (Latencies::new(), Latencies::new());
        let mut all = RecoveryCurve { group, storm: None, disconnects: 0, back, away };
        for curve in own().filter(|curve| curve.storm.is_some() == has_storm) {
            all.back.merge(&curve.back);
            all.away.merge(&curve.away);
            all.disconnects += curve.disconnects;
        }
        if all.disconnects == 0 { None } else { all.time_to_us(share) }
    }

    /// Why this machine's numbers are not to be believed: the generator was late, or its latencies are not those that the target saw.
    #[must_use]
    pub fn generator_faults(&self) -> Vec<String> {
        let late = self.end.as_ref().map(|end| health_faults(&end.health)).unwrap_or_default();
        let clocks =
            self.reconciliation.as_ref().and_then(|reconciliation| reconciliation.reconnects.as_ref());
        late.into_iter().chain(clocks.map(ReconnectClocks::faults).unwrap_or_default()).collect()
    }

    /// Name and totals of each group, in the scenario's order.
    pub fn groups(&self) -> impl Iterator<Item = (&str, &Tally)> {
        self.manifest.groups.iter().map(|group| group.name.as_str()).zip(&self.totals)
    }
}

/// Until when clients were wanted in that were not told otherwise: those that gave up.
fn over(manifest: &Manifest, elapsed_s: f64) -> Moment {
    let seconds = elapsed_s.min(manifest.duration_s).max(0.0);
    Moment::ZERO + Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

/// A threshold that this program cannot read, or whose group is not there, is kept as one without a sample: it must not vanish.
fn evaluate_all(
    manifest: &Manifest,
    totals: &[Tally],
    outages: &[RunOutage],
    time: RunTime,
) -> Vec<ThresholdResult> {
    let evaluated = manifest.thresholds.iter().map(|source| {
        let without = |why| ThresholdResult::without_samples(source.clone(), why);
        let threshold = match parse_threshold(source) {
            Ok(threshold) => threshold,
            Err(why) => return without(why),
        };
        let named = manifest.groups.iter().zip(totals);
        let own = named.filter(|(group, _)| threshold.group.as_ref().is_none_or(|name| *name == group.name));
        let own: Vec<&Tally> = own.map(|(_, tally)| tally).collect();
        if own.is_empty() && threshold.group.is_some() {
            return without("no such group".to_owned());
        }
        match threshold.subject {
            Subject::Outage(of) => {
                let group = threshold.group.as_ref();
                let group = group.and_then(|name| manifest.groups.iter().position(|own| own.name == *name));
                let was_told = own.iter().any(|tally| tally.presence != Presence::default());
                let found: Vec<&OutageIn> = outages.iter().filter_map(|outage| outage.of(group)).collect();
                evaluate_outages(&threshold, of, was_told.then_some(&found))
            }
            subject if subject.is_of_talk() => {
                let names = (0..totals.len()).map(|index| manifest.talk_names(index));
                let named = manifest.groups.iter().zip(totals.iter().zip(names));
                let own = named
                    .filter(|(group, _)| threshold.group.as_ref().is_none_or(|name| *name == group.name));
                let own: Vec<NamedTally<'_>> = own.map(|(_, named)| named).collect();
                evaluate_talk(&threshold, &own, time.elapsed_s)
            }
            _ => evaluate(&threshold, &own, time),
        }
    });
    evaluated.collect()
}

fn check_all_accounts(manifest: &Manifest, totals: &[Tally], all: &Tally, ended: bool) -> Vec<String> {
    let named = manifest.groups.iter().map(|group| group.name.as_str()).zip(totals);
    let exchanges = named
        .clone()
        .enumerate()
        .flat_map(|(index, (name, tally))| check_exchanges(name, tally, manifest.talk_names(index), ended));
    let all = named.chain([("all groups", all)]).flat_map(|(name, tally)| check_accounts(name, tally, ended));
    all.chain(exchanges).collect()
}
