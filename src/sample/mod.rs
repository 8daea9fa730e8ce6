//! What happened: the vocabulary that clients, recorder, journal and reports share.
//!
//! In: nothing. Out: the enums of outcomes, causes, phases, metrics and counters, and [`Sample`], the message from
//! a virtual client to the recorder. What the *target* does wrong is one of these values, never an `Err`.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Moment;
use crate::deflate::Volume;

/// Declares an enum whose variants have one name each, the same in code, CSV, JSON and on the terminal.
macro_rules! named_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$doc])* #[serde(rename = $text)] $variant,)+ }

        impl $name {
            /// Every value, in the order in which reports list them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name that files and reports use.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// The value of that name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.name() == name)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

mod attempt;
mod counter;
mod life;
mod metric;
mod request;
mod session_end;
mod storm;
mod talk;
mod trace;

pub use attempt::{
    Answer, AnsweredBy, AttemptEnd, AttemptKey, AttemptKind, Cause, Ground, Outcome, Recount, Spoken,
};
pub use counter::Counter;
pub use life::{Bin, Life, NotBack, WayIn, WayOut, WhyNotBack};
pub use metric::{Metric, Phase, Phases};
pub use request::{ErrorWord, NoErrorWord, Request, RequestAnswer, RequestEnd};
pub use session_end::{
    ABNORMAL_CLOSURE, Abnormal, CloseKey, Initiator, NO_STATUS, NORMAL_CLOSURE, Said, SessionEnd, Word,
};
pub use storm::StormId;
pub use talk::{Blind, BlindEnd, ExchangeNews, StreamNews, Talk};
pub use trace::{NoTraceId, TraceId, Traced};

/// Index of a group in the scenario's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupId(pub u16);

/// Number of a client in its run, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientNumber(NonZeroU32);

impl ClientNumber {
    /// That one.
    #[must_use]
    pub const fn of(number: u32) -> Self {
        Self(NonZeroU32::MIN.saturating_add(number))
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get() - 1
    }
}

/// A sample, when it was taken and in which group: what travels from a client to the recorder.
#[derive(Debug, Clone)]
pub struct Stamped {
    /// When it happened.
    pub at: Moment,
    /// Which client, where it is a step of one.
    pub client: Option<ClientNumber>,
    /// The client's group.
    pub group: GroupId,
    /// What happened.
    pub sample: Sample,
}

/// Something that happened to a virtual client.
#[derive(Debug, Clone)]
pub enum Sample {
    /// An attempt ended. Sent exactly once for every attempt.
    Attempt(AttemptEnd),
    /// By which trace the service knows the attempt that was told right before; only where requests carry such.
    Traced(Box<Traced>),
    /// A session became ready.
    Ready(Box<ReadySample>),
    /// A session ended. Sent exactly once for every handshake that was answered with 101 ([`Counter::Upgrades`]).
    SessionEnd(SessionEnd),
    /// The generator did something late by this much.
    Lag(Duration),
    /// A TLS handshake of a client that may resume its session.
    Tls {
        /// It did.
        is_resumed: bool,
        /// How long it took.
        took: Duration,
    },
    /// Counts since the client's last sample of this kind.
    Count(Counter, u64),
    /// Traffic on a session since the client's last sample of this kind, at most one in a second while it lives.
    Traffic(Box<Traffic>),
    /// What the client said and heard by its group's rules since its last sample of this kind, at most one in a second while a session lives.
    Talk(Box<Talk>),
    /// So many refusals in a row are over: the client was let in, or is done.
    Cascade(u32),
    /// What was told by an earlier sample of the same client turns out not to be so, and is taken out of the accounts again.
    TakeBack(Box<Sample>),
    /// Attempts that were told before are to be counted otherwise.
    Recount(Box<Recount>),
    /// A disconnect, counted as [`Counter::Disconnects`] as well, was this storm's doing.
    StormDisconnect(StormId),
    /// A request for a token, or a step before a handshake, ended. Sent exactly once for each whose end was seen.
    Request(Box<RequestEnd>),
    /// A turn in the client's life.
    Life(Life),
    /// A reconnect under way when the run ended, counted as [`Counter::ReconnectsUnfinished`] as well.
    Away(AwaySample),
}

impl From<Life> for Sample {
    fn from(life: Life) -> Self {
        Self::Life(life)
    }
}

/// A session that became ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadySample {
    /// First way in, or way back.
    pub kind: AttemptKind,
    /// The storm that forced the disconnect; `None`: no storm did, or it is the first way in.
    pub storm: Option<StormId>,
    /// From the intended start: the disconnect (a storm's: when it was due), or the client's due start.
    pub latency: Duration,
    /// From the actual start: without `detect` and without the generator's lag.
    pub service_time: Duration,
    /// Where the time went; the sum is `latency`.
    pub phases: Phases,
}

/// A client that is away when the run ends: cut off, and not yet back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AwaySample {
    /// The storm that forced the disconnect; `None`: no storm did.
    pub storm: Option<StormId>,
    /// From the disconnect (a storm's: when it was due) until the client stopped trying.
    pub away: Duration,
}

/// What went over a session since the last report of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Data messages received.
    pub messages_in: u64,
    /// Data messages sent.
    pub messages_out: u64,
    /// Bytes received, the upgrade's answer included.
    pub bytes_in: u64,
    /// Bytes sent, the upgrade's request included.
    pub bytes_out: u64,
    /// Latency of each message that carried its due time, in microseconds.
    pub message_latencies_us: Vec<u32>,
    /// Payloads of a session whose messages may be compressed.
    pub deflated: Volume,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_read_back() {
        for &outcome in Outcome::ALL {
            assert_eq!(Outcome::from_name(outcome.name()), Some(outcome));
        }
        for &metric in Metric::ALL {
            assert_eq!(Metric::from_name(metric.name()), Some(metric));
        }
        assert_eq!(Outcome::from_name("http_404"), None);
        for &phase in Phase::ALL {
            assert_eq!(Metric::of_phase(phase).name(), format!("phase_{phase}"));
        }
    }

    #[test]
    fn phases_add_up() {
        let mut phases = Phases::default();
        phases.add(Phase::Tcp, Duration::from_millis(2));
        phases.add(Phase::Upgrade, Duration::from_millis(3));
        phases.add(Phase::Tcp, Duration::from_millis(1));
        assert_eq!(phases.get(Phase::Tcp), Duration::from_millis(3));
        assert_eq!(phases.total(), Duration::from_millis(6));
        assert!(!phases.is_minted());
        phases.add(Phase::Mint, Duration::from_millis(4));
        phases.add(Phase::Mint, Duration::from_millis(1));
        assert_eq!((phases.get(Phase::Token), phases.is_minted()), (Duration::from_millis(5), false));
        let phases = phases.of_minting();
        assert_eq!(
            (phases.get(Phase::Mint), phases.get(Phase::Token)),
            (Duration::from_millis(5), Duration::ZERO)
        );
        assert!(phases.is_minted() && phases.total() == Duration::from_millis(11));
    }

    #[test]
    fn a_sample_stays_small() {
        assert!(size_of::<Stamped>() <= 64, "{}", size_of::<Stamped>());
    }
}
