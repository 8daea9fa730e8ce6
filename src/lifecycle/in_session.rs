//! Steps of a client that has a session.
//!
//! In: events of the session and of the clock. Out: the next action; nothing here ends an attempt.

use crate::clock::Moment;
use crate::conversation::SayKey;
use crate::sample::{
    ABNORMAL_CLOSURE, Abnormal, Counter, Initiator, NORMAL_CLOSURE, Sample, Spoken, StormId,
};
use crate::scenario::keys::{DisconnectHow, Ready};

use super::event::{Action, Event, Leave, TokenFacts};
use super::machine::{State, Step};
use super::recovery::{Attribution, Entering, Recovery, Silence};
use super::session::{DueThing, Timetable};
use super::token::refresh_retry;

impl Step<'_> {
    pub(super) fn in_session(
        &mut self,
        entering: Option<Box<Entering>>,
        mut timetable: Timetable,
        event: Event,
    ) -> Action {
        match event {
            Event::BecameReady => match entering {
                Some(entering) if self.rules.session.ready != Ready::Upgraded => {
                    self.became_ready(entering, timetable)
                }
                entering => self.hold(entering, timetable),
            },
            Event::Due(signs) => match timetable.take_due(self.rules, self.now, signs) {
                None => self.hold(entering, timetable),
                Some((thing, due)) => self.do_due(entering, timetable, thing, (due, signs.heard)),
            },
            Event::Sent => self.hold(entering, timetable),
            Event::TokenReady { facts, fetched } => {
                self.refreshed(&mut timetable, facts, fetched);
                if self.rules.session.refresh_message.is_some() {
                    self.client.enter(State::Session { entering, timetable });
                    return Action::Say(SayKey::RefreshMessage);
                }
                self.hold(entering, timetable)
            }
            Event::Asked { renew, overlap } => {
                if renew {
                    self.client.use_prepared(0);
                }
                let is_in = entering.as_ref().is_none_or(|entering| entering.admitted.is_some());
                if let Some(overlap) = overlap.filter(|_| is_in && self.may_keep()) {
                    self.settle(entering);
                    return self.keep(timetable.upgraded, overlap);
                }
                let recovery = self.settle_unless_entering(entering, Spoken::Message);
                self.leave_as_asked(recovery, timetable.upgraded)
            }
            Event::Heartbeat { every } => {
                timetable.begin_heartbeat(self.now, every, &mut self.client.draws);
                self.hold(entering, timetable)
            }
            Event::TokenFailed { .. } => {
                self.refresh_failed(&mut timetable);
                self.hold(entering, timetable)
            }
            Event::Refused { evidence, heard } => {
                self.refused_by_message(entering, timetable, &evidence, heard)
            }
            Event::Ended(ending) => {
                self.session_over(entering, timetable.upgraded, ending, None, timetable.upgraded)
            }
            Event::Closed { ending, reason, heard } => {
                self.session_over(entering, timetable.upgraded, ending, reason.as_deref(), heard)
            }
            // Who is on the way in goes on to the end of it.
            Event::Stop if entering.as_ref().is_some_and(|entering| entering.admitted.is_none()) => {
                self.hold(entering, timetable)
            }
            Event::Stop => {
                self.settle(entering);
                self.leave_at_end(None, timetable.upgraded)
            }
            _ => self.abort(State::Session { entering, timetable }),
        }
    }

    pub(super) fn hold(&mut self, entering: Option<Box<Entering>>, mut timetable: Timetable) -> Action {
        if !self.rules.asked.is_empty() {
            timetable.look_for_asked(self.rules, self.client.number);
        }
        let until = timetable.next_due();
        let is_entering = entering.as_ref().is_some_and(|entering| entering.admitted.is_none());
        let until = if is_entering { until } else { self.or_leaves(until) };
        let awaiting_ready = is_entering && self.rules.session.ready != Ready::Upgraded;
        self.client.enter(State::Session { entering, timetable });
        Action::Hold { until, awaiting_ready, entering: is_entering }
    }

    pub(super) fn do_due(
        &mut self,
        entering: Option<Box<Entering>>,
        timetable: Timetable,
        thing: DueThing,
        (due, heard): (Moment, Moment),
    ) -> Action {
        if thing != DueThing::Verdict {
            // Of a verdict nothing depends on its being in time.
            self.samples.push(Sample::Lag(self.now.since(due)));
        }
        let upgraded = timetable.upgraded;
        let action = match thing {
            DueThing::Ping => Action::Ping,
            DueThing::Say(key) => Action::Say(key),
            DueThing::Refresh => Action::StartRefresh { not_before: self.now, valid_until: Moment::ZERO },
            DueThing::Verdict => return self.verdict_due(entering, timetable, heard),
            DueThing::Storm(storm, how) => {
                let recovery = self.settle_or_give_up(entering);
                return self.leave_how(recovery, timetable, how, Some(storm), due);
            }
            DueThing::Leave(how) => {
                let recovery = self.settle_or_give_up(entering);
                return self.leave_how(recovery, timetable, how, None, due);
            }
            DueThing::ReadyTimeout => {
                self.count(Counter::ReadyTimeouts);
                let recovery = self.not_ready(entering);
                let how = DisconnectHow::Close { code: NORMAL_CLOSURE };
                return self.leave_how(recovery, timetable, how, None, due);
            }
            // The peer may have been gone since it was last heard of: that is when the outage began.
            DueThing::Dead { heard } => {
                let attribution = Attribution {
                    initiator: Initiator::Network,
                    code: ABNORMAL_CLOSURE,
                    abnormal: Some(Abnormal::Timeout),
                    disconnect: Some(heard),
                    storm: None,
                    is_asked: false,
                    gives_up: false,
                };
                self.count(Counter::Unsettled);
                let recovery = self.settle_unless_entering(entering, Spoken::Silence);
                return self.leave(recovery, upgraded, Leave::Abandon, attribution);
            }
        };
        self.client.enter(State::Session { entering, timetable });
        action
    }

    /// Leaves in the way that the scenario wants, or a storm.
    pub(super) fn leave_how(
        &mut self,
        recovery: Option<Recovery>,
        timetable: Timetable,
        how: DisconnectHow,
        storm: Option<StormId>,
        due: Moment,
    ) -> Action {
        let upgraded = timetable.upgraded;
        let initiator = if storm.is_some() { Initiator::Storm } else { Initiator::Client };
        let dropped = Attribution {
            initiator,
            code: ABNORMAL_CLOSURE,
            abnormal: Some(Abnormal::Dropped),
            disconnect: Some(due),
            storm,
            is_asked: false,
            gives_up: false,
        };
        match how {
            DisconnectHow::Close { code } => {
                let attribution = Attribution { code, abnormal: None, ..dropped };
                self.leave(recovery, upgraded, Leave::Close { code }, attribution)
            }
            DisconnectHow::Reset => self.leave(recovery, upgraded, Leave::Reset, dropped),
            DisconnectHow::HalfOpen => {
                // What becomes of the silent connection at the target, and when, the client cannot know.
                self.count(Counter::Unsettled);
                let notices = timetable.notices_silence(self.rules, due);
                let silence = Silence { upgraded, since: due, initiator, storm, notices };
                self.client.enter(State::Silent { recovery, silence });
                Action::Leave(Leave::FallSilent)
            }
        }
    }

    pub(super) fn leave(
        &mut self,
        recovery: Option<Recovery>,
        upgraded: Moment,
        how: Leave,
        attribution: Attribution,
    ) -> Action {
        self.client.enter(State::Leaving { recovery, upgraded, attribution });
        Action::Leave(how)
    }

    /// A message asks for another session: an orderly goodbye, and back at once.
    fn leave_as_asked(&mut self, recovery: Option<Recovery>, upgraded: Moment) -> Action {
        let attribution = Attribution {
            initiator: Initiator::Client,
            code: NORMAL_CLOSURE,
            abnormal: None,
            disconnect: Some(self.now),
            storm: None,
            is_asked: true,
            gives_up: false,
        };
        self.leave(recovery, upgraded, Leave::Close { code: NORMAL_CLOSURE }, attribution)
    }

    /// The run ends: an orderly goodbye, which is no disconnect.
    pub(super) fn leave_at_end(&mut self, recovery: Option<Recovery>, upgraded: Moment) -> Action {
        self.gone(Some(upgraded));
        let attribution = Attribution {
            initiator: Initiator::Client,
            code: NORMAL_CLOSURE,
            abnormal: None,
            disconnect: None,
            storm: None,
            is_asked: false,
            gives_up: false,
        };
        self.leave(recovery, upgraded, Leave::Close { code: NORMAL_CLOSURE }, attribution)
    }

    pub(super) fn refreshed(&mut self, timetable: &mut Timetable, facts: TokenFacts, fetched: bool) {
        self.take_token(facts, fetched);
        let super::machine::Client { token: state, draws, .. } = &mut *self.client;
        let due = self.rules.token.as_ref().and_then(|token| state.refresh_due(token, draws));
        timetable.refresh_at(due);
    }

    pub(super) fn refresh_failed(&mut self, timetable: &mut Timetable) {
        self.count(Counter::TokenFailures);
        timetable.refresh_at(self.rules.token.as_ref().map(|token| self.now + refresh_retry(token)));
    }
}
