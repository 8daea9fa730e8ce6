//! The sections of a run's page that are tables: tokens, faults, the generator, the accounts, and every number.
//!
//! In: a run and its points. Out: sections of tables, and the generator's plots.

use crate::record::{Agreement, GeneratorHealth, Latencies, Quantile, Tally, Times};
use crate::sample::{Answer, AttemptKind, Counter, Metric, Outcome, RequestAnswer};
use crate::units::{format_count, format_share, format_us};

use super::super::model::RunModel;
use super::super::request_table::refresh_lines;
use super::super::requests::{rows, step_name};
use super::super::simulated::NO_GENERATOR;
use super::super::tables::{in_order, loop_words};
use super::buckets::Buckets;
use super::marks::time_marks;
use super::page::{Block, Section};
use super::plot::{PlotKind, Unit};
use super::run_time::{TimePlots, spread_series};
use super::table::Table;
use super::tone::Tone;

/// The sections, in order.
pub(super) fn sections(model: &RunModel, buckets: &Buckets) -> Vec<Section> {
    vec![tokens(model), faults(model), generator(model, buckets), accounts(model), tables(model)]
}

fn tokens(model: &RunModel) -> Section {
    let lead = "How old tokens were at the handshake, how many a reconnect took, how many handshakes were wasted on a dead one, how many 403s came in a row.";
    let mut section = Section::new("tokens", "Tokens", lead);
    if model.all.counter(Counter::TokensFetched) == 0 {
        section.absent("No token was fetched.");
        push_requests(&mut section, model);
        return section;
    }
    let mut table = Table::new(
        "",
        &[
            "<group",
            "fetched",
            "failed requests",
            "per reconnect",
            "age p50",
            "age p99",
            "dead-token handshakes",
            "refetch turns",
            "refresh tokens refused",
            "refusals in a row p50",
            "max",
        ],
    );
    for (name, tally) in model.groups() {
        let count = |counter| format_count(tally.counter(counter));
        let back = tally.counter(Counter::Reconnects);
        let per_reconnect = tally.counter(Counter::TokensForReconnects) as f64 / back as f64;
        let ages = tally.histograms.get(&Metric::TokenAge);
        let depths = tally.histograms.get(&Metric::CascadeDepth);
        let depth =
            |of: fn(&Latencies) -> u64| depths.map_or_else(|| "–".to_owned(), |d| format_count(of(d)));
        let tone = if tally.counter(Counter::RefetchTurns) > 0 { Tone::Warning } else { Tone::Plain };
        table.row_in(
            tone,
            vec![
                name.to_owned(),
                count(Counter::TokensFetched),
                count(Counter::TokenFailures),
                if back > 0 { format!("{per_reconnect:.2}") } else { "–".to_owned() },
                percentile_text(ages, 50.0),
                percentile_text(ages, 99.0),
                count(Counter::DeadTokenHandshakes),
                count(Counter::RefetchTurns),
                count(Counter::RefreshTokensRefused),
                depth(|depths| depths.percentile_us(50.0)),
                depth(Latencies::max_us),
            ],
        );
    }
    section.push(Block::Table(table));
    for group in in_order(model) {
        if let Some(words) = loop_words(model, &group) {
            let text = format!("Refetch loop in {}: {words}", group.name);
            section.push(Block::Note { tone: Tone::Bad, text });
        }
    }
    push_requests(&mut section, model);
    section
}

/// What the requests for tokens and the steps before handshakes came to.
fn push_requests(section: &mut Section, model: &RunModel) {
    let columns =
        ["<group", "<request", "<answer", "<status", "<error", "count", "share", "p50", "p99", "max"];
    let mut table = Table::new("Requests before handshakes", &columns);
    for (place, (name, tally)) in model.groups().enumerate() {
        let steps = model.manifest.steps_of(place);
        for row in rows(tally) {
            let step = row.request.step().map(|index| format!("step: {}", step_name(steps, index)));
            let request = row.request.token_name().map(|name| format!("token: {name}")).or(step);
            let tone = if row.answer == RequestAnswer::Ok { Tone::Plain } else { Tone::Warning };
            let cells = vec![
                name.to_owned(),
                request.unwrap_or_default(),
                row.answer.name().to_owned(),
                row.status.map(|status| status.to_string()).unwrap_or_default(),
                row.error.map(|word| word.text().to_owned()).unwrap_or_default(),
                format_count(row.count),
                format_share(row.share),
                percentile_text(Some(row.latencies), 50.0),
                percentile_text(Some(row.latencies), 99.0),
                format_us(row.latencies.max_us()),
            ];
            table.row_in(tone, cells);
        }
    }
    if !table.rows.is_empty() {
        section.push(Block::Table(table));
    }
    for text in refresh_lines(model, &in_order(model)) {
        section.push(Block::Note { tone: Tone::Warning, text: format!("Refresh tokens: {text}") });
    }
}

fn faults(model: &RunModel) -> Section {
    let mut section = Section::new(
        "faults",
        "Injected faults",
        "What the embedded target did wrong because the scenario wanted it to.",
    );
    let counters = model.end.as_ref().and_then(|end| end.target_counters.as_ref());
    match counters {
        None => section.absent(
            "Not known: the target is not the embedded one, or its counters were lost with the run's end.",
        ),
        Some(counters) if counters.faults_injected.is_empty() => section.absent("No fault struck."),
        Some(counters) => {
            let mut table = Table::new("", &["<fault", "struck"]);
            for fault in &counters.faults_injected {
                table.row(vec![fault.kind.clone(), format_count(fault.count)]);
            }
            section.push(Block::Table(table));
        }
    }
    section
}

fn generator(model: &RunModel, buckets: &Buckets) -> Section {
    let lead = "Whether the generator itself was the bottleneck. Lag is how late it did what was due by the clock; a run whose generator was late is not valid.";
    let mut section = Section::new("generator", "Generator health", lead);
    match &model.end {
        None => section.absent("The generator's own figures were lost with the run's end."),
        Some(_) if model.manifest.simulated.is_some() => section.absent(NO_GENERATOR),
        Some(end) => write_health(&mut section, &end.health, model.generator_faults()),
    }
    let time = TimePlots { model, buckets, marks: time_marks(model) };
    let mut lag = time.plot("lag", "Lag of all clients", PlotKind::Time, "due to done", Unit::Us);
    lag.log_y = true;
    lag.series = spread_series(&buckets.all, |bucket| bucket.lag);
    section.plots_or(vec![lag], "No client did anything by the clock: there is no lag.");
    section
}

fn write_health(section: &mut Section, health: &GeneratorHealth, found: Vec<String>) {
    if found.is_empty() {
        section.push(Block::Note { tone: Tone::Good, text: "Healthy: within every limit.".to_owned() });
    }
    for text in found {
        section.push(Block::Note { tone: Tone::Bad, text });
    }
    let fact = |name: &str, value: String| (name.to_owned(), value);
    let facts = vec![
        fact(
            "Lag",
            format!(
                "p50 {}, p99 {} (limit {}), max {}",
                format_us(health.lag_p50_us),
                format_us(health.lag_p99_us),
                format_us(health.max_lag_p99_us),
                format_us(health.lag_max_us)
            ),
        ),
        fact(
            "Event loop stalls",
            format!(
                "p99 {}, max {} (limit {})",
                format_us(health.stall_p99_us),
                format_us(health.stall_max_us),
                format_us(health.max_stall_us)
            ),
        ),
        fact("CPU", health.cpu_words()),
        fact("Memory", health.memory_words()),
        fact(
            "Descriptors",
            format!(
                "{} budgeted of {}",
                format_count(health.descriptors_needed),
                format_count(health.descriptor_limit)
            ),
        ),
        fact("Local limits", format!("{} attempts", format_count(health.local_limits))),
        fact("Waits for the recorder", format_count(health.recorder_stalls)),
        fact(
            "Waits for our token pool",
            format!(
                "{}, at most {}",
                format_count(health.token_pool_waits),
                format_us(health.token_pool_wait_max_us)
            ),
        ),
    ];
    section.push(Block::Facts { facts });
    if health.mint_waits > 0 {
        let (count, longest) = (format_count(health.mint_waits), format_us(health.mint_wait_max_us));
        section.push(Block::Note {
            tone: Tone::Warning,
            text: format!(
                "{count} tokens waited for a processor to be signed, at most {longest}: that time is part of phase mint, and this machine's doing."
            ),
        });
    }
    if health.token_pool_waits > 0 {
        section.push(Block::Note {
            tone: Tone::Warning,
            text: "Token requests waited for a connection of our own pool: that time is part of phase token. Raise token.max_connections, or set connection = \"fresh\".".to_owned(),
        });
    }
}

fn accounts(model: &RunModel) -> Section {
    let lead = "Every attempt has exactly one outcome, every session one end, every disconnect one end. With the embedded target, its own counters stand beside the clients'.";
    let mut section = Section::new("accounts", "Accounts", lead);
    let all = &model.all;
    let outcomes: u64 = Outcome::ALL.iter().map(|outcome| all.outcome(*outcome)).sum();
    let closed = model.account_faults.is_empty();
    let text = format!(
        "The accounts {}: {} attempts = {} outcomes; {} sessions = {} ends + {} open.",
        if closed { "close" } else { "do not close" },
        format_count(all.attempts_total()),
        format_count(outcomes),
        format_count(all.counter(Counter::Upgrades)),
        format_count(all.closes_total()),
        format_count(all.connected()),
    );
    section.push(Block::Note { tone: if closed { Tone::Good } else { Tone::Bad }, text });
    for fault in &model.account_faults {
        section.push(Block::Note { tone: Tone::Bad, text: fault.clone() });
    }
    let Some(reconciliation) = &model.reconciliation else {
        section.absent("There are no counters of the target to compare with: it is not the embedded one, or they were lost with the run's end.");
        return section;
    };
    let (tone, text) = match (reconciliation.is_exact(), reconciliation.holds()) {
        (true, _) => (Tone::Good, "Clients and target agree exactly.".to_owned()),
        (false, true) => (
            Tone::Plain,
            format!(
                "Clients and target agree but for {} whose end the clients cannot know.",
                format_count(reconciliation.unsettled)
            ),
        ),
        (false, false) => (Tone::Bad, "Clients and target do not agree.".to_owned()),
    };
    section.push(Block::Note { tone, text });
    let counters = model.end.as_ref().and_then(|end| end.target_counters.as_ref());
    if let Some(topics) = counters.and_then(|counters| counters.topics) {
        section.push(Block::Note { tone: Tone::Plain, text: format!("Of its topics the target {topics}.") });
    }
    let mut table = Table::new("", &["<what", "clients", "target", "<agreement"]);
    for row in &reconciliation.rows {
        let (tone, word) = match row.agreement {
            Agreement::Exact => (Tone::Plain, "exact".to_owned()),
            Agreement::Explained => {
                (Tone::Plain, format!("within the {} unsettled", format_count(row.unsettled)))
            }
            Agreement::Mismatch => (Tone::Bad, "does not agree".to_owned()),
        };
        table.row_in(tone, vec![row.what.clone(), format_count(row.clients), format_count(row.target), word]);
    }
    for row in reconciliation.reconnects.iter().flat_map(|clocks| &clocks.percentiles) {
        let tone = if row.agrees { Tone::Plain } else { Tone::Bad };
        let word = if row.agrees { "within 3 % or 2 ms" } else { "too far apart" };
        let what = format!("p{} of the reconnects, by either side's clock", row.percentile);
        table.row_in(tone, vec![what, format_us(row.clients_us), format_us(row.target_us), word.to_owned()]);
    }
    section.push(Block::Table(table));
    section
}

fn tables(model: &RunModel) -> Section {
    let lead = "As in summary.csv, outcomes.csv and run.json. A percentile is the highest value of its bucket; three digits are significant.";
    let mut section = Section::new("tables", "Tables", lead);
    section.push(Block::Table(latencies(model)));
    section.push(Block::Table(attempts(model)));
    section.push(Block::Table(counters(model)));
    section
}

/// Name and totals of each group, then of all together where there are several.
fn with_all(model: &RunModel) -> impl Iterator<Item = (&str, &Tally)> {
    let several = model.totals.len() > 1;
    model.groups().chain(several.then_some(("all groups", &model.all)))
}

fn latencies(model: &RunModel) -> Table {
    let columns = [
        "<metric", "<group", "count", "min", "mean", "stddev", "p50", "p75", "p90", "p95", "p99", "p99.9",
        "p99.99", "max",
    ];
    let mut table = Table::new("Times", &columns);
    for metric in Metric::ALL.iter().filter(|metric| metric.is_time()) {
        for (name, tally) in with_all(model) {
            let Some(times) = Times::of(tally, *metric) else { continue };
            let count = times.recorded.map_or(0, Latencies::count);
            let mut row = vec![metric.name().to_owned(), name.to_owned(), format_count(count)];
            let of_recorded: [fn(&Latencies) -> u64; 3] = [
                Latencies::min_us,
                |recorded| recorded.mean_us().round() as u64,
                |recorded| recorded.stddev_us().round() as u64,
            ];
            let dash = || "–".to_owned();
            row.extend(
                of_recorded.map(|of| times.recorded.map_or_else(dash, |values| format_us(of(values)))),
            );
            let percentiles = [50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99, 100.0];
            row.extend(percentiles.map(|p| times.percentile(p).map_or_else(dash, Quantile::words)));
            table.row(row);
        }
    }
    table
}

fn attempts(model: &RunModel) -> Table {
    let mut table = Table::new(
        "Attempts",
        &[
            "<group",
            "<kind",
            "<outcome",
            "<where",
            "<said",
            "<answered by",
            "<cause",
            "<ground",
            "count",
            "share of kind",
        ],
    );
    for (name, tally) in model.groups() {
        let of_kind = |wanted: AttemptKind| tally.attempts_where(|kind, _, _| kind == wanted).max(1);
        for (key, count) in &tally.attempts {
            let answer = key.answer.as_deref();
            let told =
                |text: Option<String>| text.filter(|text| !text.is_empty()).unwrap_or_else(|| "–".to_owned());
            table.row(vec![
                name.to_owned(),
                key.kind.name().to_owned(),
                key.outcome.name().to_owned(),
                told(answer.map(|answer| answer.spoken.name().to_owned())),
                told(answer.map(Answer::said)),
                told(answer.map(|answer| answer.by.name().to_owned())),
                told(key.cause.map(|cause| cause.name().to_owned())),
                told(answer.filter(|_| key.cause.is_some()).map(|answer| answer.ground.name().to_owned())),
                format_count(*count),
                format_share(*count as f64 / of_kind(key.kind) as f64),
            ]);
        }
    }
    table
}

fn counters(model: &RunModel) -> Table {
    let mut table = Table::new("Counters", &["<counter", "<group", "count", "mean per second"]);
    let seconds = model.elapsed_s.max(0.001);
    for counter in Counter::ALL {
        for (name, tally) in with_all(model).filter(|(_, tally)| tally.counter(*counter) > 0) {
            let count = tally.counter(*counter);
            let rate = format!("{:.1}", count as f64 / seconds);
            table.row(vec![counter.name().to_owned(), name.to_owned(), format_count(count), rate]);
        }
    }
    table
}

/// A histogram's percentile for people; a dash where there is none.
fn percentile_text(latencies: Option<&Latencies>, percentile: f64) -> String {
    latencies.map_or_else(|| "–".to_owned(), |latencies| format_us(latencies.percentile_us(percentile)))
}
