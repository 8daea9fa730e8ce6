//! `[[events]]`: what the run does to the service itself: a command, an HTTP request, a signal.
//!
//! In: tables. Out: [`Event`]s. What an argument, a header or a variable refers to is shown nowhere.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use crate::declare::{
    At, ENVIRONMENT_NAME, HEADER_NAME, Hidden, Table, TextRule, above_zero, argument, bare_url, duration,
    environment_value, file, flag, flat, header, http_url, is_secret_name, list, map, of, one_of, ruled,
    statuses, string, table, text, then, words,
};
use crate::units::clipped;

use super::prepare::Method;
use super::told::EventTimes;

/// Most events.
pub(crate) const MOST_EVENTS: usize = 100;
/// The longest name that an event takes from what it does.
const LONGEST_NAME: usize = 80;

/// A name as reports show it: on one line, without what turns the direction of writing.
const EVENT_NAME: TextRule = TextRule {
    name: "event_name",
    patterns: &["^[^\\x00-\\x1f\\x7f-\\x9f\u{202a}-\u{202e}\u{2066}-\u{2069}]{1,100}$"],
    except: None,
    allowed: "a name has 1 to 100 characters, and no line breaks or other control characters",
    examples: &["reload", "deploy of 4f2a"],
};

const COMMAND: &str = "a program and its arguments are needed, as command = [\"kubectl\", \"rollout\", \"restart\", \"deploy/x\"]";

table! {
    /// Something that the run does to the service at a moment, beside its clients. It is done once, however many shards there are.
    pub struct Event {
        /// When, after the run's start.
        at: Duration, needed "say when it is done, as at = \"20s\"" => duration();
        /// What it is called in reports. Default: what it does, in words.
        name: String = String::new() => ruled(EVENT_NAME);
        /// It is done again and again, so long after the last time. Without it: once.
        every: Option<Duration> = None => above_zero();
        /// How long it may take; then it has failed, and is ended.
        timeout: Duration = Duration::from_secs(30) => above_zero();
        /// What its window counts from.
        wait: EventWait = EventWait::Exited;
        /// Outages that begin up to so long after it was done are named after it.
        window: Duration = Duration::from_secs(30) => duration();
        /// Whether the run is not valid where it fails. Otherwise a failure is only told.
        required: bool = false => flag();
        /// Environment variables that its command has beside those of `resurge`.
        environment: Vec<(String, Hidden<String>)> = Vec::new() => map(ENVIRONMENT_NAME, environment_value());
        ..
        /// What is done.
        does: EventDoes;
    }
    check: finish;
}

words! {
    /// What an event's window counts from.
    pub enum EventWait {
        /// When it began: for a command that goes on after what it has caused.
        Started = "started",
        /// When it was over: its command had exited, its request was answered.
        Exited = "exited",
    }
}

words! {
    /// A signal of POSIX, or `WINCH`.
    pub enum EventSignal {
        /// Hang up: by custom, read your settings again.
        Hup = "HUP",
        /// Interrupt.
        Int = "INT",
        /// Quit: nginx lets its connections end.
        Quit = "QUIT",
        /// The first of the program's own.
        Usr1 = "USR1",
        /// The second of the program's own.
        Usr2 = "USR2",
        /// Terminate.
        Term = "TERM",
        /// Kill.
        Kill = "KILL",
        /// Stop: the process stands still.
        Stop = "STOP",
        /// Continue.
        Cont = "CONT",
        /// The window's size has changed: nginx and Apache end their workers.
        Winch = "WINCH",
    }
}

/// What an event does.
#[derive(Debug, Clone)]
pub enum EventDoes {
    /// Runs a program with its arguments.
    Command(Vec<Argument>),
    /// Sends a request.
    Http(Box<EventRequest>),
    /// Signals a process.
    Signal(SignalTo),
}

table! {
    /// What an event does.
    pub struct DoesKeys {
        /// A program and its arguments, which no shell reads. It is run only with `--allow-commands`.
        command: Option<Vec<Argument>> = None => then(list(argument::<Argument>(), COMMAND).least(1).most(1_000), program);
        /// An HTTP request.
        http: Option<EventRequest> = None => of::<EventRequest>();
        /// A signal to a process. It is sent only with `--allow-commands`.
        signal: Option<SignalTo> = None => of::<SignalTo>();
    }
    needs: [one_of(
        &[&["command"], &["http"], &["signal"]],
        "an event needs one of command = [\"nginx\", \"-s\", \"reload\"], http = { url = \"https://…\" } and signal = { pid_file = \"…\", signal = \"HUP\" }"
    )];
}

table! {
    /// A request that an event sends. It goes where the target may be: to loopback and private addresses, to others with `--authorize`.
    pub struct EventRequest {
        /// The method.
        method: Method = Method::Post;
        /// Where it goes.
        url: Hidden<Url>, needed "say where the request goes, as url = \"https://deploy.example.com/hook\"" => http_url();
        /// Headers, in order.
        headers: Vec<(String, Hidden<String>)> = Vec::new() => map(HEADER_NAME, header());
        /// The body. Without it: none.
        body: Option<Hidden<String>> = None => text();
        /// `Content-Type` of the body.
        content_type: String = "application/json".to_owned() => string();
        /// Statuses that are no failure; empty: any 2xx.
        expect: Vec<u16> = Vec::new() => statuses();
    }
}

table! {
    /// A signal to a process whose number stands in a file.
    #[derive(PartialEq, Eq)]
    pub struct SignalTo {
        /// The file with the number; it is read when the signal is sent.
        pid_file: PathBuf, needed "name the file with the process's number, as pid_file = \"/run/nginx.pid\"" => file();
        /// Which signal.
        signal: EventSignal, needed "name the signal, as signal = \"HUP\"" => of::<EventSignal>();
    }
}

flat! { EventDoes: DoesKeys => |keys: DoesKeys, _: &Table<'_>| {
    let http = keys.http.map(|http| EventDoes::Http(Box::new(http)));
    keys.command.map(EventDoes::Command).or(http).or(keys.signal.map(EventDoes::Signal))
} }

/// An argument of a command.
#[derive(Clone)]
pub struct Argument {
    /// What the program gets.
    pub value: Hidden<String>,
    /// What everybody may see of it.
    pub shown: String,
}

impl std::fmt::Debug for Argument {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown)
    }
}

impl From<(String, String)> for Argument {
    /// By what the program gets, and what everybody may see of it.
    fn from((value, shown): (String, String)) -> Self {
        Self { value: value.into(), shown }
    }
}

/// That a command names a program.
fn program(command: Vec<Argument>, at: &At<'_>) -> Option<Vec<Argument>> {
    if command.first().is_none_or(|program| program.value.is_empty()) {
        at.between("`command` names no program", COMMAND);
        return None;
    }
    Some(command)
}

impl Event {
    /// What it does, in words, as `kubectl rollout restart deploy/x`: no secret that can be told by its name, and nothing that a reference brought.
    #[must_use]
    pub fn in_words(&self) -> String {
        let words = match &self.does {
            EventDoes::Command(command) => command_words(command),
            EventDoes::Http(http) => format!("{} {}", http.method.name(), bare_url(&http.url)),
            EventDoes::Signal(to) => format!("SIG{} to {}", to.signal.name(), to.pid_file.display()),
        };
        let plain = |c: char| if EVENT_NAME.check(&c.to_string()).is_ok() { c } else { '·' };
        words.chars().map(plain).collect()
    }

    /// Whether it may be done only by a user who allows commands.
    #[must_use]
    pub const fn needs_consent(&self) -> bool {
        matches!(self.does, EventDoes::Command(_) | EventDoes::Signal(_))
    }

    /// When it is done, each time, before `end`.
    pub fn times(&self, end: Duration) -> impl Iterator<Item = Duration> + use<> {
        let every = self.every.filter(|every| !every.is_zero());
        std::iter::successors(Some(self.at), move |at| at.checked_add(every?)).take_while(move |at| *at < end)
    }
}

/// A command's words; what follows a flag that names a secret is starred out.
fn command_words(command: &[Argument]) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut follows_secret = false;
    for argument in command {
        words.push(if follows_secret { "***".to_owned() } else { quoted(&argument.shown) });
        let flag = argument.shown.strip_prefix('-').map(|flag| flag.trim_start_matches('-'));
        follows_secret = flag.is_some_and(is_secret_name);
    }
    words.join(" ")
}

/// A word as a shell would have it.
fn quoted(word: &str) -> String {
    let is_plain =
        !word.is_empty() && !word.contains(|c: char| c.is_whitespace() || "\"'$&;|<>`\\".contains(c));
    if is_plain { word.to_owned() } else { format!("'{word}'") }
}

/// An event without a name is called after what it does.
fn finish(mut event: Event, table: &Table<'_>) -> Option<Event> {
    if event.name.is_empty() {
        event.name = clipped(&event.in_words(), LONGEST_NAME);
    }
    if !event.environment.is_empty() && !matches!(event.does, EventDoes::Command(_)) {
        table.between(
            Some("environment"),
            "`environment` is for a command, and the event runs none",
            "take it out, or give the event a command",
        );
    }
    Some(event)
}

/// Storms refer to events by their names. Where one is faulty, which there are is not known.
pub(super) fn tell_events(events: Vec<Event>, at: &At<'_>) -> Option<Vec<Event>> {
    if at.elements().is_some_and(|all| all.count() == events.len()) {
        let times = events.iter().map(|event| (event.name.clone(), event.at)).collect();
        at.reading.tell(EventTimes(times));
    }
    Some(events)
}
