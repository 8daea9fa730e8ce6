//! The accounts of a way back: where its time went, whose doing the end before it was.
//!
//! In: moments. Out: durations that add up. No decisions.

use std::time::Duration;

use crate::clock::Moment;
use crate::sample::{
    ABNORMAL_CLOSURE, Abnormal, AttemptKind, AwaySample, Bin, CloseKey, Initiator, Phase, Phases,
    ReadySample, StormId, WayIn, WayOut,
};

use super::event::Marks;

/// A client that has fallen silent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Silence {
    pub(super) upgraded: Moment,
    pub(super) since: Moment,
    pub(super) initiator: Initiator,
    pub(super) storm: Option<StormId>,
    pub(super) notices: Moment,
}

impl Silence {
    /// The way back that begins with it.
    pub(super) fn recovery(&self) -> Recovery {
        Recovery::back(self.since, self.storm, None)
    }

    /// The end that it is.
    pub(super) const fn explained(&self) -> Explained {
        let Self { upgraded, since, initiator, storm, .. } = *self;
        let key = CloseKey::unsaid(initiator, ABNORMAL_CLOSURE, Some(Abnormal::Dropped));
        Explained { key, upgraded, from: since, storm, is_asked: false }
    }
}

/// The way from a disconnect (or the due start) to the next ready session.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recovery {
    pub(super) kind: AttemptKind,
    /// The storm that forced the disconnect.
    pub(super) storm: Option<StormId>,
    /// In which tenth of a second the client was lost; `None`: it was not.
    pub(super) lost_in: Option<Bin>,
    /// Up to where the time since the intended start is accounted for in `phases`.
    pub(super) accounted: Moment,
    /// The generator's own lateness on the way.
    pub(super) lag: Duration,
    pub(super) phases: Phases,
    /// Whether the last attempt was refused with 401 or 403.
    pub(super) was_refused: bool,
    /// It is no way back yet: the session before is being kept.
    pub(super) overlaps: bool,
}

/// Attempts in a row, as the backoff counts them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tries {
    /// Attempts that began since the policy last counted from anew.
    pub(super) count: u32,
    /// The wait before the last of them.
    pub(super) wait: Duration,
}

/// A client whose handshake was answered with 101, until it is settled that it is in.
#[derive(Debug, Clone)]
pub(super) struct Entering {
    pub(super) recovery: Recovery,
    pub(super) attempt: Attempt,
    /// How old the token was that the handshake carried.
    pub(super) token_age: Option<Duration>,
    /// `Some`: it was let in, which a late refusal may still take back; then, this is how it stood before.
    pub(super) admitted: Option<Admitted>,
}

/// What an admission has changed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Admitted {
    pub(super) tries: Tries,
    /// When the handshake was answered with 101.
    pub(super) upgraded: Moment,
}

/// One attempt under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt {
    pub(super) due: Moment,
    pub(super) began: Moment,
    /// Whether it fetched a token.
    pub(super) fetched: bool,
}

impl Attempt {
    /// A token has come, fetched for it or not.
    pub(super) const fn get_token(&mut self, fetched: bool) {
        self.fetched |= fetched;
    }
}

/// Whose doing an end is that the client itself carries out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attribution {
    pub(super) initiator: Initiator,
    pub(super) code: u16,
    pub(super) abnormal: Option<Abnormal>,
    /// When the disconnect was due; `None` where it is none (the run ends).
    pub(super) disconnect: Option<Moment>,
    /// The storm that forces it.
    pub(super) storm: Option<StormId>,
    /// Whether a message asked for it: then the client comes back at once.
    pub(super) is_asked: bool,
    /// Whether the client does not come back from it.
    pub(super) gives_up: bool,
}

impl Attribution {
    /// The client itself leaves with a close frame, at that moment.
    pub(super) const fn leaving(code: u16, at: Moment) -> Self {
        Self {
            initiator: Initiator::Client,
            code,
            abnormal: None,
            disconnect: Some(at),
            storm: None,
            is_asked: false,
            gives_up: false,
        }
    }
}

/// The end of a session: who ended it, with which code, how; since when the client has been without one, and which storm forced it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Explained {
    pub(super) key: CloseKey,
    pub(super) upgraded: Moment,
    pub(super) from: Moment,
    pub(super) storm: Option<StormId>,
    /// Whether a message asked the client to leave.
    pub(super) is_asked: bool,
}

impl Explained {
    /// Whether the client was lost: by no wish of its own, and by no storm of the scenario.
    const fn is_lost(&self) -> bool {
        self.storm.is_none()
            && (self.is_asked || matches!(self.key.initiator, Initiator::Target | Initiator::Network))
    }

    /// The disconnect that it is.
    pub(super) const fn way_out(&self) -> WayOut {
        let Self { key, upgraded, from, .. } = *self;
        WayOut { from, upgraded, key, is_lost: self.is_lost() }
    }

    /// In which tenth of a second the client was lost, if it was.
    pub(super) fn lost_in(&self) -> Option<Bin> {
        self.is_lost().then(|| Bin::of(self.from))
    }
}

impl Entering {
    /// It was let in.
    pub(super) fn let_in(&mut self, how: Admitted) {
        self.admitted = Some(how);
    }
}

impl Recovery {
    pub(super) fn new(kind: AttemptKind, from: Moment) -> Self {
        Self {
            kind,
            storm: None,
            lost_in: None,
            accounted: from,
            lag: Duration::ZERO,
            phases: Phases::default(),
            was_refused: false,
            overlaps: false,
        }
    }

    /// The way to the next session beside the one that is being kept.
    pub(super) fn beside(now: Moment) -> Self {
        Self { overlaps: true, ..Self::new(AttemptKind::Reconnect, now) }
    }

    /// The way back from a disconnect that was due at `from`.
    pub(super) fn back(from: Moment, storm: Option<StormId>, lost_in: Option<Bin>) -> Self {
        Self { storm, lost_in, ..Self::new(AttemptKind::Reconnect, from) }
    }

    /// The generator itself was late by this.
    pub(super) fn delay(&mut self, lag: Duration) {
        self.lag += lag;
    }

    /// An attempt was refused, for the token's sake or not; whether the one before it was for the token's sake.
    pub(super) const fn refuse(&mut self, for_token: bool) -> bool {
        std::mem::replace(&mut self.was_refused, for_token)
    }

    /// Puts the time since what is accounted for down to `phase`.
    pub(super) fn account(&mut self, phase: Phase, until: Moment) {
        self.phases.add(phase, until.since(self.accounted));
        self.accounted = self.accounted.max(until);
    }

    /// Puts the stages of a connection down to their phases.
    pub(super) fn account_marks(&mut self, marks: &Marks) {
        if let Some(proved) = marks.proved {
            // It goes with the token.
            self.account(Phase::Token, proved);
        }
        let Some(resolved) = marks.dns else { return self.account(Phase::Dns, marks.ended) };
        self.account(Phase::Dns, resolved);
        let Some(connected) = marks.tcp else { return self.account(Phase::Tcp, marks.ended) };
        self.account(Phase::Tcp, connected);
        let Some(secured) = marks.tls else { return self.account(Phase::Tls, marks.ended) };
        self.account(Phase::Tls, secured);
        self.account(Phase::Upgrade, marks.ended);
    }

    /// The way in, to a session that was upgraded then.
    pub(super) const fn way_in(&self, upgraded: Moment) -> WayIn {
        WayIn { at: self.accounted, upgraded, lost_in: self.lost_in }
    }

    /// When it began: at the disconnect, or when the client was due to start.
    fn from(&self) -> Moment {
        let total = u64::try_from(self.phases.total().as_nanos()).unwrap_or(u64::MAX);
        Moment::from_ns(self.accounted.as_ns().saturating_sub(total))
    }

    /// Up to when the client is known to have been away in a run that was over at `over`, and the sample that says so.
    pub(super) fn away(&self, over: Moment) -> (Moment, AwaySample) {
        let from = self.from();
        let until = over.max(from);
        (until, AwaySample { storm: self.storm, away: until.since(from) })
    }

    /// The sample of a client that signs its own tokens, or does not.
    pub(super) fn ready_sample(&self, mints: bool) -> ReadySample {
        let latency = self.phases.total();
        let own = self.phases.get(Phase::Detect) + self.lag;
        ReadySample {
            kind: self.kind,
            storm: self.storm,
            latency,
            service_time: latency.saturating_sub(own),
            phases: if mints { self.phases.of_minting() } else { self.phases },
        }
    }
}
