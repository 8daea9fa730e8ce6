//! Whether a request to an address of this machine is made by a page of another site, which a browser does for anybody.
//!
//! In: a request's headers. Out: what shows it. Pure.
//!
//! A page may send a POST with a text body to any address without asking, and its name may have come to mean a loopback address since the browser loaded it
//! (DNS rebinding). Both show: browsers send `Origin` with each POST (Fetch Standard), `Sec-Fetch-Site` with each request (Fetch Metadata Request Headers,
//! W3C), and the name in `Host`.

use std::net::{IpAddr, SocketAddr};

use hyper::HeaderMap;
use hyper::header::{HOST, HeaderName, ORIGIN};

/// Whether a page of the same site asks.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Who can reach a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// This machine.
    Loopback,
    /// Others too: then a token is asked for, and the machine may have any name.
    Network,
}

impl Reach {
    /// That of what listens at `addr`.
    #[must_use]
    pub fn of(addr: SocketAddr) -> Self {
        if addr.ip().to_canonical().is_loopback() { Self::Loopback } else { Self::Network }
    }
}

/// What shows that a page of another site asks; `None`: nothing does.
///
/// The port in `Host` is not held: a tunnel (`ssh -L`, `kubectl port-forward`) has another at its end. A page of another port has another `Origin`.
#[must_use]
pub fn sign_of_another_site(headers: &HeaderMap, reach: Reach) -> Option<&'static str> {
    // Each of them, where there is more than one.
    let all = |name: HeaderName| headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default());
    if reach == Reach::Loopback && all(HOST).any(|host| !is_loopback(host)) {
        return Some("its Host is no loopback address and not localhost");
    }
    let host = all(HOST).next().unwrap_or_default();
    if all(ORIGIN).any(|origin| !is_same(origin, host)) {
        return Some("its Origin is another site's");
    }
    let is_other = |site: &str| !matches!(site, "none" | "same-origin");
    all(SEC_FETCH_SITE).any(is_other).then_some("its Sec-Fetch-Site says so")
}

/// Whether a `Host` is a loopback address, or a name that always means one (RFC 6761 §6.3).
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split(':').next().unwrap_or_default(),
    };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let is_address = name.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
    is_address || name == "localhost" || name.ends_with(".localhost")
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
        is_foreign_at(Reach::Loopback, fields)
    }

    fn is_foreign_at(reach: Reach, fields: &[(&'static str, &'static str)]) -> bool {
        let fields = fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        sign_of_another_site(&fields.collect(), reach).is_some()
    }

    #[test]
    fn programs_and_pages_of_this_address_are_of_this_site() {
        for host in [
            "127.0.0.1:8080",
            "[::1]:8080",
            "localhost",
            "LOCALHOST:80",
            "target.localhost:1",
            "127.7.7.7:1",
            "[::ffff:127.0.0.1]:1",
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
            "192.168.1.2:8080",
            "[2001:db8::1]:8080",
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

    #[test]
    fn beyond_loopback_a_machine_may_have_any_name_and_no_other_origin() {
        let host = ("host", "bench-7.example:9464");
        assert!(!is_foreign_at(Reach::Network, &[host]));
        assert!(!is_foreign_at(Reach::Network, &[host, ("origin", "http://bench-7.example:9464")]));
        for origin in ["http://bench-7.example", "http://evil.example:9464", "null"] {
            assert!(is_foreign_at(Reach::Network, &[host, ("origin", origin)]), "{origin}");
        }
        assert!(is_foreign_at(Reach::Network, &[host, ("sec-fetch-site", "cross-site")]));
    }

    #[test]
    fn who_can_reach_an_address() {
        for (addr, reach) in [
            ("127.0.0.1:1", Reach::Loopback),
            ("[::1]:1", Reach::Loopback),
            ("[::ffff:127.0.0.1]:1", Reach::Loopback),
            ("0.0.0.0:1", Reach::Network),
            ("[::]:1", Reach::Network),
            ("10.0.0.1:1", Reach::Network),
        ] {
            assert_eq!(Reach::of(addr.parse().unwrap()), reach, "{addr}");
        }
    }
}
