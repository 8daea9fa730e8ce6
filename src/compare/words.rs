//! Values and changes as people read them, the same in every form of a comparison.
//!
//! In: numbers with their units. Out: short texts.

use crate::units::{format_availability, format_count, format_share, format_us};

use super::comparison::{Comparison, Row};
use super::estimate::SideEstimate;
use super::judge::{Finding, Judged};
use super::measure::{Measure, Quantity, Unit};

/// A side's value in its unit; of a share, with its whole.
pub(super) fn value(row: &Row, side: Option<&SideEstimate>) -> String {
    let told = value_of(&row.measure, side.map(|side| side.value));
    let told = match side.filter(|_| row.measure.is_share()) {
        Some(side) => format!("{told} of {}", format_count(side.samples)),
        None => told,
    };
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

/// A change as a reader sees it: of ratios in percent, of shares in points, else in the measure's unit; of a time that was nothing, as it is.
pub(super) fn change(row: &Row, difference: f64) -> String {
    if is_from_nothing(row) {
        return format!("+{}", format_us(difference.exp().round().max(0.0) as u64));
    }
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

/// Whether a time was nothing before: there is no share of it by which it changed.
pub(super) fn is_from_nothing(row: &Row) -> bool {
    row.measure.unit() == Unit::Us && row.baseline.as_ref().is_some_and(|side| side.value < 1.0)
}

/// The change, its interval and its adjusted p-value.
pub(super) fn tested(row: &Row) -> [String; 3] {
    match &row.tested {
        Some((_, judged)) => [
            change(row, judged.change),
            format!("{} … {}", change(row, judged.bounds.0), change(row, judged.bounds.1)),
            if judged.p_adjusted < 0.000_1 {
                "<0.0001".to_owned()
            } else {
                format!("{:.4}", judged.p_adjusted)
            },
        ],
        None if row.not_judged.is_none() => ["none".to_owned(), "-".to_owned(), "-".to_owned()],
        None => ["-".to_owned(), "-".to_owned(), "-".to_owned()],
    }
}

/// The verdict on a row, with what would decide it, or why it is not judged.
pub(super) fn finding(row: &Row) -> String {
    if let Some(why) = &row.not_judged {
        return format!("not judged ({})", why.words());
    }
    let needed = row.tested.as_ref().and_then(|(_, judged)| judged.repeats_needed);
    match (row.finding, needed) {
        (Finding::Inconclusive, Some(repeats)) => {
            format!("inconclusive ({} repeats each would decide)", format_count(u64::from(repeats)))
        }
        (Finding::Inconclusive, None) => "inconclusive (too near the least effect)".to_owned(),
        (Finding::Unchanged, _) => match floor(row) {
            Some(floor) => format!("unchanged (below the floor of {floor})"),
            None => Finding::Unchanged.name().to_owned(),
        },
        (finding, _) => finding.name().to_owned(),
    }
}

/// The least absolute difference that matters, where a change is less than that and would else be large enough.
fn floor(row: &Row) -> Option<String> {
    let (_, judged) = row.tested.as_ref()?;
    let effect = row.measure.min_effect;
    let baseline = row.baseline.as_ref()?.value;
    let is_large = |judged: &Judged| {
        if row.measure.is_ratio() {
            judged.change >= effect.relative.ln_1p() || judged.change <= (1.0 - effect.relative).max(0.0).ln()
        } else {
            judged.change.abs() >= effect.relative * baseline.abs()
        }
    };
    let is_by_both = effect.relative > 0.0 && effect.absolute > 0.0;
    (is_by_both && judged.change != 0.0 && is_large(judged)).then(|| match row.measure.unit() {
        Unit::Us => format_floor(effect.absolute),
        Unit::Share => format!("{} points", 100.0 * effect.absolute),
        Unit::ClientSeconds => format!("{} client-s", effect.absolute),
        _ => effect.absolute.to_string(),
    })
}

/// A floor as a user writes it: `1 ms`, `500 µs`.
fn format_floor(us: f64) -> String {
    match us {
        us if us >= 1e6 => format!("{} s", us / 1e6),
        us if us >= 1e3 => format!("{} ms", us / 1e3),
        us => format!("{us} µs"),
    }
}

/// What the shares of these rows are of, for a line below a table; `None` where there are none.
pub(super) fn wholes<'r>(rows: impl IntoIterator<Item = &'r Row>) -> Option<String> {
    let mut told: Vec<String> = Vec::new();
    for row in rows {
        let whole = row.measure.whole().map(|whole| format!("{} of {whole}", row.measure.name));
        told.extend(whole.filter(|whole| !told.contains(whole)));
    }
    (!told.is_empty()).then(|| format!("shares are of all runs of a side together: {}", told.join(", ")))
}

/// A changed row as a sentence, with both values.
pub(super) fn sentence(row: &Row) -> String {
    let [change, interval, p] = tested(row);
    format!(
        "{} {} {}: from {} to {}, {change} ({interval}, p {p})",
        row.group,
        row.measure.name,
        row.finding.name(),
        value(row, row.baseline.as_ref()),
        value(row, row.candidate.as_ref()),
    )
}

/// How many of the measures that decide came out how.
pub(super) fn counts(comparison: &Comparison) -> String {
    let of = |finding: Finding| format!("{} {}", comparison.count(finding), finding.name());
    let all = [Finding::Regressed, Finding::Improved, Finding::Unchanged, Finding::Inconclusive];
    let missed = match comparison.missed_count() {
        0 => String::new(),
        missed => format!("; {missed} not judged"),
    };
    let all = all.map(of).join(", ");
    format!("of {} measures that decide: {all}{missed}", comparison.deciding().count())
}

/// `5 runs`, `1 run`.
pub(super) fn runs(count: usize) -> String {
    if count == 1 { "1 run".to_owned() } else { format!("{count} runs") }
}
