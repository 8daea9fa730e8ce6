//! The target, as the groups of a run address it.
//!
//! In: the target's address or URLs, a group's own rules. Out: the URL of its WebSocket, and of its token endpoint.

use std::fmt;
use std::net::SocketAddr;

use url::Url;

use crate::declare::bare_url;
use crate::declare::template::UrlText;
use crate::scenario::keys::{ConnectRules, TokenRules};

use super::error::ContextError;

/// Path of the embedded target's token endpoint.
const EMBEDDED_TOKEN_PATH: &str = "/oauth/token";

/// Where a group connects to unless it says otherwise.
#[derive(Clone)]
pub enum TargetAddress {
    /// The target in this process.
    Embedded {
        /// Where it listens.
        address: SocketAddr,
        /// Whether with TLS.
        tls: bool,
        /// Path of its WebSocket endpoint.
        path: String,
    },
    /// A service.
    Remote {
        /// WebSocket URL.
        url: Url,
        /// Token endpoint.
        token_url: Option<Url>,
    },
}

impl fmt::Debug for TargetAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded { address, tls, path } => f
                .debug_struct("Embedded")
                .field("address", address)
                .field("tls", tls)
                .field("path", path)
                .finish(),
            Self::Remote { url, token_url } => f
                .debug_struct("Remote")
                .field("url", &bare_url(url))
                .field("token_url", &token_url.as_ref().map(bare_url))
                .finish(),
        }
    }
}

impl TargetAddress {
    /// Where a group's sessions are.
    pub(in crate::drive) fn websocket_url(&self, connect: &ConnectRules) -> Result<Url, ContextError> {
        if let Some(url) = connect.url.as_ref().and_then(UrlText::fixed) {
            return Ok(url.clone());
        }
        match self {
            Self::Remote { url, .. } => Ok(url.clone()),
            Self::Embedded { address, path, .. } => {
                let path = connect.path.as_deref().map_or_else(|| usual_path(path), String::as_str);
                let scheme = if self.is_secure() { "wss" } else { "ws" };
                let text = format!("{scheme}://{address}{path}");
                // The path may hold a key.
                let place = || format!("{scheme}://{address}/…");
                Url::parse(&text).map_err(|source| ContextError::Url { text: place(), source })
            }
        }
    }

    /// Whether it is the target in this process.
    pub(super) const fn is_embedded(&self) -> bool {
        matches!(self, Self::Embedded { .. })
    }

    const fn is_secure(&self) -> bool {
        matches!(self, Self::Embedded { tls: true, .. })
    }

    /// Where a group's tokens come from; `None` where nothing says so.
    pub(in crate::drive) fn token_url(&self, rules: &TokenRules) -> Result<Option<Url>, ContextError> {
        if let Some(url) = rules.url.as_deref() {
            return Ok(Some(url.clone()));
        }
        match self {
            Self::Remote { token_url, .. } => Ok(token_url.clone()),
            Self::Embedded { address, .. } => {
                let scheme = if self.is_secure() { "https" } else { "http" };
                let text = format!("{scheme}://{address}{EMBEDDED_TOKEN_PATH}");
                Url::parse(&text).map(Some).map_err(|source| ContextError::Url { text, source })
            }
        }
    }
}

/// Where clients go on a target with this `path`: there, or to the first of the paths that begin so.
fn usual_path(path: &str) -> &str {
    path.strip_suffix('*').unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::declare::Hidden;

    #[test]
    fn clients_go_where_their_embedded_target_is() {
        let address = SocketAddr::from(([127, 0, 0, 1], 9));
        let at = |tls, path: &str, own: Option<&str>| {
            let target = TargetAddress::Embedded { address, tls, path: path.to_owned() };
            let own = own.map(|path| Hidden::from(path.to_owned()));
            let connect = ConnectRules { path: own, ..ConnectRules::default() };
            target.websocket_url(&connect).unwrap().to_string()
        };
        assert_eq!(at(false, "/socket/websocket", None), "ws://127.0.0.1:9/socket/websocket");
        assert_eq!(at(true, "/tickets/*", None), "wss://127.0.0.1:9/tickets/");
        assert_eq!(at(false, "/socket", Some("/elsewhere?a=b")), "ws://127.0.0.1:9/elsewhere?a=b");
    }
}
