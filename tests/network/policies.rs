//! The shipped client policies, driven through the pure lifecycle: what each client does when it is thrown off and refused.

use std::time::Duration;

use resurge::clock::Moment;
use resurge::lifecycle::{
    Action, Client, ConnectFailure, Ending, EndingHow, Event, Evidence, Finish, GroupRules, Marks, Signs,
    TokenFacts,
};
use resurge::sample::{Cause, Counter, Sample};
use resurge::scenario::load;

/// A client of a policy, at a time of its own.
struct Bench {
    client: Client,
    rules: GroupRules,
    now: Moment,
    samples: Vec<Sample>,
    /// Tokens that it fetched.
    fetched: u32,
    /// How long it waited before each handshake, since the last one's end.
    waits: Vec<Duration>,
}

/// What a handshake is answered with.
#[derive(Clone, Copy)]
enum Answer {
    Refused(u16),
    Unreachable,
}

impl Bench {
    fn new(policy: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.toml");
        let text = format!(
            "duration = \"1h\"\n[target]\n[[groups]]\nname = \"g\"\nclients = 1\npolicy = \"{policy}\"\n[groups.token]\nclient_id = \"c\"\nclient_secret = \"s\"\n"
        );
        std::fs::write(&path, text).unwrap();
        let loaded = load(&path, &Vec::new(), None, &|_| None).unwrap();
        let rules = GroupRules::of(&loaded.scenario, 0);
        let client = Client::new(1, 0);
        Self { client, rules, now: Moment::ZERO, samples: Vec::new(), fetched: 0, waits: Vec::new() }
    }

    fn step(&mut self, event: Event) -> Action {
        self.client.step(&self.rules, self.now, event, &mut self.samples)
    }

    fn marks(&self) -> Marks {
        let now = self.now;
        Marks {
            began: now,
            proved: None,
            dns: Some(now),
            tcp: Some(now),
            tls: Some(now),
            ended: now,
            signed: None,
        }
    }

    /// Lets it wait and fetch until it connects or is done. Answers with how it is done.
    fn until_connect(&mut self, mut action: Action) -> Option<Finish> {
        let mut waited = Duration::ZERO;
        loop {
            match action {
                Action::Sleep { until } => {
                    waited += until.since(self.now);
                    self.now = until;
                    action = self.step(Event::Due(Signs::default()));
                }
                Action::FetchToken { .. } => {
                    self.fetched += 1;
                    let now = self.now;
                    let facts = TokenFacts::new(now, now, Moment::NEVER);
                    action = self.step(Event::TokenReady { facts, fetched: true });
                }
                Action::Connect => {
                    self.waits.push(waited);
                    return None;
                }
                Action::Finish(finish) => return Some(finish),
                other => unreachable!("{other:?}"),
            }
        }
    }

    /// Brings it into a session and closes that with `code`; then answers its handshakes so, at most `times`.
    fn thrown_off(&mut self, code: u16, answer: Answer, times: u32) -> Option<Finish> {
        let action = self.step(Event::Begin { due: Moment::ZERO, leaves: Moment::NEVER });
        self.until_connect(action);
        self.step(Event::Connected(self.marks()));
        (self.fetched, self.waits) = (0, Vec::new());
        self.now = self.now + Duration::from_secs(60);
        let how = EndingHow::PeerClosed(code);
        let mut action = self.step(Event::Ended(Ending::new(self.now, how)));
        for _ in 0..times {
            if let Some(finish) = self.until_connect(action) {
                return Some(finish);
            }
            self.now = self.now + Duration::from_millis(1);
            let failure = match answer {
                Answer::Refused(status) => {
                    ConnectFailure::Http(Box::new(Evidence { status, ..Evidence::default() }))
                }
                Answer::Unreachable => ConnectFailure::Refused,
            };
            action = self.step(Event::ConnectFailed { marks: self.marks(), failure });
        }
        match action {
            Action::Finish(finish) => Some(finish),
            _ => None,
        }
    }

    fn count(&self, wanted: Counter) -> u64 {
        let of = |sample: &Sample| match sample {
            Sample::Count(counter, n) if *counter == wanted => *n,
            _ => 0,
        };
        self.samples.iter().map(of).sum()
    }
}

fn seconds(waits: &[Duration]) -> Vec<f64> {
    waits.iter().map(Duration::as_secs_f64).collect()
}

#[test]
fn the_threads_recipe_spins_on_its_own_refusal() {
    let mut bench = Bench::new("thread");
    assert_eq!(bench.thrown_off(1001, Answer::Refused(403), 50), None, "it never stops");
    assert_eq!(bench.fetched, 50, "a token a turn");
    assert!(bench.waits.iter().all(Duration::is_zero), "without delay");
    assert_eq!(bench.count(Counter::RefetchTurns), 49, "the first fetch was for the disconnect");
    assert_eq!(bench.count(Counter::TokensForReconnects), 50);
    // In `ws` an unreachable server ends in the same close with 1006.
    let mut bench = Bench::new("thread");
    assert_eq!(bench.thrown_off(1001, Answer::Unreachable, 50), None);
    assert_eq!((bench.fetched, bench.count(Counter::RefetchTurns)), (50, 0));
    // A code that is not in the recipe ends it.
    assert_eq!(Bench::new("thread").thrown_off(1012, Answer::Refused(403), 9), Some(Finish::NotWanted));
}

#[test]
fn rfc_6455_clients_back_off_and_fetch_only_after_401() {
    let mut bench = Bench::new("rfc6455");
    assert_eq!(bench.thrown_off(1001, Answer::Refused(403), 12), None);
    assert_eq!((bench.fetched, bench.count(Counter::RefetchTurns)), (0, 0));
    assert!(bench.waits[0] <= Duration::from_secs(5));
    assert!(bench.waits.iter().all(|wait| *wait <= Duration::from_secs(60)));
    assert!(bench.waits[4..].iter().sum::<Duration>() > Duration::from_secs(60), "{:?}", bench.waits);
    let mut bench = Bench::new("rfc6455");
    bench.thrown_off(1001, Answer::Refused(401), 3);
    assert_eq!(bench.fetched, 2, "one after each 401 but the last");
}

#[test]
fn each_policy_waits_and_gives_up_as_its_client_does() {
    let mut bench = Bench::new("phoenix");
    bench.thrown_off(1001, Answer::Unreachable, 12);
    // `reconnectAfterMs` of phoenix.js 1.8.16.
    assert_eq!(seconds(&bench.waits), [0.01, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0, 5.0, 5.0]);
    assert_eq!(
        Bench::new("phoenix").thrown_off(1000, Answer::Unreachable, 6),
        None,
        "it comes back from 1000"
    );

    let mut bench = Bench::new("genesys-streaming");
    bench.thrown_off(1001, Answer::Unreachable, 8);
    assert_eq!(seconds(&bench.waits), [2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 90.0, 90.0]);
    for status in [401, 403] {
        let mut bench = Bench::new("genesys-streaming");
        assert_eq!(bench.thrown_off(1001, Answer::Refused(status), 8), Some(Finish::GaveUp));
        assert_eq!(bench.waits.len(), 1);
    }

    let mut bench = Bench::new("genesys-messenger");
    assert_eq!(bench.thrown_off(1001, Answer::Unreachable, 1_000), Some(Finish::GaveUp));
    assert_eq!(bench.waits.len(), 59, "every 5 s, and each attempt took its time, for 300 s");

    let mut bench = Bench::new("slack");
    bench.thrown_off(1001, Answer::Unreachable, 4);
    assert_eq!(seconds(&bench.waits), [5.0; 4]);

    let mut bench = Bench::new("socket-io");
    bench.thrown_off(1001, Answer::Unreachable, 40);
    // 8 s ± 4 s, then 16 s ± 8 s and more: of these nothing is below the cap.
    assert!((4.0..=5.0).contains(&seconds(&bench.waits)[3]), "{:?}", bench.waits);
    assert!(seconds(&bench.waits)[4..].iter().all(|wait| *wait == 5.0), "{:?}", bench.waits);
    assert!((0.5..=1.5).contains(&seconds(&bench.waits)[0]));

    let mut bench = Bench::new("graphql-ws");
    assert_eq!(bench.thrown_off(1001, Answer::Unreachable, 9), Some(Finish::GaveUp));
    assert_eq!(bench.waits.len(), 1, "it comes back from closes only");
    assert_eq!(Bench::new("graphql-ws").thrown_off(4401, Answer::Unreachable, 9), Some(Finish::NotWanted));
    assert_eq!(Bench::new("graphql-ws").thrown_off(4403, Answer::Unreachable, 0), None, "4403 is retried");
    for code in [1002, 1011, 4400, 4500] {
        assert_eq!(
            Bench::new("graphql-ws").thrown_off(code, Answer::Unreachable, 1),
            Some(Finish::NotWanted),
            "{code}"
        );
    }
}

#[test]
fn policies_of_libraries_wait_by_the_formulas_of_those() {
    let mut bench = Bench::new("signalr");
    assert_eq!(bench.thrown_off(1001, Answer::Unreachable, 9), Some(Finish::GaveUp));
    assert_eq!(seconds(&bench.waits), [0.0, 2.0, 10.0, 30.0]);

    let mut bench = Bench::new("pusher");
    bench.thrown_off(1001, Answer::Unreachable, 5);
    assert_eq!(seconds(&bench.waits), [1.0, 15.0, 30.0, 60.0, 60.0]);

    let mut bench = Bench::new("centrifuge");
    bench.thrown_off(1001, Answer::Unreachable, 40);
    for (attempt, wait) in seconds(&bench.waits).into_iter().enumerate() {
        let most = (0.5 + 0.5 * 2_f64.powi(attempt as i32)).min(20.0);
        assert!((0.5..=most).contains(&wait), "{attempt}: {wait}");
    }
    assert!(seconds(&bench.waits)[6..].iter().any(|wait| *wait > 10.0), "{:?}", bench.waits);

    let mut bench = Bench::new("reconnecting-websocket");
    bench.thrown_off(1001, Answer::Unreachable, 12);
    let waits = seconds(&bench.waits);
    assert!((1.0..=5.0).contains(&waits[0]));
    for pair in waits.windows(2) {
        assert!((pair[1] - (pair[0] * 1.3).min(10.0)).abs() < 1e-6, "{waits:?}");
    }
    assert_eq!(waits[11], 10.0);

    for (policy, code) in [("graphql-ws", 1000), ("pusher", 4200), ("pusher", 4299)] {
        let mut bench = Bench::new(policy);
        bench.thrown_off(code, Answer::Unreachable, 1);
        assert_eq!(seconds(&bench.waits), [0.0], "{policy} comes back from {code} at once");
    }
    let mut bench = Bench::new("pusher");
    bench.thrown_off(4300 - 101, Answer::Unreachable, 1);
    assert_eq!(seconds(&bench.waits), [1.0]);

    // Final codes, and those beside them.
    let rows = [
        ("pusher", 4001, true),
        ("pusher", 4000, false),
        ("pusher", 4100, false),
        ("pusher", 4299, false),
        ("pusher", 4300, true),
        ("centrifuge", 3499, false),
        ("centrifuge", 3500, true),
        ("centrifuge", 3999, true),
        ("centrifuge", 4499, false),
        ("centrifuge", 4500, true),
    ];
    for (policy, code, is_final) in rows {
        let finish = Bench::new(policy).thrown_off(code, Answer::Unreachable, 1);
        assert_eq!(finish, is_final.then_some(Finish::NotWanted), "{policy} {code}");
    }
}

#[test]
fn dead_tokens_and_rows_of_403s_are_counted() {
    let mut bench = Bench::new("rfc6455");
    let stale = Evidence { status: 403, body_code: Some("token.stale".to_owned()), ..Evidence::default() };
    let action = bench.step(Event::Begin { due: Moment::ZERO, leaves: Moment::NEVER });
    bench.until_connect(action);
    bench.now = bench.now + Duration::from_secs(7);
    for _ in 0..3 {
        let failure = ConnectFailure::Http(Box::new(stale.clone()));
        let action = bench.step(Event::ConnectFailed { marks: bench.marks(), failure });
        bench.until_connect(action);
    }
    let Action::Hold { until, .. } = bench.step(Event::Connected(bench.marks())) else { unreachable!() };
    // It is heard, and so settled that it is in.
    bench.now = until;
    bench.step(Event::Due(Signs { heard: until, ..Signs::default() }));
    assert_eq!(bench.count(Counter::DeadTokenHandshakes), 3);
    let cascades: Vec<u32> = bench
        .samples
        .iter()
        .filter_map(|sample| if let Sample::Cascade(depth) = sample { Some(*depth) } else { None })
        .collect();
    assert_eq!(cascades, [3]);
    let first = bench.samples.iter().find_map(|sample| match sample {
        Sample::Attempt(end) => Some((end.cause, end.token_age)),
        _ => None,
    });
    assert_eq!(first, Some((Some(Cause::StaleToken), Some(Duration::from_secs(7)))));
}
