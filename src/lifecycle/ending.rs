//! Steps of a client whose session, reconnect or life ends.
//!
//! In: how a session ended, or that the run does. Out: the next action, and the samples that close the accounts.

use std::time::Duration;

use crate::clock::Moment;
use crate::sample::{
    Abnormal, AttemptEnd, AttemptKey, AttemptKind, Cause, CloseKey, Counter, Ground, Initiator, Outcome,
    Phase, Recount, Said, Sample, SessionEnd, StormId, Word,
};

use crate::scenario::keys::PrepareRules;

use super::cause::{Evidence, TokenKnowledge, attribute, is_attributed};
use super::event::{Action, Ending, EndingHow, Finish};
use super::history::Carried;
use super::machine::{ABNORMAL_CLOSURE, State, Step, may_be_the_tokens};
use super::recovery::{Attempt, Attribution, Recovery, Silence};
use super::rules::StormRule;
use super::token::disconnect_wants_token;

/// A close by the target is put down to a storm only this long after it, where the storm did not strike everyone.
const STORM_WINDOW: Duration = Duration::from_secs(2);

/// Who ended a session, with which code, how; since when the client has been without one, and which storm forced it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Explained {
    key: CloseKey,
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
        let Explained { key, from, storm } = self.end_as_explained(upgraded, ending);
        self.come_back(recovery, key.code, from, storm)
    }

    /// The session is over: it is counted as what it was.
    pub(super) fn end_as_explained(&mut self, upgraded: Moment, ending: Ending) -> Explained {
        let explained = self.explain(upgraded, ending);
        self.end_session(upgraded, explained.key, ending.at);
        explained
    }

    fn explain(&self, upgraded: Moment, ending: Ending) -> Explained {
        let by = |initiator, code, abnormal| {
            let key = CloseKey { initiator, code, abnormal, said: ending.said };
            Explained { key, from: ending.at, storm: None }
        };
        match ending.how {
            EndingHow::PeerClosed(code) => match self.storm_behind(upgraded, ending.at, code) {
                Some((from, id)) => Explained { from, storm: Some(id), ..by(Initiator::Storm, code, None) },
                None => {
                    let storm = self.event_behind(ending.at);
                    Explained { storm, ..by(Initiator::Target, code, None) }
                }
            },
            EndingHow::Abnormal(how) if how.is_violation() => {
                by(Initiator::Target, ABNORMAL_CLOSURE, Some(how))
            }
            EndingHow::Abnormal(how) => {
                let storm = self.event_behind(ending.at);
                Explained { storm, ..by(Initiator::Network, ABNORMAL_CLOSURE, Some(how)) }
            }
            EndingHow::Left => by(Initiator::Client, ABNORMAL_CLOSURE, Some(Abnormal::Dropped)),
        }
    }

    /// The target's storm that a close is put down to, and when it was due.
    pub(super) fn storm_behind(
        &self,
        upgraded: Moment,
        closed: Moment,
        code: u16,
    ) -> Option<(Moment, StormId)> {
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

    /// The storm by an event of the scenario that a loss at `lost` is put down to: the service did the rest itself, so the end keeps its author.
    pub(super) fn event_behind(&self, lost: Moment) -> Option<StormId> {
        self.rules.storms.iter().rev().find_map(|storm| match *storm {
            StormRule::ByEvent { at, every, window, id } if at <= lost => {
                let since = lost.since(at).as_nanos();
                let since = every.map_or(since, |every| since % every.as_nanos().max(1));
                (since <= window.as_nanos()).then_some(id)
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
        let Attribution { initiator, code, abnormal, disconnect, storm, is_asked, gives_up } = attribution;
        self.count_uptime(upgraded, ending.at);
        // Where the peer's close frame was on its way before ours, the end was the peer's.
        if let EndingHow::PeerClosed(_) = ending.how {
            return self.disconnected(recovery, upgraded, ending);
        }
        let lost = match ending.how {
            EndingHow::Abnormal(how) if abnormal.is_none() => Some(how),
            _ => None,
        };
        // A close frame that was not answered is still the client's: its code, and what became of the connection.
        let key = CloseKey { initiator, code, abnormal: lost.or(abnormal), said: ending.said };
        self.end_session(upgraded, key, ending.at);
        if lost.is_some() {
            self.count(Counter::Unsettled);
        }
        match disconnect {
            Some(_) if gives_up => {
                let kind = recovery.map_or(AttemptKind::Reconnect, |recovery| recovery.kind);
                self.give_up(kind)
            }
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
        self.count_uptime(silence.upgraded, silence.since);
        let key = CloseKey::unsaid(silence.initiator, ABNORMAL_CLOSURE, Some(Abnormal::Dropped));
        self.end_session(silence.upgraded, key, silence.since);
        self.come_back(recovery, ABNORMAL_CLOSURE, silence.since, silence.storm)
    }

    /// The run ends before a silent client has noticed.
    pub(super) fn end_silence(&mut self, was_ready: bool, silence: Silence) {
        let Silence { upgraded, since, initiator, storm, .. } = silence;
        let key = CloseKey::unsaid(initiator, ABNORMAL_CLOSURE, Some(Abnormal::Dropped));
        self.end_session(upgraded, key, since);
        if was_ready {
            self.count_disconnect(storm);
        }
    }

    pub(super) fn end_session(&mut self, upgraded: Moment, key: CloseKey, at: Moment) {
        self.samples.push(Sample::SessionEnd(SessionEnd { key, length: at.since(upgraded) }));
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
        if self.rules.reconnect.max_attempts.is_some_and(|most| self.client.tries.count >= most) {
            return self.give_up(recovery.kind);
        }
        if self.comes_at_once(code) {
            return self.begin_attempt(recovery, self.now);
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

    /// The accounts of the way back from a session that has ended. A storm that strikes on the way back begins no new one. A client that was told to
    /// stop before it knew of the end has no time to come back: its way is none.
    fn begin_recovery(
        &mut self,
        recovery: Option<Recovery>,
        from: Moment,
        storm: Option<StormId>,
    ) -> Recovery {
        let was_ready = recovery.is_none();
        let from = if self.client.stopping { self.now } else { from };
        let mut recovery = recovery.unwrap_or_else(|| Recovery::back(from, storm));
        let phase = if was_ready { Phase::Detect } else { Phase::Ready };
        recovery.account(phase, self.now);
        if was_ready {
            self.count_disconnect(storm);
        }
        recovery
    }

    /// Whether the scenario wants a reconnect after this close code.
    pub(super) fn wants_back(&self, code: u16) -> bool {
        let rules = &self.rules.reconnect;
        rules.on_codes.as_ref().is_none_or(|codes| codes.contains(&code))
            && !rules.terminal_codes.iter().any(|(first, last)| (*first..=*last).contains(&code))
    }

    /// Whether the scenario wants that reconnect without a wait.
    fn comes_at_once(&self, code: u16) -> bool {
        self.rules.reconnect.at_once_codes.iter().any(|(first, last)| (*first..=*last).contains(&code))
    }

    /// An attempt ends of which there is nothing more to say.
    pub(super) fn end_plainly(
        &mut self,
        kind: AttemptKind,
        attempt: Attempt,
        outcome: Outcome,
        token_age: Option<Duration>,
    ) {
        let latency = self.now.since(attempt.due);
        let end = AttemptEnd { token_age, ..AttemptEnd::plain(kind, outcome, latency) };
        self.samples.push(Sample::Attempt(end));
    }

    /// An attempt ends by an answer that is no admission.
    pub(super) fn end_refused(
        &mut self,
        kind: AttemptKind,
        attempt: Attempt,
        outcome: Outcome,
        evidence: &Evidence,
        carried: Option<Carried>,
        token_age: Option<Duration>,
    ) {
        let mut ground = Ground::Unknown;
        let is_refusal = outcome.is_refusal() || outcome == Outcome::StepRefused;
        let cause = (is_refusal && is_attributed(evidence)).then(|| {
            let knowledge = match carried {
                _ if self.rules.token.is_none() => TokenKnowledge::NotSent,
                Some(Carried { expired: true, .. }) => TokenKnowledge::Expired,
                _ => TokenKnowledge::Sent,
            };
            let found = self.client.history.judge(attribute(evidence, knowledge), carried);
            ground = found.ground;
            found.cause
        });
        let (latency, answer) = (self.now.since(attempt.due), Some(evidence.answer(ground)));
        let end = AttemptEnd { kind, outcome, cause, answer, latency, token_age };
        let recounts = if cause.is_some() {
            self.client.learn(|history| history.refused(end.key(), carried))
        } else {
            Vec::new()
        };
        self.samples.push(Sample::Attempt(end));
        if is_refusal && may_be_the_tokens(evidence) {
            self.client.count_refused();
        }
        if cause.is_some_and(Cause::is_dead_token) {
            self.count(Counter::DeadTokenHandshakes);
        }
        self.recount(recounts);
    }

    /// Attempts are counted otherwise, and what follows from their causes.
    pub(super) fn recount(&mut self, recounts: Vec<Recount>) {
        for recount in recounts {
            let is_dead = |key: &AttemptKey| key.cause.is_some_and(Cause::is_dead_token);
            let dead = Sample::Count(Counter::DeadTokenHandshakes, u64::from(recount.times));
            match (is_dead(&recount.from), is_dead(&recount.to)) {
                (false, true) => self.samples.push(dead),
                (true, false) => self.samples.push(Sample::TakeBack(Box::new(dead))),
                _ => {}
            }
            self.samples.push(Sample::Recount(Box::new(recount)));
        }
    }

    /// A row of refusals is over: the client is in, or is done.
    pub(super) fn end_cascade(&mut self) {
        let depth = self.client.take_refused();
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
    pub(super) fn abort(&mut self, state: State) -> Action {
        let unfinished = match state {
            State::Outside => None,
            State::Waiting { recovery, .. } => Some(recovery),
            State::Token { recovery, attempt, .. } => {
                self.count(Counter::Unsettled);
                self.end_plainly(recovery.kind, attempt, Outcome::Aborted, None);
                Some(recovery)
            }
            State::Preparing { recovery, attempt } | State::Connecting { recovery, attempt } => {
                self.end_plainly(recovery.kind, attempt, Outcome::Aborted, None);
                Some(recovery)
            }
            State::Session { entering, timetable } => {
                let recovery = self.settle_or_give_up(entering);
                self.drop_session(timetable.upgraded);
                recovery
            }
            State::Leaving { recovery, upgraded, attribution } => {
                self.cut_off_leaving(upgraded, &attribution);
                if attribution.disconnect.is_some() && recovery.is_none() {
                    self.count_disconnect(attribution.storm);
                }
                recovery.or(attribution.disconnect.map(|due| Recovery::back(due, attribution.storm)))
            }
            State::Silent { recovery, silence } => {
                self.end_silence(recovery.is_none(), silence);
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
        let key = CloseKey::unsaid(Initiator::Client, ABNORMAL_CLOSURE, Some(Abnormal::Dropped));
        self.end_session(upgraded, key, self.now);
    }

    /// Cut off while it waited for the answer to its close frame: it ends as one whose peer did not answer in time.
    fn cut_off_leaving(&mut self, upgraded: Moment, attribution: &Attribution) {
        let Attribution { initiator, code, abnormal, .. } = *attribution;
        if abnormal.is_some() {
            return self.drop_session(upgraded);
        }
        self.count(Counter::Unsettled);
        let said = Said::by_client(Word::of(code));
        let key = CloseKey { initiator, code, abnormal: Some(Abnormal::Timeout), said };
        self.end_session(upgraded, key, self.now);
    }

    fn count_disconnect(&mut self, storm: Option<StormId>) {
        self.count(Counter::Disconnects);
        self.samples.extend(storm.map(Sample::StormDisconnect));
    }

    pub(super) fn count(&mut self, counter: Counter) {
        self.samples.push(Sample::Count(counter, 1));
    }
}
