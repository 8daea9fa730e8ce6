//! The tables that people read, as cells: the summary and the Markdown lay out the same ones.
//!
//! In: a run, its groups in some order. Out: tables: a title, a note, a header and rows. Nothing is escaped here.

use std::collections::BTreeMap;

use crate::record::{Latencies, Quantile, Reconnects, Tally};
use crate::sample::{Answer, AttemptKey, AttemptKind, Cause, Counter, Metric, Outcome, Phase};
use crate::units::{format_count, format_share, format_us};

use super::arrivals::come_and_go;
use super::empty::never_in_words;
use super::model::RunModel;
use super::recovery::RecoveryCurve;
use super::sparkline::recovery_sparkline;

/// Rows of the recovery table: a run may have many groups, and as many storms.
const MOST_CURVES: usize = 24;

/// A group, as a table needs it.
#[derive(Debug, Clone, Copy)]
pub(super) struct GroupTotals<'m> {
    /// Its place in the scenario.
    pub(super) index: usize,
    pub(super) name: &'m str,
    pub(super) clients: u32,
    pub(super) tally: &'m Tally,
    /// Whether its clients leave at a time of their own.
    pub(super) departs: bool,
}

/// A table: its first row is the header, its first column the groups.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) title: &'static str,
    pub(super) note: &'static str,
    pub(super) rows: Vec<Vec<String>>,
}

impl Table {
    /// The columns of these titles, in the table's order, under another note.
    pub(super) fn only(self, titles: &[&str], note: &'static str) -> Self {
        let header = self.rows.first().cloned().unwrap_or_default();
        let is_wanted =
            |column: &usize| header.get(*column).is_some_and(|title| titles.contains(&title.as_str()));
        let pick = |row: Vec<String>| {
            row.into_iter()
                .enumerate()
                .filter(|(column, _)| is_wanted(column))
                .map(|(_, cell)| cell)
                .collect()
        };
        Self { note, rows: self.rows.into_iter().map(pick).collect(), ..self }
    }
}

/// The groups in the scenario's order.
pub(super) fn in_order(model: &RunModel) -> Vec<GroupTotals<'_>> {
    let groups = model.groups().zip(&model.manifest.groups).zip(come_and_go(&model.manifest)).enumerate();
    groups
        .map(|(index, (((name, tally), group), departs))| GroupTotals {
            index,
            name,
            clients: group.clients,
            tally,
            departs,
        })
        .collect()
}

/// The groups, worst first: by the share of disconnects that did not end in a ready session, then by the p99 of the reconnects.
pub(super) fn worst_first(model: &RunModel) -> Vec<GroupTotals<'_>> {
    let badness = |group: &GroupTotals<'_>| {
        let disconnects = group.tally.counter(Counter::Disconnects);
        let lost = disconnects.saturating_sub(group.tally.counter(Counter::Reconnects));
        let p99 = group.tally.histograms.get(&Metric::ReconnectLatency).map_or(0, |h| h.percentile_us(99.0));
        (lost * 1_000_000 / disconnects.max(1), p99)
    };
    let mut groups = in_order(model);
    groups.sort_by_key(|group| std::cmp::Reverse(badness(group)));
    groups
}

fn header<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

/// How the groups came back.
pub(super) fn reconnects(groups: &[GroupTotals<'_>]) -> Table {
    let mut rows = vec![header([
        "group",
        "clients",
        "disconnects",
        "back",
        "given up",
        "away",
        "longest",
        "p50",
        "p95",
        "p99",
        "p99.9",
        "max",
    ])];
    for group in groups {
        let reconnects = Reconnects::of(group.tally);
        let mut row = vec![
            group.name.to_owned(),
            format_count(u64::from(group.clients)),
            format_count(group.tally.counter(Counter::Disconnects)),
            format_count(reconnects.back),
            format_count(reconnects.given_up),
            format_count(reconnects.away),
            reconnects.longest_away_us.map_or_else(|| "-".to_owned(), format_us),
        ];
        let percentiles = [50.0, 95.0, 99.0, 99.9, 100.0].map(|percentile| reconnects.percentile(percentile));
        row.extend(percentiles.map(|time| time.map_or_else(|| "-".to_owned(), Quantile::words)));
        rows.push(row);
    }
    let departing = groups.iter().filter(|group| group.departs).count();
    let note = match departing {
        0 => {
            "disconnect to next ready session, with those still away when the run ended; >: beyond what was seen"
        }
        _ if departing == groups.len() => {
            "disconnect to next ready session, with those still away when their time was over; >: beyond what was seen"
        }
        _ => {
            "disconnect to next ready session, with those still away when the run ended or their time was over; >: beyond what was seen"
        }
    };
    Table { title: "Reconnect latency", note, rows }
}

/// Who never had a session, a sentence for each group where there is such a client.
pub(super) fn never_in(groups: &[GroupTotals<'_>]) -> Vec<String> {
    let told = groups.iter().filter_map(|group| Some((group.name, never_in_words(group.tally)?)));
    told.map(|(name, words)| format!("{name}: {words}")).collect()
}

/// How the groups recovered, storm by storm, and from the disconnects that no storm forced. `None` where nobody was cut off.
pub(super) fn recovery(model: &RunModel, groups: &[GroupTotals<'_>]) -> Option<Table> {
    let curves = model.recovery_curves();
    let of_group = |group: &GroupTotals<'_>| {
        let index = group.index;
        curves.iter().filter(move |curve| curve.group == Some(index) && curve.disconnects > 0)
    };
    let shown = groups.iter().flat_map(|group| of_group(group).map(|curve| (group.name, curve)));
    let mut rows: Vec<Vec<String>> =
        shown.map(|(name, curve)| recovery_row(model, name, curve)).take(MOST_CURVES).collect();
    if rows.is_empty() {
        return None;
    }
    rows.insert(0, header(["group", "from", "disconnected", "back", "50%", "95%", "100%", "curve"]));
    let note = "until so many of those disconnected were back; >: not by the run's end, never: too many gave up; curve: share back over log time";
    Some(Table { title: "Recovery", note, rows })
}

fn recovery_row(model: &RunModel, name: &str, curve: &RecoveryCurve) -> Vec<String> {
    let storm = curve.storm.and_then(|storm| model.manifest.storms.get(storm));
    // Those that were asked for stand behind the scenario's.
    let by_hand = model.marks.iter().filter(|mark| mark.storm.is_some()).count();
    let is_by_hand = curve.storm.is_some_and(|index| index + by_hand >= model.manifest.storms.len());
    let from = match storm {
        None => "no storm".to_owned(),
        Some(storm) if is_by_hand => format!("by hand at {:.1} s", storm.at_s),
        Some(storm) => format!("storm at {} s", storm.at_s),
    };
    let until = |share| curve.time_to_us(share).map_or_else(|| "-".to_owned(), Quantile::words);
    vec![
        name.to_owned(),
        from,
        format_count(curve.disconnects),
        format_count(curve.back.count()),
        until(0.5),
        until(0.95),
        until(1.0),
        recovery_sparkline(curve),
    ]
}

/// How the handshakes were answered.
pub(super) fn handshakes(groups: &[GroupTotals<'_>]) -> Table {
    let mut rows = vec![header([
        "group", "kind", "attempts", "ok", "refused", "rate", "403", "403 rate", "other", "not ok",
    ])];
    for group in groups {
        for &kind in AttemptKind::ALL {
            rows.extend(handshake_row(group.name, kind, group.tally));
        }
    }
    let note =
        "an attempt has one outcome; refused by status, close or message; causes as far as evidence goes";
    Table { title: "Handshakes", note, rows }
}

fn handshake_row(name: &str, kind: AttemptKind, tally: &Tally) -> Option<Vec<String>> {
    let with = |wanted: Outcome| tally.attempts_where(|k, outcome, _| k == kind && outcome == wanted);
    let attempts = tally.attempts_where(|k, _, _| k == kind);
    if attempts == 0 {
        return None;
    }
    let (ok, forbidden) = (with(Outcome::Ok), with(Outcome::Http403));
    let of = |wanted: fn(Outcome) -> bool| tally.attempts_where(|k, outcome, _| k == kind && wanted(outcome));
    let refused = of(Outcome::is_refusal);
    // Over the handshakes that were answered, as the thresholds have it.
    let answered = of(Outcome::is_answered);
    let share =
        |part: u64| if answered > 0 { format_share(part as f64 / answered as f64) } else { "-".to_owned() };
    let mut details: BTreeMap<String, u64> = BTreeMap::new();
    let own = tally.attempts.iter().filter(|(key, _)| key.kind == kind && key.outcome != Outcome::Ok);
    for (key, count) in own {
        *details.entry(detail(key)).or_default() += count;
    }
    let details: Vec<String> =
        details.iter().map(|(label, count)| format!("{label} {}", format_count(*count))).collect();
    Some(vec![
        name.to_owned(),
        kind.name().to_owned(),
        format_count(attempts),
        format_count(ok),
        format_count(refused),
        share(refused),
        format_count(forbidden),
        share(forbidden),
        format_count(attempts - ok - refused),
        if details.is_empty() { "-".to_owned() } else { details.join(", ") },
    ])
}

/// What an attempt came to, in a few words: `403 stale_token`, `close 4401 expired_token`, `protocol (200)`.
fn detail(key: &AttemptKey) -> String {
    let answer = key.answer.as_deref();
    let cause = key.cause.map_or("", Cause::name);
    let said = answer.map(Answer::said).unwrap_or_default();
    let what = match key.outcome {
        Outcome::Http403 => "403".to_owned(),
        Outcome::RefusedClose => format!("close {said}"),
        Outcome::RefusedMessage => format!("message {said}"),
        outcome if said.is_empty() => outcome.name().to_owned(),
        outcome => format!("{outcome} ({said})"),
    };
    [what.trim(), cause].iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join(" ")
}

/// On what grounds the causes are claimed: `causes: 40 proved, 3 known, 10 unknown`; `None` where there are none.
pub(super) fn grounds_words(tally: &Tally) -> Option<String> {
    let grounds = tally.grounds();
    let told = grounds.iter().map(|(ground, n)| format!("{} {ground}", format_count(*n)));
    let told: Vec<String> = told.collect();
    (!told.is_empty()).then(|| format!("causes: {}", told.join(", ")))
}

/// What tokens had to do with it: how old they were, how many it took, how many handshakes were wasted. `None` where none were fetched.
pub(super) fn tokens(groups: &[GroupTotals<'_>]) -> Option<Table> {
    if groups.iter().all(|group| group.tally.counter(Counter::TokensFetched) == 0) {
        return None;
    }
    let mut rows = vec![header([
        "group",
        "fetched",
        "per reconnect",
        "age p50",
        "age p99",
        "dead-token handshakes",
        "refusals in a row p50",
        "max",
    ])];
    rows.extend(groups.iter().map(|group| token_row(group.name, group.tally)));
    let note =
        "age at the handshake; fetched per reconnect; handshakes wasted on a dead one; refusals in a row";
    Some(Table { title: "Tokens", note, rows })
}

fn token_row(name: &str, tally: &Tally) -> Vec<String> {
    let back = tally.counter(Counter::Reconnects);
    let per_reconnect = tally.counter(Counter::TokensForReconnects) as f64 / back as f64;
    let age = |percentile| {
        let ages = tally.histograms.get(&Metric::TokenAge);
        ages.map_or_else(|| "-".to_owned(), |ages| format_us(ages.percentile_us(percentile)))
    };
    let depths = tally.histograms.get(&Metric::CascadeDepth);
    let depth =
        |of: fn(&Latencies) -> u64| depths.map_or_else(|| "-".to_owned(), |depths| format_count(of(depths)));
    vec![
        name.to_owned(),
        format_count(tally.counter(Counter::TokensFetched)),
        if back > 0 { format!("{per_reconnect:.2}") } else { "-".to_owned() },
        age(50.0),
        age(99.0),
        format_count(tally.counter(Counter::DeadTokenHandshakes)),
        depth(|depths| depths.percentile_us(50.0)),
        depth(Latencies::max_us),
    ]
}

/// What the refetch loop cost: tokens fetched because of a refusal, and refused as well.
/// `None` where it never turned.
pub(super) fn loop_words(model: &RunModel, group: &GroupTotals<'_>) -> Option<String> {
    let (tally, clients) = (group.tally, group.clients);
    let turns = tally.counter(Counter::RefetchTurns);
    if turns == 0 {
        return None;
    }
    let seconds = model.elapsed_s.max(0.001);
    let share = turns as f64 / tally.counter(Counter::TokensFetched).max(1) as f64;
    Some(format!(
        "{} tokens ({:.0}/s, {:.1} a client, {} of all that it fetched) were fetched after a refusal and refused as well: the token is not the reason",
        format_count(turns),
        turns as f64 / seconds,
        turns as f64 / f64::from(clients.max(1)),
        format_share(share),
    ))
}

/// Where the reconnects' time went. `None` where nobody came back.
pub(super) fn phases(model: &RunModel, groups: &[GroupTotals<'_>]) -> Option<Table> {
    let has_time = |phase: &Phase| {
        model.all.histograms.get(&Metric::of_phase(*phase)).is_some_and(|histogram| histogram.max_us() > 0)
    };
    let shown: Vec<Phase> = Phase::ALL.iter().copied().filter(has_time).collect();
    if shown.is_empty() {
        return None;
    }
    let mut header = vec!["group".to_owned()];
    header.extend(shown.iter().map(|phase| phase.name().to_owned()));
    let mut rows = vec![header];
    rows.extend(groups.iter().filter_map(|group| phase_row(group, &shown)));
    Some(Table {
        title: "Where the time went",
        note: "of those who came back: share of their time / p99 of the phase",
        rows,
    })
}

fn phase_row(group: &GroupTotals<'_>, shown: &[Phase]) -> Option<Vec<String>> {
    let histograms = &group.tally.histograms;
    let total = histograms.get(&Metric::ReconnectLatency).map(Latencies::sum_us)?;
    let mut row = vec![group.name.to_owned()];
    row.extend(shown.iter().map(|phase| match histograms.get(&Metric::of_phase(*phase)) {
        Some(histogram) if histogram.max_us() > 0 => {
            let share = histogram.sum_us() / total.max(1.0);
            format!("{:.0}% / {}", share * 100.0, format_us(histogram.percentile_us(99.0)))
        }
        _ => "-".to_owned(),
    }));
    Some(row)
}

/// How much was done, and what the outages cost.
pub(super) fn throughput(model: &RunModel, groups: &[GroupTotals<'_>]) -> Table {
    let mut rows = vec![header([
        "group",
        "reconnects/s",
        "tokens/s",
        "messages/s",
        "token peak/s",
        "missed messages",
        "per outage",
    ])];
    let seconds = model.elapsed_s.max(0.001);
    let rate = |count: u64| format!("{:.1}", count as f64 / seconds);
    for group in groups {
        let tally = group.tally;
        let peak = model.token_requests_peak(Some(group.index));
        let (missed, outages) =
            (tally.counter(Counter::MessagesMissed), tally.counter(Counter::OutagesMeasured));
        rows.push(vec![
            group.name.to_owned(),
            rate(tally.counter(Counter::Reconnects)),
            rate(tally.counter(Counter::TokensFetched)),
            rate(tally.counter(Counter::MessagesIn)),
            format_count(peak),
            if outages > 0 { format_count(missed) } else { "-".to_owned() },
            if outages > 0 { format!("{:.2}", missed as f64 / outages as f64) } else { "-".to_owned() },
        ]);
    }
    Table {
        title: "Throughput and what outages cost",
        note: "rates are means over the run; token peak: requests in the busiest second, but for those at the start",
        rows,
    }
}

/// How many messages there were, those without a reply among them; `None` where there was none.
pub(super) fn traffic(model: &RunModel, groups: &[GroupTotals<'_>]) -> Option<Table> {
    let seconds = model.elapsed_s.max(0.001);
    let mut rows = vec![header(["group", "sent", "sent/s", "received", "received/s", "missed"])];
    rows.extend(groups.iter().filter_map(|group| {
        let count = |counter| group.tally.counter(counter);
        let (sent, received) = (count(Counter::MessagesOut), count(Counter::MessagesIn));
        let rate = |count: u64| format!("{:.1}", count as f64 / seconds);
        let missed = match count(Counter::OutagesMeasured) {
            0 => "-".to_owned(),
            _ => format_count(count(Counter::MessagesMissed)),
        };
        (sent + received > 0).then(|| {
            let name = group.name.to_owned();
            vec![name, format_count(sent), rate(sent), format_count(received), rate(received), missed]
        })
    }));
    let note = "with and without a reply; missed: while a client was away";
    (rows.len() > 1).then_some(Table { title: "Messages", note, rows })
}

/// How long messages were under way; `None` where none was measured.
pub(super) fn messages(groups: &[GroupTotals<'_>]) -> Option<Table> {
    let measured = |group: &GroupTotals<'_>| group.tally.histograms.contains_key(&Metric::MessageLatency);
    if !groups.iter().any(measured) {
        return None;
    }
    let mut rows = vec![header(["group", "received", "measured", "p50", "p95", "p99", "p99.9", "max"])];
    for group in groups {
        let latencies = group.tally.histograms.get(&Metric::MessageLatency);
        let mut row = vec![
            group.name.to_owned(),
            format_count(group.tally.counter(Counter::MessagesIn)),
            format_count(latencies.map_or(0, Latencies::count)),
        ];
        row.extend(match latencies {
            None => vec!["-".to_owned(); 5],
            Some(latencies) => {
                let percentiles =
                    [50.0, 95.0, 99.0, 99.9].map(|percentile| latencies.percentile_us(percentile));
                percentiles.into_iter().chain([latencies.max_us()]).map(format_us).collect()
            }
        });
        rows.push(row);
    }
    Some(Table { title: "Message latency", note: "from when a message was due to its arrival", rows })
}

/// How a group's sessions ended: `target 1001 × 50`, …; empty where none did.
pub(super) fn closes(tally: &Tally) -> Vec<String> {
    let named = tally.closes.iter().map(|(key, count)| format!("{key} × {}", format_count(*count)));
    named.collect()
}
