//! The state machine of a virtual client.
//!
//! In: events, each with the moment at which it happened. Out: for each event exactly one action, and the samples
//! of what it decided. What always holds, whatever the order of events: each attempt gets exactly one
//! outcome; each session that began ends once; the phases of a reconnect add up to its latency; after
//! [`Action::Finish`] there is nothing more.

use std::time::Duration;

use crate::clock::Moment;
use crate::random::{Draws, Purpose};
use crate::sample::{
    Abnormal, AttemptEnd, AttemptKind, Cause, Counter, Initiator, Outcome, Phase, Phases, ReadySample,
    Sample, SessionEnd,
};
use crate::scenario::model::{DisconnectHow, Ready};

use super::backoff::next_wait;
use super::cause::{TokenKnowledge, attribute};
use super::event::{
    Action, ConnectFailure, Ending, EndingHow, Event, Finish, Leave, Marks, Signs, TokenFacts, TokenFailure,
};
use super::rules::{GroupRules, StormRule};
use super::session::{DueThing, Timetable};
use super::token::{TokenNeed, TokenState, disconnect_wants_token, refresh_retry};

/// A close by the target is put down to a storm only this long after it, where the storm did not strike everyone.
const STORM_WINDOW: Duration = Duration::from_secs(2);
/// How often an attempt asks for a token at most.
const TOKEN_ASKS: u8 = 3;
/// Longest `Retry-After` that is obeyed.
const RETRY_AFTER_CAP: Duration = Duration::from_secs(60 * 60);
/// The code with which a client leaves when the run ends.
const NORMAL_CLOSURE: u16 = 1000;
/// The code of a session that ends without a close frame (RFC 6455 §7.1.5).
const ABNORMAL_CLOSURE: u16 = 1006;

/// A virtual client.
#[derive(Debug, Clone)]
pub struct Client {
    number: u32,
    draws: Draws,
    token: TokenState,
    stopping: bool,
    state: State,
}

/// Where a client is in its life.
#[derive(Debug, Clone)]
enum State {
    /// Nothing has happened yet, or everything has.
    Outside,
    /// Waiting for an attempt to be due.
    Waiting { recovery: Recovery, due: Moment, since: Moment },
    /// Getting a token for an attempt.
    Token { recovery: Recovery, attempt: Attempt, asked: u8 },
    /// Connecting.
    Connecting { recovery: Recovery, attempt: Attempt },
    /// Upgraded, not yet ready.
    Readying { recovery: Recovery, timetable: Timetable },
    /// Ready.
    Session { timetable: Timetable },
    /// Ending the session.
    Leaving { recovery: Option<Recovery>, upgraded: Moment, attribution: Attribution },
    /// Fallen silent; will notice by itself.
    Silent { recovery: Option<Recovery>, silence: Silence },
}

/// A client that has fallen silent.
#[derive(Debug, Clone, Copy)]
struct Silence {
    upgraded: Moment,
    since: Moment,
    initiator: Initiator,
    notices: Moment,
}

/// The way from a disconnect (or the due start) to the next ready session.
#[derive(Debug, Clone, Copy)]
struct Recovery {
    kind: AttemptKind,
    /// Up to where the time since the intended start is accounted for in `phases`.
    accounted: Moment,
    /// The generator's own lateness on the way.
    lag: Duration,
    phases: Phases,
    /// Attempts that have ended.
    attempts: u32,
    previous_wait: Duration,
}

/// One attempt under way.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    due: Moment,
    began: Moment,
}

/// Whose doing an end is that the client itself carries out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Attribution {
    initiator: Initiator,
    code: u16,
    abnormal: Option<Abnormal>,
    /// When the disconnect was due; `None` where it is none (the run ends).
    disconnect: Option<Moment>,
}

impl Recovery {
    fn new(kind: AttemptKind, from: Moment) -> Self {
        Self {
            kind,
            accounted: from,
            lag: Duration::ZERO,
            phases: Phases::default(),
            attempts: 0,
            previous_wait: Duration::ZERO,
        }
    }

    /// Puts the time since what is accounted for down to `phase`.
    fn account(&mut self, phase: Phase, until: Moment) {
        self.phases.add(phase, until.since(self.accounted));
        self.accounted = self.accounted.max(until);
    }

    /// Puts the stages of a connection down to their phases.
    fn account_marks(&mut self, marks: &Marks) {
        let stages = [(Phase::Dns, marks.dns), (Phase::Tcp, marks.tcp), (Phase::Tls, marks.tls)];
        for (phase, mark) in stages {
            match mark {
                Some(reached) => self.account(phase, reached),
                None => return self.account(phase, marks.ended),
            }
        }
        self.account(Phase::Upgrade, marks.ended);
    }

    fn ready_sample(&self) -> ReadySample {
        let latency = self.phases.total();
        let own = self.phases.get(Phase::Detect) + self.lag;
        ReadySample {
            kind: self.kind,
            latency,
            service_time: latency.saturating_sub(own),
            phases: self.phases,
        }
    }
}

impl Client {
    /// Client `number` of the run, whose random stream depends on the seed and that number alone.
    #[must_use]
    pub fn new(seed: u64, number: u32) -> Self {
        Self {
            number,
            draws: Draws::new(seed, Purpose::Lifecycle, number),
            token: TokenState::default(),
            stopping: false,
            state: State::Outside,
        }
    }

    /// From now on the client begins no new attempt; what is under way goes on to its end.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// Takes an event that happened at `now`; answers with what to do next and appends to `samples`.
    ///
    /// An event that the action before did not announce is taken for [`Event::Abort`]: the client ends, and its accounts
    /// close.
    pub fn step(
        &mut self,
        rules: &GroupRules,
        now: Moment,
        event: Event,
        samples: &mut Vec<Sample>,
    ) -> Action {
        if event == Event::Stop {
            self.stopping = true;
        }
        let state = std::mem::replace(&mut self.state, State::Outside);
        let mut step = Step { client: self, rules, now, samples };
        step.take(state, event)
    }
}

/// One step: the client, and what it may look at.
struct Step<'a> {
    client: &'a mut Client,
    rules: &'a GroupRules,
    now: Moment,
    samples: &'a mut Vec<Sample>,
}

impl Step<'_> {
    fn take(&mut self, state: State, event: Event) -> Action {
        match (state, event) {
            (State::Outside, Event::Begin { due }) => self.begin(due),
            (State::Waiting { recovery, due, since }, Event::Due(_)) => self.wake(recovery, due, since),
            (State::Waiting { recovery, .. }, Event::Stop) => self.finish_unfinished(recovery.kind),
            (State::Token { recovery, attempt, asked }, Event::TokenReady { facts, fetched }) => {
                self.take_token(facts, fetched);
                self.go_on_with_token(recovery, attempt, if fetched { TOKEN_ASKS } else { asked })
            }
            (State::Token { recovery, attempt, .. }, Event::TokenFailed { failure, retry_after }) => {
                self.token_failed(recovery, attempt, failure, retry_after)
            }
            (State::Connecting { recovery, attempt }, Event::Connected(marks)) => {
                self.connected(recovery, attempt, &marks)
            }
            (State::Connecting { recovery, attempt }, Event::ConnectFailed { marks, failure }) => {
                self.connect_failed(recovery, attempt, &marks, &failure)
            }
            (State::Readying { recovery, timetable }, event) => {
                self.while_readying(recovery, timetable, event)
            }
            (State::Session { timetable }, event) => self.in_session(timetable, event),
            (State::Leaving { recovery, upgraded, attribution }, Event::Ended(ending)) => {
                self.left(recovery, upgraded, attribution, ending)
            }
            (State::Silent { recovery, silence }, Event::Due(_)) => self.noticed_silence(recovery, silence),
            (State::Silent { recovery, silence }, Event::Stop) => {
                self.end_silence(recovery.is_none(), silence);
                self.finish_unfinished(recovery.map_or(AttemptKind::Reconnect, |recovery| recovery.kind))
            }
            (state, _) => self.abort(state),
        }
    }

    // Towards a session.

    fn begin(&mut self, due: Moment) -> Action {
        self.count(Counter::ClientsStarted);
        self.begin_attempt(Recovery::new(AttemptKind::First, due), due)
    }

    fn wake(&mut self, mut recovery: Recovery, due: Moment, since: Moment) -> Action {
        if self.now < due {
            self.client.state = State::Waiting { recovery, due, since };
            return Action::Sleep { until: due };
        }
        recovery.account(Phase::Backoff, self.now);
        self.begin_attempt(recovery, due)
    }

    fn begin_attempt(&mut self, mut recovery: Recovery, due: Moment) -> Action {
        if self.client.stopping {
            return self.finish_unfinished(recovery.kind);
        }
        let lag = self.now.since(due);
        self.samples.push(Sample::Lag(lag));
        recovery.lag += lag;
        // A late start belongs to the wait for it, also where no backoff was due.
        recovery.account(Phase::Backoff, self.now);
        self.go_on_with_token(recovery, Attempt { due, began: self.now }, 0)
    }

    /// Asks for a token if the attempt still needs one, else connects. A token that came may fall short (it was
    /// another's, or a refresh that had been under way): then it is asked for again, but its own request settles it.
    fn go_on_with_token(&mut self, mut recovery: Recovery, attempt: Attempt, asked: u8) -> Action {
        let need = match &self.rules.token {
            Some(token) if asked < TOKEN_ASKS => {
                self.client.token.need(token, recovery.kind, attempt.began, asked == 0)
            }
            _ => None,
        };
        if let Some(TokenNeed { not_before, valid_until }) = need {
            self.client.state = State::Token { recovery, attempt, asked: asked + 1 };
            return Action::FetchToken { not_before, valid_until };
        }
        recovery.account(Phase::Token, self.now);
        self.client.state = State::Connecting { recovery, attempt };
        Action::Connect
    }

    fn take_token(&mut self, facts: TokenFacts, fetched: bool) {
        if fetched {
            self.count(Counter::TokensFetched);
        }
        self.client.token.take(facts);
    }

    fn token_failed(
        &mut self,
        mut recovery: Recovery,
        attempt: Attempt,
        failure: TokenFailure,
        retry_after: Option<Duration>,
    ) -> Action {
        self.count(Counter::TokenFailures);
        recovery.account(Phase::Token, self.now);
        self.end_attempt(recovery.kind, attempt, failure.outcome(), None);
        self.next_attempt(recovery, retry_after)
    }

    fn connected(&mut self, mut recovery: Recovery, attempt: Attempt, marks: &Marks) -> Action {
        self.count(Counter::TcpConnections);
        recovery.account_marks(marks);
        self.end_attempt(recovery.kind, attempt, Outcome::Ok, None);
        let refresh = self.rules.token.as_ref().and_then(|token| self.client.token.refresh_due(token));
        let timetable = Timetable::new(self.rules, self.client.number, marks.ended, refresh);
        if self.rules.session.ready == Ready::Upgraded {
            return self.became_ready(recovery, timetable);
        }
        if self.client.stopping {
            return self.leave_at_end(Some(recovery), timetable.upgraded);
        }
        self.hold_readying(recovery, timetable)
    }

    fn connect_failed(
        &mut self,
        mut recovery: Recovery,
        attempt: Attempt,
        marks: &Marks,
        failure: &ConnectFailure,
    ) -> Action {
        if marks.tcp.is_some() {
            self.count(Counter::TcpConnections);
        }
        recovery.account_marks(marks);
        let outcome = failure.outcome();
        let ConnectFailure::Http(evidence) = failure else {
            self.end_attempt(recovery.kind, attempt, outcome, None);
            return self.next_attempt(recovery, None);
        };
        let attributable = matches!(outcome, Outcome::Http401 | Outcome::Http403);
        let cause = attributable.then(|| attribute(evidence, self.token_knowledge(marks)));
        self.end_attempt(recovery.kind, attempt, outcome, cause);
        if self.rules.reconnect.refetch_on.contains(&evidence.status) {
            self.client.token.wanted_since = Some(self.now);
        }
        if self.rules.reconnect.give_up_on.contains(&evidence.status) {
            return self.give_up(recovery.kind);
        }
        self.next_attempt(recovery, evidence.retry_after)
    }

    fn token_knowledge(&self, marks: &Marks) -> TokenKnowledge {
        if self.rules.token.is_none() {
            return TokenKnowledge::NotSent;
        }
        let sent = marks.tls.unwrap_or(marks.ended);
        match self.client.token.facts {
            Some(facts) if facts.expires <= sent => TokenKnowledge::Expired,
            _ => TokenKnowledge::Sent,
        }
    }

    /// After a failed attempt: wait for the next, or give up.
    fn next_attempt(&mut self, mut recovery: Recovery, retry_after: Option<Duration>) -> Action {
        recovery.attempts += 1;
        if self.rules.reconnect.max_attempts.is_some_and(|most| recovery.attempts >= most) {
            return self.give_up(recovery.kind);
        }
        self.wait_for_attempt(recovery, retry_after)
    }

    fn wait_for_attempt(&mut self, mut recovery: Recovery, retry_after: Option<Duration>) -> Action {
        let backoff = &self.rules.reconnect.backoff;
        let wait = next_wait(backoff, recovery.attempts, recovery.previous_wait, &mut self.client.draws);
        recovery.previous_wait = wait;
        let asked = retry_after.filter(|_| self.rules.reconnect.honour_retry_after).unwrap_or_default();
        let wait = wait.max(asked.min(RETRY_AFTER_CAP));
        let due = self.now + wait;
        if wait.is_zero() {
            return self.begin_attempt(recovery, due);
        }
        if self.client.stopping {
            return self.finish_unfinished(recovery.kind);
        }
        self.client.state = State::Waiting { recovery, due, since: self.now };
        Action::Sleep { until: due }
    }

    // In a session.

    fn while_readying(&mut self, recovery: Recovery, mut timetable: Timetable, event: Event) -> Action {
        match event {
            Event::BecameReady => self.became_ready(recovery, timetable),
            Event::Due(signs) => match timetable.take_due(self.rules, self.now, signs) {
                None => self.hold_readying(recovery, timetable),
                Some((thing, due)) => self.do_due(Some(recovery), timetable, thing, due),
            },
            Event::Sent => self.hold_readying(recovery, timetable),
            Event::TokenReady { facts, fetched } => {
                self.refreshed(&mut timetable, facts, fetched);
                self.hold_readying(recovery, timetable)
            }
            Event::TokenFailed { .. } => {
                self.refresh_failed(&mut timetable);
                self.hold_readying(recovery, timetable)
            }
            Event::Ended(ending) => self.disconnected(Some(recovery), timetable.upgraded, ending),
            Event::Stop => self.leave_at_end(Some(recovery), timetable.upgraded),
            _ => self.abort(State::Readying { recovery, timetable }),
        }
    }

    fn in_session(&mut self, mut timetable: Timetable, event: Event) -> Action {
        match event {
            Event::Due(signs) => match timetable.take_due(self.rules, self.now, signs) {
                None => self.hold(timetable),
                Some((thing, due)) => self.do_due(None, timetable, thing, due),
            },
            Event::Sent | Event::BecameReady => self.hold(timetable),
            Event::TokenReady { facts, fetched } => {
                self.refreshed(&mut timetable, facts, fetched);
                self.hold(timetable)
            }
            Event::TokenFailed { .. } => {
                self.refresh_failed(&mut timetable);
                self.hold(timetable)
            }
            Event::Ended(ending) => self.disconnected(None, timetable.upgraded, ending),
            Event::Stop => self.leave_at_end(None, timetable.upgraded),
            _ => self.abort(State::Session { timetable }),
        }
    }

    fn became_ready(&mut self, mut recovery: Recovery, mut timetable: Timetable) -> Action {
        let ready = if self.rules.session.ready == Ready::Upgraded { timetable.upgraded } else { self.now };
        recovery.account(Phase::Ready, ready);
        self.samples.push(Sample::Ready(Box::new(recovery.ready_sample())));
        timetable.became_ready(self.rules, ready);
        if self.client.stopping {
            return self.leave_at_end(None, timetable.upgraded);
        }
        self.hold(timetable)
    }

    fn hold(&mut self, timetable: Timetable) -> Action {
        let until = timetable.next_due();
        self.client.state = State::Session { timetable };
        Action::Hold { until, awaiting_ready: false }
    }

    fn hold_readying(&mut self, recovery: Recovery, timetable: Timetable) -> Action {
        let until = timetable.next_due();
        self.client.state = State::Readying { recovery, timetable };
        Action::Hold { until, awaiting_ready: true }
    }

    fn stay(&mut self, recovery: Option<Recovery>, timetable: Timetable) {
        self.client.state = match recovery {
            Some(recovery) => State::Readying { recovery, timetable },
            None => State::Session { timetable },
        };
    }

    fn do_due(
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
                self.stay(recovery, timetable);
                Action::Ping
            }
            DueThing::KeepAliveText => {
                self.stay(recovery, timetable);
                Action::SendKeepAlive
            }
            DueThing::Message => {
                self.stay(recovery, timetable);
                Action::SendMessage
            }
            DueThing::Refresh => {
                self.stay(recovery, timetable);
                Action::StartRefresh { not_before: self.now, valid_until: Moment::ZERO }
            }
            DueThing::Storm(how) => self.leave_how(recovery, timetable, how, Initiator::Storm, due),
            DueThing::Leave(how) => self.leave_how(recovery, timetable, how, Initiator::Client, due),
            DueThing::ReadyTimeout => {
                self.count(Counter::ReadyTimeouts);
                let how = DisconnectHow::Close { code: NORMAL_CLOSURE };
                self.leave_how(recovery, timetable, how, Initiator::Client, due)
            }
            // The peer may have been gone since it was last heard of: that is when the outage began.
            DueThing::Dead { heard } => {
                let attribution = Attribution {
                    initiator: Initiator::Network,
                    code: ABNORMAL_CLOSURE,
                    abnormal: Some(Abnormal::Timeout),
                    disconnect: Some(heard),
                };
                self.count(Counter::Unsettled);
                self.leave(recovery, upgraded, Leave::Abandon, attribution)
            }
        }
    }

    fn leave_how(
        &mut self,
        recovery: Option<Recovery>,
        timetable: Timetable,
        how: DisconnectHow,
        initiator: Initiator,
        due: Moment,
    ) -> Action {
        let upgraded = timetable.upgraded;
        let dropped = Attribution {
            initiator,
            code: ABNORMAL_CLOSURE,
            abnormal: Some(Abnormal::Dropped),
            disconnect: Some(due),
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
                let silence = Silence { upgraded, since: due, initiator, notices };
                self.client.state = State::Silent { recovery, silence };
                Action::Leave(Leave::FallSilent)
            }
        }
    }

    fn leave(
        &mut self,
        recovery: Option<Recovery>,
        upgraded: Moment,
        how: Leave,
        attribution: Attribution,
    ) -> Action {
        self.client.state = State::Leaving { recovery, upgraded, attribution };
        Action::Leave(how)
    }

    /// The run ends: an orderly goodbye, which is no disconnect.
    fn leave_at_end(&mut self, recovery: Option<Recovery>, upgraded: Moment) -> Action {
        let attribution = Attribution {
            initiator: Initiator::Client,
            code: NORMAL_CLOSURE,
            abnormal: None,
            disconnect: None,
        };
        self.leave(recovery, upgraded, Leave::Close { code: NORMAL_CLOSURE }, attribution)
    }

    fn refreshed(&mut self, timetable: &mut Timetable, facts: TokenFacts, fetched: bool) {
        self.take_token(facts, fetched);
        let due = self.rules.token.as_ref().and_then(|token| self.client.token.refresh_due(token));
        timetable.refresh = due.unwrap_or(Moment::NEVER);
    }

    fn refresh_failed(&mut self, timetable: &mut Timetable) {
        self.count(Counter::TokenFailures);
        timetable.refresh =
            self.rules.token.as_ref().map_or(Moment::NEVER, |token| self.now + refresh_retry(token));
    }

    // Out of a session.

    /// The session ended without this client's doing.
    fn disconnected(&mut self, recovery: Option<Recovery>, upgraded: Moment, ending: Ending) -> Action {
        let (initiator, code, abnormal, from) = self.explain(upgraded, ending);
        self.end_session(upgraded, initiator, code, abnormal, ending.at);
        self.come_back(recovery, code, from)
    }

    /// Who ended it, with which code, how, and since when the client has been without a session.
    fn explain(&self, upgraded: Moment, ending: Ending) -> (Initiator, u16, Option<Abnormal>, Moment) {
        match ending.how {
            EndingHow::PeerClosed(code) => match self.storm_behind(upgraded, ending.at, code) {
                Some(due) => (Initiator::Storm, code, None, due),
                None => (Initiator::Target, code, None, ending.at),
            },
            EndingHow::Abnormal(how) => (Initiator::Network, ABNORMAL_CLOSURE, Some(how), ending.at),
            EndingHow::Left => (Initiator::Client, ABNORMAL_CLOSURE, Some(Abnormal::Dropped), ending.at),
        }
    }

    fn storm_behind(&self, upgraded: Moment, closed: Moment, code: u16) -> Option<Moment> {
        self.rules.storms.iter().rev().find_map(|storm| match *storm {
            StormRule::ByTarget { at, code: storm_code, all }
                if storm_code == code
                    && upgraded < at
                    && at <= closed
                    && (all || closed.since(at) <= STORM_WINDOW) =>
            {
                Some(at)
            }
            _ => None,
        })
    }

    /// The client's own leaving has been carried out.
    fn left(
        &mut self,
        recovery: Option<Recovery>,
        upgraded: Moment,
        attribution: Attribution,
        ending: Ending,
    ) -> Action {
        let Attribution { initiator, code, abnormal, disconnect } = attribution;
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
            Some(due) => self.come_back(recovery, code, due),
            None => {
                if let Some(recovery) = recovery {
                    return self.finish_unfinished(recovery.kind);
                }
                Action::Finish(Finish::RunEnded)
            }
        }
    }

    fn noticed_silence(&mut self, recovery: Option<Recovery>, silence: Silence) -> Action {
        if self.now < silence.notices {
            self.client.state = State::Silent { recovery, silence };
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
        self.come_back(recovery, ABNORMAL_CLOSURE, silence.since)
    }

    /// The run ends before a silent client has noticed.
    fn end_silence(&mut self, was_ready: bool, silence: Silence) {
        let Silence { upgraded, since, initiator, .. } = silence;
        self.end_session(upgraded, initiator, ABNORMAL_CLOSURE, Some(Abnormal::Dropped), since);
        self.count_disconnect(was_ready);
    }

    fn end_session(
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
    fn come_back(&mut self, recovery: Option<Recovery>, code: u16, from: Moment) -> Action {
        let was_ready = recovery.is_none();
        let mut recovery = recovery.unwrap_or_else(|| Recovery::new(AttemptKind::Reconnect, from));
        let phase = if was_ready { Phase::Detect } else { Phase::Ready };
        recovery.account(phase, self.now);
        if was_ready {
            self.count(Counter::Disconnects);
        } else {
            recovery.attempts += 1;
        }
        if self.rules.token.as_ref().is_some_and(|token| disconnect_wants_token(token, code)) {
            self.client.token.wanted_since = Some(self.now);
        }
        if self.client.stopping {
            return self.finish_unfinished(recovery.kind);
        }
        let wanted = self.rules.reconnect.on_codes.as_ref().is_none_or(|codes| codes.contains(&code));
        if !wanted {
            return self.not_wanted(recovery.kind);
        }
        if self.rules.reconnect.max_attempts.is_some_and(|most| recovery.attempts >= most) {
            return self.give_up(recovery.kind);
        }
        self.wait_for_attempt(recovery, None)
    }

    // Ends.

    fn end_attempt(&mut self, kind: AttemptKind, attempt: Attempt, outcome: Outcome, cause: Option<Cause>) {
        let latency = self.now.since(attempt.due);
        self.samples.push(Sample::Attempt(AttemptEnd { kind, outcome, cause, latency }));
    }

    fn give_up(&mut self, kind: AttemptKind) -> Action {
        self.count(match kind {
            AttemptKind::First => Counter::FirstGivenUp,
            AttemptKind::Reconnect => Counter::ReconnectsGivenUp,
        });
        Action::Finish(Finish::GaveUp)
    }

    fn not_wanted(&mut self, kind: AttemptKind) -> Action {
        self.count(match kind {
            AttemptKind::First => Counter::FirstGivenUp,
            AttemptKind::Reconnect => Counter::ReconnectsNotWanted,
        });
        Action::Finish(Finish::NotWanted)
    }

    fn finish_unfinished(&mut self, kind: AttemptKind) -> Action {
        if kind == AttemptKind::Reconnect {
            self.count(Counter::ReconnectsUnfinished);
        }
        Action::Finish(Finish::RunEnded)
    }

    /// Whatever is under way is cut off, and its accounts closed.
    fn abort(&mut self, state: State) -> Action {
        let unfinished = match state {
            State::Outside => None,
            State::Waiting { recovery, .. } => Some(recovery.kind),
            State::Token { recovery, attempt, .. } => {
                self.count(Counter::Unsettled);
                self.end_attempt(recovery.kind, attempt, Outcome::Aborted, None);
                Some(recovery.kind)
            }
            State::Connecting { recovery, attempt } => {
                self.end_attempt(recovery.kind, attempt, Outcome::Aborted, None);
                Some(recovery.kind)
            }
            State::Readying { recovery, timetable } => {
                self.drop_session(timetable.upgraded);
                Some(recovery.kind)
            }
            State::Session { timetable } => {
                self.drop_session(timetable.upgraded);
                None
            }
            State::Leaving { recovery, upgraded, attribution } => {
                self.drop_session(upgraded);
                self.count_disconnect(attribution.disconnect.is_some() && recovery.is_none());
                recovery
                    .map(|recovery| recovery.kind)
                    .or(attribution.disconnect.map(|_| AttemptKind::Reconnect))
            }
            State::Silent { recovery, silence } => {
                self.end_silence(recovery.is_none(), silence);
                Some(recovery.map_or(AttemptKind::Reconnect, |recovery| recovery.kind))
            }
        };
        match unfinished {
            Some(kind) => self.finish_unfinished(kind),
            None => Action::Finish(Finish::RunEnded),
        }
    }

    fn drop_session(&mut self, upgraded: Moment) {
        self.count(Counter::Unsettled);
        let how = Some(Abnormal::Dropped);
        self.end_session(upgraded, Initiator::Client, ABNORMAL_CLOSURE, how, self.now);
    }

    fn count_disconnect(&mut self, is_one: bool) {
        if is_one {
            self.count(Counter::Disconnects);
        }
    }

    fn count(&mut self, counter: Counter) {
        self.samples.push(Sample::Count(counter, 1));
    }
}

/// Signs of life as of the upgrade, for drivers that have heard nothing since.
impl From<Moment> for Signs {
    fn from(upgraded: Moment) -> Self {
        Self { heard: upgraded, pong: upgraded }
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
