//! A client's cookies (RFC 6265), in a small room of fixed size.
//!
//! In: `Set-Cookie` lines and the URL that they came from, the URL of a request, the time. Out: the value of its `Cookie`. What another site sets is refused. Cookies
//! are never printed.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderValue;
use url::Url;

/// Most cookies of a client; the oldest goes.
const MOST: usize = 50;
/// The longest name and value together (RFC 6265 §6.1).
const LONGEST: usize = 4_096;
/// The most that all of a client's take.
const MOST_BYTES: usize = 32 * 1024;

/// The jar of a client, which its requests share.
#[derive(Clone, Default)]
pub(in crate::drive) struct Jar {
    cookies: Arc<Mutex<Vec<Cookie>>>,
}

/// A cookie.
#[derive(Clone, PartialEq, Eq)]
struct Cookie {
    name: Box<str>,
    value: Box<str>,
    /// The host, or the domain, that gets it.
    domain: Box<str>,
    path: Box<str>,
    /// Whether hosts below the domain get it, too.
    has_subdomains: bool,
    is_secure: bool,
    /// When it ends, in seconds since 1970; `None`: with the client.
    expires_s: Option<u64>,
}

impl fmt::Debug for Jar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jar").finish_non_exhaustive()
    }
}

impl Jar {
    /// Takes what an answer from `url` sets at `now_s`, in seconds since 1970; what cannot be kept is left.
    pub(in crate::drive) fn take(&self, url: &Url, line: &str, now_s: u64) {
        let Some(cookie) = Cookie::read(url, line, now_s) else { return };
        let mut cookies = self.cookies.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = cookie.is_over(now_s);
        match cookies.iter().position(|held| held.is_same(&cookie)) {
            Some(at) if is_over => drop(cookies.remove(at)),
            Some(at) => cookies[at] = cookie,
            None if is_over => {}
            None => cookies.push(cookie),
        }
        cookies.retain(|held| !held.is_over(now_s));
        let mut bytes: usize = cookies.iter().map(Cookie::bytes).sum();
        while cookies.len() > MOST || bytes > MOST_BYTES {
            bytes -= cookies.remove(0).bytes();
        }
    }

    /// The `Cookie` of a request to `url`; `None` where none belongs to it.
    pub(in crate::drive) fn header(&self, url: &Url, now_s: u64) -> Option<String> {
        let cookies = self.cookies.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fitting: Vec<&Cookie> =
            cookies.iter().filter(|cookie| !cookie.is_over(now_s) && cookie.goes_to(url)).collect();
        // RFC 6265 §5.4: those of longer paths first, else the older.
        fitting.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let pairs: Vec<String> =
            fitting.iter().map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    /// The value of the cookie of that name that goes to `url`.
    pub(super) fn value(&self, url: &Url, name: &str) -> Option<String> {
        let cookies = self.cookies.lock().unwrap_or_else(PoisonError::into_inner);
        let found = cookies.iter().find(|cookie| &*cookie.name == name && cookie.goes_to(url));
        found.map(|cookie| cookie.value.to_string())
    }

    /// Adds all values to `text`, a line for each.
    pub(super) fn add_values(&self, text: &mut String) {
        let cookies = self.cookies.lock().unwrap_or_else(PoisonError::into_inner);
        for cookie in &*cookies {
            text.push_str(&cookie.value);
            text.push('\n');
        }
    }

    /// How many there are, and how many bytes they take.
    pub(super) fn size(&self) -> (usize, usize) {
        let cookies = self.cookies.lock().unwrap_or_else(PoisonError::into_inner);
        (cookies.len(), cookies.iter().map(Cookie::bytes).sum())
    }
}

/// Name and value of a `Set-Cookie` line.
pub(super) fn pair_of(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split(';').next()?.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    (!name.is_empty()).then_some((name, value))
}

impl Cookie {
    /// Reads a `Set-Cookie` line (RFC 6265 §5.2, §5.3; the prefixes of RFC 6265bis §4.1.3). `None`: it is refused.
    fn read(url: &Url, line: &str, now_s: u64) -> Option<Self> {
        let (name, value) = pair_of(line)?;
        // It has to stand in a header again.
        let fits = name.len() + value.len() <= LONGEST
            && HeaderValue::from_str(name).is_ok()
            && HeaderValue::from_str(value).is_ok();
        let host = url.host_str().filter(|_| fits)?.to_ascii_lowercase();
        let mut cookie = Self {
            name: name.into(),
            value: value.into(),
            domain: host.as_str().into(),
            path: default_path(url).into(),
            has_subdomains: false,
            is_secure: false,
            expires_s: None,
        };
        let (mut age, mut has_path) = (None, false);
        for attribute in line.split(';').skip(1) {
            let (key, value) = attribute.split_once('=').unwrap_or((attribute, ""));
            let value = value.trim();
            match key.trim().to_ascii_lowercase().as_str() {
                "expires" => cookie.expires_s = date(value).or(cookie.expires_s),
                "max-age" => age = value.parse::<i64>().ok().or(age),
                "domain" => {
                    let domain = value.strip_prefix('.').unwrap_or(value).to_ascii_lowercase();
                    if !domain.is_empty() {
                        // Also where it is the host itself, unless that is an address or a single label.
                        cookie.has_subdomains = is_below(&host, &domain)? || domain.contains('.');
                        cookie.domain = domain.into();
                    }
                }
                "path" if value.starts_with('/') => (cookie.path, has_path) = (value.into(), true),
                "secure" => cookie.is_secure = true,
                _ => {}
            }
        }
        if let Some(age) = age {
            let age = u64::try_from(age).unwrap_or(0);
            cookie.expires_s = Some(if age == 0 { 0 } else { now_s.saturating_add(age) });
        }
        cookie.has_subdomains &= host.trim_matches(['[', ']']).parse::<IpAddr>().is_err();
        let is_whole =
            |cookie: &Self| cookie.is_secure && !cookie.has_subdomains && has_path && &*cookie.path == "/";
        let is_allowed = (!name.starts_with("__Secure-") || cookie.is_secure)
            && (!name.starts_with("__Host-") || is_whole(&cookie))
            && (!cookie.is_secure || is_trusted(url));
        is_allowed.then_some(cookie)
    }

    fn is_same(&self, other: &Self) -> bool {
        (&self.name, &self.domain, &self.path) == (&other.name, &other.domain, &other.path)
    }

    fn is_over(&self, now_s: u64) -> bool {
        self.expires_s.is_some_and(|expires| expires <= now_s)
    }

    fn bytes(&self) -> usize {
        self.name.len() + self.value.len() + self.domain.len() + self.path.len()
    }

    fn goes_to(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
        let is_there =
            host == *self.domain || self.has_subdomains && is_below(&host, &self.domain) == Some(true);
        let path = url.path();
        let below = path.strip_prefix(&*self.path);
        let is_path =
            below.is_some_and(|rest| rest.is_empty() || self.path.ends_with('/') || rest.starts_with('/'));
        is_there && is_path && (!self.is_secure || is_trusted(url))
    }
}

/// Whether `host` lies below `domain`; `None` where it is neither that nor the domain itself: another site's. So is a domain that is a single label.
fn is_below(host: &str, domain: &str) -> Option<bool> {
    if host == domain {
        return Some(false);
    }
    let is_name = host.trim_matches(['[', ']']).parse::<IpAddr>().is_err() && domain.contains('.');
    let is_below = host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    (is_name && is_below).then_some(true)
}

/// The directory of the path (RFC 6265 §5.1.4).
fn default_path(url: &Url) -> &str {
    match url.path().rfind('/') {
        Some(at) if at > 0 => &url.path()[..at],
        _ => "/",
    }
}

/// Whether secure cookies may go there: over TLS, or to this very machine, as browsers have it.
fn is_trusted(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    matches!(url.scheme(), "https" | "wss")
        || host == "localhost"
        || address.is_ok_and(|address| address.is_loopback())
}

/// A date as cookies have it (RFC 6265 §5.1.1), in seconds since 1970; a date before is 0.
fn date(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    let is_delimiter = |c: char| !(c.is_ascii_alphanumeric() || c == ':');
    for word in text.split(is_delimiter).filter(|word| !word.is_empty()) {
        let digits = word.bytes().take_while(u8::is_ascii_digit).count();
        let number = || word[..digits].parse::<i16>().ok();
        let by_name = || {
            word.get(..3).and_then(|three| MONTHS.iter().position(|name| three.eq_ignore_ascii_case(name)))
        };
        if time.is_none() && word.contains(':') {
            let mut parts = word.split(':').map(|part| part.parse::<i8>().ok());
            time = Some((parts.next()??, parts.next()??, parts.next()??));
        } else if day.is_none() && (1..=2).contains(&digits) {
            day = number();
        } else if let (None, Some(found)) = (month, by_name()) {
            month = i8::try_from(found + 1).ok();
        } else if year.is_none() && (2..=4).contains(&digits) {
            year = number().map(|year| match year {
                0..=69 => year + 2_000,
                70..=99 => year + 1_900,
                year => year,
            });
        }
    }
    let (hour, minute, second) = time?;
    let found =
        jiff::civil::DateTime::new(year?, month?, i8::try_from(day?).ok()?, hour, minute, second, 0).ok()?;
    let at = jiff::tz::TimeZone::UTC.to_timestamp(found).ok()?.as_second();
    Some(u64::try_from(at).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn cookies_go_where_they_belong() {
        // (set by, line, sent to, what is sent)
        let rows: [(&str, &str, &str, Option<&str>); 27] = [
            ("http://a.example/login", "id=1; HttpOnly; SameSite=Lax", "ws://a.example/socket", Some("id=1")),
            ("http://a.example/x/login", "id=1", "http://a.example/x", Some("id=1")),
            ("http://a.example/x/login", "id=1", "http://a.example/xy", None),
            ("http://a.example/x/login", "id=1; Path=/", "http://a.example/", Some("id=1")),
            ("http://a.example/", "id=1; path=/api/", "http://a.example/api/v2", Some("id=1")),
            ("http://a.example/", "id=1; path=/api", "http://a.example/apis", None),
            ("http://a.example/", "id=1", "http://b.a.example/", None),
            ("http://a.example/", "id=1", "http://A.EXAMPLE:9/", Some("id=1")),
            ("http://a.example/", "id=1; Domain=.a.example", "http://b.a.example/", Some("id=1")),
            ("http://b.a.example/", "id=1; Domain=a.example", "http://c.a.example/", Some("id=1")),
            ("http://b.a.example/", "id=1; Domain=a.example", "http://bada.example/", None),
            // Another site's, and everybody's.
            ("http://a.example/", "id=1; Domain=b.example", "http://b.example/", None),
            ("http://a.example/", "id=1; Domain=b.a.example", "http://b.a.example/", None),
            ("http://a.example/", "id=1; Domain=example", "http://a.example/", None),
            ("http://localhost/", "id=1; Domain=localhost", "http://localhost/", Some("id=1")),
            ("http://127.0.0.1/", "id=1; Domain=0.0.1", "http://127.0.0.1/", None),
            ("http://127.0.0.1:1/", "id=1; Domain=127.0.0.1", "http://127.0.0.1:2/", Some("id=1")),
            ("https://a.example/", "id=1; Secure", "wss://a.example/", Some("id=1")),
            ("https://a.example/", "id=1; Secure", "ws://a.example/", None),
            ("http://a.example/", "id=1; Secure", "https://a.example/", None),
            ("http://[::1]/", "id=1; Secure", "ws://[::1]/", Some("id=1")),
            ("https://a.example/", "__Host-id=1; Secure; Path=/", "https://a.example/", Some("__Host-id=1")),
            ("https://a.example/", "__Host-id=1; Secure", "https://a.example/", None),
            ("https://a.example/", "__Secure-id=1", "https://a.example/", None),
            ("http://a.example/", "=1", "http://a.example/", None),
            ("http://a.example/", "id", "http://a.example/", None),
            ("http://a.example/", "id=a=b; ; =;;", "http://a.example/", Some("id=a=b")),
        ];
        for (from, line, to, sent) in rows {
            let jar = Jar::default();
            jar.take(&url(from), line, NOW);
            assert_eq!(jar.header(&url(to), NOW).as_deref(), sent, "{from} {line} {to}");
        }
    }

    #[test]
    fn cookies_end_and_are_replaced() {
        let (jar, home) = (Jar::default(), url("http://a.example/"));
        let header = |now| jar.header(&home, now);
        jar.take(&home, "a=1; Max-Age=10; Expires=Thu, 01 Jan 1970 00:00:00 GMT", NOW);
        jar.take(&home, "b=2; Expires=Tue, 14-Nov-2023 22:13:30 GMT", NOW);
        jar.take(&home, "a=3", NOW);
        assert_eq!(header(NOW).as_deref(), Some("a=3; b=2"), "in the order in which they came");
        assert_eq!(header(NOW + 10).as_deref(), Some("a=3"));
        jar.take(&home, "a=; Max-Age=0", NOW);
        jar.take(&home, "b=; Expires=Thu, 01 Jan 1970 00:00:00 GMT", NOW);
        assert_eq!((header(NOW), jar.size()), (None, (0, 0)));
        jar.take(&home, "a=short; Path=/", NOW);
        jar.take(&home, "a=long; Path=/x", NOW);
        assert_eq!(jar.header(&url("http://a.example/x"), NOW).as_deref(), Some("a=long; a=short"));
        assert_eq!(jar.value(&home, "a").as_deref(), Some("short"));
        assert!(!format!("{jar:?}").contains("short"));
    }

    #[test]
    fn dates_are_read_in_all_ways_that_are_in_use() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun, 6-nov-1994 8:49:37",
        ] {
            assert_eq!(date(text), Some(784_111_777), "{text}");
        }
        for text in ["", "never", "Sun, 06 Nov 1994", "Sun, 31 Feb 1994 08:49:37 GMT", "99 99 99:99:99 9999"]
        {
            assert_eq!(date(text), None, "{text}");
        }
    }

    #[test]
    fn ten_thousand_cookies_take_little_room() {
        let (jar, home) = (Jar::default(), url("http://a.example/"));
        for number in 0..10_000 {
            jar.take(&home, &format!("c{number}=x"), NOW);
            jar.take(&home, &format!("large{number}={}", "y".repeat(4_000)), NOW);
            jar.take(&home, &format!("larger{number}={}", "z".repeat(5_000)), NOW);
        }
        let (count, bytes) = jar.size();
        assert!(count <= MOST && bytes <= MOST_BYTES, "{count} {bytes}");
        assert!(
            jar.header(&home, NOW)
                .is_some_and(|text| text.contains("large9999=") && !text.contains("larger"))
        );
    }
}
