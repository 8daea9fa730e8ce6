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

/// Stands in every request that is signed.
const SIGNED: &[u8] = b"X-Amz-";

/// How far the clock of whoever sent this header (RFC 9110 §6.6.1) is ahead of ours, in seconds; `None` as well where what it answers is not signed.
pub(super) fn clock_ahead(header: &[u8], sent: &[u8], now_unix_us: u64) -> Option<i64> {
    if !sent.windows(SIGNED.len()).any(|part| part == SIGNED) {
        return None;
    }
    let header = std::str::from_utf8(header).ok()?;
    let mut lines = header.lines().filter_map(|line| line.split_once(':'));
    let (_, date) = lines.find(|(name, _)| name.eq_ignore_ascii_case("date"))?;
    let theirs = httpdate::parse_http_date(date.trim()).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(i64::try_from(theirs.as_secs()).ok()? - i64::try_from(now_unix_us / 1_000_000).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_compared_by_the_answers_date() {
        let header = b"HTTP/1.1 403 Forbidden\r\nX: y\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n";
        assert_eq!(clock_ahead(header, b"GET /?X-Amz-Date=x", 784_111_777_900_000), Some(0));
        assert_eq!(clock_ahead(header, b"X-Amz-Date: x", 784_111_177_000_000), Some(600));
        assert_eq!(clock_ahead(header, b"GET / HTTP/1.1", 0), None);
        assert_eq!(clock_ahead(b"HTTP/1.1 403 Forbidden\r\nDate: today\r\n\r\n", b"X-Amz-Date: x", 0), None);
    }

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
