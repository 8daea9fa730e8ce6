//! What the embedded target says in a session, tokens that come in messages, and its storms.
//!
//! In: tables of `[target]`. Out: [`ScriptRule`]s, [`MessageToken`], [`TargetStorm`]s.

use std::time::Duration;

use crate::declare::{
    INNER_POINTER, NOT_EMPTY, Table, Template, TextRule, VARIABLE, Variables, above_zero, any_of, duration,
    interval, list, map, meaning, of, one_of, ruled, sent_code, share_above_zero, string, table, target_text,
    words,
};

use super::message_rule::MessageRule;
use super::prepare::Pattern;
use super::value_at::ValueAt;

/// Variables of what the target says in a session: a ticket issued for it, `ws` or `wss`, host and port as the client names them, the session's
/// number, the time in milliseconds since 1970, how often the rule has said it in this session, the same in hexadecimal.
const SAID: [&str; 7] = ["ticket", "ws", "address", "session", "unix_ms", "count", "count_hex"];
/// A variable that is not one of those.
const SAVED: TextRule = TextRule {
    name: "script_variable",
    except: Some("^(ticket|ws|address|session|unix_ms|count|count_hex)$"),
    allowed: "write name = \"/pointer\": a name of lower-case letters, digits and _ that is not taken, and a JSON Pointer (RFC 6901) or { regex = '…' }",
    ..VARIABLE
};

/// Something that the target says in a session, or the session's end.
#[derive(Debug, Clone, PartialEq)]
pub struct ScriptRule {
    /// When.
    pub at: ScriptAt,
    /// What it sends; `None`: nothing.
    pub send: Option<Template>,
    /// The code with which it closes then; `None`: it does not.
    pub close: Option<u16>,
    /// Variables to fill from the message that called for it, and where in it they stand.
    pub save: Vec<(String, ValueAt)>,
    /// Topics that the message adds to the session's ticket.
    pub topics: Option<TopicsAt>,
}

/// Where a message names topics, and what is sent where they are too many.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicsAt {
    /// JSON Pointer to a list of texts, or of `{"id": …}`.
    pub pointer: String,
    /// The answer in place of the usual one.
    pub refused: Option<Template>,
}

/// When the target says something.
#[derive(Debug, Clone, PartialEq)]
pub enum ScriptAt {
    /// `at = "open"`: right after the upgrade.
    Open,
    /// `at = "authenticated"`: when a message brought a good token.
    Authenticated,
    /// `after = "2h"`: once, so long after the upgrade.
    After(Duration),
    /// `every = "30s"`: again and again.
    Every(Duration),
    /// When a text message fits.
    Message(MessageRule),
}

words! {
    /// A moment of a session.
    pub enum ScriptMoment {
        /// Right after the upgrade.
        Open = "open",
        /// When a message brought a good token.
        Authenticated = "authenticated",
    }
}

table! {
    /// Something that the target says in a session, or the session's end: when, and what.
    pub struct ScriptKeys {
        /// At a moment of the session.
        at: Option<ScriptMoment> = None => of::<ScriptMoment>();
        /// Once, so long after the upgrade.
        after: Option<Duration> = None => above_zero();
        /// Again and again.
        every: Option<Duration> = None => interval();
        /// When a text message contains this.
        message: Option<String> = None => ruled(NOT_EMPTY);
        /// When a text message is this.
        equals: Option<String> = None => ruled(NOT_EMPTY);
        /// When a text message begins with this.
        starts_with: Option<String> = None => ruled(NOT_EMPTY);
        /// What it sends; `{ticket}`, `{ws}`, `{address}`, `{session}`, `{unix_ms}`, `{count}` (1, 2, 3 …: how often it has said this in the session), `{count_hex}`
        /// and saved variables are filled in. Without it: nothing.
        send: Option<Template> = None => target_text(&SAID);
        /// The code with which it closes then. Without it: it does not.
        close: Option<u16> = None => sent_code();
        /// With `message`, `equals` or `starts_with`: variables to fill from the message, and where in it they stand: in its JSON (JSON Pointer, RFC 6901),
        /// which may stand behind other text, as in `42["event",{}]`, or what the first group of a regular expression finds in its text.
        save: Vec<(String, ValueAt)> = Vec::new() => map(SAVED, of::<ValueAt>());
        /// With one of those: JSON Pointer to a list of texts, or of `{"id": …}`: topics that it adds to the session's ticket.
        topics: Option<String> = None => string();
        /// What is sent in place of `send` where the topics are too many. Without it: `send`.
        topics_refused: Option<Template> = None => target_text(&SAID);
    }
    begin: begin;
    needs: [
        one_of(
            &[&["at"], &["after"], &["every"], &["message"], &["equals"], &["starts_with"]],
            "one of at = \"open\", at = \"authenticated\", after = \"2h\", every = \"30s\", message = \"ping\", equals = \"2\", starts_with = \"42\" is needed, and send or close"
        ),
        any_of(&[&["send"], &["close"]], "say what is sent, or the code of a close: send = \"…\", close = 4000"),
    ];
}

/// The variables that the rule's message fills.
fn begin(rule: &Table<'_>) {
    let saved = rule.peek("save").and_then(|at| at.table());
    let names = saved.iter().flat_map(Table::keys).map(|key| key.get_ref().as_ref().to_owned());
    rule.reading.tell(Variables(names.collect()));
}

meaning! { ScriptRule: ScriptKeys => script_rule }

fn script_rule(keys: ScriptKeys, table: &Table<'_>) -> Option<ScriptRule> {
    table.reading.forget::<Variables>();
    let moment = keys.at.map(|moment| match moment {
        ScriptMoment::Open => ScriptAt::Open,
        ScriptMoment::Authenticated => ScriptAt::Authenticated,
    });
    let after = keys.after.map(ScriptAt::After);
    let every = keys.every.map(ScriptAt::Every);
    let message = keys.message.map(|part| MessageRule::containing(&part));
    let message = message.or(keys.equals.map(|whole| MessageRule::equal_to(&whole)));
    let message = message.or(keys.starts_with.map(|start| MessageRule::starting_with(&start)));
    let at = moment.or(after).or(every).or(message.map(ScriptAt::Message))?;
    let needs_message = !keys.save.is_empty() || keys.topics.is_some();
    if needs_message && !matches!(at, ScriptAt::Message(_)) {
        let message = format!("`{}` reads a message, and none calls for it", table.path);
        table.between(None, message, "`save` and `topics` go with message, equals or starts_with");
    }
    let refused = keys.topics_refused;
    let topics = keys.topics.map(|pointer| TopicsAt { pointer, refused });
    Some(ScriptRule { at, send: keys.send, close: keys.close, save: keys.save, topics })
}

const TOKEN_AT: &str =
    "say where the token stands, as pointers = [\"/d/token\"] (JSON Pointers), or regex = 'passcode:(.+)'";

table! {
    /// A token that comes in a message.
    #[derive(PartialEq)]
    pub struct MessageToken {
        /// Where in the JSON text it stands (JSON Pointers, RFC 6901): the first that is there.
        pointers: Vec<String> = Vec::new() => list(ruled(INNER_POINTER), TOKEN_AT).least(1);
        /// Where in the text it stands, for services without JSON: what the first group of this regular expression finds, as `passcode:(.+)`.
        regex: Option<Pattern> = None => of::<Pattern>();
        /// How long a session may be without one.
        within: Duration = Duration::from_secs(10) => above_zero();
        /// The code that closes a session with none in that time.
        late_code: u16 = 3008 => sent_code();
        /// The code that closes a session whose token is no good.
        refused_code: u16 = 3000 => sent_code();
        /// What is sent before that close; `{address}`, `{session}` and `{unix_ms}` are filled in. Without it: nothing.
        refused_message: Option<Template> = None => target_text(&["address", "session", "unix_ms"]);
        /// The code that closes a session whose token has expired. Without it: none does.
        expired_code: Option<u16> = None => sent_code();
        /// How long after the expiry.
        grace: Duration = Duration::ZERO => duration();
    }
    needs: [one_of(&[&["pointers"], &["regex"]], TOKEN_AT)];
}

table! {
    /// Many sessions that the target closes at one moment.
    #[derive(PartialEq)]
    pub struct TargetStorm {
        /// When, since the target's start.
        at: Duration, needed "a storm is { at = \"10m\", code = 1012, fraction = 0.5 }, and every where it comes again" => duration();
        /// Again and again after that. Without it: once.
        every: Option<Duration> = None => interval();
        /// The close code.
        code: u16 = 1001 => sent_code();
        /// The share of the open sessions, above 0.
        fraction: f64 = 1.0 => share_above_zero("the storm would strike nobody");
        /// What they are told before; `{address}`, `{session}` and `{unix_ms}` are filled in. Without it: nothing.
        warning: Option<Template> = None => target_text(&["address", "session", "unix_ms"]);
        /// How long before.
        warning_before: Duration = Duration::from_secs(60) => duration();
    }
    check: check_warning;
}

fn check_warning(storm: TargetStorm, table: &Table<'_>) -> Option<TargetStorm> {
    if storm.warning.is_some() && storm.warning_before > storm.at {
        let message = format!("`{}` warns before the target starts", table.path);
        table.between(None, message, "`at` must not be before `warning_before` (default \"60s\")");
    }
    Some(storm)
}
