//! A draft as a scenario file.
//!
//! In: a [`Draft`]. Out: its text, with a comment to each part that people change first.

use std::fmt::Write as _;
use std::time::Duration;

use toml_edit::{Array, InlineTable, Value};

use crate::units::format_duration;

use super::{
    Draft, DraftLoad, DraftRequest, DraftSay, DraftTarget, DraftThreshold, DraftToken, DraftTokenIn,
    DraftValue, DraftWhen, SECRET,
};

/// The text of a scenario file, ready for `resurge check`; `schema`: where its JSON Schema is, for editors.
#[must_use]
pub fn scenario_text(draft: &Draft, schema: &str) -> String {
    let mut text = String::new();
    let mut line = |words: &str| {
        text.push_str(words);
        text.push('\n');
    };
    line(&format!("#:schema {schema}"));
    if let Some(origin) = &draft.origin_of_draft {
        line(&format!("# {origin}"));
    }
    for left in &draft.left_out {
        line(&format!("# Not taken over: {}", one_line(left)));
    }
    line(&format!("name = {}", quoted(&draft.name)));
    line(&format!("duration = {}", time(draft.duration)));
    line("");
    match &draft.target {
        DraftTarget::Embedded(profile) => {
            line("# The service inside resurge; `resurge serve --print NAME` shows a profile's rules.");
            line(&format!("[target]\nkind = \"embedded\"\nprofile = {}", quoted(profile)));
        }
        DraftTarget::Remote(url) => {
            line(
                "# Another host than this machine or a private address is hit with `--authorize HOST` alone.",
            );
            line(&format!("[target]\nkind = \"remote\"\nurl = {}", value(url)));
        }
    }
    if let DraftToken::Request(request) = &draft.token
        && let Some(url) = &request.url
    {
        line(&format!("token_url = {}", value(url)));
    }
    line("\n[[groups]]\nname = \"clients\"");
    line(load(&draft.load).trim_end());
    line("");
    line(token(&draft.token).trim_end());
    if matches!(&draft.target, DraftTarget::Embedded(profile) if profile == "genesys") {
        line(CHANNEL.trim_end());
    } else {
        line(connect(draft).trim_end());
    }
    line(session(draft).trim_end());
    line(
        "\n# After a disconnect: other services want other waits, see `policy` for those of known clients.\n[groups.reconnect]",
    );
    line("backoff = { kind = \"exponential\", base = \"500ms\", max = \"30s\", jitter = \"full\" }");
    let storm = [
        "[[storms]]".to_owned(),
        format!("at = {}", time(draft.duration / 2)),
        "by = \"client\"".to_owned(),
        "how = \"rst\"".to_owned(),
    ];
    if draft.origin_of_draft.is_none() {
        line("\n# The moment at which all clients are disconnected, to see how they come back.");
        storm.iter().for_each(|key| line(key));
    } else {
        line("\n# To see how clients come back, disconnect all of them at one moment: take the signs away.");
        storm.iter().for_each(|key| line(&format!("# {key}")));
    }
    line("\n# What must hold; where it does not, the exit code is 99.\n[thresholds]");
    for DraftThreshold { subject, condition, aborts_after } in &draft.thresholds {
        let condition = match aborts_after {
            None => quoted(condition),
            Some(delay) if delay.is_zero() => {
                format!("{{ expr = {}, abort_on_fail = true }}", quoted(condition))
            }
            Some(delay) => {
                format!("{{ expr = {}, abort_on_fail = true, delay = {} }}", quoted(condition), time(*delay))
            }
        };
        line(&format!("{} = [{condition}]", quoted(subject)));
    }
    if draft.thresholds.is_empty() {
        line("handshake_403_rate = [\"rate < 0.1%\"]");
        line("# Any attempt that failed: refused by whatever status, or not answered.");
        line("attempt_failure_rate = [\"rate < 1%\"]");
        // Without a disconnect there is no reconnect to judge by.
        let sign = if draft.origin_of_draft.is_none() { "" } else { "# " };
        line(&format!("{sign}reconnect_success_rate = [\"rate > 99%\"]"));
    }
    squeezed(&text)
}

/// How a client of that service comes to its socket's address.
const CHANNEL: &str = "
# A channel by REST: the socket is opened on its address, without a token. A client id has 20 channels: more clients need ids of their own.
[groups.prepare]
when = \"once\"
renew_on = [401, 404]
[[groups.prepare.steps]]
name = \"channel\"
method = \"POST\"
path = \"/api/v2/notifications/channels\"
headers = { Authorization = \"Bearer {token}\" }
save = { uri = \"/connectUri\" }

[groups.connect]
url = \"{uri}\"
token_in = \"nowhere\"
";

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn time(duration: Duration) -> String {
    quoted(&format_duration(duration))
}

fn value(value: &DraftValue) -> String {
    match value {
        DraftValue::Plain(text) => quoted(text),
        DraftValue::Env(name) => env(name).to_string(),
    }
}

fn env(name: &str) -> Value {
    Value::InlineTable(InlineTable::from_iter([("env", name)]))
}

/// Without what would end a comment.
fn one_line(text: &str) -> String {
    text.split(char::is_control).collect::<Vec<_>>().join(" ")
}

fn load(load: &DraftLoad) -> String {
    let mut text = String::new();
    let leave = match load {
        DraftLoad::Clients { clients, over, leave } => {
            let _ = writeln!(text, "clients = {clients}");
            if !over.is_zero() {
                let _ = writeln!(text, "start = {{ over = {} }}", time(*over));
            }
            *leave
        }
        DraftLoad::Stages { stages, leave } => {
            let clients: u32 = stages.iter().map(|(clients, _)| clients).sum();
            let each: Vec<String> = stages
                .iter()
                .map(|(clients, over)| format!("{{ clients = {clients}, over = {} }}", time(*over)))
                .collect();
            let _ = writeln!(text, "clients = {clients}\nstart = {{ stages = [{}] }}", each.join(", "));
            *leave
        }
        DraftLoad::Arrivals { per_second, stay } => {
            let stay = stay.map(|stay| format!(", stay = {}", time(stay))).unwrap_or_default();
            let _ =
                writeln!(text, "arrivals = {{ rate = \"{per_second}/s\", process = \"constant\"{stay} }}");
            Duration::ZERO
        }
    };
    if !leave.is_zero() {
        let _ = writeln!(text, "leave = {{ over = {} }}", time(leave));
    }
    text
}

fn token(token: &DraftToken) -> String {
    match token {
        DraftToken::None => {
            "# How clients get their tokens: see `grant`.\n[groups.token]\ngrant = \"none\"\n".to_owned()
        }
        DraftToken::Env(name) => {
            format!(
                "# All clients show this token; to have each fetch its own, say client_id, client_secret and target.token_url.\n[groups.token]\ngrant = \"fixed\"\ntoken = {}\n",
                env(name)
            )
        }
        DraftToken::Request(request) => token_request(request),
    }
}

fn token_request(request: &DraftRequest) -> String {
    let DraftRequest {
        grant,
        client_id,
        username,
        is_json,
        is_basic,
        is_shared,
        has_secret,
        scopes,
        params,
        ..
    } = request;
    let whose = if *is_shared { "All clients share one token" } else { "Each client fetches its own token" };
    let mut text =
        format!("# {whose}, and a new one is fetched before a client comes back.\n[groups.token]\n");
    if grant != "client_credentials" {
        let _ = writeln!(text, "grant = {}", quoted(grant));
    }
    let secret = if request.url.is_some() { env(SECRET) } else { Value::from("demo-secret") };
    let _ = writeln!(text, "client_id = {}", quoted(client_id));
    if *has_secret {
        let _ = writeln!(text, "client_secret = {secret}");
    }
    if let Some(username) = username {
        let _ = writeln!(text, "username = {}\npassword = {}", quoted(username), env("RESURGE_PASSWORD"));
    }
    if *is_basic {
        text.push_str("auth = \"basic\"\n");
    }
    if *is_json {
        text.push_str("body = \"json\"\n");
    }
    if !scopes.is_empty() {
        let _ = writeln!(text, "scopes = {}", list(scopes));
    }
    if !params.is_empty() {
        let params =
            InlineTable::from_iter(params.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let _ = writeln!(text, "params = {params}");
    }
    if *is_shared {
        text.push_str("sharing = \"group\"\n");
    }
    text.push_str("# \"reuse\" comes back with the old token instead: so you see whether the service refuses that, with 403.\n");
    text.push_str("on_reconnect = \"fetch\"\n");
    text
}

fn list(texts: &[String]) -> String {
    Value::Array(texts.iter().map(String::as_str).collect::<Array>()).to_string()
}

fn connect(draft: &Draft) -> String {
    let mut text = String::new();
    match &draft.token_in {
        None => {}
        Some(DraftTokenIn::Query(name)) => {
            let _ = writeln!(text, "token_in = {{ query = {} }}", quoted(name));
        }
        Some(DraftTokenIn::Subprotocol(prefix)) => {
            let _ = writeln!(text, "token_in = {{ subprotocol = {} }}", quoted(prefix));
        }
    }
    if let Some(origin) = &draft.origin {
        let _ = writeln!(text, "origin = {}", quoted(origin));
    }
    if !draft.subprotocols.is_empty() {
        let _ = writeln!(text, "subprotocols = {}", list(&draft.subprotocols));
    }
    if !draft.headers.is_empty() {
        let entry = |held: &DraftValue| match held {
            // What is in braces would be filled in.
            DraftValue::Plain(text) => Value::from(text.as_str()),
            DraftValue::Env(name) => env(name),
        };
        let headers: InlineTable =
            draft.headers.iter().map(|(name, held)| (name.as_str(), entry(held))).collect();
        let _ = writeln!(text, "headers = {headers}");
    }
    if text.is_empty() { text } else { format!("\n[groups.connect]\n{text}") }
}

fn session(draft: &Draft) -> String {
    let mut text = String::from("\n[groups.session]\n");
    match draft.ping_every {
        Some(every) => {
            let _ = writeln!(text, "keep_alive = {{ ping_every = {}, timeout = \"10s\" }}", time(every));
        }
        None => text.push_str("# Without pings a client waits for ever on a connection whose other end is gone.\nkeep_alive = { ping_every = \"30s\", timeout = \"10s\" }\n"),
    }
    for DraftSay { text: said, when } in &draft.says {
        let _ = writeln!(text, "\n[[groups.session.say]]\ntext = {}", quoted(said));
        match when {
            DraftWhen::Ready => {}
            DraftWhen::After(after) => {
                let _ = writeln!(text, "when = {{ after = {} }}", time(*after));
            }
            DraftWhen::Every(every) => {
                let _ = writeln!(text, "when = {{ every = {} }}", time(*every));
            }
        }
    }
    text + "\n"
}

/// Without lines that are empty behind empty ones.
fn squeezed(text: &str) -> String {
    let mut squeezed = String::new();
    let mut was_empty = true;
    for line in text.lines() {
        if line.is_empty() && was_empty {
            continue;
        }
        was_empty = line.is_empty();
        squeezed.push_str(line);
        squeezed.push('\n');
    }
    squeezed
}
