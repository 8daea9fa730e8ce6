//! `[groups.connect]`: how clients connect.
//!
//! In: the table. Out: [`ConnectRules`].

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use crate::declare::{
    At, Choices, HEADER_NAME, Hidden, Shape, Table, Template, TextRule, UrlText, Value, above_zero, address,
    duration, header_text, list, map, name_server, of, path, ruled, secret, string, table, then, token_text,
    unfilled, words, ws_url_template,
};

use super::bound::ClientCertificate;
use super::compression::{Compression, compression};
use super::sign::{SignRules, SignaturePlace};
use super::told::is_embedded;

/// The names of headers that a scenario may set: those that the handshake itself does not.
const FREE_HEADER: TextRule = TextRule {
    name: "header_name_that_is_free",
    except: Some(
        "^([hH][oO][sS][tT]|[uU][pP][gG][rR][aA][dD][eE]|[cC][oO][nN][nN][eE][cC][tT][iI][oO][nN]|[cC][oO][nN][tT][eE][nN][tT]-[lL][eE][nN][gG][tT][hH]|[tT][rR][aA][nN][sS][fF][eE][rR]-[eE][nN][cC][oO][dD][iI][nN][gG]|[sS][eE][cC]-[wW][eE][bB][sS][oO][cC][kK][eE][tT]-.*)$",
    ),
    allowed: "letters, digits and `-` are allowed; the handshake itself sets Host, Upgrade, Connection, Content-Length, Transfer-Encoding and Sec-WebSocket-*",
    ..HEADER_NAME
};
/// An origin (RFC 6454 §6.2).
const ORIGIN: TextRule = TextRule {
    name: "origin",
    patterns: &["^(null|[a-z][a-z0-9+.-]*://[^\\x00-\\x20\\x7f/?#@]+)$"],
    except: None,
    allowed: "an origin is a scheme, a host and perhaps a port, as \"https://app.example.com\", or \"null\" (RFC 6454)",
    examples: &["https://app.example.com", "http://localhost:3000"],
};
/// Whether `text` can be the value of `Origin` (RFC 6454 §6.2).
///
/// # Errors
/// What is wrong with it, and what is allowed.
pub fn check_origin(text: &str) -> Result<(), String> {
    ORIGIN.check(text).map_err(|(wrong, allowed)| format!("{wrong}: {allowed}"))
}

const ADDRESSES: &str = "addresses of this machine are needed, as [\"127.0.0.2\", \"127.0.0.3\"]";

table! {
    /// How clients connect.
    default pub struct ConnectRules {
        /// WebSocket URL of this group, instead of the target's. It may hold variables, which are filled in before each handshake: `"{uri}"`.
        url: Option<UrlText> = None => ws_url_template();
        /// Path and query on the embedded target. Default: the target's `path`.
        path: Option<Hidden<String>> = None => unfilled(path(), "write the whole URL, of which variables are filled in: url = \"ws://{address}/events/{client}\"");
        /// HTTP proxy for connections and token requests, as a URL; it may hold a password.
        proxy: Option<SecretString> = None => secret();
        /// Local addresses to connect from, by turns. Without it: the system's choice.
        source_addresses: Vec<IpAddr> = Vec::new() => list(address(), ADDRESSES);
        /// Headers of the upgrade request, in order; variables and functions are filled in before each handshake. A value may be a reference to a secret, which
        /// is taken as it is.
        headers: Vec<(String, Template)> = Vec::new() => map(FREE_HEADER, header_text());
        /// Where the page comes from that a browser's client belongs to: the header `Origin` of the upgrade request. Without it: none is sent. One of `headers` replaces it.
        origin: Option<String> = None => unfilled(ruled(ORIGIN), "give it as a header, of which variables are filled in: headers = { Origin = \"…\" }");
        /// Subprotocols offered, in order.
        subprotocols: Vec<String> = Vec::new() => list(unfilled(string(), "all clients of a group offer the same; the token goes there by token_in = { subprotocol = \"bearer.\" }"), "a list of strings is needed, as [\"a\", \"b\"]");
        /// permessage-deflate (RFC 7692): `true` offers it as Chrome does, a table offers what it says. Without it: it is not offered.
        compression: Option<Compression> = None => compression();
        /// Where the token goes.
        token_in: TokenIn = TokenIn::Header;
        /// How a client signs its handshakes: a presigned URL, or headers. Without it: it signs none.
        sign: Option<Arc<SignRules>> = None => then(of::<SignRules>(), |rules, _: &At<'_>| Some(Arc::new(rules)));
        /// Longest wait for the name to resolve.
        dns_timeout: Duration = Duration::from_secs(5) => above_zero();
        /// The name server that is asked for the addresses of names, as `"127.0.0.1:5353"`. Without it: the system is asked.
        resolver: Option<SocketAddr> = None => name_server();
        /// How long an address is kept, or less where `resolver` says so; zero: each connect resolves anew.
        dns_ttl: Duration = Duration::from_secs(60) => duration();
        /// How long an address of a name may be silent before the next one, of the other family where there is one, is tried beside it (RFC 8305 says
        /// `"250ms"`). Without it: one after the other.
        race_after: Option<Duration> = None => above_zero();
        /// Longest wait for the TCP connection.
        tcp_timeout: Duration = Duration::from_secs(10) => above_zero();
        /// Longest wait for the TLS handshake.
        tls_timeout: Duration = Duration::from_secs(10) => above_zero();
        /// With which certificate clients show who they are. Without it: the target's `client_cert`, if it has one.
        certificate: Option<ClientCertificate> = None => of::<ClientCertificate>();
        /// Whether a client that comes back resumes its TLS session. Early data is never sent.
        tls_resumption: TlsResumption = TlsResumption::Never;
        /// Longest wait for the answer to the upgrade request.
        upgrade_timeout: Duration = Duration::from_secs(10) => above_zero();
        /// Longest wait for the peer's part of the closing handshake.
        close_timeout: Duration = Duration::from_secs(2) => above_zero();
    }
    check: check_path;
}

words! {
    /// Whether TLS sessions are resumed.
    pub enum TlsResumption {
        /// Every handshake is a full one.
        Never = "never",
        /// Each client keeps the tickets that it was given, and shows them when it comes back, as a browser does.
        PerClient = "per-client",
    }
}

impl ConnectRules {
    /// The `Origin` that the handshakes have: that of the headers, where they name one that is the same in each.
    #[must_use]
    pub fn sent_origin(&self) -> Option<&str> {
        let own = self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("Origin"));
        own.map_or(self.origin.as_deref(), |(_, value)| value.fixed())
    }
}

fn check_path(rules: ConnectRules, table: &Table<'_>) -> Option<ConnectRules> {
    if rules.path.is_some() && !is_embedded(table.reading) {
        table.between(
            Some("path"),
            "`path` is for the embedded target",
            "give the group a whole url instead",
        );
    }
    if rules.sign.is_some() && matches!(rules.token_in, TokenIn::Query(_)) {
        let message = "a token in the query would not be signed";
        let help = "take sign away, or put the token elsewhere: token_in = \"header\", or \"nowhere\"";
        table.between(Some("token_in"), message, help);
    }
    let takes_header = |rules: &ConnectRules| rules.headers.iter().any(|(name, _)| is_of_signature(name));
    if rules.sign.as_ref().is_some_and(|sign| sign.place == SignaturePlace::Header) && takes_header(&rules) {
        let message = "a header that the signature sets stands among `headers`";
        let help = "take Authorization, X-Amz-Date and X-Amz-Security-Token out of headers, or write sign.signature_in = \"query\"";
        table.between(Some("headers"), message, help);
    }
    if rules.race_after.is_some_and(|after| after < LEAST_RACE) {
        let message = "`race_after` is less than 10 ms: addresses would not get the time to answer";
        table.between(
            Some("race_after"),
            message,
            "RFC 8305 recommends \"250ms\", and allows 10 ms at least",
        );
    }
    Some(rules)
}

/// Whether a signature in headers sets this one.
fn is_of_signature(name: &str) -> bool {
    ["Authorization", "X-Amz-Date", "X-Amz-Security-Token"].iter().any(|own| own.eq_ignore_ascii_case(name))
}

/// What RFC 8305 §5 allows at least.
const LEAST_RACE: Duration = Duration::from_millis(10);

/// Where the token goes in the handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenIn {
    /// `"header"`: `Authorization: Bearer …`.
    Header,
    /// `{ query = "access_token" }`: a query parameter of that name.
    Query(String),
    /// `{ subprotocol = "bearer." }`: offered as a subprotocol, with that prefix.
    Subprotocol(String),
    /// `{ first_message = "{\"token\":\"{token}\"}" }`: in the first message, at the place of `{token}`; other variables are filled in as well.
    FirstMessage(Template),
    /// `"nowhere"`: not in the handshake; steps or messages carry it.
    Nowhere,
}

fn places() -> Choices<TokenIn> {
    Choices::new(
        "\"header\", \"nowhere\", { query = \"access_token\" }, { subprotocol = \"bearer.\" } or { first_message = \"…{token}…\" } is needed",
    )
    .word("header", "`Authorization: Bearer …` (RFC 6750 §2.1).", TokenIn::Header)
    .word("nowhere", "Not in the handshake; steps or messages carry it.", TokenIn::Nowhere)
    .key("query", "In a query parameter of this name.", string(), TokenIn::Query)
    .key("subprotocol", "Offered as a subprotocol, with this prefix.", string(), TokenIn::Subprotocol)
    .key("first_message", "In the first message, at the place of `{token}`; other variables are filled in as well.", token_text(), TokenIn::FirstMessage)
}

impl Value for TokenIn {
    fn shape() -> Shape {
        places().shape()
    }

    fn read(at: &At<'_>) -> Option<Self> {
        places().read(at)
    }

    fn write(&self) -> Option<String> {
        places().write(self)
    }
}
