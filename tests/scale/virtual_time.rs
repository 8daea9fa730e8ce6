//! Virtual time: queues against the formula of Erlang, an hour of disconnects, and the congestion collapse of a token endpoint.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use resurge::clock::Moment;
use resurge::random::{Purpose, Random, Stream};
use resurge::report::RunModel;
use resurge::run::{InMemory, simulation_of};
use resurge::sample::{Counter, Metric, Outcome};
use resurge::scenario::keys::{Abandoned, Capacity, Delay, StatusFault};
use resurge::scenario::load;
use resurge::service::capacity::{Arrival, CapacityQueue};

/// The probability that a customer has to wait in M/M/c (Erlang 1917): servers, and load offered to each of them.
fn erlang_c(servers: u32, utilisation: f64) -> f64 {
    let offered = f64::from(servers) * utilisation;
    // The blocking probability by its recursion, which does not overflow.
    let blocked =
        (1..=servers).fold(1.0, |blocked, n| offered * blocked / (f64::from(n) + offered * blocked));
    blocked / (1.0 - utilisation * (1.0 - blocked))
}

/// Share of the customers that waited, and the mean wait of all in units of the mean service time.
fn waits(servers: u32, utilisation: f64, customers: u64) -> (f64, f64) {
    let service = Duration::from_millis(1);
    let capacity = Capacity {
        servers,
        service: Delay::Exponential { mean: service },
        queue: u32::MAX,
        over_limit: StatusFault { status: 503, retry_after: None },
        abandoned: Abandoned::Served,
    };
    let mut queue = CapacityQueue::new(capacity, 1, servers);
    let mut arrivals = Stream::new(2, Purpose::Network, servers);
    let between = 1.0 / (f64::from(servers) * utilisation);
    // When each busy server is done, and since when each customer waits, first come first served.
    let mut dues: BinaryHeap<Reverse<Moment>> = BinaryHeap::new();
    let mut since: VecDeque<Moment> = VecDeque::new();
    let (mut waited, mut total_s) = (0_u64, 0.0);
    let (mut seen, mut next_s) = (0, 0.0);
    while seen < customers || !since.is_empty() {
        let next =
            if seen < customers { Moment::ZERO + Duration::from_secs_f64(next_s) } else { Moment::NEVER };
        match dues.peek() {
            Some(&Reverse(due)) if due <= next => {
                dues.pop();
                if let Some((_, done)) = queue.finish(due) {
                    total_s += due.since(since.pop_front().unwrap()).as_secs_f64();
                    dues.push(Reverse(done));
                }
            }
            _ => {
                seen += 1;
                next_s += -between * (1.0 - arrivals.next_unit()).ln() * service.as_secs_f64();
                match queue.arrive(next) {
                    Arrival::Begun(done) => dues.push(Reverse(done)),
                    Arrival::Waits(_) => {
                        waited += 1;
                        since.push_back(next);
                    }
                    Arrival::Full | Arrival::Unlimited => unreachable!("the queue has room for all"),
                }
            }
        }
    }
    let customers = customers as f64;
    (waited as f64 / customers, total_s / customers / service.as_secs_f64())
}

#[test]
fn the_queue_is_m_m_c() {
    // (servers, utilisation, customers): the more of both, the more it takes to see the mean.
    for (servers, utilisation, customers) in [
        (1, 0.5, 2_000_000),
        (1, 0.7, 6_000_000),
        (2, 0.6, 3_000_000),
        (4, 0.7, 4_000_000),
        (16, 0.8, 3_000_000),
    ] {
        let probability = erlang_c(servers, utilisation);
        let mean = probability / (f64::from(servers) * (1.0 - utilisation));
        let (waited, wait) = waits(servers, utilisation, customers);
        let off = |found: f64, expected: f64| (found / expected - 1.0).abs();
        assert!(
            off(waited, probability) < 0.01,
            "c {servers}, ρ {utilisation}: {waited} waited, {probability} by the formula"
        );
        assert!(
            off(wait, mean) < 0.01,
            "c {servers}, ρ {utilisation}: mean wait {wait}, {mean} by the formula"
        );
    }
}

fn simulated(text: &str) -> RunModel {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("scenario.toml");
    std::fs::write(&file, text).unwrap();
    let loaded = load(&file, &Vec::new(), None, &|_| None).unwrap();
    RunModel::new(simulation_of(loaded, None).unwrap().run_in_memory(InMemory::Totals))
}

/// An hour of 2,000 clients that are thrown off every few seconds: nothing is lost, nothing is left over.
#[test]
fn an_hour_of_disconnects_closes_its_accounts_exactly() {
    let model = simulated(
        r#"
duration = "1h"
seed = 11
[target]
idle_timeout = "7s"
invalidation = "on-disconnect"
[[groups]]
name = "idle"
clients = 1500
start = { over = "30s" }
[groups.token]
client_id = "a"
client_secret = "b"
on_reconnect = "fetch"
[groups.reconnect]
backoff = { kind = "exponential", base = "500ms", max = "10s", jitter = "full" }
[[groups]]
name = "leaving"
clients = 500
start = { over = "30s" }
[groups.token]
client_id = "a"
client_secret = "b"
on_reconnect = "fetch"
[[groups.disconnects]]
after = "5s"
[groups.reconnect]
backoff = { kind = "none" }
"#,
    );
    assert_eq!(model.account_faults, [""; 0]);
    let reconciliation = model.reconciliation.as_ref().unwrap();
    assert!(reconciliation.is_exact(), "{:?}", reconciliation.rows);
    let (all, disconnects) = (&model.all, model.all.counter(Counter::Disconnects));
    assert!(disconnects > 900_000, "{disconnects}");
    assert_eq!(all.attempts_total(), all.outcome(Outcome::Ok), "nobody is refused");
    let unfinished = all.counter(Counter::ReconnectsUnfinished);
    assert_eq!(all.counter(Counter::Reconnects) + unfinished, disconnects);
    assert_eq!(model.verdict.exit_code.number(), 0, "{:?}", model.verdict);
}

const CONGESTED: &str = r#"
duration = "120s"
seed = 3
[target]
idle_timeout = "never"
token_capacity = { servers = 2, service = { exponential = "20ms" }, queue = 100_000, abandoned = "served" }
[[groups]]
name = "g"
clients = 3000
start = { over = "60s" }
[groups.token]
client_id = "a"
client_secret = "b"
on_reconnect = "fetch"
timeout = "2s"
max_connections = 100_000
[groups.reconnect]
backoff = { kind = "none" }
[[storms]]
at = "80s"
code = 1012
"#;

/// A storm of clients without patience against a service that works off the abandoned: most of its work is for nobody. With the abandoned
/// dropped, or with a queue that is short, it is not.
#[test]
fn a_storm_shows_its_own_congestion_collapse() {
    let (served, dropped) = (
        simulated(CONGESTED),
        simulated(&CONGESTED.replace("abandoned = \"served\"", "abandoned = \"dropped\"")),
    );
    let back = |model: &RunModel| model.all.counter(Counter::Reconnects);
    let failed = |model: &RunModel| model.all.outcome(Outcome::TokenError);
    assert_eq!(back(&dropped), 3_000, "100 a second, and 40 s of time");
    assert!(back(&served) < 1_000, "{} came back although nine of ten were served for nobody", back(&served));
    assert!(failed(&served) > failed(&dropped), "{} and {}", failed(&served), failed(&dropped));
    let short = simulated(
        &CONGESTED.replace("queue = 100_000", "queue = 100, over_limit = 429, retry_after = \"1s\""),
    );
    let latency = |model: &RunModel| model.all.histograms[&Metric::ReconnectLatency].max_us();
    assert_eq!(back(&short), 3_000);
    assert!(latency(&short) < 45_000_000, "{}", latency(&short));
    assert!(short.reconciliation.as_ref().unwrap().is_exact());
}
