//! Progress of a run, on stderr.
//!
//! In: how the run stands, each second. Out: a live view on a terminal, or a plain line every five seconds.

mod marks;
mod view;

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::record::LiveView;
use crate::run::OnProgress;
use crate::scenario::keys::Scenario;

use super::streams::wants_colour;
use marks::Told;
use view::{History, Paint, gone_s, live_lines, plain_line, token_trouble};

/// Seconds between plain lines.
const PLAIN_EVERY: u64 = 5;
/// Columns of a terminal that does not say.
const USUAL_WIDTH: usize = 80;

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ProgressKind {
    /// A live view on a terminal, plain lines elsewhere.
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
        ProgressKind::Auto if io::stderr().is_terminal() && !is_dumb() => live(),
        ProgressKind::Auto | ProgressKind::Plain => plain(),
    }
}

/// A terminal that cannot move its cursor.
fn is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|name| name == "dumb")
}

/// One bar whose message is all the lines: indicatif takes them away and draws them again.
fn live() -> Progress {
    let term = Term::stderr();
    // As anything like a terminal: taken for one itself, it would be hidden where NO_COLOR is set.
    let target = ProgressDrawTarget::term_like_with_hz(Box::new(term.clone()), 10);
    let bar = ProgressBar::with_draw_target(None, target);
    bar.set_style(ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar()));
    let paint = Paint { colour: wants_colour(&io::stderr()) };
    let shown = bar.clone();
    let mut history = History::default();
    let show = move |scenario: &Scenario, view: &LiveView| {
        history.push(view);
        let width = term.size_checked().map_or(USUAL_WIDTH, |(_, columns)| usize::from(columns));
        // The last column stays free, for a terminal may break the line behind it.
        let lines = live_lines(scenario, view, &history, width.saturating_sub(1), paint);
        shown.set_message(lines.join("\n"));
        shown.tick();
    };
    Progress { show: Some(Box::new(show)), finish: Box::new(move || bar.finish_and_clear()) }
}

fn plain() -> Progress {
    let mut told = Told::default();
    let mut is_troubled = false;
    let show = move |scenario: &Scenario, view: &LiveView| {
        for news in told.news(&view.marks) {
            let _ = writeln!(io::stderr(), "{news}");
        }
        if !is_troubled && let Some(trouble) = token_trouble(view) {
            is_troubled = true;
            let _ = writeln!(io::stderr(), "warning: {trouble}");
        }
        if gone_s(view).is_multiple_of(PLAIN_EVERY) {
            // Where nobody reads it, there is nobody to tell.
            let _ = writeln!(io::stderr(), "{}", plain_line(scenario, view));
        }
    };
    Progress { show: Some(Box::new(show)), finish: Box::new(|| {}) }
}
