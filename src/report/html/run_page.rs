//! The page of a run: what stands on it, from top to bottom.
//!
//! In: a run. Out: a page, from the verdict to the tables, as a performance engineer reads. It says no less than the summary.

use crate::engine::StopReason;
use crate::record::{Reconnects, Tally, ThresholdStatus};
use crate::sample::{Counter, Outcome};
use crate::units::{format_count, format_share, format_us};

use super::super::answer::capitalised;
use super::super::blind::storms;
use super::super::idle_storms::idle_storms;
use super::super::lost::clients_words;
use super::super::model::RunModel;
use super::super::outages::lines;
use super::super::recovery::RecoveryCurve;
use super::super::run_json::calendar;
use super::super::simulated::{SIMULATED, assumptions};
use super::super::tables::{in_order, never_in};
use super::super::verdict::Status;
use super::super::workers::worker_lines;
use super::buckets::Buckets;
use super::page::{Block, Figure, Page, Section};
use super::plot::Plot;
use super::plotted::{left_out, plotted_groups};
use super::render::{RenderError, render_page};
use super::table::Table;
use super::tone::Tone;
use super::{marks, run_arrivals, run_blind, run_observed, run_outages, run_tables, run_talk, run_time};

/// `report.html`: a run as one page.
///
/// # Errors
/// [`RenderError`]: a fault of this program.
pub fn report_html(model: &RunModel) -> Result<String, RenderError> {
    render_page(&run_page(model))
}

/// The page of a run.
#[must_use]
pub fn run_page(model: &RunModel) -> Page {
    let manifest = &model.manifest;
    let buckets = Buckets::of(model);
    let mut sections = vec![verdict(model), setting(model), run_outages::section(model), recovery(model)];
    sections.extend(marks::section(model));
    sections.extend(run_arrivals::section(model, &buckets));
    sections.extend(run_time::sections(model, &buckets));
    sections.extend(run_talk::section(model, &buckets));
    if let Some(observed) = run_observed::section(model, &buckets) {
        // Under how many are connected.
        let outcomes = sections.iter().position(|section| section.id == "outcomes");
        sections.insert(outcomes.map_or(sections.len(), |place| place + 1), observed);
    }
    sections.extend(run_tables::sections(model, &buckets));
    Page {
        title: manifest.scenario.clone(),
        subtitle: format!(
            "{} in {}, {:.1} s, seed {}, {}, {}",
            clients_words(manifest),
            plural(manifest.groups.len(), "group"),
            model.elapsed_s,
            manifest.seed,
            if manifest.simulated.is_some() {
                "simulated".to_owned()
            } else {
                format!("{} target", manifest.target_kind)
            },
            begun(model),
        ),
        sections,
        footer: format!("resurge {}; schema version {}", manifest.tool_version, manifest.schema_version),
    }
}

/// When the run began, to the second.
fn begun(model: &RunModel) -> String {
    calendar(model.manifest.started_unix_us / 1_000_000 * 1_000_000).unwrap_or_default()
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// The verdict with all that is to be said of it.
pub(super) fn verdict_block(model: &RunModel) -> Block {
    let tone = match model.verdict.status {
        Status::Pass => Tone::Good,
        Status::Interrupted | Status::Incomplete => Tone::Warning,
        _ => Tone::Bad,
    };
    Block::Verdict { tone, title: model.verdict.status.title().to_owned(), reasons: in_words(model) }
}

fn verdict(model: &RunModel) -> Section {
    let mut section = Section::new("verdict", "Verdict", "");
    section.push(verdict_block(model));
    if model.manifest.simulated.is_some() {
        let text = format!("{SIMULATED}. Assumed: {}.", assumptions(&model.manifest).join("; "));
        section.push(Block::Note { tone: Tone::Warning, text });
    }
    if model.torn_bytes > 0 {
        let text = format!(
            "{} bytes at the journal's end were cut off: at most the last second is missing",
            format_count(model.torn_bytes)
        );
        section.push(Block::Note { tone: Tone::Warning, text });
    }
    for fault in model.end.iter().flat_map(|end| &end.write_faults) {
        section.push(Block::Note { tone: Tone::Bad, text: fault.clone() });
    }
    for text in never_in(&in_order(model)) {
        section.push(Block::Note { tone: Tone::Warning, text });
    }
    section.push(Block::Figures { figures: figures(model) });
    if model.thresholds.is_empty() {
        section.absent("The scenario has no thresholds: nothing was to be held.");
        return section;
    }
    let mut table = Table::new("Thresholds", &["<", "<threshold", "measured"]);
    for result in &model.thresholds {
        let (tone, word) = match result.status {
            ThresholdStatus::Passed => (Tone::Good, "✓ holds"),
            ThresholdStatus::Failed => (Tone::Bad, "✗ failed"),
            ThresholdStatus::NoSamples => (Tone::Bad, "? no samples"),
        };
        table.row_in(tone, vec![word.to_owned(), result.threshold.clone(), result.measured_text.clone()]);
    }
    section.push(Block::Table(table));
    section
}

/// The answer: what happened to each group, what to do next, and what the verdict has to say.
fn in_words(model: &RunModel) -> Vec<String> {
    let next = model.answer.next.iter().map(|next| format!("Next: {next}"));
    let described = model.answer.description.iter().cloned();
    let outages = lines(model).into_iter().chain(worker_lines(model));
    described
        .chain(model.answer.lines())
        .chain(outages)
        .chain(next)
        .chain(model.verdict.reasons.iter().cloned())
        .collect()
}

/// A number of each group, for they are meant to be compared: the value alone where there is one group, else from the least to the most, and whose they are.
fn of_each(model: &RunModel, number: impl Fn(&Tally) -> Option<(f64, String)>) -> (String, Option<String>) {
    let mut found: Vec<(f64, String, &str)> = Vec::new();
    for (name, tally) in model.groups() {
        found.extend(number(tally).map(|(key, text)| (key, text, name)));
    }
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    match found.as_slice() {
        [] => ("–".to_owned(), None),
        [(_, text, name)] => (text.clone(), (model.totals.len() > 1).then(|| format!("{name} alone"))),
        [(_, least, _), .., (_, most, _)] if least == most => {
            (least.clone(), Some("in every group".to_owned()))
        }
        [(_, least, from), .., (_, most, to)] => {
            (format!("{least} … {most}"), Some(format!("{from} … {to}")))
        }
    }
}

fn figures(model: &RunModel) -> Vec<Figure> {
    let all = &model.all;
    let figure = |name: &str, value: String, detail: String, tone| Figure {
        name: name.to_owned(),
        value,
        detail,
        tone,
    };
    let reconnects = Reconnects::of(all);
    let percentile = |tally: &Tally, percentile| {
        let quantile = Reconnects::of(tally).percentile(percentile)?;
        let order = quantile.seen_us().map_or(f64::INFINITY, |us| us as f64);
        Some((order, quantile.words()))
    };
    let share = |part: u64, whole: u64| {
        (whole > 0).then(|| part as f64 / whole as f64).map(|share| (share, format_share(share)))
    };
    let (p99, p99_of) = of_each(model, |tally| percentile(tally, 99.0));
    let (p50, _) = of_each(model, |tally| percentile(tally, 50.0));
    let (back_share, back_of) = of_each(model, |tally| {
        share(tally.counter(Counter::Reconnects), tally.counter(Counter::Disconnects))
    });
    let answered_of = |tally: &Tally| tally.attempts_where(|_, outcome, _| outcome.is_answered());
    let refused_of = |tally: &Tally| tally.attempts_where(|_, outcome, _| outcome.is_refusal());
    let (refused_share, refused_in) = of_each(model, |tally| share(refused_of(tally), answered_of(tally)));
    let (disconnects, back) = (all.counter(Counter::Disconnects), all.counter(Counter::Reconnects));
    let (answered, refused) = (answered_of(all), refused_of(all));
    let whose = |groups: Option<String>, detail: String| {
        groups.map_or_else(|| detail.clone(), |groups| format!("{groups}; {detail}"))
    };
    vec![
        figure("Reconnect latency p99", p99, whose(p99_of, format!("p50 {p50}")), Tone::Plain),
        figure(
            "Clients back",
            back_share,
            whose(back_of, format!("{} of {} disconnects", format_count(back), format_count(disconnects))),
            Tone::Plain,
        ),
        figure(
            "Gave up",
            format_count(reconnects.given_up),
            "attempts used up, or told to".to_owned(),
            if reconnects.given_up > 0 { Tone::Warning } else { Tone::Plain },
        ),
        figure(
            "Still away",
            format_count(reconnects.away),
            reconnects.longest_away_us.map_or_else(
                || "when the run ended".to_owned(),
                |us| format!("longest for {}", format_us(us)),
            ),
            if reconnects.away > reconnects.too_late_to_tell { Tone::Warning } else { Tone::Plain },
        ),
        figure(
            "Handshakes refused",
            refused_share,
            whose(refused_in, format!("{} of {} answered", format_count(refused), format_count(answered))),
            if refused > 0 { Tone::Warning } else { Tone::Plain },
        ),
        figure(
            "Attempts",
            format_count(all.attempts_total()),
            format!("{} without a session", format_count(all.attempts_total() - all.outcome(Outcome::Ok))),
            Tone::Plain,
        ),
        figure(
            "Tokens fetched",
            format_count(all.counter(Counter::TokensFetched)),
            format!("{} for reconnects", format_count(all.counter(Counter::TokensForReconnects))),
            Tone::Plain,
        ),
    ]
}

fn setting(model: &RunModel) -> Section {
    let manifest = &model.manifest;
    let mut section = Section::new("setting", "What was run", "");
    let ended = match &model.end {
        None => "cut off: its end is missing".to_owned(),
        Some(end) => {
            let text = match &end.reason {
                StopReason::Completed => "as planned".to_owned(),
                StopReason::ClientsDone => "early: every client was done".to_owned(),
                StopReason::Threshold { threshold } => format!("early, by {threshold}"),
                StopReason::Interrupted => "interrupted".to_owned(),
                StopReason::NotAuthorised => "an address was not authorised".to_owned(),
            };
            format!("{}{}", text, if end.drained { "" } else { ", not every client by itself" })
        }
    };
    let fact = |name: &str, value: String| (name.to_owned(), value);
    let mut facts = vec![
        fact("Scenario", manifest.scenario.clone()),
        fact("Scenario hash", manifest.scenario_hash.clone()),
        fact("Seed", manifest.seed.to_string()),
        fact("Target", format!("{} ({})", manifest.target_url, manifest.target_kind)),
        fact("Begun", begun(model)),
        fact("Duration", format!("{:.1} s of {:.1} s planned", model.elapsed_s, manifest.duration_s)),
        fact("Ended", ended),
        fact("Version", format!("resurge {}", manifest.tool_version)),
        fact("Shards", manifest.shards.to_string()),
    ];
    if manifest.simulated.is_none() {
        let host = format!("{}, kernel {}", plural(manifest.host.cores, "core"), manifest.host.kernel);
        facts.push(fact("Host", host));
        facts.push(fact(
            "Limits",
            format!(
                "{} descriptors, {} local ports",
                format_count(manifest.host.descriptor_limit),
                format_count(manifest.host.local_ports)
            ),
        ));
    }
    if !manifest.authorised_hosts.is_empty() {
        facts.push(fact("Authorised hosts", manifest.authorised_hosts.join(", ")));
    }
    section.push(Block::Facts { facts });
    let mut groups = Table::new("", &["<group", "clients"]);
    for group in &manifest.groups {
        groups.row(vec![group.name.clone(), format_count(u64::from(group.clients))]);
    }
    section.push(Block::Table(groups));
    if manifest.storms.is_empty() {
        section.absent("The scenario has no storms.");
    } else {
        let mut storms = Table::new("", &["<storm", "at", "share of sessions"]);
        for storm in &manifest.storms {
            let at = format_us((storm.at_s * 1e6) as u64);
            storms.row(vec![storm.what.clone(), at, format_share(storm.fraction)]);
        }
        section.push(Block::Table(storms));
    }
    section.push(Block::Source {
        title: "The scenario as run".to_owned(),
        text: manifest.scenario_text.clone(),
    });
    section
}

/// What a blind curve shows.
const BLIND_WORDS: &str = "Who is back need not know anything new yet: the blind curves show the share that does not, from the disconnect to the first new message \
                           of the stream. Each key that a client follows counts by itself, once a message of it has come.";

/// The recovery curves, storm by storm, and for the disconnects that no storm forced.
fn recovery(model: &RunModel) -> Section {
    let mut section = Section::new(
        "recovery",
        "Recovery",
        "Which share of the disconnected clients was back, by the time since. For a storm, the time counts from when it was due; \
         clients that never came back stay in the denominator, so a curve that does not reach 100 % shows them. Who was still away when the run ended counts for as long as \
         it was seen to be (Kaplan-Meier): a time that is longer than all that was seen has a > before it.",
    );
    let curves = model.recovery_curves();
    let plotted = plotted_groups(model);
    let mut plots = Vec::new();
    let mut table = Table::new(
        "Time until back",
        &["<after", "<group", "disconnected", "back", "share", "away", "longest", "50 %", "95 %", "100 %"],
    );
    let mut blind = run_blind::table();
    for (number, storm) in storms(model).enumerate() {
        let (title, after) = match storm {
            Some(index) => (storm_name(model, index), format!("storm at {}", storm_time(model, index))),
            None => ("Disconnects that no storm forced".to_owned(), "no storm".to_owned()),
        };
        let of = |group: Option<usize>| curves.iter().find(|c| c.group == group && c.storm == storm);
        let own: Vec<(&str, &RecoveryCurve)> =
            plotted.iter().filter_map(|(index, name)| Some((*name, of(Some(*index))?))).collect();
        plots.push(Plot::recovery(&format!("recovery-{number}"), &title, &own));
        plots.extend(run_blind::plot(model, storm, (&title, &after), &mut blind));
        let groups = model.manifest.groups.iter().enumerate();
        let rows = groups.map(|(index, group)| (group.name.as_str(), of(Some(index))));
        let total = (model.manifest.groups.len() > 1).then(|| ("all groups", of(None)));
        for (name, curve) in rows.chain(total) {
            if let Some(curve) = curve.filter(|curve| curve.disconnects > 0) {
                table.row(recovery_row(&after, name, curve));
            }
        }
    }
    if table.rows.is_empty() {
        section.absent(
            "No client was disconnected: no storm struck, and no session ended that the client did not end itself.",
        );
        idle_storms(model).iter().for_each(|text| section.absent(&capitalised(text)));
        return section;
    }
    section.plots_or(plots, "");
    left_out(&mut section, model);
    section.push(Block::Table(table));
    for text in idle_storms(model) {
        section.push(Block::Note { tone: Tone::Bad, text: capitalised(&text) });
    }
    if !blind.rows.is_empty() {
        section.push(Block::Note { tone: Tone::Plain, text: BLIND_WORDS.to_owned() });
        section.push(Block::Table(blind));
    }
    section
}

fn storm_name(model: &RunModel, index: usize) -> String {
    format!("Storm at {}: {}", storm_time(model, index), model.manifest.storms[index].what)
}

fn storm_time(model: &RunModel, index: usize) -> String {
    format_us((model.manifest.storms[index].at_s * 1e6) as u64)
}

fn recovery_row(after: &str, group: &str, curve: &RecoveryCurve) -> Vec<String> {
    let mut row = vec![after.to_owned(), group.to_owned()];
    row.extend(run_blind::curve_cells(curve));
    row
}
