//! A client that keeps its session until the next one is ready.
//!
//! In: that a message asks for another session, how the kept one ended. Out: the next action, and the samples of both. While the kept session lasts the
//! client is in: when the next is ready before it ends, nothing was lost; when it ends before, that is the disconnect.

use std::time::Duration;

use crate::clock::Moment;
use crate::sample::{CloseKey, Counter, Initiator, NORMAL_CLOSURE, Phase};
use crate::scenario::keys::Ready;

use super::event::{Action, Ending, EndingHow, Leave};
use super::kept::{Kept, Stage};
use super::machine::{Client, State, Step};
use super::recovery::{Attribution, Explained, Recovery};

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
                let is_judged =
                    self.rules.session.ready == Ready::Upgraded && timetable.upgraded <= ending.at;
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
        *recovery = Recovery { was_refused, ..Recovery::back(from, explained.storm, explained.lost_in()) };
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

#[cfg(test)]
mod tests {
    use crate::clock::Moment;
    use crate::lifecycle::machine::tests::{Bench, marks, ms, rules};
    use crate::lifecycle::{Action, ConnectFailure, Ending, EndingHow, Event, Finish, Leave, Marks, Signs};
    use crate::sample::{Abnormal, AttemptKind, Counter, Initiator, Life, Sample};
    use crate::scenario::keys::{OnReconnect, Ready};
    use std::time::Duration;

    const OVERLAP: Duration = Duration::from_millis(500);

    /// A client that was asked at 100 ms to come back, and connects beside the session that it keeps.
    fn connecting(ready: Ready, most: Option<u32>) -> Bench {
        let mut rules = rules(OnReconnect::Reuse);
        rules.session.ready = ready;
        rules.reconnect.max_attempts = most;
        let mut bench = Bench::new(rules);
        bench.step(ms(0), Event::Begin { due: ms(0), leaves: Moment::NEVER });
        bench.token_at(ms(0));
        bench.step(ms(0), Event::Connected(marks(ms(0), ms(0))));
        bench.step(ms(0), Event::BecameReady);
        bench.samples.clear();
        let asked = bench.step(ms(100), Event::Asked { renew: false, overlap: Some(OVERLAP) });
        assert_eq!(asked, Action::Keep { until: ms(600) });
        assert_eq!(bench.step(ms(100), Event::Sent), Action::Connect);
        bench
    }

    fn kept_ended(at: Moment, how: EndingHow, closed: bool) -> Event {
        Event::KeptEnded { ending: Ending::new(at, how), closed }
    }

    fn fails(bench: &mut Bench, now: Moment) -> Action {
        let marks = Marks { began: now, ended: now, ..Marks::default() };
        bench.step(now, Event::ConnectFailed { marks, failure: ConnectFailure::Timeout })
    }

    fn count(bench: &Bench, counter: Counter) -> u64 {
        let of = |sample: &Sample| match sample {
            Sample::Count(own, n) if *own == counter => *n,
            _ => 0,
        };
        bench.samples.iter().map(of).sum()
    }

    fn ends(bench: &Bench) -> Vec<(Initiator, u16, u128)> {
        let of = |sample: &Sample| match sample {
            Sample::SessionEnd(end) => Some((end.key.initiator, end.key.code, end.length.as_millis())),
            _ => None,
        };
        bench.samples.iter().filter_map(of).collect()
    }

    fn latencies(bench: &Bench) -> Vec<u128> {
        let of = |sample: &Sample| match sample {
            Sample::Ready(ready) if ready.kind == AttemptKind::Reconnect => Some(ready.latency.as_millis()),
            _ => None,
        };
        bench.samples.iter().filter_map(of).collect()
    }

    fn was_away(bench: &Bench) -> bool {
        bench
            .samples
            .iter()
            .any(|sample| matches!(sample, Sample::Life(life) if matches!(life, Life::Out(_))))
    }

    #[test]
    fn a_client_whose_next_session_is_ready_in_time_was_never_away() {
        let mut bench = connecting(Ready::Upgraded, None);
        assert!(matches!(fails(&mut bench, ms(110)), Action::Sleep { .. }), "it is tried again");
        assert_eq!(bench.step(ms(120), Event::Due(Signs::default())), Action::Connect);
        let ready = bench.step(ms(150), Event::Connected(marks(ms(120), ms(150))));
        assert_eq!(ready, Action::ReleaseKept);
        assert!(matches!(bench.step(ms(150), Event::Sent), Action::Hold { .. }));
        let ended = bench.step(ms(155), kept_ended(ms(150), EndingHow::Left, true));
        assert!(matches!(ended, Action::Hold { .. }), "{ended:?}");
        assert_eq!(ends(&bench), [(Initiator::Client, 1000, 150)]);
        assert_eq!(count(&bench, Counter::ResumesOverlapped), 1);
        assert_eq!(count(&bench, Counter::Disconnects), 0);
        assert!(latencies(&bench).is_empty() && !was_away(&bench));
        assert_eq!(bench.outcomes().len(), 2);
        bench.samples.clear();
        bench.close_by_target(ms(300), 1001);
        assert_eq!(ends(&bench), [(Initiator::Target, 1001, 150)], "the next session ends for itself");
        assert_eq!(count(&bench, Counter::Disconnects), 1);
    }

    #[test]
    fn a_kept_session_that_ends_before_is_the_disconnect() {
        let ways = [
            (EndingHow::PeerClosed(4004), false, (Initiator::Target, 4004)),
            (EndingHow::Abnormal(Abnormal::Rst), false, (Initiator::Network, 1006)),
            (EndingHow::Left, true, (Initiator::Client, 1000)),
        ];
        for (how, closed, (initiator, code)) in ways {
            let mut bench = connecting(Ready::FirstMessage, None);
            assert_eq!(bench.step(ms(200), kept_ended(ms(200), how, closed)), Action::GoOn);
            assert!(was_away(&bench));
            bench.step(ms(210), Event::Connected(marks(ms(100), ms(210))));
            bench.step(ms(260), Event::BecameReady);
            assert_eq!(latencies(&bench), [60], "it was away from the end of the kept session on");
            assert_eq!(ends(&bench), [(initiator, code, 200)]);
            assert_eq!(count(&bench, Counter::Disconnects), 1);
            assert_eq!(count(&bench, Counter::ResumesOverlapped), 0);
        }
    }

    #[test]
    fn a_client_that_gives_up_its_next_session_leaves_the_one_that_it_kept() {
        let mut bench = connecting(Ready::Upgraded, Some(1));
        assert_eq!(fails(&mut bench, ms(150)), Action::Leave(Leave::Close { code: 1000 }));
        assert_eq!(count(&bench, Counter::Disconnects), 0, "it is in until then");
        let left = bench.step(ms(151), Event::Ended(Ending::new(ms(150), EndingHow::Left)));
        assert_eq!(left, Action::Finish(Finish::GaveUp));
        assert_eq!(count(&bench, Counter::Disconnects), 1);
        assert_eq!(count(&bench, Counter::ReconnectsGivenUp), 1);
        assert_eq!(ends(&bench), [(Initiator::Client, 1000, 150)]);
    }

    #[test]
    fn a_run_that_ends_finds_the_client_in_by_the_session_that_it_keeps() {
        let mut bench = connecting(Ready::Upgraded, None);
        fails(&mut bench, ms(150));
        assert_eq!(bench.step(ms(155), Event::Stop), Action::Leave(Leave::Close { code: 1000 }));
        let left = bench.step(ms(156), Event::Ended(Ending::new(ms(155), EndingHow::Left)));
        assert_eq!(left, Action::Finish(Finish::RunEnded));
        assert_eq!(count(&bench, Counter::Disconnects) + count(&bench, Counter::ReconnectsUnfinished), 0);
        assert_eq!(ends(&bench), [(Initiator::Client, 1000, 155)]);
    }
}
