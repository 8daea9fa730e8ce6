//! What a client says and hears, by the clock of a test.

use super::super::{Looks, Payload};
use super::*;
use crate::scenario::keys::SessionRules;
use crate::scenario::load;

fn rules(session: &str) -> SessionRules {
    rules_of("[target]\n", session)
}

fn rules_of(target: &str, session: &str) -> SessionRules {
    let text = format!(
        "name = \"t\"\nduration = \"10s\"\n{target}[[groups]]\nname = \"g\"\nclients = 1\ntoken = {{ grant = \"none\" }}\n{session}"
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.toml");
    std::fs::write(&file, text).unwrap();
    let loaded = load(&file, &Vec::new(), None, &|_| None);
    loaded.unwrap_or_else(|error| panic!("{error}")).scenario.groups.remove(0).session
}

/// A client and its rules.
struct Client {
    looks: Looks,
    talker: Talker,
}

impl Client {
    fn new(session: &str, number: u32) -> Self {
        let looks = Looks::new(&rules(session));
        let talker = Talker::new(looks.talk().unwrap(), 7, number);
        Self { looks, talker }
    }

    fn begin(&mut self, ms: u64) {
        self.talker.begin(self.looks.talk().unwrap(), at(ms));
    }

    /// Says all that is due until then, each when it is: (saying, when in ms, its counter).
    fn say_until(&mut self, ms: u64) -> Vec<(usize, u64, u64)> {
        let rules = self.looks.talk().unwrap();
        let mut said = Vec::new();
        while let next = self.talker.next_due()
            && next <= at(ms)
        {
            if let Some(saying) = self.talker.take_due(rules, next) {
                self.talker.said(rules, saying, None);
                said.push((saying.index, saying.due.as_ns() / 1_000_000, saying.counter));
            }
        }
        said
    }

    fn hear(&mut self, text: &str, ms: u64) -> Vec<usize> {
        let mut calls = Vec::new();
        for look in self.looks.messages(Payload::Text(text)) {
            let now = (at(ms), ms * 1_000);
            self.talker.hear(self.looks.talk().unwrap(), &look, now, &mut calls, |word| word == "hush");
        }
        calls.into_iter().map(|saying| saying.index).collect()
    }

    fn end(&mut self, ms: u64, is_run_over: bool) {
        self.talker.end_session(self.looks.talk().unwrap(), at(ms), is_run_over);
    }

    fn news(&mut self) -> Talk {
        self.talker.report().map(|news| *news).unwrap_or_default()
    }
}

fn at(ms: u64) -> Moment {
    Moment::from_ns(ms * 1_000_000)
}

const SAYS: &str = r#"
[[groups.session.say]]
text = "hello"
[[groups.session.say]]
text = "beat"
when = { every = "100ms" }
[[groups.session.say]]
text = "late"
when = { after = "150ms" }
[[groups.session.say]]
hex = "c000"
when = { on = { equals = "ping" } }
"#;

#[test]
fn what_is_due_is_said_in_its_order_in_each_session() {
    let mut client = Client::new(SAYS, 0);
    assert_eq!(
        client.talker.next_due(),
        Moment::NEVER,
        "before a session is ready, the clock calls for nothing"
    );
    assert_eq!(client.hear("ping", 5), [3], "a message does");
    client.begin(1_000);
    client.begin(1_050);
    let wanted = [(0, 1_000, 1), (1, 1_100, 1), (2, 1_150, 1), (1, 1_200, 2)];
    assert_eq!(client.say_until(1_250), wanted);
    client.end(1_250, false);
    assert_eq!(client.say_until(2_000), []);
    client.begin(2_000);
    assert_eq!(client.say_until(2_100), [(0, 2_000, 2), (1, 2_100, 3)], "numbers go on");
    assert_eq!(client.news(), Talk::default(), "without replies there is nothing to tell");
}

#[test]
fn a_client_that_was_held_up_says_what_was_due_from_when_it_was() {
    let mut client = Client::new("[[groups.session.say]]\ntext = \"x\"\nwhen = { rate = \"100/s\" }\n", 0);
    client.begin(0);
    let rules = client.looks.talk().unwrap();
    let dues: Vec<u64> = std::iter::from_fn(|| client.talker.take_due(rules, at(55)))
        .map(|saying| saying.due.as_ns() / 1_000_000)
        .collect();
    assert_eq!(dues, [10, 20, 30, 40, 50]);
}

#[test]
fn a_poisson_process_has_its_rate_and_each_client_its_own_which_is_always_the_same() {
    let text = "[[groups.session.say]]\ntext = \"x\"\nwhen = { rate = \"50/s\", arrivals = \"poisson\" }\n";
    let said = |number| {
        let mut client = Client::new(text, number);
        client.begin(0);
        client.say_until(200_000)
    };
    let (one, two) = (said(1), said(2));
    assert_eq!(one, said(1));
    assert_ne!(one, two);
    // 10,000 are to be expected, give or take 100.
    assert!((9_500..10_500).contains(&one.len()), "{}", one.len());
    // Of an exponential distribution, the share above the mean is 1/e.
    let gaps: Vec<u64> = one.windows(2).map(|pair| pair[1].1 - pair[0].1).collect();
    let long = gaps.iter().filter(|gap| **gap >= 20).count() as f64 / gaps.len() as f64;
    assert!((long - 0.368).abs() < 0.03, "{long}");
}

const ASKS: &str = r#"
[[groups.session.say]]
name = "ask"
text = '{"id":{counter}}'
when = { every = "100ms" }
reply = { pointer = "/id", correlate_by = "/id", check = ["/ok == true", "/n < 5"], timeout = "250ms" }
[[groups.session.say]]
name = "turn"
text = "turn"
when = { after = "120ms" }
reply = { starts_with = "turned" }
"#;

#[test]
fn every_exchange_ends_in_one_way() {
    let mut client = Client::new(ASKS, 0);
    client.begin(0);
    let mut said = client.say_until(220).len();
    client.hear("{\"id\":2,\"ok\":true,\"n\":4}", 230);
    said += client.say_until(330).len();
    client.hear("{\"id\":3,\"ok\":true,\"n\":5}", 340);
    client.hear("{\"id\":9,\"ok\":true,\"n\":1}", 350);
    said += client.say_until(400).len();
    client.hear("{\"id\":1,\"ok\":true,\"n\":1}", 400);
    client.hear("{\"id\":\"4\",\"ok\":true,\"n\":1}", 430);
    client.hear("turned", 440);
    client.hear("turned", 441);
    said += client.say_until(900).len();
    assert_eq!(said, 10);
    client.end(905, false);
    let news = client.news();
    let [(0, ask), (1, turn)] = news.exchanges.as_slice() else { panic!("{news:?}") };
    // 1 came too late, 2 and 4 were good, 3 was not; 5 and 6 were given up, 7 waited still, with 8 and 9.
    assert_eq!((ask.sent, ask.ok, ask.failed_checks), (9, 2, 1));
    assert_eq!((ask.timeouts, ask.cut_off, ask.unfinished, ask.unexpected), (3, 3, 0, 2));
    assert_eq!((&ask.latencies_us, &ask.failed_latencies_us), (&vec![30_000, 30_000], &vec![40_000]));
    assert_eq!(ask.most_in_flight, 3);
    assert_eq!((turn.sent, turn.ok, turn.unexpected, &turn.latencies_us), (1, 1, 1, &vec![320_000]));
    client.begin(1_000);
    client.say_until(1_110);
    client.end(1_110, true);
    let news = client.news();
    assert_eq!((news.exchanges[0].1.unfinished, news.exchanges[0].1.cut_off), (1, 0));
}

#[test]
fn replies_are_known_by_a_uuid_or_by_what_an_expression_finds() {
    let mut client = Client::new(
        r#"
[[groups.session.say]]
text = '{"i":"{uuid}","n":{random:1-6}}'
when = { after = "0s" }
reply = { pointer = "/i", correlate_by = "/i" }
[[groups.session.say]]
text = '42{counter}["join"]'
when = { after = "1ms" }
reply = { starts_with = "43", correlate_by = { regex = '^43(\d+)' }, check = ["/0/ok == yes"] }
"#,
        3,
    );
    client.begin(0);
    let rules = client.looks.talk().unwrap();
    let first = client.talker.take_due(rules, at(0)).unwrap();
    client.talker.said(rules, first, None);
    let uuid = client.talker.uuid(first);
    assert_eq!((uuid.len(), &uuid[14..15]), (36, "4"));
    assert!("89ab".contains(&uuid[19..20]), "{uuid}");
    assert_ne!(uuid, client.talker.uuid(Saying { counter: 2, ..first }));
    let drawn: Vec<u64> = (0..1_000).map(|which| client.talker.random(first, which, (1, 6))).collect();
    assert!((1..=6).all(|wanted| drawn.iter().filter(|n| **n == wanted).count() > 100), "{drawn:?}");
    client.say_until(1);
    client.hear(&format!("{{\"i\":\"{uuid}\"}}"), 4);
    client.hear("431[{\"ok\":\"yes\"}]", 5);
    let news = client.news();
    assert_eq!(news.exchanges.iter().map(|(_, news)| news.ok).collect::<Vec<_>>(), [1, 1]);
}

const STREAMS: &str = r#"
[groups.session]
kinds = { pointer = "/t", at_most = 3 }
[[groups.session.streams]]
name = "topics"
pointer = "/t"
sequence = "/n"
stream = "/t"
at_most = 2
sent_at = { pointer = "/at", unit = "ms" }
"#;

#[test]
fn streams_and_kinds_are_told_apart() {
    let mut client = Client::new(STREAMS, 0);
    client.hear("{\"t\":\"a\",\"n\":1,\"at\":90}", 100);
    client.hear("{\"t\":\"b\",\"n\":\"70\",\"at\":101}", 100);
    client.hear("{\"t\":\"a\",\"n\":4,\"at\":100}", 100);
    client.hear("{\"t\":\"a\"}", 100);
    client.hear("{\"t\":\"c\",\"n\":9}", 100);
    client.hear("{\"t\":\"hush\",\"n\":9}", 100);
    client.hear("{\"t\":\"d\"}", 100);
    client.hear("{\"n\":9}", 100);
    client.end(150, false);
    client.hear("{\"t\":\"a\",\"n\":7,\"at\":160}", 170);
    let news = client.news();
    let [(0, stream)] = news.streams.as_slice() else { panic!("{news:?}") };
    let StreamNewsSeen { skipped, away, beyond, unnumbered } = StreamNewsSeen::of(stream);
    assert_eq!((skipped, away, beyond, unnumbered), (2, 2, 3, 1), "{stream:?}");
    assert_eq!((stream.messages, stream.keys), (8, 2));
    assert_eq!(stream.latencies_us, [10_000, -1_000, 0, 10_000]);
    let blind: Vec<u64> = stream.blind.iter().map(|blind| blind.us).collect();
    assert_eq!(blind, [20_000]);
    let kinds: Vec<(Option<&str>, u64)> =
        news.kinds.iter().map(|(word, n)| (word.as_ref().map(ErrorWord::text), *n)).collect();
    assert_eq!(kinds, [(Some("a"), 4), (Some("b"), 1), (Some("c"), 1), (Some("other"), 2), (None, 1)]);
}

/// What is looked at of a stream's news.
struct StreamNewsSeen {
    skipped: u64,
    away: u64,
    beyond: u64,
    unnumbered: u64,
}

impl StreamNewsSeen {
    fn of(news: &crate::sample::StreamNews) -> Self {
        let crate::sample::StreamNews { skipped, skipped_away: away, beyond, unnumbered, .. } = *news;
        Self { skipped, away, beyond, unnumbered }
    }
}

#[test]
fn packets_that_acknowledge_end_exchanges_by_their_identifiers() {
    let mut session = SessionRules::default();
    let timed = "[groups.session.mqtt]\nsubscribe = [{ topic = \"a\", qos = 1 }]\nkeep_alive = \"1s\"\n[[groups.session.mqtt.publish]]\nname = \"loose\"\ntopic = \"t\"\n[[groups.session.mqtt.publish]]\nname = \"kept\"\ntopic = \"t\"\nqos = 1\nwhen = { every = \"100ms\" }\ntimeout = \"200ms\"\n";
    session.mqtt = rules_of("[target]\nkind = \"remote\"\nurl = \"ws://127.0.0.1:9/\"\n", timed).mqtt;
    let looks = Looks::new(&session);
    let talk = looks.talk().unwrap();
    assert!(looks.is_read() && !looks.awaits_message());
    let mut talker = Talker::new(talk, 7, 1).on_line(&session);
    assert!(!talker.is_in());
    talker.begin(talk, at(0));
    // The subscription comes first.
    let mut ids = Vec::new();
    while let Some(saying) = talker.take_due(talk, at(100)) {
        let id = talker.line().unwrap().take_id();
        ids.push((saying.index, id));
        talker.said(talk, saying, (saying.index != 1).then_some(id));
    }
    assert_eq!(ids, [(0, 1), (1, 2), (2, 3)]);
    let ack = |id, is_subscription, is_ok| Ack { id, is_subscription, is_ok };
    talker.acknowledged(talk, ack(3, true, true), at(110));
    talker.acknowledged(talk, ack(1, true, false), at(110));
    talker.acknowledged(talk, ack(3, false, true), at(130));
    talker.acknowledged(talk, ack(3, false, true), at(140));
    let kept = talker.take_due(talk, at(200)).unwrap();
    talker.said(talk, kept, Some(4));
    talker.acknowledged(talk, ack(4, false, true), at(400));
    assert_eq!(talker.next_due(), at(300));
    let news = *talker.report().unwrap();
    let of = |index: u16| news.exchanges.iter().find(|(own, _)| *own == index).map(|(_, news)| news).unwrap();
    let told = |index| {
        let news = of(index);
        (news.sent, news.ok, news.failed_checks, news.timeouts, news.unexpected)
    };
    // What comes after its time, or twice, is unexpected.
    assert_eq!((told(0), told(2)), ((1, 0, 1, 0, 1), (2, 1, 0, 1, 2)));
    assert_eq!(of(2).latencies_us, [30_000]);
    talker.end_session(talk, at(410), false);
    assert!(!talker.is_in());
    assert_eq!(talker.next_due(), Moment::NEVER);
}
