//! What the server's tasks share: the state, the clock, the way to reach each session.
//!
//! In: rules, a seed, the clock. Out: locked access to the one [`TargetState`], storms that reach the tasks they strike,
//! delays. No lock is held across an await.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::task::AtomicWaker;
use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};
use secrecy::SecretString;

use crate::clock::{Clock, Moment};
use crate::scenario::keys::{Delay, FaultKind, FaultStage, TargetRules};
use crate::service::message::MessageText;
use crate::service::presented::UpgradeLook;
use crate::service::refusal::HandshakeRefusal;
use crate::service::rules::{Handshake, TargetState};
use crate::service::session::{Ended, Session, SessionId};
use crate::service::storms::StormError;

use super::alarm::Alarm;
use super::answer::{self, Answer};
use super::busy::Busy;
use super::waiters::Waiters;

/// Where a server is to be had.
#[derive(Debug)]
pub(super) struct Place {
    /// Host and port that it listens on.
    pub(super) address: String,
    /// Whether it speaks TLS.
    pub(super) is_secure: bool,
    /// What control requests must show.
    pub(super) control_token: Option<SecretString>,
}

/// What all tasks of a server share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) clock: Clock,
    pub(super) busy: Arc<Busy>,
    /// Host and port that it listens on.
    pub(super) address: String,
    /// `ws` or `wss`.
    pub(super) ws_scheme: &'static str,
    /// What control requests must show.
    pub(super) control_token: Option<SecretString>,
    pub(super) message_text: MessageText,
    pub(super) rules: Arc<TargetRules>,
    state: Mutex<TargetState>,
    signals: Mutex<HashMap<SessionId, Arc<Signal>>>,
    /// Those who wait for a server of an endpoint with a capacity.
    pub(super) waiters: Waiters,
    /// Only where the rules delay an answer.
    alarm: Option<Alarm>,
    /// Numbers requests, for texts that name them.
    requests: AtomicU64,
}

/// Set in a signal's code where the session makes room for another, and no storm strikes it. No close code has this bit.
const DISPLACED: u16 = 0x8000;
/// Set where the session is warned of the storm whose index is in the other bits.
const WARNED: u16 = 0x4000;
/// Set where what the session holds has ended.
const HOLD_ENDED: u16 = 0x2000;

/// What a session's task is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// A storm strikes it, with this code.
    Storm(u16),
    /// It makes room for another session of its client, with this code.
    Displaced(u16),
    /// The storm of this index is to come.
    Warned(usize),
    /// Its token or ticket has ended.
    HoldEnded,
}

/// Tells a session's task that a storm strikes it, or that it makes room.
#[derive(Debug, Default)]
pub(super) struct Signal {
    /// The close code, with a mark where the session is displaced; zero: nothing.
    code: AtomicU16,
    waker: AtomicWaker,
}

/// What an admitted session is made of.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) session: Session,
    pub(super) signal: Arc<Signal>,
}

impl Shared {
    pub(super) fn new(rules: TargetRules, seed: u64, clock: Clock, place: Place) -> io::Result<Self> {
        let is_delayed = rules.upgrade_delay != Delay::None
            || rules.token_delay != Delay::None
            || rules.token_capacity.is_some()
            || rules.upgrade_capacity.is_some()
            || !rules.faults.is_empty();
        let mut state = TargetState::new(rules, seed);
        let message_text = MessageText::of(state.rules());
        state.set_origin(clock.unix_us(Moment::ZERO));
        let scheme = if place.is_secure { "https" } else { "http" };
        state.set_address(&format!("{scheme}://{}", place.address));
        Ok(Self {
            clock,
            busy: Arc::default(),
            address: place.address,
            ws_scheme: if place.is_secure { "wss" } else { "ws" },
            control_token: place.control_token,
            message_text,
            rules: Arc::clone(state.rules()),
            state: Mutex::new(state),
            signals: Mutex::default(),
            waiters: Waiters::default(),
            alarm: if is_delayed { Some(Alarm::start(clock)?) } else { None },
            requests: AtomicU64::new(0),
        })
    }

    /// The state, locked. Its invariants hold after each call, so a panic elsewhere does not spoil it.
    pub(super) fn state(&self) -> MutexGuard<'_, TargetState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn signals(&self) -> MutexGuard<'_, HashMap<SessionId, Arc<Signal>>> {
        self.signals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it speaks TLS.
    pub(super) fn is_secure(&self) -> bool {
        self.ws_scheme == "wss"
    }

    /// A number for a request, as services name them: 32 hexadecimal digits, no two alike.
    pub(super) fn next_request(&self) -> String {
        format!("{:032x}", self.requests.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// An error that is counted as a bad request.
    pub(super) fn bad_request(&self, status: StatusCode, code: &str, message: &str) -> Answer {
        self.state().count_bad_request();
        answer::fault(status, code, message)
    }

    /// Adds the headers that the rules give to every answer.
    pub(super) fn add_own_headers(&self, answer: &mut Answer) {
        for (name, value) in &self.rules.answer_headers {
            let text = value.render(|name| match name {
                "request" => Some(self.next_request()),
                "unix_ms" => Some((self.clock.unix_us(self.clock.now()) / 1_000).to_string()),
                _ => None,
            });
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name.as_str()), HeaderValue::try_from(text))
            {
                answer.headers_mut().insert(name, value);
            }
        }
    }

    /// Decides on an upgrade; a session that begins can be reached by storms from here on.
    pub(super) fn handshake(&self, look: &UpgradeLook<'_>) -> Result<Admitted, HandshakeRefusal> {
        let (admitted, ended) = {
            let mut state = self.state();
            let now = self.clock.now();
            let answered = look.decide(&mut state, now);
            let admitted = match answered {
                Handshake::Refused(refusal) => Err(refusal),
                Handshake::Admitted { session, displaced } => {
                    let signal = Arc::<Signal>::default();
                    // Under the state's lock: a storm that picks the session must find its signal.
                    let mut signals = self.signals();
                    signals.insert(session.id(), Arc::clone(&signal));
                    if let Some(displaced) = displaced.and_then(|id| signals.get(&id)) {
                        displaced.raise(self.rules.displaced_code | DISPLACED);
                    }
                    Ok(Admitted { session, signal })
                }
            };
            (admitted, state.take_hold_ended())
        };
        self.raise(&ended, HOLD_ENDED);
        admitted
    }

    /// The fault that strikes now at that stage, if any. What strikes a session is counted when it does, all else here.
    pub(super) fn strike(&self, stage: FaultStage) -> Option<FaultKind> {
        if self.rules.faults.is_empty() {
            return None;
        }
        let mut state = self.state();
        let fault = state.strike(self.clock.now(), stage)?;
        if fault.after().is_none() {
            state.count_fault(&fault);
        }
        Some(fault)
    }

    /// Does something to the state, and tells the sessions whose token or ticket that has ended.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut TargetState, Moment) -> T) -> T {
        let now = self.clock.now();
        let mut state = self.state();
        let result = change(&mut state, now);
        let ended = state.take_hold_ended();
        drop(state);
        self.raise(&ended, HOLD_ENDED);
        result
    }

    fn raise(&self, sessions: &[SessionId], code: u16) {
        // The signals are everybody's: no handshake is to wait for them when there is nobody to tell.
        if sessions.is_empty() {
            return;
        }
        let signals = self.signals();
        for signal in sessions.iter().filter_map(|id| signals.get(id)) {
            signal.raise(code);
        }
    }

    /// The target is about to close a session.
    pub(super) fn begin_close(&self, id: SessionId) {
        self.change(|state, now| state.begin_close(now, id));
    }

    /// The session falls silent: as [`Self::begin_close`], but no frame tells the client.
    pub(super) fn begin_silence(&self, id: SessionId) {
        self.change(|state, now| state.begin_silence(now, id));
    }

    /// Ends a session for good.
    pub(super) fn end_session(&self, id: SessionId, ended: Ended) {
        self.change(|state, now| state.end_session(now, id, ended));
        self.signals().remove(&id);
    }

    /// Warns this share of the sessions of a storm to come; answers with them.
    pub(super) fn warn(&self, storm: usize, fraction: f64) -> Vec<SessionId> {
        let picked = self.state().pick(fraction);
        self.raise(&picked, WARNED | u16::try_from(storm).unwrap_or(0));
        picked
    }

    /// Closes these sessions, as far as they are still open.
    pub(super) fn close_sessions(&self, sessions: &[SessionId], code: u16) -> u64 {
        let struck = self.change(|state, now| state.strike_sessions(now, sessions));
        self.raise(&struck, code);
        struck.len() as u64
    }

    /// Strikes this share of the sessions; answers with how many.
    pub(super) fn storm(&self, code: u16, fraction: f64) -> Result<u64, StormError> {
        let struck = self.change(|state, now| state.storm(now, code, fraction))?;
        self.raise(&struck, code);
        Ok(struck.len() as u64)
    }

    /// Sleeps until `due`.
    pub(super) async fn sleep_until(&self, due: Moment) {
        if let Some(alarm) = &self.alarm {
            alarm.sleep_until(due).await;
        }
    }

    /// Holds an answer back until `delay` after its request arrived.
    pub(super) async fn hold_back(&self, arrived: Moment, delay: Duration) {
        if delay > Duration::ZERO
            && let Some(alarm) = &self.alarm
        {
            alarm.sleep_until(arrived + delay).await;
        }
    }
}

impl Signal {
    fn raise(&self, code: u16) {
        self.code.store(code, Ordering::Release);
        self.waker.wake();
    }

    /// What the session is told, once.
    pub(super) fn poll(&self, context: &Context<'_>) -> Poll<Order> {
        self.waker.register(context.waker());
        match self.code.swap(0, Ordering::AcqRel) {
            0 => Poll::Pending,
            code if code & DISPLACED != 0 => Poll::Ready(Order::Displaced(code & !DISPLACED)),
            code if code & WARNED != 0 => Poll::Ready(Order::Warned(usize::from(code & !WARNED))),
            HOLD_ENDED => Poll::Ready(Order::HoldEnded),
            code => Poll::Ready(Order::Storm(code)),
        }
    }
}
