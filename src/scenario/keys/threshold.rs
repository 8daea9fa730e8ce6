//! Thresholds: `reconnect_latency{group:a} = ["p(99) < 1s"]` becomes typed data.
//!
//! In: the key and the expression as written. Out: a [`Threshold`], or what is wrong with it. Units follow the subject:
//! times take durations, shares percentages, counts numbers, and rates of counts `"/s"`.

use std::time::Duration;

use crate::declare::nearest;
use crate::sample::{Counter, Metric};
use crate::units;

pub use super::aggregate::{Aggregate, Comparison};
use super::aggregate::{parse_aggregate, parse_comparison};
use super::talk_subject::{EXCHANGE_SUBJECTS, ExchangeOf, STREAM_SUBJECTS, StreamOf, TalkKind};

/// A condition that the run must hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    /// What is looked at.
    pub subject: Subject,
    /// In which group; `None`: in all together.
    pub group: Option<String>,
    /// Of which exchange or stream; `None`: of all.
    pub part: Option<String>,
    /// Which number of it.
    pub aggregate: Aggregate,
    /// How it is compared.
    pub comparison: Comparison,
    /// With what: microseconds for times, 0..1 for shares, per second for rates, else a count.
    pub limit: f64,
    /// End the run when it fails, once this long has passed.
    pub abort_after: Option<Duration>,
    /// As written: `reconnect_latency{group:a}: p(99) < 1s`.
    pub source: String,
}

/// What a threshold looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A time.
    Metric(Metric),
    /// A count.
    Counter(Counter),
    /// A share of attempts.
    Share(ShareOf),
    /// All attempts.
    Attempts,
    /// Client-seconds in over client-seconds wanted.
    Availability,
    /// Outages.
    Outage(OutageOf),
    /// Messages and their replies.
    Exchange(ExchangeOf),
    /// Messages with numbers or times.
    Stream(StreamOf),
}

impl Subject {
    /// Whether it is of exchanges or streams.
    #[must_use]
    pub const fn is_of_talk(self) -> bool {
        self.talk_kind().is_some()
    }

    /// What kind of number it is, where it is of exchanges or streams.
    pub(crate) const fn talk_kind(self) -> Option<TalkKind> {
        match self {
            Self::Exchange(of) => Some(of.kind()),
            Self::Stream(of) => Some(of.kind()),
            _ => None,
        }
    }
}

/// What is looked at of outages. Where there was none, there were 0, they cost 0, and recovery took no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutageOf {
    /// `outages`: how many there were.
    Number,
    /// `outage_recovery`: how long it took from the first loss until so many thousandths of a percent of those who were lost were back.
    Recovery(u32),
    /// `outage_cost`: for how many client-seconds those who were lost were out.
    Cost,
}

/// A share of attempts: numerator over the attempts that say something about the target (for
/// `local_limit_rate` and `aborted_rate`: over all).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShareOf {
    /// `handshake_403_rate`: 403s over handshakes that were answered.
    Handshake403,
    /// `handshake_401_rate`.
    Handshake401,
    /// `handshake_429_rate`.
    Handshake429,
    /// `handshake_5xx_rate`.
    Handshake5xx,
    /// `refusal_rate`: refusals, wherever they were spoken, over handshakes that were answered.
    Refusal,
    /// `admission_rate`: attempts that were let in over handshakes that were answered.
    Admission,
    /// `attempt_failure_rate`: attempts whose outcome is not `ok`.
    AttemptFailure,
    /// `reconnect_success_rate`: completed reconnects over disconnects after which one was wanted, but for those
    /// unfinished at the end.
    ReconnectSuccess,
    /// `local_limit_rate`.
    LocalLimit,
}

/// Subjects that are shares of attempts.
pub(crate) const SHARES: &[(&str, ShareOf)] = &[
    ("handshake_403_rate", ShareOf::Handshake403),
    ("handshake_401_rate", ShareOf::Handshake401),
    ("handshake_429_rate", ShareOf::Handshake429),
    ("handshake_5xx_rate", ShareOf::Handshake5xx),
    ("refusal_rate", ShareOf::Refusal),
    ("admission_rate", ShareOf::Admission),
    ("attempt_failure_rate", ShareOf::AttemptFailure),
    ("reconnect_success_rate", ShareOf::ReconnectSuccess),
    ("local_limit_rate", ShareOf::LocalLimit),
];

/// The subject that counts attempts.
pub(crate) const ATTEMPTS: &str = "attempts";
/// The share of the time that clients were wanted in.
pub(crate) const AVAILABILITY: &str = "availability";
/// The subject that counts outages.
pub(crate) const OUTAGES: &str = "outages";
/// How long outages took.
pub(crate) const OUTAGE_RECOVERY: &str = "outage_recovery";
/// What outages cost.
pub(crate) const OUTAGE_COST: &str = "outage_cost";

/// The percentage of `outage_recovery` where its key names none.
const PERCENT: &str = "95";
const SELECTORS: &str = "a selector is {group:NAME}, as reconnect_latency{group:fresh-token}; of outage_recovery {percent:95}, or {group:NAME,percent:95}; of exchanges {exchange:NAME}, of streams and blind_time {stream:NAME}, each also with group";

/// What a key names: a subject, and what it is limited to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Named {
    pub(crate) subject: Subject,
    pub(crate) group: Option<String>,
    pub(crate) part: Option<String>,
}

/// Reads a key.
pub(crate) fn parse_subject(key: &str) -> Result<Named, String> {
    let (name, selector) = match key.split_once('{') {
        None => (key, Selector::default()),
        Some((name, selector)) => (name, parse_selector(selector).ok_or(SELECTORS)?),
    };
    let name = name.trim();
    let Selector { group, percent, exchange, stream } = selector;
    if name == OUTAGE_RECOVERY {
        let percent =
            parse_percent(percent.unwrap_or(PERCENT)).ok_or("percent is above 0 and at most 100")?;
        let fits = exchange.is_none() && stream.is_none();
        let named = Named { subject: Subject::Outage(OutageOf::Recovery(percent)), group, part: None };
        return fits.then_some(named).ok_or_else(|| SELECTORS.to_owned());
    }
    let subject = subject(name).ok_or_else(|| unknown_subject(name))?;
    let (is_of_exchange, is_of_stream) =
        (matches!(subject, Subject::Exchange(_)), matches!(subject, Subject::Stream(_)));
    if percent.is_some() || (exchange.is_some() && !is_of_exchange) || (stream.is_some() && !is_of_stream) {
        return Err(SELECTORS.to_owned());
    }
    Ok(Named { subject, group, part: exchange.or(stream) })
}

/// What a key is limited to.
#[derive(Debug, Default)]
struct Selector<'t> {
    group: Option<String>,
    percent: Option<&'t str>,
    exchange: Option<String>,
    stream: Option<String>,
}

fn parse_selector(text: &str) -> Option<Selector<'_>> {
    let mut selector = Selector::default();
    for part in text.strip_suffix('}')?.split(',') {
        let (name, value) = part.trim().split_once(':')?;
        let value = value.trim();
        let is_named = !value.is_empty();
        match name {
            "exchange" if selector.exchange.is_none() && is_named => {
                selector.exchange = Some(value.to_owned());
            }
            "stream" if selector.stream.is_none() && is_named => selector.stream = Some(value.to_owned()),
            "group" if selector.group.is_none() && !value.is_empty() => {
                selector.group = Some(value.to_owned());
            }
            "percent" if selector.percent.is_none() => selector.percent = Some(value),
            _ => return None,
        }
    }
    Some(selector)
}

/// A percentage in thousandths: at most three digits behind the point.
fn parse_percent(text: &str) -> Option<u32> {
    let percent: f64 = text.parse().ok()?;
    let is_one = percent > 0.0 && percent <= 100.0;
    is_one.then_some((percent * 1_000.0).round() as u32)
}

fn subject(name: &str) -> Option<Subject> {
    match name {
        ATTEMPTS => return Some(Subject::Attempts),
        AVAILABILITY => return Some(Subject::Availability),
        OUTAGES => return Some(Subject::Outage(OutageOf::Number)),
        OUTAGE_COST => return Some(Subject::Outage(OutageOf::Cost)),
        _ => {}
    }
    share_named(name)
        .map(Subject::Share)
        .or_else(|| Metric::from_name(name).map(Subject::Metric))
        .or_else(|| Counter::from_name(name).map(Subject::Counter))
        .or_else(|| talk_subject(name))
}

fn talk_subject(name: &str) -> Option<Subject> {
    let exchange = EXCHANGE_SUBJECTS.iter().find(|(own, _)| *own == name);
    let stream = || STREAM_SUBJECTS.iter().find(|(own, _)| *own == name);
    exchange.map(|(_, of)| Subject::Exchange(*of)).or_else(|| stream().map(|(_, of)| Subject::Stream(*of)))
}

/// The share of attempts of that name, as `handshake_403_rate`.
#[must_use]
pub fn share_named(name: &str) -> Option<ShareOf> {
    SHARES.iter().find(|(share, _)| *share == name).map(|(_, share)| *share)
}

/// The names of shares.
pub fn share_names() -> impl Iterator<Item = &'static str> {
    SHARES.iter().map(|(name, _)| *name)
}

/// Every name that a threshold may look at.
pub(crate) fn subject_names() -> Vec<&'static str> {
    let metrics = Metric::ALL.iter().map(|metric| metric.name());
    let shares = share_names();
    let counters = Counter::ALL.iter().map(|counter| counter.name());
    let others = [ATTEMPTS, AVAILABILITY, OUTAGES, OUTAGE_RECOVERY, OUTAGE_COST];
    let exchanges = EXCHANGE_SUBJECTS.iter().map(|(name, _)| *name);
    let streams = STREAM_SUBJECTS.iter().map(|(name, _)| *name);
    metrics.chain(shares).chain(counters).chain(others).chain(exchanges).chain(streams).collect()
}

fn unknown_subject(name: &str) -> String {
    let names = subject_names();
    match nearest(name, names.iter().copied()) {
        Some(near) => format!("there is no metric `{name}`; did you mean `{near}`?"),
        None => format!("there is no metric `{name}`; there are {}", names.join(", ")),
    }
}

/// Parses an expression as `p(99) < 1s` on a subject.
pub(crate) fn parse_expression(
    key: &str,
    named: &Named,
    expression: &str,
    abort_after: Option<Duration>,
) -> Result<Threshold, String> {
    let at = expression
        .find(['<', '>', '=', '!'])
        .ok_or("an expression is AGGREGATE OPERATOR LIMIT, as \"p(99) < 1s\"")?;
    let (aggregate, rest) = expression.split_at(at);
    let symbols = rest.find(|c| !matches!(c, '<' | '>' | '=' | '!')).unwrap_or(rest.len());
    let (symbol, limit) = rest.split_at(symbols);
    let comparison = parse_comparison(symbol)?;
    let Named { subject, group, part } = named.clone();
    let aggregate = parse_aggregate(aggregate.trim())?;
    check_aggregate(subject, aggregate)?;
    let limit = parse_limit(subject, aggregate, limit.trim())?;
    let source = format!("{key}: {}", expression.trim());
    Ok(Threshold { subject, group, part, aggregate, comparison, limit, abort_after, source })
}

/// Reads a threshold as [`Threshold::source`] has it: `reconnect_latency{group:a}: p(99) < 1s`.
///
/// # Errors
/// What is wrong with it, in a sentence.
pub fn parse_threshold(source: &str) -> Result<Threshold, String> {
    let (key, expression) = source.rsplit_once(": ").ok_or("a threshold is METRIC: EXPRESSION")?;
    parse_expression(key, &parse_subject(key)?, expression, None)
}

fn check_aggregate(subject: Subject, aggregate: Aggregate) -> Result<(), String> {
    let as_known = match subject.talk_kind() {
        // As those that are of no exchange and no stream.
        Some(TalkKind::Time) => Subject::Outage(OutageOf::Recovery(0)),
        Some(TalkKind::Count) => Subject::Attempts,
        Some(TalkKind::Share) => Subject::Availability,
        None => subject,
    };
    check_kind(as_known, aggregate)
}

fn check_kind(subject: Subject, aggregate: Aggregate) -> Result<(), String> {
    let fits = match subject {
        Subject::Metric(_) | Subject::Outage(OutageOf::Recovery(_) | OutageOf::Cost) => {
            !matches!(aggregate, Aggregate::Rate)
        }
        Subject::Share(_) | Subject::Availability => matches!(aggregate, Aggregate::Rate),
        Subject::Outage(OutageOf::Number) => matches!(aggregate, Aggregate::Count),
        Subject::Counter(_) | Subject::Attempts => matches!(aggregate, Aggregate::Count | Aggregate::Rate),
        Subject::Exchange(_) | Subject::Stream(_) => true,
    };
    let allowed = match subject {
        Subject::Metric(_) | Subject::Outage(OutageOf::Recovery(_)) => {
            "a time has p(N), min, avg, med, max and count"
        }
        Subject::Outage(OutageOf::Cost) => "a cost has p(N), min, avg, med, max and count",
        Subject::Share(_) | Subject::Availability => "a share has only rate",
        Subject::Outage(OutageOf::Number) => "a number of outages has only count",
        Subject::Counter(_) | Subject::Attempts | Subject::Exchange(_) | Subject::Stream(_) => {
            "a count has count, and rate per second"
        }
    };
    if fits { Ok(()) } else { Err(allowed.to_owned()) }
}

fn parse_limit(subject: Subject, aggregate: Aggregate, text: &str) -> Result<f64, String> {
    let count = || {
        let number =
            text.replace('_', "").parse::<f64>().ok().filter(|number| *number >= 0.0 && number.is_finite());
        number.ok_or_else(|| format!("\"{text}\" is no count: a number is needed, as 100"))
    };
    let time = || {
        let limit = units::parse_duration(text).map(|limit| limit.as_secs_f64() * 1e6);
        limit.map_err(|error| format!("\"{text}\" is no limit for a time: {error}"))
    };
    let share =
        || units::parse_share(text).map_err(|error| format!("\"{text}\" is no limit for a share: {error}"));
    match (subject, aggregate) {
        (_, Aggregate::Count) => count(),
        _ if subject.talk_kind() == Some(TalkKind::Time) => time(),
        _ if subject.talk_kind() == Some(TalkKind::Share) => share(),
        (Subject::Metric(metric), _) if !metric.is_time() => count(),
        (Subject::Outage(OutageOf::Cost), _) => count(),
        (Subject::Metric(_) | Subject::Outage(_), _) => time(),
        (Subject::Share(_) | Subject::Availability, _) => share(),
        _ if text == "0" || text == "0/s" => Ok(0.0),
        _ => units::parse_rate(text).map_err(|error| format!("\"{text}\" is no limit for a rate: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(key: &str, expression: &str) -> Result<Threshold, String> {
        parse_expression(key, &parse_subject(key)?, expression, None)
    }

    #[test]
    fn expressions_parse_with_the_units_of_their_subject() {
        // (key, expression, limit)
        let rows = [
            ("reconnect_latency", "p(99) < 1s", 1e6),
            ("reconnect_latency{group:a}", "p(99.9)<=250ms", 250e3),
            ("phase_upgrade", "med < 5ms", 5e3),
            ("reconnect_latency", "count > 1_000", 1000.0),
            ("handshake_403_rate", "rate < 0.1%", 0.001),
            ("handshake_403_rate", "rate == 0", 0.0),
            ("tokens_fetched", "rate < 200/s", 200.0),
            ("attempts", "count >= 10", 10.0),
            ("cascade_depth", "max < 5", 5.0),
            ("availability", "rate > 99.9%", 0.999),
            ("availability{group:a}", "rate >= 1", 1.0),
            ("outages", "count == 0", 0.0),
            ("outage_recovery", "max < 30s", 30e6),
            ("outage_recovery{percent:99.5}", "p(50) < 1s", 1e6),
            ("outage_recovery{group:a, percent: 100 }", "max < 1s", 1e6),
            ("outage_cost", "max < 500", 500.0),
            ("exchange_latency{exchange:subscribe}", "p(99) < 20ms", 20e3),
            ("exchange_latency{group:a,exchange: say 1 }", "count > 5", 5.0),
            ("exchange_timeouts", "count == 0", 0.0),
            ("exchange_sent{group:a}", "rate > 5/s", 5.0),
            ("exchange_failure_rate", "rate < 0.1%", 0.001),
            ("stream_missed_away{stream:ticks}", "count < 7", 7.0),
            ("blind_time{stream:ticks,group:a}", "max < 5s", 5e6),
        ];
        for (key, expression, limit) in rows {
            let threshold = parse(key, expression).unwrap();
            assert!((threshold.limit - limit).abs() < 1e-9, "{key} {expression}: {}", threshold.limit);
            assert_eq!(threshold.source, format!("{key}: {expression}"));
            assert_eq!(parse_threshold(&threshold.source), Ok(threshold));
        }
        let threshold = parse("reconnect_latency{group: a }", "p(50) < 1s").unwrap();
        assert_eq!(threshold.group.as_deref(), Some("a"));
    }

    #[test]
    fn what_does_not_parse_is_told_why() {
        // (key, expression, part of the message)
        let rows = [
            ("reconect_latency", "p(99) < 1s", "did you mean `reconnect_latency`"),
            ("reconnect_latency{tag:x}", "p(99) < 1s", "{group:NAME}"),
            ("reconnect_latency", "p(99) < 5", "duration"),
            ("reconnect_latency", "p(0) < 5s", "percentile"),
            ("reconnect_latency", "p99 < 5s", "no aggregate"),
            ("reconnect_latency", "rate < 5s", "a time has"),
            ("reconnect_latency", "p(99) =< 5s", "no comparison"),
            ("reconnect_latency", "p(99)", "AGGREGATE OPERATOR LIMIT"),
            ("handshake_403_rate", "rate < 1s", "share"),
            ("handshake_403_rate", "p(99) < 1%", "only rate"),
            ("tokens_fetched", "rate < 5", "rate"),
            ("tokens_fetched", "count < -1", "no count"),
            ("availability", "p(99) > 99%", "only rate"),
            ("outages", "max < 1", "only count"),
            ("outage_recovery{percent:0}", "max < 1s", "above 0"),
            ("outage_recovery{percent:101}", "max < 1s", "at most 100"),
            ("outage_recovery", "max < 5", "duration"),
            ("outage_cost{percent:95}", "max < 5", "a selector is"),
            ("outage_cost", "max < 5s", "no count"),
            ("exchange_latency{stream:a}", "max < 5s", "a selector is"),
            ("stream_late{exchange:a}", "count < 5", "a selector is"),
            ("lag{exchange:a}", "max < 5s", "a selector is"),
            ("exchange_latency{exchange:}", "max < 5s", "a selector is"),
            ("exchange_latncy", "max < 5s", "did you mean `exchange_latency`"),
            ("exchange_failure_rate", "count < 5", "only rate"),
            ("stream_late", "max < 5", "a count has"),
            ("blind_time", "rate < 5/s", "a time has"),
        ];
        for (key, expression, part) in rows {
            let message = parse(key, expression).unwrap_err();
            assert!(message.contains(part), "{key} {expression}: {message}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(key in ".{0,30}", expression in ".{0,30}") {
            let _ = parse(&key, &expression);
            let _ = parse("reconnect_latency", &expression);
        }
    }
}
