//! The summary's details: every table, and the accounts in full.
//!
//! In: a run. Out: what a summary has with `--details`. Nothing of a run is left out but the rows beyond a table's bounds, which the files have.

use crate::record::{ExchangeCounts, GeneratorHealth, Reconciliation, ThresholdStatus};
use crate::sample::{Counter, Outcome};
use crate::units::{format_count, format_us};

use super::marks;
use super::model::RunModel;
use super::observed::{faults as observed_faults, observed};
use super::outages::{availability, outages};
use super::request_table::{refresh_lines, requests};
use super::sheet::{Sheet, Tone};
use super::simulated::NO_GENERATOR;
use super::tables::{
    GroupTotals, closes, grounds_words, handshakes, loop_words, messages, never_in, phases, reconnects,
    recovery, throughput, tokens, traffic,
};
use super::talk::exchanges;
use super::talk_tables::talk_tables;
use super::traces::refused_traces;
use super::wire_tables::{compression, resumption};

/// Every table.
pub(super) fn write_details(sheet: &mut Sheet, model: &RunModel, groups: &[GroupTotals<'_>]) {
    sheet.table(&reconnects(groups));
    never_in(groups).iter().for_each(|words| sheet.say_as(Tone::Bad, "never in", words));
    for table in [recovery(model, groups), outages(model), availability(model)].iter().flatten() {
        sheet.table(table);
    }
    sheet.table(&handshakes(groups));
    grounds_words(&model.all).iter().for_each(|words| sheet.say(words));
    if let Some(table) = tokens(groups) {
        sheet.table(&table);
        write_loops(sheet, model, groups);
    }
    refused_traces(model).iter().for_each(|table| sheet.table(table));
    requests(model, groups).iter().for_each(|table| sheet.table(table));
    refresh_lines(model, groups).iter().for_each(|words| sheet.say_as(Tone::Bad, "refresh tokens", words));
    phases(model, groups).iter().for_each(|table| sheet.table(table));
    sheet.table(&throughput(model, groups));
    let of_messages = [traffic(model, groups), messages(groups), compression(groups), resumption(groups)];
    of_messages.iter().flatten().for_each(|table| sheet.table(table));
    talk_tables(model).iter().for_each(|table| sheet.table(table));
    observed(model).iter().for_each(|table| sheet.table(table));
    observed_faults(model).iter().for_each(|fault| sheet.say_as(Tone::Bad, "not observed", fault));
    write_closes(sheet, groups);
    write_marks(sheet, model);
    write_thresholds(sheet, model);
    write_generator(sheet, model);
    write_accounts(sheet, model);
}

fn write_loops(sheet: &mut Sheet, model: &RunModel, groups: &[GroupTotals<'_>]) {
    for group in groups {
        if let Some(words) = loop_words(model, group) {
            sheet.say_as(Tone::Bad, "refetch loop", &format!("{}: {words}", group.name));
        }
    }
}

fn write_closes(sheet: &mut Sheet, groups: &[GroupTotals<'_>]) {
    sheet.heading("CLOSE CODES (by whom)");
    for group in groups {
        let closes = closes(group.tally);
        let list = if closes.is_empty() { "none".to_owned() } else { closes.join("; ") };
        sheet.say(&format!("{}: {list}", group.name));
    }
}

fn write_marks(sheet: &mut Sheet, model: &RunModel) {
    if model.marks.is_empty() {
        return;
    }
    sheet.heading(&format!("EVENTS AND MARKS ({})", marks::NOTE));
    for mark in model.marks.iter().take(marks::MOST_ROWS) {
        let [at, name, by, came] = marks::row(mark);
        let came = if came.is_empty() { came } else { format!(": {came}") };
        let words = format!("{at}  {name} ({by}){came}");
        if mark.has_failed() {
            sheet.say_as(Tone::Bad, "✗", &words);
        } else {
            sheet.say(&words);
        }
        marks::failed_lines(mark).iter().for_each(|said| sheet.say_as(Tone::Plain, "    |", said));
    }
    if let Some(more) = model.marks.len().checked_sub(marks::MOST_ROWS).filter(|more| *more > 0) {
        sheet.say(&format!("and {} more: run.json has all", format_count(more as u64)));
    }
}

fn write_thresholds(sheet: &mut Sheet, model: &RunModel) {
    if model.thresholds.is_empty() {
        return;
    }
    sheet.heading("THRESHOLDS");
    for result in &model.thresholds {
        let (tone, sign) = match result.status {
            ThresholdStatus::Passed => (Tone::Good, "✓"),
            ThresholdStatus::Failed => (Tone::Bad, "✗"),
            ThresholdStatus::NoSamples => (Tone::Bad, "?"),
        };
        sheet.say_as(tone, sign, &format!("{} (measured {})", result.threshold, result.measured_text));
    }
}

fn write_generator(sheet: &mut Sheet, model: &RunModel) {
    let Some(end) = &model.end else { return };
    let health = &end.health;
    sheet.heading("GENERATOR");
    if model.manifest.simulated.is_some() {
        sheet.say(&format!("none: {NO_GENERATOR}"));
        return write_pool_waits(sheet, health);
    }
    let is_healthy = model.generator_faults().is_empty();
    let (tone, word) = if is_healthy { (Tone::Good, "healthy:") } else { (Tone::Bad, "NOT HEALTHY:") };
    sheet.say_as(
        tone,
        word,
        &format!(
            "lag p50 {} p99 {} max {}; event loop stalls p99 {} max {}; CPU {}; memory {}{}",
            format_us(health.lag_p50_us),
            format_us(health.lag_p99_us),
            format_us(health.lag_max_us),
            format_us(health.stall_p99_us),
            format_us(health.stall_max_us),
            health.cpu_words(),
            health.memory_words(),
            match health.timer_grain_us {
                0 => String::new(),
                grain_us => format!("; timers of {}", format_us(grain_us)),
            },
        ),
    );
    if health.attempts_watched > 0 {
        sheet.say(&format!(
            "of {} attempts the event loop delayed half by at most {}, 99 % by at most {}; {}",
            format_count(health.attempts_watched),
            format_us(health.delay_p50_us),
            format_us(health.delay_p99_us),
            health.attempts_saturated.map_or_else(
                || "how busy it was is not known here".to_owned(),
                |saturated| format!("{} ended in a second without rest", format_count(saturated)),
            ),
        ));
    }
    write_pool_waits(sheet, health);
}

/// What clients waited for on this machine.
pub(super) fn write_pool_waits(sheet: &mut Sheet, health: &GeneratorHealth) {
    if health.mint_waits > 0 {
        sheet.say(&format!(
            "note: {} tokens waited for a processor to be signed (at most {}): part of phase `mint`, and this machine's doing",
            format_count(health.mint_waits),
            format_us(health.mint_wait_max_us),
        ));
    }
    if health.token_pool_waits > 0 {
        sheet.say(&format!(
            "note: {} token requests waited for a connection of our pool (at most {}): part of phase `token`. Raise token.max_connections, or set connection = \"fresh\"",
            format_count(health.token_pool_waits),
            format_us(health.token_pool_wait_max_us),
        ));
    }
}

/// That each message of an exchange ended in one way.
fn write_exchange_sums(sheet: &mut Sheet, model: &RunModel) {
    let rows = exchanges(model);
    if rows.is_empty() {
        return;
    }
    let sum = |count: fn(&ExchangeCounts) -> u64| -> String {
        let sum = rows.iter().fold(0_u64, |sum, row| sum.saturating_add(count(&row.own.counts)));
        format_count(sum)
    };
    sheet.say(&format!(
        "exchanges: {} sent = {} ok + {} with failed checks + {} timed out + {} cut off + {} open",
        sum(|counts| counts.sent),
        sum(|counts| counts.ok),
        sum(|counts| counts.failed_checks),
        sum(|counts| counts.timeouts),
        sum(|counts| counts.cut_off),
        sum(|counts| counts.unfinished),
    ));
}

/// How well the two sides' counts agree.
pub(super) fn agreement_words(both: &Reconciliation) -> String {
    match (both.is_exact(), both.holds()) {
        (true, _) => "agree exactly".to_owned(),
        (false, true) => {
            format!("agree but for {} whose end the clients cannot know", format_count(both.unsettled))
        }
        (false, false) => "DO NOT AGREE".to_owned(),
    }
}

/// Whether the totals match, in full.
pub(super) fn write_accounts(sheet: &mut Sheet, model: &RunModel) {
    sheet.heading("ACCOUNTS");
    let attempts = model.all.attempts_total();
    let outcomes: u64 = Outcome::ALL.iter().map(|outcome| model.all.outcome(*outcome)).sum();
    let (tone, word) = if model.account_faults.is_empty() {
        (Tone::Good, "balanced:")
    } else {
        (Tone::Bad, "UNBALANCED COUNTS:")
    };
    sheet.say_as(
        tone,
        word,
        &format!(
            "{} attempts = {} outcomes; {} sessions = {} ends + {} open",
            format_count(attempts),
            format_count(outcomes),
            format_count(model.all.counter(Counter::Upgrades)),
            format_count(model.all.closes_total()),
            format_count(model.all.connected()),
        ),
    );
    write_exchange_sums(sheet, model);
    if model.manifest.breaks_off() {
        sheet.say(
            "sessions of a lost shard count as open, and what its target counted is unknown: the two sides are not compared",
        );
    }
    if let Some(reconciliation) = &model.reconciliation {
        write_reconciliation(sheet, model, reconciliation);
    }
}

fn write_reconciliation(sheet: &mut Sheet, model: &RunModel, both: &Reconciliation) {
    sheet.say(&format!("clients and target {} (clients/target):", agreement_words(both)));
    let rows = both
        .rows
        .iter()
        .map(|row| format!("{} {}/{}", row.what, format_count(row.clients), format_count(row.target)));
    sheet.list(&rows.collect::<Vec<_>>());
    if let Some(clocks) = &both.reconnects {
        let rows = clocks.percentiles.iter().map(|row| {
            let word = if row.agrees { "" } else { " (TOO FAR APART)" };
            format!("p{} {}/{}{word}", row.percentile, format_us(row.clients_us), format_us(row.target_us))
        });
        let rows = rows.collect::<Vec<_>>().join("; ");
        sheet.say(&format!("reconnects by either side's clock (clients/target): {rows}"));
    }
    let counters = model.end.as_ref().and_then(|end| end.target_counters.as_ref());
    if let Some(topics) = counters.and_then(|counters| counters.topics) {
        sheet.say(&format!("of its topics the target {topics}"));
    }
    let faults = counters.map(|counters| counters.faults_injected.as_slice()).unwrap_or_default();
    if !faults.is_empty() {
        let list: Vec<String> =
            faults.iter().map(|fault| format!("{} × {}", fault.kind, format_count(fault.count))).collect();
        sheet.say(&format!("faults that the target injected: {}", list.join("; ")));
    }
}
