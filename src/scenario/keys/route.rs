//! The embedded target's routes and tickets.
//!
//! In: tables of `[target]`. Out: [`Route`]s, [`Tickets`] and what a ticket's end says. With them a service of another kind is a file.

use std::time::Duration;

use crate::declare::{
    HEADER_NAME, Table, Template, TextRule, above_zero, any_of, int, map, of, ruled, sent_code, table,
    target_header, target_text, words,
};

use super::limit::{WindowLimit, three_headers};
use super::prepare::Method;

/// Variables of an answer: a ticket, the scheme of WebSocket URLs (`ws` or `wss`), host and port as the client names them, the time in milliseconds since 1970, the end of the
/// ticket's life as such and as a date of RFC 3339, the entities that are listed.
const ANSWERED: [&str; 7] = ["ticket", "ws", "address", "unix_ms", "expires_ms", "expires", "entities"];
/// Variables of a header.
const IN_HEADERS: [&str; 6] = ["ticket", "ws", "address", "unix_ms", "expires_ms", "expires"];
/// Variables of an entity.
const LISTED: [&str; 5] = ["topic", "ticket", "ws", "address", "expires"];
/// A path of the embedded target's.
const TARGET_PATH: TextRule = TextRule {
    name: "target_path",
    patterns: &["^/[^\\x00-\\x20\\x7f?]*$"],
    except: None,
    allowed: "a path begins with `/` and holds no spaces and no `?`; `*` may end it",
    examples: &["/channels/{ticket}", "/open"],
};

table! {
    /// An HTTP request that the target answers.
    #[derive(PartialEq)]
    pub struct Route {
        /// The method.
        method: Method = Method::Get;
        /// Path; `{ticket}` in it names a ticket, a `*` at its end stands for anything.
        path: String, needed "a route is { method = \"POST\", path = \"/open\", body = '{\"url\":\"ws://{address}/?ticket={ticket}\"}' }" => ruled(TARGET_PATH);
        /// What it does beside giving its answer. All but `"answer"` and `"list-tickets"` are about the ticket that the path names, and are answered with 404 where there is none.
        does: RouteDoes = RouteDoes::Answer;
        /// Whether it needs a good token as `Authorization: Bearer …` (RFC 6750 §2.1).
        needs_token: bool = true;
        /// Status of the answer.
        status: u16 = 200 => int::<u16>(200..=599);
        /// Body of the answer, JSON; `{ticket}` (with `does = "answer"` it is issued), `{ws}`, `{address}`, `{unix_ms}`, `{expires_ms}`, `{expires}` and `{entities}` are filled in.
        body: Template = Template::parse("{}") => target_text(&ANSWERED);
        /// Headers of the answer beside its own; `{ticket}` (which is issued, with `does = "answer"`), `{ws}`, `{address}`, `{unix_ms}`, `{expires_ms}` and `{expires}` are filled in.
        headers: Vec<(String, Template)> = Vec::new() => map(HEADER_NAME, target_header(&IN_HEADERS));
        /// One of `{entities}` in the body: a topic or a ticket; `{topic}`, `{ticket}`, `{ws}`, `{address}` and `{expires}` are filled in.
        entity: Template = Template::parse("{\"id\":\"{topic}{ticket}\"}") => target_text(&LISTED);
        /// Requests for each token in a window. Without it: any number.
        limit: Option<WindowLimit> = None => of::<WindowLimit>();
        /// Names of the headers that tell how many requests were counted, how many are allowed, and in how many seconds the window ends. Without it: none tell.
        limit_headers: Option<[String; 3]> = None => three_headers();
    }
    check: check_ticket;
}

fn check_ticket(route: Route, table: &Table<'_>) -> Option<Route> {
    let is_about_one = !matches!(route.does, RouteDoes::Answer | RouteDoes::ListTickets);
    if is_about_one && !route.path.contains(TICKET_IN_PATH) {
        let message = format!("`{}` is \"{}\", and names no ticket", table.path_of("path"), route.path);
        table.between(
            Some("path"),
            message,
            "write {ticket} where the ticket stands, as \"/channels/{ticket}\"",
        );
    }
    Some(route)
}

words! {
    /// What a route does beside giving its answer. All but the first two are about the ticket that the path names, and are answered with 404
    /// where there is none.
    pub enum RouteDoes {
        /// Nothing.
        Answer = "answer",
        /// `{entities}` are the tickets of the client id, each as `entity` with `{ticket}`.
        ListTickets = "list-tickets",
        /// Nothing, where the ticket is good.
        FindTicket = "find-ticket",
        /// The ticket is good no more.
        EndTicket = "end-ticket",
        /// `{entities}` are the ticket's topics, each as `entity` with `{topic}`.
        ListTopics = "list-topics",
        /// The ticket has the topics of the request, too: `[{"id": …}]`.
        AddTopics = "add-topics",
        /// It has those and no others.
        ReplaceTopics = "replace-topics",
        /// It has none.
        DropTopics = "drop-topics",
    }
}

table! {
    /// Tickets: what routes issue and handshakes show instead of a token.
    #[derive(Copy, PartialEq, Eq)]
    pub struct Tickets {
        /// How long one is good.
        life: Duration = Duration::from_secs(60) => above_zero();
        /// Whether it opens one session only.
        one_use: bool = true;
        /// How many a client id may have; one more ends one. Without it: any number.
        per_client: Option<u32> = None => int::<u32>(1..=1_000_000);
        /// Whether a second session with it closes the first (with `displaced_code`).
        displaces: bool = false;
        /// Whether a handshake without any is admitted.
        optional: bool = false;
        /// Which one ends where a client id has too many.
        evicts: Evicts = Evicts::Oldest;
        /// Whether the end of the token for which it was issued ends it.
        ends_with_token: bool = false;
        /// Topics that it may have.
        most_topics: u32 = 1_000 => int::<u32>(0..=1_000_000);
        /// Whether its life begins anew when topics are added or replaced.
        renewed_by_topics: bool = false;
    }
}

words! {
    /// Which ticket ends where a client id has too many.
    pub enum Evicts {
        /// The oldest.
        Oldest = "oldest",
        /// The oldest without a session; where all have one, the oldest.
        UnconnectedFirst = "unconnected-first",
    }
}

table! {
    /// What the session of a ticket is told when the ticket ends: evicted, expired, or ended with its token.
    #[derive(PartialEq)]
    default pub struct TicketEnd {
        /// A message. Without it: none.
        message: Option<Template> = None => target_text(&[]);
        /// The close code. Without it: the session stays open.
        close: Option<u16> = None => sent_code();
    }
    needs: [any_of(&[&["message"], &["close"]], "message = \"…\" or close = 4000 is needed")];
}

impl TicketEnd {
    /// Whether a session is told anything.
    #[must_use]
    pub const fn is_told(&self) -> bool {
        self.message.is_some() || self.close.is_some()
    }
}

impl Route {
    /// Whether it is for this request.
    #[must_use]
    pub fn is_for(&self, method: &str, path: &str) -> bool {
        self.method.name() == method && path_fits(&self.path, path)
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
