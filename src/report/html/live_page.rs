//! The page of a run under way: what of the report can be told while it goes on.
//!
//! In: the live view of each second; at last the run's model. Out: the page, and what is new of it, as JSON for the page's script. Of the last ten minutes each
//! second is kept, a few hundred bytes; pages and plots are made only when somebody asks.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use serde::Serialize;

use crate::record::{
    LiveView, Quantile, StormManifest, StormTally, Tally, add_asked_storms, merge_all, planned_storms,
};
use crate::sample::{Cause, Counter, Metric, Outcome, StormId};
use crate::scenario::keys::Scenario;
use crate::units::{clipped, format_count, format_duration, format_share, format_us};

use super::super::model::RunModel;
use super::super::recovery::RecoveryCurve;
use super::buckets::Bucket;
use super::page::{Block, Figure, Page, Section};
use super::plot::{Axis, Line, Mark, Plot, PlotKind, Series, Unit};
use super::plotted::MOST_GROUPS;
use super::render::{RenderError, render_live};
use super::run_page::verdict_block;
use super::run_time::{cause_colour, outcome_colour, spread_series};
use super::table::Table;
use super::tone::Tone;

/// Seconds that the plots reach back.
const MOST_SECONDS: usize = 600;
/// Rows of a table.
const MOST_ROWS: usize = 50;
/// Marks that stand in plots.
const MOST_LINES: usize = 40;
/// The longest name in a plot, in characters.
const LONGEST_LABEL: usize = 24;

/// How far the run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Waiting,
    Running,
    Draining,
    Ended,
}

/// A second.
#[derive(Debug, Clone)]
struct Point {
    all: Bucket,
    /// Open sessions of each group that is plotted.
    connected: Vec<u64>,
}

/// A run under way, as its page shows it.
#[derive(Debug, Clone)]
pub struct LivePage {
    state: State,
    scenario: String,
    seed: u64,
    duration: Duration,
    clients: u64,
    max_lag: Duration,
    groups: Vec<String>,
    /// The scenario's, and behind them those that were asked for.
    storms: Vec<StormManifest>,
    marks: Vec<Mark>,
    outage: Option<String>,
    /// The last whole second.
    second: u64,
    total: Tally,
    last: Tally,
    /// One for each second up to the last; none where it was not told.
    points: VecDeque<Option<Point>>,
    verdict: Block,
}

/// What is new, as the page's script reads it.
#[derive(Serialize)]
struct News<'p> {
    state: State,
    time: String,
    verdict: &'p Block,
    figures: Vec<Figure>,
    tables: BTreeMap<&'static str, Vec<Vec<String>>>,
    plots: Vec<Plot>,
}

impl Default for LivePage {
    fn default() -> Self {
        Self {
            state: State::Waiting,
            scenario: "A run".to_owned(),
            seed: 0,
            duration: Duration::ZERO,
            clients: 0,
            max_lag: Duration::MAX,
            groups: Vec::new(),
            storms: Vec::new(),
            marks: Vec::new(),
            outage: None,
            second: 0,
            total: Tally::default(),
            last: Tally::default(),
            points: VecDeque::new(),
            verdict: word(Tone::Plain, "NOT BEGUN"),
        }
    }
}

impl LivePage {
    /// Takes in how the run stands.
    pub fn take(&mut self, scenario: &Scenario, view: &LiveView) {
        if self.state == State::Ended {
            return;
        }
        if self.state == State::Waiting {
            self.scenario.clone_from(&scenario.name);
            self.groups = scenario.groups.iter().map(|group| group.name.clone()).collect();
            (self.seed, self.duration, self.clients) =
                (scenario.seed, scenario.duration, u64::from(scenario.clients()));
            self.max_lag = scenario.health.max_lag_p99;
        }
        let is_over = Duration::from_secs(view.second + 1) >= self.duration;
        self.state = if is_over { State::Draining } else { State::Running };
        self.verdict = word(Tone::Plain, if is_over { "DRAINING" } else { "RUNNING" });
        self.storms = planned_storms(scenario);
        add_asked_storms(&mut self.storms, &view.marks);
        let told = view.marks.iter().filter(|mark| mark.storm.is_none()).take(MOST_LINES);
        self.marks = storm_marks(&self.storms)
            .chain(
                told.map(|mark| Mark::vertical(mark.at_us as f64 / 1e6, &clipped(&mark.name, LONGEST_LABEL))),
            )
            .collect();
        self.outage = view.recent.outages().pop().filter(|outage| outage.is_open()).map(|outage| {
            let at = f64::from(outage.first) / 10.0;
            let (lost, back) = (format_count(outage.lost), format_count(outage.back));
            format!(
                "A possible outage since {at:.1} s: {lost} of {} lost, {back} back.",
                format_count(outage.at_risk)
            )
        });
        (self.total, self.last) = (merge_all(view.totals.iter()), merge_all(view.last.iter()));
        self.push(view);
    }

    fn push(&mut self, view: &LiveView) {
        let missing = if self.points.is_empty() { 0 } else { view.second.saturating_sub(self.second + 1) };
        let missing = usize::try_from(missing).unwrap_or(usize::MAX).min(MOST_SECONDS);
        self.points.extend(std::iter::repeat_n(None, missing));
        let connected = view.totals.iter().take(MOST_GROUPS).map(Tally::connected).collect();
        let peak = self.last.token_requests_after_start();
        self.points.push_back(Some(Point { all: Bucket::of(&self.last, None, peak), connected }));
        while self.points.len() > MOST_SECONDS {
            self.points.pop_front();
        }
        self.second = view.second;
    }

    /// The run is over: nothing more is taken in.
    pub fn end(&mut self, model: &RunModel) {
        self.state = State::Ended;
        self.verdict = verdict_block(model);
    }

    /// Whether the run is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.state == State::Ended
    }

    /// The page.
    ///
    /// # Errors
    /// [`RenderError`]: a fault of this program.
    pub fn html(&self) -> Result<String, RenderError> {
        render_live(&self.page())
    }

    /// What is new, as one line of JSON.
    #[must_use]
    pub fn news(&self) -> String {
        let tables = BTreeMap::from([("refusals", self.causes()), ("storms", self.storm_rows())]);
        let (time, verdict, figures, plots) =
            (self.time(), &self.verdict, self.figures(), self.plots().into());
        let news = News { state: self.state, time, verdict, figures, tables, plots };
        // Plain data always has a JSON form.
        serde_json::to_string(&news).unwrap_or_default()
    }

    fn time(&self) -> String {
        let gone = Duration::from_secs(self.second + 1);
        let of = || format!("{} of {}", format_duration(gone), format_duration(self.duration));
        match self.state {
            State::Waiting => "Not begun".to_owned(),
            State::Running => {
                format!("{}, {} left", of(), format_duration(self.duration.saturating_sub(gone)))
            }
            State::Draining => format!("{}, draining", of()),
            State::Ended => format!("Ended after {}", format_duration(gone)),
        }
    }

    fn page(&self) -> Page {
        let mut now = Section::new("now", "Now", "");
        now.push(self.verdict.clone());
        now.push(Block::Figures { figures: self.figures() });
        let [connected, moved, latency, outcomes, causes, tokens, lag] = self.plots();
        let plots = |section: &mut Section, plots: Vec<Plot>| section.push(Block::Plots { plots });
        let mut clients = Section::new("clients", "Clients", "");
        plots(&mut clients, vec![connected, moved]);
        let lead = "From the disconnect (a storm's: when it was due) to the next ready session, at the time at which the session became ready.";
        let mut reconnects = Section::new("latency", "Reconnect latency", lead);
        plots(&mut reconnects, vec![latency]);
        let mut refusals =
            Section::new("refusals", "Refusals", "Attempts by what ended them, and refusals by cause.");
        plots(&mut refusals, vec![outcomes, causes]);
        refusals.push(table("Refusals so far", &["<cause", "count", "share"], self.causes()));
        let mut storms =
            Section::new("storms", "Storms", "Those that have struck, and how the clients came back so far.");
        let header = ["<storm", "at", "cut off", "back", "share", "50 %", "95 %"];
        storms.push(table("Recovery so far", &header, self.storm_rows()));
        let mut requests = Section::new("tokens", "Token requests", "");
        plots(&mut requests, vec![tokens]);
        let lead = "How late the generator was with what it had to do. Where that is more than the scenario allows, the run is not valid.";
        let mut generator = Section::new("generator", "Generator", lead);
        plots(&mut generator, vec![lag]);
        Page {
            title: self.scenario.clone(),
            subtitle: format!(
                "The run under way: {} clients, seed {}. The plots reach ten minutes back; the report has the whole run.",
                format_count(self.clients),
                self.seed
            ),
            sections: vec![now, clients, reconnects, refusals, storms, requests, generator],
            footer: format!("resurge {}", env!("CARGO_PKG_VERSION")),
        }
    }

    fn figures(&self) -> Vec<Figure> {
        let (total, last) = (&self.total, &self.last);
        let figure = |name: &str, value: String, detail: String, is_bad: bool| Figure {
            name: name.to_owned(),
            value,
            detail,
            tone: if is_bad { Tone::Warning } else { Tone::Plain },
        };
        let percentile = |metric, p| {
            let latencies = total.histograms.get(&metric).filter(|latencies| latencies.count() > 0);
            latencies.map_or_else(|| "–".to_owned(), |latencies| format_us(latencies.percentile_us(p)))
        };
        let each_second = |count: u64| format!("{} in the last second", format_count(count));
        let refused = |tally: &Tally| tally.attempts_where(|_, outcome, _| outcome.is_refusal());
        let answered = total.attempts_where(|_, outcome, _| outcome.is_answered());
        let share = if answered > 0 {
            format_share(refused(total) as f64 / answered as f64)
        } else {
            "–".to_owned()
        };
        let lag = total.histograms.get(&Metric::Lag).map_or(0, |lag| lag.percentile_us(99.0));
        let limit = u64::try_from(self.max_lag.as_micros()).unwrap_or(u64::MAX);
        let counter = |counter| (format_count(total.counter(counter)), each_second(last.counter(counter)));
        let (disconnects, disconnects_now) = counter(Counter::Disconnects);
        let (reconnects, reconnects_now) = counter(Counter::Reconnects);
        let (tokens, tokens_now) = counter(Counter::TokensFetched);
        let failures = total.counter(Counter::TokenFailures);
        vec![
            figure(
                "Connected",
                format_count(total.connected()),
                self.outage.clone().unwrap_or_else(|| format!("of {} clients", format_count(self.clients))),
                self.outage.is_some(),
            ),
            figure(
                "Reconnect latency p99",
                percentile(Metric::ReconnectLatency, 99.0),
                format!("p50 {}", percentile(Metric::ReconnectLatency, 50.0)),
                false,
            ),
            figure("Disconnects", disconnects, disconnects_now, false),
            figure("Reconnects", reconnects, reconnects_now, false),
            figure("Handshakes refused", share, each_second(refused(last)), refused(total) > 0),
            figure(
                "Tokens fetched",
                tokens,
                format!("{tokens_now}; {} failed", format_count(failures)),
                failures > 0,
            ),
            figure(
                "Generator lag p99",
                format_us(lag),
                format!("at most {} is allowed", format_duration(self.max_lag)),
                lag > limit,
            ),
        ]
    }

    fn causes(&self) -> Vec<Vec<String>> {
        let mut causes: BTreeMap<Option<Cause>, u64> = BTreeMap::new();
        for cause in self.total.attempts.keys().map(|key| key.cause).collect::<BTreeSet<_>>() {
            let count = self.total.attempts_where(|_, outcome, own| outcome.is_refusal() && own == cause);
            if count > 0 {
                causes.insert(cause, count);
            }
        }
        if causes.is_empty() {
            return vec![vec!["none so far".to_owned(), "0".to_owned(), "–".to_owned()]];
        }
        let whole: u64 = causes.values().sum();
        let row = |(cause, count): (&Option<Cause>, &u64)| {
            let name = cause.map_or("unknown", Cause::name).to_owned();
            vec![name, format_count(*count), format_share(*count as f64 / whole as f64)]
        };
        causes.iter().map(row).collect()
    }

    fn storm_rows(&self) -> Vec<Vec<String>> {
        let gone = (self.second + 1) as f64;
        let struck = self
            .storms
            .iter()
            .enumerate()
            .filter(|(_, storm)| storm.at_s <= gone && self.state != State::Waiting);
        let row = |(index, storm): (usize, &StormManifest)| {
            let StormTally { disconnects, back, away } =
                self.total.storms.get(&StormId::of(index)).cloned().unwrap_or_default();
            let curve = RecoveryCurve { group: None, storm: Some(index), disconnects, back, away };
            let until = |share: f64| match curve.time_to_us(share) {
                Some(Quantile::At(us)) => format_us(us),
                Some(Quantile::Beyond(_) | Quantile::Never(_)) | None => "–".to_owned(),
            };
            vec![
                format!(
                    "storm {}, {} of the sessions, {}",
                    index + 1,
                    format_share(storm.fraction),
                    storm.what
                ),
                format!("{:.1} s", storm.at_s),
                format_count(disconnects),
                format_count(curve.back.count()),
                curve.share_back().map_or_else(|| "–".to_owned(), format_share),
                until(0.5),
                until(0.95),
            ]
        };
        let mut rows: Vec<Vec<String>> = struck.map(row).collect();
        rows.drain(..rows.len().saturating_sub(MOST_ROWS));
        if rows.is_empty() {
            rows.push(std::iter::once("none so far").chain([""; 6]).map(str::to_owned).collect());
        }
        rows
    }

    fn plots(&self) -> [Plot; 7] {
        let mut connected = self.plot("connected", "Connected", PlotKind::Time, "open sessions", Unit::Count);
        for (index, name) in self.groups.iter().take(MOST_GROUPS).enumerate() {
            let values = self.values(|point| point.connected.get(index).map(|count| *count as f64));
            connected.series.push(Series::new(name, index, values));
        }
        if self.groups.len() > MOST_GROUPS {
            connected.note = format!("The first {MOST_GROUPS} of {} groups.", self.groups.len());
        }
        let counted = |name: &str, colour, counter| {
            Series::new(name, colour, self.values(|point| Some(point.all.counter(counter) as f64)))
        };
        let mut moved =
            self.plot("moved", "Disconnects and reconnects", PlotKind::Time, "clients", Unit::PerSecond);
        moved.series = vec![
            counted("disconnects", 1, Counter::Disconnects),
            counted("reconnects", 2, Counter::Reconnects),
        ];
        let points: Vec<Bucket> = self
            .points
            .iter()
            .map(|point| point.as_ref().map(|point| point.all.clone()).unwrap_or_default())
            .collect();
        let points = if points.is_empty() { vec![Bucket::default()] } else { points };
        let mut latency = self.plot(
            "latency-all",
            "Percentiles of each second",
            PlotKind::Time,
            "reconnect latency",
            Unit::Us,
        );
        (latency.log_y, latency.series) = (true, spread_series(&points, |bucket| bucket.reconnect));
        let mut outcomes =
            self.plot("outcomes-all", "Outcomes", PlotKind::Stacked, "attempts", Unit::PerSecond);
        let present: BTreeSet<Outcome> =
            points.iter().flat_map(|bucket| bucket.outcomes.keys().copied()).collect();
        for outcome in present {
            let count =
                self.values(|point| Some(point.all.outcomes.get(&outcome).copied().unwrap_or(0) as f64));
            outcomes.series.push(Series::new(outcome.name(), outcome_colour(outcome), count));
        }
        let mut causes =
            self.plot("causes-all", "Refusals by cause", PlotKind::Stacked, "refusals", Unit::PerSecond);
        let present: BTreeSet<Option<Cause>> =
            points.iter().flat_map(|bucket| bucket.causes.keys().copied()).collect();
        for cause in present {
            let (name, colour) = cause.map_or(("unknown", 7), |cause| (cause.name(), cause_colour(cause)));
            let count = self.values(|point| Some(point.all.causes.get(&cause).copied().unwrap_or(0) as f64));
            causes.series.push(Series::new(name, colour, count));
        }
        let mut tokens =
            self.plot("tokens-all", "Token requests", PlotKind::Time, "requests", Unit::PerSecond);
        tokens.series = vec![
            counted("failed", 7, Counter::TokenFailures).drawn(Line::Dotted),
            counted("fetched", 0, Counter::TokensFetched),
        ];
        let mut lag = self.plot("lag", "Lag of each second", PlotKind::Time, "late by", Unit::Us);
        (lag.log_y, lag.series) = (true, spread_series(&points, |bucket| bucket.lag));
        [connected, moved, latency, outcomes, causes, tokens, lag]
    }

    /// A plot over the seconds that are kept.
    fn plot(&self, id: &str, title: &str, kind: PlotKind, y_label: &str, unit: Unit) -> Plot {
        let count = self.points.len().max(1);
        let from = (self.second + 1).saturating_sub(self.points.len() as u64) as f64;
        let x = Axis::Even { from: if self.points.is_empty() { 0.0 } else { from }, step: 1.0, count };
        Plot::new(id, title, kind, x, y_label, unit).marked(&self.marks)
    }

    /// A value for each second that is kept.
    fn values(&self, of: impl Fn(&Point) -> Option<f64>) -> Vec<Option<f64>> {
        if self.points.is_empty() {
            return vec![None];
        }
        self.points.iter().map(|point| point.as_ref().and_then(&of)).collect()
    }
}

fn storm_marks(storms: &[StormManifest]) -> impl Iterator<Item = Mark> {
    let only = storms.len() == 1;
    storms.iter().enumerate().map(move |(index, storm)| {
        let name = if only { "storm".to_owned() } else { format!("storm {}", index + 1) };
        Mark::vertical(storm.at_s, &name)
    })
}

fn word(tone: Tone, title: &str) -> Block {
    Block::Verdict { tone, title: title.to_owned(), reasons: Vec::new() }
}

fn table(caption: &str, columns: &[&str], rows: Vec<Vec<String>>) -> Block {
    let mut table = Table::new(caption, columns);
    rows.into_iter().for_each(|row| table.row(row));
    Block::Table(table)
}

#[cfg(test)]
#[path = "live_page_tests.rs"]
mod tests;
