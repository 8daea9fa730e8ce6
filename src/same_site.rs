//! Whether a request to an address of this machine is made by a page of another site, which a browser does for anybody.
//!
//! In: a request's headers. Out: what shows it. Pure.
//!
//! A page may send a POST with a text body to any address without asking, and its name may have come to mean a loopback address since the browser loaded it
//! (DNS rebinding). Both show: browsers send `Origin` with each POST (Fetch Standard), `Sec-Fetch-Site` with each request (Fetch Metadata Request Headers,
//! W3C), and the name in `Host`.

use std::net::IpAddr;

use hyper::HeaderMap;
use hyper::header::{HOST, HeaderName, ORIGIN};

/// Whether a page of the same site asks.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What shows that a page of another site asks; `None`: nothing does.
#[must_use]
pub fn sign_of_another_site(headers: &HeaderMap) -> Option<&'static str> {
    // Each of them, where there is more than one.
    let all = |name: HeaderName| headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default());
    if all(HOST).any(|host| !is_of_this_machine(host)) {
        return Some("its Host is a name, and no address or localhost");
    }
    let host = all(HOST).next().unwrap_or_default();
    if all(ORIGIN).any(|origin| !is_same(origin, host)) {
        return Some("its Origin is another site's");
    }
    let is_other = |site: &str| !matches!(site, "none" | "same-origin");
    all(SEC_FETCH_SITE).any(is_other).then_some("its Sec-Fetch-Site says so")
}

/// Whether a `Host` is an address, or a name that always means this machine (RFC 6761 §6.3).
fn is_of_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split(':').next().unwrap_or_default(),
    };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name.parse::<IpAddr>().is_ok() || name == "localhost" || name.ends_with(".localhost")
}

fn is_same(origin: &str, host: &str) -> bool {
    let bare = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    bare.is_some_and(|bare| bare.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn is_foreign(fields: &[(&'static str, &'static str)]) -> bool {
        let fields = fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        sign_of_another_site(&fields.collect()).is_some()
    }

    #[test]
    fn programs_and_pages_of_this_address_are_of_this_site() {
        for host in [
            "127.0.0.1:8080",
            "[::1]:8080",
            "localhost",
            "LOCALHOST:80",
            "target.localhost:1",
            "192.168.1.2:8080",
            "localhost.",
        ] {
            assert!(!is_foreign(&[("host", host)]), "{host}");
        }
        assert!(!is_foreign(&[]), "HTTP/1.0");
        assert!(!is_foreign(&[
            ("host", "127.0.0.1:1"),
            ("origin", "http://127.0.0.1:1"),
            ("sec-fetch-site", "same-origin")
        ]));
        assert!(
            !is_foreign(&[("host", "localhost:1"), ("sec-fetch-site", "none")]),
            "typed into the address bar"
        );
    }

    #[test]
    fn pages_of_others_are_not_whatever_their_name_means() {
        for host in [
            "evil.example",
            "evil.example:8080",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "",
            "[::1",
        ] {
            assert!(is_foreign(&[("host", host)]), "{host}");
        }
        for origin in ["http://evil.example", "null", "http://127.0.0.1:2", "http://127.0.0.1", "file://", ""]
        {
            assert!(is_foreign(&[("host", "127.0.0.1:1"), ("origin", origin)]), "{origin}");
        }
        for site in ["cross-site", "same-site"] {
            assert!(is_foreign(&[("host", "127.0.0.1:1"), ("sec-fetch-site", site)]), "{site}");
        }
    }
}
