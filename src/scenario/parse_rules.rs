//! The embedded target's rules become typed data, or faults.
//!
//! In: the table `[target]`, or a profile's file. Out: [`TargetRules`]; what the table does not name is the profile's.

use std::net::IpAddr;
use std::time::Duration;

use toml::de::DeTable;

use super::model::{
    AtSessionLimit, IdleAction, IdleCounts, Invalidation, RefreshTokens, RefusalDetail, TargetClient,
    TargetRules, TokenEnd, TokenFormat, TokenPlace,
};
use super::parse_common::close_code;
use super::parse_delay::parse_delay;
use super::parse_fault::parse_faults;
use super::parse_limit::{parse_request_limit, parse_window_limit};
use super::parse_refusal::{
    parse_answer_headers, parse_refusal_body, parse_refusal_codes, parse_refusal_manner,
    parse_refusal_status, parse_token_error_body,
};
use super::parse_script::{parse_message_token, parse_path, parse_script_rule, parse_target_storm};
use super::parse_simulate::parse_capacity;
use super::parse_tickets::{parse_route, parse_ticket_end, parse_tickets};
use super::profiles::PROFILES;
use super::reader::{Reading, Table};

/// Reads the embedded target's rules from a table: first its profile, then what it names itself. `None` when there is no
/// such profile.
pub(super) fn parse_rules(table: &Table<'_>) -> Option<TargetRules> {
    let names: Vec<(&str, &str)> = PROFILES.iter().map(|(name, text)| (*name, *text)).collect();
    let text = table.one_of("profile", &names);
    if text.is_none() && table.get("profile").is_some() {
        return None;
    }
    Some(rules_over(table, &text.map_or_else(TargetRules::default, profile)))
}

/// The rules of a shipped profile; a test holds that each of them reads without a fault.
pub(super) fn profile(text: &'static str) -> TargetRules {
    let no_env = |_: &str| None;
    let reading = Reading { faults: Default::default(), env: &no_env, folder: std::path::PathBuf::new() };
    let (root, _) = DeTable::parse_recoverable(text);
    let table = Table::new(&reading, root.get_ref(), 0..0, String::new());
    rules_over(&table, &TargetRules::default())
}

/// Addresses that the target listens on: only this machine may reach it.
fn parse_listen_addresses(table: &Table<'_>) -> Option<Vec<IpAddr>> {
    let texts = table.strings("addresses")?;
    let loopback = |text: &String| text.parse().ok().filter(IpAddr::is_loopback);
    let mut addresses: Vec<IpAddr> = texts.iter().filter_map(loopback).collect();
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.is_empty() || addresses.len() != texts.len() {
        let help = "write loopback addresses, each once, as [\"127.0.0.1\", \"127.0.0.2\"]".to_owned();
        table.fault(
            table.span_of("addresses"),
            "`addresses` holds none, one twice, or one that is not loopback",
            help,
        );
        return None;
    }
    Some(texts.iter().filter_map(loopback).collect())
}

/// Reads the rules that a table names; the others are those of `base`.
fn rules_over(table: &Table<'_>, base: &TargetRules) -> TargetRules {
    let base = base.clone();
    let detail =
        [("full", RefusalDetail::Full), ("bare", RefusalDetail::Bare), ("html", RefusalDetail::Html)];
    let at_limit = [("refuse", AtSessionLimit::Refuse), ("displace", AtSessionLimit::Displace)];
    let counts =
        [("client", IdleCounts::Client), ("target", IdleCounts::Target), ("either", IdleCounts::Either)];
    let idle_actions =
        [("close", IdleAction::Close), ("drop", IdleAction::Drop), ("silence", IdleAction::Silence)];
    let invalidations = [
        ("never", Invalidation::Never),
        ("on-disconnect", Invalidation::OnDisconnect),
        ("on-new-token", Invalidation::OnNewToken),
        ("on-use", Invalidation::OnUse),
    ];
    let formats = [("opaque", TokenFormat::Opaque), ("jwt", TokenFormat::Jwt)];
    let clients: Vec<_> = table.tables("clients").iter().filter_map(parse_target_client).collect();
    TargetRules {
        idle_timeout: table.duration_or_never("idle_timeout").unwrap_or(base.idle_timeout),
        idle_counts: table.one_of("idle_counts", &counts).unwrap_or(base.idle_counts),
        idle_control_frames: table.boolean("idle_control_frames").unwrap_or(base.idle_control_frames),
        idle_action: table.one_of("idle_action", &idle_actions).unwrap_or(base.idle_action),
        idle_close_code: close_code(table, "idle_close_code").unwrap_or(base.idle_close_code),
        token_life: table.positive_duration("token_life").unwrap_or(base.token_life),
        token_format: table.one_of("token_format", &formats).unwrap_or(base.token_format),
        refresh_tokens: table
            .table("refresh_tokens")
            .map_or(base.refresh_tokens, |tokens| Some(parse_refresh_tokens(&tokens))),
        invalidation: table.one_of("invalidation", &invalidations).unwrap_or(base.invalidation),
        token_end: table.table("token_end").map_or(base.token_end, |end| Some(parse_token_end(&end))),
        token_limit: table.table("token_limit").map_or(base.token_limit, |limit| parse_window_limit(&limit)),
        required_scopes: table.strings("required_scopes").unwrap_or(base.required_scopes),
        refusal_status: parse_refusal_status(table).unwrap_or(base.refusal_status),
        refusal_detail: table.one_of("refusal_detail", &detail).unwrap_or(base.refusal_detail),
        refusal_manner: parse_refusal_manner(table).unwrap_or(base.refusal_manner),
        refusal_body: parse_refusal_body(table).or(base.refusal_body),
        answer_headers: parse_answer_headers(table).unwrap_or(base.answer_headers),
        token_error_body: parse_token_error_body(table).or(base.token_error_body),
        path: parse_path(table).unwrap_or(base.path),
        query_parameter: table
            .string("query_parameter")
            .filter(|name| !name.is_empty())
            .unwrap_or(base.query_parameter),
        routes: list(table, "routes", parse_route).unwrap_or(base.routes),
        request_limits: list(table, "request_limits", parse_request_limit).unwrap_or(base.request_limits),
        ticket_end: table
            .table("ticket_end")
            .map_or(base.ticket_end, |end| parse_ticket_end(&end).unwrap_or_default()),
        tickets: table.table("tickets").map_or(base.tickets, |tickets| Some(parse_tickets(&tickets))),
        script: list(table, "script", parse_script_rule).unwrap_or(base.script),
        message_token: table
            .table("message_token")
            .map_or(base.message_token, |token| parse_message_token(&token)),
        refusal_codes: table
            .table("refusal_codes")
            .map_or(base.refusal_codes, |codes| parse_refusal_codes(&codes)),
        accepts_token_in: parse_token_places(table).unwrap_or(base.accepts_token_in),
        client_lock: table.duration_or_never("client_lock").unwrap_or(base.client_lock),
        sessions_per_client: table
            .integer("sessions_per_client", 1..=1_000_000)
            .map_or(base.sessions_per_client, |most| Some(most as u32)),
        at_session_limit: table.one_of("at_session_limit", &at_limit).unwrap_or(base.at_session_limit),
        displaced_code: close_code(table, "displaced_code").unwrap_or(base.displaced_code),
        handshake_limit: table
            .table("handshake_limit")
            .map_or(base.handshake_limit, |limit| parse_window_limit(&limit)),
        clients: if table.get("clients").is_some() { clients } else { base.clients },
        messages_every: table.duration_or_never("messages_every").unwrap_or(base.messages_every),
        message_padding: table
            .integer("message_padding", 0..=65_536)
            .map_or(base.message_padding, |bytes| bytes as usize),
        upgrade_delay: parse_delay(table, "upgrade_delay").unwrap_or(base.upgrade_delay),
        token_delay: parse_delay(table, "token_delay").unwrap_or(base.token_delay),
        token_capacity: table.table("token_capacity").map_or(base.token_capacity, |of| parse_capacity(&of)),
        upgrade_capacity: table
            .table("upgrade_capacity")
            .map_or(base.upgrade_capacity, |of| parse_capacity(&of)),
        close_timeout: table.positive_duration("close_timeout").unwrap_or(base.close_timeout),
        tls: table.boolean("tls").unwrap_or(base.tls),
        addresses: parse_listen_addresses(table).unwrap_or(base.addresses),
        faults: if table.get("faults").is_some() { parse_faults(table) } else { base.faults },
        storms: list(table, "storms", parse_target_storm).unwrap_or(base.storms),
    }
}

fn parse_refresh_tokens(table: &Table<'_>) -> RefreshTokens {
    let tokens = RefreshTokens {
        life: table.positive_duration("life").unwrap_or(Duration::from_secs(30 * 24 * 60 * 60)),
        rotate: table.boolean("rotate").unwrap_or(true),
    };
    table.finish();
    tokens
}

fn parse_token_end(table: &Table<'_>) -> TokenEnd {
    let end = TokenEnd {
        code: close_code(table, "code").unwrap_or(3000),
        grace: table.duration("grace").unwrap_or(Duration::ZERO),
        at_revocation: table.boolean("at_revocation").unwrap_or(true),
    };
    table.finish();
    end
}

/// The tables of a list, each read; `None` where the list is not there.
fn list<T>(table: &Table<'_>, key: &str, read: impl Fn(&Table<'_>) -> Option<T>) -> Option<Vec<T>> {
    let tables = table.tables(key);
    table.get(key)?;
    Some(tables.iter().filter_map(read).collect())
}

fn parse_token_places(table: &Table<'_>) -> Option<Vec<TokenPlace>> {
    let names = table.strings("accepts_token_in")?;
    let places: Vec<TokenPlace> = names
        .iter()
        .filter_map(|name| match name.as_str() {
            "header" => Some(TokenPlace::Header),
            "path" => Some(TokenPlace::Path),
            "query" => Some(TokenPlace::Query),
            "subprotocol" => Some(TokenPlace::Subprotocol),
            _ => None,
        })
        .collect();
    if places.is_empty() || places.len() != names.len() {
        let message = format!("`{}` is {names:?}", table.path_of("accepts_token_in"));
        let help = "one or more of \"header\", \"query\", \"subprotocol\", \"path\" are needed";
        table.fault(table.span_of("accepts_token_in"), message, help);
        return None;
    }
    Some(places)
}

fn parse_target_client(table: &Table<'_>) -> Option<TargetClient> {
    for key in ["id", "secret"] {
        if table.get(key).is_none() {
            table.missing(key, "a client of the target has id, secret and scopes");
        }
    }
    let client = (table.string("id"), table.secret("secret"));
    let scopes = table.strings("scopes").unwrap_or_default();
    table.finish();
    Some(TargetClient { id: client.0?, secret: client.1?, scopes })
}
