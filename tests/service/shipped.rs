//! The shipped scenarios of other services, each run against its embedded counterpart: what they promise must hold, and must not hold
//! where the client is made to behave wrongly.

use std::path::{Path, PathBuf};

use resurge::report::{Printed, RunModel, Style, printed_summary};
use tempfile::TempDir;

use crate::support::free_machine::on_a_free_machine;
use crate::support::in_process::run_file;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/services")
}

/// What a run comes to.
struct Came {
    code: u8,
    /// Whether clients and target agree exactly.
    agree: bool,
    summary: String,
}

/// Runs a shipped scenario.
fn run_one(out: &Path, name: &str, overrides: &[(&str, &str)]) -> Came {
    run_to(&folder().join(name), &out.join(format!("{name}-{}", overrides.len())), overrides)
}

/// A terminal of 80 columns wraps no line of either summary, but a path's.
fn assert_fits(model: &RunModel, folder: &Path) {
    for details in [false, true] {
        let printed = Printed { style: Style { colour: false }, details, folder: Some(folder) };
        let text = printed_summary(model, printed);
        let path = folder.display().to_string();
        let wide = text.lines().find(|line| line.chars().count() > 80 && !line.contains(&path));
        assert_eq!(wide, None, "{text}");
        let page = folder.join("report.html").display().to_string();
        assert_eq!(text.lines().last(), Some(page.as_str()), "{text}");
        let tables = text.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()));
        let tables = tables.filter(|line| line.contains(" (")).count();
        assert!(details || tables <= 5, "{tables} tables:\n{text}");
    }
}

/// Runs a scenario; again, where the machine was too busy.
fn run_to(scenario: &Path, out: &Path, overrides: &[(&str, &str)]) -> Came {
    let mut nth = 0;
    let run = || {
        nth += 1;
        let out = PathBuf::from(format!("{}-{nth}", out.display()));
        let model = run_file(scenario, overrides, out.clone()).model;
        assert_fits(&model, &out);
        Came {
            code: model.verdict.exit_code.number(),
            agree: model.reconciliation.as_ref().is_some_and(|books| books.is_exact()),
            summary: resurge::report::summary_text(&model, resurge::report::Style { colour: false }),
        }
    };
    on_a_free_machine(run, |came: &Came| came.summary.clone())
}

#[test]
fn every_service_behaves_as_its_scenario_says() {
    let out = TempDir::new().unwrap();
    let names: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".toml"))
        .collect();
    assert!(names.len() >= 11, "{names:?}");
    let faults: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = names
            .iter()
            .map(|name| {
                let out = out.path();
                scope.spawn(move || {
                    let Came { code, agree, summary: text } = run_one(out, name, &[]);
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
                let Came { code, agree, summary: text } = run_one(out, name, overrides);
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
    /// The exit code: a run in which nobody was ever let in is not valid.
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

/// Sessions, their ends, and those that are open, as a summary tells them.
fn accounts(summary: &str) -> [u64; 3] {
    let line = summary.lines().find(|line| line.contains(" sessions = ")).unwrap();
    let (_, told) = line.split_once("outcomes; ").unwrap();
    let number = |part: &str| part.split(' ').next().unwrap().replace(',', "").parse().unwrap();
    let (sessions, ends) = told.split_once(" = ").unwrap();
    let (ends, open) = ends.split_once(" + ").unwrap();
    [sessions, ends, open].map(number)
}

#[test]
fn the_axes_along_which_services_differ_are_settings() {
    let axes = [
        Axis {
            // A drop at the run's end may cross a client's goodbye: which of them it was is not the same to both.
            is_exact: false,
            ..axis(
                "idle-drop",
                "idle_timeout = '400ms'\nidle_action = 'drop'",
                FETCHED,
                &["network 1006 (fin)"],
            )
        },
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
        Axis {
            code: 110,
            ..axis(
                "refused-on-socket",
                "refusal_manner = { message = '{code}', close = 4403 }",
                UNKNOWN,
                &["target 4403", "session (refused_close "],
            )
        },
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
                let Came { code, agree, summary: text } = run_to(&scenario, &out.join(name), &[]);
                assert_eq!(code, expected, "{name}\n{text}");
                assert!(agree || !is_exact, "{name}: the books do not agree\n{text}");
                assert_eq!(accounts(&text)[0], accounts(&text)[1..].iter().sum::<u64>(), "{name}\n{text}");
                for part in shows {
                    assert!(text.contains(part), "{name}: {part} is not there\n{text}");
                }
            });
        }
    });
}
