//! Steps of a client whose handshake was answered with 101, until it is settled whether it is in.
//!
//! In: moments, the session's end, what the service said. Out: the attempt's one outcome, and the next action. With `ready`, a client is in at
//! the ready moment. Without it, once the session has lived `session.admission`: most services that browsers use cannot refuse by a status, and do it
//! by a close or a message right after the 101. A refusing close may take `session.refused_within` where nothing was heard: then the admission is
//! taken back.

use crate::clock::Moment;
use crate::sample::{
    ABNORMAL_CLOSURE, AttemptEnd, AttemptKind, Life, NORMAL_CLOSURE, Outcome, Phase, Sample, Spoken, WayIn,
};
use crate::scenario::keys::{Ready, ResetOn};

use super::cause::Evidence;
use super::event::{Action, Ending, EndingHow, Leave};
use super::machine::{State, Step};
use super::recovery::{Admitted, Attribution, Entering, Recovery, Tries};
use super::session::Timetable;

impl Step<'_> {
    /// The upgrade is all that the session needs to be ready: its latency ends here, and counts once the client is in.
    pub(super) fn upgraded_is_ready(&mut self, entering: Box<Entering>, mut timetable: Timetable) -> Action {
        timetable.became_ready(self.rules, timetable.upgraded);
        let admission = self.rules.session.admission;
        if admission.is_zero() {
            return self.verdict_due(Some(entering), timetable, timetable.upgraded);
        }
        timetable.judge_at(timetable.upgraded + admission);
        self.hold(Some(entering), timetable)
    }

    /// What makes the session ready has come.
    pub(super) fn became_ready(&mut self, mut entering: Box<Entering>, mut timetable: Timetable) -> Action {
        entering.recovery.account(Phase::Ready, self.now);
        timetable.became_ready(self.rules, self.now);
        self.admit(&mut entering, timetable.upgraded);
        self.settle(Some(entering));
        self.go_on_in_session(None, timetable)
    }

    /// The session has lived long enough to be looked at; anything was last heard then.
    pub(super) fn verdict_due(
        &mut self,
        entering: Option<Box<Entering>>,
        mut timetable: Timetable,
        heard: Moment,
    ) -> Action {
        let Some(mut entering) = entering else { return self.hold(None, timetable) };
        let upgraded = timetable.upgraded;
        let waits_on = heard <= upgraded && self.now < upgraded + self.rules.session.refused_within;
        // The session before is closed for it: it is not taken back.
        let waits_on = waits_on && !entering.recovery.overlaps;
        if entering.admitted.is_none() {
            self.admit(&mut entering, upgraded);
        }
        if waits_on {
            timetable.judge_at(upgraded + self.rules.session.refused_within);
            return self.go_on_in_session(Some(entering), timetable);
        }
        self.settle(Some(entering));
        self.go_on_in_session(None, timetable)
    }

    fn go_on_in_session(&mut self, entering: Option<Box<Entering>>, timetable: Timetable) -> Action {
        if self.releases_kept() {
            self.client.enter(State::Session { entering, timetable });
            return Action::ReleaseKept;
        }
        if self.client.is_stopping() {
            self.settle(entering);
            return self.leave_at_end(None, timetable.upgraded);
        }
        self.hold(entering, timetable)
    }

    /// The client is in, by an attempt that was answered with 101 then.
    fn admit(&mut self, entering: &mut Entering, upgraded: Moment) {
        let latency = upgraded.since(entering.attempt.due);
        let Entering { recovery, token_age, .. } = &*entering;
        let end =
            AttemptEnd { token_age: *token_age, ..AttemptEnd::plain(recovery.kind, Outcome::Ok, latency) };
        self.samples.push(Sample::Attempt(end));
        if self.rules.traces.is_some() {
            self.tell_trace(entering.attempt, Outcome::Ok, None);
        }
        let way_in = recovery.way_in(upgraded);
        let is_late = way_in.at > self.client.over;
        if recovery.overlaps {
            self.resume_beside();
        } else if is_late && recovery.kind == AttemptKind::Reconnect {
            // When the run ended it was away, as those are whose next attempt was due later. All others leave at that moment: how long it took under that load
            // is no measurement, and as a return it would stand for those who are never seen to come back.
            self.unfinished(recovery);
            self.samples.push(Life::In(WayIn { lost_in: None, ..way_in }).into());
        } else {
            self.samples.push(Sample::Ready(Box::new(recovery.ready_sample(self.rules.mints()))));
            self.samples.push(Life::In(way_in).into());
        }
        entering.let_in(Admitted { tries: self.client.tries, upgraded });
        if matches!(self.rules.reconnect.reset_on, ResetOn::Admitted | ResetOn::Ready) {
            self.client.set_tries(Tries::default());
        }
    }

    /// It is settled that a client is in, if it was let in.
    pub(super) fn settle(&mut self, entering: Option<Box<Entering>>) {
        let Some(entering) = entering.filter(|entering| entering.admitted.is_some()) else { return };
        self.end_cascade();
        let carried = self.carried(entering.attempt.began);
        let recounts = self.client.learn(|history| history.let_in(carried));
        self.recount(recounts, entering.recovery.lost_in);
    }

    /// An admission was none.
    fn take_back(&mut self, entering: &Entering, admitted: Admitted) {
        let Entering { recovery, attempt, token_age, .. } = entering;
        let latency = admitted.upgraded.since(attempt.due);
        let plain = AttemptEnd::plain(recovery.kind, Outcome::Ok, latency);
        let end = Sample::Attempt(AttemptEnd { token_age: *token_age, ..plain });
        let ready = Sample::Ready(Box::new(recovery.ready_sample(self.rules.mints())));
        let way_in = Life::In(recovery.way_in(admitted.upgraded)).into();
        self.samples.extend([end, ready, way_in].map(|sample| Sample::TakeBack(Box::new(sample))));
        self.client.set_tries(admitted.tries);
    }

    /// The client itself ends the session, or is cut off. `Some`: it was not in yet, and nobody knows whether it would have been.
    pub(super) fn settle_or_give_up(&mut self, entering: Option<Box<Entering>>) -> Option<Recovery> {
        let entering = entering?;
        if entering.admitted.is_some() {
            self.settle(Some(entering));
            return None;
        }
        let Entering { mut recovery, attempt, token_age, .. } = *entering;
        self.lose_kept(&mut recovery);
        self.end_plainly(&recovery, attempt, Outcome::Aborted, token_age);
        Some(recovery)
    }

    /// The session ends at the service's wish, or because nothing was heard. `Some`: it was not in yet.
    pub(super) fn settle_unless_entering(
        &mut self,
        entering: Option<Box<Entering>>,
        spoken: Spoken,
    ) -> Option<Recovery> {
        let entering = entering?;
        if entering.admitted.is_some() {
            self.settle(Some(entering));
            return None;
        }
        let evidence =
            if spoken == Spoken::Silence { Evidence::silence() } else { Evidence::of_message(None) };
        Some(self.turned_away(&entering, Outcome::EndedEarly, &evidence))
    }

    /// The session was not ready in time.
    pub(super) fn not_ready(&mut self, entering: Option<Box<Entering>>) -> Option<Recovery> {
        entering.map(|entering| self.turned_away(&entering, Outcome::NotReady, &Evidence::silence()))
    }

    /// The attempt comes to that. Answers with the way back, which goes on.
    fn turned_away(&mut self, entering: &Entering, outcome: Outcome, evidence: &Evidence) -> Recovery {
        let Entering { mut recovery, attempt, token_age, admitted } = *entering;
        if let Some(admitted) = admitted {
            self.take_back(entering, admitted);
        }
        self.lose_kept(&mut recovery);
        let carried = self.carried(attempt.began);
        self.end_refused(&recovery, attempt, outcome, evidence, carried, token_age);
        self.learn_from_refusal(&mut recovery, attempt, evidence);
        recovery
    }

    /// The session is over without this client's doing; anything was last heard at `heard`.
    pub(super) fn session_over(
        &mut self,
        entering: Option<Box<Entering>>,
        upgraded: Moment,
        ending: Ending,
        reason: Option<&str>,
        heard: Moment,
    ) -> Action {
        self.count_uptime(upgraded, ending.at);
        let Some(mut entering) = entering else { return self.disconnected(None, upgraded, ending) };
        let session = &self.rules.session;
        let lived = ending.at.since(upgraded);
        let is_silent = heard <= upgraded;
        let may_be_late = is_silent && lived <= session.refused_within;
        // Beside a session that is kept it would have been let in, and the other closed.
        let has_lived =
            session.ready == Ready::Upgraded && lived >= session.admission && !self.keeps(&entering.recovery);
        let (code, reason) = match ending.how {
            EndingHow::PeerClosed(code) => (code, reason),
            EndingHow::Abnormal(how) => (ABNORMAL_CLOSURE, Some(how.name())),
            EndingHow::Left => (ABNORMAL_CLOSURE, None),
        };
        // What a storm of the scenario explains is no refusal.
        let refuses = matches!(ending.how, EndingHow::PeerClosed(_))
            && session.refuses_by(code)
            && self.storm_behind(upgraded, ending.at, code).is_none()
            && self.event_behind(ending.at).is_none();
        let is_in = entering.admitted.is_some() || has_lived;
        if is_in && !(refuses && may_be_late) {
            if entering.admitted.is_none() {
                self.admit(&mut entering, upgraded);
            }
            self.settle(Some(entering));
            return self.disconnected(None, upgraded, ending);
        }
        let outcome = if refuses { Outcome::RefusedClose } else { Outcome::EndedEarly };
        let evidence = Evidence::of_close(code, reason);
        let recovery = self.turned_away(&entering, outcome, &evidence);
        if evidence.is_named_in(&self.rules.reconnect.give_up_on) {
            return self.give_up_in_session(recovery, upgraded, ending);
        }
        self.disconnected(Some(recovery), upgraded, ending)
    }

    /// A message says that the client may not be here; anything was last heard at `heard`. The client leaves.
    pub(super) fn refused_by_message(
        &mut self,
        entering: Option<Box<Entering>>,
        timetable: Timetable,
        evidence: &Evidence,
        heard: Moment,
    ) -> Action {
        let upgraded = timetable.upgraded;
        let attribution = Attribution::leaving(NORMAL_CLOSURE, self.now);
        let leave = Leave::Close { code: NORMAL_CLOSURE };
        let may_be_late = heard <= upgraded && self.now.since(upgraded) <= self.rules.session.refused_within;
        let Some(entering) = entering.filter(|entering| entering.admitted.is_none() || may_be_late) else {
            return self.leave(None, upgraded, leave, attribution);
        };
        let recovery = self.turned_away(&entering, Outcome::RefusedMessage, evidence);
        let gives_up = evidence.is_named_in(&self.rules.reconnect.give_up_on);
        self.leave(Some(recovery), upgraded, leave, Attribution { gives_up, ..attribution })
    }

    /// Where the policy counts attempts anew after a session of some length: this one was so long.
    pub(super) fn count_uptime(&mut self, upgraded: Moment, until: Moment) {
        if let ResetOn::After(least) = self.rules.reconnect.reset_on
            && until.since(upgraded) >= least
        {
            self.client.set_tries(Tries::default());
        }
    }

    /// A refusal on the session is final.
    fn give_up_in_session(&mut self, recovery: Recovery, upgraded: Moment, ending: Ending) -> Action {
        self.end_as_explained(upgraded, ending);
        self.give_up(&recovery)
    }
}
