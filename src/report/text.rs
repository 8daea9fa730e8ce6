//! The summary for a terminal: the answer first, then where it comes from.
//!
//! In: a run. Out: text in aligned columns, at most 110 wide for usual names.

use std::fmt::Write as _;

use crate::record::{ExchangeCounts, GeneratorHealth, ThresholdStatus, health_faults};
use crate::sample::{Counter, Outcome};
use crate::units::{format_count, format_share, format_us, wrapped};

use super::aligned::aligned;
use super::lost::clients_words;
use super::marks;
use super::model::RunModel;
use super::observed::{faults as observed_faults, observed};
use super::outages::{availability, lines, outages};
use super::request_table::{refresh_lines, requests};
use super::simulated::{NO_GENERATOR, SIMULATED, assumptions, target_words};
use super::tables::{
    GroupTotals, Table, closes, grounds_words, handshakes, in_order, loop_words, messages, never_in, phases,
    reconnects, recovery, throughput, tokens,
};
use super::talk::exchanges;
use super::talk_tables::talk_tables;
use super::traces::refused_traces;
use super::verdict::Status;
use super::wire_tables::{compression, resumption};
use super::workers::worker_lines;

/// The longest line of a sentence.
const WIDTH: usize = 108;

/// How the text is dressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Whether colours are used.
    pub colour: bool,
}

impl Style {
    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.paint("31", text)
    }
}

/// The summary of a run.
#[must_use]
pub fn summary_text(model: &RunModel, style: Style) -> String {
    let groups = in_order(model);
    let mut text = String::new();
    write_head(&mut text, model, style);
    write_table(&mut text, &reconnects(&groups), style);
    for words in never_in(&groups) {
        line(&mut text, &format!("  {} {words}", style.bad("never in")));
    }
    if let Some(table) = recovery(model, &groups) {
        write_table(&mut text, &table, style);
    }
    for table in [outages(model), availability(model)].into_iter().flatten() {
        write_table(&mut text, &table, style);
    }
    write_table(&mut text, &handshakes(&groups), style);
    if let Some(words) = grounds_words(&model.all) {
        line(&mut text, &format!("  {words}"));
    }
    if let Some(table) = tokens(&groups) {
        write_table(&mut text, &table, style);
        write_loops(&mut text, model, &groups, style);
    }
    if let Some(table) = refused_traces(model) {
        write_table(&mut text, &table, style);
    }
    write_requests(&mut text, model, &groups, style);
    if let Some(table) = phases(model, &groups) {
        write_table(&mut text, &table, style);
    }
    write_table(&mut text, &throughput(model, &groups), style);
    for table in [messages(&groups), compression(&groups), resumption(&groups)].iter().flatten() {
        write_table(&mut text, table, style);
    }
    for table in talk_tables(model) {
        write_table(&mut text, &table, style);
    }
    write_observed(&mut text, model, style);
    write_closes(&mut text, &groups, style);
    write_marks(&mut text, model, style);
    write_thresholds(&mut text, model, style);
    write_generator(&mut text, model, style);
    write_accounts(&mut text, model, style);
    text
}

/// Writing to a String does not fail.
fn line(text: &mut String, content: &str) {
    let _ = writeln!(text, "{content}");
}

fn heading(text: &mut String, style: Style, title: &str) {
    line(text, "");
    line(text, &style.bold(title));
}

fn write_table(text: &mut String, table: &Table, style: Style) {
    heading(text, style, &format!("{} ({})", table.title.to_uppercase(), table.note));
    text.push_str(&aligned(&table.rows));
}

fn write_head(text: &mut String, model: &RunModel, style: Style) {
    let manifest = &model.manifest;
    let title = model.verdict.status.title();
    let painted = if model.verdict.status == Status::Pass { style.good(title) } else { style.bad(title) };
    line(
        text,
        &format!(
            "{}  {}: {}, {:.1} s, seed {}, {}",
            style.bold(&painted),
            manifest.scenario,
            clients_words(manifest),
            model.elapsed_s,
            manifest.seed,
            target_words(manifest),
        ),
    );
    if let Some(description) = &model.answer.description {
        line(text, &format!("  {description}"));
    }
    for said in model.answer.lines() {
        wrapped("  ", &said, 4, WIDTH).iter().for_each(|part| line(text, part));
    }
    for said in lines(model).into_iter().chain(worker_lines(model)) {
        wrapped("  ", &said, 4, WIDTH).iter().for_each(|part| line(text, part));
    }
    for next in &model.answer.next {
        let parts = wrapped("  next: ", next, 4, WIDTH);
        parts.iter().for_each(|part| line(text, &part.replacen("next:", &style.bold("next:"), 1)));
    }
    write_assumptions(text, model);
    for reason in &model.verdict.reasons {
        line(text, &format!("  {} {reason}", style.bad("!")));
    }
    if model.torn_bytes > 0 {
        line(
            text,
            &format!("  ! {} bytes at the journal's end were cut off", format_count(model.torn_bytes)),
        );
    }
    for fault in model.end.iter().flat_map(|end| &end.write_faults) {
        line(text, &format!("  {} {fault}", style.bad("!")));
    }
}

fn write_assumptions(text: &mut String, model: &RunModel) {
    if model.manifest.simulated.is_some() {
        line(text, &format!("  {SIMULATED}. Assumed:"));
        assumptions(&model.manifest).iter().for_each(|assumption| line(text, &format!("    {assumption}")));
    }
}

fn write_loops(text: &mut String, model: &RunModel, groups: &[GroupTotals<'_>], style: Style) {
    for group in groups {
        if let Some(words) = loop_words(model, group) {
            line(text, &format!("  {} {}: {words}", style.bad("refetch loop"), group.name));
        }
    }
}

/// What requests before handshakes came to, where some were not answered as they should be.
fn write_requests(text: &mut String, model: &RunModel, groups: &[GroupTotals<'_>], style: Style) {
    if let Some(table) = requests(model, groups) {
        write_table(text, &table, style);
    }
    for words in refresh_lines(model, groups) {
        line(text, &format!("  {} {words}", style.bad("refresh tokens")));
    }
}

/// The service's own numbers, where they were asked for.
fn write_observed(text: &mut String, model: &RunModel, style: Style) {
    if let Some(table) = observed(model) {
        write_table(text, &table, style);
    }
    for fault in observed_faults(model) {
        let parts = wrapped("  not observed ", &fault, 4, WIDTH);
        parts
            .iter()
            .for_each(|part| line(text, &part.replacen("not observed", &style.bad("not observed"), 1)));
    }
}

fn write_closes(text: &mut String, groups: &[GroupTotals<'_>], style: Style) {
    heading(text, style, "CLOSE CODES (by whom)");
    for group in groups {
        let closes = closes(group.tally);
        let list = if closes.is_empty() { "none".to_owned() } else { closes.join("  ") };
        line(text, &format!("  {}: {list}", group.name));
    }
}

fn write_marks(text: &mut String, model: &RunModel, style: Style) {
    if model.marks.is_empty() {
        return;
    }
    heading(text, style, &format!("EVENTS AND MARKS ({})", marks::NOTE));
    for mark in model.marks.iter().take(marks::MOST_ROWS) {
        let [at, name, by, came] = marks::row(mark);
        let sign = if mark.has_failed() { style.bad("✗") + " " } else { String::new() };
        let came = if came.is_empty() { came } else { format!(": {came}") };
        line(text, &format!("  {sign}{at}  {name} ({by}){came}"));
        for said in marks::failed_lines(mark) {
            line(text, &format!("      | {said}"));
        }
    }
    if let Some(more) = model.marks.len().checked_sub(marks::MOST_ROWS).filter(|more| *more > 0) {
        line(text, &format!("  and {} more: run.json has all", format_count(more as u64)));
    }
}

fn write_thresholds(text: &mut String, model: &RunModel, style: Style) {
    if model.thresholds.is_empty() {
        return;
    }
    heading(text, style, "THRESHOLDS");
    for result in &model.thresholds {
        let mark = match result.status {
            ThresholdStatus::Passed => style.good("✓"),
            ThresholdStatus::Failed => style.bad("✗"),
            ThresholdStatus::NoSamples => style.bad("?"),
        };
        line(text, &format!("  {mark} {}  (measured {})", result.threshold, result.measured_text));
    }
}

fn write_generator(text: &mut String, model: &RunModel, style: Style) {
    let Some(end) = &model.end else { return };
    let health = &end.health;
    let healthy = health_faults(health).is_empty();
    let word = if healthy { style.good("healthy") } else { style.bad("NOT HEALTHY") };
    heading(text, style, "GENERATOR");
    if model.manifest.simulated.is_some() {
        line(text, &format!("  none: {NO_GENERATOR}"));
        return write_pool_waits(text, health);
    }
    line(
        text,
        &format!(
            "  {word}: lag p50 {} p99 {} max {}; event loop stalls p99 {} max {}; CPU {:.1} s ({} of the machine); memory {:.0} MiB",
            format_us(health.lag_p50_us),
            format_us(health.lag_p99_us),
            format_us(health.lag_max_us),
            format_us(health.stall_p99_us),
            format_us(health.stall_max_us),
            health.cpu_s,
            format_share(health.cpu_share),
            health.max_rss_bytes as f64 / 1_048_576.0,
        ),
    );
    if health.attempts_watched > 0 {
        line(
            text,
            &format!(
                "  of {} attempts the event loop delayed half by at most {}, 99 % by at most {}; {} ended in a second without rest",
                format_count(health.attempts_watched),
                format_us(health.delay_p50_us),
                format_us(health.delay_p99_us),
                format_count(health.attempts_saturated),
            ),
        );
    }
    write_pool_waits(text, health);
}

fn write_pool_waits(text: &mut String, health: &GeneratorHealth) {
    if health.mint_waits > 0 {
        line(
            text,
            &format!(
                "  note: {} tokens waited for a processor to be signed (at most {}): part of phase `mint`, and this machine's doing",
                format_count(health.mint_waits),
                format_us(health.mint_wait_max_us),
            ),
        );
    }
    if health.token_pool_waits > 0 {
        line(
            text,
            &format!(
                "  note: {} token requests waited for a connection of our pool (at most {}): part of phase `token`. Raise token.max_connections, or set connection = \"fresh\"",
                format_count(health.token_pool_waits),
                format_us(health.token_pool_wait_max_us),
            ),
        );
    }
}

/// That each message of an exchange ended in one way.
fn write_exchange_sums(text: &mut String, model: &RunModel) {
    let rows = exchanges(model);
    if rows.is_empty() {
        return;
    }
    let sum = |count: fn(&ExchangeCounts) -> u64| -> String {
        let sum = rows.iter().fold(0_u64, |sum, row| sum.saturating_add(count(&row.own.counts)));
        format_count(sum)
    };
    line(
        text,
        &format!(
            "  exchanges: {} sent = {} ok + {} with failed checks + {} timed out + {} cut off + {} open",
            sum(|counts| counts.sent),
            sum(|counts| counts.ok),
            sum(|counts| counts.failed_checks),
            sum(|counts| counts.timeouts),
            sum(|counts| counts.cut_off),
            sum(|counts| counts.unfinished),
        ),
    );
}

fn write_accounts(text: &mut String, model: &RunModel, style: Style) {
    heading(text, style, "ACCOUNTS");
    let attempts = model.all.attempts_total();
    let outcomes: u64 = Outcome::ALL.iter().map(|outcome| model.all.outcome(*outcome)).sum();
    let word = if model.account_faults.is_empty() { style.good("close") } else { style.bad("DO NOT CLOSE") };
    line(
        text,
        &format!(
            "  {word}: {} attempts = {} outcomes; {} sessions = {} ends + {} open",
            format_count(attempts),
            format_count(outcomes),
            format_count(model.all.counter(Counter::Upgrades)),
            format_count(model.all.closes_total()),
            format_count(model.all.connected()),
        ),
    );
    write_exchange_sums(text, model);
    if model.manifest.breaks_off() {
        line(
            text,
            "  sessions of a lost shard count as open, and what its target counted is unknown: the two sides are not compared",
        );
    }
    let Some(reconciliation) = &model.reconciliation else { return };
    let word = match (reconciliation.is_exact(), reconciliation.holds()) {
        (true, _) => style.good("agree exactly"),
        (false, true) => format!(
            "agree but for {} whose end the clients cannot know",
            format_count(reconciliation.unsettled)
        ),
        (false, false) => style.bad("DO NOT AGREE"),
    };
    let rows: Vec<String> = reconciliation
        .rows
        .iter()
        .map(|row| format!("{} {}/{}", row.what, format_count(row.clients), format_count(row.target)))
        .collect();
    line(text, &format!("  clients and target {word} (clients/target):"));
    for chunk in rows.chunks(4) {
        line(text, &format!("    {}", chunk.join("; ")));
    }
    if let Some(clocks) = &reconciliation.reconnects {
        let rows = clocks.percentiles.iter().map(|row| {
            let word = if row.agrees { "" } else { " (TOO FAR APART)" };
            format!("p{} {}/{}{word}", row.percentile, format_us(row.clients_us), format_us(row.target_us))
        });
        line(
            text,
            &format!(
                "  reconnects by either side's clock (clients/target): {}",
                rows.collect::<Vec<_>>().join("; ")
            ),
        );
    }
    let counters = model.end.as_ref().and_then(|end| end.target_counters.as_ref());
    if let Some(topics) = counters.and_then(|counters| counters.topics) {
        line(text, &format!("  of its topics the target {topics}"));
    }
    let faults = counters.map(|counters| counters.faults_injected.as_slice()).unwrap_or_default();
    if !faults.is_empty() {
        let list: Vec<String> =
            faults.iter().map(|fault| format!("{} × {}", fault.kind, format_count(fault.count))).collect();
        line(text, &format!("  faults that the target injected: {}", list.join("; ")));
    }
}
