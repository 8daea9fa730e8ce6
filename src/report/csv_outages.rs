//! `outages.csv` and `availability.csv`.
//!
//! In: a run. Out: text, with the headers that `docs/src/results/csv.md` states.

use crate::record::outages::OutageIn;
use crate::record::{Availability, Quantile};

use super::csv_files::{ALL, CsvResult, write_rows};
use super::model::RunModel;
use super::outages::{ends, group_name, mark_of, refusals, told, told_in_cell};

/// `outages.csv`: a row for each outage and group, then one of all groups together where there are several.
///
/// # Errors
/// Only when memory cannot be written.
pub fn outages_csv(model: &RunModel) -> CsvResult {
    let header = [
        "outage",
        "group",
        "name",
        "first_lost_us",
        "last_lost_us",
        "lost",
        "at_risk",
        "share",
        "ended_by",
        "ends",
        "connected_least",
        "back",
        "away",
        "given_up",
        "not_wanted",
        "back_p50_us",
        "back_p95_us",
        "back_p100_us",
        "refused",
        "refusals",
        "token_requests_peak",
        "retries_per_client",
        "messages_missed",
        "cost_s",
        "sustained_s",
        "disconnects_per_client",
    ];
    let mut rows = Vec::new();
    for (index, outage) in model.outages.iter().enumerate() {
        let name = mark_of(&model.marks, outage).map_or("", |mark| mark.name.as_str());
        let mut own: Vec<&OutageIn> = told(model, outage).collect();
        // All groups together come last.
        own.rotate_left(1);
        rows.extend(own.into_iter().map(|own| outage_row(model, index, name, own)));
    }
    write_rows(&header, rows)
}

fn outage_row(model: &RunModel, index: usize, name: &str, own: &OutageIn) -> Vec<String> {
    let seen = |percentage| {
        let time = own.back_us(percentage).and_then(Quantile::seen_us);
        time.map_or_else(String::new, |us| us.to_string())
    };
    let refused: u64 = own.refusals().map(|(_, n)| n).sum();
    let chain =
        |of: fn(&crate::record::outages::Chain) -> String| own.chain.as_ref().map_or_else(String::new, of);
    vec![
        (index + 1).to_string(),
        group_name(model, own).to_owned(),
        name.to_owned(),
        own.first_us.to_string(),
        own.last_us.to_string(),
        own.lost.to_string(),
        own.at_risk.to_string(),
        format!("{:.6}", own.share()),
        own.ends.first().map_or_else(String::new, |(key, _)| key.to_string()),
        told_in_cell(&ends(own)),
        own.connected_least.to_string(),
        own.back_count().to_string(),
        own.away_count().to_string(),
        own.gave_up.to_string(),
        own.not_wanted.to_string(),
        seen(50.0),
        seen(95.0),
        seen(100.0),
        refused.to_string(),
        told_in_cell(&refusals(own)),
        own.token_requests_peak.to_string(),
        format!("{:.3}", own.retries_per_client()),
        own.messages_missed.to_string(),
        format!("{:.3}", own.cost_s()),
        chain(|chain| format!("{:.1}", chain.for_us as f64 / 1e6)),
        chain(|chain| format!("{:.2}", chain.disconnects_per_client)),
    ]
}

/// `availability.csv`: a row for each group and minute, then one for the whole run, whose minute is empty; all groups together last.
///
/// # Errors
/// Only when memory cannot be written.
pub fn availability_csv(model: &RunModel) -> CsvResult {
    let names = model.manifest.groups.iter().map(|group| group.name.as_str());
    let names = names.chain((model.totals.len() > 1).then_some(ALL));
    let rows = names.zip(&model.availability).flat_map(|(name, own)| availability_rows(name, own));
    write_rows(&["group", "minute", "wanted_client_s", "in_client_s", "availability"], rows)
}

fn availability_rows(name: &str, own: &Availability) -> Vec<Vec<String>> {
    let minutes = own.minutes.iter().enumerate().map(|(minute, share)| (minute.to_string(), share));
    let rows = minutes.chain([(String::new(), &own.all)]).filter_map(|(minute, share)| {
        let decimal = |ns: u128| format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000);
        Some(vec![
            name.to_owned(),
            minute,
            decimal(share.wanted_ns),
            decimal(share.in_ns),
            format!("{:.9}", share.share()?),
        ])
    });
    rows.collect()
}
