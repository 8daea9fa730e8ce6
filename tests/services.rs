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
    let folder_name = format!("{name}-{}", overrides.len());
    run_file(&folder().join(name), out.join(folder_name), overrides)
}

fn run_file(scenario: &Path, out: PathBuf, overrides: &[(&str, &str)]) -> (u8, bool, String) {
    let name = scenario.display();
    let request = RunRequest {
        scenario: scenario.to_owned(),
        overrides: overrides.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        seed: None,
        out: Some(out),
        authorised: Vec::new(),
        on_progress: None,
    };
    let done = run(request);
    assert!(done.is_ok(), "{name}: {:?}", done.err());
    let model = done.unwrap().model;
    let text = resurge::report::summary_text(&model, resurge::report::Style { colour: false });
    (
        model.verdict.exit_code.number(),
        model.reconciliation.as_ref().is_some_and(|books| books.is_exact()),
        text,
    )
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

/// A way in which services differ: what the target and the clients are told, and what the summary then shows.
struct Axis {
    name: &'static str,
    target: &'static str,
    group: &'static str,
    shows: &'static [&'static str],
    /// Whether the two sides' numbers are the same, and not only explained.
    is_exact: bool,
    /// The exit code: a run none of whose handshakes was ever answered is not valid.
    code: u8,
}

const fn axis(
    name: &'static str,
    target: &'static str,
    group: &'static str,
    shows: &'static [&'static str],
) -> Axis {
    Axis { name, target, group, shows, is_exact: true, code: 0 }
}

const FETCHED: &str = "[groups.token]\nclient_id = 'app'\nclient_secret = 's'\non_reconnect = 'fetch'\n";
const UNKNOWN: &str = "[groups.token]\ngrant = 'fixed'\ntoken = 'of-another-world'\n[groups.connect]\nupgrade_timeout = '300ms'\n";
const PINGED: &str = "[groups.token]\nclient_id = 'app'\nclient_secret = 's'\non_reconnect = 'fetch'\n\
    [groups.session]\nkeep_alive = { ping_every = '200ms', timeout = '300ms' }\n";

#[test]
fn the_axes_along_which_services_differ_are_settings() {
    let axes = [
        axis("idle-drop", "idle_timeout = '400ms'\nidle_action = 'drop'", FETCHED, &["network 1006 (fin)"]),
        Axis {
            // Nobody tells the target that the client has given up, until TCP does.
            is_exact: false,
            ..axis(
                "idle-silence",
                "idle_timeout = '400ms'\nidle_action = 'silence'\nidle_control_frames = false",
                PINGED,
                &["network 1006 (timeout)"],
            )
        },
        axis("idle-pinged", "idle_timeout = '800ms'", PINGED, &["client 1000 × 10"]),
        axis(
            "idle-data-only",
            "idle_timeout = '800ms'\nidle_control_frames = false",
            PINGED,
            &["target 1001"],
        ),
        axis(
            "idle-target",
            "idle_timeout = '800ms'\nidle_counts = 'target'\nmessages_every = '100ms'",
            FETCHED,
            &["client 1000 × 10"],
        ),
        axis(
            "token-end",
            "token_life = '700ms'\ntoken_end = { code = 4401, grace = '100ms' }",
            FETCHED,
            &["target 4401"],
        ),
        axis(
            "refused-on-socket",
            "refusal_manner = { message = '{code}', close = 4403 }",
            UNKNOWN,
            &["target 4403"],
        ),
        Axis { code: 110, ..axis("refused-by-reset", "refusal_manner = 'reset'", UNKNOWN, &["tcp_reset"]) },
        Axis { code: 110, ..axis("refused-by-silence", "refusal_manner = 'silence'", UNKNOWN, &["timeout"]) },
        axis("token-limit", "token_limit = { count = 3, per = '1h' }", FETCHED, &["token_"]),
        axis(
            "storm-by-schedule",
            "storms = [{ at = '1500ms', warning_before = '500ms', warning = 'soon', code = 1012, fraction = 0.5 }]",
            FETCHED,
            &["target 1012 × 5"],
        ),
    ];
    // All at once on one machine: what they measure is not asked for, and no part of what they show.
    const CALM: &str = "max_lag_p99 = '60s', max_stall = '60s', max_delay = '60s', max_delay_share = '100%', max_saturated_share = '100%'";
    let out = TempDir::new().unwrap();
    std::thread::scope(|scope| {
        for Axis { name, target, group, shows, is_exact, code: expected } in axes {
            let out = out.path();
            scope.spawn(move || {
                let backoff = "backoff = { kind = 'constant', base = '100ms', jitter = 'none' }";
                let text = format!(
                    "duration = '3s'\ndrain = '3s'\nhealth = {{ {CALM} }}\n[target]\nkind = 'embedded'\n{target}\n\
                     [[groups]]\nname = 'g'\nclients = 10\n{group}[groups.reconnect]\n{backoff}\n"
                );
                let scenario = out.join(format!("{name}.toml"));
                std::fs::write(&scenario, text).unwrap();
                let (code, agree, text) = run_file(&scenario, out.join(name), &[]);
                assert_eq!(code, expected, "{name}\n{text}");
                assert!(agree || !is_exact, "{name}: the books do not agree\n{text}");
                for part in shows {
                    assert!(text.contains(part), "{name}: {part} is not there\n{text}");
                }
            });
        }
    });
}
