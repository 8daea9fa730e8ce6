//! Targets that read messages by a scenario's rules, and texts with variables.
//!
//! In: bytes. Out: kinds of results.

use std::fs;
use std::time::Duration;

use resurge::clock::Moment;
use resurge::conversation::{Look, Looks, Payload, Talker};
use resurge::declare::template::{Template, is_name, random_range};
use resurge::sample::{Counter, ExchangeNews, Sample, Talk};
use resurge::scenario::keys::SessionRules;
use resurge::scenario::load;

use super::engine::Run;
use super::files::folder;

/// What stands before the rules of a session.
const HEAD: &str = "duration = \"1m\"\n[target]\n[[groups]]\nname = \"g\"\nclients = 1\ntoken = { grant = \"none\" }\n[groups.session]\n";

/// Keys of a session, a NUL, frames with a NUL between them.
pub(crate) const TALKS: &[&[u8]] = &[
    b"split = \"|\"\nready = { message = { fields = { \"/op\" = 10 } } }\nrefused_on = [{ contains = \"denied\" }]\nkinds = { pointer = \"/op\", at_most = 3 }\n\0{\"op\":10}|{\"op\":\"x\"}|denied\0{\"op\":[]}",
    b"prefix = '^42'\n[[groups.session.say]]\ntext = '[\"a\",{counter}]'\nwhen = { every = \"1s\" }\nreply = { pointer = \"/0\", correlate_by = \"/1\", check = [\"/2 == true\", \"/3 < 5\"], timeout = \"3s\" }\n\x0042[\"r\",1,true,4]\x0042[\"r\",\"1\",true,4.5]\x0042[]",
    b"[[groups.session.say]]\ntext = '{\"id\":\"{uuid}\"}'\nreply = { matches = 'a+' }\n[[groups.session.say]]\ntext = \"p\"\nwhen = { on = { starts_with = \"q\" } }\n\0aaa\0qq\0",
    b"[[groups.session.streams]]\nname = \"s\"\npointer = \"/n\"\nstream = \"/t\"\nsequence = \"/n\"\nat_most = 2\nsent_at = { pointer = \"/at\", unit = \"ms\" }\n\0{\"n\":1,\"t\":\"a\",\"at\":5}\0{\"n\":\"3\",\"t\":\"b\"}\0{\"n\":2,\"t\":\"c\",\"at\":1e300}\0{\"n\":1}",
    b"[[groups.session.streams]]\nname = \"s\"\npointer = \"/ts\"\nsent_at = { pointer = \"/ts\", unit = \"iso8601\" }\nrelative = true\n\0{\"ts\":\"2026-01-01T00:00:00Z\"}\0{\"ts\":\"\"}",
    b"binary = { format = \"msgpack\" }\nkinds = { pointer = \"/a/0\" }\n\0\x81\xa1a\x91\x01\0\x81\xa1a\xdc\xff\xff",
];
pub(crate) const TALK_WORDS: &[&[u8]] = &[
    b"split = ",
    b"\"\\u001e\"",
    b"equals = ",
    b"starts_with = ",
    b"matches = '(a|b)+$'",
    b"'[0-9]{1,1000}'",
    b"binary_starts_with = \"00ff\"",
    b"fields = { \"/a/0\" = true }",
    b"pointer = \"/a~1b\"",
    b"correlate_by = { regex = '^43(\\d+)' }",
    b"check = [\"/a != b\"]",
    b"when = { rate = \"5/s\" }",
    b"counts_anew = true",
    b"unit = \"iso8601\"",
    b"format = \"msgpack\"",
    b"length = \"varint\"",
    b"\0",
    b"{\"op\":",
    b"18446744073709551615",
    b"-1",
    b"1e400",
    b"\"\\ud800\"",
    b"\\u0000",
    b"9999-12-31T23:59:60.999999999+99:99",
    b"[[[[[[[[",
    b"\xdf\xff\xff\xff\xff",
    b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xff",
];
pub(crate) const TEMPLATES: &[&[u8]] = &[
    b"Bearer {token}, {client} of {now_ms} {now_iso} {address}",
    b"{\"id\":{counter},\"to\":\"{uuid}\",\"n\":{random:1-100}}",
    b"{hex(hmac_sha256(secret, \"GET/ws{unix_ms}\"))}{base64(sha256('a\\n'))}",
    b"{base64(base64(base64(base64(base64(base64(base64(base64(a))))))))}",
];
pub(crate) const TEMPLATE_WORDS: &[&[u8]] = &[
    b"{",
    b"}",
    b"{token}",
    b"{random:",
    b"999999999999999999}",
    b"{random:5-1}",
    b"(",
    b")",
    b"hex(",
    b"base64(",
    b"hmac_sha256(",
    b"sha512(",
    b"url_encode(",
    b", ",
    b"\"",
    b"'",
    b"\\",
    b"\xc3\xa9",
    b"\xf0\x9f\x98\x80",
    b"\xe2\x80\x83",
];

/// `keys NUL frame NUL frame …`: a client that has said what it has to say hears the frames, is cut off after each third, and is done.
pub(crate) fn matcher() -> Run {
    let folder = folder();
    let file = folder.path().join("s.toml");
    let mut last: Option<(Vec<u8>, Option<SessionRules>)> = None;
    Box::new(move |bytes| {
        let _keeps = &folder;
        let mut parts = bytes.split(|byte| *byte == 0);
        let keys = parts.next().unwrap_or_default();
        // The frames change more often than the rules.
        if last.as_ref().is_none_or(|(known, _)| known != keys) {
            fs::write(&file, [HEAD.as_bytes(), keys].concat()).unwrap();
            let loaded = load(&file, &Vec::new(), None, &|_| None).ok();
            let rules = loaded.and_then(|mut loaded| Some(loaded.scenario.groups.pop()?.session));
            last = Some((keys.to_vec(), rules));
        }
        let Some((_, Some(rules))) = &last else { return 0 };
        hear_all(rules, parts)
    })
}

fn hear_all<'b>(rules: &SessionRules, frames: impl Iterator<Item = &'b [u8]>) -> u64 {
    let looks = Looks::new(rules);
    let at = |ms: usize| Moment::ZERO + Duration::from_millis(ms as u64);
    let mut talker = looks.talk().map(|talk| Talker::new(talk, 1, 0).on_line(rules));
    let (mut calls, mut told, mut result) = (Vec::new(), Talk::default(), 1);
    for (n, frame) in frames.enumerate().take(64) {
        let now = at(400 * n);
        if let Some((talk, talker)) = looks.talk().zip(talker.as_mut()) {
            talker.begin(talk, now);
            for _ in 0..32 {
                let Some(saying) = talker.take_due(talk, now) else { break };
                talker.said(talk, saying, None);
            }
        }
        let text = std::str::from_utf8(frame).ok().map(Payload::Text);
        for payload in [text, Some(Payload::Binary(frame))].into_iter().flatten() {
            result = (result * 3 + u64::from(looks.makes_ready(payload))) % 101;
            for look in looks.messages(payload) {
                result = (result + judge(&looks, rules, &look)) % 101;
                if let Some((talk, talker)) = looks.talk().zip(talker.as_mut()) {
                    talker.hear(talk, &look, (now, 1_700_000_000_000_000), &mut calls, |_| false);
                }
            }
        }
        if let Some((talk, talker)) = looks.talk().zip(talker.as_mut()) {
            for saying in calls.drain(..) {
                talker.said(talk, saying, None);
            }
            if n % 3 == 2 {
                talker.end_session(talk, at(400 * n + 1), false);
                talker.take_step(&[Sample::Count(Counter::Disconnects, 1)]);
            }
            add(&mut told, talker.report());
        }
    }
    if let Some((talk, talker)) = looks.talk().zip(talker.as_mut()) {
        talker.end_session(talk, at(99_000), true);
        talker.finish(at(99_000), false);
        add(&mut told, talker.report());
        assert_eq!(talker.next_due(), Moment::NEVER, "it says nothing more");
    }
    hold(&told);
    let heard: u64 = told.streams.iter().map(|(_, news)| news.messages + 7 * news.late).sum();
    let ended: u64 = told.exchanges.iter().map(|(_, news)| news.ok + 5 * news.failed_checks).sum();
    result + 101 * (heard % 7) + 707 * (ended % 7)
}

fn judge(looks: &Looks, rules: &SessionRules, look: &Look<'_, '_>) -> u64 {
    let refused = looks.refuses(look).map_or(0, |rule| rule as u64 + 1);
    let calls = looks.calls_for(&rules.on_message, look).count();
    assert!(calls <= rules.on_message.len(), "more calls than rules");
    refused + 2 * calls as u64
}

fn add(told: &mut Talk, news: Option<Box<Talk>>) {
    if let Some(news) = news {
        told.exchanges.extend(news.exchanges);
        told.streams.extend(news.streams);
        told.kinds.extend(news.kinds);
    }
}

/// What holds of every conversation.
fn hold(told: &Talk) {
    let sum = |of: fn(&ExchangeNews) -> u64| told.exchanges.iter().map(|(_, news)| of(news)).sum::<u64>();
    let ended = sum(|news| news.ok + news.failed_checks + news.timeouts + news.cut_off + news.unfinished);
    assert_eq!(sum(|news| news.sent), ended, "what was said has ended in one way");
    assert_eq!(sum(|news| news.ok), sum(|news| news.latencies_us.len() as u64), "each reply has its latency");
    let filled: u64 = told.streams.iter().map(|(_, news)| news.filled + news.filled_away).sum();
    let skipped: u64 = told
        .streams
        .iter()
        .fold(0, |sum, (_, news)| sum.saturating_add(news.skipped).saturating_add(news.skipped_away));
    assert!(filled <= skipped, "more came late than was left out");
}

/// A text with variables: what is none stays as it is, and what is filled in is what was given.
pub(crate) fn template(bytes: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(bytes);
    assert_eq!(Template::literal(&text).render(|_| None), text);
    let mut result = 0;
    for template in [Template::parse(&text), Template::parse_saying(&text)] {
        for name in template.variables() {
            assert!(is_name(name) || random_range(name).is_some(), "{name} is no variable");
        }
        if let Some(fixed) = template.fixed() {
            assert_eq!(fixed, text, "nothing is filled in");
        }
        let itself = template.render(|name| Some(format!("{{{name}}}")));
        assert!(text.contains('(') || itself == text, "without calls, names for names are the text");
        let value = |name: &str| (name != "token").then(|| "v".repeat(name.len()));
        let filled = template.render(value);
        assert_eq!(filled, template.render(value), "the same again");
        result = result * 64 + template.variables().count().min(7) as u64 * 8 + (filled.len() % 8) as u64;
    }
    result
}
