//! Every fault of the embedded target over real sockets: what clients make of it, that nothing hangs, that the accounts close, and that
//! the target serves on when the fault is over.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use resurge::record::check_accounts;
use resurge::run::RunDone;
use resurge::sample::{
    Abnormal, AnsweredBy, AttemptKey, AttemptKind, Cause, CloseKey, Counter, Initiator, Metric, Outcome,
    Said, Word,
};

use crate::support::in_process::run_file;

/// Clients of each run.
const CLIENTS: u64 = 5;
/// How long each run is.
const DURATION_S: f64 = 3.0;
/// The longest timeout of any stage.
const TIMEOUT_S: f64 = 0.5;
/// Runs at once: most of their time is waiting.
const AT_ONCE: usize = 8;

/// What clients make of a fault.
#[derive(Debug, Clone, Copy)]
enum Expected {
    /// Attempts end like that while the fault lasts.
    Attempts(Outcome, Option<Cause>),
    /// Sessions end with 1006 in this way while the fault lasts, each before its client is in.
    Closes(Abnormal),
    /// The target breaks the protocol so, and clients fail the connection (RFC 6455 §7.1.7): 1006 to themselves, for they got no close
    /// frame, and this code to the target.
    Fails(Abnormal, u16),
    /// Every attempt succeeds, but not before so many microseconds.
    Slow(u64),
}

/// Whether the clients' numbers and the target's are the same, or differ by no more than the clients can know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Books {
    Exact,
    Explained,
}

#[derive(Clone, Copy)]
struct Case {
    /// The keys of the fault.
    fault: &'static str,
    /// Keys of the target, if any.
    target: &'static str,
    /// Overrides of the group.
    group: &'static [(&'static str, &'static str)],
    expected: Expected,
    books: Books,
}

const fn case(fault: &'static str, expected: Expected) -> Case {
    Case { fault, target: "", group: &[], expected, books: Books::Exact }
}

const fn refused(fault: &'static str, outcome: Outcome, cause: Option<Cause>) -> Case {
    case(fault, Expected::Attempts(outcome, cause))
}

const fn fails(fault: &'static str, how: Abnormal, code: u16) -> Case {
    case(fault, Expected::Fails(how, code))
}

const fn with_tls(case: Case) -> Case {
    Case { target: "tls = true", ..case }
}

fn cases() -> Vec<Case> {
    use Outcome::{Http4xx, Http5xx, Http401, Http403, Http429, Protocol, TcpReset, Timeout, TokenError};
    const LEAVES: (&str, &str) = ("disconnects", "[{ after = \"900ms\" }]");
    // Silence is noticed before a client is in.
    const WARY: (&str, &str) = ("session.keep_alive", "{ ping_every = \"100ms\", timeout = \"200ms\" }");
    vec![
        refused("kind = \"token_slow\"\ndelay = \"1s\"", TokenError, None),
        case("kind = \"token_slow\"\ndelay = { uniform = [\"50ms\", \"90ms\"] }", Expected::Slow(50_000)),
        case(
            "kind = \"token_slow\"\ndelay = { log_normal = { median = \"60ms\", sigma = 0.1 } }",
            Expected::Slow(30_000),
        ),
        refused("kind = \"token_hang\"", TokenError, None),
        refused("kind = \"token_status\"", TokenError, None),
        refused("kind = \"token_status\"\nstatus = 429\nretry_after = \"1s\"", TokenError, None),
        refused("kind = \"token_status\"\nstatus = 404", TokenError, None),
        refused("kind = \"token_html\"", TokenError, None),
        refused("kind = \"token_truncated\"", TokenError, None),
        Case {
            target: "token_life = \"500ms\"",
            group: &[LEAVES, ("reconnect.refetch_on", "[403]")],
            ..refused("kind = \"token_clock_skew\"\nskew = \"+1h\"", Http403, Some(Cause::ExpiredToken))
        },
        Case { group: &[LEAVES], ..case("kind = \"token_clock_skew\"\nskew = \"-2h\"", Expected::Slow(0)) },
        Case {
            // The token's connection is slow too, and is given the time.
            group: &[("token.timeout", "\"5s\""), ("connect.upgrade_timeout", "\"300ms\"")],
            books: Books::Explained,
            ..refused("kind = \"accept_slow\"\ndelay = \"500ms\"", Timeout, None)
        },
        refused("kind = \"upgrade_stall\"", Timeout, None),
        refused("kind = \"reset_before_upgrade\"", TcpReset, None),
        refused("kind = \"reset_during_upgrade\"", TcpReset, None),
        case("kind = \"reset_after_upgrade\"", Expected::Closes(Abnormal::Rst)),
        case("kind = \"reset_after_upgrade\"\nafter = \"200ms\"", Expected::Closes(Abnormal::Rst)),
        case("kind = \"close_without_frame\"\nafter = \"100ms\"", Expected::Closes(Abnormal::Fin)),
        Case { group: &[WARY], ..case("kind = \"half_open\"", Expected::Closes(Abnormal::Timeout)) },
        refused("kind = \"wrong_accept\"", Protocol, None),
        fails("kind = \"oversized_frame\"", Abnormal::TooLarge, 1009),
        fails("kind = \"malformed_frame\"", Abnormal::ReservedBits, 1002),
        fails("kind = \"malformed_frame\"\nflaw = \"opcode\"", Abnormal::BadOpcode, 1002),
        fails("kind = \"malformed_frame\"\nflaw = \"deflate\"", Abnormal::ReservedBits, 1002),
        Case {
            target: "compression = true\n",
            group: &[("connect.compression", "true")],
            ..fails("kind = \"malformed_frame\"\nflaw = \"deflate\"", Abnormal::BadDeflate, 1007)
        },
        Case {
            target: "compression = true\n",
            group: &[("connect.compression", "true")],
            ..fails("kind = \"oversized_frame\"", Abnormal::TooLarge, 1009)
        },
        fails("kind = \"invalid_utf8\"\nafter = \"50ms\"", Abnormal::BadUtf8, 1007),
        fails("kind = \"masked_frame\"", Abnormal::MaskedFrame, 1002),
        refused("kind = \"unsolicited_subprotocol\"", Protocol, None),
        with_tls(refused("kind = \"reset_before_upgrade\"", TcpReset, None)),
        with_tls(refused("kind = \"reset_during_upgrade\"", TcpReset, None)),
        with_tls(refused("kind = \"wrong_accept\"", Protocol, None)),
        with_tls(case("kind = \"reset_after_upgrade\"", Expected::Closes(Abnormal::Rst))),
        with_tls(case("kind = \"close_without_frame\"", Expected::Closes(Abnormal::Fin))),
        Case {
            group: &[WARY],
            ..with_tls(case("kind = \"half_open\"", Expected::Closes(Abnormal::Timeout)))
        },
        with_tls(fails("kind = \"invalid_utf8\"", Abnormal::BadUtf8, 1007)),
        refused("kind = \"upgrade_status\"\nretry_after = \"1s\"", Http5xx, Some(Cause::Overloaded)),
        refused("kind = \"upgrade_status\"\nstatus = 429", Http429, Some(Cause::RateLimited)),
        refused("kind = \"upgrade_status\"\nstatus = 404", Http4xx, None),
        refused("kind = \"upgrade_status\"\nstatus = 401", Http401, Some(Cause::Unknown)),
        refused("kind = \"upgrade_status\"\nstatus = 403", Http403, Some(Cause::Edge)),
    ]
}

/// Clients with short timeouts meet a fault that ends before the run does.
const SCENARIO: &str = r#"
duration = "3s"
drain = "2s"
seed = 7
[target]
idle_timeout = "never"
invalidation = "never"
close_timeout = "500ms"
TARGET
[[target.faults]]
FAULT
until = "1400ms"
[[groups]]
name = "g"
clients = 5
[groups.token]
client_id = "client"
client_secret = "demo-secret"
timeout = "500ms"
[groups.connect]
tcp_timeout = "500ms"
upgrade_timeout = "500ms"
close_timeout = "500ms"
[groups.session]
keep_alive = { ping_every = "200ms", timeout = "300ms" }
[groups.reconnect]
backoff = { kind = "constant", base = "200ms" }
"#;

fn run_case(case: &Case) -> RunDone {
    let home = tempfile::tempdir().unwrap();
    let scenario = home.path().join("fault.toml");
    std::fs::write(&scenario, SCENARIO.replace("TARGET", case.target).replace("FAULT", case.fault)).unwrap();
    let keys: Vec<String> = case.group.iter().map(|(key, _)| format!("groups.0.{key}")).collect();
    let values = case.group.iter().map(|(_, value)| *value);
    let overrides: Vec<(&str, &str)> = keys.iter().map(String::as_str).zip(values).collect();
    run_file(&scenario, &overrides, home.path().join("run"))
}

/// What is wrong with a run, if anything.
fn judge(case: &Case, done: &RunDone) -> Vec<String> {
    let all = &done.model.all;
    let mut wrong = Vec::new();
    let mut check = |holds: bool, what: String| {
        if !holds {
            wrong.push(format!("{} {}\n  {what}", case.target, case.fault.replace('\n', ", ")));
        }
    };
    let end = done.model.end.as_ref().unwrap();
    let counters = end.target_counters.as_ref().unwrap();
    let outcomes: BTreeSet<&str> = Outcome::ALL
        .iter()
        .filter(|outcome| all.outcome(**outcome) > 0)
        .map(|outcome| outcome.name())
        .collect();
    let seen = format!("{:?}\n  {:?}\n  {counters:?}", all.attempts, all.closes);

    let accounts = check_accounts("all", all, true);
    check(accounts.is_empty(), format!("{accounts:?}"));
    let books = done.model.reconciliation.as_ref().unwrap();
    let agrees = if case.books == Books::Exact { books.is_exact() } else { books.holds() };
    check(agrees, format!("the books do not agree: {books:?}\n  {seen}"));
    let latest = DURATION_S + TIMEOUT_S + 1.0;
    check(end.elapsed_s <= latest, format!("it took {} s, more than {latest}", end.elapsed_s));
    check(end.drained, "clients were cut off".to_owned());

    let name = case.fault.split('"').nth(1).unwrap();
    let injected: u64 =
        counters.faults_injected.iter().filter(|fault| fault.kind == name).map(|fault| fault.count).sum();
    check(counters.faults_injected.len() == 1 && injected > 0, format!("no fault struck: {seen}"));
    let early = all.outcome(Outcome::EndedEarly);
    let answered_by = |by: AnsweredBy| -> u64 {
        let is_by = |key: &AttemptKey| key.answer.as_ref().is_some_and(|answer| answer.by == by);
        all.attempts.iter().filter(|(key, _)| is_by(key)).map(|(_, n)| n).sum()
    };
    let expects_ok = all.outcome(Outcome::Ok) >= CLIENTS;
    check(expects_ok, format!("the target does not serve on: {seen}"));
    match case.expected {
        Expected::Attempts(outcome, cause) => {
            let count = all.attempts_where(|_, ended, why| ended == outcome && why == cause);
            check(count >= CLIENTS, format!("{outcome} with {cause:?} {count} times: {seen}"));
            let allowed = BTreeSet::from([outcome.name(), Outcome::Ok.name()]);
            check(outcomes.is_subset(&allowed), format!("other outcomes: {seen}"));
            // The page says that a gateway answered, and nothing of why.
            let by_edge = answered_by(AnsweredBy::Edge);
            let has_page = name == "upgrade_status" && matches!(outcome, Outcome::Http401 | Outcome::Http403);
            check(!has_page || by_edge == count, format!("{by_edge} of {count} by the edge: {seen}"));
            let is_one_each = !matches!(name, "token_clock_skew" | "accept_slow");
            check(!is_one_each || injected == count, format!("{injected} faults, {count} outcomes: {seen}"));
        }
        Expected::Closes(how) => {
            let key = CloseKey::unsaid(Initiator::Network, 1006, Some(how));
            let count = all.closes.get(&key).copied().unwrap_or(0);
            check(count >= CLIENTS && count == injected, format!("1006 {how} {count} times: {seen}"));
            check(early == injected, format!("{early} sessions ended early, of {injected}: {seen}"));
            check(outcomes == BTreeSet::from(["ended_early", "ok"]), format!("other outcomes: {seen}"));
            check(answered_by(AnsweredBy::Unknown) == early, format!("nobody spoke: {seen}"));
            let others: u64 = all.closes_total() - count;
            let goodbye = CloseKey::unsaid(Initiator::Client, 1000, None);
            let goodbye = goodbye.saying(Said::by_client(Word::Code(1000)));
            let at_end = all.closes.get(&goodbye).copied().unwrap_or(0);
            check(others == at_end, format!("other closes: {seen}"));
        }
        Expected::Fails(how, code) => {
            let key = CloseKey::unsaid(Initiator::Target, 1006, Some(how));
            let key = key.saying(Said::by_client(Word::Code(code)));
            let count = all.closes.get(&key).copied();
            check(count == Some(injected) && injected >= CLIENTS, format!("{key}: {seen}"));
            check(early == injected, format!("{early} sessions ended early, of {injected}: {seen}"));
            check(outcomes == BTreeSet::from(["ended_early", "ok"]), format!("other outcomes: {seen}"));
            check(answered_by(AnsweredBy::Service) == early, format!("the service's doing: {seen}"));
            let told = counters.closes.iter().filter(|close| close.code == code);
            let told: u64 = told.map(|close| close.count).sum();
            check(told == injected, format!("the target was told {code} {told} times: {seen}"));
        }
        Expected::Slow(least_us) => {
            check(outcomes == BTreeSet::from(["ok"]), format!("other outcomes: {seen}"));
            let first = all.attempts_where(|kind, _, _| kind == AttemptKind::First);
            check(first == CLIENTS, format!("{first} first attempts"));
            let fastest = all.histograms[&Metric::ConnectLatency].percentile_us(0.0);
            check(fastest >= least_us, format!("the fastest took {fastest} µs"));
            check(all.counter(Counter::TokenFailures) == 0, seen);
        }
    }
    wrong
}

#[test]
fn every_fault_is_what_clients_make_of_it() {
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        before(info);
    }));
    let cases = cases();
    let kinds: BTreeSet<&str> = cases.iter().map(|case| case.fault.split('"').nth(1).unwrap()).collect();
    assert_eq!(kinds.len(), 20, "a kind has no case: {kinds:?}");
    let next = AtomicUsize::new(0);
    let work = || {
        let mut wrong = Vec::new();
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
            wrong.extend(judge(case, &run_case(case)));
        }
        wrong
    };
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(PANICS.load(Ordering::SeqCst), 0, "something panicked on the way");
}

#[test]
fn the_shipped_bad_day_is_survived_and_every_fault_of_it_strikes() {
    let home = tempfile::tempdir().unwrap();
    let set = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let mut overrides = vec![
        set("groups.0.clients", "20"),
        set("groups.0.start.over", "500ms"),
        set("groups.0.disconnects.0.after", "400ms"),
        set("groups.0.session.keep_alive.ping_every", "100ms"),
        set("groups.0.session.keep_alive.timeout", "200ms"),
        set("duration", "8s"),
    ];
    for fault in 1..5 {
        overrides.push(set(&format!("target.faults.{fault}.from"), &format!("{fault}s")));
        overrides.push(set(&format!("target.faults.{fault}.until"), &format!("{}s", fault + 1)));
    }
    for fault in [3, 4] {
        overrides.push(set(&format!("target.faults.{fault}.after"), "50ms"));
    }
    let overrides: Vec<(&str, &str)> =
        overrides.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/bad-day.toml");
    let done = run_file(&scenario, &overrides, home.path().join("run"));
    let books = done.model.reconciliation.as_ref().unwrap();
    assert!(books.holds(), "{books:?}");
    assert!(done.model.account_faults.is_empty(), "{:?}", done.model.account_faults);
    let counters = done.model.end.as_ref().unwrap().target_counters.as_ref().unwrap();
    let struck: Vec<&str> = counters.faults_injected.iter().map(|fault| fault.kind.as_str()).collect();
    let all = ["half_open", "malformed_frame", "reset_before_upgrade", "token_slow", "upgrade_status"];
    assert_eq!(struck, all, "{counters:?}");
    let said = resurge::report::summary_text(&done.model, resurge::report::Style { colour: false });
    assert!(said.contains("faults that the target injected: half_open × "), "{said}");
    // The last second is a good one: whoever wants to is back.
    assert!(done.model.all.counter(Counter::Reconnects) > 100, "{:?}", done.model.all.counters);
}
