//! `[[observe]]`: the service's own numbers, asked for while the run goes on.
//!
//! In: tables. Out: [`Observe`]s: who is asked, how often, and which series are taken of the answers.

use std::time::Duration;

use crate::declare::{
    At, HEADER_NAME, Hidden, NAME, NOT_EMPTY, Table, TextRule, above_zero, flag, flat, header, http_url,
    list, map, of, one_of, ruled, string, table, words,
};

use super::prepare::number_in_list;

/// Most sources.
pub(crate) const MOST_SOURCES: usize = 20;
/// Most series of a source.
const MOST_SERIES: usize = 100;
/// The longest query, in characters.
const LONGEST_QUERY: usize = 4_000;
/// A source is asked at most so often.
const SHORTEST: Duration = Duration::from_secs(1);

const SERIES: &str =
    "add [[observe.series]] with a name, and metric = \"…\" of a page, or query = \"…\" for a server";
/// A metric's name, the classic one or any text without what stands around it on a page.
const METRIC_NAME: TextRule = TextRule {
    name: "metric_name",
    patterns: &["^[^\\x00-\\x20\\x7f{}\"\\\\,=#]+$"],
    except: None,
    allowed: "the name of a metric alone is needed, as \"process_resident_memory_bytes\": what its labels must be goes into labels = { … }",
    examples: &["process_resident_memory_bytes", "pg_stat_activity_count"],
};
/// A label's name.
const LABEL_NAME: TextRule = TextRule {
    name: "label_name",
    patterns: &["^[^\\x00-\\x20\\x7f{}\"\\\\,=#]+$"],
    except: None,
    allowed: "the name of a label is needed, as job or state",
    examples: &["job", "state"],
};
/// A unit, for people.
const UNIT: TextRule = TextRule {
    name: "unit",
    patterns: &["^[^\\x00-\\x1f\\x7f]{0,24}$"],
    except: None,
    allowed: "a unit has at most 24 characters, as \"bytes\", \"s\" or \"connections\"",
    examples: &["bytes", "s", "cores"],
};

table! {
    /// A source of the service's own numbers, asked for while the run goes on.
    pub struct Observe {
        /// Its name, for messages. Default: its number, as `source 1`.
        name: String = String::new(), over (number) => string();
        /// How often it is asked, once a second at most.
        every: Duration = Duration::from_secs(1) => above_zero();
        /// Longest wait for an answer. While one is waited for, the source is not asked again.
        timeout: Duration = Duration::from_secs(5) => above_zero();
        /// Headers of the request, in order. A value may be a reference to a secret.
        headers: Vec<(String, Hidden<String>)> = Vec::new() => map(HEADER_NAME, header());
        /// What is taken of its answers.
        series: Vec<ObserveSeries>, needed "add [[observe.series]] with a name, and metric = \"…\" of a page, or query = \"…\" for a server"
            => list(of::<ObserveSeries>(), SERIES).least(1).most(MOST_SERIES);
        ..
        /// Who is asked.
        place: ObservePlace;
    }
    check: check;
}

/// The name of a source that has none.
fn number(table: &Table<'_>) -> String {
    format!("source {}", number_in_list(table))
}

/// Who is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObservePlace {
    /// A page of metrics, in the text format of Prometheus or OpenMetrics.
    Page(Hidden<url::Url>),
    /// A Prometheus server, by its HTTP API.
    Server(Hidden<url::Url>),
}

impl ObservePlace {
    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &url::Url {
        match self {
            Self::Page(url) | Self::Server(url) => url,
        }
    }
}

table! {
    /// Who is asked.
    pub struct PlaceKeys {
        /// A page of metrics, in the text format of Prometheus or OpenMetrics.
        url: Option<Hidden<url::Url>> = None => http_url();
        /// The base URL of a Prometheus server, or of one with the same HTTP API.
        prometheus: Option<Hidden<url::Url>> = None => http_url();
    }
    needs: [one_of(&[&["url"], &["prometheus"]], "name a page of metrics as url = \"http://…/metrics\", or a server as prometheus = \"http://…:9090\"")];
}

flat! { ObservePlace: PlaceKeys => |keys: PlaceKeys, _: &Table<'_>| {
    keys.url.map(ObservePlace::Page).or(keys.prometheus.map(ObservePlace::Server))
} }

table! {
    /// A series of numbers.
    #[derive(PartialEq)]
    pub struct ObserveSeries {
        /// Its name in reports and in `observed.csv`, which no other series has.
        name: String, needed "name = \"…\" is needed" => ruled(NAME);
        /// What its numbers count, for people: `bytes` and `s` are written with their prefixes.
        unit: String = String::new() => ruled(UNIT);
        /// What the labels of the metric must be; a label that must not be there is `""`.
        labels: Vec<(String, String)> = Vec::new() => map(LABEL_NAME, string());
        /// What becomes of several lines of the page that match.
        aggregate: Fold = Fold::Sum;
        /// Whether the metric is a counter, of which the growth per second is taken.
        rate: bool = false => flag();
        ..
        /// What it is.
        wanted: Wanted;
    }
    check: check_series;
}

words! {
    /// What becomes of several numbers of one moment.
    pub enum Fold {
        /// Their sum.
        Sum = "sum",
        /// The least.
        Min = "min",
        /// The largest.
        Max = "max",
        /// Their mean.
        Avg = "avg",
    }
}

/// What a series is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// A metric of a page.
    Metric(String),
    /// What a query brings, in PromQL.
    Query(String),
}

table! {
    /// What a series is.
    pub struct WantedKeys {
        /// The name of a metric, as the page has it.
        metric: Option<String> = None => ruled(METRIC_NAME);
        /// A query in PromQL that brings one series.
        query: Option<String> = None => ruled(NOT_EMPTY);
    }
    needs: [one_of(&[&["metric"], &["query"]], "a series is metric = \"…\" of a page, or query = \"…\" for a server")];
}

flat! { Wanted: WantedKeys => |keys: WantedKeys, _: &Table<'_>| {
    keys.metric.map(Wanted::Metric).or(keys.query.map(Wanted::Query))
} }

impl ObserveSeries {
    /// What it is, for people: `process_cpu_seconds_total{job="api"}, growth per second`.
    #[must_use]
    pub fn in_words(&self) -> String {
        let metric = match &self.wanted {
            Wanted::Query(query) => return query.split_whitespace().collect::<Vec<_>>().join(" "),
            Wanted::Metric(metric) => metric,
        };
        let labels: Vec<String> =
            self.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let fold = if self.aggregate == Fold::Sum {
            String::new()
        } else {
            format!("{} of ", self.aggregate.name())
        };
        let rate = if self.rate { ", growth per second" } else { "" };
        format!("{fold}{metric}{labels}{rate}")
    }
}

fn check_series(series: ObserveSeries, table: &Table<'_>) -> Option<ObserveSeries> {
    if let Wanted::Query(query) = &series.wanted {
        for key in ["labels", "aggregate", "rate"].into_iter().filter(|key| table.has(key)) {
            let help = "say it in the query, as sum(rate(http_requests_total{job=\"api\"}[10s]))";
            table.between(Some(key), format!("`{key}` goes with a metric"), help);
        }
        if query.chars().count() > LONGEST_QUERY {
            let message = format!("the query has more than {LONGEST_QUERY} characters");
            table.between(Some("query"), message, "name it by a recording rule of the server");
        }
    }
    Some(series)
}

/// A page has metrics, a server answers queries.
fn check(observe: Observe, table: &Table<'_>) -> Option<Observe> {
    if observe.every < SHORTEST {
        table.between(Some("every"), "a source is asked once a second at most", "make it \"1s\" or longer");
    }
    let places = table.peek("series").and_then(|at| at.elements());
    for (series, at) in observe.series.iter().zip(places.into_iter().flatten()) {
        check_wanted(&observe.place, &series.wanted, &at);
    }
    Some(observe)
}

fn check_wanted(place: &ObservePlace, wanted: &Wanted, at: &At<'_>) {
    match (place, wanted) {
        (ObservePlace::Page(_), Wanted::Query(_)) => at.between(
            "a query is for a server, and the source is a page of metrics",
            "take a metric of the page, as metric = \"…\", or name the server as prometheus = \"http://…:9090\"",
        ),
        (ObservePlace::Server(_), Wanted::Metric(_)) => at.between(
            "a metric is for a page, and the source is a server",
            "ask the server by query = \"…\", or name the page as url = \"http://…/metrics\"",
        ),
        _ => {}
    }
}
