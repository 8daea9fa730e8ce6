//! How a run stands, in lines that fit a width.
//!
//! In: the scenario, the live view, what the last minute brought. Out: lines of text. Pure: nothing here knows a terminal.

use std::collections::VecDeque;
use std::time::Duration;

use crate::record::outages::LiveOutage;
use crate::record::{LiveView, Tally, merge_all};
use crate::sample::{Counter, Metric, Outcome};
use crate::scenario::keys::{DisconnectHow, Scenario, Storm, StormBy};
use crate::units::{format_count, format_duration, format_us};

use super::marks::mark_words;

/// Seconds that the sparkline reaches back.
const HISTORY: usize = 60;
/// Heights of a mark.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Width of a line's name.
const LABEL: usize = 11;

/// What the last seconds brought.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    reconnects: VecDeque<u64>,
}

impl History {
    /// Takes in a second.
    pub(super) fn push(&mut self, view: &LiveView) {
        if self.reconnects.len() == HISTORY {
            self.reconnects.pop_front();
        }
        self.reconnects.push_back(view.last.iter().map(|tally| tally.counter(Counter::Reconnects)).sum());
    }
}

/// How much colour there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Paint {
    pub(super) colour: bool,
}

impl Paint {
    fn bad(self, text: &str) -> String {
        if self.colour { format!("\u{1b}[31m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn dim(self, text: &str) -> String {
        if self.colour { format!("\u{1b}[2m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// One thing to say: how wide it is, and how it looks.
struct Part {
    width: usize,
    text: String,
}

impl Part {
    fn plain(text: String) -> Self {
        Self { width: text.chars().count(), text }
    }

    /// Red where `is_bad`.
    fn marked(text: String, is_bad: bool, paint: Paint) -> Self {
        let width = text.chars().count();
        Self { width, text: if is_bad { paint.bad(&text) } else { text } }
    }
}

/// The lines of a live view, none wider than `width`: what does not fit is left out from the right.
pub(super) fn live_lines(
    scenario: &Scenario,
    view: &LiveView,
    history: &History,
    width: usize,
    paint: Paint,
) -> Vec<String> {
    let (total, last) = (merge_all(view.totals.iter()), merge_all(view.last.iter()));
    let line = |label: &str, parts: Vec<Part>| fit(label, parts, width, paint);
    let mut lines = vec![
        time_line(scenario, view, width),
        line("clients", connected(scenario, &total, &last)),
        line("rates", each_second(&last, paint)),
        line("reconnects", reconnects(&total, history, width)),
    ];
    if !scenario.storms.is_empty() {
        lines.push(line("storms", storms(scenario, view)));
    }
    let outage = outage(view, paint);
    if !outage.is_empty() {
        lines.push(line("outage", outage));
    }
    if let Some(trouble) = token_trouble(view) {
        lines.push(line(
            "tokens",
            vec![Part::marked(trouble.chars().take(width.saturating_sub(LABEL + 2)).collect(), true, paint)],
        ));
    }
    if let Some(mark) = view.marks.last() {
        lines.push(line("events", vec![Part::plain(mark_words(mark))]));
    }
    lines.push(line("generator", generator(scenario, &total, paint)));
    lines
}

/// Up to the end of which second a view goes, in seconds since the start; before the first, nothing has happened.
pub(super) fn gone_s(view: &LiveView) -> u64 {
    if view.totals.is_empty() { 0 } else { view.second + 1 }
}

/// The same on one line of any width.
pub(super) fn plain_line(scenario: &Scenario, view: &LiveView) -> String {
    let paint = Paint { colour: false };
    let (total, last) = (merge_all(view.totals.iter()), merge_all(view.last.iter()));
    let mut parts = vec![Part::plain(time_words(scenario, view))];
    parts.extend(connected(scenario, &total, &last));
    parts.extend(each_second(&last, paint));
    parts.extend(percentiles(&total));
    parts.extend(generator(scenario, &total, paint));
    parts.extend(outage(view, paint));
    let next = next_storm(scenario, view);
    parts.extend(next.map(|storm| Part::plain(format!("next storm at {}", format_duration(storm.at)))));
    let texts: Vec<String> = parts.into_iter().map(|part| part.text).collect();
    texts.join("  ")
}

/// A label and as many parts as there is room for.
fn fit(label: &str, parts: Vec<Part>, width: usize, paint: Paint) -> String {
    let label: String = label.chars().take(width).collect();
    let mut used = LABEL;
    let mut line = paint.dim(&format!("{label:<LABEL$}"));
    for part in parts {
        if used + 2 + part.width > width {
            break;
        }
        line.push_str("  ");
        line.push_str(&part.text);
        used += 2 + part.width;
    }
    line
}

/// How far it is: a bar as long as there is room for, and the time left.
fn time_line(scenario: &Scenario, view: &LiveView, width: usize) -> String {
    let whole = scenario.duration.as_secs().max(1);
    let gone = gone_s(view);
    let left = match whole.checked_sub(gone) {
        Some(left) if left > 0 => format!("{} left", format_duration(Duration::from_secs(left))),
        _ => "draining".to_owned(),
    };
    let time =
        format!("{}/{}", format_duration(Duration::from_secs(gone)), format_duration(scenario.duration));
    let text = format!("{time}  {left}");
    let room = width.saturating_sub(LABEL + 4 + text.chars().count()).min(40);
    let name: String = scenario.name.chars().take(LABEL).collect();
    if room < 4 {
        return format!("{name:<LABEL$}  {text}").chars().take(width).collect();
    }
    let full = (room as u64 * gone.min(whole) / whole) as usize;
    format!("{name:<LABEL$}  {}{}  {text}", "█".repeat(full), "░".repeat(room - full))
}

/// How far it is, as `5s/30s`; after the run's duration, `31s/30s, draining`.
fn time_words(scenario: &Scenario, view: &LiveView) -> String {
    let gone = Duration::from_secs(gone_s(view));
    let draining = if gone > scenario.duration { ", draining" } else { "" };
    format!("{}/{}{draining}", format_duration(gone), format_duration(scenario.duration))
}

fn connected(scenario: &Scenario, total: &Tally, last: &Tally) -> Vec<Part> {
    let clients = u64::from(scenario.clients());
    let lost = last.counter(Counter::Disconnects);
    vec![
        Part::plain(format!("{}/{} connected", format_count(total.connected()), format_count(clients))),
        Part::plain(format!("{} disconnects/s", format_count(lost))),
    ]
}

/// That the token endpoint knows nothing of the clients: it has issued no token, and calls their credentials wrong.
pub(super) fn token_trouble(view: &LiveView) -> Option<String> {
    let total = merge_all(view.totals.iter());
    if total.counter(Counter::TokensFetched) > 0 {
        return None;
    }
    let said = total.requests.iter().filter(|((request, _), _)| request.token_name().is_some());
    let said = said.flat_map(|(_, answers)| &answers.said);
    let wrong = said.filter(|((_, word), _)| {
        let word = word.as_ref().map(ToString::to_string);
        matches!(word.as_deref(), Some("invalid_client" | "unauthorized_client" | "invalid_grant"))
    });
    let mut told: Option<(String, u64)> = None;
    for ((status, word), n) in wrong {
        let name = word.as_ref().map(ToString::to_string).unwrap_or_default();
        let status = status.map(|status| format!("{status} ")).unwrap_or_default();
        let before = told.take().map_or(0, |(_, before)| before);
        told = Some((format!("{status}{name}"), before + n));
    }
    let (answer, count) = told?;
    Some(format!(
        "no token yet: the token endpoint answered {} requests with {answer}: check client_id and client_secret",
        format_count(count)
    ))
}

/// What the last second brought.
fn each_second(last: &Tally, paint: Paint) -> Vec<Part> {
    let refused = last.outcome(Outcome::Http403);
    let failed = last.attempts_total() - last.outcome(Outcome::Ok) - refused;
    vec![
        Part::plain(format!("{} reconnects/s", format_count(last.counter(Counter::Reconnects)))),
        Part::marked(format!("{} 403/s", format_count(refused)), refused > 0, paint),
        Part::plain(format!("{} tokens/s", format_count(last.counter(Counter::TokensFetched)))),
        Part::marked(format!("{} other failures/s", format_count(failed)), failed > 0, paint),
    ]
}

fn percentiles(total: &Tally) -> Vec<Part> {
    let latency = total.histograms.get(&Metric::ReconnectLatency);
    let percentile =
        |p| latency.map_or_else(|| "-".to_owned(), |histogram| format_us(histogram.percentile_us(p)));
    vec![Part::plain(format!("p50 {}", percentile(50.0))), Part::plain(format!("p99 {}", percentile(99.0)))]
}

/// The latency so far, and how many came back in the last minute, second by second.
fn reconnects(total: &Tally, history: &History, width: usize) -> Vec<Part> {
    let mut parts = percentiles(total);
    let used: usize = LABEL + 2 + parts.iter().map(|part| part.width + 2).sum::<usize>();
    let room = width.saturating_sub(used).min(history.reconnects.len());
    let most = history.reconnects.iter().max().copied().unwrap_or(0);
    if most > 0 && room > 0 {
        let shown = history.reconnects.iter().skip(history.reconnects.len() - room);
        parts.push(Part::plain(shown.map(|count| mark(*count, most)).collect()));
    }
    parts
}

/// Nothing is the lowest mark, the most the highest.
fn mark(count: u64, most: u64) -> char {
    let top = BLOCKS.len() - 1;
    BLOCKS[((count * top as u64).div_ceil(most.max(1)) as usize).min(top)]
}

/// The last outage, while some of those who were lost are not back. Whether it was one is known only when it is over.
fn outage(view: &LiveView, paint: Paint) -> Vec<Part> {
    let last = view.recent.outages().pop().filter(LiveOutage::is_open);
    let told = last.map(|outage| {
        let text = format!(
            "possible outage at {:.1} s: {} of {} lost, {} back",
            f64::from(outage.first) / 10.0,
            format_count(outage.lost),
            format_count(outage.at_risk),
            format_count(outage.back)
        );
        Part::marked(text, true, paint)
    });
    told.into_iter().collect()
}

fn next_storm<'s>(scenario: &'s Scenario, view: &LiveView) -> Option<&'s Storm> {
    let now = Duration::from_secs(view.second + 1);
    scenario.storms.iter().filter(|storm| storm.at > now).min_by_key(|storm| storm.at)
}

fn storms(scenario: &Scenario, view: &LiveView) -> Vec<Part> {
    let now = Duration::from_secs(view.second + 1);
    let last = scenario.storms.iter().filter(|storm| storm.at <= now).max_by_key(|storm| storm.at);
    let seconds = |time: Duration| format_duration(Duration::from_secs(time.as_secs()));
    let mut parts = Vec::new();
    if let Some(storm) = next_storm(scenario, view) {
        parts.push(Part::plain(format!("next in {} ({})", seconds(storm.at - now), storm_words(storm))));
    }
    if let Some(storm) = last {
        parts.push(Part::plain(format!("last {} ago", seconds(now - storm.at))));
        parts.push(Part::plain(format!("({})", storm_words(storm))));
    }
    parts
}

fn storm_words(storm: &Storm) -> String {
    let how = match &storm.by {
        StormBy::Target { code } | StormBy::Client { how: DisconnectHow::Close { code }, .. } => {
            code.to_string()
        }
        StormBy::Client { how: DisconnectHow::Reset, .. } => "reset".to_owned(),
        StormBy::Client { how: DisconnectHow::HalfOpen, .. } => "half-open".to_owned(),
        StormBy::Event { .. } => "by an event".to_owned(),
    };
    format!("{how} to {:.0}%", storm.fraction * 100.0)
}

fn generator(scenario: &Scenario, total: &Tally, paint: Paint) -> Vec<Part> {
    let lag = total.histograms.get(&Metric::Lag).map_or(0, |lag| lag.percentile_us(99.0));
    let limit = u64::try_from(scenario.health.max_lag_p99.as_micros()).unwrap_or(u64::MAX);
    vec![Part::marked(format!("lag p99 {}", format_us(lag)), lag > limit, paint)]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::sample::{
        AttemptEnd, AttemptKind, ErrorWord, Phases, ReadySample, Request, RequestAnswer, RequestEnd, Sample,
    };
    use crate::scenario::load;

    fn scenario() -> Scenario {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deploy-storm.toml");
        let text = "duration = \"1m\"\n[target]\n[[groups]]\nname = \"g\"\nclients = 5000\ntoken = { grant = \"none\" }\n\
            [[storms]]\nat = \"8s\"\nby = \"target\"\ncode = 1012\n[[storms]]\nat = \"30s\"\nby = \"client\"\nhow = \"rst\"\nfraction = \"50%\"\n";
        std::fs::write(&file, text).unwrap();
        load(&file, &Vec::new(), None, &|_| None).unwrap().scenario
    }

    fn ready(kind: AttemptKind, ms: u64) -> [Sample; 2] {
        let latency = Duration::from_millis(ms);
        let outcome = Outcome::Ok;
        let (cause, token_age, storm, phases) = (None, None, None, Phases::default());
        [
            Sample::Attempt(AttemptEnd { kind, outcome, cause, answer: None, latency, token_age }),
            Sample::Ready(Box::new(ReadySample { kind, storm, latency, service_time: latency, phases })),
        ]
    }

    /// Second 11, with so many reconnects in it and 403s beside.
    fn view(second: u64, reconnects: u64) -> LiveView {
        let refused = Sample::Attempt(AttemptEnd {
            kind: AttemptKind::Reconnect,
            outcome: Outcome::Http403,
            cause: None,
            latency: Duration::ZERO,
            token_age: None,
            answer: None,
        });
        let mut tally = Tally::default();
        let samples = (0..reconnects).flat_map(|n| ready(AttemptKind::Reconnect, 1 + n / 10));
        tally.apply(&Sample::Count(Counter::Upgrades, reconnects));
        samples
            .chain([refused, Sample::Lag(Duration::from_millis(300))])
            .for_each(|sample| tally.apply(&sample));
        tally.apply(&Sample::Count(Counter::TokensFetched, 1_234));
        let (totals, last) = (Arc::new(vec![tally.clone()]), Arc::new(vec![tally]));
        LiveView { second, totals, last, ..LiveView::default() }
    }

    fn at(second: u64, width: usize) -> String {
        let mut history = History::default();
        (0..=second).for_each(|n| history.push(&view(n, n * n)));
        live_lines(&scenario(), &view(second, second * second), &history, width, Paint { colour: false })
            .join("\n")
    }

    #[test]
    fn it_is_seen_at_a_glance() {
        insta::assert_snapshot!(at(11, 79), @r"
        deploy-stor  ████████░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░  12s/1m  48s left
        clients      121/5,000 connected  0 disconnects/s
        rates        121 reconnects/s  1 403/s  1,234 tokens/s  0 other failures/s
        reconnects   p50 7.00 ms  p99 12.0 ms  ▁▂▂▂▂▃▄▄▅▆▇█
        storms       next in 18s (reset to 50%)  last 4s ago  (1012 to 100%)
        generator    lag p99 300 ms
        ");
    }

    #[test]
    fn a_narrow_terminal_has_the_most_important_of_it() {
        insta::assert_snapshot!(at(11, 39), @r"
        deploy-stor  █░░░░░░░  12s/1m  48s left
        clients      121/5,000 connected
        rates        121 reconnects/s  1 403/s
        reconnects   p50 7.00 ms  p99 12.0 ms
        storms       next in 18s (reset to 50%)
        generator    lag p99 300 ms
        ");
    }

    #[test]
    fn it_says_when_the_time_is_over() {
        assert!(at(61, 79).starts_with("deploy-stor"), "{}", at(61, 79));
        assert!(at(61, 79).contains("1m2s/1m  draining"), "{}", at(61, 79));
        assert!(at(0, 79).contains("59s left"), "{}", at(0, 79));
        assert!(plain_line(&scenario(), &view(61, 1)).starts_with("1m2s/1m, draining  1/5,000"));
        assert!(plain_line(&scenario(), &LiveView::default()).starts_with("0s/1m  0/5,000 connected"));
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let mut history = History::default();
        history.push(&view(0, 9));
        for width in 0..200 {
            for colour in [false, true] {
                let lines = live_lines(&scenario(), &view(9, 9), &history, width, Paint { colour });
                assert_eq!(lines.len(), 6);
                for line in lines {
                    let seen = console::measure_text_width(&line);
                    assert!(seen <= width.max(LABEL), "{seen} of {width}: {line}");
                }
            }
        }
    }

    #[test]
    fn colour_marks_what_is_wrong_and_nothing_else() {
        let lines = live_lines(&scenario(), &view(9, 9), &History::default(), 200, Paint { colour: true });
        let red: Vec<&str> = lines
            .iter()
            .flat_map(|line| line.split("\u{1b}[31m").skip(1))
            .filter_map(|red| red.split('\u{1b}').next())
            .collect();
        assert_eq!(red, ["1 403/s", "lag p99 300 ms"]);
    }

    #[test]
    fn credentials_that_are_refused_are_told_at_once() {
        let refused = |error: &str| {
            let end = RequestEnd {
                request: Request::Credentials,
                answer: RequestAnswer::Refused,
                status: Some(401),
                error: ErrorWord::new(error),
                latency: Duration::from_millis(1),
            };
            let mut tally = Tally::default();
            (0..3).for_each(|_| tally.apply(&Sample::Request(Box::new(end.clone()))));
            tally
        };
        let view = |tally: Tally| LiveView { totals: Arc::new(vec![tally]), ..LiveView::default() };
        let told = "no token yet: the token endpoint answered 3 requests with 401 invalid_client: check client_id and client_secret";
        assert_eq!(token_trouble(&view(refused("invalid_client"))).as_deref(), Some(told));
        assert_eq!(token_trouble(&view(refused("invalid_scope"))), None);
        let mut some_got_one = refused("invalid_client");
        some_got_one.apply(&Sample::Count(Counter::TokensFetched, 1));
        assert_eq!(token_trouble(&view(some_got_one)), None);
    }

    #[test]
    fn one_line_has_it_all() {
        insta::assert_snapshot!(plain_line(&scenario(), &view(11, 121)), @r"
        12s/1m  121/5,000 connected  0 disconnects/s  121 reconnects/s  1 403/s  1,234 tokens/s  0 other failures/s  p50 7.00 ms  p99 12.0 ms  lag p99 300 ms  next storm at 30s
        ");
    }
}
