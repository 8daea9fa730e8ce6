//! A HAR file as a draft: what a browser has recorded of a page that speaks WebSocket.
//!
//! In: the file's text. Out: a draft with the first WebSocket's address, headers and messages, and the request that brought its token. The token itself, cookies
//! and secrets are not taken over.
//!
//! Source: HAR 1.2 (W3C Web Performance draft); `_webSocketMessages` as Chromium writes them.

use std::time::Duration;

use serde::Deserialize;

use super::{
    Draft, DraftRequest, DraftSay, DraftTarget, DraftToken, DraftTokenIn, DraftValue, DraftWhen,
    is_secret_name, take_header, take_subprotocol, take_url,
};

/// So many messages are taken over.
const MOST_MESSAGES: usize = 20;

#[derive(Deserialize)]
struct Har {
    log: Log,
}

#[derive(Deserialize)]
struct Log {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    request: Request,
    response: Response,
    #[serde(rename = "_webSocketMessages", default)]
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct Request {
    method: String,
    url: String,
    #[serde(default)]
    headers: Vec<Pair>,
    #[serde(rename = "postData")]
    body: Option<Body>,
}

#[derive(Deserialize)]
struct Pair {
    name: String,
    #[serde(default)]
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    #[serde(default)]
    mime_type: String,
    #[serde(default)]
    params: Vec<Pair>,
    #[serde(default)]
    text: String,
}

#[derive(Deserialize)]
struct Response {
    #[serde(default)]
    content: Content,
}

#[derive(Deserialize, Default)]
struct Content {
    #[serde(default)]
    text: String,
}

#[derive(Deserialize)]
struct Message {
    #[serde(rename = "type")]
    direction: String,
    /// Seconds since 1970.
    #[serde(default)]
    time: f64,
    /// 1: text, 2: binary.
    #[serde(default)]
    opcode: i64,
    #[serde(default)]
    data: String,
}

/// Reads a HAR file.
///
/// # Errors
/// It is none, or there is no WebSocket in it: a sentence that says so.
pub fn from_har(text: &str, name: &str) -> Result<Draft, String> {
    // Some browsers write a byte order mark.
    let har: Har = serde_json::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|error| format!("it is no HAR file: {error}"))?;
    let entries = har.log.entries;
    let is_socket = |entry: &&Entry| {
        let url = entry.request.url.to_ascii_lowercase();
        let upgrades = |pair: &Pair| {
            pair.name.eq_ignore_ascii_case("upgrade") && pair.value.eq_ignore_ascii_case("websocket")
        };
        url.starts_with("ws://") || url.starts_with("wss://") || entry.request.headers.iter().any(upgrades)
    };
    let sockets: Vec<&Entry> = entries.iter().filter(is_socket).collect();
    let Some(socket) = sockets.first() else {
        return Err(
            "there is no WebSocket in it: record it with the network tab open before the page connects"
                .to_owned(),
        );
    };
    let mut draft = Draft::new(name);
    draft.origin_of_draft = Some(format!("Taken over from the recording {name}."));
    for other in &sockets[1..] {
        let host =
            other.request.url.parse::<url::Url>().ok().and_then(|url| url.host_str().map(str::to_owned));
        draft.left_out.push(format!("another WebSocket, to {}", host.unwrap_or_default()));
    }
    let tokens: Vec<(usize, String)> =
        entries.iter().enumerate().filter_map(|(at, entry)| Some((at, token_in(entry)?))).collect();
    let shown: Vec<&String> = tokens.iter().map(|(_, token)| token).filter(|token| token.len() > 3).collect();
    let bearer = tokens.iter().rev().find(|(_, token)| is_shown(socket, token)).or(tokens.last());
    if let Some((at, token)) = bearer {
        let request = request_of(&mut draft, &entries[*at].request);
        draft.token = DraftToken::Request(Box::new(request));
        draft.token_in = parameter_of(&socket.request.url, token).map(DraftTokenIn::Query);
    }
    let url = socket.request.url.replacen("http", "ws", usize::from(socket.request.url.starts_with("http")));
    draft.target = DraftTarget::Remote(take_url(&mut draft, &without(&url, &shown)));
    for Pair { name, value } in &socket.request.headers {
        let is_offer = name.eq_ignore_ascii_case("sec-websocket-protocol");
        for offered in value.split(',').map(str::trim).filter(|_| is_offer) {
            // The token, or the token behind a prefix.
            match shown.iter().find_map(|token| offered.strip_suffix(token.as_str())) {
                Some(prefix) => draft.token_in = Some(DraftTokenIn::Subprotocol(prefix.to_owned())),
                None => take_subprotocol(&mut draft, offered),
            }
        }
        if !is_offer && !name.starts_with(':') {
            take_header(&mut draft, name, DraftValue::Plain(value.clone()));
        }
    }
    take_messages(&mut draft, &socket.messages, &shown);
    Ok(draft)
}

/// The parameter of an address that a token is.
fn parameter_of(url: &str, token: &str) -> Option<String> {
    let url = url.parse::<url::Url>().ok()?;
    let found = url.query_pairs().find(|(_, value)| value == token)?;
    Some(found.0.into_owned())
}

/// The address without the parameters that hold a token.
fn without(url: &str, tokens: &[&String]) -> String {
    let Ok(mut parsed) = url.parse::<url::Url>() else { return url.to_owned() };
    let kept: Vec<(String, String)> = parsed
        .query_pairs()
        .filter(|(_, value)| !tokens.iter().any(|token| value.contains(token.as_str())))
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    if kept.len() == parsed.query_pairs().count() {
        return url.to_owned();
    }
    parsed.set_query(None);
    if !kept.is_empty() {
        parsed.query_pairs_mut().extend_pairs(kept);
    }
    parsed.to_string()
}

/// The access token that an answer brings.
fn token_in(entry: &Entry) -> Option<String> {
    let answer: serde_json::Value = serde_json::from_str(&entry.response.content.text).ok()?;
    (entry.request.method == "POST").then_some(())?;
    Some(answer.get("access_token")?.as_str()?.to_owned())
}

fn is_shown(socket: &Entry, token: &str) -> bool {
    let in_headers = socket.request.headers.iter().any(|pair| pair.value.contains(token));
    in_headers
        || socket.request.url.contains(token)
        || socket.messages.iter().any(|message| message.data.contains(token))
}

fn request_of(draft: &mut Draft, asked: &Request) -> DraftRequest {
    let url = take_url(draft, &asked.url);
    let is_basic = asked
        .headers
        .iter()
        .any(|pair| pair.name.eq_ignore_ascii_case("authorization") && pair.value.starts_with("Basic"));
    let mut request = DraftRequest { is_basic, ..DraftRequest::new(Some(url)) };
    let Some(body) = &asked.body else { return request };
    request.is_json = body.mime_type.contains("json");
    for (name, value) in fields(body) {
        match name.as_str() {
            "grant_type" if value == "password" => {
                request.grant = value;
                request.username.get_or_insert_with(|| "user".to_owned());
            }
            "grant_type" if value == "client_credentials" => {}
            "grant_type" => draft.left_out.push(format!(
                "the page got its token by {value}, which wants a person: clients ask by client_credentials here"
            )),
            "client_id" => request.client_id = value,
            "username" => request.username = Some(value),
            "scope" => request.scopes = value.split_whitespace().map(str::to_owned).collect(),
            "code" | "code_verifier" | "redirect_uri" => {}
            name if is_secret_name(name) => {}
            _ => request.params.push((name, value)),
        }
    }
    if request.grant != "password" {
        request.username = None;
    }
    let has_secret = request.is_basic || fields(body).iter().any(|(name, _)| name == "client_secret");
    request.has_secret = has_secret || request.grant != "password";
    request
}

fn fields(body: &Body) -> Vec<(String, String)> {
    if body.mime_type.contains("json") {
        let object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&body.text).unwrap_or_default();
        return object
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_str()?.to_owned())))
            .collect();
    }
    if !body.params.is_empty() {
        let decoded = |text: &str| {
            url::form_urlencoded::parse(format!("v={text}").as_bytes())
                .next()
                .map_or_else(String::new, |(_, value)| value.into_owned())
        };
        return body.params.iter().map(|pair| (pair.name.clone(), decoded(&pair.value))).collect();
    }
    url::form_urlencoded::parse(body.text.as_bytes())
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect()
}

/// What the page has sent: at once, or so long after the first message as it was then.
fn take_messages(draft: &mut Draft, messages: &[Message], tokens: &[&String]) {
    let sent: Vec<&Message> = messages.iter().filter(|message| message.direction == "send").collect();
    let start = messages.first().map_or(0.0, |message| message.time);
    for message in sent.iter().take(MOST_MESSAGES) {
        if message.opcode != 1 {
            draft.left_out.push(format!(
                "a binary message of {} characters: `base64` says one in [[groups.session.say]]",
                message.data.len()
            ));
            continue;
        }
        let mut text = message.data.clone();
        for token in tokens {
            text = text.replace(token.as_str(), "{token}");
        }
        if has_secret_field(&text) {
            draft.left_out.push(
                "a message with a field that may be a secret: write it with {token} or a variable of a step"
                    .to_owned(),
            );
            continue;
        }
        let after = Duration::try_from_secs_f64(message.time - start).unwrap_or_default();
        let after = Duration::from_millis(u64::try_from(after.as_millis()).unwrap_or(0) / 100 * 100);
        let when = if after < Duration::from_secs(1) { DraftWhen::Ready } else { DraftWhen::After(after) };
        draft.says.push(DraftSay { text, when });
    }
    if sent.len() > MOST_MESSAGES {
        draft.left_out.push(format!("{} more messages that the page sent", sent.len() - MOST_MESSAGES));
    }
}

/// Whether a message's JSON has a field whose name says that it is a secret, and a text in it that is no variable.
fn has_secret_field(text: &str) -> bool {
    fn looks(value: &serde_json::Value) -> bool {
        match value {
            serde_json::Value::Object(entries) => entries.iter().any(|(name, value)| {
                (is_secret_name(name)
                    && value.as_str().is_some_and(|text| !text.is_empty() && text != "{token}"))
                    || looks(value)
            }),
            serde_json::Value::Array(values) => values.iter().any(looks),
            _ => false,
        }
    }
    let json = text.find(['{', '[']).map(|at| &text[at..]);
    json.and_then(|json| serde_json::from_str(json).ok()).is_some_and(|value| looks(&value))
}

#[cfg(test)]
mod tests {
    use super::super::{assert_loads, scenario_text};
    use super::*;

    const RECORDED: &str = r#"{ "log": { "version": "1.2", "entries": [
        { "request": { "method": "POST", "url": "https://login.example.com/oauth/token", "headers": [],
            "postData": { "mimeType": "application/x-www-form-urlencoded", "text": "",
              "params": [{ "name": "grant_type", "value": "authorization_code" }, { "name": "client_id", "value": "web%20app" }, { "name": "code", "value": "c0de" }, { "name": "client_secret", "value": "sesame" }] } },
          "response": { "content": { "text": "{\"access_token\":\"t0ken-of-the-page\",\"expires_in\":3600}" } } },
        { "request": { "method": "GET", "url": "wss://api.example.com/events?access_token=t0ken-of-the-page&v=2", "headers": [
              { "name": "Origin", "value": "https://app.example.com" }, { "name": "Cookie", "value": "sid=biscuit" },
              { "name": "Sec-WebSocket-Protocol", "value": "v1, v2" }, { "name": "Sec-WebSocket-Key", "value": "x" }, { "name": "User-Agent", "value": "Mozilla/5.0" }] },
          "response": { "status": 101, "content": {} },
          "_webSocketMessages": [
            { "type": "send", "time": 100.0, "opcode": 1, "data": "{\"op\":\"auth\",\"token\":\"t0ken-of-the-page\"}" },
            { "type": "receive", "time": 100.1, "opcode": 1, "data": "{\"ok\":true}" },
            { "type": "send", "time": 100.2, "opcode": 1, "data": "{\"op\":\"login\",\"password\":\"pa55\"}" },
            { "type": "send", "time": 130.04, "opcode": 1, "data": "ping" },
            { "type": "send", "time": 131.0, "opcode": 2, "data": "AAEC" } ] } ] } }"#;

    #[test]
    fn a_recording_becomes_a_scenario_without_its_secrets() {
        let draft = from_har(RECORDED, "page.har").unwrap();
        let text = scenario_text(&draft, "resurge.schema.json");
        for secret in ["t0ken-of-the-page", "sesame", "biscuit", "pa55", "c0de"] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
        insta::assert_snapshot!(text, @r##"
    #:schema resurge.schema.json
    # Taken over from the recording page.har.
    # Not taken over: the page got its token by authorization_code, which wants a person: clients ask by client_credentials here
    # Not taken over: the header Cookie may hold a secret: it is read from the variable COOKIE
    # Not taken over: a message with a field that may be a secret: write it with {token} or a variable of a step
    # Not taken over: a binary message of 4 characters: `base64` says one in [[groups.session.say]]
    name = "page.har"
    duration = "1m"

    # Another host than this machine or a private address is hit with `--authorize HOST` alone.
    [target]
    kind = "remote"
    url = "wss://api.example.com/events?v=2"
    token_url = "https://login.example.com/oauth/token"

    [[groups]]
    name = "clients"
    clients = 10
    start = { over = "5s" }

    # Each client fetches its own token, and a new one is fetched before a client comes back.
    [groups.token]
    client_id = "web app"
    client_secret = { env = "RESURGE_CLIENT_SECRET" }
    # "reuse" comes back with the old token instead: so you see whether the service refuses that, with 403.
    on_reconnect = "fetch"

    [groups.connect]
    token_in = { query = "access_token" }
    origin = "https://app.example.com"
    subprotocols = ["v1", "v2"]
    headers = { Cookie = { env = "COOKIE" }, User-Agent = "Mozilla/5.0" }

    [groups.session]
    # Without pings a client waits for ever on a connection whose other end is gone.
    keep_alive = { ping_every = "30s", timeout = "10s" }

    [[groups.session.say]]
    text = '{"op":"auth","token":"{token}"}'

    [[groups.session.say]]
    text = "ping"
    when = { after = "30s" }

    # After a disconnect: other services want other waits, see `policy` for those of known clients.
    [groups.reconnect]
    backoff = { kind = "exponential", base = "500ms", max = "30s", jitter = "full" }

    # To see how clients come back, disconnect all of them at one moment: take the signs away.
    # [[storms]]
    # at = "30s"
    # by = "client"
    # how = "rst"

    # What must hold; where it does not, the exit code is 99.
    [thresholds]
    handshake_403_rate = ["rate < 0.1%"]
    # Any attempt that failed: refused by whatever status, or not answered.
    attempt_failure_rate = ["rate < 1%"]
    # reconnect_success_rate = ["rate > 99%"]
    "##);
        assert_loads(&text);
    }

    #[test]
    fn a_token_in_a_subprotocol_is_not_written_down() {
        let offered = |offer: &str| {
            let text = RECORDED.replace("v1, v2", offer).replace("access_token=t0ken-of-the-page&", "");
            let draft = from_har(&text, "page.har").unwrap();
            let text = scenario_text(&draft, "resurge.schema.json");
            assert!(!text.contains("t0ken-of-the-page") && !text.contains("eyJ"), "{text}");
            assert_loads(&text);
            text
        };
        let text = offered("v1, bearer.t0ken-of-the-page");
        assert!(text.contains("token_in = { subprotocol = \"bearer.\" }"), "{text}");
        assert!(text.contains("subprotocols = [\"v1\"]"), "{text}");
        let text = offered("access_token, eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.c2ln");
        assert!(text.contains("subprotocols = [\"access_token\"]"), "{text}");
        assert!(text.contains("token_in = { subprotocol = \"\" }"), "{text}");
    }

    #[test]
    fn what_is_no_recording_of_a_websocket_is_told() {
        assert!(from_har("{}", "x").unwrap_err().starts_with("it is no HAR file"));
        assert!(
            from_har("{\"log\":{\"entries\":[]}}", "x").unwrap_err().starts_with("there is no WebSocket")
        );
    }
}
