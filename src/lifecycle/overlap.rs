//! A client that keeps its session until the next one is ready.
//!
//! In: that a message asks for another session, how the kept one ended. Out: the next action, and the samples of both. While the kept session lasts the
//! client is in: when the next is ready before it ends, nothing was lost; when it ends before, that is the disconnect.

use std::time::Duration;

use crate::clock::Moment;
use crate::sample::{CloseKey, Counter, Initiator, Phase};
use crate::scenario::keys::Ready;

use super::event::{Action, Ending, EndingHow, Leave};
use super::machine::{Client, NORMAL_CLOSURE, State, Step};
use super::recovery::{Attribution, Explained, Recovery};

/// The session that is kept.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    upgraded: Moment,
    stage: Stage,
}

/// How far it has come with it.
#[derive(Debug, Clone)]
enum Stage {
    /// It is read until the next one is ready.
    Open,
    /// The next one is ready: the driver is to close it.
    ToRelease,
    /// It is being closed.
    Released,
    /// It ended while it was not yet settled that the client is in by the next one: unless it is, that was the disconnect.
    Ended(Explained),
}

impl Client {
    fn set_kept(&mut self, kept: Option<Box<Kept>>) {
        self.kept = kept;
    }

    fn take_kept(&mut self, wanted: impl Fn(&Stage) -> bool) -> Option<Box<Kept>> {
        if self.kept.as_ref().is_some_and(|kept| wanted(&kept.stage)) { self.kept.take() } else { None }
    }
}

impl Step<'_> {
    /// Whether the client may keep the session that it has.
    pub(super) const fn may_keep(&self) -> bool {
        self.client.kept.is_none() && !self.client.is_stopping()
    }

    /// It keeps its session, which was upgraded then, for so long, and begins its next attempt.
    pub(super) fn keep(&mut self, upgraded: Moment, overlap: Duration) -> Action {
        self.count_uptime(upgraded, self.now);
        self.client.set_kept(Some(Box::new(Kept { upgraded, stage: Stage::Open })));
        let recovery = Recovery::beside(self.now);
        self.client.enter(State::Waiting { recovery, due: self.now, since: self.now });
        Action::Keep { until: self.now + overlap }
    }

    /// Whether the client is in by the session that it keeps.
    pub(super) fn keeps(&self, recovery: &Recovery) -> bool {
        recovery.overlaps && self.client.kept.as_ref().is_some_and(|kept| matches!(kept.stage, Stage::Open))
    }

    /// The next session is ready, and the client was never away.
    pub(super) fn resume_beside(&mut self) {
        self.count(Counter::ResumesOverlapped);
        let kept = self.client.take_kept(|stage| matches!(stage, Stage::Open));
        self.client.set_kept(kept.map(|kept| Box::new(Kept { stage: Stage::ToRelease, ..*kept })));
    }

    /// Whether the driver is to be told that the kept session has done its part: once.
    pub(super) fn releases_kept(&mut self) -> bool {
        let Some(kept) = self.client.take_kept(|stage| matches!(stage, Stage::ToRelease)) else {
            return false;
        };
        self.client.set_kept(Some(Box::new(Kept { stage: Stage::Released, ..*kept })));
        true
    }

    /// The kept session is over. What the client was doing goes on.
    pub(super) fn kept_ended(&mut self, state: State, ending: Ending, closed: bool) -> Action {
        let Some(kept) = self.client.take_kept(|stage| !matches!(stage, Stage::Ended(_))) else {
            return self.go_on_as(state);
        };
        let explained = self.explain_kept(kept.upgraded, ending, closed);
        self.end_session(kept.upgraded, explained.key, ending.at);
        if !matches!(kept.stage, Stage::Open) {
            return self.go_on_as(state);
        }
        let mut state = state;
        let (recovery, is_judged) = match &mut state {
            State::Waiting { recovery, .. }
            | State::Token { recovery, .. }
            | State::Preparing { recovery, .. }
            | State::Connecting { recovery, .. }
            | State::Leaving { recovery: Some(recovery), .. }
            | State::Silent { recovery: Some(recovery), .. } => (recovery, false),
            State::Session { entering: Some(entering), timetable } => {
                let is_judged = self.rules.session.ready == Ready::Upgraded && timetable.upgraded <= ending.at;
                (&mut entering.recovery, is_judged)
            }
            _ => return self.go_on_as(state),
        };
        if is_judged {
            self.client.set_kept(Some(Box::new(Kept { stage: Stage::Ended(explained), ..*kept })));
        } else {
            self.lost(recovery, explained);
        }
        if let State::Waiting { recovery, .. } = &mut state {
            recovery.account(Phase::Detect, self.now);
        }
        self.go_on_as(state)
    }

    /// The client is not in by the next session: where the kept one has ended, that was the disconnect.
    pub(super) fn lose_kept(&mut self, recovery: &mut Recovery) {
        let ended = self.client.take_kept(|stage| matches!(stage, Stage::Ended(_)));
        if let Some(Stage::Ended(explained)) = ended.map(|kept| kept.stage) {
            self.lost(recovery, explained);
        }
    }

    /// The way to the next session is a way back from here on.
    fn lost(&mut self, recovery: &mut Recovery, explained: Explained) {
        let from = if self.client.is_stopping() { self.now } else { explained.from };
        let explained = Explained { from, ..explained };
        let was_refused = recovery.was_refused;
        *recovery =
            Recovery { was_refused, ..Recovery::back(from, explained.storm, explained.lost_in()) };
        self.count_disconnect(&explained);
    }

    fn explain_kept(&mut self, upgraded: Moment, ending: Ending, closed: bool) -> Explained {
        if !closed || matches!(ending.how, EndingHow::PeerClosed(_)) {
            return self.explain(upgraded, ending);
        }
        let abnormal = match ending.how {
            EndingHow::Abnormal(how) => Some(how),
            _ => None,
        };
        if abnormal.is_some() {
            self.count(Counter::Unsettled);
        }
        let key =
            CloseKey { initiator: Initiator::Client, code: NORMAL_CLOSURE, abnormal, said: ending.said };
        Explained { key, upgraded, from: ending.at, storm: None, is_asked: true }
    }

    /// Nothing has changed but what is known of the kept session.
    fn go_on_as(&mut self, state: State) -> Action {
        match state {
            State::Session { entering, timetable } => self.hold(entering, timetable),
            State::Waiting { due, .. } => {
                self.client.enter(state);
                Action::Sleep { until: self.or_leaves(due) }
            }
            State::Silent { silence, .. } => {
                self.client.enter(state);
                Action::Sleep { until: self.or_leaves(silence.notices) }
            }
            state => {
                self.client.enter(state);
                Action::GoOn
            }
        }
    }

    /// `Some`: the client, which makes no attempt any more, is still in by the kept session, and leaves that first. It `gives_up`, or the run ends.
    pub(super) fn leave_kept(&mut self, recovery: &Recovery, gives_up: bool) -> Option<Action> {
        if !self.keeps(recovery) {
            return None;
        }
        let upgraded = self.client.take_kept(|_| true)?.upgraded;
        if !gives_up {
            return Some(self.leave_at_end(None, upgraded));
        }
        let leaving = Attribution::leaving(NORMAL_CLOSURE, self.now);
        let attribution = Attribution { is_asked: true, gives_up: true, ..leaving };
        Some(self.leave(None, upgraded, Leave::Close { code: NORMAL_CLOSURE }, attribution))
    }

    /// The kept session is let go of as it is.
    pub(super) fn drop_kept(&mut self) {
        let Some(kept) = self.client.take_kept(|stage| !matches!(stage, Stage::Ended(_))) else { return };
        self.drop_session(kept.upgraded);
        if matches!(kept.stage, Stage::Open) {
            self.gone(Some(kept.upgraded));
        }
    }
}
