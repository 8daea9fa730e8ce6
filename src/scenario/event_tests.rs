//! Tests of events: from text to types and words, or to faults.

use std::path::Path;
use std::time::Duration;

use super::keys::{EventDoes, EventWait, StormBy};
use super::*;

const BASE: &str = "duration = \"60s\"\n[target]\nurl = \"ws://127.0.0.1:9/\"\n[[groups]]\nname = \"g\"\nclients = 1\ntoken = { grant = \"none\" }\n";

fn load_events(events: &str) -> Result<Loaded, ScenarioError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("s.toml");
    std::fs::write(&file, format!("{BASE}{events}")).unwrap();
    load(&file, &Vec::new(), None, &|name| (name == "SET").then(|| "from-env".to_owned()))
}

#[test]
fn events_become_types_and_words() {
    let loaded = load_events(
        r#"
[[events]]
at = "5s"
every = "20s"
command = ["kubectl", "--token", { env = "SET" }, "rollout restart", "api_key=hush", "--password", "p"]
environment = { KUBECONFIG = "/x", MY_SECRET = { env = "SET" } }
required = true

[[events]]
at = "6s"
name = "hook"
timeout = "5s"
window = "10s"
http = { url = "https://127.0.0.1/hook?key=hush", headers = { Authorization = { env = "SET" } }, expect = [202] }

[[events]]
at = "7s"
wait = "started"
signal = { pid_file = "nginx.pid", signal = "HUP" }

[[storms]]
by = "event"
event = "hook"
"#,
    )
    .unwrap_or_else(|error| panic!("{error}"));
    let events = &loaded.scenario.events;
    assert_eq!(events[0].name, "kubectl --token *** 'rollout restart' … --password ***");
    assert_eq!(
        events[0].times(Duration::from_secs(46)).map(|at| at.as_secs()).collect::<Vec<_>>(),
        [5, 25, 45]
    );
    assert_eq!(events[1].times(Duration::from_secs(46)).count(), 1);
    let EventDoes::Command(command) = &events[0].does else { panic!("{:?}", events[0]) };
    let given: Vec<&str> = command.iter().map(|argument| argument.value.as_str()).collect();
    assert_eq!(
        given,
        ["kubectl", "--token", "from-env", "rollout restart", "api_key=hush", "--password", "p"]
    );
    assert!(events[0].required && events[0].needs_consent() && !events[1].needs_consent());
    assert_eq!(events[1].in_words(), "POST https://127.0.0.1/hook");
    assert_eq!(events[2].wait, EventWait::Started);
    let EventDoes::Signal(to) = &events[2].does else { panic!("{:?}", events[2]) };
    assert!(to.pid_file.is_absolute() && to.pid_file.ends_with("nginx.pid"), "{to:?}");
    let storm = &loaded.scenario.storms[0];
    assert_eq!((storm.at, &storm.by), (Duration::from_secs(6), &StormBy::Event { event: 1 }));
    // Nothing of a secret is shown, however.
    let shown = format!("{events:?}{}{}", loaded.copy, describe(&loaded));
    assert!(!shown.contains("from-env") && !shown.contains("hush"), "{shown}");
    let told = describe(&loaded);
    for line in [
        "event at 5s, and every 20s: kubectl --token *** 'rollout restart' … --password ***, within 30s; outages up to 30s after it is over are named after it; with KUBECONFIG, MY_SECRET; the run is not valid where it fails; needs --allow-commands",
        "event at 6s (hook): POST https://127.0.0.1/hook, within 5s; outages up to 10s after it is over are named after it\n",
        "outages up to 30s after it began are named after it; needs --allow-commands",
        "storm at 6s: whom the service loses by the event hook",
    ] {
        assert!(told.contains(line), "{line}\n{told}");
    }
    assert_eq!(loaded.redactor.clean("it said from-env"), "it said …");
}

#[test]
fn each_bad_event_is_told_what_is_wrong() {
    // (event, part of what is told)
    let rows = [
        ("command = [\"x\"]", "[events.0] has no `at`"),
        ("at = \"1s\"", "has none of `command`, `http`, `signal`"),
        (
            "at = \"1s\"\ncommand = [\"x\"]\nhttp = { url = \"http://h/\" }",
            "`events.0` has `command` and `http`",
        ),
        ("at = \"60s\"\ncommand = [\"x\"]", "the event x would be done at 1m, and the run ends at 1m"),
        ("at = \"1s\"\ncommand = []", "`events.0.command` has 0 elements"),
        ("at = \"1s\"\ncommand = [\"\"]", "`command` names no program"),
        ("at = \"1s\"\ncommand = \"x y\"", "a program and its arguments are needed"),
        ("at = \"1s\"\ncommand = [\"x\", \"a\\u0000b\"]", "without the character U+0000"),
        ("at = \"1s\"\ncommand = [\"x\", { env = \"UNSET\" }]", "the environment variable UNSET is not set"),
        ("at = \"1s\"\ncommand = [\"x\"]\nenvironment = { \"1X\" = \"y\" }", "\"1X\" is no environment name"),
        (
            "at = \"1s\"\nhttp = { url = \"http://h/\" }\nenvironment = { X = \"y\" }",
            "`environment` is for a command",
        ),
        ("at = \"1s\"\ncommand = [\"x\"]\nevery = \"0s\"", "`events.0.every` is zero"),
        ("at = \"1s\"\ncommand = [\"x\"]\nevery = \"10ms\"", "more often than once a second"),
        ("at = \"1s\"\ncommand = [\"x\"]\ntimeout = \"0s\"", "`events.0.timeout` is zero"),
        (
            "at = \"1s\"\ncommand = [\"x\"]\nname = \"a\\u001bb\"",
            "no line breaks or other control characters",
        ),
        ("at = \"1s\"\ncommand = [\"x\"]\nwait = \"forever\"", "one of \"started\", \"exited\" is needed"),
        ("at = \"1s\"\ncommand = [\"x\"]\nwindo = \"1s\"", "did you mean `window`?"),
        (
            "at = \"1s\"\nsignal = { pid_file = \"p\", signal = \"FOO\" }",
            "`events.0.signal.signal` is \"FOO\"",
        ),
        ("at = \"1s\"\nsignal = { pid_file = \"p\", signal = \"SIGHUP\" }", "one of \"HUP\", \"INT\""),
        ("at = \"1s\"\nsignal = { signal = \"HUP\" }", "[events.0.signal] has no `pid_file`"),
        ("at = \"1s\"\nhttp = { method = \"POST\" }", "[events.0.http] has no `url`"),
        ("at = \"1s\"\nhttp = { url = \"ftp://h/\" }", "a URL with http:// or https:// is needed"),
    ];
    for (event, part) in rows {
        let told = load_events(&format!("[[events]]\n{event}\n")).expect_err(event).to_string();
        assert!(told.contains(part), "{event}: {part}\n{told}");
    }
    let many = "[[events]]\nat = \"1s\"\ncommand = [\"x\"]\n".repeat(101);
    assert!(load_events(&many).unwrap_err().to_string().contains("at most 100 are possible"));
    let often = BASE.replace("60s", "24h") + "[[events]]\nat = \"1s\"\ncommand = [\"x\"]\nevery = \"2s\"\n";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("s.toml");
    std::fs::write(&file, often).unwrap();
    let told = load(&file, &Vec::new(), None, &|_| None).unwrap_err().to_string();
    assert!(told.contains("more than 10,000 times"), "{told}");
}

#[test]
fn each_bad_storm_by_an_event_is_told_what_is_wrong() {
    let event = "[[events]]\nat = \"5s\"\nname = \"reload\"\ncommand = [\"x\"]\n";
    let rows = [
        (event.to_owned(), "", "has no `event`"),
        (event.to_owned(), "event = \"relod\"", "there is no event \"relod\""),
        (String::new(), "event = \"reload\"", "there is none"),
        (event.repeat(2), "event = \"reload\"", "2 events are named \"reload\""),
        (event.to_owned(), "event = \"reload\"\nat = \"9s\"", "it goes with by = \"target\""),
        (event.to_owned(), "event = \"reload\"\nfraction = \"50%\"", "no `fraction` of its own"),
    ];
    for (events, storm, part) in rows {
        let told = load_events(&format!("{events}[[storms]]\nby = \"event\"\n{storm}\n"))
            .expect_err(storm)
            .to_string();
        assert!(told.contains(part), "{storm}: {part}\n{told}");
    }
    let told = load_events("[[storms]]\nby = \"client\"\n").unwrap_err().to_string();
    assert!(told.contains("say when the storm strikes"), "{told}");
    let embedded = Path::new("s.toml");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(embedded);
    let text = BASE.replace("url = \"ws://127.0.0.1:9/\"", "")
        + event
        + "[[storms]]\nby = \"event\"\nevent = \"reload\"\n";
    std::fs::write(&file, text).unwrap();
    let told = load(&file, &Vec::new(), None, &|_| None).unwrap_err().to_string();
    assert!(told.contains("does not reach the embedded target"), "{told}");
}
