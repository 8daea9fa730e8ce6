//! Addresses and URLs.
//!
//! In: strings. Out: addresses, URLs, templates of URLs, or faults. The patterns take what the parsers take, but for names of hosts beyond ASCII.

use std::net::IpAddr;
use std::sync::LazyLock;

use crate::declare::hidden::Hidden;
use crate::declare::reading::reader::At;
use crate::declare::template::{Template, UrlText};

use super::texts::{Perhaps, Why, check_variables, quoted};
use crate::declare::kind::Kind;
use crate::declare::shape::{Hold, Shape, TextShape};

const IPV4_PART: &str = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";

/// An address.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Address {
    is_loopback: bool,
}

/// An address of this machine.
pub(crate) const fn address() -> Address {
    Address { is_loopback: false }
}

/// A loopback address.
pub(crate) const fn loopback() -> Address {
    Address { is_loopback: true }
}

/// An IPv4 address in dotted decimals.
fn ipv4() -> String {
    format!("{IPV4_PART}(\\.{IPV4_PART}){{3}}")
}

/// An IPv6 address: groups and colons; one `::` at most stands for what is missing (RFC 4291 §2.2).
fn ipv6() -> String {
    let group = "[0-9A-Fa-f]{1,4}";
    let mut ways = vec![format!("{group}(:{group}){{7}}"), "::".to_owned()];
    for before in 0..=7_usize {
        for after in (0..=(7 - before)).filter(|after| before + after > 0) {
            ways.push(format!("{}::{}", repeated(group, before), repeated(group, after)));
        }
    }
    format!("({})", ways.join("|"))
}

impl Address {
    fn text_shape(self) -> TextShape {
        let (name, pattern) =
            if self.is_loopback { ("loopback_address", &LOOPBACK) } else { ("address", &ADDRESS) };
        TextShape {
            patterns: vec![pattern.as_str().into()],
            examples: &["127.0.0.2", "127.0.0.3"],
            ..TextShape::plain(name)
        }
    }
}

static LOOPBACK: LazyLock<String> = LazyLock::new(|| {
    let part = IPV4_PART;
    format!("^(127\\.{part}\\.{part}\\.{part}|::1)$")
});
static ADDRESS: LazyLock<String> = LazyLock::new(|| format!("^({}|{})$", ipv4(), ipv6()));

/// So many groups with colons between.
fn repeated(group: &str, count: usize) -> String {
    match count {
        0 => String::new(),
        1 => group.to_owned(),
        _ => format!("{group}(:{group}){{{}}}", count - 1),
    }
}

impl Kind for Address {
    type Out = IpAddr;

    fn shape(&self) -> Shape {
        Shape::Text(self.text_shape())
    }

    fn read(&self, at: &At<'_>) -> Option<IpAddr> {
        let text = at.text().filter(|text| self.text_shape().fits(text));
        let address = text.and_then(|text| text.parse::<IpAddr>().ok());
        if address.is_none() {
            at.wrong(if self.is_loopback {
                "write loopback addresses, each once, as [\"127.0.0.1\", \"127.0.0.2\"]"
            } else {
                "addresses of this machine are needed, as [\"127.0.0.2\", \"127.0.0.3\"]"
            });
        }
        address
    }

    fn write(&self, out: &IpAddr) -> Option<String> {
        Some(quoted(&out.to_string()))
    }
}

/// A URL with one of these schemes: without user or password; the host is a name whose last label does not begin with a digit, or an address.
fn url_pattern(schemes: &str) -> String {
    let character = "([A-Za-z0-9_-]|[^\\x00-\\x7f])";
    let last = format!("([A-Za-z_-]|[^\\x00-\\x7f]){character}*");
    let name = format!("({character}+\\.)*{last}\\.?");
    let port = "0*(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5]?[0-9]{1,4})";
    format!("{schemes}://({name}|{}|\\[{}\\])(:({port})?)?([/?#][^\\x00-\\x20\\x7f]*)?", ipv4(), ipv6())
}

const WS: &str = "[wW][sS][sS]?";
const HTTP: &str = "[hH][tT][tT][pP][sS]?";

static WS_URL: LazyLock<String> = LazyLock::new(|| format!("^{}$", url_pattern(WS)));
static HTTP_URL: LazyLock<String> = LazyLock::new(|| format!("^{}$", url_pattern(HTTP)));
static WS_URL_TEMPLATE: LazyLock<String> =
    LazyLock::new(|| format!("^({}|[^@]*\\{{[a-z][a-z0-9_]{{0,39}}\\}}[^@]*)$", url_pattern(WS)));

fn parse_url(text: &str, schemes: &[&str]) -> Result<url::Url, Why> {
    let list = schemes.iter().map(|scheme| format!("{scheme}://")).collect::<Vec<_>>().join(" or ");
    let allowed = format!("a URL with {list} is needed");
    // Which names beyond ASCII there may be is not said by a pattern (UTS #46).
    let is_elsewhere = !text.is_ascii() || text.to_ascii_lowercase().contains("xn--");
    let url =
        url::Url::parse(text).map_err(|error| Why { is_elsewhere, help: format!("{allowed}: {error}") })?;
    if !schemes.contains(&url.scheme()) || url.host_str().is_none() {
        return Err(allowed.into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("user and password of a URL are not sent: give them as a header, headers = { Authorization = { env = \"NAME\" } }".to_owned().into());
    }
    Ok(url)
}

/// A WebSocket URL.
pub(crate) const fn ws_url() -> Perhaps<Hidden<url::Url>> {
    Perhaps {
        shape: || TextShape {
            hold: Hold::Perhaps,
            patterns: vec![WS_URL.as_str().into()],
            examples: &["wss://api.example.com/events", "ws://127.0.0.1:8080/"],
            ..TextShape::plain("ws_url")
        },
        parse: |_, text| parse_url(text, &["ws", "wss"]).map(Into::into),
    }
}

/// An HTTP URL.
pub(crate) const fn http_url() -> Perhaps<Hidden<url::Url>> {
    Perhaps {
        shape: || TextShape {
            hold: Hold::Perhaps,
            patterns: vec![HTTP_URL.as_str().into()],
            examples: &["https://api.example.com/oauth/token", "http://127.0.0.1:8080/oauth/token"],
            ..TextShape::plain("http_url")
        },
        parse: |_, text| parse_url(text, &["http", "https"]).map(Into::into),
    }
}

/// A WebSocket URL, which may hold variables.
pub(crate) const fn ws_url_template() -> Perhaps<UrlText> {
    Perhaps {
        shape: || TextShape {
            hold: Hold::Perhaps,
            patterns: vec![WS_URL_TEMPLATE.as_str().into()],
            examples: &["wss://eu.example.com/events?client={client}", "ws://{address}/x"],
            is_template: true,
            ..TextShape::plain("ws_url_template")
        },
        parse: |at, text| {
            let template = Template::parse(text);
            if template.variables().next().is_none() {
                return parse_url(text, &["ws", "wss"]).map(|url| UrlText::Fixed(Box::new(url.into())));
            }
            check_variables(at, &template);
            Ok(UrlText::Template(template))
        },
    }
}
