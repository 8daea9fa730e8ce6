//! The summary for a terminal: the answer first, then where it comes from.
//!
//! In: a run. Out: text of at most 80 columns: the answer in words, at most five tables, whether the numbers are to be believed, where the page is; or all tables.

use std::path::Path;

use crate::record::{ThresholdStatus, success_of};
use crate::sample::Outcome;
use crate::units::{format_count, format_us};

use super::details::{agreement_words, write_accounts, write_details, write_pool_waits};
use super::idle_storms::idle_storms;
use super::lost::clients_words;
use super::marks;
use super::model::RunModel;
use super::next::next_in;
use super::observed::faults as observed_faults;
use super::outages::lines;
use super::request_table::{failed_words, refresh_lines};
use super::sheet::{Sheet, Style, Tone};
use super::simulated::{SIMULATED, assumptions, target_words};
use super::tables::{
    GroupTotals, Table, handshakes, in_order, loop_words, never_in, phases, reconnects, recovery, traffic,
};
use super::traces::refused_lines;
use super::verdict::Status;
use super::workers::worker_lines;

/// The page of a run folder.
const PAGE: &str = super::write::PAGE_FILE;

/// How a summary is printed.
#[derive(Debug, Clone, Copy)]
pub struct Printed<'a> {
    /// How it is dressed.
    pub style: Style,
    /// Whether it has all tables, and not five at most.
    pub details: bool,
    /// The run's folder, as a user can name it; `None`: it is not known.
    pub folder: Option<&'a Path>,
}

/// The whole summary of a run, with all its tables.
#[must_use]
pub fn summary_text(model: &RunModel, style: Style) -> String {
    printed_summary(model, Printed { style, details: true, folder: None })
}

/// The summary of a run: what makes it not valid, failed thresholds and warnings are in it with and without details.
#[must_use]
pub fn printed_summary(model: &RunModel, printed: Printed<'_>) -> String {
    let groups = in_order(model);
    let mut sheet = Sheet::new(printed.style);
    write_head(&mut sheet, model, printed.folder);
    if printed.details {
        write_details(&mut sheet, model, &groups);
    } else {
        short_tables(model, &groups).iter().for_each(|table| sheet.table(table));
        write_warnings(&mut sheet, model, &groups);
        write_checks(&mut sheet, model);
    }
    write_page(&mut sheet, printed);
    sheet.into_text()
}

fn write_head(sheet: &mut Sheet, model: &RunModel, folder: Option<&Path>) {
    let manifest = &model.manifest;
    let status = model.verdict.status;
    let tone = if status == Status::Pass { Tone::Good } else { Tone::Bad };
    let run = format!(
        "{}: {}, {:.1} s, seed {}, {}",
        manifest.scenario,
        clients_words(manifest),
        model.elapsed_s,
        manifest.seed,
        target_words(manifest),
    );
    sheet.begin_as(tone, &format!("{} ", status.title()), &run);
    model.answer.description.iter().for_each(|description| sheet.say(description));
    model.answer.lines().for_each(|said| sheet.say(&said));
    lines(model).into_iter().chain(worker_lines(model)).for_each(|said| sheet.say(&said));
    for next in &next_in(folder, &model.answer.next) {
        sheet.say_as(Tone::Bold, "next:", &next.said);
        // A command is never broken: it is there to be pasted.
        next.command.iter().for_each(|command| sheet.line(&format!("    {command}")));
    }
    if manifest.simulated.is_some() {
        sheet.say(&format!("{SIMULATED}. Assumed:"));
        assumptions(manifest).iter().for_each(|assumption| sheet.say(&format!("- {assumption}")));
    }
    model.verdict.reasons.iter().for_each(|reason| sheet.say_as(Tone::Bad, "!", reason));
    if model.torn_bytes > 0 {
        let torn = format!("{} bytes at the journal's end were cut off", format_count(model.torn_bytes));
        sheet.say_as(Tone::Bad, "!", &torn);
    }
    let faults = model.end.iter().flat_map(|end| &end.write_faults);
    faults.for_each(|fault| sheet.say_as(Tone::Bad, "!", fault));
}

/// The five tables at most that a run without `--details` has.
fn short_tables(model: &RunModel, groups: &[GroupTotals<'_>]) -> Vec<Table> {
    let reconnects = reconnects(groups).only(
        &["group", "disconnects", "back", "given up", "away", "p50", "p99", "max"],
        "disconnect to ready session; >: beyond what was seen",
    );
    let has_storms =
        model.recovery_curves().iter().any(|curve| curve.storm.is_some() && curve.disconnects > 0);
    let recovery = recovery(model, groups).filter(|_| has_storms).map(|table| {
        table.only(
            &["group", "from", "disconnected", "back", "50%", "95%", "100%"],
            "until so many were back; >: not by the run's end",
        )
    });
    let handshakes = handshakes(groups).only(
        &["group", "kind", "attempts", "ok", "refused", "rate", "other", "not ok"],
        "each attempt has one outcome",
    );
    let phases = phases(model, groups).map(|table| Table {
        note: "share of the reconnect time, and p99, of each phase",
        rows: table
            .rows
            .iter()
            .map(|row| row.iter().map(|cell| cell.replace(" / ", " ")).collect())
            .collect(),
        ..table
    });
    [Some(reconnects), recovery, Some(handshakes), phases, traffic(model, groups)]
        .into_iter()
        .flatten()
        .collect()
}

/// A smaller share of reconnects that succeeded must not be overlooked.
const LEAST_BACK: f64 = 0.99;

/// What must not be overlooked.
fn write_warnings(sheet: &mut Sheet, model: &RunModel, groups: &[GroupTotals<'_>]) {
    let mut warnings: Vec<(&str, String)> = Vec::new();
    warnings.extend(never_in(groups).into_iter().map(|words| ("never in", words)));
    let loops = groups.iter().filter_map(|group| Some((group.name, loop_words(model, group)?)));
    warnings.extend(loops.map(|(name, words)| ("refetch loop", format!("{name}: {words}"))));
    warnings.extend(failed_words(model, groups).into_iter().map(|words| ("requests", words)));
    warnings.extend(refresh_lines(model, groups).into_iter().map(|words| ("refresh tokens", words)));
    warnings.extend(refused_lines(model).into_iter().map(|words| ("trace", words)));
    warnings.extend(observed_faults(model).into_iter().map(|words| ("not observed", words)));
    warnings.extend(unwatched(model).map(|words| ("not watched", words)));
    warnings.extend(idle_storms(model).into_iter().map(|words| ("storm", words)));
    warnings.extend(marks::failed_words(&model.marks).into_iter().map(|words| ("event", words)));
    if !warnings.is_empty() {
        sheet.heading("WARNINGS");
        warnings.iter().for_each(|(word, words)| sheet.say_as(Tone::Bad, word, words));
    }
}

/// That clients did not come back, where no threshold looks at that.
fn unwatched(model: &RunModel) -> Option<String> {
    const WATCH: [&str; 8] = [
        "reconnect_success_rate",
        "attempt_failure_rate",
        "refusal_rate",
        "reconnects_given_up",
        "reconnects_unfinished",
        "availability",
        "outage",
        "reconnects",
    ];
    let (back, of) = success_of(&model.totals);
    let is_watched = |threshold: &String| WATCH.iter().any(|name| threshold.starts_with(name));
    let is_bad = model.verdict.status == Status::Pass && of > 0 && (back as f64) < LEAST_BACK * of as f64;
    (is_bad && !model.manifest.thresholds.iter().any(is_watched)).then(|| {
        format!(
            "{} of {} reconnects succeeded, and no threshold looks at that: add reconnect_success_rate = [\"rate > 99%\"]",
            format_count(back),
            format_count(of)
        )
    })
}

/// A line each: thresholds, the generator, the totals. What does not hold is told in full.
fn write_checks(sheet: &mut Sheet, model: &RunModel) {
    sheet.gap();
    write_thresholds(sheet, model);
    write_generator(sheet, model);
    model.end.iter().for_each(|end| write_pool_waits(sheet, &end.health));
    match balance(model) {
        Some(words) => sheet.say_as(Tone::Good, "✓", &format!("totals: {words}")),
        None => write_accounts(sheet, model),
    }
}

fn write_thresholds(sheet: &mut Sheet, model: &RunModel) {
    let all = model.thresholds.len();
    let passed = model.thresholds.iter().filter(|result| result.status == ThresholdStatus::Passed).count();
    match all {
        0 => {}
        1 if passed == 1 => sheet.say_as(Tone::Good, "✓", "thresholds: the one passed"),
        _ if passed == all => sheet.say_as(Tone::Good, "✓", &format!("thresholds: all {all} passed")),
        _ => sheet.say_as(
            Tone::Bad,
            "✗",
            &format!("thresholds: {passed} of {all} passed; the others are above"),
        ),
    }
}

fn write_generator(sheet: &mut Sheet, model: &RunModel) {
    let Some(health) =
        model.end.as_ref().filter(|_| model.manifest.simulated.is_none()).map(|end| &end.health)
    else {
        return;
    };
    let (tone, sign, word) = if model.generator_faults().is_empty() {
        (Tone::Good, "✓", "healthy")
    } else {
        (Tone::Bad, "✗", "NOT HEALTHY")
    };
    let words = format!(
        "generator {word}: lag p99 {}, longest stall {}, CPU {}",
        format_us(health.lag_p99_us),
        format_us(health.stall_max_us),
        health.cpu_share_words(),
    );
    sheet.say_as(tone, sign, &words);
}

/// That the totals match, in words; `None` where they do not, or where it cannot be told.
fn balance(model: &RunModel) -> Option<String> {
    if !model.account_faults.is_empty() || model.manifest.breaks_off() {
        return None;
    }
    let outcomes: u64 = Outcome::ALL.iter().map(|outcome| model.all.outcome(*outcome)).sum();
    let attempts = format_count(model.all.attempts_total());
    match &model.reconciliation {
        None => Some(format!("{attempts} attempts = {} outcomes", format_count(outcomes))),
        Some(both)
            if both.holds() && both.reconnects.as_ref().is_none_or(|clocks| clocks.faults().is_empty()) =>
        {
            Some(format!("clients and target {} ({attempts} attempts)", agreement_words(both)))
        }
        Some(_) => None,
    }
}

/// Where the rest is: the last line.
fn write_page(sheet: &mut Sheet, printed: Printed<'_>) {
    let Some(folder) = printed.folder else { return };
    sheet.gap();
    if !printed.details {
        sheet.line("--details prints all tables. The page with plots:");
    }
    sheet.line(&folder.join(PAGE).display().to_string());
}
