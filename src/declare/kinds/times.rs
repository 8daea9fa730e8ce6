//! Durations and rates.
//!
//! In: texts as `"250ms"`, `"200/s"`. Out: durations, numbers a second, or faults.

use std::borrow::Cow;
use std::sync::OnceLock;
use std::time::Duration;

use crate::declare::kind::Kind;
use crate::declare::reading::reader::At;
use crate::declare::shape::{Shape, TextShape, Word, finds};
use crate::units;

const YEAR_NS: u64 = 365 * 86_400_000_000_000;
/// The units of a duration, and their nanoseconds.
const UNITS: [(&[&str], u64); 7] = [
    (&["d"], 86_400_000_000_000),
    (&["h"], 3_600_000_000_000),
    (&["m", "min"], 60_000_000_000),
    (&["s"], 1_000_000_000),
    (&["ms"], 1_000_000),
    (&["us", "µs"], 1_000),
    (&["ns"], 1),
];
/// As many parts, each of at most a year, make up a duration.
const MOST_PARTS: usize = 10;
/// A digit that is not zero.
const NOT_ZERO: &str = "[1-9]";
/// A part that is a millisecond or more.
const MILLISECOND: &str = "(^|[^0-9.])0*([1-9][0-9]*(\\.[0-9]*)?(ms|s|m|min|h|d)|\\.[0-9]{0,2}[1-9][0-9]*(s|m|min|h|d)|[1-9][0-9]{3,}(\\.[0-9]*)?(us|µs)|[1-9][0-9]{6,}(\\.[0-9]*)?ns) *([0-9.]|$)";
/// A number per second, minute or hour.
const RATE: &str = "^ *([0-9]{1,12}(\\.[0-9]*)?|\\.[0-9]+) */ *(s|m|min|h) *$";
/// The same from once a day to a million a second.
const PACE: &str = "^ *(0*([1-9][0-9]{0,5}(\\.[0-9]*)?|1000000(\\.0*)?|0?\\.(0{0,3}[1-9]|0000(1[2-9]|[2-9]))[0-9]*) */ *s|0*([1-9][0-9]{0,6}(\\.[0-9]*)?|[1-5][0-9]{7}(\\.[0-9]*)?|60000000(\\.0*)?|0?\\.(0{0,2}[1-9]|000[7-9])[0-9]*) */ *(m|min)|0*([1-9][0-9]{0,8}(\\.[0-9]*)?|[12][0-9]{9}(\\.[0-9]*)?|3[0-5][0-9]{8}(\\.[0-9]*)?|3600000000(\\.0*)?|0?\\.(04[2-9]|0[5-9]|[1-9])[0-9]*) */ *h) *$";

/// A regular expression of the whole numbers from 0 to `most`, zeros before them included.
fn up_to(most: u64) -> String {
    let digits = most.to_string();
    let mut ways = Vec::new();
    if digits.len() > 1 {
        ways.push(format!("[0-9]{{1,{}}}", digits.len() - 1));
    }
    // As many digits, and the first that differs is less.
    for (at, digit) in digits.bytes().enumerate() {
        let least = if at == 0 && digits.len() > 1 { b'1' } else { b'0' };
        if digit <= least {
            continue;
        }
        let (least, less, rest) = (char::from(least), char::from(digit - 1), digits.len() - at - 1);
        let more = if rest == 0 { String::new() } else { format!("[0-9]{{{rest}}}") };
        ways.push(format!("{}[{least}-{less}]{more}", &digits[..at]));
    }
    ways.push(digits);
    format!("0*({})", ways.join("|"))
}

/// A part of a duration: at most so many nanoseconds.
fn part(most_ns: u64) -> String {
    let ways = UNITS.map(|(names, ns)| {
        let most = most_ns / ns;
        format!("({}(\\.[0-9]*)?|\\.[0-9]+|0*{most}(\\.0*)?)({})", up_to(most - 1), names.join("|"))
    });
    format!("({})", ways.join("|"))
}

/// A duration: one part of at most ten years, or two to ten of at most a year each.
pub(crate) fn duration_pattern() -> &'static str {
    static PATTERN: OnceLock<String> = OnceLock::new();
    PATTERN.get_or_init(|| format!("({} *|({} *){{2,{MOST_PARTS}}})", part(10 * YEAR_NS), part(YEAR_NS)))
}

/// Whether [`duration_pattern`] is all of a text. Asked of most values of a scenario: made ready for use, the pattern takes a megabyte and milliseconds.
fn is_duration(text: &str) -> bool {
    let mut parts = 0;
    let (mut in_ten_years, mut in_a_year) = (true, true);
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| c.is_ascii_digit() || c == '.' || c == ' ').unwrap_or(tail.len());
        let (name, tail) = tail.split_at(letters);
        let Some((_, ns)) = UNITS.into_iter().find(|(names, _)| names.contains(&name)) else { return false };
        parts += 1;
        in_ten_years &= is_at_most(number, 10 * YEAR_NS / ns);
        in_a_year &= is_at_most(number, YEAR_NS / ns);
        rest = tail.trim_start_matches(' ');
    }
    (parts == 1 && in_ten_years) || ((2..=MOST_PARTS).contains(&parts) && in_a_year)
}

/// Whether digits, with or without a point, are a number of at most so much.
fn is_at_most(number: &str, most: u64) -> bool {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
        return false;
    }
    let is_none = |digits: &str| digits.bytes().all(|digit| digit == b'0');
    match whole.trim_start_matches('0').parse::<u64>() {
        Ok(whole) => whole < most || (whole == most && is_none(fraction)),
        // Nothing is left of a zero; all else is more than there are nanoseconds in centuries.
        Err(_) => is_none(whole),
    }
}

/// What is asked of a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Least {
    Zero,
    AboveZero,
    Millisecond,
}

/// A duration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Time(Least);

/// A duration, which may be zero.
pub(crate) const fn duration() -> Time {
    Time(Least::Zero)
}

/// A duration above zero.
pub(crate) const fn above_zero() -> Time {
    Time(Least::AboveZero)
}

/// How often something is done: a millisecond at least.
pub(crate) const fn interval() -> Time {
    Time(Least::Millisecond)
}

impl Time {
    fn is_long_enough(self, text: &str) -> bool {
        match self.0 {
            Least::Zero => true,
            Least::AboveZero => finds(NOT_ZERO, text),
            Least::Millisecond => finds(MILLISECOND, text),
        }
    }

    fn text_shape(self) -> TextShape {
        static WHOLE: OnceLock<String> = OnceLock::new();
        let whole = WHOLE.get_or_init(|| format!("^ *{}$", duration_pattern()));
        let whole = Cow::Borrowed(whole.as_str());
        let (name, patterns) = match self.0 {
            Least::Zero => ("duration", vec![whole]),
            Least::AboveZero => ("duration_above_zero", vec![whole, NOT_ZERO.into()]),
            Least::Millisecond => ("interval", vec![whole, MILLISECOND.into()]),
        };
        TextShape { name, patterns, examples: &["250ms", "5s", "1m30s", "24h"], ..TextShape::plain(name) }
    }
}

impl Kind for Time {
    type Out = Duration;

    fn shape(&self) -> Shape {
        Shape::Text(self.text_shape())
    }

    fn read(&self, at: &At<'_>) -> Option<Duration> {
        let Some(text) = at.text() else {
            at.wrong("a duration is a string with a unit, as \"5s\"");
            return None;
        };
        let time = match units::parse_duration(text) {
            Ok(time) => time,
            Err(why) => {
                at.wrong(why.to_string());
                return None;
            }
        };
        if time.is_zero() && self.0 != Least::Zero {
            at.fault(format!("`{}` is zero", at.path), "it must be longer than zero");
        } else if time < Duration::from_millis(1) && self.0 == Least::Millisecond {
            at.fault(format!("`{}` is {time:?}", at.path), "at least \"1ms\" is needed");
        } else if !is_duration(text.trim_start_matches(' ')) || !self.is_long_enough(text) {
            at.wrong(
                "a duration is one number with a unit, or up to ten of at most a year each, as \"1m30s\"",
            );
        } else {
            return Some(time);
        }
        None
    }

    fn write(&self, out: &Duration) -> Option<String> {
        Some(format!("\"{}\"", units::format_duration(*out)))
    }
}

/// `"never"`, or a duration above zero.
pub(crate) struct OrNever;

/// `"never"`, or a duration above zero.
pub(crate) const fn or_never() -> OrNever {
    OrNever
}

impl Kind for OrNever {
    type Out = Option<Duration>;

    fn shape(&self) -> Shape {
        let never = Word { name: "never", about: "Never." };
        Shape::Either(vec![Shape::Words(vec![never]), above_zero().shape()])
    }

    fn read(&self, at: &At<'_>) -> Option<Option<Duration>> {
        if at.text() == Some("never") {
            return Some(None);
        }
        above_zero().read(at).map(Some)
    }

    fn write(&self, out: &Option<Duration>) -> Option<String> {
        match out {
            Some(time) => above_zero().write(time),
            None => Some("\"never\"".to_owned()),
        }
    }
}

/// A rate of nothing.
const NO_RATE: &str = "^ *0 */ *(s|m|min|h) *$";

/// A rate, per second.
pub(crate) struct Rate {
    is_kept: bool,
    may_be_zero: bool,
    allowed: &'static str,
}

/// A rate above zero.
pub(crate) const fn rate() -> Rate {
    Rate { is_kept: false, may_be_zero: false, allowed: "a rate is needed, as \"1000/s\"" }
}

/// A rate that a clock can keep: from once a day to a million a second. `allowed` is said of what is none.
pub(crate) const fn pace(allowed: &'static str) -> Rate {
    Rate { is_kept: true, may_be_zero: false, allowed }
}

/// The same, or none: `"0/s"`.
pub(crate) const fn pace_or_zero(allowed: &'static str) -> Rate {
    Rate { is_kept: true, may_be_zero: true, allowed }
}

impl Rate {
    fn text_shape(&self) -> TextShape {
        let (name, patterns) = if self.may_be_zero {
            ("pace_or_none", vec![format!("{PACE}|{NO_RATE}").into()])
        } else if self.is_kept {
            ("pace", vec![PACE.into()])
        } else {
            ("rate", vec![RATE.into(), "[1-9][0-9.]* */|[1-9]\\.".into()])
        };
        TextShape { name, patterns, examples: &["200/s", "12/m", "1/h"], ..TextShape::plain(name) }
    }
}

impl Kind for Rate {
    type Out = f64;

    fn shape(&self) -> Shape {
        Shape::Text(self.text_shape())
    }

    fn read(&self, at: &At<'_>) -> Option<f64> {
        let Some(text) = at.text() else {
            at.wrong(self.allowed);
            return None;
        };
        if self.may_be_zero && finds(NO_RATE, text) {
            return Some(0.0);
        }
        let rate = match units::parse_rate(text) {
            Ok(rate) => rate,
            Err(why) => {
                at.wrong(why.to_string());
                return None;
            }
        };
        if self.text_shape().fits(text) {
            return Some(rate);
        }
        at.wrong(if self.is_kept { "between once a day and 1,000,000/s is possible" } else { self.allowed });
        None
    }

    fn write(&self, out: &f64) -> Option<String> {
        Some(format!("\"{out}/s\""))
    }
}

/// A duration with a sign: how far off a clock is.
pub(crate) struct Signed;

/// A duration with a sign: how far off a clock is; `true` is read for one before it.
pub(crate) const fn signed() -> Signed {
    Signed
}

impl Signed {
    fn text_shape() -> TextShape {
        let patterns = vec![format!("^ *[+-]? *{}$", duration_pattern()).into()];
        TextShape { patterns, examples: &["+30s", "-30s"], ..TextShape::plain("signed_duration") }
    }
}

impl Kind for Signed {
    /// Whether it is negative, and by how much.
    type Out = (bool, Duration);

    fn shape(&self) -> Shape {
        Shape::Text(Self::text_shape())
    }

    fn read(&self, at: &At<'_>) -> Option<(bool, Duration)> {
        let allowed = "a duration with a sign is needed, as \"+30s\" or \"-30s\"";
        let Some(text) = at.text() else {
            at.wrong(allowed);
            return None;
        };
        let trimmed = text.trim_matches(' ');
        let (is_negative, bare) = match trimmed.strip_prefix('-') {
            Some(bare) => (true, bare),
            None => (false, trimmed.strip_prefix('+').unwrap_or(trimmed)),
        };
        match units::parse_duration(bare) {
            Ok(by) if is_duration(bare.trim_start_matches(' ')) => Some((is_negative, by)),
            Ok(_) => {
                at.wrong(allowed);
                None
            }
            Err(why) => {
                at.wrong(format!("{allowed}: {why}"));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn whole_numbers_up_to_a_bound_are_found_and_no_others() {
        for most in [1_u64, 9, 10, 12, 99, 364, 3_650, 87_600] {
            let pattern = format!("^{}$", up_to(most));
            for number in (0..=most * 2).step_by((most as usize / 500).max(1)).chain([most, most + 1]) {
                assert_eq!(finds(&pattern, &number.to_string()), number <= most, "{number} up to {most}");
            }
        }
    }

    #[test]
    fn the_pattern_of_durations_takes_what_the_parser_takes() {
        for (text, fits) in [
            ("0s", true),
            ("5s", true),
            ("1m30s", true),
            ("1m 30s", true),
            (" 24h ", true),
            (".5s", true),
            ("5.s", true),
            ("3650d", true),
            ("3650.0d", true),
            ("3650.1d", false),
            ("3651d", false),
            ("315360000s", true),
            ("315360001s", false),
            ("315360000000000000ns", true),
            ("365d365d", true),
            ("366d1s", false),
            ("5", false),
            ("5 s", false),
            ("", false),
            ("-5s", false),
            ("1e3s", false),
            ("1x", false),
            (".s", false),
        ] {
            let shape = duration().text_shape();
            assert_eq!(shape.fits(text), fits, "{text}");
            assert_eq!(is_duration(text.trim_start_matches(' ')), fits, "{text}");
            assert!(!fits || units::parse_duration(text).is_ok(), "{text}");
        }
        for (text, fits) in [
            ("1ms", true),
            ("0.001s", true),
            ("999us", false),
            ("1000us", true),
            ("0.0009s", false),
            ("1ns", false),
            ("1h", true),
        ] {
            assert_eq!(interval().text_shape().fits(text), fits, "{text}");
            assert_eq!(units::parse_duration(text).unwrap() >= Duration::from_millis(1), fits, "{text}");
        }
        for (text, fits) in [
            ("1/s", true),
            ("1000000/s", true),
            ("1000001/s", false),
            ("0/s", false),
            ("0.05/h", true),
            ("0.001/h", false),
            ("60000000/m", true),
        ] {
            assert_eq!(pace("").text_shape().fits(text), fits, "{text}");
        }
        for (text, fits) in [
            ("1/s", true),
            ("0.5/m", true),
            ("0/s", false),
            ("10/s", true),
            ("1.0/s", true),
            ("1.5 / h", true),
        ] {
            assert_eq!(rate().text_shape().fits(text), fits, "{text}");
        }
    }

    /// Numbers about the bounds of a unit, and any.
    fn number() -> impl Strategy<Value = String> {
        let bound = (0..UNITS.len(), 0..2_usize, 0..3_u64).prop_map(|(unit, which, off)| {
            let years = [YEAR_NS, 10 * YEAR_NS][which];
            (years / UNITS[unit].1 - 1 + off).to_string()
        });
        prop_oneof![bound, "[0-9.]{0,4}", "0{0,2}[1-9][0-9]{0,19}"]
    }

    /// What is one duration, or nearly so.
    fn nearly() -> impl Strategy<Value = String> {
        let unit = prop_oneof!["(d|h|m|min|s|ms|us|µs|ns)", "[a-zµ ]{0,3}"];
        let fraction = prop_oneof![Just(""), Just("."), Just(".0"), Just(".00000000000000000000001")];
        let part =
            (number(), fraction, unit, " {0,2}").prop_map(|(a, b, c, d)| format!("{a}{b}{c}{d}")).boxed();
        let parts = prop_oneof![
            proptest::collection::vec(part.clone(), 1),
            proptest::collection::vec(part, 0..MOST_PARTS + 2)
        ];
        parts.prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_096))]
        #[test]
        fn the_pattern_and_the_parser_take_the_same(text in nearly()) {
            let fits = finds(&format!("^{}$", duration_pattern()), &text);
            prop_assert_eq!(is_duration(&text), fits, "{:?}", text);
        }
    }
}
