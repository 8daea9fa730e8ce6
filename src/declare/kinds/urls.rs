//! Addresses and URLs.
//!
//! In: strings. Out: addresses, URLs, templates of URLs, or faults. What the pattern takes and the parser of addresses or URLs does not, is a fault of what
//! lies elsewhere: which addresses and hosts there are.

use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;

use crate::declare::hidden::Hidden;
use crate::declare::kind::Kind;
use crate::declare::reading::reader::At;
use crate::declare::shape::{Hold, Shape, TextShape};
use crate::declare::template::{Template, UrlText};

use super::templates::check_variables;
use super::texts::{Perhaps, Why, quoted};

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

/// What may be an IPv6 address: a colon, groups, perhaps an IPv4 address at its end (RFC 4291 §2.2). What is one, its parser says.
const IPV6: &str = "[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*";

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
static ADDRESS: LazyLock<String> = LazyLock::new(|| format!("^({}|{IPV6})$", ipv4()));

impl Kind for Address {
    type Out = IpAddr;

    fn shape(&self) -> Shape {
        Shape::Text(self.text_shape())
    }

    fn read(&self, at: &At<'_>) -> Option<IpAddr> {
        let allowed = if self.is_loopback {
            "write loopback addresses, each once, as [\"127.0.0.1\", \"127.0.0.2\"]"
        } else {
            "addresses of this machine are needed, as [\"127.0.0.2\", \"127.0.0.3\"]"
        };
        let Some(text) = at.text().filter(|text| self.text_shape().fits(text)) else {
            at.wrong(allowed);
            return None;
        };
        let address = text.parse().ok();
        if address.is_none() {
            at.unknown(allowed);
        }
        address
    }

    fn write(&self, out: &IpAddr) -> Option<String> {
        Some(quoted(&out.to_string()))
    }
}

/// A name server: its address, and a port where it is not 53.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NameServer;

/// A name server.
pub(crate) const fn name_server() -> NameServer {
    NameServer
}

const NAME_SERVER_PORT: u16 = 53;
static NAME_SERVER: LazyLock<String> =
    LazyLock::new(|| format!("^({}(:[0-9]{{1,5}})?|{IPV6}|\\[{IPV6}\\](:[0-9]{{1,5}})?)$", ipv4()));

impl NameServer {
    fn text_shape() -> TextShape {
        TextShape {
            patterns: vec![NAME_SERVER.as_str().into()],
            examples: &["127.0.0.1:5353", "10.0.0.2"],
            ..TextShape::plain("name_server")
        }
    }
}

impl Kind for NameServer {
    type Out = SocketAddr;

    fn shape(&self) -> Shape {
        Shape::Text(Self::text_shape())
    }

    fn read(&self, at: &At<'_>) -> Option<SocketAddr> {
        let allowed = "the address of a name server is needed, with its port where that is not 53, as \"127.0.0.1:5353\"";
        let Some(text) = at.text().filter(|text| Self::text_shape().fits(text)) else {
            at.wrong(allowed);
            return None;
        };
        let bare = || text.trim_start_matches('[').trim_end_matches(']').parse().ok();
        let server = text.parse().ok().or_else(|| Some(SocketAddr::new(bare()?, NAME_SERVER_PORT)));
        let server = server.filter(|server: &SocketAddr| server.port() != 0);
        if server.is_none() {
            at.unknown(allowed);
        }
        server
    }

    fn write(&self, out: &SocketAddr) -> Option<String> {
        Some(quoted(&out.to_string()))
    }
}

/// A URL with one of these schemes, without user and password. Which hosts there are, the URL Standard says in more than a pattern can.
fn url_pattern(schemes: &str) -> String {
    let host = "([A-Za-z0-9.-]+(:[0-9]{0,5})?|[^\\x00-\\x20\\x7f/\\\\?#@]+)";
    format!("{schemes}://{host}([/\\\\?#][\\s\\S]*)?")
}

/// Said of a URL that its parser takes and the pattern does not.
const FORM: &str = "it is not of the form that is needed";
const WS: &str = "[wW][sS][sS]?";
const HTTP: &str = "[hH][tT][tT][pP][sS]?";

static WS_URL: LazyLock<String> = LazyLock::new(|| format!("^{}$", url_pattern(WS)));
static HTTP_URL: LazyLock<String> = LazyLock::new(|| format!("^{}$", url_pattern(HTTP)));
static WS_URL_TEMPLATE: LazyLock<String> =
    LazyLock::new(|| format!("^({}|[^@]*\\{{[a-z][a-z0-9_]{{0,39}}\\}}[^@]*)$", url_pattern(WS)));

fn parse_url(text: &str, schemes: &[&str]) -> Result<url::Url, Why> {
    let list = schemes.iter().map(|scheme| format!("{scheme}://")).collect::<Vec<_>>().join(" or ");
    let allowed = format!("a URL with {list} is needed");
    let elsewhere = |help: String| Why { is_elsewhere: true, help };
    let url = url::Url::parse(text).map_err(|error| elsewhere(format!("{allowed}: {error}")))?;
    if !schemes.contains(&url.scheme()) || url.host_str().is_none() {
        return Err(elsewhere(allowed));
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
        allowed: FORM,
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
        allowed: FORM,
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
        allowed: FORM,
        parse: |at, text| {
            let template = Template::parse(text);
            if template.variables().next().is_none() && !template.has_calls() {
                return parse_url(text, &["ws", "wss"]).map(|url| UrlText::Fixed(Box::new(url.into())));
            }
            check_variables(at, &template, &[]);
            Ok(UrlText::Template(template))
        },
    }
}
