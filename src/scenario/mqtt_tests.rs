//! Tests of `[groups.session.mqtt]`: from text to types, or to faults.

use std::time::Duration;

use super::keys::{Ready, When};
use super::*;
use crate::mqtt::Version;

const REMOTE: &str = "[target]\nkind = \"remote\"\nurl = \"ws://127.0.0.1:9/\"\n";

/// A scenario of one group, whose own keys are `group`, and whose `[groups.session.mqtt]` is `mqtt`.
fn load_mqtt(target: &str, group: &str, mqtt: &str) -> Result<Loaded, ScenarioError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("s.toml");
    let text = format!(
        "duration = \"60s\"\n{target}[[groups]]\nname = \"g\"\nclients = 1\ntoken = {{ grant = \"none\" }}\n{group}\n[groups.session.mqtt]\n{mqtt}\n"
    );
    std::fs::write(&file, text).unwrap();
    load(&file, &Vec::new(), None, &|name| (name == "SET").then(|| "from-env".to_owned()))
}

fn publish(keys: &str) -> String {
    format!("[[groups.session.mqtt.publish]]\n{keys}\n")
}

#[test]
fn what_is_said_becomes_types() {
    let mqtt = [
        "version = \"5\"\npassword = { env = \"SET\" }\nkeep_alive = \"never\"\nsession_expiry = \"10m\"\nsubscribe = [{ topic = \"a/+/{client}/#\", qos = 1 }, { topic = \"#\" }]\n".to_owned(),
        publish("topic = \"t/{counter}\"\npayload = '{\"r\":{random:1-9}}'\nqos = 1\nwhen = { rate = \"2/s\" }"),
        publish("name = \"once\"\ntopic = \"t\""),
    ];
    let loaded = load_mqtt(REMOTE, "", &mqtt.concat()).unwrap_or_else(|error| panic!("{error}"));
    let group = &loaded.scenario.groups[0];
    let (session, rules) = (&group.session, group.session.mqtt.as_deref().unwrap());
    assert_eq!((rules.version, rules.keep_alive_s(), rules.session_expiry_s()), (Version::V5, 0, Some(600)));
    assert_eq!(rules.password.as_ref().unwrap().fixed(), Some("from-env"));
    assert_eq!(group.connect.subprotocols, ["mqtt"]);
    assert_eq!(session.ready, Ready::Connack);
    assert_eq!(session.exchanges(), [(0, "subscribe"), (1, "publish-1")]);
    assert_eq!(rules.published(0), None);
    assert!(matches!(rules.published(1).unwrap().when, When::Rate(..)));
    assert_eq!(rules.published(2).unwrap().name, "once");

    let plain = load_mqtt(REMOTE, "connect = { subprotocols = [\"mqtt\"] }", "").unwrap();
    let rules = plain.scenario.groups[0].session.mqtt.as_deref().unwrap();
    assert_eq!((rules.version, rules.keep_alive_s()), (Version::V311, 60));
    assert_eq!(rules.ping_timeout, Duration::from_secs(10));
    assert!(!rules.shows() && !rules.subscribes());
}

#[test]
fn what_no_broker_takes_is_a_fault() {
    let long = "x".repeat(65_536);
    // (the group's keys, those of mqtt, what is said of them)
    let rows: Vec<(&str, String, &str)> = vec![
        ("", publish("topic = \"a/#\""), "wildcard"),
        ("", publish("topic = \"a/+/{client}\""), "wildcard"),
        ("", publish("topic = \"\""), "is no topic"),
        ("", publish(&format!("topic = \"{long}\"")), "is no topic"),
        ("", publish("topic = \"a\\u0000\""), "is no topic"),
        ("", publish("topic = \"a\"\nqos = 2"), "qos"),
        ("", publish("topic = \"a\"\ntimeout = \"5s\""), "does not come"),
        ("", publish("topic = \"{nobody}\""), "nothing fills"),
        ("", publish("qos = 1"), "topic"),
        (
            "",
            [publish("name = \"a\"\ntopic = \"a\""), publish("name = \"a\"\ntopic = \"b\"")].concat(),
            "two by the name",
        ),
        (
            "",
            format!("subscribe = [{{ topic = \"a\" }}]\n{}", publish("name = \"subscribe\"\ntopic = \"b\"")),
            "subscribed to",
        ),
        ("", "subscribe = [{ topic = \"a/#/b\" }]".into(), "beside something else"),
        ("", "subscribe = [{ topic = \"a+\" }]".into(), "beside something else"),
        ("", "subscribe = [{ topic = \"\" }]".into(), "is no topic"),
        ("", "subscribe = [{ topic = \"a\", qos = 2 }]".into(), "qos"),
        ("", "password = \"x\"".into(), "without a user name"),
        ("", "username = \"{nobody}\"".into(), "nothing fills"),
        ("", "session_expiry = \"5s\"".into(), "not known to MQTT 3.1.1"),
        ("", "version = \"5\"\nsession_expiry = \"1500ms\"".into(), "whole number of seconds"),
        ("", "keep_alive = \"1500ms\"".into(), "whole number of seconds"),
        ("", "keep_alive = \"20h\"".into(), "whole number of seconds"),
        ("", "version = \"3.1\"".into(), "version"),
        ("session = { keep_alive = { ping_every = \"1s\" } }", String::new(), "stands beside `mqtt`"),
        ("session = { first_message = \"x\" }", String::new(), "stands beside `mqtt`"),
        ("session = { say = [{ text = \"x\" }] }", String::new(), "stands beside `mqtt`"),
        ("session = { split = \"x\" }", String::new(), "stands beside `mqtt`"),
        ("session = { send = { rate = \"1/s\" } }", String::new(), "stands beside `mqtt`"),
        ("session = { on_message = [{ equals = \"a\", reply = \"b\" }] }", String::new(), "sends a text"),
        ("session = { ready = \"first-message\" }", String::new(), "another than that of `mqtt`"),
        ("connect = { subprotocols = [\"stomp\"] }", String::new(), "another subprotocol"),
        ("connect = { token_in = { first_message = \"{token}\" } }", String::new(), "before the CONNECT"),
    ];
    for (group, mqtt, wanted) in rows {
        // A table in one line is written out, so that `mqtt` can stand in it.
        let group = match group.strip_prefix("session = { ") {
            Some(keys) => format!("[groups.session]\n{}", keys.strip_suffix(" }").unwrap()),
            None => group.to_owned(),
        };
        let error = load_mqtt(REMOTE, &group, &mqtt).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(wanted), "{group} {mqtt:.80}: {error:.2000}");
    }
    let embedded = load_mqtt("[target]\n", "", "").map(|_| ()).unwrap_err().to_string();
    assert!(embedded.contains("speaks no MQTT"), "{embedded}");
}
