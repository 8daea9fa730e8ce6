//! What clients say by themselves, the replies to it, and what they measure of what they hear.

use resurge::sample::StormId;
use tempfile::TempDir;

use super::{Case, by_both, compare};

const TOKEN: &str = "[groups.token]\nclient_id = \"c\"\nclient_secret = \"s\"\n";

fn script(rows: &[&str]) -> String {
    rows.iter().map(|row| format!("[[target.script]]\n{row}\n")).collect()
}

#[test]
fn both_drivers_say_and_hear_alike() {
    let answers = script(&[
        "message = '\"ask\"'\nsave = { n = \"/ask\" }\nsend = '{\"answer\":{n},\"ok\":true}'",
        "message = '\"odd\"'\nsave = { n = \"/odd\" }\nsend = '{\"answer\":{n},\"ok\":false}'",
        "message = 'twice'\nsend = '{\"turn\":1}'",
        "message = 'twice'\nsend = '{\"turn\":2}'",
        "equals = \"ping me\"\nsend = \"ping\"",
    ]);
    let asks = format!(
        r#"{TOKEN}[groups.session]
kinds = {{ pointer = "/ok" }}
[[groups.session.say]]
text = '{{"ask":{{counter}}}}'
when = {{ every = "400ms" }}
reply = {{ pointer = "/answer", correlate_by = "/answer", check = ["/ok == true"] }}
[[groups.session.say]]
text = '{{"odd":100{{counter}}}}'
when = {{ after = "200ms" }}
reply = {{ fields = {{ "/ok" = false }}, check = ["/ok == true"] }}
[[groups.session.say]]
text = "twice"
reply = {{ pointer = "/turn" }}
[[groups.session.say]]
text = "nobody answers"
when = {{ after = "500ms" }}
reply = {{ equals = "never" }}
[[groups.session.say]]
text = "nor this in time"
when = {{ every = "700ms" }}
reply = {{ equals = "never" }}
"#
    )
    .replace(
        "nor this in time\"\nwhen = { every = \"700ms\" }\nreply = {",
        "nor this in time\"\nwhen = { every = \"700ms\" }\nreply = { timeout = \"250ms\",",
    );
    let reacts = format!(
        r#"{TOKEN}[[groups.session.say]]
text = "ping me"
when = {{ every = "600ms" }}
reply = {{ equals = "ping" }}
[[groups.session.say]]
text = "pong"
when = {{ on = {{ equals = "ping" }} }}
[[groups.session.say]]
hex = "c000"
when = {{ after = "100ms" }}
"#
    );
    let streams = r#"messages_every = "400ms"
"#;
    let hears = format!(
        r#"{TOKEN}[[groups.session.streams]]
pointer = "/seq"
sequence = "/seq"
sent_at = {{ pointer = "/due_us", unit = "us" }}
"#
    );
    let cases = [
        Case::new("asks", &answers, &asks, None),
        Case::new("reacts", &answers, &reacts, None),
        Case::new("hears", streams, &hears, None),
        Case::new("short-words", &answers, &asks.replace("pointer = \"/ok\"", "pointer = \"/answer\""), None),
    ];
    compare(&TempDir::new().unwrap(), &cases);
}

/// A service that sends back what it was sent, as its word for why it refuses, and as the kind of a message.
#[test]
fn neither_driver_tells_what_a_client_has_told() {
    let folder = TempDir::new().unwrap();
    let echo = script(&[
        "message = 'show'\nsave = { n = \"/show\" }\nsend = '{\"error\":\"{n}\",\"kind\":\"{n}\"}'",
    ]);
    std::fs::write(folder.path().join("rows.csv"), "word\nhunter-two\n").unwrap();
    for (name, refusal) in
        [("refused", "refused_on = [{ pointer = \"/error\", words = \"/error\" }]\n"), ("told", "")]
    {
        let scenario = format!(
            "duration = \"1500ms\"\n[target]\nidle_timeout = \"never\"\n{echo}[[groups]]\nname = \"g\"\nclients = 1\nfeeder = \"rows.csv\"\nreconnect = {{ max_attempts = 1 }}\n{TOKEN}[groups.session]\n{refusal}kinds = {{ pointer = \"/kind\" }}\n[[groups.session.say]]\ntext = '{{\"show\":\"{{word}}\"}}'\n"
        );
        for model in by_both(folder.path(), name, &scenario) {
            let said = format!("{:?} {:?}", model.all.attempts, model.all.talk);
            assert!(!said.contains("hunter"), "{name}: {said}");
            let heard = if refusal.is_empty() { "other" } else { "RefusedMessage" };
            assert!(said.contains(heard), "{name}: {said}");
        }
    }
}

#[test]
fn who_knows_nothing_new_is_told_storm_by_storm() {
    let group = format!(
        "{TOKEN}[groups.session]\nadmission = \"50ms\"\n[[groups.session.streams]]\nname = \"s\"\npointer = \"/seq\"\nsequence = \"/seq\"\n"
    );
    // The second storm leaves half of them no time to hear anything more: they come back after the last message.
    let scenario = format!(
        "duration = \"3s\"\n[target]\nidle_timeout = \"never\"\ninvalidation = \"never\"\nmessages_every = \"200ms\"\n[[groups]]\nname = \"g\"\nclients = 4\nreconnect = {{ backoff = {{ kind = \"constant\", base = \"700ms\" }} }}\n{group}[[storms]]\nat = \"1s\"\nby = \"target\"\ncode = 1012\n[[storms]]\nat = \"2700ms\"\nby = \"client\"\nfraction = \"50%\"\n"
    );
    let folder = TempDir::new().unwrap();
    let models = by_both(folder.path(), "blind", &scenario);
    for model in &models {
        let stream = &model.all.talk.as_ref().unwrap().streams[&0];
        assert_eq!(stream.blind_after.keys().collect::<Vec<_>>(), [&Some(StormId(0)), &Some(StormId(1))]);
        let [first, second] = [0, 1].map(|storm| &stream.blind_after[&Some(StormId(storm))]);
        let hit = model.all.storms[&StormId(1)].disconnects;
        assert_eq!((first.cut_off(), first.seen.count(), stream.blind.count()), (4, 4, 4));
        assert_eq!((second.cut_off(), second.seen.count(), second.open.count()), (hit, 0, hit));
        let ms = |us: u64| us / 1_000;
        assert!((600..1_100).contains(&ms(first.seen.min_us())), "a backoff, and a message: {first:?}");
        assert!((200..600).contains(&ms(second.open.max_us())), "until the run's end: {second:?}");
    }
    let hits = models.each_ref().map(|model| model.all.storms[&StormId(1)].disconnects);
    assert!(hits[0] == hits[1] && hits[0] > 0, "{hits:?}");
}
