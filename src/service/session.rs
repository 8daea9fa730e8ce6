//! One session by the target's rules: its idle clock, its messages, and how its end is accounted.
//!
//! In: moments and what happened on the connection. Out: what is due next, and exactly who ended the session and with which
//! code. Does no I/O and keeps no timer: whoever drives it asks [`Session::next_wake`].

use std::sync::Arc;

use crate::clock::Moment;
use crate::sample::{Abnormal, Initiator};
use crate::scenario::keys::{FaultKind, IdleAction, TargetRules};

use super::fates::Fates;
use super::message::Schedule;
use super::refusal::HandshakeRefusal;
use super::script::{Script, ScriptDue};

/// The close code where no close frame came (RFC 6455 §7.1.5).
pub const NO_CLOSE_FRAME: u16 = 1006;

/// Names a session of one target; counted up from 1 in the order of the upgrades.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub(super) u64);

impl std::fmt::Display for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A session, from its upgrade to its end.
#[derive(Debug)]
pub struct Session {
    id: SessionId,
    rules: Arc<TargetRules>,
    schedule: Option<Schedule>,
    next_message: u64,
    last_activity: Moment,
    closing: Option<Closing>,
    /// What will strike it, and when.
    fault: Option<Box<(Moment, FaultKind)>>,
    /// What the target says by its script, where it has one.
    script: Option<Box<Script>>,
    /// When what it was opened with ends.
    hold_end: Moment,
    /// Why it is good for nothing, until the client is told.
    refusal: Option<Box<(Moment, HandshakeRefusal)>>,
}

/// Which kind of frame the client sent (RFC 6455 §5.5, §5.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameClass {
    /// A ping or a pong.
    Control,
    /// A text or binary message.
    Data,
}

/// The target's own close, once it is decided.
#[derive(Debug, Clone, Copy)]
struct Closing {
    initiator: Initiator,
    code: u16,
    is_sent: bool,
    give_up: Moment,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Due {
    /// Nothing yet.
    Nothing,
    /// A message to the client; of topics, it may be lost.
    Message {
        /// Its sequence number.
        sequence: u64,
        /// When it was due.
        due: Moment,
    },
    /// A close frame.
    Close(CloseOrder),
    /// The client has not answered the close frame in time: the connection is dropped.
    GiveUp,
    /// A fault strikes.
    Fault(FaultKind),
    /// The target says what this rule of its script says.
    Say(usize),
    /// What the session was opened with ends, unless its life was made longer since.
    HoldEnd,
    /// The client is told that its handshake was refused.
    Refuse(HandshakeRefusal),
    /// It was idle: the connection ends without a close frame.
    HangUp,
    /// It was idle: it falls silent.
    FallSilent,
}

/// A close frame to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseOrder {
    /// The close code.
    pub code: u16,
    /// The reason in words. Never empty, so that the target's own close frame can be told from an echo of the client's.
    pub reason: &'static str,
}

/// What ended the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndHow {
    /// A close frame of the client, with this code (1005 where it has none), first or as an answer.
    CloseFrame(u16),
    /// No close frame of the client.
    Abnormal(Abnormal),
}

/// The end of a session as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Who ended it.
    pub initiator: Initiator,
    /// The code of the first close frame; 1006 where there was none.
    pub code: u16,
    /// How, where there was none.
    pub abnormal: Option<Abnormal>,
}

impl Session {
    pub(super) fn open(id: SessionId, rules: Arc<TargetRules>, stream: Option<u64>, now: Moment) -> Self {
        let schedule = rules.messages_every.map(|every| Schedule::new(every, stream));
        let next_message = schedule.map_or(0, |schedule| schedule.first_after(now));
        let script = Script::begin(&rules, now);
        Self {
            id,
            rules,
            schedule,
            next_message,
            last_activity: now,
            closing: None,
            fault: None,
            script,
            hold_end: Moment::NEVER,
            refusal: None,
        }
    }

    /// A session that was opened to refuse its client.
    pub(super) fn refused(
        id: SessionId,
        rules: Arc<TargetRules>,
        refusal: HandshakeRefusal,
        now: Moment,
    ) -> Self {
        let opened = Self::open(id, rules, None, now);
        Self { schedule: None, script: None, refusal: Some(Box::new((now, refusal))), ..opened }
    }

    /// What the session was opened with ends then.
    pub const fn set_hold_end(&mut self, end: Moment) {
        self.hold_end = end;
    }

    /// The session's name.
    #[must_use]
    pub const fn id(&self) -> SessionId {
        self.id
    }

    /// When the session is closed if nothing that counts happens until then.
    #[must_use]
    pub fn idle_deadline(&self) -> Moment {
        self.rules.idle_timeout.map_or(Moment::NEVER, |timeout| self.last_activity + timeout)
    }

    /// When something is due next, unless something happens before. Activity only ever moves it later.
    #[must_use]
    pub fn next_wake(&self) -> Moment {
        match self.closing {
            Some(closing) => closing.give_up,
            None => {
                let others = self.idle_deadline().min(self.message_due()).min(self.fault_due());
                others.min(self.script_due()).min(self.hold_end).min(self.refusal_due())
            }
        }
    }

    /// A fault will strike the session, its own time after now, which is the upgrade. Other faults than those of a session
    /// do not.
    pub fn plan_fault(&mut self, fault: FaultKind) {
        self.fault = fault.after().map(|after| Box::new((self.last_activity + after, fault)));
    }

    fn script_due(&self) -> Moment {
        self.script.as_ref().map_or(Moment::NEVER, |script| script.next())
    }

    /// The client sent this text: answers with the rules of the script that it calls for. Each is then said.
    pub fn heard_text(&mut self, now: Moment, text: &str) -> Vec<usize> {
        let script = self.script.as_ref().filter(|_| self.closing.is_none());
        let called = script.map(|script| script.hear(text)).unwrap_or_default();
        if !called.is_empty() {
            self.said(now);
        }
        called
    }

    /// How often a rule of the script has said something, this time included.
    pub(super) fn script_count(&mut self, rule: usize) -> u64 {
        self.script.as_mut().map_or(0, |script| script.count(rule))
    }

    /// A message brought a good token, which expires then.
    pub fn authenticated(&mut self, now: Moment, expires: Moment) {
        if let Some(script) = &mut self.script {
            script.authenticated(now, expires);
        }
    }

    /// The target closes the session for a reason of its own; `None` where it is closing already.
    pub fn close_for(&mut self, now: Moment, code: u16, reason: &'static str) -> Option<CloseOrder> {
        if self.closing.is_some() {
            return None;
        }
        Some(self.close(now, Initiator::Target, code, reason))
    }

    fn fault_due(&self) -> Moment {
        self.fault.as_ref().map_or(Moment::NEVER, |fault| fault.0)
    }

    fn refusal_due(&self) -> Moment {
        self.refusal.as_ref().map_or(Moment::NEVER, |refusal| refusal.0)
    }

    fn message_due(&self) -> Moment {
        self.schedule.map_or(Moment::NEVER, |schedule| schedule.due(self.next_message))
    }

    /// The client sent a frame of this kind.
    pub fn heard(&mut self, now: Moment, class: FrameClass) {
        let counts = class == FrameClass::Data || self.rules.idle_control_frames;
        if counts && self.rules.idle_counts.counts_client() {
            self.last_activity = self.last_activity.max(now);
        }
    }

    /// The target sends a message.
    fn said(&mut self, now: Moment) {
        if self.rules.idle_counts.counts_target() {
            self.last_activity = self.last_activity.max(now);
        }
    }

    /// Takes what is due. What was due first is taken first, one thing at a time.
    #[must_use = "what is due must be done"]
    pub fn take_due(&mut self, now: Moment) -> Due {
        if let Some(closing) = self.closing {
            return if now >= closing.give_up { Due::GiveUp } else { Due::Nothing };
        }
        if now < self.next_wake() {
            return Due::Nothing;
        }
        if let Some(refusal) = self.refusal.take_if(|refusal| refusal.0 <= now) {
            return Due::Refuse(refusal.1);
        }
        if self.hold_end <= now {
            self.hold_end = Moment::NEVER;
            return Due::HoldEnd;
        }
        let others = self.idle_deadline().min(self.message_due());
        if self.script_due() <= others.min(self.fault_due())
            && let Some(due) = self.script.as_mut().and_then(|script| script.take(now))
        {
            return match due {
                ScriptDue::Rule(rule) => {
                    self.said(now);
                    Due::Say(rule)
                }
                ScriptDue::Close(code, reason) => {
                    Due::Close(self.close(now, Initiator::Target, code, reason))
                }
            };
        }
        if let Some(fault) = self.fault.take_if(|fault| fault.0 <= others) {
            return Due::Fault(fault.1);
        }
        if self.message_due() > self.idle_deadline() {
            return self.end_idle(now);
        }
        let (sequence, due) = (self.next_message, self.message_due());
        self.next_message += 1;
        // A message that is lost keeps no session alive.
        if self.rules.topics.is_none_or(|topics| Fates::of(topics).at(sequence).times > 0) {
            self.said(now);
        }
        Due::Message { sequence, due }
    }

    fn end_idle(&mut self, now: Moment) -> Due {
        match self.rules.idle_action {
            IdleAction::Close => {
                let code = self.rules.idle_close_code;
                Due::Close(self.close(now, Initiator::Target, code, "Idle Timeout"))
            }
            IdleAction::Drop => Due::HangUp,
            IdleAction::Silence => Due::FallSilent,
        }
    }

    /// A storm strikes the session; `None` where it is closing already.
    pub fn storm(&mut self, now: Moment, code: u16) -> Option<CloseOrder> {
        if self.closing.is_some() {
            return None;
        }
        Some(self.close(now, Initiator::Storm, code, "Storm"))
    }

    /// Another session of the same client takes this one's place; `None` where it is closing already.
    pub fn displace(&mut self, now: Moment, code: u16) -> Option<CloseOrder> {
        if self.closing.is_some() {
            return None;
        }
        Some(self.close(now, Initiator::Target, code, "Displaced"))
    }

    fn close(&mut self, now: Moment, initiator: Initiator, code: u16, reason: &'static str) -> CloseOrder {
        let give_up = now + self.rules.close_timeout;
        self.closing = Some(Closing { initiator, code, is_sent: false, give_up });
        CloseOrder { code, reason }
    }

    /// The target's close frame has left.
    pub fn close_frame_sent(&mut self) {
        if let Some(closing) = &mut self.closing {
            closing.is_sent = true;
        }
    }

    /// The session's end: who sent the first close frame, as this side saw it. A close frame of the target counts from when
    /// it left; a client's frame that arrives before that counts as the client's.
    #[must_use]
    pub fn end(&self, how: EndHow) -> Ended {
        match (self.closing, how) {
            (Some(Closing { initiator, code, is_sent: true, .. }), _) => {
                Ended { initiator, code, abnormal: None }
            }
            (_, EndHow::CloseFrame(code)) => Ended { initiator: Initiator::Client, code, abnormal: None },
            (_, EndHow::Abnormal(abnormal)) => {
                Ended { initiator: Initiator::Network, code: NO_CLOSE_FRAME, abnormal: Some(abnormal) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::keys::IdleCounts;
    use std::time::Duration;

    fn at(ms: u64) -> Moment {
        Moment::from_ns(ms * 1_000_000)
    }

    fn session(rules: TargetRules) -> Session {
        Session::open(SessionId(1), Arc::new(rules), None, at(1_000))
    }

    fn rules(idle_counts: IdleCounts, messages_every: Option<Duration>) -> TargetRules {
        TargetRules {
            idle_timeout: Some(Duration::from_secs(1)),
            idle_counts,
            messages_every,
            ..TargetRules::default()
        }
    }

    const IDLE: Due = Due::Close(CloseOrder { code: 1001, reason: "Idle Timeout" });

    #[test]
    fn an_idle_session_is_closed_when_its_time_is_over_and_not_before() {
        let mut session = session(rules(IdleCounts::Client, None));
        assert_eq!(session.next_wake(), at(2_000));
        session.heard(at(1_900), FrameClass::Data);
        assert_eq!(session.take_due(at(2_000)), Due::Nothing);
        assert_eq!(session.next_wake(), at(2_900));
        assert_eq!(session.take_due(at(2_900)), IDLE);
        assert_eq!(session.next_wake(), at(7_900), "the close timeout");
        assert_eq!(session.take_due(at(7_899)), Due::Nothing);
        assert_eq!(session.take_due(at(7_900)), Due::GiveUp);
    }

    #[test]
    fn the_targets_messages_count_as_traffic_only_where_the_rules_say_so() {
        let every = Some(Duration::from_millis(400));
        let mut silent = session(rules(IdleCounts::Client, every));
        let mut seen = Vec::new();
        for _ in 0..3 {
            let wake = silent.next_wake();
            seen.push(silent.take_due(wake));
        }
        let message = |sequence, due| Due::Message { sequence, due: at(due) };
        assert_eq!(
            seen,
            [message(3, 1_200), message(4, 1_600), message(5, 2_000)],
            "a tie goes to the message"
        );
        assert_eq!(silent.take_due(at(2_000)), IDLE);

        let mut lively = session(rules(IdleCounts::Either, every));
        for sequence in 3..100 {
            let wake = lively.next_wake();
            assert_eq!(lively.take_due(wake), message(sequence, 400 * sequence));
        }
    }

    #[test]
    fn a_late_target_sends_what_was_due_one_by_one() {
        let mut session = session(rules(IdleCounts::Either, Some(Duration::from_millis(400))));
        let dues: Vec<Due> = (0..4).map(|_| session.take_due(at(1_999))).collect();
        let message = |sequence| Due::Message { sequence, due: at(400 * sequence) };
        assert_eq!(dues, [message(3), message(4), Due::Nothing, Due::Nothing]);
    }

    #[test]
    fn no_idle_timeout_is_never() {
        let session = session(TargetRules { idle_timeout: None, ..TargetRules::default() });
        assert_eq!(session.next_wake(), Moment::NEVER);
    }

    #[test]
    fn the_first_close_frame_counts_as_this_side_saw_it() {
        let ended = |initiator, code, abnormal| Ended { initiator, code, abnormal };
        let fin = EndHow::Abnormal(Abnormal::Fin);
        let client = EndHow::CloseFrame(1000);
        // (what the target decided, whether its frame left, how the connection ended, what counts)
        let table = [
            (None, false, client, ended(Initiator::Client, 1000, None)),
            (None, false, EndHow::CloseFrame(1005), ended(Initiator::Client, 1005, None)),
            (None, false, fin, ended(Initiator::Network, 1006, Some(Abnormal::Fin))),
            (Some(Initiator::Target), true, client, ended(Initiator::Target, 1001, None)),
            (Some(Initiator::Target), true, fin, ended(Initiator::Target, 1001, None)),
            (Some(Initiator::Target), false, client, ended(Initiator::Client, 1000, None)),
            (Some(Initiator::Target), false, fin, ended(Initiator::Network, 1006, Some(Abnormal::Fin))),
            (Some(Initiator::Storm), true, client, ended(Initiator::Storm, 1012, None)),
            (Some(Initiator::Storm), false, fin, ended(Initiator::Network, 1006, Some(Abnormal::Fin))),
        ];
        for (decided, is_sent, how, expected) in table {
            let mut session = session(rules(IdleCounts::Client, None));
            match decided {
                Some(Initiator::Target) => assert_eq!(session.take_due(at(5_000)), IDLE),
                Some(_) => assert!(session.storm(at(1_500), 1012).is_some()),
                None => {}
            }
            if is_sent {
                session.close_frame_sent();
            }
            assert_eq!(session.end(how), expected, "{decided:?} {is_sent} {how:?}");
        }
    }

    #[test]
    fn a_fault_strikes_once_at_its_time_and_never_a_closing_session() {
        let fault = FaultKind::HalfOpen { after: Duration::from_millis(300) };
        let mut faulty = session(rules(IdleCounts::Client, None));
        faulty.plan_fault(fault);
        assert_eq!(faulty.next_wake(), at(1_300));
        assert_eq!(faulty.take_due(at(1_299)), Due::Nothing);
        assert_eq!(faulty.take_due(at(1_300)), Due::Fault(fault));
        assert_eq!(faulty.take_due(at(1_300)), Due::Nothing);
        assert_eq!(faulty.next_wake(), at(2_000), "the idle clock goes on");
        let mut late = session(rules(IdleCounts::Client, None));
        late.plan_fault(FaultKind::HalfOpen { after: Duration::from_secs(3) });
        assert_eq!(late.take_due(at(4_500)), IDLE, "idle came first");
        assert_eq!(late.take_due(at(4_600)), Due::Nothing);
        let mut none = session(rules(IdleCounts::Client, None));
        none.plan_fault(FaultKind::UpgradeStall);
        assert_eq!(none.next_wake(), at(2_000), "no fault of sessions");
    }

    #[test]
    fn a_session_is_closed_once() {
        let mut session = session(rules(IdleCounts::Client, None));
        assert!(session.storm(at(1_500), 1012).is_some());
        assert!(session.storm(at(1_600), 1001).is_none());
        assert_eq!(session.take_due(at(5_000)), Due::Nothing, "not idle: closing");
    }
}
