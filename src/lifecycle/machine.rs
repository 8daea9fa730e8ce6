//! The state machine of a virtual client.
//!
//! In: events, each with the moment at which it happened. Out: for each event exactly one action, and the samples
//! of what it decided. What always holds, whatever the order of events: each attempt gets exactly one
//! outcome; each session that began ends once; the phases of a reconnect add up to its latency; after
//! [`Action::Finish`] there is nothing more.

use std::time::Duration;

use crate::clock::Moment;
use crate::random::{Draws, Purpose};
use crate::sample::{ABNORMAL_CLOSURE, AttemptKind, Counter, Life, Phase, Recount, Sample, Spoken};
use crate::scenario::keys::{PrepareWhen, Ready, ResetOn};

use super::backoff::next_wait;
use super::cause::Evidence;
use super::event::{Action, ConnectFailure, Event, Finish, Marks, Signs};
use super::history::History;
use super::kept::Kept;
use super::recovery::{Attempt, Attribution, Entering, Recovery, Silence, Tries};
use super::rules::GroupRules;
use super::session::Timetable;
use super::token::{TokenNeed, TokenState, disconnect_wants_token};

/// How often an attempt asks for a token at most.
const TOKEN_ASKS: u8 = 3;
/// Longest `Retry-After` that is obeyed: a day, as long as a run may be unless its scenario raises that.
const RETRY_AFTER_CAP: Duration = Duration::from_secs(24 * 60 * 60);

/// A virtual client.
#[derive(Debug, Clone)]
pub struct Client {
    pub(super) number: u32,
    pub(super) draws: Draws,
    pub(super) token: TokenState,
    /// When the run, or its own time in it, was over; `NEVER`: it is not yet.
    pub(super) over: Moment,
    /// When its own time in the run is over.
    pub(super) leaves: Moment,
    /// Whether it has begun, and has not been told off since.
    pub(super) wanted: bool,
    /// Attempts since the policy last counted from anew.
    pub(super) tries: Tries,
    /// Refusals in a row that may be the token's, whatever came between them but an admission.
    pub(super) refused_in_row: u32,
    /// What its refusals have shown so far.
    pub(super) history: History,
    /// For how many handshakes more what the requests before them brought may be used; 0: they are to be made.
    pub(super) prepared_uses: u32,
    /// The session before, where it is being kept.
    pub(super) kept: Option<Box<Kept>>,
    pub(super) state: State,
}

/// Where a client is in its life.
#[derive(Debug, Clone)]
pub(super) enum State {
    /// Nothing has happened yet, or everything has.
    Outside,
    /// Waiting for an attempt to be due.
    Waiting { recovery: Recovery, due: Moment, since: Moment },
    /// Getting a token for an attempt.
    Token { recovery: Recovery, attempt: Attempt, asked: u8 },
    /// Making the requests before the handshake.
    Preparing { recovery: Recovery, attempt: Attempt },
    /// Connecting.
    Connecting { recovery: Recovery, attempt: Attempt },
    /// Upgraded; settled that it is in once nothing is `entering`.
    Session { entering: Option<Box<Entering>>, timetable: Timetable },
    /// Ending the session.
    Leaving { recovery: Option<Recovery>, upgraded: Moment, attribution: Attribution },
    /// Fallen silent; will notice by itself.
    Silent { recovery: Option<Recovery>, silence: Silence },
}

impl Client {
    /// Client `number` of the run, whose random stream depends on the seed and that number alone.
    #[must_use]
    pub fn new(seed: u64, number: u32) -> Self {
        Self {
            number,
            draws: Draws::new(seed, Purpose::Lifecycle, number),
            token: TokenState::default(),
            over: Moment::NEVER,
            leaves: Moment::NEVER,
            wanted: false,
            tries: Tries::default(),
            refused_in_row: 0,
            history: History::default(),
            prepared_uses: 0,
            kept: None,
            state: State::Outside,
        }
    }

    /// The run was over at that moment. From now on the client begins no new attempt; what is under way goes on to its end.
    pub fn stop(&mut self, at: Moment) {
        self.over = self.over.min(at);
    }

    /// Whether the run is over.
    pub(super) const fn is_stopping(&self) -> bool {
        self.over.as_ns() < Moment::NEVER.as_ns()
    }

    /// It is wanted in no longer. Answers with whether it was.
    pub(super) const fn leave_off(&mut self) -> bool {
        std::mem::replace(&mut self.wanted, false)
    }

    /// From here on it is in this state.
    pub(super) fn enter(&mut self, state: State) {
        self.state = state;
    }

    /// What the requests before handshakes brought is good for so many more.
    pub(super) const fn use_prepared(&mut self, uses: u32) {
        self.prepared_uses = uses;
    }

    /// Another refusal of a row.
    pub(super) const fn count_refused(&mut self) {
        self.refused_in_row += 1;
    }

    /// How many refusals were in a row; the row is over.
    pub(super) const fn take_refused(&mut self) -> u32 {
        std::mem::replace(&mut self.refused_in_row, 0)
    }

    /// Its history takes something in.
    pub(super) fn learn(&mut self, what: impl FnOnce(&mut History) -> Vec<Recount>) -> Vec<Recount> {
        what(&mut self.history)
    }

    /// From now on attempts are counted from these on.
    pub(super) const fn set_tries(&mut self, tries: Tries) {
        self.tries = tries;
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
        if matches!(event, Event::Stop) {
            self.stop(now);
        }
        if now >= self.leaves {
            self.stop(self.leaves);
            if matches!(event, Event::Due(_)) && self.only_waits() {
                return self.go_on(rules, now, Event::Stop, samples);
            }
        }
        self.go_on(rules, now, event, samples)
    }

    fn go_on(&mut self, rules: &GroupRules, now: Moment, event: Event, samples: &mut Vec<Sample>) -> Action {
        let state = std::mem::replace(&mut self.state, State::Outside);
        let mut step = Step { client: self, rules, now, samples };
        let action = step.take(state, event);
        if let Action::Finish(how) = action {
            step.drop_kept();
            step.end_cascade();
            if how != Finish::GaveUp {
                step.gone(None);
            }
        }
        action
    }
}

/// One step: the client, and what it may look at.
pub(super) struct Step<'a> {
    pub(super) client: &'a mut Client,
    pub(super) rules: &'a GroupRules,
    pub(super) now: Moment,
    pub(super) samples: &'a mut Vec<Sample>,
}

impl Step<'_> {
    fn take(&mut self, state: State, event: Event) -> Action {
        if let Event::KeptEnded { ending, closed } = event {
            return self.kept_ended(state, ending, closed);
        }
        // Most of a client's events are a session's.
        if let State::Session { entering, timetable } = state {
            return self.in_session(entering, timetable, event);
        }
        match (state, event) {
            (State::Outside, Event::Begin { due, leaves }) => {
                self.client.leaves = leaves;
                self.begin(due)
            }
            (State::Waiting { recovery, due, since }, Event::Due(_)) => self.wake(recovery, due, since),
            (State::Waiting { recovery, due, .. }, Event::Sent) if recovery.overlaps => {
                self.begin_attempt(recovery, due)
            }
            (State::Waiting { recovery, .. }, Event::Stop) => self.finish_unfinished(&recovery),
            (State::Token { recovery, mut attempt, asked }, Event::TokenReady { facts, fetched }) => {
                self.take_token(facts, fetched);
                attempt.get_token(fetched);
                if fetched {
                    self.count_token_for(recovery.kind);
                }
                self.go_on_with_token(recovery, attempt, if fetched { TOKEN_ASKS } else { asked })
            }
            (State::Token { recovery, attempt, .. }, Event::TokenFailed { failure, retry_after }) => {
                self.token_failed(recovery, attempt, failure, retry_after)
            }
            (State::Preparing { recovery, attempt }, Event::Prepared) => {
                let renew_after = self.rules.prepare.as_ref().and_then(|prepare| prepare.renew_after);
                self.client.use_prepared(renew_after.map_or(u32::MAX, |reuses| reuses.saturating_add(1)));
                self.connect(recovery, attempt)
            }
            (State::Preparing { recovery, attempt }, Event::PrepareFailed(failure)) => {
                self.prepare_failed(recovery, attempt, &failure)
            }
            (State::Connecting { recovery, attempt }, Event::Connected(marks)) => {
                self.connected(recovery, attempt, &marks)
            }
            (State::Connecting { recovery, attempt }, Event::ConnectFailed { marks, failure }) => {
                self.connect_failed(recovery, attempt, &marks, &failure)
            }
            (
                State::Leaving { recovery, upgraded, attribution },
                Event::Ended(ending) | Event::Closed { ending, .. },
            ) => self.left(recovery, upgraded, attribution, ending),
            (State::Silent { recovery, silence }, Event::Due(_)) => self.noticed_silence(recovery, silence),
            (State::Silent { recovery, silence }, Event::Stop) => {
                self.end_silence(recovery.is_none(), silence);
                self.finish_unfinished(&recovery.unwrap_or_else(|| silence.recovery()))
            }
            (state, _) => self.abort(state),
        }
    }

    pub(super) fn begin(&mut self, due: Moment) -> Action {
        self.count(Counter::ClientsStarted);
        self.client.wanted = true;
        self.samples.push(Life::Came(due).into());
        let mut recovery = Recovery::new(AttemptKind::First, due);
        self.note_lag(&mut recovery, due);
        self.begin_attempt(recovery, due)
    }

    pub(super) fn wake(&mut self, mut recovery: Recovery, due: Moment, since: Moment) -> Action {
        if self.now < due {
            self.client.enter(State::Waiting { recovery, due, since });
            return Action::Sleep { until: self.or_leaves(due) };
        }
        self.note_lag(&mut recovery, due);
        self.begin_attempt(recovery, due)
    }

    /// The generator did what was due by the clock, late by this much. The lateness belongs to the wait.
    fn note_lag(&mut self, recovery: &mut Recovery, due: Moment) {
        let lag = self.now.since(due);
        self.samples.push(Sample::Lag(lag));
        recovery.delay(lag);
        recovery.account(Phase::Backoff, self.now);
    }

    pub(super) fn begin_attempt(&mut self, recovery: Recovery, due: Moment) -> Action {
        if self.client.is_stopping() {
            return self.finish_unfinished(&recovery);
        }
        let Tries { count, wait } = self.client.tries;
        self.client.set_tries(Tries { count: count.saturating_add(1), wait });
        self.go_on_with_token(recovery, Attempt { due, began: self.now, fetched: false }, 0)
    }

    /// Asks for a token if the attempt still needs one, else connects. A token that came may fall short (it was
    /// another's, or a refresh that had been under way): then it is asked for again, but its own request settles it.
    pub(super) fn go_on_with_token(&mut self, recovery: Recovery, attempt: Attempt, asked: u8) -> Action {
        let need = match &self.rules.token {
            Some(token) if asked < TOKEN_ASKS => {
                self.client.token.need(token, recovery.kind, attempt.began, asked == 0)
            }
            _ => None,
        };
        if let Some(TokenNeed { not_before, valid_until }) = need {
            self.client.enter(State::Token { recovery, attempt, asked: asked + 1 });
            return Action::FetchToken { not_before, valid_until };
        }
        if let Some(prepare) = &self.rules.prepare
            && !(self.client.prepared_uses > 0 && prepare.when == PrepareWhen::Once)
        {
            self.client.enter(State::Preparing { recovery, attempt });
            return Action::Prepare;
        }
        self.connect(recovery, attempt)
    }

    fn connect(&mut self, mut recovery: Recovery, attempt: Attempt) -> Action {
        if self.client.prepared_uses != u32::MAX {
            self.client.use_prepared(self.client.prepared_uses.saturating_sub(1));
        }
        recovery.account(Phase::Token, self.now);
        self.client.enter(State::Connecting { recovery, attempt });
        Action::Connect
    }

    fn prepare_failed(
        &mut self,
        mut recovery: Recovery,
        attempt: Attempt,
        failure: &ConnectFailure,
    ) -> Action {
        recovery.account(Phase::Token, self.now);
        self.client.use_prepared(0);
        let marks = Marks { ended: self.now, ..Marks::default() };
        let outcome = failure.outcome_of_step();
        let ConnectFailure::Http(evidence) = failure else {
            recovery.refuse(false);
            self.end_plainly(&recovery, attempt, outcome, None);
            return self.after_failure(recovery, None);
        };
        let carried = self.carried(marks.ended);
        self.end_refused(&recovery, attempt, outcome, evidence, carried, None);
        self.after_refusal(recovery, attempt, evidence)
    }

    pub(super) fn connected(&mut self, mut recovery: Recovery, attempt: Attempt, marks: &Marks) -> Action {
        self.count(Counter::TcpConnections);
        self.count(Counter::Upgrades);
        self.take_marks(&mut recovery, marks);
        let reset_on = self.rules.reconnect.reset_on;
        let is_ready = self.rules.session.ready == Ready::Upgraded;
        if reset_on == ResetOn::Open || (reset_on == ResetOn::Ready && is_ready) {
            self.client.set_tries(Tries::default());
        }
        let token_age = self.token_age(marks);
        let Client { token: state, draws, .. } = &mut *self.client;
        let refresh = self.rules.token.as_ref().and_then(|token| state.refresh_due(token, draws));
        let timetable = Timetable::new(self.rules, self.client.number, marks.ended, refresh);
        let entering = Box::new(Entering { recovery, attempt, token_age, admitted: None });
        if self.rules.session.ready == Ready::Upgraded {
            return self.upgraded_is_ready(entering, timetable);
        }
        self.hold(Some(entering), timetable)
    }

    pub(super) fn connect_failed(
        &mut self,
        mut recovery: Recovery,
        attempt: Attempt,
        marks: &Marks,
        failure: &ConnectFailure,
    ) -> Action {
        if marks.tcp.is_some() {
            self.count(Counter::TcpConnections);
        }
        self.take_marks(&mut recovery, marks);
        let outcome = failure.outcome();
        let token_age = self.token_age(marks);
        let ConnectFailure::Http(evidence) = failure else {
            recovery.refuse(false);
            self.end_told(&recovery, attempt, (outcome, failure.told()), token_age);
            return self.after_failure(recovery, None);
        };
        let carried = self.carried(marks.tls.unwrap_or(marks.ended));
        self.end_refused(&recovery, attempt, outcome, evidence, carried, token_age);
        if self.rules.prepare.as_ref().is_some_and(|prepare| prepare.renew_on.contains(&evidence.status)) {
            self.client.use_prepared(0);
        }
        self.after_refusal(recovery, attempt, evidence)
    }

    /// After an answer that is no admission, of the handshake or of a request before it.
    fn after_refusal(&mut self, mut recovery: Recovery, attempt: Attempt, evidence: &Evidence) -> Action {
        self.learn_from_refusal(&mut recovery, attempt, evidence);
        if evidence.is_named_in(&self.rules.reconnect.give_up_on) {
            return self.give_up(&recovery);
        }
        self.after_failure(recovery, evidence.retry_after)
    }

    /// What a refusal, wherever it was spoken, means to the tokens.
    pub(super) fn learn_from_refusal(
        &mut self,
        recovery: &mut Recovery,
        attempt: Attempt,
        evidence: &Evidence,
    ) {
        let for_token = may_be_the_tokens(evidence);
        let was_refused = recovery.refuse(for_token);
        if for_token && attempt.fetched && was_refused {
            // A token was fetched because of a refusal, and refused as well.
            self.count(Counter::RefetchTurns);
        }
        if evidence.is_named_in(&self.rules.reconnect.refetch_on) {
            self.client.token.want(self.now);
        }
    }

    /// After a connection that failed: the next attempt, if the client does not take that for the end; where it takes the failure for a close with
    /// 1006, if it wants one.
    fn after_failure(&mut self, recovery: Recovery, retry_after: Option<Duration>) -> Action {
        if self.rules.reconnect.failure_is_final {
            return self.give_up(&recovery);
        }
        if self.rules.reconnect.failure_is_close {
            if self.rules.token.as_ref().is_some_and(|token| disconnect_wants_token(token, ABNORMAL_CLOSURE))
            {
                self.client.token.want(self.now);
            }
            if !self.wants_back(ABNORMAL_CLOSURE) {
                return self.not_wanted(&recovery);
            }
        }
        self.next_attempt(recovery, retry_after)
    }

    /// After a failed attempt: wait for the next, or give up.
    pub(super) fn next_attempt(&mut self, recovery: Recovery, retry_after: Option<Duration>) -> Action {
        if self.rules.reconnect.max_attempts.is_some_and(|most| self.client.tries.count >= most) {
            return self.give_up(&recovery);
        }
        self.wait_for_attempt(recovery, retry_after)
    }

    pub(super) fn wait_for_attempt(&mut self, recovery: Recovery, retry_after: Option<Duration>) -> Action {
        let backoff = &self.rules.reconnect.backoff;
        let Tries { count, wait: previous } = self.client.tries;
        let wait = next_wait(backoff, count, previous, &mut self.client.draws);
        self.client.set_tries(Tries { count, wait });
        let asked = retry_after.filter(|_| self.rules.reconnect.honour_retry_after).unwrap_or_default();
        let wait = wait.max(asked.min(RETRY_AFTER_CAP));
        let due = self.now + wait;
        let since_disconnect = recovery.phases.total() + wait;
        if self.rules.reconnect.give_up_after.is_some_and(|limit| since_disconnect > limit) {
            return self.give_up(&recovery);
        }
        if wait.is_zero() {
            return self.begin_attempt(recovery, due);
        }
        if self.client.is_stopping() {
            return self.finish_unfinished(&recovery);
        }
        self.client.enter(State::Waiting { recovery, due, since: self.now });
        Action::Sleep { until: self.or_leaves(due) }
    }
}

/// Whether a refusal may be the token's: not one for want of room.
pub(super) const fn may_be_the_tokens(evidence: &Evidence) -> bool {
    match evidence.spoken {
        Spoken::Http => matches!(evidence.status, 401 | 403),
        Spoken::Close => !matches!(evidence.status, 1013 | 4429),
        Spoken::Message => true,
        Spoken::Silence | Spoken::Tls => false,
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
pub(super) mod tests;
