//! Which number of a subject a threshold looks at, and how it compares.
//!
//! In: `p(99)`, `<`. Out: [`Aggregate`], [`Comparison`], or what is wrong.

/// Which number of a subject.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Aggregate {
    /// `p(99.9)`, a percentile in (0, 100]; of times.
    Percentile(f64),
    /// `min`, of times.
    Min,
    /// `avg` or `mean`, of times.
    Mean,
    /// `max`, of times.
    Max,
    /// `count`, of times and counts.
    Count,
    /// `rate`: of shares, 0..1; of counts, per second of the run.
    Rate,
}

/// How a number is compared with a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Below,
    /// `<=`
    AtMost,
    /// `>`
    Above,
    /// `>=`
    AtLeast,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
}

/// Reads a comparison, as `<=`.
pub(super) fn parse_comparison(symbol: &str) -> Result<Comparison, String> {
    Ok(match symbol {
        "<" => Comparison::Below,
        "<=" => Comparison::AtMost,
        ">" => Comparison::Above,
        ">=" => Comparison::AtLeast,
        "==" | "===" => Comparison::Equal,
        "!=" => Comparison::NotEqual,
        other => return Err(format!("`{other}` is no comparison: one of < <= > >= == != is needed")),
    })
}

/// Reads an aggregate, as `p(99)`.
pub(super) fn parse_aggregate(text: &str) -> Result<Aggregate, String> {
    let allowed = "one of p(N), min, avg, mean, med, max, count, rate is needed";
    Ok(match text {
        "min" => Aggregate::Min,
        "avg" | "mean" => Aggregate::Mean,
        "med" => Aggregate::Percentile(50.0),
        "max" => Aggregate::Max,
        "count" => Aggregate::Count,
        "rate" => Aggregate::Rate,
        _ => {
            let inner = text.strip_prefix("p(").and_then(|rest| rest.strip_suffix(')'));
            let percentile = inner.and_then(|inner| inner.trim().parse::<f64>().ok());
            let percentile = percentile.ok_or_else(|| match bare_percentile(text) {
                Some(number) => format!("`{text}` is no aggregate; did you mean `p({number})`?"),
                None => format!("`{text}` is no aggregate: {allowed}"),
            })?;
            if !(percentile > 0.0 && percentile <= 100.0) {
                return Err(format!("p({percentile}) is none: a percentile is above 0 and at most 100"));
            }
            Aggregate::Percentile(percentile)
        }
    })
}

/// The percentile of `p99`, and of `p99_9` as the CSV files have it.
fn bare_percentile(text: &str) -> Option<String> {
    let number = text.strip_prefix('p')?.trim_start_matches('(').replace('_', ".");
    number.parse::<f64>().is_ok().then_some(number)
}
