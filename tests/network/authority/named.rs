//! What a scenario itself names is refused before anything is sent, and reached where it is authorised.

use std::fs;
use std::net::IpAddr;

use super::world::{Case, World, each_with_a_world, hook_at, near, to_url, token_at};
use crate::support::output::text as text_of;

/// Packets that have gone over the loopback interface, on which every address of this network is.
fn packets() -> u64 {
    let devices = fs::read_to_string("/proc/net/dev").unwrap();
    let line = devices.lines().find(|line| line.trim_start().starts_with("lo:")).unwrap().to_owned();
    line.split_whitespace().nth(2).unwrap().parse().unwrap()
}

/// The ways to run case `index`: shards and diagnoses take a moment, so that each kind of place is tried once.
fn ways_of(index: usize) -> &'static [(&'static str, &'static [&'static str])] {
    let ways: &[(&str, &[&str])] = &[("run", &[]), ("diagnose", &[]), ("run", &["--shards", "2"])];
    if [0, 7, 15, 18, 19, 21].contains(&index) { ways } else { &ways[..1] }
}

/// What the scenario itself names is refused before anything is sent.
pub(crate) fn named_by_the_scenario(world: &mut World) {
    // (what is named, the host to authorise, where it then gets)
    let urls = [
        ("ws://8.8.8.8:PORT/", "8.8.8.8", "8.8.8.8"),
        ("ws://0x08080808:PORT/", "8.8.8.8", "8.8.8.8"),
        ("ws://134744072:PORT/", "0x8.8.8.8", "8.8.8.8"),
        ("ws://010.8.2056:PORT/", "8.8.8.8", "8.8.8.8"),
        ("ws://8.8.8.8.:PORT/", "8.8.8.8", "8.8.8.8"),
        ("ws://%38.8.8.8:PORT/", "8.8.8.8", "8.8.8.8"),
        ("ws://[::ffff:8.8.8.8]:PORT/", "::ffff:8.8.8.8", "8.8.8.8"),
        ("ws://[64:ff9b::8.8.8.8]:PORT/", "64:ff9b::808:808", "64:ff9b::808:808"),
        ("ws://[2002:808:808::1]:PORT/", "2002:808:808::1", "2002:808:808::1"),
        ("ws://[2001:4860:4860::8888]:PORT/", "[2001:4860:4860::8888]", "2001:4860:4860::8888"),
        ("ws://[fd00:ec2::254]:PORT/", "fd00:ec2::254", "fd00:ec2::254"),
        ("ws://100.64.0.1:PORT/", "100.64.0.1", "100.64.0.1"),
        ("ws://169.254.169.254:PORT/", "169.254.169.254", "169.254.169.254"),
        ("ws://192.0.2.1:PORT/", "192.0.2.1", "192.0.2.1"),
        ("ws://198.18.0.1:PORT/", "198.18.0.1", "198.18.0.1"),
        ("ws://public.test:PORT/", "public.test", "8.8.8.8"),
        ("ws://PUBLIC.test:PORT/", "Public.Test.", "8.8.8.8"),
        ("ws://six.test:PORT/", "six.test", "2001:4860:4860::8888"),
        ("ws://mixed.test:PORT/", "mixed.test", "203.0.113.7"),
    ];
    let mut cases: Vec<(Case, &str, &str)> =
        urls.iter().map(|(url, host, to)| (to_url(url), *host, *to)).collect();
    cases.push((token_at("http://8.8.8.8:PORT/"), "8.8.8.8", "8.8.8.8"));
    cases.push((token_at("http://public.test:PORT/"), "public.test", "8.8.8.8"));
    let far_url = "token = { grant = \"none\" }\nconnect = { url = \"ws://six.test:PORT/\" }";
    cases.push((near(far_url), "six.test", "2001:4860:4860::8888"));
    cases.push((hook_at("http://8.8.8.8:PORT/"), "8.8.8.8", "8.8.8.8"));
    cases.push((hook_at("http://public.test:PORT/"), "public.test", "8.8.8.8"));
    // Below the group, as it is another table; the target itself is near.
    let page = "url = \"http://8.8.8.8:PORT/\"\nseries = [{ name = \"m\", metric = \"m\" }]";
    let server = "prometheus = \"http://public.test:PORT/\"\nseries = [{ name = \"q\", query = \"up\" }]";
    for (source, host) in [(page, "8.8.8.8"), (server, "public.test")] {
        let text = format!("token = {{ grant = \"none\" }}\n[[observe]]\n{source}");
        cases.push((near(&text), host, "8.8.8.8"));
    }
    for (index, (case, _, _)) in cases.iter().enumerate() {
        let ways = ways_of(index);
        let text = world.text(case);
        for (command, more) in ways {
            let before = packets();
            let output = world.program(command, case, more);
            let said = text_of(&output.stderr);
            assert_eq!(output.status.code(), Some(77), "{command} {text}: {said}");
            assert!(said.contains("--authorize"), "{command} {text}: {said}");
            assert_eq!((packets(), world.service.others_hit()), (before, Vec::new()), "{command} {text}");
        }
    }
    let home = world.home.clone();
    let numbered: Vec<(usize, &(Case, &str, &str))> = cases.iter().enumerate().collect();
    each_with_a_world(&home, &numbered, |world, (index, (case, host, to))| {
        let ways = ways_of(*index);
        let text = world.text(case);
        let elsewhere = world.program("run", case, &["--authorize", "other.test"]);
        assert_eq!((elsewhere.status.code(), world.service.others_hit()), (Some(77), Vec::new()), "{text}");
        for (command, more) in ways {
            // One of the names has a free address too, which the clients take by turns.
            let output = world.program(command, case, &[&["--authorize", host], *more].concat());
            let said = text_of(&output.stderr);
            assert_ne!(output.status.code(), Some(77), "{command} {text}: {said}");
            let hit = world.service.others_hit();
            let may_miss = text.contains("mixed.test") && *command == "diagnose";
            assert!(may_miss || hit == [to.parse::<IpAddr>().unwrap()], "{command} {text}: {hit:?} {said}");
            if *command == "run" {
                let authorised = world.run_json()["target"]["authorised_hosts"].to_string();
                assert!(authorised.len() > 4, "{text}: the consent is on record, not {authorised}");
            }
        }
    });
    for url in [
        "ws://0.0.0.0:PORT/",
        "ws://[::]:PORT/",
        "ws://255.255.255.255:PORT/",
        "ws://224.0.0.1:PORT/",
        "ws://[ff02::1]:PORT/",
    ] {
        let before = packets();
        let output = world.program("run", &to_url(url), &[]);
        assert_eq!((output.status.code(), packets()), (Some(77), before), "{url}");
    }
    // A name server is asked by its address: one of others' only with consent.
    let mut asked = to_url("ws://service.test:PORT/");
    asked.group.push_str("\nconnect = { resolver = \"8.8.8.8\" }");
    for (command, more) in ways_of(0) {
        let before = packets();
        let output = world.program(command, &asked, more);
        assert_eq!((output.status.code(), packets()), (Some(77), before), "{command} {output:?}");
        let output = world.program(command, &asked, &[&["--authorize", "8.8.8.8"], *more].concat());
        assert_ne!(output.status.code(), Some(77), "{command} {output:?}");
        assert!(packets() > before, "{command}: it is asked");
    }
    // What is no URL, or has a user in it, is a fault of the scenario.
    for url in ["ws://127.0.0.1@8.8.8.8:PORT/", "ws://[fe80::1%25lo]:PORT/", "ws://256.8.8.8:PORT/"] {
        let before = packets();
        let output = world.program("run", &to_url(url), &[]);
        assert_eq!((output.status.code(), packets()), (Some(104), before), "{url}");
    }
    // The control: what is free is reached.
    for url in [
        "ws://127.0.0.1:PORT/",
        "ws://0x7f.1:PORT/",
        "ws://localhost:PORT/",
        "ws://[::1]:PORT/",
        "ws://[::ffff:127.0.0.1]:PORT/",
    ] {
        let output = world.program("run", &to_url(url), &[]);
        assert_ne!(output.status.code(), Some(77), "{url}");
        assert!(!world.service.take().is_empty(), "{url} is reached");
    }
}
