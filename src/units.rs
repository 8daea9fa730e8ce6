//! Units as people write and read them: `"5s"`, `"200/s"`, `"0.1%"`, `1.24 ms`; and sentences in lines.
//!
//! In: text from scenario files and thresholds, or numbers from reports. Out: numbers, or text. What does not parse is
//! answered with what is allowed.

use std::time::Duration;

/// The longest duration that a scenario may name: ten years.
pub const MAX_DURATION: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Why a text is no quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// No duration.
    #[error("a duration is a number with a unit, as \"250ms\", \"5s\", \"1m30s\" or \"24h\"")]
    Duration,
    /// A negative duration.
    #[error("a duration cannot be negative")]
    Negative,
    /// A duration beyond [`MAX_DURATION`].
    #[error("a duration is at most 10 years")]
    TooLong,
    /// No rate.
    #[error("a rate is a positive number per second, minute or hour, as \"200/s\", \"12/m\" or \"1/h\"")]
    Rate,
    /// No share.
    #[error("a share is between 0% and 100%, as \"0.1%\", or between 0 and 1, as 0.001")]
    Share,
}

/// Parses a duration: numbers with units from `ns` to `h`, one after the other.
///
/// # Errors
/// [`UnitError`] when the text is none, negative or beyond ten years.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let text = text.trim_matches(' ');
    if text.starts_with('-') {
        return Err(UnitError::Negative);
    }
    let mut rest = text;
    let mut total_s = 0.0_f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().map_err(|_| UnitError::Duration)?;
        let tail = &rest[digits..];
        let letters = tail.find(|c: char| !c.is_alphabetic()).unwrap_or(tail.len());
        let unit_s = match &tail[..letters] {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            _ => return Err(UnitError::Duration),
        };
        total_s += number * unit_s;
        rest = tail[letters..].trim_start_matches(' ');
    }
    if text.is_empty() {
        return Err(UnitError::Duration);
    }
    if !total_s.is_finite() || total_s > MAX_DURATION.as_secs_f64() {
        return Err(UnitError::TooLong);
    }
    // Rounded to the nanosecond, so that "0.1s" is 100 ms exactly; what is not nothing does not become so.
    let ns = (total_s * 1e9).round() as u64;
    Ok(Duration::from_nanos(if total_s > 0.0 { ns.max(1) } else { 0 }))
}

/// Parses a rate; answers per second.
///
/// # Errors
/// [`UnitError::Rate`] when the text is none, or not above zero.
pub fn parse_rate(text: &str) -> Result<f64, UnitError> {
    let (number, unit) = text.trim().split_once('/').ok_or(UnitError::Rate)?;
    let number: f64 = number.trim().parse().map_err(|_| UnitError::Rate)?;
    let per_s = match unit.trim() {
        "s" => number,
        "m" | "min" => number / 60.0,
        "h" => number / 3_600.0,
        _ => return Err(UnitError::Rate),
    };
    if per_s.is_finite() && per_s > 0.0 { Ok(per_s) } else { Err(UnitError::Rate) }
}

/// Parses a share; answers 0..1.
///
/// # Errors
/// [`UnitError::Share`] when the text is none, or outside of 0..1.
pub fn parse_share(text: &str) -> Result<f64, UnitError> {
    let text = text.trim();
    let share = match text.strip_suffix('%') {
        Some(number) => number.trim().parse::<f64>().map(|percent| percent / 100.0),
        None => text.parse(),
    };
    match share {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err(UnitError::Share),
    }
}

/// Microseconds for people, three digits: `980 µs`, `1.24 ms`, `3.02 s`, `12.5 min`.
#[must_use]
pub fn format_us(us: u64) -> String {
    let us = us as f64;
    if us < 1_000.0 {
        format!("{us:.0} µs")
    } else if us < 1e6 {
        three_digits(us / 1e3, "ms")
    } else if us < 120e6 {
        three_digits(us / 1e6, "s")
    } else {
        three_digits(us / 60e6, "min")
    }
}

fn three_digits(value: f64, unit: &str) -> String {
    if value < 10.0 {
        format!("{value:.2} {unit}")
    } else if value < 100.0 {
        format!("{value:.1} {unit}")
    } else {
        format!("{value:.0} {unit}")
    }
}

/// A duration as a scenario writes it: `1m30s`, `250ms`, `0s`.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let ns = duration.as_nanos();
    if ns == 0 {
        return "0s".to_owned();
    }
    let units: [(u128, &str); 6] = [
        (3_600_000_000_000, "h"),
        (60_000_000_000, "m"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
        (1_000, "us"),
        (1, "ns"),
    ];
    let mut rest = ns;
    let mut text = String::new();
    for (size, unit) in units {
        if rest >= size {
            text.push_str(&format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    text
}

/// A count with its thousands apart: `12,345`.
#[must_use]
pub fn format_count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A share (0..1) to a thousandth of a percent, rounded down: what was not there all the time is never told as 100 %.
#[must_use]
pub fn format_availability(share: f64) -> String {
    if share >= 1.0 { "100 %".to_owned() } else { format!("{:.3} %", (share * 100_000.0).floor() / 1_000.0) }
}

/// A share for people: `12.3%`; what is not quite nothing or not quite all does not look it.
#[must_use]
pub fn format_share(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 0.0 && percent < 0.05 {
        format!("{percent:.3}%")
    } else if percent > 99.95 && percent < 100.0 {
        "99.9%".to_owned()
    } else {
        format!("{percent:.1}%")
    }
}

/// `text`, or so many characters of it at most and that there are more.
#[must_use]
pub fn clipped(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) => text.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// `text` in lines of at most `width` characters, where its words are not longer: the first begins with `mark`, the others with `hang` spaces. One line at
/// least.
#[must_use]
pub fn wrapped(mark: &str, text: &str, hang: usize, width: usize) -> Vec<String> {
    let (mut lines, mut line, mut is_empty) = (Vec::new(), mark.to_owned(), true);
    for word in text.split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::replace(&mut line, " ".repeat(hang)));
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_parse_or_say_why_not() {
        let ms = |ms| Ok(Duration::from_millis(ms));
        let rows = [
            ("5s", ms(5_000)),
            ("250ms", ms(250)),
            ("1m30s", ms(90_000)),
            ("1m 30s", ms(90_000)),
            ("0.1s", ms(100)),
            ("24h", ms(86_400_000)),
            ("0s", ms(0)),
            ("5", Err(UnitError::Duration)),
            ("", Err(UnitError::Duration)),
            ("s", Err(UnitError::Duration)),
            ("5 parsecs", Err(UnitError::Duration)),
            ("1..2s", Err(UnitError::Duration)),
            ("-5s", Err(UnitError::Negative)),
            ("99999999999999h", Err(UnitError::TooLong)),
            ("1e400s", Err(UnitError::Duration)),
        ];
        for (text, expected) in rows {
            assert_eq!(parse_duration(text), expected, "{text}");
        }
    }

    #[test]
    fn rates_and_shares_parse_or_say_why_not() {
        assert_eq!(parse_rate("200/s"), Ok(200.0));
        assert_eq!(parse_rate("12 / m"), Ok(0.2));
        assert_eq!(parse_share("0.1%"), Ok(0.001));
        assert_eq!(parse_share("0.25"), Ok(0.25));
        for text in ["200", "0/s", "-1/s", "x/s", "1/d", "inf/s"] {
            assert_eq!(parse_rate(text), Err(UnitError::Rate), "{text}");
        }
        for text in ["101%", "-1%", "2", "x", "NaN"] {
            assert_eq!(parse_share(text), Err(UnitError::Share), "{text}");
        }
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(
            [980, 1_240, 45_670, 3_020_000, 300_000_000].map(format_us),
            ["980 µs", "1.24 ms", "45.7 ms", "3.02 s", "5.00 min"]
        );
        assert_eq!([0, 999, 1_000, 1_234_567].map(format_count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0.0, 0.000_1, 0.5, 0.999_9, 1.0].map(format_share),
            ["0.0%", "0.010%", "50.0%", "99.9%", "100.0%"]
        );
        assert_eq!(format_duration(Duration::from_millis(90_250)), "1m30s250ms");
        assert_eq!(format_duration(Duration::ZERO), "0s");
    }

    proptest! {
        #[test]
        fn a_duration_reads_back(ms in 0_u64..100_000_000) {
            let duration = Duration::from_millis(ms);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn no_text_makes_a_parser_panic(text in ".{0,20}") {
            let _ = (parse_duration(&text), parse_rate(&text), parse_share(&text));
        }
    }

    #[test]
    fn sentences_are_wrapped_between_words() {
        assert_eq!(wrapped("- ", "one two three", 4, 9), ["- one two", "    three"]);
        assert_eq!(wrapped("- ", "one two three", 2, 8), ["- one", "  two", "  three"]);
        assert_eq!(wrapped("", " unbreakably long ", 1, 5), ["unbreakably", " long"]);
        assert_eq!(wrapped("", "ä ö ü", 0, 3), ["ä ö", "ü"]);
        assert_eq!(wrapped("* ", "", 2, 9), ["* "]);
    }
}
