//! How types of the scenario that may hold a secret are printed for debugging: without it.
//!
//! In: values of [`super::model`]. Out: their `Debug`. URLs show no query, texts and arguments nothing but that they are there.

use std::fmt::{Debug, Formatter, Result};

use url::Url;

use super::model::{ConnectRules, Grant, HeaderText, KeepAliveKind, RemoteTarget, Send, TokenIn, TokenRules};
use super::secrets::bare_url;

/// What stands in the place of a text that is not shown.
const HIDDEN: &str = "…";

fn urls(url: Option<&Url>) -> Option<String> {
    url.map(bare_url)
}

impl Debug for RemoteTarget {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self { url, token_url, ca_file, client_certificate } = self;
        f.debug_struct("RemoteTarget")
            .field("url", &bare_url(url))
            .field("token_url", &urls(token_url.as_ref()))
            .field("ca_file", ca_file)
            .field("client_certificate", client_certificate)
            .finish()
    }
}

impl Debug for TokenRules {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self { grant, on_reconnect, fetch_on_codes, refresh_before_expiry, refresh_jitter, .. } = self;
        let Self { clock_skew, sharing, connection, max_connections, timeout, url, .. } = self;
        f.debug_struct("TokenRules")
            .field("grant", grant)
            .field("on_reconnect", on_reconnect)
            .field("fetch_on_codes", fetch_on_codes)
            .field("refresh_before_expiry", refresh_before_expiry)
            .field("refresh_jitter", refresh_jitter)
            .field("clock_skew", clock_skew)
            .field("sharing", sharing)
            .field("connection", connection)
            .field("max_connections", max_connections)
            .field("timeout", timeout)
            .field("url", &urls(url.as_ref()))
            .finish()
    }
}

impl Debug for Grant {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::ClientCredentials(credentials) => {
                f.debug_tuple("ClientCredentials").field(credentials).finish()
            }
            Self::RefreshToken { credentials, initial } => f
                .debug_struct("RefreshToken")
                .field("credentials", credentials)
                .field("initial", initial)
                .finish(),
            // Its arguments may hold what the program shows to whom it asks.
            Self::Command(command) => f.debug_tuple("Command").field(&command.first()).finish(),
            Self::Fixed(token) => f.debug_tuple("Fixed").field(token).finish(),
        }
    }
}

impl Debug for ConnectRules {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self { url, url_template, path, proxy, source_addresses, headers, subprotocols, .. } = self;
        let Self { token_in, dns_timeout, dns_ttl, tcp_timeout, tls_timeout, .. } = self;
        f.debug_struct("ConnectRules")
            .field("url", &urls(url.as_ref()))
            .field("url_template", url_template)
            .field("path", &path.as_ref().map(|_| HIDDEN))
            .field("proxy", proxy)
            .field("source_addresses", source_addresses)
            .field("headers", headers)
            .field("subprotocols", subprotocols)
            .field("token_in", token_in)
            .field("dns_timeout", dns_timeout)
            .field("dns_ttl", dns_ttl)
            .field("tcp_timeout", tcp_timeout)
            .field("tls_timeout", tls_timeout)
            .field("upgrade_timeout", &self.upgrade_timeout)
            .field("close_timeout", &self.close_timeout)
            .finish()
    }
}

impl Debug for HeaderText {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Plain(_) => f.debug_tuple("Plain").field(&HIDDEN).finish(),
            Self::Secret(secret) => f.debug_tuple("Secret").field(secret).finish(),
        }
    }
}

impl Debug for TokenIn {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Header => f.write_str("Header"),
            Self::Query(name) => f.debug_tuple("Query").field(name).finish(),
            Self::Subprotocol(prefix) => f.debug_tuple("Subprotocol").field(prefix).finish(),
            Self::FirstMessage(_) => f.debug_tuple("FirstMessage").field(&HIDDEN).finish(),
            Self::Nowhere => f.write_str("Nowhere"),
        }
    }
}

impl Debug for KeepAliveKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Ping => f.write_str("Ping"),
            Self::Text(_) => f.debug_tuple("Text").field(&HIDDEN).finish(),
        }
    }
}

impl Debug for Send {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("Send").field("rate", &self.rate).field("text", &HIDDEN).finish()
    }
}
