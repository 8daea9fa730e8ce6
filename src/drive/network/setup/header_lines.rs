//! What a group's clients say in every upgrade request.
//!
//! In: the group's headers and subprotocols. Out: the lines of the request, as they are sent.

use http::{HeaderName, HeaderValue};

use crate::drive::network::endpoint::PRODUCT;
use crate::scenario::keys::ConnectRules;

use super::error::ContextError;

/// The lines of an upgrade request that all of the group's clients send alike, beside those that RFC 6455 §4.1 demands of every client. Headers that are
/// filled in are not among them.
pub(in crate::drive) fn header_lines(group: &str, connect: &ConnectRules) -> Result<Vec<u8>, ContextError> {
    let mut lines = Vec::new();
    let mut put = |name: &str, value: &str| {
        let fits = HeaderName::try_from(name).is_ok() && HeaderValue::try_from(value).is_ok();
        let line = fits.then(|| lines.extend_from_slice(format!("{name}: {value}\r\n").as_bytes()));
        line.ok_or_else(|| ContextError::Header { group: group.to_owned(), header: name.to_owned() })
    };
    let is_own = |name: &str| connect.headers.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
    if !is_own("User-Agent") {
        put("User-Agent", PRODUCT)?;
    }
    if let Some(origin) = connect.origin.as_ref().filter(|_| !is_own("Origin")) {
        put("Origin", origin)?;
    }
    if !connect.subprotocols.is_empty() {
        put("Sec-WebSocket-Protocol", &connect.subprotocols.join(", "))?;
    }
    for (name, text) in connect.headers.iter().filter_map(|(name, text)| Some((name, text.fixed()?))) {
        put(name, text)?;
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::declare::Template;

    fn lines(connect: &ConnectRules) -> String {
        String::from_utf8(header_lines("g", connect).unwrap()).unwrap()
    }

    #[test]
    fn an_origin_is_sent_once_and_only_where_it_is_told() {
        assert!(!lines(&ConnectRules::default()).contains("Origin"));
        let origin = Some("https://app.example.com".to_owned());
        let mut connect = ConnectRules { origin, ..ConnectRules::default() };
        assert!(lines(&connect).contains("Origin: https://app.example.com\r\n"), "{}", lines(&connect));
        // A header of the scenario's own replaces it.
        connect.headers = vec![("origin".to_owned(), Template::literal("null"))];
        assert_eq!(lines(&connect).to_ascii_lowercase().matches("origin: ").count(), 1);
    }
}
