//! An AsyncAPI document as a draft: the address of a service that says of itself how it is spoken to.
//!
//! In: the document's text, as JSON. Out: a draft with the first WebSocket server and channel, and the first example of what is sent.
//!
//! Source: AsyncAPI 2.6 and 3.0.

use serde_json::Value;

use super::{Draft, DraftSay, DraftTarget, DraftToken, DraftWhen, TOKEN, take_url};

/// Reads a document.
///
/// # Errors
/// It is none, or has no WebSocket server: a sentence that says so.
pub fn from_async_api(text: &str, name: &str) -> Result<Draft, String> {
    let document: Value = serde_json::from_str(text).map_err(|error| {
        format!("it is no JSON: {error}; a document in YAML can be made JSON of by `asyncapi convert` or `yq -o json`")
    })?;
    if document.get("asyncapi").is_none() {
        return Err("it is no AsyncAPI document: it has no `asyncapi`".to_owned());
    }
    let servers = document.get("servers").and_then(Value::as_object);
    let is_socket = |server: &&Value| matches!(text_of(server, "protocol"), Some("ws" | "wss"));
    let server = servers.into_iter().flat_map(|servers| servers.values()).find(is_socket);
    let server = server.ok_or("it has no server whose protocol is ws or wss")?;
    let mut draft = Draft::new(name);
    draft.origin_of_draft = Some(format!("Taken over from the AsyncAPI document {name}."));
    let channels = document.get("channels").and_then(Value::as_object);
    let channel = channels.and_then(|channels| channels.iter().next());
    // Of 3.0 a channel has its address within; of 2.6 its name is the address.
    let address =
        channel.map(|(name, channel)| text_of(channel, "address").unwrap_or(name)).unwrap_or_default();
    let url = address_of(server, address);
    if url.contains('{') {
        draft
            .left_out
            .push(format!("the variables of the address {url}: write them out, or save them in a step"));
    }
    draft.target = DraftTarget::Remote(take_url(&mut draft, &url));
    for (name, _) in channels.into_iter().flatten().skip(1) {
        draft.left_out.push(format!("the channel {name}: a group may have a `connect.url` of its own"));
    }
    let security =
        server.get("security").and_then(Value::as_array).is_some_and(|security| !security.is_empty());
    if security {
        draft.token = DraftToken::Env(TOKEN.to_owned());
        draft.left_out.push("how its security scheme gives tokens: say it in [groups.token]".to_owned());
    }
    match example(&document, channel.map(|(_, channel)| channel)) {
        Some(text) => draft.says.push(DraftSay { text, when: DraftWhen::Ready }),
        None => draft.left_out.push("messages: none of those that clients send has an example".to_owned()),
    }
    Ok(draft)
}

fn text_of<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key).and_then(Value::as_str)
}

/// `url` of 2.6, `host` and `pathname` of 3.0, with the channel's address behind it.
fn address_of(server: &Value, channel: &str) -> String {
    let scheme = text_of(server, "protocol").unwrap_or("wss");
    let base = match (text_of(server, "url"), text_of(server, "host")) {
        (Some(url), _) if url.contains("://") => url.to_owned(),
        (Some(host), _) => format!("{scheme}://{host}"),
        (None, host) => format!(
            "{scheme}://{}{}",
            host.unwrap_or_default(),
            text_of(server, "pathname").unwrap_or_default()
        ),
    };
    let channel = channel.trim_start_matches('/');
    if channel.is_empty() { base } else { format!("{}/{channel}", base.trim_end_matches('/')) }
}

/// The first example of a message that clients send: `publish` of 2.6, an operation that the service receives in 3.0.
fn example(document: &Value, channel: Option<&Value>) -> Option<String> {
    let published = channel.and_then(|channel| channel.pointer("/publish/message"));
    let received = || {
        let operations = document.get("operations").and_then(Value::as_object)?;
        let operation =
            operations.values().find(|operation| text_of(operation, "action") == Some("receive"))?;
        operation.pointer("/messages/0")
    };
    let message = resolved(document, published.or_else(received)?)?;
    let payload =
        message.pointer("/examples/0/payload").or_else(|| message.pointer("/payload/examples/0"))?;
    Some(payload.as_str().map_or_else(|| payload.to_string(), str::to_owned))
}

/// What a reference leads to, within the document; a few steps.
fn resolved<'v>(document: &'v Value, mut value: &'v Value) -> Option<&'v Value> {
    for _ in 0..8 {
        match text_of(value, "$ref") {
            Some(reference) => value = document.pointer(reference.strip_prefix('#')?)?,
            None => return Some(value),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::DraftValue;
    use super::*;

    #[test]
    fn both_versions_are_read() {
        let two = r##"{ "asyncapi": "2.6.0", "servers": { "p": { "url": "api.example.com", "protocol": "wss", "security": [{}] } },
            "channels": { "/events": { "publish": { "message": { "$ref": "#/components/messages/sub" } } }, "/more": {} },
            "components": { "messages": { "sub": { "examples": [{ "payload": { "op": "subscribe" } }] } } } }"##;
        let draft = from_async_api(two, "x.json").unwrap();
        assert_eq!(
            draft.target,
            DraftTarget::Remote(DraftValue::Plain("wss://api.example.com/events".to_owned()))
        );
        assert_eq!(
            (draft.token, draft.says[0].text.as_str()),
            (DraftToken::Env(TOKEN.to_owned()), "{\"op\":\"subscribe\"}")
        );
        assert_eq!(draft.left_out.len(), 2, "the other channel, the scheme");
        let three = r##"{ "asyncapi": "3.0.0", "servers": { "k": { "host": "k", "protocol": "kafka" }, "p": { "host": "api.example.com:8443", "pathname": "/v2/", "protocol": "ws" } },
            "channels": { "c": { "address": "events/{id}" } }, "operations": { "o": { "action": "receive", "messages": [{ "payload": { "examples": ["hello"] } }] } } }"##;
        let draft = from_async_api(three, "x.json").unwrap();
        assert_eq!(
            draft.target,
            DraftTarget::Remote(DraftValue::Plain("ws://api.example.com:8443/v2/events/{id}".to_owned()))
        );
        assert_eq!(
            (draft.token, draft.says[0].text.as_str(), draft.left_out.len()),
            (DraftToken::None, "hello", 1)
        );
    }

    #[test]
    fn what_is_no_document_is_told_and_references_in_a_circle_end() {
        assert!(from_async_api("openapi: 3", "x").unwrap_err().contains("no JSON"));
        assert!(from_async_api("{}", "x").unwrap_err().contains("no AsyncAPI"));
        assert!(from_async_api(r#"{"asyncapi":"3.0.0"}"#, "x").unwrap_err().contains("no server"));
        let circle = r##"{ "asyncapi": "2.6.0", "servers": { "p": { "url": "a", "protocol": "ws" } }, "channels": { "/e": { "publish": { "message": { "$ref": "#/channels/~1e/publish/message" } } } } }"##;
        assert!(from_async_api(circle, "x").unwrap().says.is_empty());
    }
}
