//! Tests of the scenario as a whole: from text to types, or to faults.

use std::path::{Path, PathBuf};

use super::keys::{Invalidation, Jitter, OnReconnect, Start, Target};
use super::*;

pub(super) const SMALL: &str = r#"duration = "10s"
[target]
[[groups]]
name = "g"
clients = 3
token = { client_id = "a", client_secret = "hush" }
"#;

pub(super) fn load_text(text: &str, overrides: &[(&str, &str)]) -> Result<Loaded, ScenarioError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("small.toml");
    std::fs::write(&file, text).unwrap();
    let overrides = overrides.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let env = |name: &str| (name == "SET").then(|| "from-env".to_owned());
    load(&file, &overrides, None, &env)
}

fn faults(text: &str, overrides: &[(&str, &str)]) -> String {
    load_text(text, overrides).expect_err("there are faults").to_string()
}

fn shipped() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let entries = |folder: &Path| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, mut files): (Vec<_>, Vec<_>) = entries(&folder).partition(|path| path.is_dir());
    files.extend(folders.iter().flat_map(|folder| entries(folder)));
    files.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
    files.sort();
    files
}

#[test]
fn every_shipped_scenario_loads_and_so_does_its_copy() {
    let files = shipped();
    assert!(files.len() >= 5, "{files:?}");
    for file in files {
        let loaded = load(&file, &Vec::new(), None, &|_| None).unwrap_or_else(|error| panic!("{error}"));
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("copy.toml");
        std::fs::write(&copy, &loaded.copy).unwrap();
        // As it is, without a variable of the environment.
        let again = load(&copy, &Vec::new(), None, &|_| None).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(again.hash, loaded.hash, "{}", file.display());
        // Files are looked for beside the scenario.
        let told = |loaded, place: &Path| describe(loaded).replace(&place.display().to_string(), "");
        assert_eq!(told(&again, folder.path()), told(&loaded, file.parent().unwrap()));
    }
}

/// Baselines and run folders of before belong to these: a change of the parser must leave them as they are.
#[test]
fn the_hashes_of_the_shipped_scenarios_stay() {
    let known = [
        ("ably.toml", "218bc1c007856587"),
        ("arrivals.toml", "538eb337eabedba3"),
        ("auth0.toml", "cfad7ab8e65dc268"),
        ("aws-api-gateway-iam.toml", "d83680dc4f19ca24"),
        ("aws-api-gateway.toml", "940b0b184a4419fc"),
        ("aws-iot.toml", "fa8221a7806243cc"),
        ("backend-dies.toml", "01db68f451214f49"),
        ("bad-day.toml", "323c925083656521"),
        ("balancer-reload.toml", "174df0c9e2839d15"),
        ("browser-fleet.toml", "f926fc52f399207a"),
        ("centrifugo.toml", "61e63c2f280f598c"),
        ("certificate-rotated.toml", "ee6ab7b67b331362"),
        ("cognito.toml", "199f0ad2b6def88f"),
        ("cookie-session.toml", "e9a72ac07eb59a8a"),
        ("deploy-storm.toml", "3c8a87e491463abd"),
        ("discord.toml", "aa34752450f615a5"),
        ("dns-failover.toml", "690eb02004c4a64b"),
        ("entra.toml", "8df92fddb3ae9026"),
        ("eviction-cascade.toml", "d3e02e900bdd0a8e"),
        ("genesys-channels.toml", "caec6d14499db8d9"),
        ("graphql-ws.toml", "18c452f027a7108d"),
        ("half-open-balancer.toml", "4c058f1316e27796"),
        ("hundred-thousand.toml", "3bf5242963e56cc9"),
        ("idle-reconnect.toml", "a107702c351eb82d"),
        ("json-rpc.toml", "a95d652e51871d3d"),
        ("keycloak.toml", "98434e47cbb3fd3a"),
        ("livekit.toml", "852afb3345d79545"),
        ("million-deploy.toml", "37224d51f2b13e44"),
        ("million.toml", "8e3aeb6563561ab6"),
        ("missing-scope.toml", "e467878f15c693d2"),
        ("okta.toml", "e86c0ba9241c7c9f"),
        ("own-jwt.toml", "ce9e89261eec624a"),
        ("phoenix.toml", "345d88e5fe82da65"),
        ("probe-cascade.toml", "b438c0b7e30cef69"),
        ("pusher.toml", "424d705feb3c1ac5"),
        ("refetch-loop.toml", "d80e05be6df67b03"),
        ("refresh-race.toml", "f044ea58b1fcd52e"),
        ("rolling-restart.toml", "7e1d722dceee1408"),
        ("service-restart.toml", "7881fe16b3303f11"),
        ("signalr-negotiate.toml", "d2cc03742ee430a7"),
        ("slack-socket-mode.toml", "17e1b323b15ea1d1"),
        ("smoke.toml", "ced108317fe563c6"),
        ("socket-io.toml", "974c98f46bb43b97"),
        ("stale-cascade.toml", "41a13febdad2a6a2"),
        ("stomp.toml", "3c0035fa287cc20b"),
        ("token-day.toml", "2a212971412aafd9"),
        ("token-expiry.toml", "ac6a84c703f0e030"),
        ("twitch-eventsub.toml", "f5966c18c63bef67"),
    ];
    let mut found: Vec<(String, String)> = shipped()
        .iter()
        .map(|file| {
            let loaded = load(file, &Vec::new(), None, &|_| Some("wss://host.example/x".to_owned()));
            let hash = loaded.unwrap_or_else(|error| panic!("{error}")).hash;
            (file.file_name().unwrap().to_str().unwrap().to_owned(), hash)
        })
        .collect();
    found.sort();
    assert_eq!(found, known.map(|(file, hash)| (file.to_owned(), hash.to_owned())));
}

#[test]
fn keys_become_types() {
    let text = r#"
name = "typed"
duration = "1m30s"
seed = 7
[target]
kind = "embedded"
idle_timeout = "never"
invalidation = "on-new-token"
[[groups]]
name = "g"
clients = 1_000
start = { rate = "200/s" }
[groups.token]
client_id = "a"
client_secret = { env = "SET" }
on_reconnect = { fetch_if_older_than = "30s" }
[groups.reconnect]
backoff = { kind = "exponential", base = "1s", max = "9s", jitter = "decorrelated" }
on_codes = [1001, 1006]
"#;
    let scenario = load_text(text, &[]).unwrap().scenario;
    assert_eq!((scenario.name.as_str(), scenario.seed, scenario.duration.as_secs()), ("typed", 7, 90));
    let Target::Embedded(rules) = &scenario.target else { panic!("embedded") };
    assert_eq!((rules.idle_timeout, rules.invalidation), (None, Invalidation::OnNewToken));
    let group = &scenario.groups[0];
    assert_eq!((group.clients, &group.start), (1_000, &Start::Rate(200.0)));
    let token = group.token.as_ref().unwrap();
    assert_eq!(token.on_reconnect, OnReconnect::FetchIfOlderThan(std::time::Duration::from_secs(30)));
    assert_eq!(group.reconnect.backoff.jitter, Jitter::Decorrelated);
    assert_eq!(group.reconnect.on_codes.as_deref(), Some([1001, 1006].as_slice()));
}

#[test]
fn all_faults_come_at_once_each_with_its_place() {
    let text = r#"duration = "soon"
[target]
idle_timeot = "5s"
[[groups]]
name = "g"
clients = 0
start = { over = "-5s" }
token = { client_id = "a", client_secret = { env = "UNSET" } }
[thresholds]
reconect_latency = ["p(99) < 1s"]
reconnect_latency = "p(99) < 5"
"#;
    let message = faults(text, &[]);
    let parts = [
        "`duration` is \"soon\"",
        "small.toml:1:12",
        "unknown key `target.idle_timeot`",
        "did you mean `idle_timeout`?",
        "`groups.0.clients` is 0",
        "a whole number from 1 to",
        "a duration cannot be negative",
        "the environment variable UNSET is not set",
        "did you mean `reconnect_latency`?",
        "`thresholds.reconnect_latency` has no usable expression",
        "7 faults in ",
    ];
    for part in parts {
        assert!(message.contains(part), "{part}\n{message}");
    }
}

#[test]
fn each_bad_scenario_is_told_what_is_wrong() {
    let with = |more: &str| format!("{SMALL}{more}");
    // (text, part of the message)
    let rows: Vec<(String, &str)> = vec![
        (String::new(), "the scenario has no `duration`"),
        (String::new(), "the scenario has no `groups`"),
        ("duration = ".into(), "this is not TOML"),
        ("duration = 5\n[target]\ngroups = 3".into(), "`duration` is 5"),
        (SMALL.replace("10s", "99999999999h"), "at most 10 years"),
        (SMALL.replace("clients = 3", "clients = \"three\""), "`groups.0.clients` is \"three\""),
        (SMALL.replace("\"g\"", "\"all\""), "what reports call all groups"),
        (SMALL.replace("\"g\"", "\"a/b\""), "letters, digits"),
        (SMALL.replace("token = ", "tokens = "), "did you mean `token`?"),
        (with("[groups.reconnect]\nbackoff = { kind = \"expo\" }\n"), "did you mean \"exponential\"?"),
        (
            SMALL.replace("{ client_id = \"a\", client_secret = \"hush\" }", "{ grant = \"non\" }"),
            "did you mean \"none\"? Allowed: \"client_credentials\",",
        ),
        (with("start = { over = \"20s\" }\n"), "still starting when the run ends"),
        (with("start = { stages = [{ clients = 2 }] }\n"), "the stages start 2 clients"),
        (with("[[groups.disconnects]]\nafter = \"1s\"\nhow = \"half-open\"\n"), "would never notice"),
        (
            SMALL.replace("[target]", "[target]\nprobe = { every = \"1s\", waiting = 5 }"),
            "`target.probe` would never fail",
        ),
        (with("[[storms]]\nat = \"20s\"\n"), "after the run's end"),
        (with("[[storms]]\nat = \"2s\"\ncode = 1006\n"), "never stands in a close frame"),
        (
            with("[[groups]]\nname = \"g\"\nclients = 1\ntoken = { grant = \"none\" }\n"),
            "two groups are named",
        ),
        (with("[groups.connect]\nheaders = { Host = \"x\" }\n"), "the handshake itself sets Host"),
        (with("[thresholds]\n\"reconnect_latency{group:h}\" = \"max < 1s\"\n"), "there is no group \"h\""),
        (
            with("[[storms]]\nat = \"2s\"\nby = \"target\"\ngroups = [\"g\"]\n"),
            "it goes with by = \"client\"",
        ),
        (with("[thresholds]\nreconnect_latency = \"p99 < 1s\"\n"), "did you mean `p(99)`?"),
        (SMALL.replace("[target]", "[target]\nurl = \"https://x/\""), "ws:// or wss://"),
        (SMALL.replace("[target]", "[target]\nurl = \"ws://x/\""), "from where is not said"),
    ];
    for (text, part) in rows {
        let message = faults(&text, &[]);
        assert!(message.contains(part), "{part}\n{text}\n{message}");
        assert!(!message.contains("hush"), "a secret in {message}");
    }
}

#[test]
fn a_group_with_a_fault_is_there() {
    let storm = "[[storms]]\nat = \"2s\"\nby = \"client\"\nhow = \"rst\"\ngroups = [\"g\"]\n";
    let threshold = "[thresholds]\n\"reconnect_latency{group:g}\" = \"max < 1s\"\n";
    let text = format!("{SMALL}{storm}{threshold}");
    assert_eq!(load_text(&text, &[]).map(|loaded| loaded.scenario.storms.len()).ok(), Some(1));
    for (key, value) in [("groups.0.clients", "3e9"), ("groups.0.name", "7")] {
        let message = faults(&text, &[(key, value)]);
        assert!(message.contains(&format!("`{key}` is {value}")), "{message}");
        assert!(!message.contains("there is no group"), "{message}");
    }
    let message = faults(&text.replace("group:g", "group:h"), &[("groups.0.clients", "3e9")]);
    assert!(message.contains("there is no group \"h\"") && message.contains("there are g"), "{message}");
}

#[test]
fn overrides_are_checked_like_the_file_and_named_as_what_they_are() {
    let loaded =
        load_text(SMALL, &[("groups.0.clients", "200"), ("target.idle_timeout", "2s"), ("seed", "9")])
            .unwrap();
    assert_eq!((loaded.scenario.groups[0].clients, loaded.scenario.seed), (200, 9));
    assert!(
        loaded.copy.contains("clients = 200") && loaded.copy.contains("idle_timeout = \"2s\""),
        "{}",
        loaded.copy
    );
    let message = faults(SMALL, &[("groups.0.clients", "0")]);
    assert!(message.contains("with --set groups.0.clients=0"), "{message}");
    let message = faults(SMALL, &[("groups.0.clonts", "5")]);
    assert!(
        message.contains("unknown key `groups.0.clonts`") && message.contains("did you mean `clients`?"),
        "{message}"
    );
    let message = faults(SMALL, &[("groups.7.clients", "5")]);
    assert!(message.contains("no element 7"), "{message}");
}

#[test]
fn the_hash_is_of_what_is_meant() {
    let hash = |text: &str| load_text(text, &[]).unwrap().hash;
    assert_eq!(hash(SMALL), hash(&format!("# a comment\n{}", SMALL.replace("\"hush\"", "\"other\""))));
    assert_eq!(hash(SMALL), hash(&format!("seed = 5\n{SMALL}")), "repeats differ by seed");
    assert_ne!(hash(SMALL), hash(&SMALL.replace("clients = 3", "clients = 4")));
}

#[test]
fn target_rules_come_from_a_profile_or_a_file() {
    let env = |_: &str| None;
    let set = |key: &str, value: &str| vec![(key.to_owned(), value.to_owned())];
    let forum = load_target_rules("forum", &[], &env).unwrap();
    assert_eq!(forum, keys::TargetRules::default());
    for key in ["idle_timeout", "target.idle_timeout"] {
        let rules = load_target_rules("forum", &set(key, "2s"), &env).unwrap();
        assert_eq!(rules.idle_timeout, Some(std::time::Duration::from_secs(2)), "{key}");
    }
    let faulty = set("faults", "[{kind=\"upgrade_status\",share=0.1}]");
    let faulty = load_target_rules("forum", &faulty, &env).unwrap().faults;
    assert_eq!((faulty.len(), faulty[0].kind.name(), faulty[0].share), (1, "upgrade_status", 0.1));
    let message = load_target_rules("forum", &set("idle_timeot", "2s"), &env).unwrap_err().to_string();
    assert!(message.contains("did you mean `idle_timeout`?"), "{message}");
    let message = load_target_rules("no-such", &[], &env).unwrap_err().to_string();
    assert!(message.contains("no profile no-such"), "{message}");
}

#[test]
fn every_shipped_profile_reads_without_a_fault_and_can_be_built_upon() {
    let env = |_: &str| None;
    for name in profile_names() {
        let rules = load_target_rules(name, &[], &env).unwrap_or_else(|error| panic!("{name}: {error}"));
        let text =
            SMALL.replace("[target]\n", &format!("[target]\nprofile = \"{name}\"\nmessage_padding = 3\n"));
        let loaded = load_text(&text, &[]).unwrap_or_else(|error| panic!("{name}: {error}"));
        let keys::Target::Embedded(built) = loaded.scenario.target else { panic!("{name}") };
        assert_eq!(*built, keys::TargetRules { message_padding: 3, ..rules }, "{name}");
    }
    let bearer = load_target_rules("bearer", &[], &env).unwrap();
    assert_eq!(bearer.refusal_status, keys::RefusalStatus::Rfc6750);
    assert_eq!(bearer.invalidation, keys::Invalidation::Never);
}

#[test]
fn the_axes_of_a_service_are_keys_and_wrong_values_are_told() {
    let with = |keys: &str| SMALL.replace("[target]\n", &format!("[target]\n{keys}\n"));
    let good = "refusal_status = \"rfc6750\"\nclient_lock = \"3s\"\nsessions_per_client = 2\n\
                at_session_limit = \"displace\"\nhandshake_limit = { count = 5, per = \"1s\" }\naccepts_token_in = [\"query\"]";
    let keys::Target::Embedded(rules) = load_text(&with(good), &[]).unwrap().scenario.target else {
        panic!()
    };
    assert_eq!(rules.sessions_per_client, Some(2));
    assert_eq!(rules.handshake_limit.map(|limit| limit.status), Some(429));
    assert_eq!(rules.accepts_token_in, [keys::TokenPlace::Query]);
    for (bad, said) in [
        ("refusal_status = \"sometimes\"", "rfc6750"),
        ("refusal_status = 200", "400"),
        ("accepts_token_in = [\"pocket\"]", "subprotocol"),
        ("accepts_token_in = []", "subprotocol"),
        ("handshake_limit = { count = 5 }", "per"),
        ("profile = \"forumm\"", "forum"),
    ] {
        let message = faults(&with(bad), &[]);
        assert!(message.contains(said), "{bad}: {message}");
    }
}

#[test]
fn what_no_clock_can_keep_is_refused() {
    for (keys, said) in [
        ("start = { rate = \"1e-300/s\" }", "once a day"),
        ("session = { send = { rate = \"1e12/s\", text = \"x\" } }", "1,000,000/s"),
        ("session = { keep_alive = { ping_every = \"1ns\", timeout = \"1s\" } }", "1ms"),
    ] {
        let message = faults(&format!("{SMALL}{keys}\n"), &[]);
        assert!(message.contains(said), "{keys}: {message}");
    }
}

#[test]
fn a_fault_reads_well() {
    let text = SMALL.replace("clients = 3", "clents = 3");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("small.toml");
    std::fs::write(&file, text).unwrap();
    let message = load(&file, &Vec::new(), None, &|_| None).unwrap_err().to_string();
    let message = message.replace(&folder.path().display().to_string(), "");
    insta::assert_snapshot!(message, @r#"
    error: `groups.0` has none of `clients`, `arrivals`
     --> /small.toml:3:1
      |
    3 | [[groups]]
      | ^^^^^^^^^^ say how many clients, as clients = 1000, or how they come, as arrivals = { rate = "50/s", stay = "2m" }

    error: unknown key `groups.0.clents`
     --> /small.toml:5:1
      |
    5 | clents = 3
      | ^^^^^^ did you mean `clients`? Known here: arrivals, clients, connect, disconnects, feeder, leave, name, policy, prepare, reconnect, session, start, token, trace

    2 faults in /small.toml
    "#);
}

fn with_fault(keys: &str) -> String {
    SMALL.replace("[target]\n", &format!("[target]\n[[target.faults]]\n{keys}\n"))
}

#[test]
fn every_kind_of_fault_is_read_by_its_name_and_knows_the_keys_of_the_schema() {
    let schema = schema();
    let kinds = schema.pointer("/properties/target/oneOf/0/properties/faults/items/oneOf").unwrap();
    let kinds = kinds.as_array().unwrap();
    assert_eq!(kinds.len(), 20);
    for kind in kinds {
        let name = kind["properties"]["kind"]["const"].as_str().unwrap();
        let keys = kind["required"].as_array().unwrap().iter().skip(1).map(|key| match key.as_str() {
            Some("delay") => "delay = { uniform = [\"1ms\", \"2ms\"] }\n",
            Some("skew") => "skew = \"-30s\"\n",
            other => panic!("{other:?}"),
        });
        let keys = format!("kind = \"{name}\"\n{}", keys.collect::<String>());
        let text = with_fault(&format!("{keys}share = \"25%\"\nfrom = \"1s\"\nuntil = \"2s\""));
        let loaded = load_text(&text, &[]).unwrap_or_else(|error| panic!("{error}"));
        let words = describe(&loaded);
        assert!(words.contains(&format!("fault: {name}")) && words.contains("25.0%"), "{words}");
        assert!(words.contains("from 1s to 2s"), "{words}");
        let Target::Embedded(rules) = &loaded.scenario.target else { panic!("embedded") };
        let [fault] = rules.faults.as_slice() else { panic!("one fault") };
        assert_eq!((fault.kind.name(), fault.share), (name, 0.25));
        // What one kind knows, another does not.
        let message = faults(&with_fault(&format!("{keys}nonsense = 1")), &[]);
        let known = message.split("nown here: ").nth(1).unwrap().split("\n\n").next().unwrap();
        let mut known: Vec<&str> = known.split_whitespace().map(|key| key.trim_end_matches(',')).collect();
        known.sort_unstable();
        let mut of_schema: Vec<&str> =
            kind["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        of_schema.sort_unstable();
        assert_eq!(known, of_schema, "{name}");
    }
}

#[test]
fn a_bad_fault_is_told_what_is_wrong() {
    for (keys, said) in [
        ("share = 0.5", "`kind`"),
        ("kind = \"upgrade_stal\"", "did you mean \"upgrade_stall\"?"),
        ("kind = \"upgrade_stall\"\nshare = 1.5", "a number from 0 to 1 is needed"),
        ("kind = \"upgrade_stall\"\nshare = 0", "would strike nobody"),
        ("kind = \"upgrade_stall\"\nfrom = \"3s\"\nuntil = \"2s\"", "is not after `from`"),
        ("kind = \"upgrade_stall\"\nfrom = \"10s\"", "upgrade_stall would strike after the run's end"),
        ("kind = \"upgrade_stall\"\nstatus = 503", "unknown key `target.faults.0.status`"),
        ("kind = \"upgrade_status\"\nstatus = 200", "from 400 to 599"),
        ("kind = \"token_slow\"", "has no `delay`"),
        ("kind = \"token_clock_skew\"\nskew = \"~3s\"", "a duration with a sign"),
        ("kind = \"malformed_frame\"\nflaw = \"rsv\"", "reserved-bits"),
        ("kind = \"half_open\"\nafter = 5", "`target.faults.0.after` is 5"),
    ] {
        let message = faults(&with_fault(keys), &[]);
        assert!(message.contains(said), "{keys}: {message}");
    }
}

#[test]
fn the_time_model_is_read_and_told_in_words() {
    let text = format!(
        "{SMALL}[simulate]\nservice = \"bearer\"\n[simulate.stages]\ntcp = {{ constant = \"2ms\" }}\ntoken = {{ exponential = \"3ms\" }}\ntls = {{ uniform = [\"1ms\", \"2ms\"] }}\n[simulate.token]\nservers = 4\nservice = {{ log_normal = {{ median = \"2ms\", sigma = 0.5 }} }}\nqueue = 1000\nover_limit = 429\nretry_after = \"2s\"\nabandoned = \"dropped\"\n[[simulate.faults]]\nstage = \"upgrade\"\nkind = \"blackhole\"\nshare = \"10%\"\nfrom = \"1s\"\n"
    );
    let loaded = load_text(&text, &[]).unwrap();
    let words = describe(&loaded);
    let lines: Vec<&str> =
        words.lines().filter_map(|line| line.trim().strip_prefix("in virtual time: ")).collect();
    assert_eq!(
        lines,
        [
            "the service is taken for one with the rules of the profile bearer",
            "dns 0, tcp 2ms, tls uniform 1ms to 2ms, upgrade 300us, token exponential of mean 3ms, message 50us, detect 100us",
            "token requests: 4 at once, each takes log-normal of median 2ms and σ 0.5; 1,000 may wait, one more gets 429; those whose client has gone are dropped",
            "blackhole at upgrade, 10.0% of them, from 1s",
        ]
    );
}

#[test]
fn a_bad_time_model_is_told_what_is_wrong() {
    for (keys, said) in [
        ("[simulate]\nservice = \"form\"", "did you mean \"forum\"?"),
        ("[simulate.stages]\ntcpp = \"1ms\"", "did you mean `tcp`?"),
        ("[simulate.stages]\ntcp = { exponential = \"0s\" }", "is zero"),
        ("[simulate.stages]\ntcp = { constant = \"1ms\", exponential = \"1ms\" }", "is needed"),
        ("[simulate.token]\nservers = 0\nservice = \"1ms\"", "from 1 to 1000000"),
        ("[simulate.token]\nservers = 1", "has no `service`"),
        ("[simulate.token]\nservers = 1\nservice = \"0s\"", "no request would ever wait"),
        ("[simulate.token]\nservers = 1\nservice = \"1ms\"\nover_limit = 200", "from 400 to 599"),
        ("[simulate.token]\nservers = 1\nservice = \"1ms\"\nabandoned = \"kept\"", "\"served\", \"dropped\""),
        ("[[simulate.faults]]\nstage = \"dns\"\nkind = \"reset\"", "cannot be at this stage"),
        ("[[simulate.faults]]\nstage = \"tcp\"", "has no `kind`"),
        (
            "[[simulate.faults]]\nstage = \"tcp\"\nkind = \"refused\"\nfrom = \"2s\"\nuntil = \"1s\"",
            "is not after `from`",
        ),
    ] {
        let message = faults(&format!("{SMALL}{keys}\n"), &[]);
        assert!(message.contains(said), "{keys}: {message}");
    }
}

#[test]
fn a_close_at_a_tokens_revocation_is_no_late_refusal() {
    let ms = std::time::Duration::from_millis;
    for (target, refused_within) in [
        ("idle_timeout = \"never\"", ms(10_000)),
        ("idle_timeout = \"6s\"", ms(3_000)),
        ("idle_timeout = \"never\"\ntoken_end = { code = 3000, grace = \"1h\" }", ms(500)),
        (
            "idle_timeout = \"never\"\ntoken_end = { code = 3000, grace = \"1h\", at_revocation = false }",
            ms(10_000),
        ),
    ] {
        let text = SMALL.replace("[target]", &format!("[target]\n{target}"));
        let scenario = load_text(&text, &[]).unwrap().scenario;
        assert_eq!(admission_of(&scenario, 0), Admission { after: ms(500), refused_within }, "{target}");
    }
}
