//! `[groups.session.mqtt]`: clients that speak MQTT.
//!
//! In: the table. Out: [`MqttRules`]: what a client says of itself, what it subscribes to, what it publishes and when. Topics that no broker takes are faults.

use std::time::Duration;

use crate::declare::{
    At, NAME, Table, Template, above_zero, credential, int, list, of, or_never, ruled, say_template, table,
    template, then,
};
use crate::mqtt::Version;

use super::say::{When, named_by_number};

/// Most subscriptions of a client, and most things that it publishes.
const MOST_RULES: usize = 32;
/// The longest topic, in bytes (§1.5.3 of MQTT 3.1.1, §1.5.4 of MQTT 5).
const LONGEST_TOPIC: usize = 65_535;
/// The name of the exchange of a SUBSCRIBE and its SUBACK.
pub const SUBSCRIBE: &str = "subscribe";

table! {
    /// MQTT: what a client says of itself, what it subscribes to, what it publishes.
    #[derive(PartialEq)]
    pub struct MqttRules {
        /// The version of the protocol.
        version: Version = Version::V311;
        /// Its client identifier; may hold variables. Default: `resurge-{client}`.
        client_id: Template = Template::parse("resurge-{client}") => template();
        /// Its user name; may hold variables. Without it: none is sent.
        username: Option<Template> = None => credential();
        /// Its password; may hold variables, as `"{token}"`, or be a reference to a secret, which is taken as it is. Without it: none is sent.
        password: Option<Template> = None => credential();
        /// The longest that it says nothing: then it sends PINGREQ. Whole seconds, up to 65,535; a server's own (MQTT 5) comes before it.
        keep_alive: Option<Duration> = Some(Duration::from_secs(60)) => or_never();
        /// Longest wait for the PINGRESP: without one the session is taken for dead.
        ping_timeout: Duration = Duration::from_secs(10) => above_zero();
        /// Whether the broker forgets what it knew of the client.
        clean_start: bool = true;
        /// How long the broker is to know the client when it is gone, in whole seconds; MQTT 5 only. Without it: not at all.
        session_expiry: Option<Duration> = None => above_zero();
        /// What it subscribes to when it is in: an exchange by the name of `subscribe`.
        subscribe: Vec<Subscription> = Vec::new() => list(of(), "a list of tables is needed, as [{ topic = \"prices/#\" }]").most(MOST_RULES);
        /// Longest wait for the SUBACK.
        subscribe_timeout: Duration = Duration::from_secs(10) => above_zero();
        /// What it publishes.
        publish: Vec<Publish> = Vec::new() => list(of(), "a list of tables is needed: write [[groups.session.mqtt.publish]]").most(MOST_RULES);
    }
    check: check_mqtt;
}

table! {
    /// Messages that a client asks for.
    #[derive(PartialEq)]
    pub struct Subscription {
        /// The topic filter; may hold variables.
        topic: Template, needed "a subscription is { topic = \"prices/#\", qos = 1 }" => then(template(), check_filter);
        /// The highest quality of service by which they come.
        qos: u8 = 0 => int::<u8>(0..=1);
    }
}

table! {
    /// A message that a client publishes.
    #[derive(PartialEq)]
    pub struct Publish {
        /// Its name in reports. Default: its number, as `publish-1`.
        name: String = String::new(), over (number) => ruled(NAME);
        /// The topic; may hold variables, those of a saying among them.
        topic: Template, needed "topic = \"telemetry/{client}\" is needed" => then(say_template(), check_topic);
        /// What it holds; may hold the same. Default: nothing.
        payload: Template = Template::literal("") => say_template();
        /// The quality of service: by 1 it is an exchange, which the broker's PUBACK ends.
        qos: u8 = 0 => int::<u8>(0..=1);
        /// When it is published.
        when: When = When::Ready => of::<When>();
        /// With `qos = 1`: the longest wait for the PUBACK, from when the message was due.
        timeout: Duration = Duration::from_secs(10) => above_zero();
    }
    check: check_publish;
}

fn number(table: &Table<'_>) -> String {
    named_by_number("publish", table)
}

fn check_publish(publish: Publish, table: &Table<'_>) -> Option<Publish> {
    if publish.qos == 0 && table.has("timeout") {
        let message = format!("`{}` waits for an answer that does not come", table.path_of("timeout"));
        table.between(Some("timeout"), message, "messages of QoS 0 are not acknowledged: write qos = 1");
    }
    Some(publish)
}

fn check_mqtt(rules: MqttRules, table: &Table<'_>) -> Option<MqttRules> {
    let is_v5 = rules.version == Version::V5;
    if rules.password.is_some() && rules.username.is_none() && !is_v5 {
        let message = format!("`{}` stands without a user name", table.path_of("password"));
        table.between(
            Some("password"),
            message,
            "MQTT 3.1.1 allows that not (§3.1.2.9): give username, or version = \"5\"",
        );
    }
    if rules.session_expiry.is_some() && !is_v5 {
        let message = format!("`{}` is not known to MQTT 3.1.1", table.path_of("session_expiry"));
        table.between(
            Some("session_expiry"),
            message,
            "write version = \"5\", or clean_start = false: then a broker keeps what it knows",
        );
    }
    let keep_alive = rules.keep_alive.filter(|time| whole_seconds(*time, u64::from(u16::MAX)).is_none());
    if keep_alive.is_some() {
        let message = format!("`{}` is no whole number of seconds up to 65,535", table.path_of("keep_alive"));
        table.between(Some("keep_alive"), message, "write it as \"30s\", or \"never\"");
    }
    let expiry = rules.session_expiry.filter(|time| whole_seconds(*time, u64::from(u32::MAX)).is_none());
    if expiry.is_some() {
        let message = format!(
            "`{}` is no whole number of seconds up to 4,294,967,295",
            table.path_of("session_expiry")
        );
        table.between(Some("session_expiry"), message, "write it as \"10m\"");
    }
    let names: Vec<&str> = rules.publish.iter().map(|publish| publish.name.as_str()).collect();
    let again = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name));
    if let Some((_, name)) = again {
        let message = format!("`{}` has two by the name of \"{name}\"", table.path_of("publish"));
        table.between(Some("publish"), message, "give each a name of its own");
    }
    if !rules.subscribe.is_empty() && names.contains(&SUBSCRIBE) {
        let message = format!("`{}` has one by the name of what is subscribed to", table.path_of("publish"));
        table.between(Some("publish"), message, "give it another name: `subscribe` is that exchange's");
    }
    Some(rules)
}

fn whole_seconds(time: Duration, most: u64) -> Option<u64> {
    Some(time.as_secs()).filter(|seconds| time.subsec_nanos() == 0 && *seconds <= most)
}

/// What a topic is where each variable is one letter.
fn filled(topic: &Template) -> String {
    topic.render(|_| Some("x".to_owned()))
}

fn check_length(text: &str, at: &At<'_>) {
    if text.is_empty() || text.len() > LONGEST_TOPIC || text.contains('\0') {
        at.between(
            format!("`{}` is no topic", at.path),
            "a topic has 1 to 65,535 bytes, and none of them is NUL",
        );
    }
}

/// A topic of a message (§4.7 of both specifications).
fn check_topic(topic: Template, at: &At<'_>) -> Option<Template> {
    let text = filled(&topic);
    check_length(&text, at);
    if text.contains(['+', '#']) {
        at.between(format!("`{}` has a wildcard", at.path), "a message has one topic: take `+` and `#` out");
    }
    Some(topic)
}

/// A topic filter: `#` stands last and alone in its level, `+` alone in its (§4.7.1).
fn check_filter(topic: Template, at: &At<'_>) -> Option<Template> {
    let text = filled(&topic);
    check_length(&text, at);
    let mut levels = text.split('/').rev();
    let last_is_fit = levels.next().is_some_and(|level| level == "#" || is_fit(level));
    if !last_is_fit || !levels.all(is_fit) {
        at.between(
            format!("`{}` has a wildcard beside something else", at.path),
            "`+` stands for a whole level, `#` for all that follows: \"a/+/c\", \"a/#\"",
        );
    }
    Some(topic)
}

fn is_fit(level: &str) -> bool {
    level == "+" || !level.contains(['+', '#'])
}

impl MqttRules {
    /// Whether a client says who it is.
    #[must_use]
    pub const fn shows(&self) -> bool {
        self.username.is_some() || self.password.is_some()
    }

    /// The keep-alive as CONNECT tells it, in seconds; 0: there is none.
    #[must_use]
    pub fn keep_alive_s(&self) -> u16 {
        let seconds = self.keep_alive.map_or(0, |time| time.as_secs());
        u16::try_from(seconds).unwrap_or(u16::MAX)
    }

    /// The life of what the broker keeps, in seconds.
    #[must_use]
    pub fn session_expiry_s(&self) -> Option<u32> {
        u32::try_from(self.session_expiry?.as_secs()).ok()
    }

    /// Whether the first thing that it says is a subscription.
    #[must_use]
    pub const fn subscribes(&self) -> bool {
        !self.subscribe.is_empty()
    }

    /// What is published as the thing of this index among all that is said; `None`: that is the subscription.
    #[must_use]
    pub fn published(&self, index: usize) -> Option<&Publish> {
        self.publish.get(index.checked_sub(usize::from(self.subscribes()))?)
    }

    /// The exchanges, each with its index among all that is said.
    #[must_use]
    pub fn exchanges(&self) -> Vec<(u16, &str)> {
        let first = u16::from(self.subscribes());
        let subscription = self.subscribes().then_some((0, SUBSCRIBE));
        let published = (first..).zip(&self.publish).filter(|(_, publish)| publish.qos == 1);
        subscription.into_iter().chain(published.map(|(index, one)| (index, one.name.as_str()))).collect()
    }
}
