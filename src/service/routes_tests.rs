//! Routes, tickets, limits, idle sessions and ways to refuse, by the rules alone.

use std::time::Duration;

use crate::clock::Moment;
use crate::declare::template::Template;
use crate::sample::Cause;
use crate::scenario::keys::{Evicts, Route, RouteDoes, TicketEnd, Tickets};
use crate::scenario::keys::{
    IdleAction, IdleCounts, Invalidation, LimitOf, RefusalManner, RequestLimit, TargetRules, TokenEnd,
    WindowLimit,
};

use super::routes::{Answered, RouteAnswer, RouteRequest};
use super::rules::{Handshake, TargetState};
use super::rules_tests::fetch;
use super::session::{Due, EndHow, FrameClass, Session};
use super::token::TokenAnswer;
use super::windows::Usage;

const LIMIT: WindowLimit =
    WindowLimit { count: 2, per: Duration::from_secs(60), status: 429, retry_after: true };

fn at(s: u64) -> Moment {
    Moment::ZERO + Duration::from_secs(s)
}

fn route(does: RouteDoes, path: &str) -> Route {
    Route {
        method: crate::scenario::keys::Method::Post,
        path: path.into(),
        does,
        needs_token: true,
        status: 200,
        body: Template::parse("{ticket}"),
        headers: Vec::new(),
        entity: Template::parse("{topic}"),
        limit: None,
        limit_headers: None,
    }
}

/// A service of channels: routes 0 to 5 open, find, end, add to, replace in and list.
fn channels() -> TargetRules {
    let tickets = Tickets {
        life: Duration::from_secs(100),
        one_use: false,
        per_client: Some(2),
        displaces: true,
        optional: false,
        evicts: Evicts::UnconnectedFirst,
        ends_with_token: true,
        most_topics: 2,
        renewed_by_topics: true,
    };
    let about_one = "/channels/{ticket}";
    TargetRules {
        invalidation: Invalidation::Never,
        required_scopes: Vec::new(),
        idle_timeout: None,
        tickets: Some(tickets),
        ticket_end: TicketEnd { message: Some(Template::parse("gone")), close: None },
        routes: vec![
            route(RouteDoes::Answer, "/channels"),
            route(RouteDoes::FindTicket, about_one),
            route(RouteDoes::EndTicket, about_one),
            route(RouteDoes::AddTopics, about_one),
            route(RouteDoes::ReplaceTopics, about_one),
            route(RouteDoes::ListTickets, "/channels"),
        ],
        ..TargetRules::default()
    }
}

fn ask(
    state: &mut TargetState,
    now: Moment,
    index: usize,
    request: RouteRequest<'_>,
) -> Result<Answered, (u16, Cause)> {
    match state.route(now, index, request) {
        RouteAnswer::Answered(answered) => Ok(answered),
        RouteAnswer::Refused(refusal, _) => Err((refusal.status, refusal.cause)),
    }
}

fn open_channel(state: &mut TargetState, now: Moment, token: &str) -> String {
    let request = RouteRequest { credential: Some(token), ..RouteRequest::default() };
    ask(state, now, 0, request).unwrap().ticket.unwrap()
}

fn connect(state: &mut TargetState, now: Moment, credential: Option<&str>) -> Session {
    match state.handshake(now, credential, None) {
        Handshake::Admitted { session, .. } => session,
        refused @ Handshake::Refused(_) => panic!("{refused:?}"),
    }
}

#[test]
fn a_channel_is_found_by_its_owner_until_it_ends() {
    let mut state = TargetState::new(channels(), 1);
    let (mine, other) = (fetch(&mut state, at(0), "me", None), fetch(&mut state, at(0), "other", None));
    let channel = open_channel(&mut state, at(0), &mine);
    let request =
        |token, ticket| RouteRequest { credential: Some(token), ticket: Some(ticket), topics: None };
    assert_eq!(ask(&mut state, at(1), 1, request(&mine, &channel)).unwrap().expires, Some(at(100)));
    assert_eq!(ask(&mut state, at(1), 1, request(&other, &channel)), Err((404, Cause::ForbiddenOther)));
    assert_eq!(ask(&mut state, at(1), 1, request(&mine, "nonsense")), Err((404, Cause::ForbiddenOther)));
    let listed = RouteRequest { credential: Some(&mine), ..RouteRequest::default() };
    assert_eq!(ask(&mut state, at(1), 5, listed).unwrap().entities, std::slice::from_ref(&channel));
    let session = connect(&mut state, at(1), Some(&channel));
    assert!(ask(&mut state, at(2), 2, request(&mine, &channel)).is_ok());
    assert_eq!(state.take_hold_ended(), [session.id()], "its session is told");
    assert_eq!(ask(&mut state, at(2), 1, request(&mine, &channel)), Err((404, Cause::ForbiddenOther)));
    assert_eq!(ask(&mut state, at(2), 5, listed).unwrap().entities, [""; 0]);
    let counters = state.counters();
    let refused: u64 = counters.routes_refused.iter().map(|refused| refused.count).sum();
    assert_eq!((counters.routes_answered, refused), (5, 3));
}

#[test]
fn topics_keep_a_channel_alive_and_are_limited() {
    let mut state = TargetState::new(channels(), 1);
    let token = fetch(&mut state, at(0), "me", None);
    let channel = open_channel(&mut state, at(0), &token);
    let names: Vec<String> = ["a", "b", "c"].map(str::to_owned).to_vec();
    let request = |topics| RouteRequest { credential: Some(&token), ticket: Some(&channel), topics };
    assert_eq!(ask(&mut state, at(50), 3, request(Some(&names[..2]))).unwrap().entities, ["a", "b"]);
    assert_eq!(ask(&mut state, at(50), 3, request(Some(&names[2..]))), Err((400, Cause::ForbiddenOther)));
    assert_eq!(ask(&mut state, at(50), 4, request(Some(&names[2..]))).unwrap().entities, ["c"]);
    assert_eq!(ask(&mut state, at(50), 4, request(None)), Err((400, Cause::ForbiddenOther)));
    assert!(ask(&mut state, at(149), 1, request(None)).is_ok(), "50 s and 100 more");
    assert_eq!(ask(&mut state, at(150), 1, request(None)), Err((404, Cause::ForbiddenOther)));
    let second = open_channel(&mut state, at(150), &token);
    let session = connect(&mut state, at(150), Some(&second));
    assert_eq!(state.add_topics(at(150), session.id(), &names[..2]), Ok(()));
    assert!(state.add_topics(at(150), session.id(), &names).is_err());
}

#[test]
fn a_channel_ends_by_eviction_age_or_its_token() {
    let mut state = TargetState::new(channels(), 1);
    let token = fetch(&mut state, at(0), "me", None);
    let first = open_channel(&mut state, at(0), &token);
    let mut session = connect(&mut state, at(0), Some(&first));
    assert_eq!(session.next_wake(), at(100));
    assert_eq!(session.take_due(at(100)), Due::HoldEnd);
    assert_eq!(state.hold_end(session.id()), at(100));
    open_channel(&mut state, at(1), &token);
    open_channel(&mut state, at(2), &token);
    assert_eq!(state.take_hold_ended(), [], "the one without a session went");
    assert_eq!(state.counters().tickets_evicted, 1);
    state.revoke(&token);
    assert_eq!(state.take_hold_ended(), [session.id()], "all end with their token");
    assert!(matches!(state.handshake(at(3), Some(&first), None), Handshake::Refused(_)));
    state.revoke("of another world");
}

#[test]
fn a_session_may_not_outlive_its_token() {
    let end = TokenEnd { code: 4401, grace: Duration::from_secs(5), at_revocation: true };
    let rules = TargetRules {
        token_end: Some(end),
        token_life: Duration::from_secs(30),
        invalidation: Invalidation::OnNewToken,
        idle_timeout: None,
        ..TargetRules::default()
    };
    let mut state = TargetState::new(rules.clone(), 1);
    let token = fetch(&mut state, at(10), "me", None);
    let mut session = connect(&mut state, at(11), Some(&token));
    let beside = connect(&mut state, at(11), Some(&token));
    assert_eq!(session.next_wake(), at(45));
    assert_eq!(session.take_due(at(45)), Due::HoldEnd);
    state.end_session(at(12), beside.id(), beside.end(EndHow::CloseFrame(1000)));
    fetch(&mut state, at(13), "me", None);
    assert_eq!(
        state.take_hold_ended(),
        [session.id()],
        "the newer token ended the older, and what it had opened"
    );
    let lenient = TargetRules { token_end: Some(TokenEnd { at_revocation: false, ..end }), ..rules };
    let mut state = TargetState::new(lenient, 1);
    let token = fetch(&mut state, at(0), "me", None);
    connect(&mut state, at(0), Some(&token));
    state.revoke(&token);
    assert_eq!(state.take_hold_ended(), []);
}

#[test]
fn a_share_of_the_living_tokens_is_revoked_and_the_same_for_the_same_seed() {
    let run = |seed| {
        let mut state = TargetState::new(TargetRules::default(), seed);
        let tokens: Vec<String> = (0..40).map(|_| fetch(&mut state, at(0), "me", None)).collect();
        assert_eq!((state.revoke_share(at(1), 0.25), state.revoke_share(at(1), 1.0)), (10, 30));
        assert_eq!(state.revoke_share(at(1), 1.0), 0);
        let again: Vec<String> = (0..40).map(|_| fetch(&mut state, at(2), "me", None)).collect();
        state.revoke_share(at(2), 0.5);
        let good =
            |text: &String| matches!(state.handshake(at(3), Some(text), None), Handshake::Admitted { .. });
        (tokens.len(), again.iter().map(good).collect::<Vec<bool>>())
    };
    let (_, good) = run(1);
    assert_eq!(good.iter().filter(|good| **good).count(), 20);
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).1, run(2).1);
}

#[test]
fn requests_are_limited_over_all_routes_by_token_and_by_client() {
    let by = |of, count| RequestLimit { of, limit: WindowLimit { count, ..LIMIT }, headers: None };
    let rules =
        TargetRules { request_limits: vec![by(LimitOf::Token, 2), by(LimitOf::Client, 3)], ..channels() };
    let mut state = TargetState::new(rules, 1);
    let (one, two) = (fetch(&mut state, at(0), "me", None), fetch(&mut state, at(0), "me", None));
    let mut status = |s, token: &str, index| {
        let request = RouteRequest { credential: Some(token), ..RouteRequest::default() };
        ask(&mut state, at(s), index, request).map_or_else(|refused| refused.0, |_| 200)
    };
    assert_eq!([status(0, &one, 0), status(0, &one, 5), status(0, &one, 5)], [200, 200, 429]);
    // Two of the first token's requests were counted for the client, for the third was refused before.
    assert_eq!([status(1, &two, 5), status(1, &two, 5)], [200, 429]);
    assert_eq!(status(60, &one, 5), 200, "another window");
    let refused = state.counters().routes_refused;
    assert_eq!(
        (refused.len(), refused[0].status, refused[0].cause, refused[0].count),
        (1, 429, Cause::RateLimited, 2)
    );
}

#[test]
fn token_requests_are_limited_with_or_without_a_word_when_to_come_back() {
    for retry_after in [true, false] {
        let rules =
            TargetRules { token_limit: Some(WindowLimit { retry_after, ..LIMIT }), ..TargetRules::default() };
        let mut state = TargetState::new(rules, 1);
        fetch(&mut state, at(0), "me", None);
        fetch(&mut state, at(20), "me", None);
        let request = super::token::TokenRequest {
            grant_type: Some("client_credentials"),
            client_id: Some("me"),
            client_secret: Some("s"),
            scope: None,
            ..super::token::TokenRequest::default()
        };
        let TokenAnswer::Limited(refusal) = state.token_request(at(30), request) else { panic!("no limit") };
        assert_eq!(
            (refusal.status, refusal.retry_after),
            (429, retry_after.then_some(Duration::from_secs(30)))
        );
        fetch(&mut state, at(30), "another", None);
        let counters = state.counters();
        assert_eq!((counters.tokens_issued, counters.token_requests_refused[0].count), (3, 1));
    }
}

#[test]
fn idle_sessions_are_counted_and_ended_as_the_rules_say() {
    use FrameClass::{Control, Data};
    use IdleCounts::{Client, Either, Target};
    let second = Some(Duration::from_secs(10));
    // (which side counts, control frames too, what the client sends after 4 s, messages of the target after 7 s, when it is idle)
    let table = [
        (Client, true, None, false, 10),
        (Client, true, Some(Control), false, 14),
        (Client, false, Some(Control), false, 10),
        (Client, false, Some(Data), false, 14),
        (Client, true, None, true, 10),
        (Target, true, Some(Data), false, 10),
        (Target, true, None, true, 17),
        (Either, true, Some(Data), true, 17),
    ];
    for (idle_counts, idle_control_frames, client, target, expected) in table {
        let messages_every = target.then_some(Duration::from_secs(7));
        let rules = TargetRules {
            idle_timeout: second,
            idle_counts,
            idle_control_frames,
            messages_every,
            ..TargetRules::default()
        };
        let mut state = TargetState::new(rules, 1);
        let token = fetch(&mut state, at(0), "me", None);
        let mut session = connect(&mut state, at(0), Some(&token));
        if let Some(class) = client {
            session.heard(at(4), class);
        }
        if target {
            assert!(matches!(session.take_due(at(7)), Due::Message { .. }));
        }
        assert_eq!(
            session.idle_deadline(),
            at(expected),
            "{idle_counts:?} {idle_control_frames} {client:?} {target}"
        );
    }
    for (idle_action, expected) in [(IdleAction::Drop, Due::HangUp), (IdleAction::Silence, Due::FallSilent)] {
        let rules = TargetRules { idle_timeout: second, idle_action, ..TargetRules::default() };
        let mut state = TargetState::new(rules, 1);
        let token = fetch(&mut state, at(0), "me", None);
        assert_eq!(connect(&mut state, at(0), Some(&token)).take_due(at(10)), expected);
    }
}

#[test]
fn refusals_on_a_socket_are_sessions_that_are_good_for_nothing() {
    let socket = RefusalManner::Socket { message: Some(Template::parse("no")), close: Some(4401) };
    for (manner, is_admitted) in
        [(socket, true), (RefusalManner::Reset, false), (RefusalManner::Silence, false)]
    {
        let name = manner.name();
        let every = Some(Duration::from_secs(1));
        let rules = TargetRules { refusal_manner: manner, messages_every: every, ..TargetRules::default() };
        let mut state = TargetState::new(rules, 1);
        match state.handshake(at(5), Some("nonsense"), None) {
            Handshake::Admitted { mut session, .. } => {
                assert!(is_admitted, "{name}");
                let Due::Refuse(refusal) = session.take_due(at(5)) else { panic!("it is not told") };
                assert_eq!(refusal.cause, Cause::UnknownToken);
                assert_eq!(session.next_wake(), at(65), "no messages, only the idle clock");
            }
            Handshake::Refused(_) => assert!(!is_admitted, "{name}"),
        }
        let counters = state.counters();
        let otherwise = &counters.refused_otherwise[0];
        assert_eq!(
            (otherwise.manner.as_str(), otherwise.cause, otherwise.count),
            (name, Cause::UnknownToken, 1)
        );
        assert_eq!((counters.refused.len(), counters.upgrades), (0, u64::from(is_admitted)));
    }
}

#[test]
fn usage_is_over_beyond_what_is_allowed() {
    let usage = |count| Usage { count, allowed: 2, reset: Duration::ZERO };
    assert_eq!([1, 2, 3].map(|count| usage(count).is_over()), [false, false, true]);
}
