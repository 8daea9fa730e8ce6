//! No message, panic or debug form tells a secret.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use resurge::drive::network::ProbeToken;
use resurge::lifecycle::Evidence;
use resurge::run::{RunRequest, run};
use resurge::scenario::keys::Target;
use resurge::scenario::{load, load_target_rules};

use super::home::Home;
use super::search;
use crate::support::output::text as text_of;

/// Says to this program that it is the child that panics, and where the scenario is.
const PANIC_IN: &str = "CANARY_PANIC_IN";

#[test]
fn no_message_about_a_scenario_tells_a_secret() {
    let mut home = Home::new();
    let good = home.give("good.toml", &home.scenario());
    let good = good.to_str().unwrap().to_owned();
    assert_eq!(home.run(&["check", &good]).status.code(), Some(0));
    let secret = home.text("plain-secret");
    // What is wrong with each stands beside a secret, or is one.
    let group = |token: &str, connect: &str| {
        format!(
            "duration = \"1s\"\n[target]\nurl = \"ws://127.0.0.1:1/\"\ntoken_url = \"http://127.0.0.1:1/\"\n[[groups]]\nname = \"g\"\nclients = 1\n[groups.token]\n{token}\n[groups.connect]\n{connect}\n"
        )
    };
    let ok = "client_id = \"a\"\nclient_secret = \"b\"";
    let bad = [
        group(&format!("client_id = \"a\"\nclient_secret = \"{secret}\"\nauth = \"basik\""), ""),
        group(
            &format!("client_id = \"a\"\nclient_secret = \"\"\"\n{secret}\n{secret}\"\"\"\nauth = \"basik\""),
            "",
        ),
        group(&format!("client_id = 5\nclient_secret = ['{secret}']"), ""),
        group(&format!("client_id = \"a\"\nclient_secret = \"{secret}"), ""),
        group(&format!("client_id = \"a\"\nclient_secret = \"{secret}\"\nclient_secret = \"{secret}\""), ""),
        group(&format!("grant = \"fixed\"\ntoken = \"{secret}\"\ntokn = \"{secret}\""), ""),
        group(ok, &format!("url = \"ws://me:{secret}@127.0.0.1/\"")),
        group(ok, &format!("url = \"gopher://127.0.0.1/?access_token={secret}\"")),
        group(ok, &format!("url = \"ws://[/?key={secret}\"")),
        group(ok, &format!("path = \"no slash?key={secret}\"")),
        group(ok, &format!("headers = {{ Authorization = \"Bearer {secret}\\u0001\" }}")),
        group(ok, &format!("headers = {{ X-Session = \"{secret}é\", Host = \"here\" }}")),
        group(ok, &format!("proxy = \"http://me:{secret}@\"")),
        group(ok, "headers = { X-Key = { env = \"NOT_SET_AT_ALL\" } }"),
        group(ok, "url = { env = \"CNRY_CLIENT_SECRET\" }"),
        group(ok, "url = \"{uri}\"").replace(
            "name = \"g\"",
            "name = \"g\"\nprepare = { variables = { uri = { env = \"CNRY_TICKET\" } } }",
        ),
        group(ok, &format!("token_in = {{ first_message = \"{{\\\"token\\\":\\\"{secret}\\\"}}\" }}")),
        group(ok, "").replace("[groups.token]", &format!("token = \"{secret}\"\n[groups.tokens]")),
        group(
            ok,
            &format!(
                "sign = {{ kind = \"aws-sigv4\", service = \"s/s\", region = \"r\", access_key_id = \"a\", secret_access_key = \"{secret}\", session_token = \"{secret}\" }}"
            ),
        ),
        group("feeder = \"secret.txt\"", ""),
        group(&format!("{ok}\ndpop = {{ key = {{ file = \"client.pem\" }} }}"), ""),
        group(&format!("{ok}\ndpop = {{ key = \"{secret}\" }}"), ""),
        group(ok, "certificate = { chain = { file = \"client.pem\" }, key = { file = \"dpop.key\" } }"),
        group(ok, &format!("certificate = {{ chain = \"{secret}\", key = {{ file = \"client.key\" }} }}")),
        group("client_id = \"a\"\nclient_secret = { file = \".\" }", ""),
        group(ok, &format!("[groups.session.mqtt]\npassword = \"{secret}\"\nkeep_alive = \"1500ms\"")),
    ];
    for (number, text) in bad.iter().enumerate() {
        let file = home.give(&format!("bad-{number}.toml"), text);
        let file = file.to_str().unwrap().to_owned();
        let checked = home.run(&["check", &file]);
        // A proxy and a URL of variables are found wrong when they are used.
        let late = [12, 15].contains(&number);
        assert_eq!(checked.status.code(), Some(if late { 0 } else { 104 }), "{number}: {text}\n{checked:?}");
        home.run(&["run", &file, "--out", &format!("bad-{number}")]);
        home.run(&["diagnose", &file, "--wait", "50ms", "--idle-timeout", "50ms"]);
        let error = format!(
            "{:?} {:#?}",
            load(Path::new(&file), &Vec::new(), None, &|_| None),
            load(Path::new(&file), &Vec::new(), None, &|name| std::env::var(name).ok())
        );
        std::fs::write(home.out().join(format!("debug-{number}.txt")), error).unwrap();
    }
    let secret = home.text("set-secret");
    for set in [
        format!("groups.0.token.client_secret.x={secret}"),
        format!("groups.999.token.client_secret={secret}"),
        format!("groups.0.token.client_secret=[\"{secret}\"]"),
        format!("groups.0.token={{client_secret=\"{secret}\"}}"),
        format!("groups.0.token=\"{secret}\""),
        format!("groups.0.connect.headers.X-Api-Key=\"{secret}\u{1}\""),
        format!("target.url=ftp://me:{secret}@h/?token={secret}"),
    ] {
        for command in ["check", "run", "diagnose"] {
            let output = home.run(&[command, &good, "--set", &set]);
            assert_eq!(output.status.code(), Some(104), "{command} {set}: {output:?}");
        }
    }
    for command in [
        "run",
        "serve",
        "check",
        "diagnose",
        "compare",
        "report",
        "merge",
        "baseline",
        "schema",
        "completions",
    ] {
        home.run(&[command, "--help"]);
    }
    home.run(&["--help"]);
    home.run(&["schema"]);
    home.run(&["completions", "bash"]);
    home.assert_tight();
}

/// Not a test of its own: the child of the next one, in which the run's progress panics with everything that it is shown.
#[test]
fn a_child_that_panics() {
    let Some(scenario) = std::env::var_os(PANIC_IN) else { return };
    let request = RunRequest {
        scenario: PathBuf::from(scenario),
        overrides: Vec::new(),
        seed: None,
        out: Some(PathBuf::from("panicked")),
        authorised: Vec::new(),
        attempts: false,
        allow_commands: true,
        on_progress: Some(Box::new(|scenario, view| panic!("shown: {scenario:?} {scenario:#?} {view:?}"))),
        live: None,
    };
    let done = run(request);
    panic!("done: {done:?}");
}

#[test]
fn a_panic_tells_no_secret() {
    let mut home = Home::new();
    let scenario = home.give("hostile.toml", &home.scenario());
    let mut command = Command::new(std::env::current_exe().unwrap());
    home.surround(&mut command);
    let output = command
        .args(["--exact", "canary::messages::a_child_that_panics", "--nocapture"])
        .env(PANIC_IN, &scenario)
        .output()
        .unwrap();
    let said = text_of(&output.stderr);
    assert!(said.contains("shown: Scenario {") && said.contains("done: Ok"), "{said}");
    home.said.push(("panic".to_owned(), output));
    home.assert_tight();
}

#[test]
fn no_debug_form_tells_a_secret() {
    let home = Home::new();
    let path = home.give("hostile.toml", &home.scenario());
    let env =
        |name: &str| home.canaries.0.iter().find(|canary| canary.variable == name).map(search::Canary::text);
    let loaded = load(&path, &Vec::new(), None, &env).unwrap();
    let mut text = format!("{loaded:?} {loaded:#?}");
    for group in &loaded.scenario.groups {
        write!(text, "{:?} {:?} {:?} {:?}", group.token, group.connect, group.session, group.prepare)
            .unwrap();
    }
    let Target::Remote(remote) = &loaded.scenario.target else { panic!("{:?}", loaded.scenario.target) };
    write!(text, "{remote:?} {:?}", ProbeToken::nonsense()).unwrap();
    let secret = home.text("target-secret");
    let profile =
        home.give("mine.toml", &format!("[[clients]]\nid = \"me\"\nsecret = \"{secret}\"\nscopes = []\n[signatures]\nservice = \"s\"\nregion = \"r\"\nkeys = [{{ access_key_id = \"a\", secret_access_key = \"{secret}\", session_token = \"{secret}\" }}]\n"));
    let rules = load_target_rules(profile.to_str().unwrap(), &[], &env).unwrap();
    write!(text, "{rules:?}").unwrap();
    let evidence = Evidence::read(
        401,
        Some(&format!("Bearer error=\"{secret}\"")),
        None,
        format!("{{\"code\":\"{secret}\"}}").as_bytes(),
        None,
    );
    assert_eq!(evidence.body_code.as_deref(), Some(secret.as_str()));
    write!(text, "{evidence:?}").unwrap();
    assert!(text.contains("upgrade-word") && text.contains("has_body_code: true"));
    let found = home.canaries.found_in(text.as_bytes());
    assert!(found.is_empty(), "{}", found.join("\n"));
}
