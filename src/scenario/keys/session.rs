//! `[groups.session]`: what clients do while connected.
//!
//! In: the table. Out: [`SessionRules`].

use std::time::Duration;

use crate::declare::{
    At, Choices, NOT_EMPTY, POINTER, Shape, Table, Template, VARIABLE, Value, above_zero, code_ranges,
    duration, int, interval, list, map, meaning, of, one_of, or_never, pace, ruled, string, table, template,
    then, words,
};

use super::binary::Binary;
use super::message_rule::{Expression, MessageRule};
use super::mqtt::MqttRules;
use super::say::{Said, Say};
use super::stream::{Kinds, Stream};
use super::value_at::ValueAt;

/// Most sayings, and most streams.
const MOST_RULES: usize = 32;

table! {
    /// What clients do while connected.
    default pub struct SessionRules {
        /// What makes a session ready.
        ready: Ready = Ready::Upgraded;
        /// Longest wait for that.
        ready_timeout: Duration = Duration::from_secs(10) => above_zero();
        /// Without `ready`: how long a session must live for the client to be let in. Less where the embedded target, or the client itself,
        /// ends sessions sooner.
        admission: Duration = Duration::from_millis(500) => duration();
        /// Close codes by which the service refuses the client; ranges as `"4400-4499"`.
        refused_on_codes: Vec<(u16, u16)> = vec![(1008, 1008), (1013, 1013), (3000, 3000), (3003, 3003), (4400, 4499)]
            => code_ranges();
        /// How long after the upgrade such a code still refuses a session that has heard nothing.
        refused_within: Duration = Duration::from_secs(10) => duration();
        /// Messages by which the service refuses the client, or lets it in as nobody.
        refused_on: Vec<RefusedOn> = Vec::new();
        /// Keep-alive. Without it: none.
        keep_alive: Option<KeepAlive> = None => of::<KeepAlive>();
        /// Messages to the target. Without it: none.
        send: Option<Send> = None => of::<Send>();
        /// A session that hears nothing for this long is taken for dead.
        silence_timeout: Option<Duration> = None => or_never();
        /// Largest message accepted, in bytes.
        max_message_bytes: usize = 1 << 20 => int::<usize>(125..=1 << 30);
        /// What stands between the messages of a frame, for services that send several in one: "\u001e" for SignalR. Without it: a frame is a message.
        split: Option<String> = None => ruled(NOT_EMPTY);
        /// What stands before the JSON of a message, as a regular expression. Without it: all that stands before the first bracket.
        prefix: Option<Expression> = None => of::<Expression>();
        /// How binary messages are written, for pointers to look into them. Without it: they see nothing there.
        binary: Option<Binary> = None => of::<Binary>();
        /// What is sent right after the upgrade; may hold variables. Without it: nothing.
        first_message: Option<Template> = None => template();
        /// What is sent when a token was refreshed while the session lasts; may hold variables. Without it: nothing.
        refresh_message: Option<Template> = None => template();
        /// What messages make the client do; each rule that fits is followed.
        on_message: Vec<OnMessage> = Vec::new();
        /// What clients say.
        say: Vec<Say> = Vec::new() => list(of(), "a list of tables is needed: write [[groups.session.say]]").most(MOST_RULES);
        /// Numbered or timed messages.
        streams: Vec<Stream> = Vec::new() => list(of(), "a list of tables is needed: write [[groups.session.streams]]").most(MOST_RULES);
        /// The word of a message by which messages are counted. Without it: all count as one kind.
        kinds: Option<Kinds> = None => of::<Kinds>();
        /// MQTT 3.1.1 or 5 in binary messages. Without it: messages are what the other keys say.
        mqtt: Option<Box<MqttRules>> = None => then(of::<MqttRules>(), |rules, _: &At<'_>| Some(Box::new(rules)));
    }
    check: check_session;
}

/// What says texts of its own, or waits for some: with MQTT, all that is said is packets.
const NOT_IN_PACKETS: [&str; 6] = ["say", "send", "keep_alive", "first_message", "refresh_message", "split"];

fn check_session(mut session: SessionRules, table: &Table<'_>) -> Option<SessionRules> {
    check_names(&session, table);
    if session.mqtt.is_some() {
        for key in NOT_IN_PACKETS.into_iter().filter(|key| table.has(key)) {
            let message = format!("`{}` stands beside `mqtt`", table.path_of(key));
            table.between(Some(key), message, "leave it out: a client that speaks MQTT sends packets, see [groups.session.mqtt] and its publish");
        }
        let speaks = |rule: &OnMessage| rule.reply.is_some() || rule.heartbeat.is_some();
        if session.on_message.iter().any(speaks) {
            let message = format!("`{}` sends a text beside `mqtt`", table.path_of("on_message"));
            table.between(
                Some("on_message"),
                message,
                "publish instead: [[groups.session.mqtt.publish]] with when = { on = { … } }",
            );
        }
        if table.has("ready") && session.ready != Ready::Connack {
            let message = format!("`{}` is another than that of `mqtt`", table.path_of("ready"));
            table.between(Some("ready"), message, "leave it out: a client is in by the broker's CONNACK");
        }
        session.ready = Ready::Connack;
    } else if session.ready == Ready::Connack {
        let message = format!("`{}` waits for a broker", table.path_of("ready"));
        table.between(
            Some("ready"),
            message,
            "add [groups.session.mqtt], or name what makes the session ready",
        );
    }
    Some(session)
}

/// Reports tell sayings, and streams, by their names.
fn check_names(session: &SessionRules, table: &Table<'_>) {
    for say in session.say.iter().filter(|say| say.binary && session.binary.is_some()) {
        let Said::Text(text) = &say.what else { continue };
        if serde_json::from_str::<serde_json::Value>(&text.render(|_| Some("0".to_owned()))).is_err() {
            let message = format!("the text of \"{}\" in `{}` is no JSON", say.name, table.path_of("say"));
            table.between(
                Some("say"),
                message,
                "what goes as a binary message is written in the format of session.binary: it must be JSON",
            );
        }
    }
    let says: Vec<&str> = session.say.iter().map(|say| say.name.as_str()).collect();
    let streams: Vec<&str> = session.streams.iter().map(|stream| stream.name.as_str()).collect();
    for (key, names) in [("say", says), ("streams", streams)] {
        let again = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name));
        if let Some((_, name)) = again {
            let message = format!("`{}` has two by the name of \"{name}\"", table.path_of(key));
            table.between(Some(key), message, "give each a name of its own");
        }
    }
}

/// What makes a session ready.
#[derive(Debug, Clone, PartialEq)]
pub enum Ready {
    /// `"upgraded"`: the upgrade.
    Upgraded,
    /// `"first-message"`: the first data message.
    FirstMessage,
    /// `"connack"`: the broker's CONNACK.
    Connack,
    /// `{ message = { … } }`, `{ message_contains = "…" }`, `{ message_equals = "…" }`, `{ message_starts_with = "…" }`: the first message that fits.
    Message(MessageRule),
}

fn readies() -> Choices<Ready> {
    Choices::new(
        "\"upgraded\", \"first-message\", { message_contains = \"…\" } or { message = { … } } is needed",
    )
    .word("upgraded", "The upgrade.", Ready::Upgraded)
    .word("first-message", "The first data message.", Ready::FirstMessage)
    .word("connack", "With `mqtt`, where it is always so: a CONNACK that lets the client in.", Ready::Connack)
    .key("message_contains", "The first text message that contains this.", string(), |part| {
        Ready::Message(MessageRule::containing(&part))
    })
    .key("message_equals", "The first text message that is this.", ruled(NOT_EMPTY), |whole| {
        Ready::Message(MessageRule::equal_to(&whole))
    })
    .key("message_starts_with", "The first text message that begins with this.", ruled(NOT_EMPTY), |part| {
        Ready::Message(MessageRule::starting_with(&part))
    })
    .key("message", "The first message that fits.", of::<MessageRule>(), Ready::Message)
}

impl Value for Ready {
    fn shape() -> Shape {
        readies().shape()
    }

    fn read(at: &At<'_>) -> Option<Self> {
        readies().read(at)
    }

    fn write(&self) -> Option<String> {
        readies().write(self)
    }
}

/// Keep-alive while connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeepAlive {
    /// How often.
    pub every: Duration,
    /// What is sent.
    pub what: KeepAliveKind,
    /// Longest wait for a sign of life after it (a pong for a ping, anything for a text).
    pub timeout: Duration,
}

/// What a keep-alive sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeepAliveKind {
    /// A ping frame.
    Ping,
    /// A text message.
    Text(Template),
}

table! {
    /// Keep-alive while connected: pings, or texts.
    pub struct KeepAliveKeys {
        /// How often a ping is sent.
        ping_every: Option<Duration> = None => interval();
        /// How often a text is sent.
        text_every: Option<Duration> = None => interval();
        /// The text; may hold variables.
        text: Option<Template> = None => template();
        /// Longest wait for a sign of life after it: a pong for a ping, anything for a text.
        timeout: Duration = Duration::from_secs(10) => above_zero();
    }
    needs: [one_of(
        &[&["ping_every"], &["text_every", "text"]],
        "{ ping_every = \"30s\", timeout = \"10s\" } or { text_every = \"30s\", text = \"…\", timeout = \"10s\" } is needed"
    )];
}

meaning! { KeepAlive: KeepAliveKeys => |keys: KeepAliveKeys, table: &Table<'_>| {
    let timeout = keys.timeout;
    match (keys.ping_every, keys.text_every, keys.text) {
        (Some(every), None, None) => Some(KeepAlive { every, what: KeepAliveKind::Ping, timeout }),
        (None, Some(every), Some(text)) => Some(KeepAlive { every, what: KeepAliveKind::Text(text), timeout }),
        _ => {
            let message = format!("`{}` names no single keep-alive", table.path);
            table.between(None, message, "give ping_every alone, or text_every and text");
            None
        }
    }
} }

table! {
    /// Messages to the target.
    #[derive(PartialEq)]
    pub struct Send {
        /// Messages per second and client.
        rate: f64, needed "{ rate = \"1/s\", text = \"…\" } is needed" => pace("{ rate = \"1/s\", text = \"…\" } is needed");
        /// The text; may hold variables, which are filled in for each message. Default: `{}`.
        text: Template = Template::literal("{}") => template();
    }
}

table! {
    /// A message by which the service refuses the client: which, and where it says why.
    #[derive(PartialEq)]
    pub struct RefusedOn {
        /// Where in it the words of the refusal stand: in its JSON, which may stand behind other text (JSON Pointer, RFC 6901), or what the first group of a regular
        /// expression finds in its text, as `{ regex = 'message:(.+)' }`. Without it: it has none.
        words: Option<ValueAt> = None => of::<ValueAt>();
        ..
        /// Which messages are meant.
        message: MessageRule;
    }
}

table! {
    /// What a message makes a client do: which, and what.
    pub struct OnMessage {
        /// Variables to fill, and where in its JSON their values stand (JSON Pointer, RFC 6901); the JSON may stand behind other text.
        save: Vec<(String, String)> = Vec::new() => map(VARIABLE, ruled(POINTER));
        /// What is sent back; may hold variables. Without it: nothing.
        reply: Option<Template> = None => template();
        /// A heartbeat that the message asks for. Without it: none.
        heartbeat: Option<Heartbeat> = None => of::<Heartbeat>();
        /// Whether the session is given up for another one.
        then: Then = Then::GoOn;
        /// Beside `then = "reconnect"` or `"renew"`: the session is read on until the next one is ready, but no longer than this, and closed with 1000
        /// then. Without it: it is closed first.
        overlap: Option<Duration> = None => above_zero();
        ..
        /// Which messages are meant.
        message: MessageRule;
    }
    check: check_overlap;
}

/// Only a session that is given up for another one can be kept beside it.
fn check_overlap(rule: OnMessage, table: &Table<'_>) -> Option<OnMessage> {
    if rule.overlap.is_some() && rule.then == Then::GoOn {
        let message = format!("`{}` has no next session to overlap with", table.path_of("overlap"));
        table.between(Some("overlap"), message, "say then = \"reconnect\" or then = \"renew\" beside it");
    }
    Some(rule)
}

impl SessionRules {
    /// The exchanges, each with its index among all that is said.
    #[must_use]
    pub fn exchanges(&self) -> Vec<(u16, &str)> {
        if let Some(mqtt) = &self.mqtt {
            return mqtt.exchanges();
        }
        let says = (0_u16..).zip(&self.say).filter(|(_, say)| say.reply.is_some());
        says.map(|(index, say)| (index, say.name.as_str())).collect()
    }

    /// Whether a client looks for signs of life of the service's.
    #[must_use]
    pub fn looks_for_life(&self) -> bool {
        let pings = self.mqtt.as_ref().is_some_and(|mqtt| mqtt.keep_alive.is_some());
        self.keep_alive.is_some() || self.silence_timeout.is_some() || pings
    }

    /// Whether a close with this code is a refusal.
    #[must_use]
    pub fn refuses_by(&self, code: u16) -> bool {
        self.refused_on_codes.iter().any(|(first, last)| (*first..=*last).contains(&code))
    }
}

table! {
    /// A heartbeat. The first is sent after a share of the interval, drawn from 0 to 1.
    pub struct Heartbeat {
        /// Where the message says how often a heartbeat is due, in milliseconds (JSON Pointer, RFC 6901).
        every_ms: String, needed "a heartbeat is { every_ms = \"/d/heartbeat_interval\", text = \"…\" }" => ruled(POINTER);
        /// The heartbeat's text; may hold variables.
        text: Template, needed "a heartbeat is { every_ms = \"/d/heartbeat_interval\", text = \"…\" }" => template();
    }
}

words! {
    /// What follows a message.
    pub enum Then {
        /// Nothing.
        GoOn = "go-on",
        /// The client closes with 1000 and connects again at once.
        Reconnect = "reconnect",
        /// The same, and the requests before the handshake are made anew.
        Renew = "renew",
    }
}
