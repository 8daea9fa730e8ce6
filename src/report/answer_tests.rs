//! The answer in words, of groups that are made up.

use std::time::Duration;

use super::*;
use crate::sample::{
    Abnormal, Answer, AnsweredBy, AttemptEnd, AwaySample, CloseKey, Initiator, Phases, ReadySample,
    RequestEnd, Sample, SessionEnd, Spoken,
};

/// A group of so many clients, made up of samples.
fn group(clients: u64, samples: &[(u64, Sample)]) -> Tally {
    let mut tally = Tally::default();
    tally.apply(&Sample::Count(Counter::ClientsStarted, clients));
    for (times, sample) in samples {
        (0..*times).for_each(|_| tally.apply(sample));
    }
    tally
}

fn end(kind: AttemptKind, outcome: Outcome) -> Sample {
    Sample::Attempt(AttemptEnd::plain(kind, outcome, Duration::ZERO))
}

fn refused(outcome: Outcome, code: u16, words: Option<&str>, cause: Cause, ground: Ground) -> Sample {
    let spoken = if outcome == Outcome::RefusedClose { Spoken::Close } else { Spoken::Http };
    let answer = Answer { spoken, code, words: words.map(Box::from), by: AnsweredBy::Service, ground };
    let plain = AttemptEnd::plain(AttemptKind::Reconnect, outcome, Duration::ZERO);
    Sample::Attempt(AttemptEnd { cause: Some(cause), answer: Some(Box::new(answer)), ..plain })
}

fn ready(kind: AttemptKind, ms: u64) -> Sample {
    let latency = Duration::from_millis(ms);
    let phases = Phases::default();
    Sample::Ready(Box::new(ReadySample { kind, storm: None, latency, service_time: latency, phases }))
}

const FIRST: AttemptKind = AttemptKind::First;
const BACK: AttemptKind = AttemptKind::Reconnect;

fn counted(counter: Counter) -> Sample {
    Sample::Count(counter, 1)
}

fn away() -> [Sample; 2] {
    let away = AwaySample { storm: None, away: Duration::from_secs(40) };
    [counted(Counter::ReconnectsUnfinished), Sample::Away(away)]
}

fn said(tally: &Tally, others: &[(&str, &Tally)]) -> String {
    sentences(tally, Asks::default(), others.iter().copied(), RUNS_END)
}

#[test]
fn each_world_has_its_sentences() {
    let in_first = |n| [(n, end(FIRST, Outcome::Ok)), (n, ready(FIRST, 1))];
    let lost = |n| (n, counted(Counter::Disconnects));
    let [unfinished, still_away] = away();
    let stale = refused(Outcome::Http403, 403, None, Cause::StaleToken, Ground::Said);
    let stale_token = group(
        1_000,
        &[
            in_first(1_000).as_slice(),
            &[lost(1_000), (3_000, stale), (1_000, unfinished), (1_000, still_away)],
        ]
        .concat(),
    );
    let fresh = group(
        100,
        &[
            in_first(100).as_slice(),
            &[lost(100), (100, end(BACK, Outcome::Ok)), (100, ready(BACK, 1_200))],
            &[(1, counted(Counter::TokensForReconnects))],
            &[(
                100,
                Sample::SessionEnd(SessionEnd {
                    key: CloseKey::unsaid(Initiator::Target, 1001, None),
                    length: Duration::ZERO,
                }),
            )],
        ]
        .concat(),
    );
    insta::assert_snapshot!(said(&stale_token, &[("fresh", &fresh)]), @"All 1,000 clients were disconnected, and none came back (1,000 were away when the run ended, for up to 40.0 s). Every attempt to come back (3,000) was refused with 403 because the token had been invalidated; a fresh one is let in, as group fresh shows.");
    insta::assert_snapshot!(said(&fresh, &[]), @"All 100 clients were disconnected, and all came back: half within 1.20 s, 99 % within 1.20 s. All sessions that were lost ended by target 1001 (100).");
    let idle = group(3, &in_first(3));
    insta::assert_snapshot!(said(&idle, &[]), @"All 3 clients were let in, and no session was lost before the run's end.");
    let close =
        refused(Outcome::RefusedClose, 4401, Some("token expired"), Cause::ExpiredToken, Ground::Proved);
    let by_close = group(
        20,
        &[
            in_first(20).as_slice(),
            &[lost(40), (40, close), (40, end(BACK, Outcome::Ok)), (40, ready(BACK, 900))],
        ]
        .concat(),
    );
    insta::assert_snapshot!(said(&by_close, &[]), @"All 20 clients were let in; sessions were lost 40 times, and all came back: half within 900 ms, 99 % within 900 ms. 40 of 100 attempts were refused by close 4401 because the token had expired; a fresh one was let in.");
    let bare = refused(Outcome::Http403, 403, None, Cause::Unknown, Ground::Unknown);
    let never = group(10, &[(30, bare), (10, counted(Counter::FirstGivenUp))]);
    insta::assert_snapshot!(said(&never, &[]), @"None of the 10 clients was ever let in. Every attempt (30) was refused with 403, and nothing tells why.");
    let unreachable = group(5, &[(15, end(FIRST, Outcome::TcpRefused))]);
    insta::assert_snapshot!(said(&unreachable, &[]), @"None of the 5 clients was ever let in. Every attempt (15) failed (tcp_refused).");
    let cut = CloseKey::unsaid(Initiator::Network, 1006, Some(Abnormal::Rst));
    let partly = group(
        4,
        &[
            in_first(3).as_slice(),
            &[
                lost(2),
                (1, end(BACK, Outcome::Ok)),
                (1, ready(BACK, 10)),
                (1, counted(Counter::ReconnectsGivenUp)),
            ],
            &[(2, Sample::SessionEnd(SessionEnd { key: cut, length: Duration::ZERO }))],
        ]
        .concat(),
    );
    insta::assert_snapshot!(said(&partly, &[]), @"3 of 4 clients were let in; sessions were lost 2 times, and 1 came back in 10.0 ms (1 gave up). All sessions that were lost ended by network 1006 (rst) (2).");
    let [unfinished, _] = away();
    let at_the_end = Sample::Away(AwaySample { storm: None, away: Duration::ZERO });
    let crossed = group(2, &[in_first(2).as_slice(), &[lost(1), (1, unfinished), (1, at_the_end)]].concat());
    insta::assert_snapshot!(said(&crossed, &[]), @"All 2 clients were let in; one session was lost, and none came back (1 lost theirs as the run ended).");
    assert_eq!(said(&Tally::default(), &[]), "No client started.");
}

#[test]
fn of_who_leaves_before_the_run_ends_that_is_said() {
    let [unfinished, still_away] = away();
    let tally = group(
        2,
        &[
            (2, end(FIRST, Outcome::Ok)),
            (2, ready(FIRST, 1)),
            (1, counted(Counter::Disconnects)),
            (1, unfinished),
            (1, still_away),
        ],
    );
    let said = sentences(&tally, Asks::default(), std::iter::empty(), OWN_END);
    assert!(said.contains("1 was away when their time was over, for up to 40.0 s"), "{said}");
}

#[test]
fn what_to_do_next_follows_from_what_was_met() {
    let next = |sample: Sample, status| next_steps(&[group(1, &[(1, sample)])], status, "", &[]);
    let dead = refused(Outcome::Http403, 403, None, Cause::StaleToken, Ground::Said);
    assert!(next(dead, Status::ThresholdFailed)[0].contains("on_reconnect"));
    let unknown = refused(Outcome::Http403, 403, None, Cause::Unknown, Ground::Unknown);
    assert!(next(unknown, Status::ThresholdFailed)[0].contains("diagnose"));
    let full = refused(Outcome::RefusedClose, 1013, None, Cause::Overloaded, Ground::Said);
    assert!(next(full, Status::Pass)[0].contains("sweep"));
    assert!(next(end(FIRST, Outcome::TokenRefused), Status::ThresholdFailed)[0].contains("tokens.csv"));
    assert!(next(end(FIRST, Outcome::Ok), Status::Pass).is_empty());
    let proved = refused(Outcome::Http401, 401, None, Cause::ExpiredToken, Ground::Proved);
    assert!(next(proved, Status::Pass)[0].contains("not only once they were refused"));
    let scope = || refused(Outcome::Http403, 403, None, Cause::MissingScope, Ground::Said);
    assert!(next(scope(), Status::Pass)[0].contains("token.scopes"));
    let signed = request(Request::Mint, RequestAnswer::Ok, None, "");
    let minted = group(1, &[(1, scope()), (1, signed)]);
    assert!(next_steps(&[minted], Status::Pass, "", &[])[0].contains("token.claims"));
    assert!(next(end(FIRST, Outcome::Ok), Status::ThresholdFailed)[0].contains("report.html"));
}

fn request(request: Request, answer: RequestAnswer, status: Option<u16>, word: &str) -> Sample {
    let error = ErrorWord::new(word);
    Sample::Request(Box::new(RequestEnd { request, answer, status, error, latency: Duration::ZERO }))
}

#[test]
fn what_a_token_endpoint_says_leads_to_what_to_change() {
    let (refused, error) = (Outcome::TokenRefused, Outcome::TokenError);
    let rows = [
        (refused, RequestAnswer::Refused, 400, "invalid_target", "token.params"),
        (refused, RequestAnswer::Refused, 400, "invalid_dpop_proof", "token.dpop"),
        (refused, RequestAnswer::Refused, 415, "", "token.body"),
        (error, RequestAnswer::NoAccessToken, 200, "nothing", "token.token_pointer"),
        (error, RequestAnswer::Refused, 503, "", "target.token_url"),
    ];
    for (outcome, answer, status, word, key) in rows {
        let tally = group(
            1,
            &[(1, end(FIRST, outcome)), (1, request(Request::Credentials, answer, Some(status), word))],
        );
        let next = next_steps(&[tally], Status::ThresholdFailed, "", &[]);
        assert!(next[0].contains(key), "{next:?}");
    }
    // Two requests for one token are no failure.
    let nonce = request(Request::Credentials, RequestAnswer::Refused, Some(400), "use_dpop_nonce");
    let tally = group(1, &[(1, end(FIRST, Outcome::Ok)), (1, nonce)]);
    assert!(next_steps(&[tally], Status::Pass, "", &[]).is_empty());
}

#[test]
fn a_copy_that_names_files_is_not_what_diagnose_is_to_read() {
    let unknown = || refused(Outcome::Http403, 403, None, Cause::Unknown, Ground::Unknown);
    let next = |scenario: &str| {
        next_steps(&[group(1, &[(1, unknown())])], Status::ThresholdFailed, scenario, &[]).remove(0)
    };
    assert!(next("[[groups]]\ntoken = { key = { file = \"k.pem\" } }").contains("that was run"));
    assert!(next("[[groups]]\ntoken = { feeder = \"rows.csv\" }").contains("that was run"));
    assert!(
        next("[[groups]]\ntoken = { key = { file = \"/etc/k.pem\" } }")
            .contains("resurge diagnose RUN/scenario.toml (RUN:")
    );
}

#[test]
fn diagnose_is_to_send_the_group_whose_refusals_are_unexplained() {
    let unknown = || refused(Outcome::Http403, 403, None, Cause::Unknown, Ground::Unknown);
    let totals = [group(1, &[]), group(1, &[(1, unknown())])];
    let next = next_steps(&totals, Status::ThresholdFailed, "", &["a", "b"]).remove(0);
    assert!(
        next.ends_with("resurge diagnose RUN/scenario.toml --group b (RUN: this run's folder)"),
        "{next}"
    );
}
