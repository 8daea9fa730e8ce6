//! Outages, as people read them: their names, a sentence each, and tables of outages and of availability.
//!
//! In: a run. Out: words and cells. Nothing is escaped here.

use crate::record::outages::{OutageIn, RunOutage};
use crate::record::{Mark, Quantile};
use crate::sample::AttemptKey;
use crate::units::{format_availability, format_count, format_share, format_us};

use super::model::RunModel;
use super::named_after::{Losses, named_after};
use super::tables::Table;

/// Outages that are told; of more, it is said how many.
pub(super) const MOST_OUTAGES: usize = 12;
/// Kinds of ends, and of refusals, that a sentence has.
const MOST_KINDS: usize = 3;

/// The mark that an outage follows.
pub(super) fn mark_of<'m>(marks: &'m [Mark], outage: &RunOutage) -> Option<&'m Mark> {
    named_after(marks, Losses::of(&outage.all))
}

/// The name of the mark that an outage of a run follows, from 0; `None` where it follows none.
#[must_use]
pub fn outage_name(model: &RunModel, index: usize) -> Option<&str> {
    let mark = model.outages.get(index).and_then(|outage| mark_of(&model.marks, outage));
    mark.map(|mark| mark.name.as_str())
}

/// What an outage is called: `outage 2 (deploy of 4f2a)`.
pub(super) fn title(model: &RunModel, index: usize) -> String {
    outage_name(model, index)
        .map_or_else(|| format!("outage {}", index + 1), |name| format!("outage {} ({name})", index + 1))
}

/// How often each came about, for people: `target 1012 × 1,180, other × 20`.
fn told_in_words(rows: &[(String, u64)], most: usize) -> String {
    let shown = rows.iter().take(most).map(|(what, n)| format!("{what} × {}", format_count(*n)));
    let mut shown: Vec<String> = shown.collect();
    if rows.len() > most {
        let more: u64 = rows[most..].iter().map(|(_, n)| n).sum();
        shown.push(format!("other × {}", format_count(more)));
    }
    shown.join(", ")
}

/// How often each came about, for a cell of a file: `target 1012 × 1180; target 1001 × 20`.
pub(super) fn told_in_cell(rows: &[(String, u64)]) -> String {
    rows.iter().map(|(what, n)| format!("{what} × {n}")).collect::<Vec<_>>().join("; ")
}

/// How its sessions ended, the most frequent first.
pub(super) fn ends(outage: &OutageIn) -> Vec<(String, u64)> {
    outage.ends.iter().map(|(key, n)| (key.to_string(), *n)).collect()
}

/// What refused its clients on their way back, the most frequent first.
pub(super) fn refusals(outage: &OutageIn) -> Vec<(String, u64)> {
    let rows: Vec<(String, u64)> = outage.refusals().map(|(key, n)| (refusal(key), *n)).collect();
    let mut merged: Vec<(String, u64)> = Vec::new();
    for (name, n) in rows {
        match merged.iter_mut().find(|(own, _)| *own == name) {
            Some((_, own)) => *own += n,
            None => merged.push((name, n)),
        }
    }
    merged.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    merged
}

fn refusal(key: &AttemptKey) -> String {
    match key.cause {
        Some(cause) => format!("{} {cause}", key.outcome),
        None => key.outcome.to_string(),
    }
}

/// From the first loss to the last.
fn within(outage: &OutageIn) -> String {
    format_us(outage.last_us.saturating_sub(outage.first_us))
}

fn after(outage: &OutageIn, percentage: f64) -> String {
    outage.back_us(percentage).map_or_else(|| "-".to_owned(), Quantile::words)
}

/// `self-sustaining for 40.0 s: 2.3 disconnects for each client`.
pub(super) fn chain_words(outage: &OutageIn) -> Option<String> {
    let chain = outage.chain?;
    Some(format!(
        "self-sustaining for {}: {:.1} disconnects for each client",
        format_us(chain.for_us),
        chain.disconnects_per_client
    ))
}

/// An outage in one sentence, without its name.
pub(super) fn sentence(outage: &OutageIn) -> String {
    let (lost, open) = (format_count(outage.lost), format_count(outage.at_risk));
    let losses = if outage.lost > outage.at_risk {
        format!("sessions lost {lost} times ({open} were open)")
    } else {
        format!("{lost} of {open} sessions lost")
    };
    let mut said = format!(
        "at {:.1} s, {losses} within {}, by {}",
        outage.first_us as f64 / 1e6,
        within(outage),
        told_in_words(&ends(outage), MOST_KINDS),
    );
    match outage.back_us(95.0) {
        Some(Quantile::At(us)) => {
            said.push_str(&format!("; 95 % were back {} after the first loss", format_us(us)));
        }
        Some(Quantile::Never(_)) => {
            said.push_str(&format!(
                "; 95 % were never back ({} of {} gave up)",
                format_count(outage.gave_up),
                format_count(outage.lost)
            ));
        }
        Some(Quantile::Beyond(us)) => {
            said.push_str(&format!(
                "; 95 % were not back yet ({} of {} after {})",
                format_count(outage.back_count()),
                format_count(outage.lost),
                format_us(us)
            ));
        }
        None => said.push_str("; nobody was wanted back"),
    }
    said.push_str(&format!(
        "; it cost {} client-seconds, {:.2} for each",
        cost_words(outage.cost_s()),
        outage.cost_s() / outage.lost.max(1) as f64
    ));
    if let Some(chain) = chain_words(outage) {
        said.push_str("; ");
        said.push_str(&chain);
    }
    said
}

fn cost_words(seconds: f64) -> String {
    if seconds < 100.0 { format!("{seconds:.1}") } else { format_count(seconds.round() as u64) }
}

/// A sentence for each outage, with its name; of many, the first, and how many more there are.
pub(super) fn lines(model: &RunModel) -> Vec<String> {
    let told = model.outages.iter().enumerate().take(MOST_OUTAGES);
    let mut lines: Vec<String> =
        told.map(|(index, outage)| format!("{}: {}", title(model, index), sentence(&outage.all))).collect();
    if model.outages.len() > MOST_OUTAGES {
        lines.push(format!("{} more outages: see outages.csv", model.outages.len() - MOST_OUTAGES));
    }
    lines
}

/// The outages, each over all and, where there are several groups, for each. `None` where there is none.
pub(super) fn outages(model: &RunModel) -> Option<Table> {
    if model.outages.is_empty() {
        return None;
    }
    let header = [
        "outage", "group", "from", "lost", "share", "within", "least in", "back", "50%", "95%", "100%",
        "retries", "cost", "ended by",
    ];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for (index, outage) in model.outages.iter().enumerate().take(MOST_OUTAGES) {
        for own in told(model, outage) {
            rows.push(row(model, &title(model, index), own));
        }
    }
    let note = "disconnects close together that no storm explains; times from the first loss; cost in client-seconds";
    Some(Table { title: "Outages", note, rows })
}

/// An outage over all, then in each group; of a run of one group that alone.
pub(super) fn told<'m>(
    model: &RunModel,
    outage: &'m RunOutage,
) -> impl Iterator<Item = &'m OutageIn> + use<'m> {
    let groups: &[OutageIn] = if model.totals.len() > 1 { &outage.groups } else { &[] };
    std::iter::once(&outage.all).chain(groups)
}

/// The group of an outage's row.
pub(super) fn group_name<'m>(model: &'m RunModel, outage: &OutageIn) -> &'m str {
    let only = (model.totals.len() == 1).then_some(0);
    let named = outage.group.or(only).and_then(|index| model.manifest.groups.get(index));
    named.map_or("all", |group| group.name.as_str())
}

fn row(model: &RunModel, title: &str, own: &OutageIn) -> Vec<String> {
    vec![
        title.to_owned(),
        group_name(model, own).to_owned(),
        format!("{:.1} s", own.first_us as f64 / 1e6),
        format_count(own.lost),
        format_share(own.share()),
        within(own),
        format_count(own.connected_least),
        format_count(own.back_count()),
        after(own, 50.0),
        after(own, 95.0),
        after(own, 100.0),
        format!("{:.2}", own.retries_per_client()),
        cost_words(own.cost_s()),
        told_in_words(&ends(own), 1),
    ]
}

/// The availability of each group. `None` where it was not recorded, as in runs of before.
pub(super) fn availability(model: &RunModel) -> Option<Table> {
    let names = model.manifest.groups.iter().map(|group| group.name.as_str());
    let names = names.chain((model.totals.len() > 1).then_some("all"));
    let mut rows =
        vec![["group", "wanted", "in", "availability", "worst minute"].map(str::to_owned).to_vec()];
    for (name, own) in names.zip(&model.availability) {
        let Some(share) = own.all.share() else { continue };
        let worst = own.minutes.iter().enumerate().filter_map(|(minute, own)| Some((own.share()?, minute)));
        let worst = worst.min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        rows.push(vec![
            name.to_owned(),
            format!("{:.1} s", own.all.wanted_ns as f64 / 1e9),
            format!("{:.1} s", own.all.in_ns as f64 / 1e9),
            format_availability(share),
            worst.map_or_else(
                || "-".to_owned(),
                |(share, at)| format!("{} ({at})", format_availability(share)),
            ),
        ]);
    }
    if rows.len() < 2 {
        return None;
    }
    let note =
        "client-seconds that clients were in, of those that they were wanted in; the worst minute, from 0";
    Some(Table { title: "Availability", note, rows })
}
