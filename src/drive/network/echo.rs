//! What a service sends back of what it was sent.
//!
//! In: a request as it was sent, the evidence that the answer gave. Out: the evidence without what stood in the request: a refusal's code is shown to people,
//! and a service may put the very token there that it refuses.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::zeroize::Zeroizing;

use crate::lifecycle::Evidence;

/// Shorter texts say nothing of a credential, and stand in many a request.
const SHORTEST: usize = 4;

/// Headers of the handshake's own.
const PUBLIC_HEADERS: [&str; 6] =
    ["Host", "Connection", "Upgrade", "Sec-WebSocket-Version", "Sec-WebSocket-Key", "User-Agent"];

/// Takes out of `evidence` what stood in the request whose text is `sent`.
pub(super) fn without_echo(mut evidence: Evidence, sent: &[u8]) -> Evidence {
    if evidence.bearer_error.is_none()
        && evidence.bearer_description.is_none()
        && evidence.body_code.is_none()
    {
        return evidence;
    }
    let sent = Zeroizing::new(values(&String::from_utf8_lossy(sent)));
    let clear = Zeroizing::new(format!("{}\n{}", percent_decoded(&sent), basic_decoded(&sent)));
    let is_echo = |text: &String| {
        text.len() >= SHORTEST && (sent.contains(text.as_str()) || clear.contains(text.as_str()))
            || sent_words(&sent, &clear).any(|word| text.contains(word))
    };
    for text in [&mut evidence.bearer_error, &mut evidence.bearer_description, &mut evidence.body_code] {
        if text.as_ref().is_some_and(is_echo) {
            *text = None;
        }
    }
    evidence
}

/// What of a request may be a credential: its target, and the values of headers that are not the handshake's own; a body as it is.
fn values(request: &str) -> String {
    let value = |line: &str| match line.split_once(": ") {
        Some((name, _)) if PUBLIC_HEADERS.iter().any(|public| name.eq_ignore_ascii_case(public)) => None,
        Some((_, value)) => Some(value.to_owned() + "\n"),
        None => Some(line.to_owned() + "\n"),
    };
    request.lines().filter_map(value).collect()
}

/// Words of the request that are long enough to be a credential.
fn sent_words<'t>(sent: &'t str, clear: &'t str) -> impl Iterator<Item = &'t str> {
    const LONG: usize = 12;
    let ends = |c: char| c.is_whitespace() || matches!(c, '"' | ',' | ';' | '&' | '=' | '?' | ':' | '/');
    sent.split(ends).chain(clear.split(ends)).filter(|word| word.len() >= LONG)
}

fn percent_decoded(text: &str) -> String {
    url::form_urlencoded::parse(text.as_bytes()).map(|(name, value)| format!("{name}={value}\n")).collect()
}

/// What the credentials of HTTP Basic say (RFC 7617).
fn basic_decoded(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c == '"');
    let decoded = words.filter_map(|word| STANDARD.decode(word).ok());
    decoded.map(|bytes| String::from_utf8_lossy(&bytes).into_owned() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_does_not_come_back() {
        let sent = b"GET /x?ticket=tick%2Fet-77 HTTP/1.1\r\nConnection: Upgrade\r\nAuthorization: Bearer abc123def456ghi\r\nX-Login: Basic dXNlcjpodW50ZXItc2VjcmV0\r\n\r\n";
        // (code in the body, whether it is kept)
        let rows = [
            ("token.stale", true),
            ("missing.permissions", true),
            ("abc123def456ghi", false),
            ("expired-abc123def456ghi", false),
            ("tick/et-77", false),
            ("hunter-secret", false),
            ("abc", true),
            ("Upgrade", true),
            ("missing.Authorization", true),
        ];
        for (code, is_kept) in rows {
            let body = format!("{{\"code\":\"{code}\"}}");
            let challenge = format!("Bearer error=\"{code}\", error_description=\"{code}\"");
            let evidence = Evidence::read(403, Some(&challenge), None, body.as_bytes(), None);
            let evidence = without_echo(evidence, sent);
            let kept = [&evidence.body_code, &evidence.bearer_error, &evidence.bearer_description];
            assert!(kept.iter().all(|text| text.is_some() == is_kept), "{code}: {kept:?}");
        }
    }
}
