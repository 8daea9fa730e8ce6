//! A group's tables become typed data, or faults.
//!
//! In: an element of `[[groups]]`. Out: a [`Group`].

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use super::feeder::read_feeder;
use super::model::{
    ClientAuth, ClientCredentials, ClientDisconnect, ConnectRules, Feeder, Grant, Group, HeaderText,
    KeepAlive, KeepAliveKind, Ready, Send, SessionRules, Sharing, Stage, Start, TokenConnection, TokenIn,
    TokenRules,
};
use super::parse_common::{MAX_CLIENTS, check_name, pace, parse_how, repeat_every, skew};
use super::parse_prepare::{Known, parse_on_message, parse_prepare};
use super::parse_reconnect::{Policy, codes_or_any, parse_on_reconnect, parse_policy, parse_reconnect};
use super::reader::Table;
use super::secrets::masked;
use super::template::Template;

/// Headers that the handshake itself sets.
const RESERVED_HEADERS: &[&str] = &["host", "upgrade", "connection", "content-length", "transfer-encoding"];

pub(super) fn parse_group(table: &Table<'_>, is_embedded: bool) -> Option<Group> {
    let name = table.string("name");
    match &name {
        Some(name) => {
            check_name(table, "name", name);
            if name == "all" {
                table.fault(
                    table.span_of("name"),
                    "a group is named \"all\"",
                    "`all` is what reports call all groups together",
                );
            }
        }
        None if table.get("name").is_none() => table.missing("name", "name = \"…\" is needed"),
        None => {}
    }
    let clients = table.integer("clients", 1..=MAX_CLIENTS);
    if table.get("clients").is_none() {
        table.missing("clients", "say how many, as clients = 1000");
    }
    let start = parse_start(table, clients);
    let policy = parse_policy(table);
    let token = match table.table("token") {
        Some(token) => parse_token(&token, &policy),
        None => {
            if table.get("token").is_none() {
                table.missing(
                    "token",
                    "add [groups.token] with client_id and client_secret, or grant = \"none\"",
                );
            }
            None
        }
    };
    let known = Known::of(table);
    let prepare =
        table.table("prepare").map(|prepare| Box::new(parse_prepare(&prepare, &known, is_embedded)));
    let connect = parse_connect(table.table("connect").as_ref(), &known, is_embedded);
    let session = parse_session(table.table("session").as_ref(), &known);
    let disconnects: Vec<_> = table.tables("disconnects").iter().filter_map(parse_disconnect).collect();
    let reconnect = parse_reconnect(table.table("reconnect").as_ref(), policy.reconnect);
    table.finish();
    Some(Group {
        name: name?,
        clients: clients? as u32,
        start,
        token,
        prepare,
        connect,
        session,
        disconnects,
        reconnect,
    })
}

fn parse_start(table: &Table<'_>, clients: Option<u64>) -> Start {
    let allowed = "\"at-once\", { over = \"10s\" }, { rate = \"200/s\" } or { stages = [{ clients = 10, over = \"5s\" }] } is needed";
    let Some(value) = table.get("start") else { return Start::AtOnce };
    if value.get_ref().as_str() == Some("at-once") {
        return Start::AtOnce;
    }
    let Some(choice) = table.as_table("start", value) else {
        table.wrong("start", value, allowed);
        return Start::AtOnce;
    };
    let over = choice.duration("over");
    let rate = pace(&choice, "rate", allowed);
    let stages: Vec<Stage> = choice.tables("stages").iter().filter_map(parse_stage).collect();
    let given = ["over", "rate", "stages"].iter().filter(|key| choice.get(key).is_some()).count();
    choice.finish();
    if given != 1 {
        table.fault(
            value.span(),
            format!("`{}` names {given} ways to start", table.path_of("start")),
            allowed,
        );
        return Start::AtOnce;
    }
    if choice.get("stages").is_some() {
        let sum: u64 = stages.iter().map(|stage| u64::from(stage.clients)).sum();
        if clients.is_some_and(|clients| clients != sum) {
            let message =
                format!("the stages start {sum} clients, the group has {}", clients.unwrap_or_default());
            table.fault(value.span(), message, "make the two agree");
        }
        return Start::Stages(stages);
    }
    over.map(Start::Over).or(rate.map(Start::Rate)).unwrap_or(Start::AtOnce)
}

fn parse_stage(table: &Table<'_>) -> Option<Stage> {
    let clients = table.integer("clients", 1..=MAX_CLIENTS);
    if table.get("clients").is_none() {
        table.missing("clients", "a stage is { clients = 10, over = \"5s\" }");
    }
    let over = table.duration("over").unwrap_or(Duration::ZERO);
    table.finish();
    Some(Stage { clients: clients? as u32, over })
}

/// The token rules; `None` for `grant = "none"`, and where there are faults.
fn parse_token(table: &Table<'_>, policy: &Policy) -> Option<TokenRules> {
    #[derive(Clone, Copy, PartialEq)]
    enum Kind {
        Credentials,
        Refresh,
        Command,
        Fixed,
        None,
    }
    let kinds = [
        ("client_credentials", Kind::Credentials),
        ("refresh_token", Kind::Refresh),
        ("command", Kind::Command),
        ("fixed", Kind::Fixed),
        ("none", Kind::None),
    ];
    let kind = table.one_of("grant", &kinds);
    if kind.is_none() && table.get("grant").is_some() {
        return None;
    }
    let kind = kind.unwrap_or(Kind::Credentials);
    if kind == Kind::None {
        table.finish();
        return None;
    }
    let grant = match kind {
        Kind::Fixed => {
            if table.get("token").is_none() {
                table.missing("token", "a fixed token is token = { env = \"NAME\" }");
            }
            table.secret("token").map(Grant::Fixed)
        }
        Kind::Command => parse_command(table).map(Grant::Command),
        Kind::Refresh => {
            let initial = table.secret("refresh_token");
            parse_credentials(table).map(|credentials| Grant::RefreshToken { credentials, initial })
        }
        Kind::Credentials | Kind::None => parse_credentials(table).map(Grant::ClientCredentials),
    };
    let sharing =
        [("own", Sharing::Own), ("group", Sharing::Group), ("group-stampede", Sharing::GroupStampede)];
    let connections = [("pooled", TokenConnection::Pooled), ("fresh", TokenConnection::Fresh)];
    let rules = grant.map(|grant| TokenRules {
        grant,
        on_reconnect: parse_on_reconnect(table, policy.on_reconnect),
        fetch_on_codes: if table.get("fetch_on_codes").is_some() {
            codes_or_any(table, "fetch_on_codes")
        } else {
            policy.fetch_on_codes.clone()
        },
        refresh_before_expiry: table.positive_duration("refresh_before_expiry"),
        refresh_jitter: table.float("refresh_jitter", 0.0..=1.0).unwrap_or(0.0),
        clock_skew: skew(table, "clock_skew"),
        sharing: table.one_of("sharing", &sharing).unwrap_or(Sharing::Own),
        connection: table.one_of("connection", &connections).unwrap_or(TokenConnection::Pooled),
        max_connections: table.integer("max_connections", 1..=100_000).map_or(256, |most| most as u32),
        timeout: table.positive_duration("timeout").unwrap_or(Duration::from_secs(10)),
        url: table.url("url", &["http", "https"]),
    });
    if rules.is_some() {
        table.finish();
    }
    rules
}

/// A program and its arguments, as a list: no shell reads them.
fn parse_command(table: &Table<'_>) -> Option<Vec<String>> {
    let allowed =
        "a program and its arguments are needed, as command = [\"vault\", \"read\", \"-field=token\", \"x\"]";
    if table.get("command").is_none() {
        table.missing("command", allowed);
    }
    let command = table.strings("command")?;
    if command.first().is_none_or(String::is_empty) {
        table.fault(table.span_of("command"), "`command` names no program", allowed);
        return None;
    }
    Some(command)
}

/// Ids and secrets from a CSV file with the columns `client_id` and `client_secret`.
fn parse_feeder(table: &Table<'_>) -> Option<Arc<Feeder>> {
    let file = table.string("feeder")?;
    let path = table.reading.folder.join(&file);
    match read_feeder(&path) {
        Ok(rows) => Some(Arc::new(Feeder { rows })),
        Err(why) => {
            let help =
                "a CSV file with the columns client_id and client_secret, and a row at least, is needed";
            table.fault(table.span_of("feeder"), format!("{file} cannot be used: {why}"), help);
            None
        }
    }
}

fn parse_credentials(table: &Table<'_>) -> Option<ClientCredentials> {
    if table.get("feeder").is_some() {
        let auth = table.one_of("auth", &[("body", ClientAuth::Body), ("basic", ClientAuth::Basic)]);
        let scopes = table.strings("scopes").unwrap_or_default();
        for key in ["client_id", "client_secret"].iter().filter(|key| table.get(key).is_some()) {
            let message = format!("`{}` stands beside a feeder", table.path_of(key));
            table.fault(table.span_of(key), message, "the feeder's rows have it: take one of them away");
        }
        return Some(ClientCredentials {
            client_id: String::new(),
            client_secret: SecretString::default(),
            auth: auth.unwrap_or(ClientAuth::Body),
            scopes,
            feeder: Some(parse_feeder(table)?),
        });
    }
    for key in ["client_id", "client_secret"] {
        if table.get(key).is_none() {
            table.missing(
                key,
                "client_credentials needs client_id and client_secret; the secret may be { env = \"NAME\" }",
            );
        }
    }
    let auth = table.one_of("auth", &[("body", ClientAuth::Body), ("basic", ClientAuth::Basic)]);
    let (id, secret) = (table.string("client_id"), table.secret("client_secret"));
    let scopes = table.strings("scopes").unwrap_or_default();
    Some(ClientCredentials {
        client_id: id?,
        client_secret: secret?,
        auth: auth.unwrap_or(ClientAuth::Body),
        scopes,
        feeder: None,
    })
}

fn parse_connect(table: Option<&Table<'_>>, known: &Known, is_embedded: bool) -> ConnectRules {
    let mut rules = ConnectRules::default();
    let Some(table) = table else { return rules };
    let url_text = table.get("url").and_then(|url| match url.get_ref().as_str() {
        Some(text) => Some(text.to_owned()),
        None => url.get_ref().as_table().and_then(|_| table.text("url")),
    });
    let has_variables = url_text.is_some_and(|text| Template::parse(&text).variables().next().is_some());
    if has_variables {
        rules.url_template = known.template(table, "url");
    } else {
        rules.url = table.url("url", &["ws", "wss"]);
    }
    rules.path = table.text("path");
    if let Some(path) =
        rules.path.as_deref().filter(|path| !path.starts_with('/') || path.contains(char::is_whitespace))
    {
        table.fault(
            table.span_of("path"),
            format!("`path` is \"{}\"", masked(path)),
            "a path begins with `/` and holds no spaces",
        );
    }
    if rules.path.is_some() && !is_embedded {
        table.fault(
            table.span_of("path"),
            "`path` is for the embedded target",
            "give the group a whole url instead",
        );
    }
    rules.proxy = table.secret("proxy");
    rules.source_addresses = parse_addresses(table);
    rules.headers = table.table("headers").map(|headers| parse_headers(&headers)).unwrap_or_default();
    rules.subprotocols = table.strings("subprotocols").unwrap_or_default();
    rules.token_in = parse_token_in(table);
    let timeouts = [
        ("dns_timeout", &mut rules.dns_timeout),
        ("tcp_timeout", &mut rules.tcp_timeout),
        ("tls_timeout", &mut rules.tls_timeout),
        ("upgrade_timeout", &mut rules.upgrade_timeout),
        ("close_timeout", &mut rules.close_timeout),
    ];
    for (key, timeout) in timeouts {
        *timeout = table.positive_duration(key).unwrap_or(*timeout);
    }
    rules.dns_ttl = table.duration("dns_ttl").unwrap_or(rules.dns_ttl);
    table.finish();
    rules
}

fn parse_headers(table: &Table<'_>) -> Vec<(String, HeaderText)> {
    let mut headers = Vec::new();
    for key in table.keys() {
        let name = key.get_ref().as_ref();
        let lower = name.to_ascii_lowercase();
        if http::HeaderName::try_from(name).is_err() {
            table.fault(
                key.span(),
                format!("\"{name}\" is no header name"),
                "letters, digits and `-` are allowed",
            );
            continue;
        }
        if RESERVED_HEADERS.contains(&lower.as_str()) || lower.starts_with("sec-websocket-") {
            table.fault(
                key.span(),
                format!("the handshake itself sets {name}"),
                "leave it out; subprotocols have a key of their own",
            );
            continue;
        }
        let is_plain = table.get(name).is_some_and(|value| value.get_ref().as_str().is_some());
        let text = if is_plain {
            let allowed = "visible ASCII is needed";
            table.parsed(name, allowed, |text| {
                http::HeaderValue::try_from(text)
                    .map(|_| HeaderText::Plain(text.to_owned()))
                    .map_err(|_| allowed.into())
            })
        } else {
            table.secret(name).map(HeaderText::Secret)
        };
        headers.extend(text.map(|text| (name.to_owned(), text)));
    }
    headers
}

fn parse_addresses(table: &Table<'_>) -> Vec<IpAddr> {
    let texts = table.strings("source_addresses").unwrap_or_default();
    let addresses: Vec<IpAddr> = texts.iter().filter_map(|text| text.parse().ok()).collect();
    if addresses.len() != texts.len() {
        let help = "addresses of this machine are needed, as [\"127.0.0.2\", \"127.0.0.3\"]";
        table.fault(table.span_of("source_addresses"), "`source_addresses` holds what is no address", help);
    }
    addresses
}

fn parse_token_in(table: &Table<'_>) -> TokenIn {
    let allowed = "\"header\", \"nowhere\", { query = \"access_token\" }, { subprotocol = \"bearer.\" } or { first_message = \"…{token}…\" } is needed";
    let Some(value) = table.get("token_in") else { return TokenIn::Header };
    match value.get_ref().as_str() {
        Some("header") => return TokenIn::Header,
        Some("nowhere") => return TokenIn::Nowhere,
        _ => {}
    }
    let Some(choice) = table.as_table("token_in", value) else {
        table.wrong("token_in", value, allowed);
        return TokenIn::Header;
    };
    let ways = [
        choice.string("query").map(TokenIn::Query),
        choice.string("subprotocol").map(TokenIn::Subprotocol),
        choice.text("first_message").map(TokenIn::FirstMessage),
    ];
    choice.finish();
    let mut ways: Vec<TokenIn> = ways.into_iter().flatten().collect();
    if ways.len() != 1 {
        table.wrong("token_in", value, allowed);
    }
    if let Some(TokenIn::FirstMessage(text)) = ways.first()
        && !text.contains("{token}")
    {
        table.fault(
            value.span(),
            "the first message has no place for the token",
            "write {token} where it goes",
        );
    }
    ways.pop().unwrap_or(TokenIn::Header)
}

fn parse_session(table: Option<&Table<'_>>, known: &Known) -> SessionRules {
    let mut rules = SessionRules::default();
    let Some(table) = table else { return rules };
    rules.ready = parse_ready(table);
    rules.ready_timeout = table.positive_duration("ready_timeout").unwrap_or(rules.ready_timeout);
    rules.keep_alive = table.table("keep_alive").and_then(|keep| parse_keep_alive(&keep));
    rules.send = table.table("send").and_then(|send| parse_send(&send));
    rules.silence_timeout = table.duration_or_never("silence_timeout").flatten();
    rules.first_message = known.template(table, "first_message");
    rules.refresh_message = known.template(table, "refresh_message");
    rules.on_message =
        table.tables("on_message").iter().filter_map(|rule| parse_on_message(rule, known)).collect();
    let most = table.integer("max_message_bytes", 125..=1 << 30);
    rules.max_message_bytes = most.map_or(rules.max_message_bytes, |most| most as usize);
    table.finish();
    rules
}

fn parse_ready(table: &Table<'_>) -> Ready {
    let Some(value) = table.get("ready") else { return Ready::Upgraded };
    if let Some(choice) = table.as_table("ready", value) {
        let part = choice.string("message_contains");
        if choice.get("message_contains").is_none() {
            table.wrong("ready", value, "{ message_contains = \"…\" } is needed");
        }
        choice.finish();
        return part.map_or(Ready::Upgraded, Ready::MessageContains);
    }
    let names = [("upgraded", false), ("first-message", true)];
    if table.one_of("ready", &names).unwrap_or(false) { Ready::FirstMessage } else { Ready::Upgraded }
}

fn parse_keep_alive(table: &Table<'_>) -> Option<KeepAlive> {
    let allowed = "{ ping_every = \"30s\", timeout = \"10s\" } or { text_every = \"30s\", text = \"…\", timeout = \"10s\" } is needed";
    let ping = repeat_every(table, "ping_every");
    let text_every = repeat_every(table, "text_every");
    let text = table.text("text");
    let timeout = table.positive_duration("timeout").unwrap_or(Duration::from_secs(10));
    table.finish();
    let (every, what) = match (ping, text_every, text) {
        (Some(every), None, None) => (every, KeepAliveKind::Ping),
        (None, Some(every), Some(text)) => (every, KeepAliveKind::Text(text)),
        _ => {
            table.fault(table.span.clone(), format!("`{}` names no single keep-alive", table.path), allowed);
            return None;
        }
    };
    Some(KeepAlive { every, what, timeout })
}

fn parse_send(table: &Table<'_>) -> Option<Send> {
    let allowed = "{ rate = \"1/s\", text = \"…\" } is needed";
    let rate = pace(table, "rate", allowed);
    if table.get("rate").is_none() {
        table.missing("rate", allowed);
    }
    let text = table.text("text").unwrap_or_else(|| "{}".to_owned());
    table.finish();
    Some(Send { rate: rate?, text })
}

fn parse_disconnect(table: &Table<'_>) -> Option<ClientDisconnect> {
    let after = table.positive_duration("after");
    if table.get("after").is_none() {
        table.missing("after", "say how long after the session became ready, as after = \"10s\"");
    }
    let how = parse_how(table);
    table.finish();
    Some(ClientDisconnect { after: after?, how: how? })
}
