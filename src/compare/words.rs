//! Values and changes as people read them, the same in every form of a comparison.
//!
//! In: numbers with their units. Out: short texts.

use crate::units::{format_availability, format_count, format_share, format_us};

use super::comparison::{Comparison, Row};
use super::estimate::SideEstimate;
use super::judge::Finding;
use super::measure::{Measure, Quantity, Unit};

/// A side's value in its unit.
pub(super) fn value(row: &Row, side: Option<&SideEstimate>) -> String {
    let told = value_of(&row.measure, side.map(|side| side.value));
    if side.is_some_and(|side| side.is_beyond) { format!("> {told}") } else { told }
}

/// A value of a measure in its unit.
pub(super) fn value_of(measure: &Measure, value: Option<f64>) -> String {
    let Some(value) = value else { return "-".to_owned() };
    match measure.unit() {
        Unit::Us => format_us(value.round() as u64),
        Unit::Share if measure.quantity == Quantity::Availability => format_availability(value),
        Unit::Share => format_share(value),
        Unit::PerSecond => format!("{value:.1}/s"),
        Unit::Number => format!("{value:.2}"),
        Unit::Seconds => format!("{value:.2} s"),
        Unit::Bytes => format!("{:.1} MiB", value / 1_048_576.0),
        Unit::ClientSeconds => format!("{value:.1} client-s"),
    }
}

/// A difference on its scale as a reader sees it: of ratios in percent, of shares in points, else in the measure's unit.
pub(super) fn change(row: &Row, difference: f64) -> String {
    if row.measure.is_ratio() {
        // Adding zero makes a negative zero a zero.
        let percent = (1_000.0 * difference.exp_m1()).round() / 10.0 + 0.0;
        if percent.abs() >= 1_000.0 {
            format!("×{:.1}", difference.exp())
        } else {
            format!("{percent:+.1}%")
        }
    } else {
        let rounded = |value: f64, digits: f64| (value * digits).round() / digits + 0.0;
        match (row.measure.quantity, row.measure.unit()) {
            (Quantity::Availability, _) => format!("{:+.3} pp", rounded(100.0 * difference, 1_000.0)),
            (_, Unit::Share) => format!("{:+.2} pp", rounded(100.0 * difference, 100.0)),
            (_, Unit::ClientSeconds) => format!("{:+.1} client-s", rounded(difference, 10.0)),
            _ => format!("{:+.2}", rounded(difference, 100.0)),
        }
    }
}

/// The change, its interval and its adjusted p-value.
pub(super) fn tested(row: &Row) -> [String; 3] {
    match &row.tested {
        Some((difference, judged)) => [
            change(row, difference.estimate),
            format!("{} … {}", change(row, judged.interval.0), change(row, judged.interval.1)),
            if judged.p_adjusted < 0.000_1 {
                "<0.0001".to_owned()
            } else {
                format!("{:.4}", judged.p_adjusted)
            },
        ],
        None if row.baseline.is_some() && row.candidate.is_some() => {
            ["none".to_owned(), "-".to_owned(), "-".to_owned()]
        }
        None => ["-".to_owned(), "-".to_owned(), "-".to_owned()],
    }
}

/// The verdict on a row, with what would decide it.
pub(super) fn finding(row: &Row) -> String {
    if row.baseline.is_none() || row.candidate.is_none() {
        return "one side has no sample".to_owned();
    }
    let needed = row.tested.as_ref().and_then(|(_, judged)| judged.repeats_needed);
    match (row.finding, needed) {
        (Finding::Inconclusive, Some(repeats)) => {
            format!("inconclusive ({} repeats each would decide)", format_count(u64::from(repeats)))
        }
        (Finding::Inconclusive, None) if row.tested.is_none() && is_beyond(row) => {
            "inconclusive (beyond what was seen)".to_owned()
        }
        (Finding::Inconclusive, None) if row.tested.is_none() => "inconclusive (too few values)".to_owned(),
        (Finding::Inconclusive, None) => "inconclusive (too near the least effect)".to_owned(),
        (finding, _) => finding.name().to_owned(),
    }
}

fn is_beyond(row: &Row) -> bool {
    row.baseline.iter().chain(&row.candidate).any(|side| side.is_beyond)
}

/// How many of the measures that decide came out how.
pub(super) fn counts(comparison: &Comparison) -> String {
    let of = |finding: Finding| format!("{} {}", comparison.count(finding), finding.name());
    let all = [Finding::Regressed, Finding::Improved, Finding::Unchanged, Finding::Inconclusive];
    format!("of {} measures that decide: {}", comparison.deciding().count(), all.map(of).join(", "))
}

/// `5 runs`, `1 run`.
pub(super) fn runs(count: usize) -> String {
    if count == 1 { "1 run".to_owned() } else { format!("{count} runs") }
}
