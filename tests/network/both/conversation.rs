//! What is said on sessions: tokens in messages, the target's script, reactions, warnings.

use resurge::sample::{Cause, Counter, Outcome};
use tempfile::TempDir;

use super::{Case, by_both, compare};

const TOKEN: &str = "[groups.token]\nclient_id = \"c\"\nclient_secret = \"s\"\n";
const WANTED: &str = "[target.message_token]\npointers = [\"/token\"]\nwithin = \"300ms\"\nlate_code = 4001\nrefused_code = 4003\n";
const WELCOME: &str = "[[target.script]]\nat = \"authenticated\"\nsend = '{\"welcome\":\"{session}\"}'\n";
const FIRST: &str = "[groups.connect]\ntoken_in = { first_message = '{\"token\":\"{token}\"}' }\n";
const READY: &str = "[groups.session]\nready = { message_contains = \"welcome\" }\nready_timeout = \"800ms\"\nrefused_on_codes = [4001, 4003]\n";

#[test]
fn both_drivers_take_tokens_in_messages_alike() {
    let target = format!("required_scopes = []\n{WANTED}{WELCOME}");
    let group = |rest: &str| format!("{TOKEN}{FIRST}{READY}{rest}");
    let strange = "[groups.token]\ngrant = \"fixed\"\ntoken = \"of-another-world\"\n";
    let by_close = |cause| Some((Outcome::RefusedClose, cause));
    let own_message = group("first_message = '{\"token\":\"{token}\"}'\n")
        .replace(FIRST, "[groups.connect]\ntoken_in = \"nowhere\"\n");
    let cases = [
        Case::new("first-message", &target, &group(""), None),
        Case::new("own-message", &target, &own_message, None),
        Case::new(
            "no-token",
            &target,
            &own_message.replace("{\"token\":", "{\"tok\":"),
            by_close(Some(Cause::Unknown)),
        ),
        Case::new("a-strangers", &target, &group("").replace(TOKEN, strange), by_close(Some(Cause::Unknown))),
    ];
    compare(&TempDir::new().unwrap(), &cases);
}

#[test]
fn both_drivers_find_tokens_and_refusals_in_texts_without_json_alike() {
    let target = "required_scopes = []\n[target.message_token]\nregex = '^CONNECT\\n(?:.+\\n)*passcode:(.+)'\nrefused_message = \"ERROR\\nmessage:unknown_token\\n\\n\"\nrefused_code = 4003\n[[target.script]]\nat = \"authenticated\"\nsend = \"CONNECTED {count}\"\n";
    let group = |passcode: &str| {
        format!(
            "{TOKEN}[groups.connect]\ntoken_in = \"nowhere\"\n[groups.session]\nfirst_message = \"CONNECT\\nlogin:app\\npasscode:{passcode}\\n\"\nready = {{ message_equals = \"CONNECTED 1\" }}\nready_timeout = \"800ms\"\nrefused_on = [{{ starts_with = \"ERROR\\n\", words = {{ regex = '\\nmessage:(.+)' }} }}]\n"
        )
    };
    let by_message = Some((Outcome::RefusedMessage, Some(Cause::Unknown)));
    let cases = [
        Case::new("passcode", target, &group("{token}"), None),
        Case::new("wrong-passcode", target, &group("of-another-world"), by_message),
    ];
    compare(&TempDir::new().unwrap(), &cases);
}

#[test]
fn both_drivers_follow_scripts_alike() {
    let script =
        |rows: &[&str]| rows.iter().map(|row| format!("[[target.script]]\n{row}\n")).collect::<String>();
    let hello = script(&[
        "at = \"open\"\nsend = '{\"op\":10,\"every\":200}'",
        "message = '\"op\":2'\nsave = { id = \"/id\" }\nsend = '{\"t\":\"READY\",\"id\":{id}}'",
        "equals = \"beat\"\nsend = \"ack\"",
    ]);
    let answers = format!(
        "{TOKEN}[groups.session]\nready = {{ message_contains = \"READY\" }}\n[[groups.session.on_message]]\ncontains = '\"op\":10'\nreply = '{{\"op\":2,\"id\":{{client}}}}'\nheartbeat = {{ every_ms = \"/every\", text = \"beat\" }}\n"
    );
    let idle = "idle_timeout = \"500ms\"\n";
    let asks = script(&["after = \"1800ms\"\nsend = \"please reconnect\""]);
    let reconnects =
        format!("{TOKEN}[[groups.session.on_message]]\ncontains = \"reconnect\"\nthen = \"reconnect\"\n");
    let refuses = script(&["at = \"open\"\nsend = '{\"error\":\"go away\"}'"]);
    let is_refused = format!(
        "{TOKEN}[groups.session]\nready = {{ message_contains = \"never\" }}\nready_timeout = \"500ms\"\nrefused_on = [{{ contains = \"go away\" }}]\n"
    );
    let closes = script(&["after = \"1800ms\"\nsend = \"bye\"\nclose = 4000"]);
    let renewed = "path = \"/ws\"\nquery_parameter = \"ticket\"\naccepts_token_in = [\"query\"]\ntickets = { life = \"30s\", one_use = true, optional = true }\n[[target.script]]\nafter = \"1800ms\"\nsend = '{\"reconnect_url\":\"{ws}://{address}/ws?ticket={ticket}\"}'\n";
    let follows = "token = { grant = \"none\" }\n[groups.prepare]\nwhen = \"once\"\nrenew_on = [403]\nvariables = { url = \"ws://{address}/ws\" }\n[groups.connect]\nurl = \"{url}\"\n[[groups.session.on_message]]\ncontains = \"reconnect_url\"\nsave = { url = \"/reconnect_url\" }\nthen = \"reconnect\"\n";
    let warned = "[[target.storms]]\nat = \"2s\"\ncode = 1001\nwarning = \"closing soon\"\nwarning_before = \"800ms\"\n";
    let leaves =
        format!("{TOKEN}[[groups.session.on_message]]\ncontains = \"closing soon\"\nthen = \"reconnect\"\n");
    let several = format!(
        "split = \"|\"\n{}",
        script(&[
            "message = '\"op\":1'\nsave = { id = \"/id\" }\nsend = 'one {id}'",
            "message = '\"op\":2'\nsave = { id = { regex = '\"id\":(\\d+)' } }\nsend = 'two {id} {count} {count_hex}'",
        ])
    );
    let says_both = format!(
        "{TOKEN}[groups.session]\nfirst_message = '{{\"op\":1,\"id\":7}}|{{\"op\":2,\"id\":8}}|'\nready = {{ message_equals = \"two 8 1 1\" }}\nready_timeout = \"800ms\"\n"
    );
    let cases = [
        Case::new("hello", &hello, &answers, None),
        Case::new("heartbeats", &hello, &answers, None).idle(idle),
        Case::new("reconnect", &asks, &reconnects, None),
        Case::new("refused", &refuses, &is_refused, Some((Outcome::RefusedMessage, Some(Cause::Unknown)))),
        Case::new("closed", &closes, TOKEN, None),
        Case::new("renewed", renewed, follows, Some((Outcome::Http403, Some(Cause::StaleToken)))),
        Case::new("warned", warned, &leaves, None),
        Case::new("warned-in-vain", warned, TOKEN, None),
        Case::new("several-in-a-frame", &several, &says_both, None),
    ];
    compare(&TempDir::new().unwrap(), &cases);
}

/// What a case of a kept session comes to, by 4 clients: resumes that overlapped, disconnects, returns.
const KEPT: [(&str, [u64; 3]); 5] = [
    ("in-time", [4, 4, 4]),
    ("closed-before", [0, 8, 8]),
    ("grace-over", [0, 8, 8]),
    ("tried-again", [4, 4, 4]),
    ("given-up", [0, 4, 0]),
];

#[test]
fn both_drivers_keep_a_session_until_the_next_is_ready() {
    let target = |rows: &str| {
        format!(
            "path = \"/ws\"\nquery_parameter = \"ticket\"\naccepts_token_in = [\"query\"]\ntickets = {{ life = \"30s\", one_use = true, optional = true }}\nmessages_every = \"100ms\"\n{rows}[[target.script]]\nafter = \"1600ms\"\nsend = '{{\"reconnect_url\":\"{{ws}}://{{address}}/ws?ticket={{ticket}}\"}}'\n"
        )
    };
    let slow = "[[target.script]]\nafter = \"500ms\"\nsend = \"welcome\"\n";
    let closes = "[[target.script]]\nafter = \"1800ms\"\nclose = 4004\n";
    let group = |overlap: &str, ready: &str| {
        format!(
            "token = {{ grant = \"none\" }}\n[groups.prepare]\nwhen = \"once\"\nrenew_on = [403]\nrenew_on_codes = [1012]\nvariables = {{ url = \"ws://{{address}}/ws\" }}\n[groups.connect]\nurl = \"{{url}}\"\n[groups.session]\n{ready}[[groups.session.on_message]]\ncontains = \"reconnect_url\"\nsave = {{ url = \"/reconnect_url\" }}\nthen = \"reconnect\"\noverlap = \"{overlap}\"\n"
        )
    };
    let welcomed = "ready = { message_contains = \"welcome\" }\n";
    let no_ticket = |rows: &str| target(rows).replace("ticket={ticket}", "ticket=stale");
    let given_up = group("1s", "").replace("renew_on = [403]\n", "");
    let stale = Some((Outcome::Http403, Some(Cause::UnknownToken)));
    let cases = [
        Case::new(KEPT[0].0, &target(slow), &group("1200ms", welcomed), None),
        Case::new(KEPT[1].0, &target(&format!("{slow}{closes}")), &group("1200ms", welcomed), None),
        Case::new(KEPT[2].0, &target(slow), &group("200ms", welcomed), None),
        Case::new(KEPT[3].0, &no_ticket(""), &group("1s", ""), stale),
        Case::new(KEPT[4].0, &no_ticket(""), &given_up, stale),
    ];
    let folder = TempDir::new().unwrap();
    compare(&folder, &cases);
    for (case, (name, wanted)) in cases.iter().zip(KEPT) {
        for model in by_both(folder.path(), &format!("{name}-again"), &case.scenario) {
            let counters = [Counter::ResumesOverlapped, Counter::Disconnects, Counter::Reconnects];
            assert_eq!(counters.map(|counter| model.all.counter(counter)), wanted, "{name}");
        }
    }
}
