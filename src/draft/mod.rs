//! A scenario to begin with: from answers, or from what another tool's file says.
//!
//! In: a [`Draft`], or a k6 script, a HAR file, an AsyncAPI document. Out: a commented scenario file; what could not be taken over is told, and nothing is
//! executed or asked. Secrets are not taken over: a variable of the environment stands in the place of each.

mod async_api;
mod har;
mod k6;
mod k6_messages;
mod script;
mod text;
mod values;

use std::time::Duration;

pub use async_api::from_async_api;
pub use har::from_har;
pub use k6::from_k6;
pub use text::scenario_text;

/// The variable that holds the client's secret.
const SECRET: &str = "RESURGE_CLIENT_SECRET";
/// The longest name of a subprotocol that is taken for one.
const LONGEST_SUBPROTOCOL: usize = 64;
/// The variable that holds a token which all clients show.
const TOKEN: &str = "RESURGE_TOKEN";

/// What a scenario is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// Its name.
    pub name: String,
    /// Where it was taken from: a sentence.
    pub origin_of_draft: Option<String>,
    /// What is hit.
    pub target: DraftTarget,
    /// How clients get their tokens.
    pub token: DraftToken,
    /// How many clients, and when.
    pub load: DraftLoad,
    /// How long they are held.
    pub duration: Duration,
    /// Headers of the upgrade.
    pub headers: Vec<(String, DraftValue)>,
    /// The page that a browser's client belongs to.
    pub origin: Option<String>,
    /// Where each client's token goes; `None`: the header.
    pub token_in: Option<DraftTokenIn>,
    /// Subprotocols.
    pub subprotocols: Vec<String>,
    /// What clients say.
    pub says: Vec<DraftSay>,
    /// The keep-alive: pings so often.
    pub ping_every: Option<Duration>,
    /// Thresholds.
    pub thresholds: Vec<DraftThreshold>,
    /// What could not be taken over, a sentence each.
    pub left_out: Vec<String>,
}

/// What is hit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DraftTarget {
    /// The embedded target, with the rules of a shipped profile.
    Embedded(String),
    /// A service.
    Remote(DraftValue),
}

/// A text, or a variable of the environment that holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DraftValue {
    /// As it is.
    Plain(String),
    /// `{ env = "NAME" }`.
    Env(String),
}

/// Where a token goes that is not in the header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DraftTokenIn {
    /// This parameter of the address.
    Query(String),
    /// A subprotocol, behind this prefix.
    Subprotocol(String),
}

/// How clients get their tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DraftToken {
    /// They have none.
    None,
    /// All show the one in this variable.
    Env(String),
    /// By a request.
    Request(Box<DraftRequest>),
}

/// A token request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DraftRequest {
    /// The token endpoint; `None`: the embedded target's.
    pub url: Option<DraftValue>,
    /// `client_credentials` or `password`.
    pub grant: String,
    /// The client's id.
    pub client_id: String,
    /// The user's name, for `password`.
    pub username: Option<String>,
    /// Whether the body is JSON.
    pub is_json: bool,
    /// Whether id and secret are shown by HTTP Basic.
    pub is_basic: bool,
    /// Whether all clients share one token.
    pub is_shared: bool,
    /// Whether the client has a secret.
    pub has_secret: bool,
    /// Scopes.
    pub scopes: Vec<String>,
    /// Further parameters.
    pub params: Vec<(String, String)>,
}

impl DraftRequest {
    /// By client credentials, as a form.
    #[must_use]
    pub fn new(url: Option<DraftValue>) -> Self {
        Self {
            url,
            grant: "client_credentials".to_owned(),
            client_id: "load-test".to_owned(),
            username: None,
            is_json: false,
            is_basic: false,
            is_shared: false,
            has_secret: true,
            scopes: Vec::new(),
            params: Vec::new(),
        }
    }
}

/// How many clients, and when.
#[derive(Debug, Clone, PartialEq)]
pub enum DraftLoad {
    /// So many, which come in over a time; none: at once. They leave over the last one.
    Clients {
        /// How many.
        clients: u32,
        /// Over which time they come; zero: at once.
        over: Duration,
        /// Over which time they leave; zero: at once.
        leave: Duration,
    },
    /// So many more over a time, stage by stage.
    Stages {
        /// How many more come over which time.
        stages: Vec<(u32, Duration)>,
        /// Over which time they leave; zero: at once.
        leave: Duration,
    },
    /// So many each second, who stay so long.
    Arrivals {
        /// How many come each second.
        per_second: f64,
        /// How long each stays; `None`: to the end.
        stay: Option<Duration>,
    },
}

/// A message that clients send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DraftSay {
    /// The text.
    pub text: String,
    /// When, once the session is ready.
    pub when: DraftWhen,
}

/// What must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DraftThreshold {
    /// What it is about, as `connect_latency`.
    pub subject: String,
    /// As `p(95) < 500ms`.
    pub condition: String,
    /// The run ends where it fails, not before this time; `None`: it does not.
    pub aborts_after: Option<Duration>,
}

/// When a message is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DraftWhen {
    /// At once.
    Ready,
    /// Once, so long after.
    After(Duration),
    /// Again and again.
    Every(Duration),
}

impl Draft {
    /// Clients against the embedded target, ten for a minute.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            origin_of_draft: None,
            target: DraftTarget::Embedded("forum".to_owned()),
            token: DraftToken::None,
            load: DraftLoad::Clients { clients: 10, over: Duration::from_secs(5), leave: Duration::ZERO },
            duration: Duration::from_secs(60),
            headers: Vec::new(),
            origin: None,
            token_in: None,
            subprotocols: Vec::new(),
            says: Vec::new(),
            ping_every: None,
            thresholds: Vec::new(),
            left_out: Vec::new(),
        }
    }
}

impl Draft {
    /// The same; an address with a secret in it is read from a variable.
    #[must_use]
    pub fn without_secrets(mut self) -> Self {
        if let DraftTarget::Remote(DraftValue::Plain(url)) = self.target.clone() {
            self.target = DraftTarget::Remote(take_url(&mut self, &url));
        }
        self
    }
}

/// Headers that every WebSocket client makes for itself, or that belong to the hop.
const OWN_HEADERS: [&str; 12] = [
    "accept-encoding",
    "accept-language",
    "cache-control",
    "connection",
    "content-length",
    "host",
    "pragma",
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-version",
    "upgrade",
];
/// Parts of the names of headers and parameters that hold a secret.
const SECRET_NAMES: [&str; 8] =
    ["auth", "token", "secret", "password", "key", "cookie", "session", "signature"];

/// Whether what has this name is a secret.
fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_NAMES.iter().any(|part| name.contains(part))
}

/// The name of a variable for what has this name: `X-Api-Key` becomes `X_API_KEY`.
fn variable(name: &str) -> String {
    let letter =
        |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' };
    let name: String = name.chars().map(letter).collect();
    if name.starts_with(|first: char| first.is_ascii_digit()) { format!("_{name}") } else { name }
}

/// Takes a header of a handshake over.
fn take_header(draft: &mut Draft, name: &str, value: DraftValue) {
    let lower = name.to_ascii_lowercase();
    match (lower.as_str(), value) {
        (own, _) if OWN_HEADERS.contains(&own) => {}
        ("origin", DraftValue::Plain(origin)) => draft.origin = Some(origin),
        ("sec-websocket-protocol", DraftValue::Plain(offered)) => {
            offered.split(',').for_each(|one| take_subprotocol(draft, one.trim()));
        }
        ("authorization", _) if draft.token != DraftToken::None => {}
        ("authorization", DraftValue::Env(name)) => draft.token = DraftToken::Env(name),
        ("authorization", DraftValue::Plain(text)) if text.to_ascii_lowercase().starts_with("bearer ") => {
            draft.token = DraftToken::Env(TOKEN.to_owned());
            draft.left_out.push(format!(
                "the token of the header Authorization is a secret: it is read from the variable {TOKEN}; better, say in [groups.token] how clients get theirs"
            ));
        }
        (_, DraftValue::Plain(_)) if is_secret_name(name) => {
            let variable = variable(name);
            draft.left_out.push(format!(
                "the header {name} may hold a secret: it is read from the variable {variable}"
            ));
            draft.headers.push((name.to_owned(), DraftValue::Env(variable)));
        }
        (_, value) => draft.headers.push((name.to_owned(), value)),
    }
}

/// Takes a subprotocol over; one that looks like a token is none.
fn take_subprotocol(draft: &mut Draft, offered: &str) {
    match looks_like_token(offered) {
        None if offered.is_empty() || draft.subprotocols.iter().any(|known| known == offered) => {}
        None => draft.subprotocols.push(offered.to_owned()),
        Some(prefix) => {
            draft.token_in = Some(DraftTokenIn::Subprotocol(prefix.to_owned()));
            if draft.token == DraftToken::None {
                draft.token = DraftToken::Env(TOKEN.to_owned());
            }
        }
    }
}

/// What stands before the token in a subprotocol that carries one: `Some("bearer.")` for `bearer.eyJ…`. A JWT (RFC 7519), or a text that is too long for a name.
fn looks_like_token(offered: &str) -> Option<&str> {
    let is_long = offered.len() > LONGEST_SUBPROTOCOL;
    let at = offered.find("eyJ").filter(|at| offered[*at..].matches('.').count() >= 2);
    match at {
        Some(at) => Some(&offered[..at]),
        None if is_long => Some(""),
        None => None,
    }
}

/// An address without the secrets of its query: where one holds any, it is read from a variable.
fn take_url(draft: &mut Draft, url: &str) -> DraftValue {
    let parsed = url.parse::<url::Url>().ok();
    let secret = parsed.as_ref().and_then(|url| {
        let name = url.query_pairs().map(|(name, _)| name.into_owned()).find(|name| is_secret_name(name));
        name.or_else(|| url.password().map(|_| "a password".to_owned()))
    });
    match secret {
        None => DraftValue::Plain(url.to_owned()),
        Some(name) => {
            draft.left_out.push(format!(
                "the address has {name} in it, which may be a secret: the whole is read from the variable RESURGE_URL; where it is each client's token, write the address without it and say connect.token_in = {{ query = \"{name}\" }}"
            ));
            DraftValue::Env("RESURGE_URL".to_owned())
        }
    }
}

/// Fails where a text is no scenario, whatever its variables hold.
#[cfg(test)]
fn assert_loads(text: &str) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("draft.toml");
    let env = |name: &str| Some(if name.ends_with("URL") { "wss://example.com/" } else { "held" }.to_owned());
    // As it is, and with the storm that it shows.
    let storm: String = text
        .lines()
        .map(|line| line.strip_prefix("# ").filter(|_| is_of_storm(line)).unwrap_or(line).to_owned() + "\n")
        .collect();
    assert!(storm.contains("\n[[storms]]\n"), "{storm}");
    for text in [text, &storm] {
        std::fs::write(&path, text).unwrap();
        let loaded = crate::scenario::load(&path, &Vec::new(), None, &env);
        assert!(loaded.is_ok(), "{}\n{text}", loaded.unwrap_err());
    }
}

#[cfg(test)]
fn is_of_storm(line: &str) -> bool {
    ["# [[storms]]", "# at = ", "# by = ", "# how = "].iter().any(|start| line.starts_with(start))
}
