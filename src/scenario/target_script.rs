//! What the embedded target does beside guarding a handshake: HTTP routes, tickets, what it says in a session.
//!
//! In: nothing. Out: types whose values were checked when a file was loaded. With them a service of another kind is a file.

use std::time::Duration;

use super::target_model::WindowLimit;
use super::template::Template;

/// An HTTP request that the target answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Method, in upper case.
    pub method: String,
    /// Path; `{ticket}` in it names a ticket, a `*` at its end stands for anything.
    pub path: String,
    /// What it does.
    pub does: RouteDoes,
    /// Whether it needs a good token as `Authorization: Bearer …` (RFC 6750 §2.1).
    pub needs_token: bool,
    /// Status of the answer.
    pub status: u16,
    /// Body of the answer, JSON. With [`RouteDoes::Answer`], `{ticket}` issues a ticket.
    pub body: Template,
    /// One of `{entities}` in the body: a topic or a ticket.
    pub entity: Template,
    /// Requests for each token in a window; `None`: any number.
    pub limit: Option<WindowLimit>,
    /// Names of the headers that tell how many requests were counted, how many are allowed, and in how many seconds the window ends.
    pub limit_headers: Option<[String; 3]>,
}

/// What a route does beside giving its answer. All but the first are about the ticket that the path names, and are answered with 404
/// where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteDoes {
    /// `"answer"`: nothing.
    Answer,
    /// `"list-tickets"`: `{entities}` are the tickets of the client id, each as `entity` with `{ticket}`.
    ListTickets,
    /// `"find-ticket"`: nothing, where the ticket is good.
    FindTicket,
    /// `"end-ticket"`: the ticket is good no more.
    EndTicket,
    /// `"list-topics"`: `{entities}` are the ticket's topics, each as `entity` with `{topic}`.
    ListTopics,
    /// `"add-topics"`: the ticket has the topics of the request, too: `[{"id": …}]`.
    AddTopics,
    /// `"replace-topics"`: it has those and no others.
    ReplaceTopics,
    /// `"drop-topics"`: it has none.
    DropTopics,
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
    /// Which one ends where a client id has too many.
    pub evicts: Evicts,
    /// Whether the end of the token for which it was issued ends it.
    pub ends_with_token: bool,
    /// Topics that it may have.
    pub most_topics: u32,
    /// Whether its life begins anew when topics are added or replaced.
    pub renewed_by_topics: bool,
}

/// Which ticket ends where a client id has too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evicts {
    /// `"oldest"`.
    Oldest,
    /// `"unconnected-first"`: the oldest without a session; where all have one, the oldest.
    UnconnectedFirst,
}

/// What the session of a ticket is told when the ticket ends: evicted, expired, or ended with its token.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TicketEnd {
    /// A message; `None`: none.
    pub message: Option<Template>,
    /// The close code; `None`: the session stays open.
    pub close: Option<u16>,
}

impl TicketEnd {
    /// Whether a session is told anything.
    #[must_use]
    pub const fn is_told(&self) -> bool {
        self.message.is_some() || self.close.is_some()
    }
}

/// Many sessions that the target closes at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetStorm {
    /// When, since the target's start.
    pub at: Duration,
    /// Again and again after that; `None`: once.
    pub every: Option<Duration>,
    /// The close code.
    pub code: u16,
    /// The share of the open sessions, 0..1.
    pub fraction: f64,
    /// What they are told before.
    pub warning: Option<Template>,
    /// How long before.
    pub warning_before: Duration,
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
    /// Variables to fill from the message that called for it, and where in it they stand (JSON Pointer, RFC 6901).
    pub save: Vec<(String, String)>,
    /// Topics that the message adds to the session's ticket.
    pub topics: Option<TopicsAt>,
}

/// Where a message names topics, and what is sent where they are too many.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicsAt {
    /// JSON Pointer to a list of texts, or of `{"id": …}`.
    pub pointer: String,
    /// The answer in place of the usual one.
    pub refused: Option<Template>,
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

/// What stands for a ticket in a route's path.
pub const TICKET_IN_PATH: &str = "{ticket}";

/// Whether `path` is the one that `pattern` names; `{ticket}` stands for one segment, a `*` at its end for anything.
#[must_use]
pub fn path_fits(pattern: &str, path: &str) -> bool {
    if let Some((before, after)) = pattern.split_once(TICKET_IN_PATH) {
        let Some(rest) = path.strip_prefix(before) else { return false };
        let end = rest.find('/').unwrap_or(rest.len());
        return end > 0 && path_fits(after, &rest[end..]);
    }
    match pattern.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix),
        None => path == pattern,
    }
}

/// The ticket that `path` names, where it fits the pattern.
#[must_use]
pub fn ticket_in<'p>(pattern: &str, path: &'p str) -> Option<&'p str> {
    let (before, _) = pattern.split_once(TICKET_IN_PATH)?;
    path.strip_prefix(before)?.split('/').next()
}
