//! `[thresholds]`: what a run must hold, by metric.
//!
//! In: the table. Out: [`Threshold`]s, or what is wrong with them.

use std::time::Duration;

use crate::declare::{
    At, FIRST, Key, Kind, Of, Or, Presence, Shape, Table, TableShape, Take as _, TextShape, Time, duration,
    duration_pattern, field, flag, nearest,
};
use crate::sample::{Counter, Metric};

use super::talk_subject::{TalkKind, talk_names};
use super::threshold::{
    ATTEMPTS, AVAILABILITY, Named, OUTAGE_COST, OUTAGE_RECOVERY, OUTAGES, SHARES, Subject, Threshold,
    parse_expression, parse_subject,
};
use super::told::{GroupNames, GroupParts, TalkParts};

/// `[thresholds]`.
pub(crate) struct Thresholds;

const ALLOWED: &str =
    "\"p(99) < 1s\", a list of such, or of { expr = \"…\", abort_on_fail = true, delay = \"10s\" } is needed";
const EXPR: &str = "What must hold: an aggregate, a comparison, a limit.";
const COMPARISON: &str = "(<=?|>=?|={2,3}|!=)";
const PERCENTILE: &str = "p\\( *(0*[1-9][0-9]?(\\.[0-9]*)?|0*100(\\.0*)?|0*\\.[0-9]*[1-9][0-9]*) *\\)";
const COUNT: &str = "[0-9][0-9_]*(\\.[0-9]+)?";

fn abort() -> Or<Of<bool>> {
    field("abort_on_fail", "Whether the run ends when it fails.", flag()).or(false)
}

fn delay() -> Or<Time> {
    field("delay", "With `abort_on_fail`: not before this time has passed.", duration()).or(Duration::ZERO)
}

/// What can be said of a kind of metric.
struct Grammar {
    name: &'static str,
    metrics: Vec<&'static str>,
    pattern: String,
    examples: &'static [&'static str],
    /// What its keys may be limited to.
    selector: String,
    /// Whether it is known while the run goes on.
    is_live: bool,
}

const HOW: &str = "write METRIC, or METRIC{group:NAME}; outage_recovery{percent:95}, exchange_latency{exchange:NAME} and stream_latency{stream:NAME} too";
const SELECTOR: &str = "(\\{ *group: *[A-Za-z0-9_-][A-Za-z0-9._-]{0,63} *\\})?";
const OUTAGE_SELECTOR: &str = "(\\{ *(group: *[A-Za-z0-9_-][A-Za-z0-9._-]{0,63} *(, *percent: *([1-9][0-9]?(\\.[0-9]{1,3})?|100) *)?|percent: *([1-9][0-9]?(\\.[0-9]{1,3})?|100) *)\\})?";

/// The selector of what has names of its own beside groups.
fn part_selector(part: &str) -> String {
    let group = "group: *[A-Za-z0-9_-][A-Za-z0-9._-]{0,63} *";
    let part = format!("{part}: *[^{{}},]*[^{{}},\\s][^{{}},]*");
    format!("(\\{{ *({group}(, *{part})?|{part}(, *{group})?)\\}})?")
}

fn grammars() -> Vec<Grammar> {
    let (times, numbers): (Vec<Metric>, Vec<Metric>) =
        Metric::ALL.iter().partition(|metric| metric.is_time());
    let names = |metrics: Vec<Metric>| metrics.into_iter().map(Metric::name).collect();
    let counts = Counter::ALL.iter().map(|counter| counter.name()).chain([ATTEMPTS]);
    let of_values = format!("({PERCENTILE}|min|avg|mean|med|max)");
    let time = duration_pattern();
    let share =
        "((0*([0-9]{1,2}(\\.[0-9]*)?|100(\\.0*)?|\\.[0-9]+)) *%|0*(0(\\.[0-9]*)?|1(\\.0*)?|\\.[0-9]+))";
    let rate = "(0|0/s|0*([1-9][0-9]{0,11}(\\.[0-9]*)?|0?\\.[0-9]*[1-9][0-9]*) */ *(s|m|min|h))";
    let counting = format!("count *{COMPARISON} *{COUNT}");
    let either = |a: String| format!("^ *({a}|{counting}) *$");
    let mut all = vec![
        Grammar {
            name: "time_expression",
            metrics: names(times),
            pattern: either(format!("{of_values} *{COMPARISON}( *{time})")),
            examples: &["p(99) < 1s", "max <= 250ms", "count > 100"],
            selector: SELECTOR.to_owned(),
            is_live: true,
        },
        Grammar {
            name: "number_expression",
            metrics: names(numbers),
            pattern: either(format!("{of_values} *{COMPARISON} *{COUNT}")),
            examples: &["max < 5", "p(99) <= 3"],
            selector: SELECTOR.to_owned(),
            is_live: true,
        },
        Grammar {
            name: "share_expression",
            metrics: SHARES.iter().map(|(name, _)| *name).chain([AVAILABILITY]).collect(),
            pattern: format!("^ *rate *{COMPARISON} *{share} *$"),
            examples: &["rate < 0.1%", "rate == 0"],
            selector: SELECTOR.to_owned(),
            is_live: true,
        },
        Grammar {
            name: "count_expression",
            metrics: counts.collect(),
            pattern: either(format!("rate *{COMPARISON} *{rate}")),
            examples: &["rate < 200/s", "count >= 10"],
            selector: SELECTOR.to_owned(),
            is_live: true,
        },
        Grammar {
            name: "outages_expression",
            metrics: vec![OUTAGES],
            pattern: format!("^ *{counting} *$"),
            examples: &["count == 0", "count <= 1"],
            selector: SELECTOR.to_owned(),
            is_live: false,
        },
        Grammar {
            name: "outage_recovery_expression",
            metrics: vec![OUTAGE_RECOVERY],
            pattern: either(format!("{of_values} *{COMPARISON}( *{time})")),
            examples: &["max < 30s", "med < 10s"],
            selector: OUTAGE_SELECTOR.to_owned(),
            is_live: false,
        },
        Grammar {
            name: "outage_cost_expression",
            metrics: vec![OUTAGE_COST],
            pattern: either(format!("{of_values} *{COMPARISON} *{COUNT}")),
            examples: &["max < 500", "avg < 100"],
            selector: SELECTOR.to_owned(),
            is_live: false,
        },
    ];
    for (of_streams, part) in [(false, "exchange"), (true, "stream")] {
        for (name, kind) in [
            ("time_expression", TalkKind::Time),
            ("count_expression", TalkKind::Count),
            ("share_expression", TalkKind::Share),
        ] {
            let metrics = talk_names(kind, of_streams);
            let known = all.iter().find(|grammar| grammar.name == name);
            if let Some(known) = known.filter(|_| !metrics.is_empty()) {
                let Grammar { pattern, examples, .. } = known;
                let (pattern, examples) = (pattern.clone(), *examples);
                let selector = part_selector(part);
                all.push(Grammar { name, metrics, pattern, examples, selector, is_live: true });
            }
        }
    }
    all
}

impl Grammar {
    fn expression(&self) -> TextShape {
        TextShape {
            patterns: vec![self.pattern.clone().into()],
            examples: self.examples,
            ..TextShape::plain(self.name)
        }
    }

    fn key(&self) -> TextShape {
        let names = self.metrics.join("|");
        let selector = &self.selector;
        TextShape { patterns: vec![format!("^({names}) *{selector}$").into()], ..TextShape::plain("metric") }
    }

    fn shape(&self) -> Shape {
        let expression = Shape::Text(self.expression());
        let expr = Key {
            name: "expr",
            about: EXPR.to_owned(),
            shape: expression.clone(),
            presence: Presence::Required,
            since: FIRST,
        };
        let when = if self.is_live { [abort().keys(), delay().keys()].concat() } else { Vec::new() };
        let keys = [vec![expr], when].concat();
        let table = Shape::Table(TableShape { about: EXPR.to_owned(), keys, ..TableShape::default() });
        let one = Shape::Either(vec![expression.clone(), table.clone()]);
        let several = Shape::List { of: Box::new(one), least: 0, most: None, unique: false };
        Shape::Either(vec![expression, table, several])
    }
}

impl Kind for Thresholds {
    type Out = Vec<Threshold>;

    fn shape(&self) -> Shape {
        Shape::Map(grammars().iter().map(|grammar| (grammar.key(), grammar.shape())).collect())
    }

    fn read(&self, at: &At<'_>) -> Option<Vec<Threshold>> {
        let Some(table) = at.table() else {
            at.wrong("a table is needed");
            return None;
        };
        let grammars = grammars();
        let mut thresholds = Vec::new();
        for key in table.keys() {
            let name = key.get_ref().as_ref();
            let parsed = parse_subject(name).and_then(|named| {
                let grammar = grammars.iter().find(|grammar| grammar.key().fits(name));
                grammar.map(|grammar| (named, grammar)).ok_or_else(|| HOW.to_owned())
            });
            let (named, grammar) = match parsed {
                Ok(parsed) => parsed,
                Err(why) => {
                    table.fault(key.span(), format!("`thresholds.{name}` cannot be measured"), why);
                    continue;
                }
            };
            let Some(value) = table.get(name) else { continue };
            check_group(&value, named.group.as_deref());
            check_part(&value, &named);
            let one = [table.get(name)];
            let elements: Vec<At<'_>> = match value.elements() {
                Some(elements) => elements.collect(),
                None => one.into_iter().flatten().collect(),
            };
            let of = Measured { name, named, grammar };
            thresholds.extend(elements.iter().filter_map(|element| of.read(element)));
        }
        Some(thresholds)
    }

    fn write(&self, out: &Vec<Threshold>) -> Option<String> {
        out.is_empty().then(|| "{}".to_owned())
    }
}

fn check_group(at: &At<'_>, group: Option<&str>) {
    // Where a group has no name, which there are is not known.
    let Some(GroupNames(groups)) = at.reading.told() else { return };
    if let Some(group) = group.filter(|group| !groups.iter().any(|known| known == group)) {
        at.between(format!("there is no group \"{group}\""), format!("there are {}", groups.join(", ")));
    }
}

/// An exchange or a stream that is named must be there, in the group where one is named; and where none is named, there must be any.
fn check_part(at: &At<'_>, named: &Named) {
    let Some(TalkParts(groups)) = at.reading.told() else { return };
    let (word, is_of_stream) = match named.subject {
        Subject::Exchange(_) => ("exchange", false),
        Subject::Stream(_) => ("stream", true),
        _ => return,
    };
    let is_own = |group: &&GroupParts| named.group.as_ref().is_none_or(|name| *name == group.group);
    let own = groups.iter().filter(is_own);
    let names = own.flat_map(|group| if is_of_stream { &group.streams } else { &group.exchanges });
    let mut names: Vec<&str> = names.map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    let whose = named.group.as_ref().map_or_else(String::new, |group| format!(" in group \"{group}\""));
    if names.is_empty() {
        let how = if is_of_stream {
            "[[groups.session.streams]]"
        } else {
            "a reply to [[groups.session.say]], or qos = 1 to [[groups.session.mqtt.publish]]"
        };
        return at.between(format!("there is no {word}{whose} to look at"), format!("add {how}"));
    }
    let Some(part) = named.part.as_deref().filter(|part| !names.contains(part)) else { return };
    let help = match nearest(part, names.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("there are {}", names.join(", ")),
    };
    at.between(format!("there is no {word} \"{part}\"{whose}"), help);
}

/// A metric whose thresholds are read.
struct Measured<'a> {
    name: &'a str,
    named: Named,
    grammar: &'a Grammar,
}

impl Measured<'_> {
    fn read(&self, at: &At<'_>) -> Option<Threshold> {
        let parsed = match (at.text(), at.table()) {
            (Some(text), _) => self.parse(text, None),
            (None, Some(table)) => self.read_table(&table),
            (None, None) => Err(ALLOWED.to_owned()),
        };
        if let Err(why) = &parsed {
            at.fault(format!("`thresholds.{}` has no usable expression", self.name), why.clone());
        }
        parsed.ok()
    }

    fn read_table(&self, table: &Table<'_>) -> Result<Threshold, String> {
        let text = table.get("expr").and_then(|at| at.text());
        let mut abort_after = None;
        // Outages are known when the run is over.
        if self.grammar.is_live {
            let is_wanted = abort().take(table).unwrap_or_default();
            let delay = delay().take(table).unwrap_or_default();
            abort_after = is_wanted.then_some(delay);
        }
        table.finish();
        self.parse(text.unwrap_or_default(), abort_after)
    }

    fn parse(&self, text: &str, abort_after: Option<Duration>) -> Result<Threshold, String> {
        let parsed = parse_expression(self.name, &self.named, text, abort_after)?;
        let fits = self.grammar.expression().fits(text);
        fits.then_some(parsed).ok_or_else(|| format!("write it as {}", self.grammar.examples.join(", ")))
    }
}
