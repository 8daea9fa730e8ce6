//! The requests that clients make beside their handshakes: for tokens, and the steps before a handshake.
//!
//! In: what an answer said. Out: [`Request`], [`RequestAnswer`], [`ErrorWord`], [`RequestEnd`]. A word of a service is kept only where it cannot
//! well be a secret.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A request of a client beside its handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Request {
    /// For a token, by the client's credentials.
    Credentials,
    /// For a token, by a refresh token.
    Refresh,
    /// A program that prints a token.
    Command,
    /// A step before the handshake, by its index in the group's list.
    Step(u8),
    /// None: the client mints its token itself.
    Mint,
}

impl Request {
    /// How a token is asked for; `None` for a step.
    #[must_use]
    pub const fn token_name(self) -> Option<&'static str> {
        match self {
            Self::Credentials => Some("credentials"),
            Self::Refresh => Some("refresh"),
            Self::Command => Some("command"),
            Self::Mint => Some("mint"),
            Self::Step(_) => None,
        }
    }

    /// Whether somebody else is asked for a token.
    #[must_use]
    pub const fn asks_for_token(self) -> bool {
        matches!(self, Self::Credentials | Self::Refresh | Self::Command)
    }

    /// The index of a step; `None` for a request for a token.
    #[must_use]
    pub const fn step(self) -> Option<usize> {
        match self {
            Self::Step(index) => Some(index as usize),
            _ => None,
        }
    }
}

named_enum! {
    /// What a request came to.
    RequestAnswer {
        /// As it should be: a token, or what the step expects.
        Ok = "ok",
        /// An HTTP status of 400 or more: a refusal, or that the service failed.
        Refused = "refused",
        /// A status below 400 that is none to go on with.
        UnexpectedStatus = "unexpected_status",
        /// The right status, and a body that is no JSON.
        NotJson = "not_json",
        /// JSON without an `access_token` (RFC 6749 §5.1).
        NoAccessToken = "no_access_token",
        /// A grant of which a field, as `expires_in`, is of a kind that cannot be read.
        UnreadableField = "unreadable_field",
        /// JSON without a value that the step is to save.
        NoValue = "no_value",
        /// More bytes than are read.
        TooLarge = "too_large",
        /// No answer in time.
        Timeout = "timeout",
        /// The name did not resolve.
        Dns = "dns",
        /// The TCP connection was refused.
        TcpRefused = "tcp_refused",
        /// The TCP connection was reset while it was opened.
        TcpReset = "tcp_reset",
        /// The TLS handshake failed.
        Tls = "tls",
        /// The connection ended before the answer did, or what came is no HTTP.
        ConnectionBroken = "connection_broken",
        /// The proxy between did not let it through.
        ProxyRefused = "proxy_refused",
        /// It could not be sent: what the client's variables hold makes no request.
        NotSent = "not_sent",
        /// The program could not be started, or failed.
        CommandFailed = "command_failed",
        /// No file descriptor or port was left on this machine: not the target's fault.
        LocalLimit = "local_limit",
        /// A token that anybody can show, where one was asked for that is bound to the client's key (RFC 9449 §5).
        NotBound = "not_bound",
    }
}

/// The longest [`ErrorWord`], and the longest piece of one.
const LONGEST_WORD: usize = 40;
const LONGEST_PIECE: usize = 24;
const MOST_DIGITS: usize = 6;

/// A service's own word for why it refuses, as `invalid_client` or `token.expired`: at most 40 letters, digits, `_`, `.`, `:` and `-`, and none that
/// looks drawn at random, as tokens and request ids do.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Box<str>", into = "Box<str>")]
pub struct ErrorWord(Box<str>);

/// A text that is no [`ErrorWord`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a word of an error is at most 40 letters, digits, `_`, `.`, `:` and `-`")]
pub struct NoErrorWord;

impl ErrorWord {
    /// In place of a word that is not kept.
    pub const OTHER: &'static str = "other";

    /// The word, where it may be kept.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let is_short = !text.is_empty() && text.len() <= LONGEST_WORD;
        (is_short && text.split(['_', '.', '-', ':']).all(is_piece)).then(|| Self(text.into()))
    }

    /// The word, or that there was another.
    #[must_use]
    pub fn or_other(text: &str) -> Self {
        Self::new(text).unwrap_or_else(|| Self(Self::OTHER.into()))
    }

    /// The word itself.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

/// Letters and then a few digits. What mixes them is an id.
fn is_piece(piece: &str) -> bool {
    let digits = piece.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.len() <= MOST_DIGITS;
    is_number && piece.len() <= LONGEST_PIECE
}

impl fmt::Debug for ErrorWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for ErrorWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<Box<str>> for ErrorWord {
    type Error = NoErrorWord;

    fn try_from(text: Box<str>) -> Result<Self, NoErrorWord> {
        Self::new(&text).ok_or(NoErrorWord)
    }
}

impl From<ErrorWord> for Box<str> {
    fn from(word: ErrorWord) -> Self {
        word.0
    }
}

/// The end of a request that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestEnd {
    /// Which it was.
    pub request: Request,
    /// What it came to.
    pub answer: RequestAnswer,
    /// The HTTP status, where there was an answer.
    pub status: Option<u16>,
    /// The service's own word for why it refuses.
    pub error: Option<ErrorWord>,
    /// From its start to its answer, or to when it was given up.
    pub latency: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_kept_and_ids_and_texts_are_not() {
        for kept in [
            "invalid_client",
            "token.expired",
            "AADSTS700016",
            "ERR-42",
            "Unauthorized",
            "40140",
            "missing.any.permissions",
        ] {
            assert_eq!(ErrorWord::new(kept).map(|word| word.to_string()).as_deref(), Some(kept));
        }
        let long = "a".repeat(25);
        let many = ["abcdefg"; 6].join("_");
        for other in [
            "",
            "two words",
            "0af3c1d29b8e47561f2a3b4c5d6e7f80",
            "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
            "eyJhbGciOiJIUzI1NiJ9",
            "1234567",
            "a|b",
            "naïve",
            &long,
            &many,
        ] {
            assert_eq!(ErrorWord::new(other), None, "{other}");
            assert_eq!(ErrorWord::or_other(other).text(), "other");
        }
    }

    #[test]
    fn a_word_of_a_file_is_checked() {
        let bytes = postcard::to_stdvec("invalid_grant").unwrap();
        let word: ErrorWord = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(word.text(), "invalid_grant");
        assert_eq!(postcard::to_stdvec(&word).unwrap(), bytes);
        let bytes = postcard::to_stdvec("<script>").unwrap();
        assert!(postcard::from_bytes::<ErrorWord>(&bytes).is_err());
    }
}
