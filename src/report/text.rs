//! The summary for a terminal: the answer first, then where it comes from.
//!
//! In: a run. Out: text in aligned columns, at most 110 wide for usual names.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::record::{Latencies, Tally, ThresholdStatus, health_faults};
use crate::sample::{Abnormal, AttemptKind, Cause, Counter, Initiator, Metric, Outcome, Phase};
use crate::units::{format_count, format_share, format_us};

use super::model::RunModel;
use super::table::aligned;
use super::verdict::Status;

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
    let mut text = String::new();
    write_head(&mut text, model, style);
    write_reconnects(&mut text, model, style);
    write_handshakes(&mut text, model, style);
    write_tokens(&mut text, model, style);
    write_phases(&mut text, model, style);
    write_throughput(&mut text, model, style);
    write_closes(&mut text, model, style);
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

fn write_head(text: &mut String, model: &RunModel, style: Style) {
    let manifest = &model.manifest;
    let title = model.verdict.status.title();
    let painted = if model.verdict.status == Status::Pass { style.good(title) } else { style.bad(title) };
    let clients: u64 = manifest.groups.iter().map(|group| u64::from(group.clients)).sum();
    line(
        text,
        &format!(
            "{}  {}: {} clients, {:.1} s, seed {}, {} target {}",
            style.bold(&painted),
            manifest.scenario,
            format_count(clients),
            model.elapsed_s,
            manifest.seed,
            manifest.target_kind,
            manifest.target_url,
        ),
    );
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

fn write_reconnects(text: &mut String, model: &RunModel, style: Style) {
    heading(text, style, "RECONNECT LATENCY (disconnect to next ready session)");
    let header = ["group", "clients", "disconnects", "back", "given up", "p50", "p95", "p99", "p99.9", "max"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for ((name, tally), group) in model.groups().zip(&model.manifest.groups) {
        let back = tally.counter(Counter::Reconnects);
        let mut row = vec![
            name.to_owned(),
            format_count(u64::from(group.clients)),
            format_count(tally.counter(Counter::Disconnects)),
            format_count(back),
            format_count(tally.counter(Counter::ReconnectsGivenUp)),
        ];
        row.extend(latency_cells(tally.histograms.get(&Metric::ReconnectLatency)));
        rows.push(row);
    }
    text.push_str(&aligned(&rows));
}

fn latency_cells(histogram: Option<&Latencies>) -> Vec<String> {
    match histogram {
        None => vec!["-".to_owned(); 5],
        Some(histogram) => {
            let percentiles = [50.0, 95.0, 99.0, 99.9].map(|percentile| histogram.percentile_us(percentile));
            percentiles.into_iter().chain([histogram.max_us()]).map(format_us).collect()
        }
    }
}

fn write_handshakes(text: &mut String, model: &RunModel, style: Style) {
    heading(
        text,
        style,
        "HANDSHAKES (an attempt has one outcome; causes of 401 and 403 as far as the evidence goes)",
    );
    let header = ["group", "kind", "attempts", "ok", "403", "403 rate", "other", "causes and other outcomes"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for (name, tally) in model.groups() {
        for &kind in AttemptKind::ALL {
            rows.extend(handshake_row(name, kind, tally));
        }
    }
    text.push_str(&aligned(&rows));
}

fn handshake_row(name: &str, kind: AttemptKind, tally: &Tally) -> Option<Vec<String>> {
    let with = |wanted: Outcome| tally.attempts_where(|k, outcome, _| k == kind && outcome == wanted);
    let attempts = tally.attempts_where(|k, _, _| k == kind);
    if attempts == 0 {
        return None;
    }
    let (ok, refused) = (with(Outcome::Ok), with(Outcome::Http403));
    // Over the handshakes that were answered, as the threshold `handshake_403_rate` has it.
    let answered: u64 =
        Outcome::ALL.iter().filter(|o| **o == Outcome::Ok || o.is_refusal()).map(|o| with(*o)).sum();
    let mut details: BTreeMap<String, u64> = BTreeMap::new();
    for ((_, outcome, cause), count) in tally.attempts.iter().filter(|((k, _, _), _)| *k == kind) {
        let label = match (outcome, cause) {
            (Outcome::Ok, _) => continue,
            (Outcome::Http403, cause) => cause.map_or("unknown", Cause::name).to_owned(),
            (outcome, Some(cause)) => format!("{outcome} {cause}"),
            (outcome, None) => outcome.name().to_owned(),
        };
        *details.entry(label).or_default() += count;
    }
    let details: Vec<String> =
        details.iter().map(|(label, count)| format!("{label} {}", format_count(*count))).collect();
    Some(vec![
        name.to_owned(),
        kind.name().to_owned(),
        format_count(attempts),
        format_count(ok),
        format_count(refused),
        if answered > 0 { format_share(refused as f64 / answered as f64) } else { "-".to_owned() },
        format_count(attempts - ok - refused),
        if details.is_empty() { "-".to_owned() } else { details.join(", ") },
    ])
}

/// What tokens had to do with it: how old they were, how many it took, how many handshakes were wasted.
fn write_tokens(text: &mut String, model: &RunModel, style: Style) {
    if model.all.counter(Counter::TokensFetched) == 0 {
        return;
    }
    heading(
        text,
        style,
        "TOKENS (age at the handshake; fetched per reconnect; handshakes wasted on a dead one; 403s in a row)",
    );
    let header = [
        "group",
        "fetched",
        "per reconnect",
        "age p50",
        "age p99",
        "dead-token handshakes",
        "403s in a row p50",
        "max",
    ];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for (name, tally) in model.groups() {
        let back = tally.counter(Counter::Reconnects);
        let per_reconnect = tally.counter(Counter::TokensForReconnects) as f64 / back as f64;
        let age = |percentile| {
            let ages = tally.histograms.get(&Metric::TokenAge);
            ages.map_or_else(|| "-".to_owned(), |ages| format_us(ages.percentile_us(percentile)))
        };
        let depths = tally.histograms.get(&Metric::CascadeDepth);
        let depth = |of: fn(&Latencies) -> u64| {
            depths.map_or_else(|| "-".to_owned(), |depths| format_count(of(depths)))
        };
        rows.push(vec![
            name.to_owned(),
            format_count(tally.counter(Counter::TokensFetched)),
            if back > 0 { format!("{per_reconnect:.2}") } else { "-".to_owned() },
            age(50.0),
            age(99.0),
            format_count(tally.counter(Counter::DeadTokenHandshakes)),
            depth(|depths| depths.percentile_us(50.0)),
            depth(Latencies::max_us),
        ]);
    }
    text.push_str(&aligned(&rows));
    for ((name, tally), group) in model.groups().zip(&model.manifest.groups) {
        let turns = tally.counter(Counter::RefetchTurns);
        if turns > 0 {
            line(
                text,
                &format!(
                    "  {} {name}: {}",
                    style.bad("refetch loop"),
                    loop_words(model, tally, turns, group.clients)
                ),
            );
        }
    }
}

/// What the refetch loop cost: tokens fetched because of a refusal, and refused as well.
pub(super) fn loop_words(model: &RunModel, tally: &Tally, turns: u64, clients: u32) -> String {
    let seconds = model.elapsed_s.max(0.001);
    let share = turns as f64 / tally.counter(Counter::TokensFetched).max(1) as f64;
    format!(
        "{} tokens ({:.0}/s, {:.1} a client, {} of all that it fetched) were fetched after a refusal and refused as well: the token is not the reason",
        format_count(turns),
        turns as f64 / seconds,
        turns as f64 / f64::from(clients.max(1)),
        format_share(share),
    )
}

fn write_phases(text: &mut String, model: &RunModel, style: Style) {
    let shown: Vec<Phase> = Phase::ALL
        .iter()
        .copied()
        .filter(|phase| model.all.histograms.get(&Metric::of_phase(*phase)).is_some_and(|h| h.max_us() > 0))
        .collect();
    if shown.is_empty() {
        return;
    }
    heading(text, style, "WHERE THE TIME WENT (share of all reconnect time / p99 of the phase)");
    let mut header = vec!["group".to_owned()];
    header.extend(shown.iter().map(|phase| phase.name().to_owned()));
    let mut rows = vec![header];
    for (name, tally) in model.groups() {
        let Some(total) = tally.histograms.get(&Metric::ReconnectLatency).map(Latencies::sum_us) else {
            continue;
        };
        let mut row = vec![name.to_owned()];
        row.extend(shown.iter().map(|phase| match tally.histograms.get(&Metric::of_phase(*phase)) {
            Some(histogram) if histogram.max_us() > 0 => {
                let share = histogram.sum_us() / total.max(1.0);
                format!("{:.0}% / {}", share * 100.0, format_us(histogram.percentile_us(99.0)))
            }
            _ => "-".to_owned(),
        }));
        rows.push(row);
    }
    text.push_str(&aligned(&rows));
}

fn write_throughput(text: &mut String, model: &RunModel, style: Style) {
    heading(text, style, "THROUGHPUT (mean over the run) AND WHAT OUTAGES COST");
    let header =
        ["group", "reconnects/s", "tokens/s", "messages/s", "peak tokens/s", "missed messages", "per outage"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    let seconds = model.elapsed_s.max(0.001);
    let rate = |count: u64| format!("{:.1}", count as f64 / seconds);
    for (index, (name, tally)) in model.groups().enumerate() {
        let peak = model.seconds.iter().filter_map(|(_, groups)| groups.get(index));
        let peak = peak.map(|tally| tally.counter(Counter::TokensFetched)).max().unwrap_or(0);
        let (missed, outages) =
            (tally.counter(Counter::MessagesMissed), tally.counter(Counter::OutagesMeasured));
        rows.push(vec![
            name.to_owned(),
            rate(tally.counter(Counter::Reconnects)),
            rate(tally.counter(Counter::TokensFetched)),
            rate(tally.counter(Counter::MessagesIn)),
            format_count(peak),
            if outages > 0 { format_count(missed) } else { "-".to_owned() },
            if outages > 0 { format!("{:.2}", missed as f64 / outages as f64) } else { "-".to_owned() },
        ]);
    }
    text.push_str(&aligned(&rows));
}

fn write_closes(text: &mut String, model: &RunModel, style: Style) {
    heading(text, style, "CLOSE CODES (by whom)");
    for (name, tally) in model.groups() {
        let closes: Vec<String> = tally
            .closes
            .iter()
            .map(|((initiator, code, how), count)| {
                format!("{} × {}", close_name(*initiator, *code, *how), format_count(*count))
            })
            .collect();
        let list = if closes.is_empty() { "none".to_owned() } else { closes.join("  ") };
        line(text, &format!("  {name}: {list}"));
    }
}

fn close_name(initiator: Initiator, code: u16, how: Option<Abnormal>) -> String {
    how.map_or_else(|| format!("{initiator} {code}"), |how| format!("{initiator} {code} ({how})"))
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
            format_count(model.all.outcome(Outcome::Ok)),
            format_count(model.all.closes_total()),
            format_count(model.all.connected()),
        ),
    );
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
    let counters = model.end.as_ref().and_then(|end| end.target_counters.as_ref());
    let faults = counters.map(|counters| counters.faults_injected.as_slice()).unwrap_or_default();
    if !faults.is_empty() {
        let list: Vec<String> =
            faults.iter().map(|fault| format!("{} × {}", fault.kind, format_count(fault.count))).collect();
        line(text, &format!("  faults that the target injected: {}", list.join("; ")));
    }
}
