//! Steps of a client whose session, reconnect or life ends.
//!
//! In: how a session ended, or that the run does. Out: the next action, and the samples that close the accounts.

use std::time::Duration;

use crate::clock::Moment;
use crate::sample::{
    Abnormal, AttemptEnd, AttemptKind, Cause, Counter, Initiator, Outcome, Phase, Sample, SessionEnd, StormId,
};

use crate::scenario::keys::PrepareRules;

use super::event::{Action, Ending, EndingHow, Finish};
use super::machine::{ABNORMAL_CLOSURE, State, Step};
use super::recovery::{Attempt, Attribution, Recovery, Silence};
use super::rules::StormRule;
use super::token::disconnect_wants_token;

/// A close by the target is put down to a storm only this long after it, where the storm did not strike everyone.
const STORM_WINDOW: Duration = Duration::from_secs(2);

/// Who ended a session, with which code, how; since when the client has been without one, and which storm forced it.
struct Explained {
    initiator: Initiator,
    code: u16,
    abnormal: Option<Abnormal>,
    from: Moment,
    storm: Option<StormId>,
}

impl Step<'_> {
    /// The session ended without this client's doing.
    pub(super) fn disconnected(
        &mut self,
        recovery: Option<Recovery>,
        upgraded: Moment,
        ending: Ending,
    ) -> Action {
        let Explained { initiator, code, abnormal, from, storm } = self.explain(upgraded, ending);
        self.end_session(upgraded, initiator, code, abnormal, ending.at);
        self.come_back(recovery, code, from, storm)
    }

    fn explain(&self, upgraded: Moment, ending: Ending) -> Explained {
        let by =
            |initiator, code, abnormal| Explained { initiator, code, abnormal, from: ending.at, storm: None };
        match ending.how {
            EndingHow::PeerClosed(code) => match self.storm_behind(upgraded, ending.at, code) {
                Some((from, id)) => Explained { from, storm: Some(id), ..by(Initiator::Storm, code, None) },
                None => by(Initiator::Target, code, None),
            },
            EndingHow::Abnormal(how) => by(Initiator::Network, ABNORMAL_CLOSURE, Some(how)),
            EndingHow::Left => by(Initiator::Client, ABNORMAL_CLOSURE, Some(Abnormal::Dropped)),
        }
    }

    /// The target's storm that a close is put down to, and when it was due.
    fn storm_behind(&self, upgraded: Moment, closed: Moment, code: u16) -> Option<(Moment, StormId)> {
        self.rules.storms.iter().rev().find_map(|storm| match *storm {
            StormRule::ByTarget { at, code: storm_code, all, id }
                if storm_code == code
                    && upgraded < at
                    && at <= closed
                    && (all || closed.since(at) <= STORM_WINDOW) =>
            {
                Some((at, id))
            }
            _ => None,
        })
    }

    /// The client's own leaving has been carried out.
    pub(super) fn left(
        &mut self,
        recovery: Option<Recovery>,
        upgraded: Moment,
        attribution: Attribution,
        ending: Ending,
    ) -> Action {
        let Attribution { initiator, code, abnormal, disconnect, storm, is_asked } = attribution;
        // Where the peer's close frame was on its way before ours, the end was the peer's.
        if let EndingHow::PeerClosed(_) = ending.how {
            return self.disconnected(recovery, upgraded, ending);
        }
        let lost = match ending.how {
            EndingHow::Abnormal(how) if abnormal.is_none() => Some(how),
            _ => None,
        };
        match lost {
            Some(how) => {
                self.end_session(upgraded, Initiator::Network, ABNORMAL_CLOSURE, Some(how), ending.at);
                self.count(Counter::Unsettled);
            }
            None => self.end_session(upgraded, initiator, code, abnormal, ending.at),
        }
        match disconnect {
            Some(due) if is_asked => self.come_back_as_asked(recovery, due),
            Some(due) => self.come_back(recovery, code, due, storm),
            None => {
                if let Some(recovery) = recovery {
                    return self.finish_unfinished(&recovery);
                }
                Action::Finish(Finish::RunEnded)
            }
        }
    }

    pub(super) fn noticed_silence(&mut self, recovery: Option<Recovery>, silence: Silence) -> Action {
        if self.now < silence.notices {
            self.client.enter(State::Silent { recovery, silence });
            return Action::Sleep { until: silence.notices };
        }
        self.samples.push(Sample::Lag(self.now.since(silence.notices)));
        self.end_session(
            silence.upgraded,
            silence.initiator,
            ABNORMAL_CLOSURE,
            Some(Abnormal::Dropped),
            silence.since,
        );
        self.come_back(recovery, ABNORMAL_CLOSURE, silence.since, silence.storm)
    }

    /// The run ends before a silent client has noticed.
    pub(super) fn end_silence(&mut self, was_ready: bool, silence: Silence) {
        let Silence { upgraded, since, initiator, storm, .. } = silence;
        self.end_session(upgraded, initiator, ABNORMAL_CLOSURE, Some(Abnormal::Dropped), since);
        if was_ready {
            self.count_disconnect(storm);
        }
    }

    pub(super) fn end_session(
        &mut self,
        upgraded: Moment,
        initiator: Initiator,
        code: u16,
        abnormal: Option<Abnormal>,
        at: Moment,
    ) {
        let length = at.since(upgraded);
        self.samples.push(Sample::SessionEnd(SessionEnd { initiator, code, abnormal, length }));
    }

    /// After a session's end: a reconnect begins at `from`, or the one under way goes on.
    pub(super) fn come_back(
        &mut self,
        recovery: Option<Recovery>,
        code: u16,
        from: Moment,
        storm: Option<StormId>,
    ) -> Action {
        let recovery = self.begin_recovery(recovery, from, storm);
        let renews = |prepare: &PrepareRules| {
            prepare.renew_on_codes.iter().any(|(first, last)| (*first..=*last).contains(&code))
        };
        if self.rules.prepare.as_deref().is_some_and(renews) {
            self.client.use_prepared(0);
        }
        if self.rules.token.as_ref().is_some_and(|token| disconnect_wants_token(token, code)) {
            self.client.token.want(self.now);
        }
        if self.client.stopping {
            return self.finish_unfinished(&recovery);
        }
        if !self.wants_back(code) {
            return self.not_wanted(recovery.kind);
        }
        if self.rules.reconnect.max_attempts.is_some_and(|most| recovery.attempts >= most) {
            return self.give_up(recovery.kind);
        }
        self.wait_for_attempt(recovery, None)
    }

    /// After a session that the target asked the client to leave for another one: at once.
    fn come_back_as_asked(&mut self, recovery: Option<Recovery>, from: Moment) -> Action {
        let recovery = self.begin_recovery(recovery, from, None);
        if self.client.stopping {
            return self.finish_unfinished(&recovery);
        }
        self.begin_attempt(recovery, self.now)
    }

    /// The accounts of the way back from a session that has ended. A storm that strikes on the way back begins no new one.
    fn begin_recovery(
        &mut self,
        recovery: Option<Recovery>,
        from: Moment,
        storm: Option<StormId>,
    ) -> Recovery {
        let was_ready = recovery.is_none();
        let mut recovery = recovery.unwrap_or_else(|| Recovery::back(from, storm));
        let phase = if was_ready { Phase::Detect } else { Phase::Ready };
        recovery.account(phase, self.now);
        if was_ready {
            self.count_disconnect(storm);
        } else {
            recovery.end_attempt();
        }
        recovery
    }

    /// Whether the scenario wants a reconnect after this close code.
    pub(super) fn wants_back(&self, code: u16) -> bool {
        let rules = &self.rules.reconnect;
        rules.on_codes.as_ref().is_none_or(|codes| codes.contains(&code))
            && !rules.terminal_codes.iter().any(|(first, last)| (*first..=*last).contains(&code))
    }

    pub(super) fn end_attempt(
        &mut self,
        kind: AttemptKind,
        attempt: Attempt,
        outcome: Outcome,
        cause: Option<Cause>,
        token_age: Option<Duration>,
    ) {
        let latency = self.now.since(attempt.due);
        self.samples.push(Sample::Attempt(AttemptEnd { kind, outcome, cause, latency, token_age }));
        match outcome {
            Outcome::Http403 => self.client.count_forbidden(),
            Outcome::Ok => self.end_cascade(),
            _ => {}
        }
        if matches!(cause, Some(Cause::StaleToken | Cause::ExpiredToken)) {
            self.count(Counter::DeadTokenHandshakes);
        }
    }

    /// A row of 403s is over: the client got in, or is done.
    pub(super) fn end_cascade(&mut self) {
        let depth = self.client.take_forbidden();
        if depth > 0 {
            self.samples.push(Sample::Cascade(depth));
        }
    }

    pub(super) fn give_up(&mut self, kind: AttemptKind) -> Action {
        self.count(match kind {
            AttemptKind::First => Counter::FirstGivenUp,
            AttemptKind::Reconnect => Counter::ReconnectsGivenUp,
        });
        Action::Finish(Finish::GaveUp)
    }

    pub(super) fn not_wanted(&mut self, kind: AttemptKind) -> Action {
        self.count(match kind {
            AttemptKind::First => Counter::FirstGivenUp,
            AttemptKind::Reconnect => Counter::ReconnectsNotWanted,
        });
        Action::Finish(Finish::NotWanted)
    }

    pub(super) fn finish_unfinished(&mut self, recovery: &Recovery) -> Action {
        if recovery.kind == AttemptKind::Reconnect {
            self.count(Counter::ReconnectsUnfinished);
            self.samples.push(Sample::Away(recovery.away_sample(self.now)));
        }
        Action::Finish(Finish::RunEnded)
    }

    /// Whatever is under way is cut off, and its accounts closed.
    pub(super) fn abort(&mut self, state: &State) -> Action {
        let unfinished = match state {
            State::Outside => None,
            State::Waiting { recovery, .. } => Some(*recovery),
            State::Token { recovery, attempt, .. } => {
                self.count(Counter::Unsettled);
                self.end_attempt(recovery.kind, *attempt, Outcome::Aborted, None, None);
                Some(*recovery)
            }
            State::Preparing { recovery, attempt } | State::Connecting { recovery, attempt } => {
                self.end_attempt(recovery.kind, *attempt, Outcome::Aborted, None, None);
                Some(*recovery)
            }
            State::Session { recovery, timetable } => {
                self.drop_session(timetable.upgraded);
                *recovery
            }
            State::Leaving { recovery, upgraded, attribution } => {
                self.drop_session(*upgraded);
                if attribution.disconnect.is_some() && recovery.is_none() {
                    self.count_disconnect(attribution.storm);
                }
                recovery.or(attribution.disconnect.map(|due| Recovery::back(due, attribution.storm)))
            }
            State::Silent { recovery, silence } => {
                self.end_silence(recovery.is_none(), *silence);
                Some(recovery.unwrap_or_else(|| silence.recovery()))
            }
        };
        match unfinished {
            Some(recovery) => self.finish_unfinished(&recovery),
            None => Action::Finish(Finish::RunEnded),
        }
    }

    pub(super) fn drop_session(&mut self, upgraded: Moment) {
        self.count(Counter::Unsettled);
        let how = Some(Abnormal::Dropped);
        self.end_session(upgraded, Initiator::Client, ABNORMAL_CLOSURE, how, self.now);
    }

    fn count_disconnect(&mut self, storm: Option<StormId>) {
        self.count(Counter::Disconnects);
        self.samples.extend(storm.map(Sample::StormDisconnect));
    }

    pub(super) fn count(&mut self, counter: Counter) {
        self.samples.push(Sample::Count(counter, 1));
    }
}
