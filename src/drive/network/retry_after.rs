//! `Retry-After`: how long a service asks to be left alone.
//!
//! In: the header's text and what time it is. Out: a duration.

use std::time::Duration;

/// `Retry-After` in seconds (RFC 9110 §10.2.3), or as a date: counted from `now_unix_us`.
pub(super) fn parse_retry_after(text: &str, now_unix_us: u64) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text.trim()).ok()?;
    let then_us = u64::try_from(date.timestamp().as_microsecond()).unwrap_or_default();
    Some(Duration::from_micros(then_us.saturating_sub(now_unix_us)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(parse_retry_after(" 7 ", 0), Some(Duration::from_secs(7)));
        assert_eq!(
            parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_775_000_000),
            Some(Duration::from_secs(2))
        );
        assert_eq!(parse_retry_after("soon", 0), None);
        let past = parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", 1_784_111_775_000_000);
        assert_eq!(past, Some(Duration::ZERO), "it is over");
    }
}
