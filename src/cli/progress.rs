//! Progress of a run, on stderr.
//!
//! In: how the run stands, each second. Out: a live line on a terminal, or a plain line every five seconds.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};

use crate::record::{LiveView, merge_all};
use crate::run::OnProgress;
use crate::sample::{Counter, Metric, Outcome};
use crate::scenario::model::Scenario;
use crate::units::{format_count, format_duration, format_us};

/// Seconds between plain lines.
const PLAIN_EVERY: u64 = 5;

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ProgressKind {
    /// A live line on a terminal, plain lines elsewhere.
    Auto,
    /// A plain line every five seconds.
    Plain,
    /// Nothing.
    None,
}

/// A way to show progress, and to take it away again.
pub(super) struct Progress {
    pub(super) show: Option<OnProgress>,
    pub(super) finish: Box<dyn FnOnce()>,
}

/// The progress that was asked for.
pub(super) fn progress(kind: ProgressKind) -> Progress {
    match kind {
        ProgressKind::None => Progress { show: None, finish: Box::new(|| {}) },
        ProgressKind::Auto if io::stderr().is_terminal() => live(),
        ProgressKind::Auto | ProgressKind::Plain => plain(),
    }
}

fn live() -> Progress {
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{bar:20} {pos}/{len} s  {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let shown = bar.clone();
    let show = move |scenario: &Scenario, view: &LiveView| {
        shown.set_length(scenario.duration.as_secs());
        shown.set_position(view.second.min(scenario.duration.as_secs()));
        shown.set_message(describe(scenario, view));
    };
    Progress { show: Some(Box::new(show)), finish: Box::new(move || bar.finish_and_clear()) }
}

fn plain() -> Progress {
    let show = move |scenario: &Scenario, view: &LiveView| {
        if view.second.is_multiple_of(PLAIN_EVERY) {
            let time = format!("{}/{}", view.second, format_duration(scenario.duration));
            // Where nobody reads it, there is nobody to tell.
            let _ = writeln!(io::stderr(), "{time}  {}", describe(scenario, view));
        }
    };
    Progress { show: Some(Box::new(show)), finish: Box::new(|| {}) }
}

/// One line: who is connected, what the last second brought, how it stands so far.
fn describe(scenario: &Scenario, view: &LiveView) -> String {
    let (total, last) = (merge_all(view.totals.iter()), merge_all(view.last.iter()));
    let latency = total.histograms.get(&Metric::ReconnectLatency);
    let percentile =
        |p| latency.map_or_else(|| "-".to_owned(), |histogram| format_us(histogram.percentile_us(p)));
    let lag = total.histograms.get(&Metric::Lag).map_or(0, |lag| lag.percentile_us(99.0));
    let next = scenario
        .storms
        .iter()
        .map(|storm| storm.at)
        .filter(|at| *at > Duration::from_secs(view.second))
        .min();
    let storm = next.map_or_else(String::new, |at| format!("  next storm at {}", format_duration(at)));
    format!(
        "{}/{} connected  {} reconnects/s  {} 403/s  p50 {}  p99 {}  lag p99 {}{storm}",
        format_count(total.connected()),
        format_count(u64::from(scenario.clients())),
        format_count(last.counter(Counter::Reconnects)),
        format_count(last.outcome(Outcome::Http403)),
        percentile(50.0),
        percentile(99.0),
        format_us(lag),
    )
}
