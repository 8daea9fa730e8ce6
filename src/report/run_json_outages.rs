//! The outages and the availability in `run.json`.
//!
//! In: a run. Out: typed structs that serialize to the file.

use schemars::JsonSchema;
use serde::Serialize;

use crate::record::outages::{OutageIn, RunOutage};
use crate::record::{Availability, Quantile, Share};
use crate::sample::{AttemptKey, Cause, Outcome};

use super::model::RunModel;
use super::outages::{group_name, mark_of};
use super::run_json_ends::EndJson;

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct OutageJson<'m> {
    /// Which, from 1, in the order of time.
    outage: usize,
    /// The mark that it follows; null: it follows none.
    name: Option<&'m str>,
    /// Over all groups.
    all: OutageInJson<'m>,
    /// In each group that lost clients.
    groups: Vec<OutageInJson<'m>>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct OutageInJson<'m> {
    /// Its name; `all` for all groups together.
    group: &'m str,
    /// When the first was lost, since the run's start.
    first_lost_us: u64,
    /// When the last was lost.
    last_lost_us: u64,
    /// How many were lost; who was lost twice counts twice.
    lost: u64,
    /// How many sessions there were when it began.
    at_risk: u64,
    /// `lost` over `at_risk`.
    share: f64,
    /// How the sessions ended.
    ends: Vec<EndJson>,
    /// The fewest clients that were in, from the first loss on, at the ends of tenths of seconds.
    connected_least: u64,
    /// How many came back.
    back: u64,
    /// How many were still away when the run ended.
    away: u64,
    /// How many gave up.
    given_up: u64,
    /// How many were not wanted back.
    not_wanted: u64,
    /// From the first loss until half of them were back; null where they never were.
    back_p50_us: Option<u64>,
    /// Until 95 % were.
    back_p95_us: Option<u64>,
    /// Until all were.
    back_p100_us: Option<u64>,
    /// The longest time that was seen, where one of the three lies beyond it.
    beyond_us: Option<u64>,
    /// Attempts to come back that failed, by outcome and cause.
    failed: Vec<FailedJson>,
    /// Attempts that failed for each client that was lost.
    retries_per_client: f64,
    /// The most requests for tokens in a second, from the first loss until all were back.
    token_requests_peak: u64,
    /// Messages that were missed in those seconds.
    messages_missed: u64,
    /// Client-seconds that those who were lost were out.
    cost_s: f64,
    /// For how long it went on by itself, as those who had come back were lost once more; null: it did not.
    sustained_s: Option<f64>,
    /// Disconnects for each client that was lost, where it went on by itself.
    disconnects_per_client: Option<f64>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct FailedJson {
    outcome: Outcome,
    /// Why, for refusals.
    cause: Option<Cause>,
    count: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct AvailabilityJson<'m> {
    /// Its name; `all` for all groups together.
    group: &'m str,
    /// Client-seconds that clients were wanted in.
    wanted_s: f64,
    /// Client-seconds that they were in.
    in_s: f64,
    /// `in_s` over `wanted_s`, 0..1.
    availability: f64,
    /// The same of each minute of the run, from the first; null where nobody was wanted.
    minutes: Vec<Option<f64>>,
}

pub(super) fn outages_json(model: &RunModel) -> Vec<OutageJson<'_>> {
    let told = model.outages.iter().enumerate().map(|(index, outage)| {
        let RunOutage { all, groups } = outage;
        OutageJson {
            outage: index + 1,
            name: mark_of(&model.marks, outage).map(|mark| mark.name.as_str()),
            all: OutageInJson { group: "all", ..outage_in(model, all) },
            groups: groups.iter().map(|own| outage_in(model, own)).collect(),
        }
    });
    told.collect()
}

fn outage_in<'m>(model: &'m RunModel, own: &OutageIn) -> OutageInJson<'m> {
    let times = [50.0, 95.0, 100.0].map(|percentage| own.back_us(percentage));
    let [back_p50_us, back_p95_us, back_p100_us] = times.map(|time| time.and_then(Quantile::seen_us));
    OutageInJson {
        group: group_name(model, own),
        first_lost_us: own.first_us,
        last_lost_us: own.last_us,
        lost: own.lost,
        at_risk: own.at_risk,
        share: own.share(),
        ends: own.ends.iter().map(|(key, count)| EndJson::of(key, *count)).collect(),
        connected_least: own.connected_least,
        back: own.back_count(),
        away: own.away_count(),
        given_up: own.gave_up,
        not_wanted: own.not_wanted,
        back_p50_us,
        back_p95_us,
        back_p100_us,
        beyond_us: times.into_iter().flatten().find_map(Quantile::beyond_us),
        failed: own.failed.iter().map(failed).collect(),
        retries_per_client: own.retries_per_client(),
        token_requests_peak: own.token_requests_peak,
        messages_missed: own.messages_missed,
        cost_s: own.cost_s(),
        sustained_s: own.chain.map(|chain| chain.for_us as f64 / 1e6),
        disconnects_per_client: own.chain.map(|chain| chain.disconnects_per_client),
    }
}

fn failed((key, count): &(AttemptKey, u64)) -> FailedJson {
    FailedJson { outcome: key.outcome, cause: key.cause, count: *count }
}

pub(super) fn availability_json(model: &RunModel) -> Vec<AvailabilityJson<'_>> {
    let names = model.manifest.groups.iter().map(|group| group.name.as_str()).chain(["all"]);
    names.zip(&model.availability).filter_map(|(group, own)| availability_of(group, own)).collect()
}

/// `None` where nobody was wanted, or it was not recorded.
fn availability_of<'m>(group: &'m str, own: &Availability) -> Option<AvailabilityJson<'m>> {
    let Share { wanted_ns, in_ns } = own.all;
    Some(AvailabilityJson {
        group,
        wanted_s: wanted_ns as f64 / 1e9,
        in_s: in_ns as f64 / 1e9,
        availability: own.all.share()?,
        minutes: own.minutes.iter().map(Share::share).collect(),
    })
}
