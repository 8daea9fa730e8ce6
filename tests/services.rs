//! The shipped scenarios of other services, each run against its embedded counterpart: what they promise must hold, and must not hold
//! where the client is made to behave wrongly.
#![expect(clippy::unwrap_used, reason = "a test that meets what it does not expect has failed")]

use std::path::{Path, PathBuf};

use resurge::run::{RunRequest, run};
use tempfile::TempDir;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/services")
}

/// Runs a scenario; answers with its exit code, whether clients and target agree exactly, and its summary.
fn run_one(out: &Path, name: &str, overrides: &[(&str, &str)]) -> (u8, bool, String) {
    let request = RunRequest {
        scenario: folder().join(name),
        overrides: overrides.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        seed: None,
        out: Some(out.join(format!("{name}-{}", overrides.len()))),
        authorised: Vec::new(),
        on_progress: None,
    };
    let done = run(request);
    assert!(done.is_ok(), "{name}: {:?}", done.err());
    let model = done.unwrap().model;
    let text = resurge::report::summary_text(&model, resurge::report::Style { colour: false });
    (model.verdict.exit_code, model.reconciliation.as_ref().is_some_and(|books| books.is_exact()), text)
}

#[test]
fn every_service_behaves_as_its_scenario_says() {
    let out = TempDir::new().unwrap();
    let names: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".toml"))
        .collect();
    assert!(names.len() >= 8, "{names:?}");
    let faults: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = names
            .iter()
            .map(|name| {
                let out = out.path();
                scope.spawn(move || {
                    let (code, agree, text) = run_one(out, name, &[]);
                    (code != 0 || !agree).then(|| format!("{name}: exit code {code}\n{text}"))
                })
            })
            .collect();
        threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

#[test]
fn a_client_that_does_not_follow_the_service_is_found_out() {
    let out = TempDir::new().unwrap();
    // (scenario, what is changed, what the summary then shows)
    type Changes<'a> = &'a [(&'a str, &'a str)];
    let rows: [(&str, Changes<'_>, &str); 4] = [
        // A ticket for one use is shown twice.
        (
            "slack-socket-mode.toml",
            &[
                ("groups.0.prepare.when", "\"once\""),
                ("groups.0.session.on_message", "[{ contains = \"disconnect\", then = \"reconnect\" }]"),
            ],
            "403",
        ),
        // The token is never refreshed.
        ("centrifugo.toml", &[("groups.0.token.refresh_before_expiry", "\"1ms\"")], "target 3005"),
        // No heartbeat.
        (
            "discord.toml",
            &[(
                "groups.0.session.on_message",
                "[{ contains = '\"op\":10', reply = '{\"op\":2,\"d\":{\"token\":\"{token}\"}}' }]",
            )],
            "target 1001",
        ),
        // Who does not move is closed with 4004.
        ("twitch-eventsub.toml", &[("groups.0.session.on_message", "[]")], "target 4004"),
    ];
    std::thread::scope(|scope| {
        for (name, overrides, part) in rows {
            let out = out.path();
            scope.spawn(move || {
                let (code, agree, text) = run_one(out, name, overrides);
                assert!(code != 0 || part.starts_with("target"), "{name}: {code}\n{text}");
                assert!(agree, "{name}: the books do not agree\n{text}");
                assert!(text.contains(part), "{name}: {part} is not there\n{text}");
            });
        }
    });
}
