//! Steps of a client that has a session.
//!
//! In: events of the session and of the clock. Out: the next action; nothing here ends an attempt.

use crate::clock::Moment;
use crate::sample::{Abnormal, Counter, Initiator, Phase, Sample, StormId};
use crate::scenario::keys::{DisconnectHow, Ready};

use super::event::{Action, Event, Leave, TokenFacts};
use super::machine::{ABNORMAL_CLOSURE, NORMAL_CLOSURE, State, Step};
use super::recovery::{Attribution, Recovery, Silence};
use super::session::{DueThing, Timetable};
use super::token::refresh_retry;

impl Step<'_> {
    pub(super) fn in_session(
        &mut self,
        recovery: Option<Recovery>,
        mut timetable: Timetable,
        event: &Event,
    ) -> Action {
        match (event, recovery) {
            (Event::BecameReady, Some(recovery)) => self.became_ready(recovery, timetable),
            (Event::Due(signs), _) => match timetable.take_due(self.rules, self.now, *signs) {
                None => self.hold(recovery, timetable),
                Some((thing, due)) => self.do_due(recovery, timetable, thing, due),
            },
            (Event::Sent | Event::BecameReady, _) => self.hold(recovery, timetable),
            (Event::TokenReady { facts, fetched }, _) => {
                self.refreshed(&mut timetable, *facts, *fetched);
                if self.rules.session.refresh_message.is_some() {
                    self.client.enter(State::Session { recovery, timetable });
                    return Action::SendRefreshed;
                }
                self.hold(recovery, timetable)
            }
            (Event::Asked { renew }, _) => {
                if *renew {
                    self.client.use_prepared(0);
                }
                self.leave_as_asked(recovery, timetable.upgraded)
            }
            (Event::Heartbeat { every }, _) => {
                timetable.begin_heartbeat(self.now, *every, &mut self.client.draws);
                self.hold(recovery, timetable)
            }
            (Event::TokenFailed { .. }, _) => {
                self.refresh_failed(&mut timetable);
                self.hold(recovery, timetable)
            }
            (Event::Ended(ending), _) => self.disconnected(recovery, timetable.upgraded, *ending),
            (Event::Stop, _) => self.leave_at_end(recovery, timetable.upgraded),
            _ => self.abort(&State::Session { recovery, timetable }),
        }
    }

    pub(super) fn became_ready(&mut self, mut recovery: Recovery, mut timetable: Timetable) -> Action {
        let ready = if self.rules.session.ready == Ready::Upgraded { timetable.upgraded } else { self.now };
        recovery.account(Phase::Ready, ready);
        self.samples.push(Sample::Ready(Box::new(recovery.ready_sample())));
        timetable.became_ready(self.rules, ready);
        if self.client.stopping {
            return self.leave_at_end(None, timetable.upgraded);
        }
        self.hold(None, timetable)
    }

    pub(super) fn hold(&mut self, recovery: Option<Recovery>, timetable: Timetable) -> Action {
        let action = Action::Hold { until: timetable.next_due(), awaiting_ready: recovery.is_some() };
        self.client.enter(State::Session { recovery, timetable });
        action
    }

    pub(super) fn do_due(
        &mut self,
        recovery: Option<Recovery>,
        timetable: Timetable,
        thing: DueThing,
        due: Moment,
    ) -> Action {
        self.samples.push(Sample::Lag(self.now.since(due)));
        let upgraded = timetable.upgraded;
        match thing {
            DueThing::Ping => {
                self.client.enter(State::Session { recovery, timetable });
                Action::Ping
            }
            DueThing::KeepAliveText => {
                self.client.enter(State::Session { recovery, timetable });
                Action::SendKeepAlive
            }
            DueThing::Heartbeat => {
                self.client.enter(State::Session { recovery, timetable });
                Action::SendHeartbeat
            }
            DueThing::Message => {
                self.client.enter(State::Session { recovery, timetable });
                Action::SendMessage
            }
            DueThing::Refresh => {
                self.client.enter(State::Session { recovery, timetable });
                Action::StartRefresh { not_before: self.now, valid_until: Moment::ZERO }
            }
            DueThing::Storm(storm, how) => self.leave_how(recovery, timetable, how, Some(storm), due),
            DueThing::Leave(how) => self.leave_how(recovery, timetable, how, None, due),
            DueThing::ReadyTimeout => {
                self.count(Counter::ReadyTimeouts);
                let how = DisconnectHow::Close { code: NORMAL_CLOSURE };
                self.leave_how(recovery, timetable, how, None, due)
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
                };
                self.count(Counter::Unsettled);
                self.leave(recovery, upgraded, Leave::Abandon, attribution)
            }
        }
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
        };
        self.leave(recovery, upgraded, Leave::Close { code: NORMAL_CLOSURE }, attribution)
    }

    /// The run ends: an orderly goodbye, which is no disconnect.
    pub(super) fn leave_at_end(&mut self, recovery: Option<Recovery>, upgraded: Moment) -> Action {
        let attribution = Attribution {
            initiator: Initiator::Client,
            code: NORMAL_CLOSURE,
            abnormal: None,
            disconnect: None,
            storm: None,
            is_asked: false,
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
