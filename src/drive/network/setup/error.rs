//! Why a group's context cannot be built.
//!
//! In: nothing. Out: [`ContextError`]. No secret stands in it.

/// Why a group cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// A URL cannot be used.
    #[error("the URL {text} cannot be used: {source}")]
    Url {
        /// The URL.
        text: String,
        /// Why.
        source: url::ParseError,
    },
    /// A URL has no host or no port.
    #[error("the URL {url} has no host and port to connect to")]
    NoHost {
        /// The URL.
        url: String,
    },
    /// A group fetches tokens, but from where is not said.
    #[error(
        "group {group} fetches tokens, but neither target.token_url nor the group's token.url says where"
    )]
    NoTokenUrl {
        /// The group.
        group: String,
    },
    /// A proxy's URL cannot be used; it may hold a password, so it is not shown.
    #[error("group {group}: connect.proxy is no URL of an HTTP proxy, as http://user:password@host:3128")]
    Proxy {
        /// The group.
        group: String,
    },
    /// A header cannot be sent.
    #[error("group {group}: the header {header} cannot be sent as written")]
    Header {
        /// The group.
        group: String,
        /// The header's name.
        header: String,
    },
}
