//! What a driver tells a virtual client, and what the client answers.
//!
//! In: nothing. Out: plain types without behaviour of their own.

use std::time::Duration;

use crate::clock::Moment;
use crate::conversation::SayKey;
use crate::sample::{Abnormal, Answer, AnsweredBy, Ground, Outcome, Said, Spoken, Word};

use super::cause::Evidence;

/// What has happened to a client.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Its start was due then. The first event, once.
    Begin {
        /// When the plan wanted it to start.
        due: Moment,
        /// When the plan wants it to leave for good; `NEVER`: it stays to the run's end.
        leaves: Moment,
    },
    /// The moment that [`Action::Sleep`] or [`Action::Hold`] named has come.
    Due(Signs),
    /// A token is there.
    TokenReady {
        /// What is known of it.
        facts: TokenFacts,
        /// Whether this client's own request fetched it (not another client's, not a cache).
        fetched: bool,
    },
    /// No token is to be had.
    TokenFailed {
        /// Why.
        failure: TokenFailure,
        /// How long the endpoint asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// The requests before the handshake were made, and answered as they should be.
    Prepared,
    /// One of them was not: refused over HTTP, or it failed in another way.
    PrepareFailed(ConnectFailure),
    /// The upgrade succeeded.
    Connected(Marks),
    /// The connection or the upgrade failed.
    ConnectFailed {
        /// How far it came.
        marks: Marks,
        /// Why it failed.
        failure: ConnectFailure,
    },
    /// What the session had to show to be ready has been seen.
    BecameReady,
    /// A message refuses the client.
    Refused {
        /// What it says.
        evidence: Box<Evidence>,
        /// When anything was last heard before it.
        heard: Moment,
    },
    /// A message asks the client to come back over another session.
    Asked {
        /// Whether the requests before the handshake are to be made anew.
        renew: bool,
        /// How long the session may be kept beside what follows; `None`: it is closed first.
        overlap: Option<Duration>,
    },
    /// A message says how often a heartbeat is due.
    Heartbeat {
        /// That often.
        every: Duration,
    },
    /// A frame of [`Action::Ping`] or [`Action::Say`] was written.
    Sent,
    /// The session is over.
    Ended(Ending),
    /// The session is over by the peer's close frame, of which more is known.
    Closed {
        /// How it ended.
        ending: Ending,
        /// The reason that the close frame gave.
        reason: Option<Box<str>>,
        /// When anything was last heard before it; the upgrade counts.
        heard: Moment,
    },
    /// The session that was kept ([`Action::Keep`]) is over. What the client was doing goes on.
    KeptEnded {
        /// How it ended.
        ending: Ending,
        /// Whether the client had begun to close it.
        closed: bool,
    },
    /// The run is draining: no new attempts.
    Stop,
    /// The run is cut off: nothing more.
    Abort,
}

/// What a client has to do next. It does one thing at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Wait; then [`Event::Due`], or [`Event::Stop`].
    Sleep {
        /// Until when.
        until: Moment,
    },
    /// Get a token; then [`Event::TokenReady`] or [`Event::TokenFailed`].
    FetchToken {
        /// A token requested earlier will not do.
        not_before: Moment,
        /// A token that expires earlier will not do.
        valid_until: Moment,
    },
    /// Make the requests before the handshake; then [`Event::Prepared`] or [`Event::PrepareFailed`].
    Prepare,
    /// Connect with the token in hand; then [`Event::Connected`] or [`Event::ConnectFailed`].
    Connect,
    /// Read the session; then [`Event::Due`], [`Event::BecameReady`], [`Event::Ended`], [`Event::Stop`], or the
    /// token events of a refresh under way.
    Hold {
        /// Until when.
        until: Moment,
        /// Whether [`Event::BecameReady`] is being waited for.
        awaiting_ready: bool,
        /// Whether the client is not in yet: then it goes on while the run drains, until it is cut off.
        entering: bool,
    },
    /// Send a ping frame; then [`Event::Sent`] or [`Event::Ended`].
    Ping,
    /// Say what this key says; then [`Event::Sent`] or [`Event::Ended`].
    Say(SayKey),
    /// Begin to fetch a token while the session goes on; then at once [`Event::Sent`], and the token events later.
    StartRefresh {
        /// A token requested earlier will not do.
        not_before: Moment,
        /// A token that expires earlier will not do.
        valid_until: Moment,
    },
    /// Keep the session beside what follows, read it, close it with 1000 at that moment; then at once [`Event::Sent`], and later
    /// [`Event::KeptEnded`], which may come at any time.
    Keep {
        /// Until when.
        until: Moment,
    },
    /// Close the session that was kept; then at once [`Event::Sent`], and later [`Event::KeptEnded`].
    ReleaseKept,
    /// Go on with what is under way.
    GoOn,
    /// End the session, or the one that was kept where there is no other; then [`Event::Ended`].
    Leave(Leave),
    /// The client is done.
    Finish(Finish),
}

/// How a client ends its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// Close frame, then the closing handshake (RFC 6455 §7.1.2).
    Close {
        /// The close code.
        code: u16,
    },
    /// TCP reset.
    Reset,
    /// Stop reading and writing, but keep the connection open beside what follows.
    FallSilent,
    /// Let go of a connection that is taken for dead.
    Abandon,
}

/// Why a client is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// The run ended.
    RunEnded,
    /// It gave up coming back.
    GaveUp,
    /// The scenario wants no reconnect after this close code.
    NotWanted,
}

/// When a connection passed each stage; stages that were not reached are `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Marks {
    /// When the connection was begun.
    pub began: Moment,
    /// When the proof was signed that goes with the token; `None`: none does.
    pub proved: Option<Moment>,
    /// When the address was known.
    pub dns: Option<Moment>,
    /// When TCP was connected.
    pub tcp: Option<Moment>,
    /// When TLS was established; for plain connections the same as `tcp`.
    pub tls: Option<Moment>,
    /// When the upgrade was answered, or the connection failed.
    pub ended: Moment,
    /// When the handshake was signed; `None`: it is not.
    pub signed: Option<Moment>,
}

/// Signs of life of a session's peer, as of an [`Event::Due`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Signs {
    /// When anything was last received; the upgrade counts.
    pub heard: Moment,
    /// When a pong was last received.
    pub pong: Moment,
}

/// What is known of a token, without the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenFacts {
    /// When its request was sent.
    pub requested: Moment,
    /// When it arrived.
    pub received: Moment,
    /// When it expires, as the client believes, whose clock may be wrong; [`Moment::NEVER`] when the endpoint gave no `expires_in`.
    pub expires: Moment,
    /// When it expires by its `expires_in`.
    pub life_ends: Moment,
    /// Whether it was granted fewer scopes than were asked for.
    pub lacks_scope: bool,
}

impl TokenFacts {
    /// Of a token that was requested and received then and expires then, as the client rightly believes.
    #[must_use]
    pub const fn new(requested: Moment, received: Moment, expires: Moment) -> Self {
        Self { requested, received, expires, life_ends: expires, lacks_scope: false }
    }
}

/// Why no token is to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenFailure {
    /// The endpoint refused with an OAuth error.
    Refused,
    /// It could not be reached, took too long, or answered something else.
    Error,
    /// This machine ran out of descriptors or ports.
    LocalLimit,
}

impl TokenFailure {
    /// The outcome of an attempt that failed so.
    #[must_use]
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::Refused => Outcome::TokenRefused,
            Self::Error => Outcome::TokenError,
            Self::LocalLimit => Outcome::LocalLimit,
        }
    }
}

/// Why a connection failed.
#[derive(Debug, Clone, PartialEq)]
pub enum ConnectFailure {
    /// The name did not resolve.
    Dns,
    /// TCP was refused, or the host is unreachable.
    Refused,
    /// The connection was reset or closed before the upgrade was answered.
    Reset,
    /// A stage took too long.
    Timeout,
    /// TLS failed, for this reason where it has a name.
    Tls(Option<Box<str>>),
    /// The answer was no HTTP, or a 101 that is not in order.
    Protocol,
    /// The upgrade was answered by HTTP with another status than 101.
    Http(Box<Evidence>),
    /// This machine ran out of descriptors or ports.
    LocalLimit,
}

impl ConnectFailure {
    /// What is told of it beside the outcome: why TLS failed.
    #[must_use]
    pub fn told(&self) -> Option<Box<Answer>> {
        let Self::Tls(Some(words)) = self else { return None };
        let words = Some(words.clone());
        let (by, ground) = (AnsweredBy::Unknown, Ground::Unknown);
        Some(Box::new(Answer { spoken: Spoken::Tls, code: 0, words, by, ground }))
    }

    /// The outcome of an attempt whose requests before the handshake failed so.
    #[must_use]
    pub fn outcome_of_step(&self) -> Outcome {
        match self {
            Self::Http(evidence) if evidence.status >= 400 => Outcome::StepRefused,
            Self::LocalLimit => Outcome::LocalLimit,
            _ => Outcome::StepError,
        }
    }

    /// The outcome of an attempt that failed so.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Dns => Outcome::Dns,
            Self::Refused => Outcome::TcpRefused,
            Self::Reset => Outcome::TcpReset,
            Self::Timeout => Outcome::Timeout,
            Self::Tls(_) => Outcome::Tls,
            Self::Protocol => Outcome::Protocol,
            Self::LocalLimit => Outcome::LocalLimit,
            Self::Http(evidence) => match evidence.status {
                401 => Outcome::Http401,
                403 => Outcome::Http403,
                429 => Outcome::Http429,
                400..=499 => Outcome::Http4xx,
                500..=599 => Outcome::Http5xx,
                _ => Outcome::Protocol,
            },
        }
    }
}

/// How a session ended, as the driver saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// When the first evidence of the end was seen.
    pub at: Moment,
    /// What the evidence was.
    pub how: EndingHow,
    /// What each side put into its close frame.
    pub said: Said,
}

impl Ending {
    /// An ending at `at` of which `how` tells what was said: a peer's close frame, and nothing else.
    #[must_use]
    pub const fn new(at: Moment, how: EndingHow) -> Self {
        let said = match how {
            EndingHow::PeerClosed(code) => Word::of(code),
            EndingHow::Left | EndingHow::Abnormal(_) => Word::Nothing,
        };
        Self { at, how, said: Said::by_target(said) }
    }

    /// The same, where this was said.
    #[must_use]
    pub const fn saying(self, said: Said) -> Self {
        Self { said, ..self }
    }
}

/// The evidence of a session's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndingHow {
    /// The peer's close frame came before ours, with this code (1005 where it carried none).
    PeerClosed(u16),
    /// Our own [`Action::Leave`] was carried out.
    Left,
    /// The connection ended without a close frame of the peer's that may be sent; after [`Action::Leave`]: without an answer to ours.
    Abnormal(Abnormal),
}
