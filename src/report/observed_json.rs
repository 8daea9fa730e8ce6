//! The service's own numbers in `run.json`.
//!
//! In: a run. Out: a struct for each series that was asked for: what it is, least, most and mean over the whole run, and how often there was no answer.

use schemars::JsonSchema;
use serde::Serialize;

use crate::record::ObservedSpread;

use super::model::RunModel;
use super::observed::{spreads, spreads_around};

/// A series of the service's own numbers, over the whole run.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ObservedJson<'m> {
    /// Its name.
    series: &'m str,
    /// What its numbers count; may be empty.
    unit: &'m str,
    /// What it is: a metric and its labels, or a query.
    of: &'m str,
    /// The name of whom it was asked of.
    source: &'m str,
    /// Where that is.
    url: &'m str,
    /// How often it was asked for, in seconds.
    every_s: f64,
    /// The least value; null where there is none.
    least: Option<f64>,
    /// The largest value.
    most: Option<f64>,
    /// The mean of the seconds with a value.
    mean: Option<f64>,
    /// How many seconds have a value.
    seconds: u64,
    /// What it was around each outage, in the order of time.
    outages: Vec<AroundJson>,
    /// How often it was asked for without an answer of use.
    unanswered: u64,
    /// Why there was none, most of the time; null where there always was one.
    why: Option<&'m str>,
    /// Why a server did not answer at the run's end, for all of its time; null where it did, and for a page.
    at_end: Option<&'m str>,
}

/// What a series was from an outage's first loss until all were back, or the last was seen away.
#[derive(Debug, Serialize, JsonSchema)]
struct AroundJson {
    /// Which outage, from 1.
    outage: usize,
    /// The least value; null where there is none.
    least: Option<f64>,
    /// The largest value.
    most: Option<f64>,
    /// The mean of the seconds with a value.
    mean: Option<f64>,
    /// How many seconds have a value.
    seconds: u64,
}

impl AroundJson {
    fn of(outage: usize, spread: Option<ObservedSpread>) -> Self {
        Self {
            outage,
            least: spread.map(|spread| spread.least),
            most: spread.map(|spread| spread.most),
            mean: spread.map(|spread| spread.mean),
            seconds: spread.map_or(0, |spread| spread.seconds),
        }
    }
}

/// The series of a run.
pub(super) fn observed_json(model: &RunModel) -> Vec<ObservedJson<'_>> {
    let mut all = Vec::new();
    let around: Vec<_> = model.outages.iter().map(|outage| spreads_around(model, outage)).collect();
    for (index, (series, spread)) in spreads(model).into_iter().enumerate() {
        let fate = model.unanswered.iter().find(|of| (of.first..of.first + of.series).contains(&index));
        all.push(ObservedJson {
            series: &series.name,
            unit: &series.unit,
            of: &series.of,
            source: &series.source,
            url: &series.url,
            every_s: series.every_s,
            least: spread.map(|spread| spread.least),
            most: spread.map(|spread| spread.most),
            mean: spread.map(|spread| spread.mean),
            seconds: spread.map_or(0, |spread| spread.seconds),
            outages: around
                .iter()
                .enumerate()
                .map(|(outage, own)| {
                    AroundJson::of(outage + 1, own.get(index).and_then(|(_, spread)| *spread))
                })
                .collect(),
            unanswered: fate.map_or(0, |fate| fate.failed),
            why: fate.filter(|fate| fate.failed > 0).map(|fate| fate.why.as_str()),
            at_end: fate.and_then(|fate| fate.at_end.as_deref()),
        });
    }
    all
}
