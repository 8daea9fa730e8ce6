//! `[[groups]]`: populations of clients that behave alike.
//!
//! In: an element of the list. Out: a [`Group`].

use std::sync::Arc;
use std::time::Duration;

use crate::declare::template::is_name;
use crate::declare::{
    At, Choices, Kind, NAME, Over, Shape, Table, TextRule, Value, Variables, above_zero, built_in, duration,
    int, of, one_of, pace, ruled, shipped, table, then,
};
use crate::scenario::file::feeder::read_columns;
use crate::scenario::policies::POLICIES;

use super::arrivals::{Arrivals, MAX_CLIENTS};
use super::connect::{ConnectRules, TokenIn};
use super::feeder::{Feeder, feeder};
use super::policy::{PolicyText, policy_of};
use super::prepare::PrepareRules;
use super::reconnect::ReconnectRules;
use super::session::SessionRules;
use super::sign::{SignRules, SignaturePlace};
use super::storm::ClientDisconnect;
use super::token::{TokenRules, Tokens};
use super::told::is_embedded;

/// The names that a group may have: `all` is what reports call all groups together.
const GROUP_NAME: TextRule = TextRule {
    name: "group_name",
    except: Some("^all$"),
    allowed: "a name has 1 to 64 letters, digits, `-`, `_` or `.`, and no `.` in front; `all` is what reports call all groups together",
    ..NAME
};

/// The subprotocol of MQTT.
const MQTT: &str = "mqtt";

table! {
    /// A population of clients that behave alike.
    pub struct Group {
        /// Its name, which no other group has.
        name: String, needed "name = \"…\" is needed" => ruled(GROUP_NAME);
        /// How many clients. Without it: as many as `arrivals` brings.
        clients: u32 = 0 => Clients;
        /// Clients that come and go, in place of a number of clients. Without it: none but those.
        arrivals: Option<Box<Arrivals>> = None => then(of::<Arrivals>(), |rules, _: &At<'_>| Some(Box::new(rules)));
        /// When they start.
        start: Start = Start::AtOnce;
        /// How they leave at the run's end. Without it: all at once.
        leave: Option<Departure> = None => of::<Departure>();
        /// The known client whose ways of treating tokens and coming back hold where the group names none of its own.
        policy: Option<&'static str> = None => then(shipped(POLICIES), |(name, _), _: &At<'_>| Some(name));
        /// A CSV file, a row a client, whose columns their texts may name: those of requests before a handshake, of `connect` and of `session`. Without it: none.
        feeder: Option<Arc<Feeder>> = None => feeder();
        /// Whether their requests for tokens, steps and handshakes say to which trace of the service they belong: a header `traceparent` (W3C Trace Context), one trace an attempt.
        trace: bool = false;
        /// Their tokens.
        token: Option<TokenRules>, needed "add [groups.token] with client_id and client_secret, or grant = \"none\"" => Tokens;
        /// What they do before a handshake. Without it: nothing.
        prepare: Option<Box<PrepareRules>> = None => then(of::<PrepareRules>(), |rules, _: &At<'_>| Some(Box::new(rules)));
        /// How they connect.
        connect: ConnectRules = ConnectRules::default();
        /// What they do while connected.
        session: SessionRules = SessionRules::default();
        /// Disconnects that the client itself causes.
        disconnects: Vec<ClientDisconnect> = Vec::new();
        /// How they come back.
        reconnect: ReconnectRules = ReconnectRules::default(), over (|table: &Table<'_>| policy_of(table.reading).reconnect)
            => Over(|at: &At<'_>| policy_of(at.reading).reconnect);
    }
    begin: begin;
    needs: [one_of(&[&["clients"], &["arrivals"]], "say how many clients, as clients = 1000, or how they come, as arrivals = { rate = \"50/s\", stay = \"2m\" }")];
    check: check_start;
}

/// The kind of a number of clients.
struct Clients;

impl Kind for Clients {
    type Out = u32;

    fn shape(&self) -> Shape {
        int::<u32>(1..=MAX_CLIENTS).shape()
    }

    fn read(&self, at: &At<'_>) -> Option<u32> {
        int::<u32>(1..=MAX_CLIENTS).read(at)
    }
}

impl Group {
    /// The most of its clients that are there at once.
    #[must_use]
    pub fn at_once(&self) -> u32 {
        self.arrivals.as_ref().map_or(self.clients, |arrivals| arrivals.counted.at_once)
    }

    /// The names of its steps before a handshake, in order.
    #[must_use]
    pub fn step_names(&self) -> Vec<String> {
        let steps = self.prepare.iter().flat_map(|prepare| &prepare.steps);
        steps.map(|step| step.name.clone()).collect()
    }
}

/// What the group's policy and variables are.
fn begin(group: &Table<'_>) {
    let named = group.peek("policy").and_then(|at| at.text());
    let text =
        named.and_then(|named| POLICIES.iter().find(|(name, _)| *name == named)).map(|(_, text)| *text);
    group.reading.tell(PolicyText(text));
    group.reading.tell(Variables(variables(group)));
}

/// The variables that every client has, and those that the tables of a group fill.
fn variables(group: &Table<'_>) -> Vec<String> {
    let prepare = table_at(group, "prepare");
    let session = table_at(group, "session");
    let filled = prepare.iter().filter_map(|prepare| table_at(prepare, "variables"));
    let answered = prepare.iter().flat_map(|prepare| saved(prepare, "steps"));
    let reacted = session.iter().flat_map(|session| saved(session, "on_message"));
    let names = filled.chain(answered).chain(reacted);
    let fed =
        group.peek("feeder").and_then(|at| at.text().map(|file| read_columns(&group.reading.file(file))));
    let fed = fed.into_iter().flatten().filter(|column| is_name(column));
    built_in().into_iter().chain(names.flat_map(|table| names_of(&table))).chain(fed).collect()
}

fn table_at<'t>(table: &Table<'t>, key: &str) -> Option<Table<'t>> {
    table.peek(key).and_then(|at| at.table())
}

/// The tables `save` of the elements of a list.
fn saved<'t>(owner: &Table<'t>, list: &str) -> Vec<Table<'t>> {
    let elements = owner.peek(list).and_then(|at| at.elements()).into_iter().flatten();
    elements.filter_map(|at| table_at(&at.table()?, "save")).collect()
}

fn names_of(table: &Table<'_>) -> Vec<String> {
    table.keys().map(|key| key.get_ref().as_ref().to_owned()).collect()
}

/// When the clients of a group start.
#[derive(Debug, Clone, PartialEq)]
pub enum Start {
    /// `"at-once"`.
    AtOnce,
    /// `{ over = "10s" }`: evenly over that time.
    Over(Duration),
    /// `{ rate = "200/s" }`.
    Rate(f64),
    /// `{ stages = [{ clients = 100, over = "5s" }, …] }`: one after the other; their sum is the group's clients.
    Stages(Vec<Stage>),
}

table! {
    /// A part of a start in stages.
    #[derive(Copy, PartialEq, Eq)]
    pub struct Stage {
        /// How many clients start in it.
        clients: u32, needed "a stage is { clients = 10, over = \"5s\" }" => int::<u32>(1..=MAX_CLIENTS);
        /// Evenly over this time; zero: at once.
        over: Duration = Duration::ZERO => duration();
    }
}

table! {
    /// How the clients of a group leave, so that the load ramps down.
    #[derive(Copy, PartialEq, Eq)]
    pub struct Departure {
        /// Evenly over this time before the run's end, those who came first before the others.
        over: Duration, needed "say over which time they leave, as { over = \"1m\" }" => above_zero();
    }
}

fn starts() -> Choices<Start> {
    let allowed = "\"at-once\", { over = \"10s\" }, { rate = \"200/s\" } or { stages = [{ clients = 10, over = \"5s\" }] } is needed";
    Choices::new(allowed)
        .word("at-once", "All at one moment.", Start::AtOnce)
        .key("over", "Evenly over this time.", duration(), Start::Over)
        .key("rate", "At this rate.", pace(allowed), Start::Rate)
        .key(
            "stages",
            "In stages, one after the other; their sum is the group's clients.",
            of::<Vec<Stage>>(),
            Start::Stages,
        )
}

impl Value for Start {
    fn shape() -> Shape {
        starts().shape()
    }

    fn read(at: &At<'_>) -> Option<Self> {
        starts().read(at)
    }

    fn write(&self) -> Option<String> {
        starts().write(self)
    }
}

/// A group that speaks MQTT offers no other subprotocol (§6 of both specifications), and says nothing but packets.
fn check_mqtt(mut group: Group, table: &Table<'_>) -> Group {
    if group.session.mqtt.is_none() {
        return group;
    }
    if group.connect.url.is_none() && is_embedded(table.reading) {
        let message = "the embedded target speaks no MQTT";
        table.between(
            Some("session"),
            message,
            "give the broker's url: target = { kind = \"remote\", url = \"wss://…\" }",
        );
    }
    if group.connect.subprotocols.iter().any(|name| name != MQTT) {
        let message = "the handshake offers another subprotocol than \"mqtt\"";
        table.between(
            Some("connect"),
            message,
            "leave connect.subprotocols out: with `mqtt` it is always [\"mqtt\"]",
        );
    }
    if matches!(group.connect.token_in, TokenIn::FirstMessage(_)) {
        let message = "the token would go in a text before the CONNECT";
        table.between(
            Some("connect"),
            message,
            "write token_in = \"nowhere\", and password = \"{token}\" in [groups.session.mqtt]",
        );
    }
    group.connect.subprotocols = vec![MQTT.to_owned()];
    group
}

fn check_start(group: Group, table: &Table<'_>) -> Option<Group> {
    if group.arrivals.is_some() && table.has("start") {
        let message = format!("`{}` has arrivals, which say when clients come", table.path);
        table.between(Some("start"), message, "leave `start` out, or give `clients` in place of `arrivals`");
    }
    if group.arrivals.is_some() && group.leave.is_some() {
        let message = format!("`{}` has arrivals, which say when clients leave", table.path);
        table.between(
            Some("leave"),
            message,
            "leave `leave` out, and give arrivals a `stay` or a stage that ends at \"0/s\"",
        );
    }
    if let Start::Stages(stages) = &group.start {
        let sum: u64 = stages.iter().map(|stage| u64::from(stage.clients)).sum();
        if sum != u64::from(group.clients) {
            let message = format!("the stages start {sum} clients, the group has {}", group.clients);
            table.between(Some("start"), message, "make the two agree");
        }
    }
    let group = check_mqtt(group, table);
    let keeps_cookies = group.prepare.as_ref().is_some_and(|prepare| prepare.cookies);
    if keeps_cookies && group.connect.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("Cookie")) {
        let message = "the handshake would have two headers `Cookie`".to_owned();
        table.between(
            Some("connect"),
            message,
            "take Cookie out of connect.headers, or prepare.cookies away: a client that keeps cookies sends its own",
        );
    }
    let steps = group.prepare.iter().flat_map(|prepare| &prepare.steps);
    let mut headers = group.connect.headers.iter().chain(steps.flat_map(|step| &step.headers));
    if group.trace && headers.any(|(name, _)| name.eq_ignore_ascii_case("traceparent")) {
        let message = "a request would have two headers `traceparent`";
        table.between(Some("trace"), message, "take one of them away: `trace`, or the header");
    }
    let in_header = |sign: &SignRules| sign.place == SignaturePlace::Header;
    let signs_in_header = group.connect.sign.as_deref().is_some_and(in_header);
    if signs_in_header && group.token.is_some() && group.connect.token_in == TokenIn::Header {
        let message = "signature and token would both be the header `Authorization`";
        let help = "write grant = \"none\" where the signature is all that is shown, token_in = \"nowhere\", or sign.signature_in = \"query\"";
        table.between(Some("connect"), message, help);
    }
    Some(group)
}
