//! Steps of a client whose session, reconnect or life ends.
//!
//! In: how a session ended, or that the run does. Out: the next action, and the samples that close the accounts.

use std::time::Duration;

use crate::clock::Moment;
use crate::sample::{
    ABNORMAL_CLOSURE, Abnormal, Answer, AttemptEnd, AttemptKey, AttemptKind, Bin, Cause, CloseKey, Counter,
    Ground, Initiator, Life, NotBack, Outcome, Phase, Recount, Said, Sample, SessionEnd, StormId, Traced,
    WhyNotBack, Word,
};

use crate::scenario::keys::PrepareRules;

use super::cause::{Evidence, TokenKnowledge, attribute, is_attributed};
use super::event::{Action, Ending, EndingHow, Finish};
use super::history::Carried;
use super::machine::{State, Step, may_be_the_tokens};
use super::recovery::{Attempt, Attribution, Explained, Recovery, Silence};
use super::storm::StormRule;
use super::token::disconnect_wants_token;

/// A close by the target is put down to a storm only this long after it, where the storm did not strike everyone.
const STORM_WINDOW: Duration = Duration::from_secs(2);

impl Step<'_> {
    /// The session ended without this client's doing.
    pub(super) fn disconnected(
        &mut self,
        recovery: Option<Recovery>,
        upgraded: Moment,
        ending: Ending,
    ) -> Action {
        let explained = self.end_as_explained(upgraded, ending);
        self.come_back(recovery, explained)
    }

    /// The session is over: it is counted as what it was.
    pub(super) fn end_as_explained(&mut self, upgraded: Moment, ending: Ending) -> Explained {
        let explained = self.explain(upgraded, ending);
        self.end_session(upgraded, explained.key, ending.at);
        explained
    }

    pub(super) fn explain(&self, upgraded: Moment, ending: Ending) -> Explained {
        let by = |initiator, code, abnormal| {
            let key = CloseKey { initiator, code, abnormal, said: ending.said };
            Explained { key, upgraded, from: ending.at, storm: None, is_asked: false }
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
        let look = |storm: &StormRule| match *storm {
            StormRule::ByTarget { at, code: storm_code, all, id }
                if storm_code == code
                    && upgraded < at
                    && at <= closed
                    && (all || closed.since(at) <= STORM_WINDOW) =>
            {
                Some((at, id))
            }
            _ => None,
        };
        let planned = self.rules.storms.iter().rev().find_map(look);
        if self.rules.asked.is_empty() {
            return planned;
        }
        planned.into_iter().chain(self.rules.asked.find_back(look)).max_by_key(|(at, _)| *at)
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
            Some(due) if gives_up => {
                let explained = Explained { key, upgraded, from: due, storm, is_asked };
                let recovery = self.begin_recovery(recovery, explained);
                self.give_up(&recovery)
            }
            Some(due) => {
                let explained = Explained { key, upgraded, from: due, storm, is_asked };
                if is_asked {
                    self.come_back_as_asked(recovery, explained)
                } else {
                    self.come_back(recovery, explained)
                }
            }
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
            return Action::Sleep { until: self.or_leaves(silence.notices) };
        }
        self.samples.push(Sample::Lag(self.now.since(silence.notices)));
        self.count_uptime(silence.upgraded, silence.since);
        let explained = silence.explained();
        self.end_session(silence.upgraded, explained.key, silence.since);
        self.come_back(recovery, explained)
    }

    /// The run ends before a silent client has noticed.
    pub(super) fn end_silence(&mut self, was_ready: bool, silence: Silence) {
        let explained = silence.explained();
        self.end_session(silence.upgraded, explained.key, silence.since);
        if was_ready {
            self.count_disconnect(&explained);
        }
    }

    pub(super) fn end_session(&mut self, upgraded: Moment, key: CloseKey, at: Moment) {
        self.samples.push(Sample::SessionEnd(SessionEnd { key, length: at.since(upgraded) }));
    }

    /// After a session's end: a reconnect begins, or the one under way goes on.
    pub(super) fn come_back(&mut self, recovery: Option<Recovery>, explained: Explained) -> Action {
        let code = explained.key.code;
        let recovery = self.begin_recovery(recovery, explained);
        let renews = |prepare: &PrepareRules| {
            prepare.renew_on_codes.iter().any(|(first, last)| (*first..=*last).contains(&code))
        };
        if self.rules.prepare.as_deref().is_some_and(renews) {
            self.client.use_prepared(0);
        }
        if self.rules.token.as_ref().is_some_and(|token| disconnect_wants_token(token, code)) {
            self.client.token.want(self.now);
        }
        if self.client.is_stopping() {
            return self.finish_unfinished(&recovery);
        }
        if !self.wants_back(code) {
            return self.not_wanted(&recovery);
        }
        if self.rules.reconnect.max_attempts.is_some_and(|most| self.client.tries.count >= most) {
            return self.give_up(&recovery);
        }
        if self.comes_at_once(code) {
            return self.begin_attempt(recovery, self.now);
        }
        self.wait_for_attempt(recovery, None)
    }

    /// After a session that the target asked the client to leave for another one: at once.
    fn come_back_as_asked(&mut self, recovery: Option<Recovery>, explained: Explained) -> Action {
        let recovery = self.begin_recovery(recovery, explained);
        if self.client.is_stopping() {
            return self.finish_unfinished(&recovery);
        }
        self.begin_attempt(recovery, self.now)
    }

    /// The accounts of the way back from a session that has ended. A storm that strikes on the way back begins no new one. A client that was told to
    /// stop before it knew of the end has no time to come back: its way is none.
    fn begin_recovery(&mut self, recovery: Option<Recovery>, explained: Explained) -> Recovery {
        let was_ready = recovery.is_none();
        let from = if self.client.is_stopping() { self.now } else { explained.from };
        let explained = Explained { from, ..explained };
        let mut recovery =
            recovery.unwrap_or_else(|| Recovery::back(from, explained.storm, explained.lost_in()));
        let phase = if was_ready { Phase::Detect } else { Phase::Ready };
        recovery.account(phase, self.now);
        if was_ready {
            self.count_disconnect(&explained);
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
        recovery: &Recovery,
        attempt: Attempt,
        outcome: Outcome,
        token_age: Option<Duration>,
    ) {
        self.end_told(recovery, attempt, (outcome, None), token_age);
    }

    /// An attempt ends without an answer of the service's, of which something is told all the same.
    pub(super) fn end_told(
        &mut self,
        recovery: &Recovery,
        attempt: Attempt,
        (outcome, answer): (Outcome, Option<Box<Answer>>),
        token_age: Option<Duration>,
    ) {
        let latency = self.now.since(attempt.due);
        let end = AttemptEnd { token_age, answer, ..AttemptEnd::plain(recovery.kind, outcome, latency) };
        self.push_failed(recovery, attempt, end);
    }

    /// An attempt failed; on the way back from a loss, that is told of the loss as well.
    fn push_failed(&mut self, recovery: &Recovery, attempt: Attempt, end: AttemptEnd) {
        if let Some(bin) = recovery.lost_in {
            self.samples.push(Life::Failed(bin, Box::new(end.key())).into());
        }
        let (outcome, cause) = (end.outcome, end.cause);
        self.samples.push(Sample::Attempt(end));
        if self.rules.traces.is_some() {
            self.tell_trace(attempt, outcome, cause);
        }
    }

    /// By which trace the service knows an attempt that was told just now.
    pub(super) fn tell_trace(&mut self, attempt: Attempt, outcome: Outcome, cause: Option<Cause>) {
        if let Some(traces) = &self.rules.traces {
            let id = traces.id(self.client.number, attempt.began);
            self.samples.push(Sample::Traced(Box::new(Traced { id, outcome, cause })));
        }
    }

    /// An attempt ends by an answer that is no admission.
    pub(super) fn end_refused(
        &mut self,
        recovery: &Recovery,
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
                _ if self.rules.shows_signature() && carried.is_none() => TokenKnowledge::Sent,
                // What a cookie or a ticket stands for is not known.
                _ if self.rules.token.is_none() && !self.rules.shows_signature() && !self.rules.may_show => {
                    TokenKnowledge::NotSent
                }
                Some(Carried { expired: true, .. }) => TokenKnowledge::Expired,
                Some(Carried { lacks_scope: true, .. }) => TokenKnowledge::LacksScope,
                _ => TokenKnowledge::Sent,
            };
            let found = self.client.history.judge(attribute(evidence, knowledge), carried);
            ground = found.ground;
            found.cause
        });
        let (latency, answer) = (self.now.since(attempt.due), Some(evidence.answer(ground)));
        let end = AttemptEnd { kind: recovery.kind, outcome, cause, answer, latency, token_age };
        let recounts = if cause.is_some() {
            self.client.learn(|history| history.refused(end.key(), carried))
        } else {
            Vec::new()
        };
        self.push_failed(recovery, attempt, end);
        if is_refusal && may_be_the_tokens(evidence) {
            self.client.count_refused();
        }
        if cause.is_some_and(Cause::is_dead_token) {
            self.count(Counter::DeadTokenHandshakes);
        }
        self.recount(recounts, recovery.lost_in);
    }

    /// Attempts are counted otherwise, and what follows from their causes.
    pub(super) fn recount(&mut self, recounts: Vec<Recount>, lost_in: Option<Bin>) {
        if recounts.is_empty() {
            return;
        }
        for recount in recounts {
            let is_dead = |key: &AttemptKey| key.cause.is_some_and(Cause::is_dead_token);
            let dead = Sample::Count(Counter::DeadTokenHandshakes, u64::from(recount.times));
            match (is_dead(&recount.from), is_dead(&recount.to)) {
                (false, true) => self.samples.push(dead),
                (true, false) => self.samples.push(Sample::TakeBack(Box::new(dead))),
                _ => {}
            }
            let recount = Box::new(recount);
            self.samples.extend(lost_in.map(|bin| Life::Recounted(bin, recount.clone()).into()));
            self.samples.push(Sample::Recount(recount));
        }
    }

    /// A row of refusals is over: the client is in, or is done.
    pub(super) fn end_cascade(&mut self) {
        let depth = self.client.take_refused();
        if depth > 0 {
            self.samples.push(Sample::Cascade(depth));
        }
    }

    pub(super) fn give_up(&mut self, recovery: &Recovery) -> Action {
        if let Some(leaves) = self.leave_kept(recovery, true) {
            return leaves;
        }
        self.not_back(recovery, WhyNotBack::GaveUp, self.now);
        self.count(match recovery.kind {
            AttemptKind::First => Counter::FirstGivenUp,
            AttemptKind::Reconnect => Counter::ReconnectsGivenUp,
        });
        Action::Finish(Finish::GaveUp)
    }

    pub(super) fn not_wanted(&mut self, recovery: &Recovery) -> Action {
        if let Some(leaves) = self.leave_kept(recovery, true) {
            return leaves;
        }
        self.not_back(recovery, WhyNotBack::NotWanted, self.now);
        self.count(match recovery.kind {
            AttemptKind::First => Counter::FirstGivenUp,
            AttemptKind::Reconnect => Counter::ReconnectsNotWanted,
        });
        Action::Finish(Finish::NotWanted)
    }

    pub(super) fn finish_unfinished(&mut self, recovery: &Recovery) -> Action {
        if let Some(leaves) = self.leave_kept(recovery, false) {
            return leaves;
        }
        if recovery.kind == AttemptKind::Reconnect && !recovery.overlaps {
            self.unfinished(recovery);
        }
        Action::Finish(Finish::RunEnded)
    }

    /// The client was away when the run ended.
    pub(super) fn unfinished(&mut self, recovery: &Recovery) {
        let (until, sample) = recovery.away(self.client.over.min(self.now));
        self.not_back(recovery, WhyNotBack::RunEnded, until);
        self.count(Counter::ReconnectsUnfinished);
        self.samples.push(Sample::Away(sample));
    }

    /// A client that was lost does not come back.
    fn not_back(&mut self, recovery: &Recovery, why: WhyNotBack, at: Moment) {
        if let Some(lost_in) = recovery.lost_in.filter(|_| self.client.wanted) {
            self.samples.push(Life::NotBack(NotBack { lost_in, at, why }).into());
        }
    }

    /// The client is wanted in no longer; it has a session that was upgraded then, or is out.
    pub(super) fn gone(&mut self, upgraded: Option<Moment>) {
        if self.client.leave_off() {
            self.samples.push(Life::Gone { at: self.now, upgraded }.into());
        }
    }

    /// Whatever is under way is cut off, and its accounts closed.
    pub(super) fn abort(&mut self, state: State) -> Action {
        self.drop_kept();
        let unfinished = match state {
            State::Outside => None,
            State::Waiting { recovery, .. } => Some(recovery),
            State::Token { recovery, attempt, .. } => {
                self.count(Counter::Unsettled);
                self.end_plainly(&recovery, attempt, Outcome::Aborted, None);
                Some(recovery)
            }
            State::Preparing { recovery, attempt } | State::Connecting { recovery, attempt } => {
                self.end_plainly(&recovery, attempt, Outcome::Aborted, None);
                Some(recovery)
            }
            State::Session { entering, timetable } => {
                let recovery = self.settle_or_give_up(entering);
                self.drop_session(timetable.upgraded);
                if recovery.is_none() {
                    self.gone(Some(timetable.upgraded));
                }
                recovery
            }
            State::Leaving { recovery, upgraded, attribution } => {
                let key = self.cut_off_leaving(upgraded, &attribution);
                let Attribution { disconnect, storm, is_asked, .. } = attribution;
                let explained = disconnect.map(|from| Explained { key, upgraded, from, storm, is_asked });
                if recovery.is_none() {
                    explained.iter().for_each(|explained| self.count_disconnect(explained));
                }
                recovery.or(explained.map(|own| Recovery::back(own.from, own.storm, own.lost_in())))
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

    pub(super) fn drop_session(&mut self, upgraded: Moment) -> CloseKey {
        self.count(Counter::Unsettled);
        let key = CloseKey::unsaid(Initiator::Client, ABNORMAL_CLOSURE, Some(Abnormal::Dropped));
        self.end_session(upgraded, key, self.now);
        key
    }

    /// Cut off while it waited for the answer to its close frame: it ends as one whose peer did not answer in time.
    fn cut_off_leaving(&mut self, upgraded: Moment, attribution: &Attribution) -> CloseKey {
        let Attribution { initiator, code, abnormal, .. } = *attribution;
        if abnormal.is_some() {
            return self.drop_session(upgraded);
        }
        self.count(Counter::Unsettled);
        let said = Said::by_client(Word::of(code));
        let key = CloseKey { initiator, code, abnormal: Some(Abnormal::Timeout), said };
        self.end_session(upgraded, key, self.now);
        key
    }

    pub(super) fn count_disconnect(&mut self, explained: &Explained) {
        self.count(Counter::Disconnects);
        self.samples.extend(explained.storm.map(Sample::StormDisconnect));
        // One that has been told off was gone before.
        if self.client.wanted {
            self.samples.push(Life::Out(Box::new(explained.way_out())).into());
        }
    }

    pub(super) fn count(&mut self, counter: Counter) {
        self.samples.push(Sample::Count(counter, 1));
    }
}
