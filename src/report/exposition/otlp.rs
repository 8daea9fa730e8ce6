//! Families in the messages of OpenTelemetry's protocol (OTLP 1, `opentelemetry/proto/metrics/v1/metrics.proto`).
//!
//! In: a run under way, what it is, what was sent before where only differences are wanted. Out: an `ExportMetricsServiceRequest`; and of an answer, what was
//! rejected. No I/O. Names are those of Prometheus' text with dots: `resurge.attempts`, in UCUM's units.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::record::Latencies;

use super::buckets::Bounds;
use super::exponential::Exponential;
use super::families::{Family, FamilyKind, FamilyUnit, Labels, Value};
use super::live::LiveRun;
use super::protobuf::{Field, Message, fields};

/// The instrumentation's name.
const SCOPE: &str = "resurge";
/// Before each name.
const PREFIX: &str = "resurge.";

/// What a run tells of itself with its numbers.
#[derive(Debug, Clone)]
pub struct RunResource {
    /// A name that no other run has.
    pub run_id: String,
    /// Attributes that the user gave, by name.
    pub attributes: Vec<(String, String)>,
    /// When the numbers begin, in nanoseconds since 1970.
    pub start_unix_ns: u64,
}

/// Whether counts go back to the run's start, or to what was sent last.
#[derive(Debug, Clone, Default)]
pub enum Temporality {
    /// To the run's start.
    #[default]
    Cumulative,
    /// To what was sent last: when that was, in nanoseconds since 1970, and the run as it was then; `None`: nothing was sent.
    Delta(Option<(u64, Box<LiveRun>)>),
}

impl Temporality {
    /// As the enum of the protocol has it.
    const fn number(&self) -> u64 {
        match self {
            Self::Delta(_) => 1,
            Self::Cumulative => 2,
        }
    }
}

/// A series, by name and labels.
type Key<'r> = (&'static str, Labels<'r>);

/// Since when and until when a value counts, and how the series stood when it was sent last.
struct Span<'r> {
    start_ns: u64,
    now_ns: u64,
    before: HashMap<Key<'r>, Value<'r>>,
    temporality: u64,
}

/// The request that tells how `run` stands at `now_ns`, in nanoseconds since 1970.
#[must_use]
pub fn export_request(
    run: &LiveRun,
    resource: &RunResource,
    temporality: &Temporality,
    now_ns: u64,
) -> Vec<u8> {
    let (start_ns, families) = match temporality {
        Temporality::Delta(Some((sent_ns, before))) => (*sent_ns, before.families()),
        Temporality::Delta(None) | Temporality::Cumulative => (resource.start_unix_ns, Vec::new()),
    };
    let mut before = HashMap::new();
    for Family { name, series, .. } in families {
        before.extend(series.into_iter().map(|(labels, value)| ((name, labels), value)));
    }
    let span = Span { start_ns, now_ns, before, temporality: temporality.number() };
    let mut scope = Message::default();
    scope.text(1, SCOPE);
    scope.text(2, env!("CARGO_PKG_VERSION"));
    let mut of_scope = Message::default();
    of_scope.message(1, &scope);
    for family in run.families() {
        if family.kind != FamilyKind::Info && !family.series.is_empty() {
            of_scope.message(2, &metric(family, &span));
        }
    }
    let mut of_resource = Message::default();
    of_resource.message(1, &resource_of(run, resource));
    of_resource.message(2, &of_scope);
    let mut request = Message::default();
    request.message(1, &of_resource);
    request.into_bytes()
}

fn resource_of(run: &LiveRun, resource: &RunResource) -> Message {
    let mut message = Message::default();
    let given = |name: &str| resource.attributes.iter().any(|(own, _)| own == name);
    let own = [
        ("service.name", SCOPE),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("service.instance.id", resource.run_id.as_str()),
        ("resurge.scenario", run.scenario.as_str()),
    ];
    for (name, value) in own.into_iter().filter(|(name, _)| !given(name)) {
        message.message(1, &attribute(name, value));
    }
    let (mut seed, mut value) = (Message::default(), Message::default());
    value.integer(3, run.seed.cast_signed());
    seed.text(1, "resurge.seed");
    seed.message(2, &value);
    message.message(1, &seed);
    for (name, value) in &resource.attributes {
        message.message(1, &attribute(name, value));
    }
    message
}

fn attribute(name: &str, value: &str) -> Message {
    let (mut pair, mut text) = (Message::default(), Message::default());
    text.text(1, value);
    pair.text(1, name);
    pair.message(2, &text);
    pair
}

/// The field of a metric that holds its data, by what they are.
const fn data_field(kind: FamilyKind) -> u64 {
    match kind {
        FamilyKind::Gauge | FamilyKind::Info => 5,
        FamilyKind::Counter | FamilyKind::Corrected => 7,
        FamilyKind::Histogram(_) => 10,
    }
}

fn metric<'r>(family: Family<'r>, span: &Span<'r>) -> Message {
    let Family { name, help, unit, kind, series } = family;
    let mut data = Message::default();
    for (labels, value) in series {
        let key = (name, labels);
        let before = span.before.get(&key);
        let point = match (value, kind) {
            (Value::Histogram(measured), FamilyKind::Histogram(bounds)) => {
                let before = match before {
                    Some(Value::Histogram(before)) => before.as_deref(),
                    _ => None,
                };
                distribution(measured, before, bounds, &key.1, span)
            }
            (value, kind) => number((&value, before), kind, &key.1, span),
        };
        data.message(1, &point);
    }
    if kind != FamilyKind::Gauge {
        data.number(2, span.temporality);
    }
    if kind == FamilyKind::Counter {
        data.number(3, 1);
    }
    let mut metric = Message::default();
    metric.text(1, &format!("{PREFIX}{name}"));
    metric.text(2, help);
    metric.text(3, unit_of(unit));
    metric.message(data_field(kind), &data);
    metric
}

/// The unit by UCUM.
const fn unit_of(unit: FamilyUnit) -> &'static str {
    match unit {
        FamilyUnit::Seconds => "s",
        FamilyUnit::Bytes => "By",
        FamilyUnit::None => "1",
    }
}

/// A label without a value is none.
fn attributes<'a>(labels: &'a Labels<'_>) -> impl Iterator<Item = Message> + 'a {
    labels.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| attribute(name, value))
}

/// A `NumberDataPoint`; of a count, what was sent before is taken off.
fn number(
    (value, before): (&Value<'_>, Option<&Value<'_>>),
    kind: FamilyKind,
    labels: &Labels<'_>,
    span: &Span<'_>,
) -> Message {
    let mut point = Message::default();
    point.fixed(2, span.start_ns);
    point.fixed(3, span.now_ns);
    match (value, before) {
        (Value::Count(count), Some(Value::Count(before))) if kind != FamilyKind::Gauge => {
            let more = count.cast_signed().wrapping_sub(before.cast_signed());
            point.set_integer(6, if kind == FamilyKind::Counter { more.max(0) } else { more });
        }
        (Value::Count(count), _) => point.set_integer(6, count.cast_signed()),
        (Value::Number(number), _) => point.set_double(4, *number),
        (Value::Info | Value::Histogram(_), _) => {}
    }
    attributes(labels).for_each(|attribute| point.message(7, &attribute));
    point
}

/// An `ExponentialHistogramDataPoint`; `before` is taken out.
fn distribution(
    measured: Option<Cow<'_, Latencies>>,
    before: Option<&Latencies>,
    bounds: Bounds,
    labels: &Labels<'_>,
    span: &Span<'_>,
) -> Message {
    let divisor = if bounds == Bounds::Count { 1.0 } else { 1e6 };
    let mut measured = measured.map_or_else(Latencies::new, Cow::into_owned);
    if let Some(before) = before {
        measured.subtract(before);
    }
    let Exponential { count, sum, min, max, scale, zeros, offset, buckets } =
        Exponential::of(&measured, divisor);
    let mut point = Message::default();
    attributes(labels).for_each(|attribute| point.message(1, &attribute));
    point.fixed(2, span.start_ns);
    point.fixed(3, span.now_ns);
    point.fixed(4, count);
    point.set_double(5, sum);
    point.signed(6, scale);
    point.fixed(7, zeros);
    let mut positive = Message::default();
    positive.signed(1, offset);
    positive.numbers(2, &buckets);
    point.message(8, &positive);
    if count > 0 {
        point.set_double(12, min);
        point.set_double(13, max);
    }
    point
}

/// How many data points a receiver rejected, by its `ExportMetricsServiceResponse`, and why.
#[must_use]
pub fn rejected_by(answer: &[u8]) -> (u64, String) {
    let partial = fields(answer).find_map(|(field, value)| match (field, value) {
        (1, Field::Bytes(bytes)) => Some(bytes),
        _ => None,
    });
    let (mut rejected, mut why) = (0, String::new());
    for (field, value) in fields(partial.unwrap_or_default()) {
        match (field, value) {
            (1, Field::Varint(count)) => rejected = count,
            (2, Field::Bytes(text)) => why = String::from_utf8_lossy(text).into_owned(),
            _ => {}
        }
    }
    (rejected, why)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::*;
    use crate::record::{LiveView, Tally};
    use crate::sample::{Counter, Sample};
    use crate::scenario::load;

    const SCENARIO: &str = r#"
duration = "9s"
[target]
[[groups]]
name = "g"
clients = 3
token = { grant = "none" }
[[groups.prepare.steps]]
name = "negotiate"
path = "/x"
[[groups.session.say]]
name = "ask"
text = "{counter}"
reply = { starts_with = "1" }
[[groups.session.streams]]
name = "ticks"
starts_with = "{"
sequence = "/seq"
[groups.session.kinds]
pointer = "/op"
[[storms]]
at = "2s"
by = "client"
"#;

    fn run(count: u64) -> LiveRun {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sent.toml");
        std::fs::write(&file, SCENARIO).unwrap();
        let scenario = load(&file, &Vec::new(), None, &|_| None).unwrap().scenario;
        let mut tally = Tally::default();
        tally.apply(&Sample::Count(Counter::MessagesIn, count));
        tally.apply(&Sample::Count(Counter::Reconnects, count));
        let view = LiveView { second: 3, totals: Arc::new(vec![tally]), ..LiveView::default() };
        LiveRun::new(&scenario, view)
    }

    fn resource() -> RunResource {
        RunResource { run_id: "r".to_owned(), attributes: Vec::new(), start_unix_ns: 5 }
    }

    fn within(bytes: &[u8], field: u64) -> Vec<&[u8]> {
        let found = fields(bytes).filter(|(number, _)| *number == field);
        found
            .filter_map(|(_, value)| match value {
                Field::Bytes(bytes) => Some(bytes),
                Field::Varint(_) => None,
            })
            .collect()
    }

    /// The metrics of a request: their names, and all of their bytes.
    fn metrics(request: &[u8]) -> Vec<(String, Vec<u8>)> {
        let scopes = within(within(request, 1)[0], 2);
        let named = within(scopes[0], 2).into_iter();
        named
            .map(|metric| (String::from_utf8(within(metric, 1)[0].to_vec()).unwrap(), metric.to_vec()))
            .collect()
    }

    #[test]
    fn the_manual_names_every_metric_and_no_other() {
        let request = export_request(&run(1), &resource(), &Temporality::Cumulative, 9);
        let sent: BTreeSet<String> = metrics(&request).into_iter().map(|(name, _)| name).collect();
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/src/run/opentelemetry.md");
        let page = std::fs::read_to_string(path).unwrap();
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `resurge.")?.split_once('`'));
        let mut told: BTreeSet<String> = rows.map(|(name, _)| format!("{PREFIX}{name}")).collect();
        // Nobody says what kind of message has come before one has.
        assert!(told.remove("resurge.messages_of_kind"));
        // Without a reconnect, nobody has a percentile of it.
        assert!(told.remove("resurge.reconnect_latency_percentile"));
        // All tokens are `none`.
        assert!(told.remove("resurge.token_requests"));
        assert_eq!(sent, told, "left what is sent, right what docs/src/run/opentelemetry.md names");
    }

    #[test]
    fn a_difference_is_what_came_since_and_nothing_that_only_grows_goes_back() {
        let sent = Temporality::Delta(Some((7, Box::new(run(40)))));
        let point = |count, name: &str| {
            let request = export_request(&run(count), &resource(), &sent, 9);
            let (_, metric) = metrics(&request).into_iter().find(|(own, _)| own == name).unwrap();
            within(within(&metric, 7)[0], 1)[0].to_vec()
        };
        let expected = |count: i64| {
            let mut point = Message::default();
            point.fixed(2, 7);
            point.fixed(3, 9);
            point.set_integer(6, count);
            point.message(7, &attribute("group", "g"));
            point.into_bytes()
        };
        assert_eq!(point(42, "resurge.messages_in"), expected(2));
        assert_eq!(point(40, "resurge.messages_in"), expected(0));
        assert_eq!(point(39, "resurge.messages_in"), expected(0));
        assert_eq!(point(39, "resurge.reconnects"), expected(-1), "one was taken back");
    }

    #[test]
    fn what_a_receiver_rejected_is_read() {
        let (mut partial, mut answer) = (Message::default(), Message::default());
        partial.integer(1, 12);
        partial.text(2, "too old");
        answer.message(1, &partial);
        assert_eq!(rejected_by(&answer.into_bytes()), (12, "too old".to_owned()));
        assert_eq!(rejected_by(b""), (0, String::new()));
        assert_eq!(rejected_by(b"<html>"), (0, String::new()));
    }
}
