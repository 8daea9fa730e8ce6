//! What several tables of a scenario have in common.
//!
//! In: a table. Out: names, close codes, ways to leave; or faults.

use std::time::Duration;

use super::model::DisconnectHow;
use super::model::Skew;
use super::reader::Table;
use super::template::Template;

/// The most clients that one scenario may have.
pub(super) const MAX_CLIENTS: u64 = 10_000_000;

/// Names stand in file names and CSV cells.
pub(super) fn check_name(table: &Table<'_>, key: &str, name: &str) {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > 64 || !name.chars().all(fits) || name.starts_with('.') {
        let message = format!("`{}` is \"{name}\"", table.path_of(key));
        table.fault(
            table.span_of(key),
            message,
            "a name has 1 to 64 letters, digits, `-`, `_` or `.`, and no `.` in front",
        );
    }
}

/// A close code that an endpoint may send (RFC 6455 §7.4, IANA's registry).
pub(super) fn close_code(table: &Table<'_>, key: &str) -> Option<u16> {
    let code = table.integer(key, 1000..=4999)? as u16;
    if !matches!(code, 1000..=1003 | 1007..=1013 | 3000..=4999) {
        let help = "1000-1003, 1007-1013 and 3000-4999 may be sent (RFC 6455 §7.4)";
        table.fault(
            table.span_of(key),
            format!("`{}` is {code}, which never stands in a close frame", table.path_of(key)),
            help,
        );
        return None;
    }
    Some(code)
}

/// A rate at which something is done, per second: within what a clock can keep.
pub(super) fn pace(table: &Table<'_>, key: &str, allowed: &str) -> Option<f64> {
    table.parsed(key, allowed, |text| {
        let rate = crate::units::parse_rate(text).map_err(|error| error.to_string())?;
        let fits = (1.0 / 86_400.0..=1e6).contains(&rate);
        if fits { Ok(rate) } else { Err("between once a day and 1,000,000/s is possible".to_owned()) }
    })
}

/// How often something is done: at most once in a millisecond.
pub(super) fn repeat_every(table: &Table<'_>, key: &str) -> Option<Duration> {
    let every = table.positive_duration(key)?;
    if every < Duration::from_millis(1) {
        let message = format!("`{}` is {every:?}", table.path_of(key));
        table.fault(table.span_of(key), message, "at least \"1ms\" is needed");
        return None;
    }
    Some(every)
}

/// How a client leaves: `how`, and `code` where it closes.
pub(super) fn parse_how(table: &Table<'_>) -> Option<DisconnectHow> {
    #[derive(Clone, Copy)]
    enum How {
        Close,
        Reset,
        HalfOpen,
    }
    let how =
        table.one_of("how", &[("close", How::Close), ("rst", How::Reset), ("half-open", How::HalfOpen)]);
    if how.is_none() && table.get("how").is_some() {
        return None;
    }
    let code = close_code(table, "code");
    match how.unwrap_or(How::Close) {
        How::Close => Some(DisconnectHow::Close { code: code.unwrap_or(1000) }),
        other => {
            if code.is_some() {
                let message = format!("`{}` has no meaning here", table.path_of("code"));
                table.fault(table.span_of("code"), message, "only how = \"close\" sends a close code");
            }
            Some(if matches!(other, How::Reset) { DisconnectHow::Reset } else { DisconnectHow::HalfOpen })
        }
    }
}

/// How far off a clock is: a duration with a sign.
pub(super) fn skew(table: &Table<'_>, key: &str) -> Option<Skew> {
    let allowed = "a duration with a sign is needed, as \"+30s\" or \"-30s\"";
    table.parsed(key, allowed, |text| {
        let (is_shorter, bare) = match text.trim().strip_prefix('-') {
            Some(bare) => (true, bare),
            None => (false, text.trim().trim_start_matches('+')),
        };
        let by = crate::units::parse_duration(bare).map_err(|error| format!("{allowed}: {error}"))?;
        Ok(if is_shorter { Skew::Shorter(by) } else { Skew::Longer(by) })
    })
}

/// A share up to 1, as a number or as a percentage; `absent` where the key is not there.
pub(super) fn share_or(table: &Table<'_>, key: &str, absent: f64) -> Option<f64> {
    let Some(value) = table.get(key) else { return Some(absent) };
    if value.get_ref().as_str().is_some() {
        let read = |text: &str| crate::units::parse_share(text).map_err(|error| error.to_string());
        table.parsed(key, "a share is needed", read)
    } else {
        table.float(key, 0.0..=1.0)
    }
}

/// A share above 0 and up to 1, as a number or as a percentage; 1 where the key is absent.
pub(super) fn share_or_all(table: &Table<'_>, key: &str) -> Option<f64> {
    let share = share_or(table, key, 1.0);
    if share == Some(0.0) {
        let message = format!("`{}` is zero: the fault would strike nobody", table.path_of(key));
        table.fault(table.span_of(key), message, "a share above 0 and up to 1 is needed");
        return None;
    }
    share
}

/// A text of the target's, in which only `known` variables may stand.
pub(super) fn target_text(table: &Table<'_>, key: &str, known: &[&str]) -> Option<Template> {
    let template = Template::parse(&table.string(key)?);
    for name in template.variables().filter(|name| !known.contains(name)) {
        let message = format!("`{}` names {{{name}}}, which nothing fills", table.path_of(key));
        let help = if known.is_empty() {
            "no variable is filled here".to_owned()
        } else {
            format!("there are {}", known.join(", "))
        };
        table.fault(table.span_of(key), message, help);
    }
    Some(template)
}
