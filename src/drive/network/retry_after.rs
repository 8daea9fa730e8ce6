//! `Retry-After`: how long a service asks to be left alone.
//!
//! In: the header's text and what time it is. Out: a duration.

use std::time::{Duration, UNIX_EPOCH};

/// `Retry-After` in seconds (RFC 9110 §10.2.3), or as a date in any of its three forms (§5.6.7): counted from `now_unix_us`.
pub(super) fn parse_retry_after(text: &str, now_unix_us: u64) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let then = httpdate::parse_http_date(text.trim()).ok()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Some(then.saturating_sub(Duration::from_micros(now_unix_us)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(parse_retry_after(" 7 ", 0), Some(Duration::from_secs(7)));
        for date in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            let waits = parse_retry_after(date, 784_111_775_000_000);
            assert_eq!(waits, Some(Duration::from_secs(2)), "{date}");
        }
        assert_eq!(parse_retry_after("-1", 0), None);
        assert_eq!(parse_retry_after("18446744073709551616", 0), None);
        assert_eq!(parse_retry_after("soon", 0), None);
        let past = parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", 1_784_111_775_000_000);
        assert_eq!(past, Some(Duration::ZERO), "it is over");
    }
}
