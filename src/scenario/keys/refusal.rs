//! How the embedded target refuses: statuses, manners, codes.
//!
//! In: keys of `[target]`. Out: their types.

use crate::declare::{
    At, Choices, FIRST, Key, Kind, Presence, Shape, TableShape, Template, Value, Word, any_of, of, read_word,
    refusing_status, sent_code, string, table, target_text, words,
};
use crate::sample::Cause;

/// Variables of a refusal: its status, code, sentence and cause, a number of the request.
pub(crate) const REFUSED: [&str; 5] = ["status", "code", "message", "cause", "request"];

/// Status of a refused handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalStatus {
    /// `403`: always this one, a 4xx or 5xx.
    Always(u16),
    /// `"rfc6750"`: 401 where the token is missing or no good, 403 where it lacks a scope (RFC 6750 §3.1), 403 for the rest.
    Rfc6750,
}

fn status_choices() -> Choices<RefusalStatus> {
    Choices::new("a number from 400 to 599 or \"rfc6750\" is needed")
        .word("rfc6750", "401 where the token is missing or no good, 403 where it lacks a scope (RFC 6750 §3.1), 403 for the rest.", RefusalStatus::Rfc6750)
        .plain(refusing_status(), RefusalStatus::Always)
}

impl Value for RefusalStatus {
    fn shape() -> Shape {
        status_choices().shape()
    }

    fn read(at: &At<'_>) -> Option<Self> {
        status_choices().read(at)
    }

    fn write(&self) -> Option<String> {
        match self {
            Self::Always(status) => Some(status.to_string()),
            Self::Rfc6750 => Some("\"rfc6750\"".to_owned()),
        }
    }
}

words! {
    /// How much a refusal says.
    pub enum RefusalDetail {
        /// A JSON body with a code, and `WWW-Authenticate` (RFC 6750 §3).
        Full = "full",
        /// The status alone.
        Bare = "bare",
        /// An HTML page, which gives no reason.
        Html = "html",
    }
}

/// In which way a handshake is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefusalManner {
    /// `"status"`: by an HTTP status.
    Status,
    /// `{ message = "…", close = 4401 }`: 101, then a message or a close frame or both.
    Socket {
        /// The message.
        message: Option<Template>,
        /// The close code; `None`: the session is left open, and good for nothing.
        close: Option<u16>,
    },
    /// `"reset"`: a TCP reset in place of an answer.
    Reset,
    /// `"silence"`: no answer at all.
    Silence,
}

impl RefusalManner {
    /// The name that counters use.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Socket { .. } => "socket",
            Self::Reset => "reset",
            Self::Silence => "silence",
        }
    }
}

table! {
    /// 101, then a message or a close frame or both.
    pub struct SocketRefusal {
        /// The message; `{status}`, `{code}`, `{message}`, `{cause}` and `{request}` are filled in.
        message: Option<Template> = None => target_text(&REFUSED);
        /// The close code. Without it: the session is left open, and good for nothing.
        close: Option<u16> = None => sent_code();
    }
    needs: [any_of(
        &[&["message"], &["close"]],
        "\"status\", \"reset\", \"silence\" or { message = \"…\", close = 4401 } is needed"
    )];
}

const MANNERS: [(Word, u8); 3] = [
    (Word { name: "status", about: "By an HTTP status." }, 0),
    (Word { name: "reset", about: "A TCP reset in place of an answer." }, 1),
    (Word { name: "silence", about: "No answer at all." }, 2),
];

impl Value for RefusalManner {
    fn shape() -> Shape {
        let words = MANNERS.iter().map(|(word, _)| *word).collect();
        Shape::Either(vec![Shape::Words(words), <SocketRefusal as Value>::shape()])
    }

    fn read(at: &At<'_>) -> Option<Self> {
        if at.table().is_some() {
            let SocketRefusal { message, close } = <SocketRefusal as Value>::read(at)?;
            return Some(Self::Socket { message, close });
        }
        read_word(at, &MANNERS).map(|word| match word {
            0 => Self::Status,
            1 => Self::Reset,
            _ => Self::Silence,
        })
    }

    fn write(&self) -> Option<String> {
        (*self == Self::Status).then(|| "\"status\"".to_owned())
    }
}

/// What a full refusal writes as its code, by cause.
pub(crate) struct Codes;

impl Kind for Codes {
    type Out = Vec<(Cause, String)>;

    fn shape(&self) -> Shape {
        let keys = Cause::ALL.iter().map(|cause| Key {
            name: cause.name(),
            about: "The code for this cause.".to_owned(),
            shape: string().shape(),
            presence: Presence::Optional,
            since: FIRST,
        });
        let about = "What a full refusal writes as its code, by cause.".to_owned();
        Shape::Table(TableShape { about, keys: keys.collect(), ..TableShape::default() })
    }

    fn read(&self, at: &At<'_>) -> Option<Vec<(Cause, String)>> {
        let Some(table) = at.table() else {
            at.wrong("a table is needed");
            return None;
        };
        let read = |cause: &Cause| Some((*cause, of::<String>().read(&table.get(cause.name())?)?));
        let codes: Vec<(Cause, String)> = Cause::ALL.iter().filter_map(read).collect();
        table.finish();
        Some(codes)
    }
}
