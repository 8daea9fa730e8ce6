//! Answers of a Prometheus server (`/api/v1/query` and `/api/v1/query_range`), or of another with the same API.
//!
//! In: the body of an answer. Out: values, or why there are none, for people: the server's own words among them. A query has to bring one series: which of
//! several is meant nobody can guess.

use serde::Deserialize;
use serde::de::IgnoredAny;

/// The longest of the server's words.
const LONGEST_WORDS: usize = 200;

#[derive(Deserialize)]
struct Answer {
    data: Option<Data>,
    #[serde(rename = "errorType")]
    error_type: Option<String>,
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Vector(Vec<Sample>),
    Matrix(Vec<Row>),
    Scalar((f64, String)),
    String(IgnoredAny),
}

#[derive(Deserialize)]
struct Sample {
    /// Absent of a native histogram.
    value: Option<(f64, String)>,
}

#[derive(Deserialize)]
struct Row {
    values: Option<Vec<(f64, String)>>,
}

const HISTOGRAM: &str = "the query brings a histogram: take a number of it, as histogram_quantile(0.99, …)";

/// The value that an instant query brought; `None`: the result is empty, or no finite number.
///
/// # Errors
/// Why there is no value.
pub fn instant(body: &[u8]) -> Result<Option<f64>, String> {
    match data(body)? {
        Data::Scalar((_, text)) => Ok(number(&text)),
        Data::Vector(samples) => match samples.as_slice() {
            [] => Ok(None),
            [Sample { value: Some((_, text)) }] => Ok(number(text)),
            [_] => Err(HISTOGRAM.to_owned()),
            several => Err(ambiguous(several.len())),
        },
        Data::Matrix(_) => Err("the query brings a range: take a number of it, as rate(…[10s])".to_owned()),
        Data::String(_) => Err("the query brings a text".to_owned()),
    }
}

/// The values that a range query brought: the number of the step, from 0, and the value of each step that has one. The range begins at `start`, in seconds
/// since 1970, and has a step each `step` seconds.
///
/// # Errors
/// Why there are no values.
pub fn range(body: &[u8], start: f64, step: f64) -> Result<Vec<(u64, f64)>, String> {
    let Data::Matrix(rows) = data(body)? else { return Err("the server's answer has no range".to_owned()) };
    let mut steps: Vec<(u64, Option<f64>)> = Vec::new();
    for row in &rows {
        let values = row.values.as_ref().ok_or(HISTOGRAM)?;
        let at = |time: f64| ((time - start) / step).round();
        let told = values.iter().filter(|(time, _)| (0.0..1e15).contains(&at(*time)));
        steps.extend(told.map(|(time, text)| (at(*time) as u64, number(text))));
    }
    steps.sort_by_key(|(number, _)| *number);
    // One series may follow another, as that of a process that was started anew; side by side they are ambiguous.
    if steps.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err(ambiguous(rows.len()));
    }
    Ok(steps.into_iter().filter_map(|(number, value)| Some((number, value?))).collect())
}

/// What an answer says that is a refusal; `None`: nothing that could be read.
#[must_use]
pub fn refusal(body: &[u8]) -> Option<String> {
    let answer: Answer = serde_json::from_slice(body).ok()?;
    answer.error.is_some().then(|| data(body).err()).flatten()
}

fn data(body: &[u8]) -> Result<Data, String> {
    let answer: Answer = serde_json::from_slice(body)
        .map_err(|_| "what came is no answer of a Prometheus server".to_owned())?;
    match answer {
        Answer { error: Some(error), error_type, .. } => {
            let kind = error_type.map_or_else(String::new, |kind| format!("{}: ", shown(&kind)));
            Err(format!("{kind}{}", shown(&error)))
        }
        Answer { data: Some(data), .. } => Ok(data),
        Answer { data: None, .. } => Err("what came is no answer of a Prometheus server".to_owned()),
    }
}

fn ambiguous(series: usize) -> String {
    format!("the query brings {series} series, and one is needed: fold them, as sum(…)")
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

/// A stranger's words on one line, not too many.
fn shown(text: &str) -> String {
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut words: String = clean.take(LONGEST_WORDS).collect();
    if text.chars().nth(LONGEST_WORDS).is_some() {
        words.push('…');
    }
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn success(kind: &str, result: &str) -> String {
        format!(
            "{{\"status\":\"success\",\"data\":{{\"resultType\":\"{kind}\",\"result\":{result}}},\"warnings\":[]}}"
        )
    }

    #[test]
    fn an_instant_query_brings_one_value() {
        let one = "[{\"metric\":{\"a\":\"b\"},\"value\":[1435781451.781,\"1.5\"]}]";
        let two = "[{\"metric\":{},\"value\":[1,\"1\"]},{\"metric\":{},\"value\":[1,\"2\"]}]";
        let backwards = format!("{{\"data\":{{\"result\":{one},\"stats\":{{}},\"resultType\":\"vector\"}}}}");
        let bad = "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"invalid parameter \\\"query\\\": 1:5:\\nparse error\"}";
        let rows = [
            (success("vector", one), Ok(Some(1.5))),
            (backwards, Ok(Some(1.5))),
            (success("vector", "[]"), Ok(None)),
            (success("vector", &one.replace("1.5\"", "NaN\"")), Ok(None)),
            (success("scalar", "[1,\"7\"]"), Ok(Some(7.0))),
            (success("string", "[1,\"x\"]"), Err("the query brings a text")),
            (
                success("vector", two),
                Err("the query brings 2 series, and one is needed: fold them, as sum(…)"),
            ),
            (success("vector", "[{\"metric\":{},\"histogram\":[1,{}]}]"), Err(HISTOGRAM)),
            (
                success("matrix", "[{\"metric\":{},\"values\":[[1,\"2\"]]}]"),
                Err("the query brings a range: take a number of it, as rate(…[10s])"),
            ),
            (bad.to_owned(), Err("bad_data: invalid parameter \"query\": 1:5: parse error")),
            ("<html>".to_owned(), Err("what came is no answer of a Prometheus server")),
            ("{\"status\":\"success\"}".to_owned(), Err("what came is no answer of a Prometheus server")),
            (success("vectors", "[]"), Err("what came is no answer of a Prometheus server")),
        ];
        for (body, expected) in rows {
            assert_eq!(instant(body.as_bytes()), expected.map_err(str::to_owned), "{body}");
        }
        assert_eq!(
            refusal(bad.as_bytes()).as_deref(),
            Some("bad_data: invalid parameter \"query\": 1:5: parse error")
        );
        assert_eq!((refusal(b"<html>"), refusal(b"{}")), (None, None));
        let long = format!("{{\"error\":\"{}\"}}", "ß".repeat(10_000));
        assert_eq!(instant(long.as_bytes()).unwrap_err().chars().count(), LONGEST_WORDS + 1);
    }

    #[test]
    fn a_range_query_brings_a_value_for_each_step() {
        let rows = [
            ("[]", Ok(vec![])),
            (
                "[{\"values\":[[100,\"1\"],[102.0,\"2\"],[104.004,\"+Inf\"],[106,\"3\"]]}]",
                Ok(vec![(0, 1.0), (1, 2.0), (3, 3.0)]),
            ),
            // One process after the other.
            (
                "[{\"values\":[[104,\"5\"]]},{\"values\":[[100,\"1\"],[102,\"2\"]]}]",
                Ok(vec![(0, 1.0), (1, 2.0), (2, 5.0)]),
            ),
            (
                "[{\"values\":[[100,\"1\"]]},{\"values\":[[100,\"1\"]]}]",
                Err("the query brings 2 series, and one is needed: fold them, as sum(…)"),
            ),
            ("[{\"histograms\":[]}]", Err(HISTOGRAM)),
            ("[{\"values\":[[-1e308,\"1\"],[1e308,\"1\"]]}]", Ok(vec![])),
        ];
        for (result, expected) in rows {
            let found = range(success("matrix", result).as_bytes(), 100.0, 2.0);
            assert_eq!(found, expected.map_err(str::to_owned), "{result}");
        }
        let vector = success("vector", "[]");
        assert_eq!(range(vector.as_bytes(), 0.0, 1.0), Err("the server's answer has no range".to_owned()));
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(body in "(\\{|\\}|\\[|\\]|\"|data|result|resultType|matrix|vector|value|values|:|,|1e9|[0-9]){0,40}") {
            let _ = instant(body.as_bytes());
            let _ = range(body.as_bytes(), 0.0, 1.0);
        }
    }
}
