//! How a fleet behaves towards whom it may hit: it says who it is, and obeys `Retry-After`.

use std::process::Output;
use std::sync::Arc;

use tempfile::TempDir;

use super::service::{Came, Service};
use super::world::{Case, World, near, token_at};
use crate::support::alone::alone;
use crate::support::free_machine::on_a_free_machine;
use crate::support::output::said;
use crate::support::requests::header;

fn run_here(service: &Service, case: &Case, more: &[&str]) -> Output {
    let home = TempDir::new().unwrap();
    let service = Service { port: service.port, came: Arc::clone(&service.came) };
    World { home: home.path().to_owned(), service, runs: 0 }.program("run", case, more)
}

#[test]
fn every_request_says_who_makes_it() {
    let service = Service::start("127.0.0.1:0");
    let product = concat!("resurge/", env!("CARGO_PKG_VERSION"));
    let token =
        "token = { client_id = \"c\", client_secret = \"s\", url = \"http://127.0.0.1:PORT/says?x\" }";
    let prepare = "prepare = { steps = [{ url = \"http://127.0.0.1:PORT/says?ws://127.0.0.1:PORT/403\", save = { uri = \"/uri\" } }] }";
    let proxied = format!("{token}\nconnect = {{ proxy = \"http://127.0.0.1:PORT\" }}");
    // (group, places of requests, the agent)
    let own = "connect = { headers = { User-Agent = \"staging-check (ops@example.com)\" } }";
    let rows = [
        (
            format!("{token}\n{prepare}\nconnect = {{ url = \"{{uri}}\" }}"),
            vec!["POST /says?x ", "GET /says?ws:", "GET /403 "],
            product,
        ),
        (proxied, vec!["POST http://", "CONNECT "], product),
        (
            format!("token = {{ grant = \"none\" }}\n{own}"),
            vec!["GET /403 "],
            "staging-check (ops@example.com)",
        ),
    ];
    for (group, places, agent) in rows {
        let output = run_here(&service, &near(&group), &[]);
        let came = service.take();
        for place in places {
            let there: Vec<&Came> = came.iter().filter(|came| came.head.starts_with(place)).collect();
            assert!(!there.is_empty(), "{place}: {output:?} {came:?}");
            for came in there {
                assert_eq!(header(&came.head, "user-agent"), Some(agent), "{}", came.head);
                assert_eq!(came.head.to_ascii_lowercase().matches("user-agent").count(), 1, "{}", came.head);
            }
        }
    }
}

#[test]
fn a_fleet_waits_as_long_as_it_is_asked_to() {
    let _alone = alone();
    let upgrade = || Case {
        target: "url = \"ws://127.0.0.1:PORT/503?1\"".into(),
        group: "token = { grant = \"none\" }".into(),
    };
    let token = || token_at("http://127.0.0.1:PORT/429");
    // (case, what it asks for, whether it obeys, the fewest requests that two clients make in 2.5 s, the most)
    let rows = [
        (upgrade(), "GET /503", true, 4, 6),
        (token(), "POST /429", true, 2, 6),
        (upgrade(), "GET /503", false, 20, usize::MAX),
        (token(), "POST /429", false, 20, usize::MAX),
    ];
    std::thread::scope(|scope| {
        for (case, what, obeys, least, most) in rows {
            scope.spawn(move || {
                let set = format!("groups.0.reconnect.honour_retry_after={obeys}");
                let more = [
                    "--set",
                    "duration=2500ms",
                    "--set",
                    &set,
                    "--set",
                    "groups.0.reconnect.max_attempts=100000",
                ];
                let run = || {
                    let service = Service::start("127.0.0.1:0");
                    let output = run_here(&service, &case, &more);
                    (service.take().iter().filter(|came| came.head.starts_with(what)).count(), output)
                };
                let (asked, output) = on_a_free_machine(run, |(_, output): &(usize, Output)| said(output));
                assert!(
                    (least..=most).contains(&asked),
                    "{what}, obeyed {obeys}: {asked} requests; {output:?}"
                );
            });
        }
    });
}
