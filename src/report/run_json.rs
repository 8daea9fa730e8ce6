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
    GeneratorHealth, HostManifest, Latencies, Manifest, ReconciliationRow, ReconnectClocks, SCHEMA_VERSION,
    Simulated, StormManifest, Tally, ThresholdResult,
};
use crate::sample::{
    ABNORMAL_CLOSURE, Abnormal, CloseKey, Counter, ErrorWord, Initiator, Metric, Outcome, RequestAnswer,
};
use crate::service::counters::TargetCounters;

use super::lost::clients_of;
use super::model::RunModel;
use super::requests::{rows, step_name};
use super::verdict::Verdict;

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
    /// How it came out.
    verdict: &'m Verdict,
    /// The thresholds and their results, in the scenario's order.
    thresholds: &'m [ThresholdResult],
    /// The storms, in the scenario's order.
    storms: &'m [StormManifest],
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
struct ShardsJson<'m> {
    count: u32,
    /// Those whose numbers are here, from 1: all of them, unless this is one shard's own folder, or a merge that lacks some.
    held: Vec<u32>,
    /// Shards whose numbers are missing, from some second on or all of them.
    lost: Vec<LostJson<'m>>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct LostJson<'m> {
    /// Which, from 1.
    shard: u32,
    /// The first second whose numbers are missing; 0: there are none of it.
    from_s: u64,
    /// Why, as far as it is known.
    why: &'m str,
    /// Its clients, by group; groups without any are not there.
    clients: BTreeMap<&'m str, u64>,
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
    /// Sessions that began: the attempts with outcome `ok`.
    sessions: u64,
    /// Sessions that ended.
    closes: u64,
    /// Sessions that ended without a close frame (1006), by how.
    closes_1006: BTreeMap<Abnormal, u64>,
    /// Ends of sessions: who ended them, with which code, how, and what each side said.
    ends: Vec<EndJson>,
    /// Everything else that is counted.
    counters: BTreeMap<Counter, u64>,
    /// 403s in a row before a client had a session again, or was done; null without any.
    cascade_depth: Option<CascadeJson>,
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
struct EndJson {
    /// Who ended them.
    initiator: Initiator,
    /// The close code: 1006 where no close frame came that may be sent.
    code: u16,
    /// How, where there was no closing handshake.
    how: Option<Abnormal>,
    /// The code of the target's close frame, whether it may be sent or not; null where it sent none with a code.
    target_said: Option<u16>,
    /// The code of the client's close frame; null where it sent none with a code, or only repeated the target's.
    client_said: Option<u16>,
    /// How many.
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

#[derive(Debug, Serialize, JsonSchema)]
struct LatencyJson {
    count: u64,
    min_us: u64,
    mean_us: f64,
    stddev_us: f64,
    p50_us: u64,
    p75_us: u64,
    p90_us: u64,
    p95_us: u64,
    p99_us: u64,
    p99_9_us: u64,
    p99_99_us: u64,
    max_us: u64,
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
        shards: shards(manifest),
        torn_bytes: model.torn_bytes,
        verdict: &model.verdict,
        thresholds: &model.thresholds,
        storms: &manifest.storms,
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

fn shards(manifest: &Manifest) -> ShardsJson<'_> {
    let lost = manifest.lost.iter().map(|lost| LostJson {
        shard: lost.shard,
        from_s: lost.from_s,
        why: &lost.why,
        clients: clients_of(manifest, lost.shard).into_iter().collect(),
    });
    ShardsJson { count: manifest.shards, held: manifest.held_shards(), lost: lost.collect() }
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
    let times = tally.histograms.iter().filter(|(metric, _)| metric.is_time());
    GroupJson {
        group: name,
        clients,
        attempts: tally.attempts_total(),
        outcomes: outcomes.filter(|(_, count)| *count > 0).collect(),
        sessions: tally.outcome(Outcome::Ok),
        closes: tally.closes_total(),
        closes_1006,
        ends: ends(tally),
        counters: Counter::ALL.iter().map(|counter| (*counter, tally.counter(*counter))).collect(),
        cascade_depth: tally.histograms.get(&Metric::CascadeDepth).map(|depths| CascadeJson {
            count: depths.count(),
            p50: depths.percentile_us(50.0),
            p99: depths.percentile_us(99.0),
            max: depths.max_us(),
        }),
        latencies: times.map(|(metric, histogram)| (*metric, latency(histogram))).collect(),
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

fn ends(tally: &Tally) -> Vec<EndJson> {
    let end = |(key, count): (&CloseKey, &u64)| EndJson {
        initiator: key.initiator,
        code: key.code,
        how: key.abnormal,
        target_said: key.said.target.code(),
        client_said: key.said.client.code(),
        count: *count,
    };
    tally.closes.iter().map(end).collect()
}

fn latency(histogram: &Latencies) -> LatencyJson {
    LatencyJson {
        count: histogram.count(),
        min_us: histogram.min_us(),
        mean_us: histogram.mean_us(),
        stddev_us: histogram.stddev_us(),
        p50_us: histogram.percentile_us(50.0),
        p75_us: histogram.percentile_us(75.0),
        p90_us: histogram.percentile_us(90.0),
        p95_us: histogram.percentile_us(95.0),
        p99_us: histogram.percentile_us(99.0),
        p99_9_us: histogram.percentile_us(99.9),
        p99_99_us: histogram.percentile_us(99.99),
        max_us: histogram.max_us(),
    }
}

/// Calendar time in UTC, RFC 3339.
pub(super) fn calendar(unix_us: u64) -> Option<String> {
    let us = i64::try_from(unix_us).ok()?;
    jiff::Timestamp::from_microsecond(us).ok().map(|time| time.to_string())
}
