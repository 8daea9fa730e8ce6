//! Which client is in which shard, and what it does there: the same however many shards there are.

use std::collections::BTreeMap;
use std::time::Duration;

use resurge::clock::Moment;
use resurge::lifecycle::{Action, Client, ConnectFailure, Event, GroupRules, Marks, Signs};
use resurge::plan::{Share, own_starts};
use resurge::scenario::load;

use crate::support::scene::Scene;

/// Two groups whose clients draw: backoffs after refusals, and whether a storm strikes them.
const DRAWING: &str = r#"
seed = 7
duration = "60s"
[target]
idle_timeout = "never"
[[groups]]
name = "a"
clients = 20
start = { stages = [{ clients = 5, over = "2s" }, { clients = 15, over = "10s" }] }
token = { grant = "none" }
reconnect = { backoff = { kind = "exponential", base = "100ms", max = "5s", jitter = "full" }, max_attempts = 6 }
[[groups]]
name = "b"
clients = 11
start = { rate = "5/s" }
token = { grant = "none" }
reconnect = { backoff = { kind = "exponential", base = "1s", max = "60s", jitter = "equal" } }
[[storms]]
at = "30s"
by = "client"
how = "rst"
fraction = "40%"
"#;

/// What a client does that is refused four times, then gets a session, then waits for what is in store for it.
fn trace(rules: &GroupRules, number: u32, due: Moment) -> Vec<String> {
    let mut client = Client::new(rules.seed, number);
    let (mut now, mut event, mut refusals) = (due, Event::Begin { due, leaves: Moment::NEVER }, 0);
    let mut told = vec![format!("due {}", due.as_us())];
    for _ in 0..20 {
        let action = client.step(rules, now, event, &mut Vec::new());
        told.push(format!("{action:?}"));
        event = match action {
            Action::Sleep { until } => {
                now = until;
                Event::Due(Signs::default())
            }
            // It is settled that it is in.
            Action::Hold { until, .. } if until < Moment::ZERO + Duration::from_secs(30) => {
                now = until;
                Event::Due(Signs { heard: now, ..Signs::default() })
            }
            Action::Connect => {
                now = now + Duration::from_millis(3);
                let marks = Marks { began: now, ended: now, ..Marks::default() };
                refusals += 1;
                if refusals < 5 {
                    Event::ConnectFailed { marks, failure: ConnectFailure::Refused }
                } else {
                    Event::Connected(Marks { dns: Some(now), tcp: Some(now), tls: Some(now), ..marks })
                }
            }
            _ => return told,
        };
    }
    told
}

#[test]
fn a_client_does_the_same_however_many_shards_there_are() {
    let scenario = load(&Scene::new(DRAWING).file(), &Vec::new(), None, &|_| None).unwrap().scenario;
    let traces = |of: u32| {
        let mut all = BTreeMap::new();
        for share in Share::all(of) {
            for index in 0..scenario.groups.len() {
                let rules = GroupRules::of(&scenario, index);
                for arrival in own_starts(&scenario, index, share) {
                    let (number, due) = (arrival.client.unwrap(), arrival.at);
                    let before = all.insert(number, trace(&rules, number, due));
                    assert_eq!(before, None, "client {number} is in two shards of {of}");
                }
            }
        }
        all
    };
    let whole = traces(1);
    assert_eq!(whole.len(), 31);
    let struck = whole.values().filter(|trace| trace.last().unwrap().contains("30000000000")).count();
    assert!((6..20).contains(&struck), "a storm that strikes 40 % is in {struck} of 31 traces");
    for of in [2, 3, 7, 31] {
        assert_eq!(traces(of), whole, "{of} shards");
    }
}
