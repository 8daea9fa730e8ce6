//! `run.json`: everything about a run that is not a row of a table.
//!
//! In: a run. Out: typed structs that serialize to the file, and the JSON Schema that is derived from the same structs, so that neither can
//! say what the other does not. Units are in the keys' names.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde::Serialize;

use crate::engine::StopReason;
use crate::record::{
    GeneratorHealth, HostManifest, Latencies, Mark, Quantile, ReconciliationRow, ReconnectClocks, Reconnects,
    SCHEMA_VERSION, Simulated, StormManifest, Survival, SurvivalStep, Tally, ThresholdResult, Times,
};
use crate::sample::{ABNORMAL_CLOSURE, Abnormal, Counter, ErrorWord, Ground, Metric, Outcome, RequestAnswer};
use crate::service::counters::TargetCounters;

use super::answer::InWords;
use super::model::RunModel;
use super::observed_json::{ObservedJson, observed_json};
use super::requests::{rows, step_name};
use super::run_json_ends::{EndJson, ends};
use super::run_json_outages::{AvailabilityJson, OutageJson, availability_json, outages_json};
use super::run_json_shards::{ShardsJson, shards};
use super::run_json_talk::{ExchangeJson, KindJson, StreamJson, exchanges_json, kinds_json, streams_json};
use super::traces::{RefusedTraceJson, refused_traces_json};
use super::verdict::Verdict;

/// About so many places of the curve of those who are still away.
const CURVE_PLACES: usize = 20;

/// What `run.json` holds.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "resurge run.json")]
pub struct RunJson<'m> {
    /// Version of the run folder's files. Keys may be added within a version; none is taken away and none changes its meaning.
    schema_version: u32,
    /// The program that ran it.
    tool: ToolJson<'m>,
    /// What was run.
    scenario: ScenarioJson<'m>,
    /// What it was run against.
    target: TargetJson<'m>,
    /// What a run in virtual time took for granted; null: it ran in real time.
    simulated: Option<&'m Simulated>,
    /// The machine that it ran on.
    host: &'m HostManifest,
    /// When it began, microseconds since 1970 (UTC).
    start_unix_us: u64,
    /// The same, RFC 3339 in UTC.
    start: Option<String>,
    /// When it ended; null after a crash.
    end: Option<String>,
    /// From the start to the last sample.
    elapsed_s: f64,
    /// How it ended; null after a crash.
    ended: Option<&'m StopReason>,
    /// The shards that it was split into.
    shards: ShardsJson<'m>,
    /// Bytes at the journal's end that a crash cut off.
    torn_bytes: u64,
    /// The service's own numbers that were asked for.
    observed: Vec<ObservedJson<'m>>,
    /// How it came out.
    verdict: &'m Verdict,
    /// What happened, in words.
    answer: &'m InWords,
    /// The thresholds and their results, in the scenario's order.
    thresholds: &'m [ThresholdResult],
    /// The storms, in the scenario's order.
    storms: &'m [StormManifest],
    /// Disconnects close together that no storm explains, in the order of time.
    outages: Vec<OutageJson<'m>>,
    /// Client-seconds in over client-seconds wanted, of each group, and of all together; empty in runs of before.
    availability: Vec<AvailabilityJson<'m>>,
    /// Messages and their replies, group by group.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    exchanges: Vec<ExchangeJson<'m>>,
    /// Messages with numbers or times, group by group.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    streams: Vec<StreamJson<'m>>,
    /// Messages by their kind, group by group.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    kinds: Vec<KindJson<'m>>,
    /// By which trace the service knows refused attempts: the last of each group, outcome and cause, where requests say a trace.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refused_traces: Vec<RefusedTraceJson<'m>>,
    /// What was done to the service while the run went on, and what was told from outside, in the order of time.
    marks: &'m [Mark],
    /// The counts, and whether their sums agree.
    accounting: AccountingJson<'m>,
    /// The clients' counts beside the embedded target's; null for a remote target and after a crash.
    reconciliation: Option<ReconciliationJson<'m>>,
    /// The generator's own health; null after a crash.
    generator: Option<&'m GeneratorHealth>,
    /// What could not be written while the run went on.
    write_faults: &'m [String],
}

#[derive(Debug, Serialize, JsonSchema)]
struct ToolJson<'m> {
    /// `resurge`.
    name: &'static str,
    version: &'m str,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ScenarioJson<'m> {
    name: &'m str,
    /// Equal for two runs of the same scenario, overrides applied.
    hash: &'m str,
    seed: u64,
    /// How long clients were to be held.
    duration_s: f64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct TargetJson<'m> {
    /// `embedded` or `remote`.
    kind: &'m str,
    url: &'m str,
    /// Hosts that the user authorised.
    authorised_hosts: &'m [String],
}

#[derive(Debug, Serialize, JsonSchema)]
struct AccountingJson<'m> {
    /// Whether all sums agree.
    closes: bool,
    /// What does not add up, a sentence each.
    faults: &'m [String],
    /// The groups, in the scenario's order.
    groups: Vec<GroupJson<'m>>,
    /// All groups together.
    all: GroupJson<'m>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct GroupJson<'m> {
    /// Its name; `all` for all groups together.
    group: &'m str,
    /// Clients that the scenario has.
    clients: u64,
    /// Attempts: the sum of `outcomes`.
    attempts: u64,
    /// Attempts by outcome; those that never came about are not there.
    outcomes: BTreeMap<Outcome, u64>,
    /// Sessions that began: the handshakes that were answered with 101, whether the client was then let in or not.
    sessions: u64,
    /// Sessions that ended.
    closes: u64,
    /// Sessions that ended without a close frame (1006), by how.
    closes_1006: BTreeMap<Abnormal, u64>,
    /// Ends of sessions: who ended them, with which code, how, and what each side said.
    ends: Vec<EndJson>,
    /// Everything else that is counted.
    counters: BTreeMap<Counter, u64>,
    /// Refusals in a row that may be the token's, before a client was let in or was done; null without any.
    cascade_depth: Option<CascadeJson>,
    /// Refusals by the ground on which their cause is claimed; empty in journals of before.
    grounds: BTreeMap<Ground, u64>,
    /// Clients that began and never had a session.
    never_in: u64,
    /// How they came back, with those still away when the run ended; null where nobody was wanted back.
    reconnects: Option<ReconnectsJson>,
    /// What was measured in time, as in `summary.csv`; metrics without values are not there.
    latencies: BTreeMap<Metric, LatencyJson>,
    /// Requests for tokens and steps before handshakes by what they came to, as in `tokens.csv` and `steps.csv`; not for all groups together.
    requests: Vec<RequestJson<'m>>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct RequestJson<'m> {
    /// `credentials`, `refresh` or `command`; null for a step.
    token: Option<&'static str>,
    /// Name of the step; null for a request for a token.
    step: Option<String>,
    /// What it came to.
    answer: RequestAnswer,
    /// The HTTP status; null without an answer.
    status: Option<u16>,
    /// The service's own word for why it refuses; `other` for one that is not kept.
    error: Option<&'m str>,
    count: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct CascadeJson {
    /// Rows of 403s.
    count: u64,
    p50: u64,
    p99: u64,
    max: u64,
}

/// Of `reconnect_latency`, percentiles and `max_us` know of those who are still away and of those who gave up; the other numbers are of those who came back.
#[derive(Debug, Serialize, JsonSchema)]
struct LatencyJson {
    count: u64,
    /// Null without a value.
    min_us: Option<u64>,
    /// Null without a value.
    mean_us: Option<f64>,
    /// Null without a value.
    stddev_us: Option<f64>,
    /// Null where it lies beyond what was seen, as each percentile: it is longer than `beyond_us` then.
    p50_us: Option<u64>,
    p75_us: Option<u64>,
    p90_us: Option<u64>,
    p95_us: Option<u64>,
    p99_us: Option<u64>,
    p99_9_us: Option<u64>,
    p99_99_us: Option<u64>,
    max_us: Option<u64>,
    /// The longest time that was seen, where a percentile lies beyond it; null where none does.
    beyond_us: Option<u64>,
}

/// How the clients of a group came back, or did not.
#[derive(Debug, Serialize, JsonSchema)]
struct ReconnectsJson {
    /// Reconnects that were wanted: the sum of `back`, `given_up` and `away`.
    wanted: u64,
    /// Those that ended in a ready session.
    back: u64,
    /// Those that were given up.
    given_up: u64,
    /// Those under way when the run ended.
    away: u64,
    /// Of those, how many were cut off so late that the success rate leaves them out.
    too_late_to_tell: u64,
    /// The longest time that one had been away when the run ended; null where none was.
    longest_away_us: Option<u64>,
    /// Numerator of the success rate over its denominator, 0..1; null where none was wanted.
    success_rate: Option<f64>,
    /// The median of the reconnect latency, with its interval of 95 %; null where nobody was cut off.
    p50: Option<EstimateJson>,
    /// Its 95th percentile.
    p95: Option<EstimateJson>,
    /// Its 99th percentile.
    p99: Option<EstimateJson>,
    /// The share that is still away by the time since the disconnect: some twenty places of the curve, its end among them.
    curve: Vec<StillAwayJson>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct StillAwayJson {
    time_us: u64,
    /// Which share (0..1) is still away after it.
    still_away: f64,
}

/// An estimate (Kaplan and Meier 1958) with the bounds between which the true value lies in 95 of 100 cases (Brookmeyer and Crowley 1982).
#[derive(Debug, Serialize, JsonSchema)]
struct EstimateJson {
    /// Null where it lies beyond what was seen.
    value_us: Option<u64>,
    /// Null where it lies beyond what was seen.
    low_us: Option<u64>,
    /// Null where it lies beyond what was seen.
    high_us: Option<u64>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ReconciliationJson<'m> {
    /// Whether no number is a mismatch.
    holds: bool,
    /// Whether every number is exact.
    exact: bool,
    /// Attempts and sessions whose end at the target the clients could not know.
    unsettled: u64,
    /// The numbers.
    rows: &'m [ReconciliationRow],
    /// Reconnects by both sides' clocks; `null` where the target could not measure the same ones.
    reconnects: Option<&'m ReconnectClocks>,
    /// All that the target counted itself.
    target_counters: Option<&'m TargetCounters>,
}

/// What `run.json` holds of a run.
#[must_use]
pub fn run_json(model: &RunModel) -> RunJson<'_> {
    let manifest = &model.manifest;
    let end = model.end.as_ref();
    RunJson {
        schema_version: SCHEMA_VERSION,
        tool: ToolJson { name: "resurge", version: &manifest.tool_version },
        scenario: ScenarioJson {
            name: &manifest.scenario,
            hash: &manifest.scenario_hash,
            seed: manifest.seed,
            duration_s: manifest.duration_s,
        },
        target: TargetJson {
            kind: &manifest.target_kind,
            url: &manifest.target_url,
            authorised_hosts: &manifest.authorised_hosts,
        },
        simulated: manifest.simulated.as_ref(),
        host: &manifest.host,
        start_unix_us: manifest.started_unix_us,
        start: calendar(manifest.started_unix_us),
        end: end.and_then(|end| calendar(manifest.started_unix_us + (end.elapsed_s * 1e6) as u64)),
        elapsed_s: model.elapsed_s,
        ended: end.map(|end| &end.reason),
        shards: shards(model),
        torn_bytes: model.torn_bytes,
        observed: observed_json(model),
        verdict: &model.verdict,
        answer: &model.answer,
        thresholds: &model.thresholds,
        storms: &manifest.storms,
        outages: outages_json(model),
        availability: availability_json(model),
        exchanges: exchanges_json(model),
        streams: streams_json(model),
        kinds: kinds_json(model),
        refused_traces: refused_traces_json(model),
        marks: &model.marks,
        accounting: accounting(model),
        reconciliation: reconciliation(model),
        generator: end.map(|end| &end.health),
        write_faults: end.map(|end| end.write_faults.as_slice()).unwrap_or_default(),
    }
}

/// The JSON Schema of `run.json` (draft 2020-12).
#[must_use]
pub fn run_json_schema() -> Schema {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    settings.into_generator().into_root_schema_for::<RunJson<'static>>()
}

fn reconciliation(model: &RunModel) -> Option<ReconciliationJson<'_>> {
    let reconciliation = model.reconciliation.as_ref()?;
    Some(ReconciliationJson {
        holds: reconciliation.holds(),
        exact: reconciliation.is_exact(),
        unsettled: reconciliation.unsettled,
        rows: &reconciliation.rows,
        reconnects: reconciliation.reconnects.as_ref(),
        target_counters: model.end.as_ref().and_then(|end| end.target_counters.as_ref()),
    })
}

fn accounting(model: &RunModel) -> AccountingJson<'_> {
    let groups = model.groups().zip(&model.manifest.groups).enumerate();
    let clients = model.manifest.groups.iter().map(|group| u64::from(group.clients)).sum();
    AccountingJson {
        closes: model.account_faults.is_empty(),
        faults: &model.account_faults,
        groups: groups
            .map(|(place, ((name, tally), manifest))| GroupJson {
                requests: requests(model.manifest.steps_of(place), tally),
                ..group(name, u64::from(manifest.clients), tally)
            })
            .collect(),
        all: group("all", clients, &model.all),
    }
}

fn group<'m>(name: &'m str, clients: u64, tally: &Tally) -> GroupJson<'m> {
    let outcomes = Outcome::ALL.iter().map(|outcome| (*outcome, tally.outcome(*outcome)));
    let mut closes_1006: BTreeMap<Abnormal, u64> = BTreeMap::new();
    for (key, count) in &tally.closes {
        if let Some(how) = key.abnormal.filter(|_| key.code == ABNORMAL_CLOSURE) {
            *closes_1006.entry(how).or_default() += count;
        }
    }
    let times = Metric::ALL.iter().filter(|metric| metric.is_time());
    let times = times.filter_map(|metric| Some((*metric, latency(&Times::of(tally, *metric)?))));
    GroupJson {
        group: name,
        clients,
        attempts: tally.attempts_total(),
        outcomes: outcomes.filter(|(_, count)| *count > 0).collect(),
        sessions: tally.counter(Counter::Upgrades),
        closes: tally.closes_total(),
        closes_1006,
        ends: ends(tally),
        counters: Counter::ALL.iter().map(|counter| (*counter, tally.counter(*counter))).collect(),
        grounds: tally.grounds(),
        cascade_depth: tally.histograms.get(&Metric::CascadeDepth).map(|depths| CascadeJson {
            count: depths.count(),
            p50: depths.percentile_us(50.0),
            p99: depths.percentile_us(99.0),
            max: depths.max_us(),
        }),
        never_in: tally.never_in(),
        reconnects: reconnects(tally),
        latencies: times.collect(),
        requests: Vec::new(),
    }
}

fn requests<'m>(steps: &[String], tally: &'m Tally) -> Vec<RequestJson<'m>> {
    let rows = rows(tally).into_iter().map(|row| RequestJson {
        token: row.request.token_name(),
        step: row.request.step().map(|index| step_name(steps, index)),
        answer: row.answer,
        status: row.status,
        error: row.error.map(ErrorWord::text),
        count: row.count,
    });
    rows.collect()
}

fn latency(times: &Times<'_>) -> LatencyJson {
    let recorded = times.recorded;
    let percentile = |percentile| times.percentile(percentile).and_then(Quantile::seen_us);
    LatencyJson {
        count: recorded.map_or(0, Latencies::count),
        min_us: recorded.map(Latencies::min_us),
        mean_us: recorded.map(Latencies::mean_us),
        stddev_us: recorded.map(Latencies::stddev_us),
        p50_us: percentile(50.0),
        p75_us: percentile(75.0),
        p90_us: percentile(90.0),
        p95_us: percentile(95.0),
        p99_us: percentile(99.0),
        p99_9_us: percentile(99.9),
        p99_99_us: percentile(99.99),
        max_us: percentile(100.0),
        beyond_us: times.percentile(100.0).and_then(Quantile::beyond_us),
    }
}

fn reconnects(tally: &Tally) -> Option<ReconnectsJson> {
    let reconnects = Reconnects::of(tally);
    let estimate = |percentile| {
        let (low, high) = reconnects.survival.interval(percentile)?;
        let value_us = reconnects.percentile(percentile)?.seen_us();
        Some(EstimateJson { value_us, low_us: low.seen_us(), high_us: high.seen_us() })
    };
    let (back, of) = reconnects.success();
    (reconnects.wanted() > 0).then(|| ReconnectsJson {
        wanted: reconnects.wanted(),
        back: reconnects.back,
        given_up: reconnects.given_up,
        away: reconnects.away,
        too_late_to_tell: reconnects.too_late_to_tell,
        longest_away_us: reconnects.longest_away_us,
        success_rate: (of > 0).then(|| back as f64 / of as f64),
        p50: estimate(50.0),
        p95: estimate(95.0),
        p99: estimate(99.0),
        curve: curve(&reconnects.survival),
    })
}

fn curve(survival: &Survival) -> Vec<StillAwayJson> {
    let steps = survival.steps();
    let every = steps.len().div_ceil(CURVE_PLACES).max(1);
    let told = |step: &SurvivalStep| StillAwayJson { time_us: step.time_us, still_away: step.away };
    let last = steps.last().filter(|_| !(steps.len().saturating_sub(1)).is_multiple_of(every));
    steps.iter().step_by(every).chain(last).map(told).collect()
}

/// Calendar time in UTC, RFC 3339.
pub(super) fn calendar(unix_us: u64) -> Option<String> {
    let us = i64::try_from(unix_us).ok()?;
    jiff::Timestamp::from_microsecond(us).ok().map(|time| time.to_string())
}
