//! The target's rules as a whole: tables of what a handshake gets, and properties that hold for any order of events.

use std::time::Duration;

use proptest::prelude::*;

use crate::clock::Moment;
use crate::sample::{Abnormal, Cause};
use crate::scenario::keys::{Delay, Invalidation, TargetRules};

use super::rules::{Handshake, TargetState};
use super::session::{Due, EndHow, FrameClass, Session};
use super::storms::{StormError, is_sendable};
use super::token::{TokenAnswer, TokenRequest};

fn at(ms: u64) -> Moment {
    Moment::from_ns(ms * 1_000_000)
}

fn state(invalidation: Invalidation) -> TargetState {
    let rules = TargetRules {
        invalidation,
        token_life: Duration::from_secs(100),
        idle_timeout: Some(Duration::from_secs(10)),
        ..TargetRules::default()
    };
    TargetState::new(rules, 7)
}

pub(super) fn fetch(state: &mut TargetState, now: Moment, client: &str, scope: Option<&str>) -> String {
    let request = TokenRequest {
        grant_type: Some("client_credentials"),
        client_id: Some(client),
        client_secret: Some("s"),
        scope,
        ..TokenRequest::default()
    };
    match state.token_request(now, request) {
        TokenAnswer::Issued(issued) => issued.access_token.text(),
        refused => panic!("{refused:?}"),
    }
}

fn admitted(state: &mut TargetState, now: Moment, token: &str) -> Session {
    match state.handshake(now, Some(token), None) {
        Handshake::Admitted { session, .. } => session,
        refused @ Handshake::Refused(_) => panic!("{refused:?}"),
    }
}

/// The cause of the refusal; `None` where the token was accepted. A session that began is ended at once.
fn refusal(state: &mut TargetState, now: Moment, token: Option<&str>) -> Option<Cause> {
    match state.handshake(now, token, None) {
        Handshake::Refused(refusal) => {
            assert_eq!(refusal.status, 403);
            Some(refusal.cause)
        }
        Handshake::Admitted { session, .. } => {
            state.end_session(now, session.id(), session.end(EndHow::CloseFrame(1000)));
            None
        }
    }
}

#[test]
fn a_handshake_is_refused_for_the_first_cause_that_holds() {
    let mut state = state(Invalidation::OnDisconnect);
    assert_eq!(refusal(&mut state, at(0), None), Some(Cause::NoToken));
    assert_eq!(refusal(&mut state, at(0), Some("nonsense")), Some(Cause::UnknownToken));
    let narrow = fetch(&mut state, at(0), "a", Some("users:read"));
    assert_eq!(refusal(&mut state, at(0), Some(&narrow)), Some(Cause::MissingScope));
    assert_eq!(
        refusal(&mut state, at(100_000), Some(&narrow)),
        Some(Cause::ExpiredToken),
        "before the scope"
    );
    let token = fetch(&mut state, at(0), "a", None);
    let unused = fetch(&mut state, at(0), "a", None);
    assert_eq!(refusal(&mut state, at(99_999), Some(&token)), None);
    assert_eq!(refusal(&mut state, at(99_999), Some(&token)), Some(Cause::StaleToken));
    assert_eq!(
        refusal(&mut state, at(100_000), Some(&token)),
        Some(Cause::ExpiredToken),
        "its age comes first"
    );
    assert_eq!(refusal(&mut state, at(100_000), Some(&unused)), Some(Cause::ExpiredToken));
}

#[test]
fn what_ends_a_token_early() {
    // (rule, what happens to a token used once, then to one whose client fetched another)
    let table = [
        (Invalidation::Never, None, None),
        (Invalidation::OnDisconnect, Some(Cause::StaleToken), None),
        (Invalidation::OnNewToken, None, Some(Cause::StaleToken)),
    ];
    for (rule, used, superseded) in table {
        let mut state = state(rule);
        let token = fetch(&mut state, at(0), "a", None);
        assert_eq!(refusal(&mut state, at(1), Some(&token)), None);
        assert_eq!(refusal(&mut state, at(2), Some(&token)), used, "{rule:?}");
        let older = fetch(&mut state, at(3), "a", None);
        fetch(&mut state, at(4), "another client", None);
        let newer = fetch(&mut state, at(5), "a", None);
        assert_eq!(refusal(&mut state, at(6), Some(&older)), superseded, "{rule:?}");
        assert_eq!(refusal(&mut state, at(7), Some(&newer)), None, "{rule:?}");
    }
}

#[test]
fn a_token_is_gone_before_the_close_frame_leaves() {
    let mut state = state(Invalidation::OnDisconnect);
    let token = fetch(&mut state, at(0), "a", None);
    let mut session = admitted(&mut state, at(0), &token);
    assert!(matches!(session.take_due(at(10_000)), Due::Close(_)));
    state.begin_close(at(0), session.id());
    assert_eq!(refusal(&mut state, at(10_000), Some(&token)), Some(Cause::StaleToken));
    assert_eq!(state.counters().sessions_open, 1, "it ends when the connection does");
}

#[test]
fn a_storm_strikes_its_share_and_refuses_nonsense() {
    let mut state = state(Invalidation::OnDisconnect);
    for _ in 0..40 {
        let token = fetch(&mut state, at(0), "a", None);
        admitted(&mut state, at(0), &token);
    }
    let first = state.storm(at(0), 1012, 0.25).unwrap();
    assert_eq!(first.len(), 10);
    assert!(first.windows(2).all(|pair| pair[0] < pair[1]), "each once");
    let second = state.storm(at(0), 1012, 1.0).unwrap();
    assert_eq!(second.len(), 30, "those that are closing are not struck again");
    assert!(second.iter().all(|id| !first.contains(id)));
    assert_eq!(state.storm(at(0), 1012, 1.0).unwrap(), []);
    for fraction in [0.0, -1.0, 1.01, f64::NAN, f64::INFINITY] {
        assert!(matches!(state.storm(at(0), 1001, fraction), Err(StormError::Fraction(_))), "{fraction}");
    }
    insta::assert_snapshot!(state.storm(at(0), 1006, 1.0).unwrap_err(), @"close code 1006 cannot be sent: use 1000 to 1003, 1007 to 1013, or 3000 to 4999");
    insta::assert_snapshot!(state.storm(at(0), 1001, 1.5).unwrap_err(), @"fraction 1.5 is not a share: use a number above 0 and up to 1");
    assert!([1000, 1001, 1012, 3000, 4999].into_iter().all(is_sendable));
    assert!(![0, 999, 1004, 1005, 1006, 1015, 2999, 5000].into_iter().any(is_sendable));
}

#[test]
fn the_same_seed_gives_the_same_target() {
    let run = |seed| {
        let delay = Delay::Uniform { low: Duration::ZERO, high: Duration::from_secs(1) };
        let rules = TargetRules { upgrade_delay: delay, token_delay: delay, ..TargetRules::default() };
        let mut state = TargetState::new(rules, seed);
        let tokens: Vec<String> = (0..20).map(|_| fetch(&mut state, at(0), "a", None)).collect();
        for token in &tokens {
            admitted(&mut state, at(0), token);
        }
        let delays = (state.next_upgrade_delay(), state.next_token_delay());
        assert_ne!(delays.0, delays.1, "streams of their own");
        (tokens, delays, state.storm(at(0), 1001, 0.5).unwrap())
    };
    assert_eq!(run(1), run(1));
    let (one, other) = (run(1), run(2));
    assert!(one.0 != other.0 && one.1 != other.1 && one.2 != other.2);
}

/// Something that happens to the target.
#[derive(Debug, Clone)]
enum Event {
    Fetch(u8),
    /// With the token of that index, or none.
    Handshake(Option<usize>),
    Timer(usize),
    Heard(usize),
    CloseFrame(usize, u16),
    Lost(usize, usize),
    /// The same end reported again.
    EndAgain(usize),
    Storm(u8),
    Pass(u16),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0_u8..3).prop_map(Event::Fetch),
        6 => prop::option::of(0_usize..20).prop_map(Event::Handshake),
        2 => (0_usize..9).prop_map(Event::Timer),
        1 => (0_usize..9).prop_map(Event::Heard),
        2 => (0_usize..9, prop::sample::select(vec![1000_u16, 1001, 1005, 4000])).prop_map(|(n, c)| Event::CloseFrame(n, c)),
        2 => (0_usize..9, 0_usize..5).prop_map(|(n, how)| Event::Lost(n, how)),
        1 => (0_usize..9).prop_map(Event::EndAgain),
        1 => (1_u8..=100).prop_map(Event::Storm),
        3 => (0_u16..20_000).prop_map(Event::Pass),
    ]
}

/// What the test itself knows of a token.
struct Known {
    text: String,
    client: u8,
    expires: Moment,
    has_ended: bool,
}

/// A target and an independent record of what it may do.
struct Bench {
    state: TargetState,
    invalidation: Invalidation,
    now: Moment,
    tokens: Vec<Known>,
    open: Vec<(Session, usize)>,
    ended: Vec<Session>,
    handshakes: u64,
}

impl Bench {
    fn end(&mut self, which: usize, how: EndHow) {
        if self.open.is_empty() {
            return;
        }
        let (session, token) = self.open.remove(which % self.open.len());
        self.state.end_session(self.now, session.id(), session.end(how));
        self.ended.push(session);
        self.token_ended(token);
    }

    fn token_ended(&mut self, token: usize) {
        self.tokens[token].has_ended |= self.invalidation == Invalidation::OnDisconnect;
    }

    fn apply(&mut self, event: &Event) {
        match *event {
            Event::Fetch(client) => {
                let text = fetch(&mut self.state, self.now, &client.to_string(), None);
                if self.invalidation == Invalidation::OnNewToken {
                    for older in self.tokens.iter_mut().filter(|token| token.client == client) {
                        older.has_ended = true;
                    }
                }
                let expires = self.now + Duration::from_secs(100);
                self.tokens.push(Known { text, client, expires, has_ended: false });
            }
            Event::Handshake(which) => self.handshake(which),
            Event::Timer(which) => self.timer(which),
            Event::Heard(which) => {
                let count = self.open.len().max(1);
                if let Some((session, _)) = self.open.get_mut(which % count) {
                    session.heard(self.now, FrameClass::Data);
                }
            }
            Event::CloseFrame(which, code) => self.end(which, EndHow::CloseFrame(code)),
            Event::Lost(which, how) => self.end(which, EndHow::Abnormal(Abnormal::ALL[how])),
            Event::EndAgain(which) => {
                let count = self.ended.len().max(1);
                if let Some(session) = self.ended.get(which % count) {
                    self.state.end_session(self.now, session.id(), session.end(EndHow::CloseFrame(1000)));
                }
            }
            Event::Storm(percent) => self.storm(f64::from(percent) / 100.0),
            Event::Pass(ms) => self.now = self.now + Duration::from_millis(ms.into()),
        }
    }

    fn handshake(&mut self, which: Option<usize>) {
        self.handshakes += 1;
        let index = which.filter(|_| !self.tokens.is_empty()).map(|index| index % self.tokens.len());
        let text = index.map(|index| self.tokens[index].text.clone());
        let is_good = index.is_some_and(|index| {
            let token = &self.tokens[index];
            !token.has_ended && self.now < token.expires
        });
        match self.state.handshake(self.now, text.as_deref(), None) {
            Handshake::Admitted { session, .. } => {
                assert!(is_good, "a dead token was accepted");
                self.open.push((session, index.unwrap()));
            }
            Handshake::Refused(refusal) => assert!(!is_good, "a good token was refused: {refusal:?}"),
        }
    }

    fn timer(&mut self, which: usize) {
        let count = self.open.len().max(1);
        let Some((session, token)) = self.open.get_mut(which % count) else { return };
        let token = *token;
        match session.take_due(self.now) {
            Due::Close(_) => {
                self.state.begin_close(self.now, session.id());
                session.close_frame_sent();
                self.token_ended(token);
            }
            Due::GiveUp => self.end(which, EndHow::Abnormal(Abnormal::Timeout)),
            _ => {}
        }
    }

    fn storm(&mut self, fraction: f64) {
        let struck = self.state.storm(self.now, 1012, fraction).unwrap();
        for id in struck {
            let index = self.open.iter().position(|(session, _)| session.id() == id).unwrap();
            let token = self.open[index].1;
            assert!(self.open[index].0.storm(self.now, 1012).is_some(), "a closing session was struck");
            self.open[index].0.close_frame_sent();
            self.token_ended(token);
        }
    }
}

proptest! {
    #[test]
    fn counters_add_up_and_dead_tokens_stay_dead_whatever_the_order(
        events in prop::collection::vec(event(), 0..200),
        invalidation in prop::sample::select(vec![Invalidation::Never, Invalidation::OnDisconnect, Invalidation::OnNewToken]),
    ) {
        let mut bench = Bench {
            state: state(invalidation), invalidation, now: Moment::ZERO,
            tokens: Vec::new(), open: Vec::new(), ended: Vec::new(), handshakes: 0,
        };
        for event in &events {
            bench.apply(event);
            let counters = bench.state.counters();
            let closes: u64 = counters.closes.iter().map(|close| close.count).sum();
            let refused: u64 = counters.refused.iter().map(|refused| refused.count).sum();
            prop_assert_eq!(counters.upgrades, closes + counters.sessions_open);
            prop_assert_eq!(counters.upgrades + refused, bench.handshakes);
            prop_assert_eq!(counters.sessions_open, bench.open.len() as u64);
            prop_assert_eq!(closes, bench.ended.len() as u64);
            prop_assert_eq!(counters.tokens_issued, bench.tokens.len() as u64);
        }
    }
}
