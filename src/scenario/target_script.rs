//! What the embedded target does beside guarding a handshake: HTTP routes, tickets, what it says in a session.
//!
//! In: nothing. Out: types whose values were checked when a file was loaded. With them a service of another kind is a file.

use std::time::Duration;

use super::target_model::HandshakeLimit;
use super::template::Template;

/// An HTTP request that the target answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Method, in upper case.
    pub method: String,
    /// Path; a `*` at its end stands for anything.
    pub path: String,
    /// Whether it needs a good token as `Authorization: Bearer …` (RFC 6750 §2.1).
    pub needs_token: bool,
    /// Status of the answer.
    pub status: u16,
    /// Body of the answer, JSON. `{ticket}` issues a ticket.
    pub body: Template,
    /// Requests for each token in a window; `None`: any number.
    pub limit: Option<HandshakeLimit>,
    /// Names of the headers that tell how many requests were counted, how many are allowed, and in how many seconds the window ends.
    pub limit_headers: Option<[String; 3]>,
}

/// Tickets: what routes issue and handshakes show instead of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tickets {
    /// How long one is good.
    pub life: Duration,
    /// Whether it opens one session only.
    pub one_use: bool,
    /// How many a client id may have; one more ends the oldest. `None`: any number.
    pub per_client: Option<u32>,
    /// Whether a second session with it closes the first (with `displaced_code`).
    pub displaces: bool,
    /// Whether a handshake without any is admitted.
    pub optional: bool,
}

/// Something that the target says in a session, or the session's end.
#[derive(Debug, Clone, PartialEq)]
pub struct ScriptRule {
    /// When.
    pub at: ScriptAt,
    /// What it sends; `None`: nothing.
    pub send: Option<Template>,
    /// The code with which it closes then; `None`: it does not.
    pub close: Option<u16>,
}

/// When the target says something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScriptAt {
    /// `at = "open"`: right after the upgrade.
    Open,
    /// `at = "authenticated"`: when a message brought a good token.
    Authenticated,
    /// `after = "2h"`: once, so long after the upgrade.
    After(Duration),
    /// `every = "30s"`: again and again.
    Every(Duration),
    /// `message = "ping"`: when a text message contains this.
    Message(String),
}

/// A token that comes in a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageToken {
    /// Where in the JSON text (JSON Pointers, RFC 6901): the first that is there.
    pub pointers: Vec<String>,
    /// How long a session may be without one.
    pub within: Duration,
    /// The code that closes a session with none in that time.
    pub late_code: u16,
    /// The code that closes a session whose token is no good.
    pub refused_code: u16,
    /// The code that closes a session whose token has expired; `None`: none does.
    pub expired_code: Option<u16>,
    /// How long after the expiry.
    pub grace: Duration,
}

impl Route {
    /// Whether it is for this request.
    #[must_use]
    pub fn is_for(&self, method: &str, path: &str) -> bool {
        self.method == method && path_fits(&self.path, path)
    }
}

/// Whether `path` is the one that `pattern` names; a `*` at its end stands for anything.
#[must_use]
pub fn path_fits(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix),
        None => path == pattern,
    }
}
