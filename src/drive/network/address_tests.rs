//! Who may be hit, as a table.
//!
//! In: addresses, hosts as URLs and users write them. Out: nothing.

use url::{Host, Url};

use super::*;

/// What becomes of a URL before anything is connected to.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// It is no URL.
    NoUrl,
    Free,
    Forbidden,
    /// A name: its addresses will be looked at when it was resolved.
    Name,
}

fn verdict(url: &str) -> Verdict {
    let Ok(url) = Url::parse(url) else { return Verdict::NoUrl };
    let address = match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => IpAddr::V6(address),
        Some(Host::Domain(_)) => return Verdict::Name,
        None => return Verdict::NoUrl,
    };
    let policy = AddressPolicy::new(&[]);
    let checked = policy.check(url.host_str().unwrap(), address);
    assert_eq!(policy.was_violated(), checked.is_err());
    if checked.is_ok() { Verdict::Free } else { Verdict::Forbidden }
}

#[test]
fn only_own_ground_is_free() {
    let free = [
        "127.0.0.1",
        "127.8.9.10",
        "127.255.255.255",
        "10.0.0.0",
        "10.255.255.255",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.0.0",
        "192.168.255.255",
        "169.254.1.1",
        "::1",
        "fd00::1",
        "fc00::",
        "fe80::1",
        "febf::1",
        "::ffff:127.0.0.1",
        "::ffff:10.1.2.3",
    ];
    let forbidden = [
        "0.0.0.0",
        "0.1.2.3",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.64.0.1",
        "100.127.255.255",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.254.169.254",
        "172.15.255.255",
        "172.32.0.1",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.167.255.255",
        "192.169.0.0",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::2",
        "::127.0.0.1",
        "::ffff:8.8.8.8",
        "::ffff:169.254.169.254",
        "64:ff9b::8.8.8.8",
        "64:ff9b::127.0.0.1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2001:4860:4860::8888",
        "2002:7f00:1::",
        "2002:808:808::1",
        "3fff::1",
        "5f00::1",
        "fbff::1",
        "fd00:ec2::254",
        "fec0::1",
        "ff02::1",
        "ff05::1:3",
    ];
    let policy = AddressPolicy::new(&[]);
    for (addresses, is_free) in [(free.as_slice(), true), (&forbidden, false)] {
        for address in addresses {
            assert_eq!(policy.check("h", address.parse().unwrap()).is_ok(), is_free, "{address}");
        }
    }
}

#[test]
fn however_an_address_is_written_it_is_that_address() {
    use Verdict::{Forbidden, Free, Name, NoUrl};
    let rows = [
        ("ws://127.0.0.1/", Free),
        ("ws://127.1/", Free),
        ("ws://0x7f.1/", Free),
        ("ws://0x7f000001/", Free),
        ("ws://2130706433/", Free),
        ("ws://0177.0.0.1/", Free),
        ("ws://127.0.0.1./", Free),
        ("ws://%31%32%37.0.0.1/", Free),
        ("ws://１２７.0.0.1/", Free),
        ("ws://127。0。0。1/", Free),
        ("ws://[::1]:80/", Free),
        ("ws://[0:0:0:0:0:0:0:1]/", Free),
        ("ws://[::ffff:127.0.0.1]/", Free),
        ("ws://8.8.8.8/", Forbidden),
        ("ws://0x08080808/", Forbidden),
        ("ws://134744072/", Forbidden),
        ("ws://010.010.010.010/", Forbidden),
        ("ws://0x8.0x8.2056/", Forbidden),
        ("ws://8.8.8.8./", Forbidden),
        ("ws://%38.8.8.8/", Forbidden),
        ("ws://８.8.8.8/", Forbidden),
        ("http://127.0.0.1@8.8.8.8/", Forbidden),
        ("http://127.0.0.1:80@8.8.8.8:80/", Forbidden),
        ("http://127.0.0.1%00@8.8.8.8/", Forbidden),
        ("http:\\\\8.8.8.8\\@127.0.0.1/", Forbidden),
        ("http://8.8.8.8#@127.0.0.1/", Forbidden),
        ("http://8.8.8.8?@127.0.0.1/", Forbidden),
        ("http:8.8.8.8", Forbidden),
        ("http://127.0.0.1\t@8.8.8.8/", Forbidden),
        ("ws://[::ffff:8.8.8.8]/", Forbidden),
        ("ws://[::ffff:808:808]/", Forbidden),
        ("ws://[64:ff9b::8.8.8.8]/", Forbidden),
        ("ws://[2002:808:808::]/", Forbidden),
        ("ws://0/", Forbidden),
        ("ws://[::]/", Forbidden),
        ("ws://255.255.255.255/", Forbidden),
        ("ws://169.254.169.254/latest/meta-data/", Forbidden),
        ("ws://2852039166/", Forbidden),
        ("ws://[fe80::1%25eth0]/", NoUrl),
        ("ws://256.1.1.1/", NoUrl),
        ("ws://1.2.3.4.5/", NoUrl),
        ("ws://0x100000000/", NoUrl),
        ("ws://08.8.8.8/", NoUrl),
        ("ws://[::1/", NoUrl),
        ("ws://a b/", NoUrl),
        ("ws:///", NoUrl),
        ("ws://localhost/", Name),
        ("ws://LOCALHOST./", Name),
        ("ws://a.localhost/", Name),
        ("ws://127.0.0.1.nip.io/", Name),
        ("ws://bücher.example/", Name),
    ];
    for (url, expected) in rows {
        assert_eq!(verdict(url), expected, "{url}");
    }
}

#[test]
fn a_host_is_authorised_by_the_name_that_the_url_has() {
    let authorised =
        ["API.Example.com.", "[2001:db8::1]", "Bücher.example", "0x08.8.2056", "2001:DB8:0:0::2"];
    let policy = AddressPolicy::new(&authorised.map(str::to_owned));
    let public = "203.0.113.7".parse().unwrap();
    for host in [
        "api.example.com",
        "API.EXAMPLE.COM.",
        "xn--bcher-kva.example",
        "2001:db8::1",
        "[2001:db8::2]",
        "8.8.8.8",
    ] {
        assert!(policy.check(host, public).is_ok(), "{host}");
    }
    assert!(!policy.was_violated());
    for host in [
        "login.example.com",
        "example.com",
        "api.example.com.evil.test",
        "xapi.example.com",
        "8.8.4.4",
        "2001:db8::3",
    ] {
        assert!(policy.check(host, public).is_err(), "{host}");
    }
    assert!(policy.was_violated());
}

#[test]
fn a_proxy_is_asked_only_for_what_needs_no_consent_or_has_it() {
    let policy = AddressPolicy::new(&["api.example.com".to_owned()]);
    for (host, allowed) in [
        ("127.0.0.1", true),
        ("[::1]", true),
        ("10.1.2.3", true),
        ("localhost", true),
        ("LOCALHOST.", true),
        ("api.example.com", true),
        ("x.localhost", false),
        ("other.example.com", false),
        ("8.8.8.8", false),
        ("0x8080808", false),
        ("169.254.169.254", false),
        ("::ffff:8.8.8.8", false),
        ("", false),
    ] {
        assert_eq!(policy.allows_unresolved(host), allowed, "{host}");
    }
}

#[test]
fn what_is_authorised_is_a_host_alone() {
    for (text, host) in [
        ("api.example.com", "api.example.com"),
        ("API.example.com.", "api.example.com"),
        ("0x7f.1", "127.0.0.1"),
        ("[::1]", "::1"),
        ("::FFFF:1.2.3.4", "::ffff:1.2.3.4"),
    ] {
        assert_eq!(parse_host(text).as_deref(), Ok(host), "{text}");
    }
    for text in [
        "",
        ".",
        "3..",
        "*",
        "*.example.com",
        "https://a.example",
        "a.example:443",
        "a.example/x",
        "me@a.example",
        "a b",
        "[::1",
        "8.8.8.8:80",
    ] {
        assert!(parse_host(text).is_err(), "{text}");
    }
}
