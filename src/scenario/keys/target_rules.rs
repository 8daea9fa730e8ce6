//! `[target]` with `kind = "embedded"`: the rules of the embedded target.
//!
//! In: the table, or a profile's file. Out: [`TargetRules`].

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use crate::declare::{
    HEADER_NAME, NOT_EMPTY, Table, Template, TextRule, above_zero, any_of, duration, int, list, loopback,
    map, of, or_never, ruled, secret, sent_code, string, strings, table, target_header, target_text, words,
};
use crate::sample::Cause;

use super::bound::{Fingerprint, TargetCertificates, TargetDpop, switch};
use super::capacity::Capacity;
use super::compression::{Compression, compression};
use super::delay::Delay;
use super::fault::TargetFault;
use super::limit::{RequestLimit, WindowLimit};
use super::mint::Trusted;
use super::probe::Probe;
use super::refusal::{Codes, REFUSED, RefusalDetail, RefusalManner, RefusalStatus};
use super::route::{Route, TicketEnd, Tickets};
use super::script::{MessageToken, ScriptRule, TargetStorm};
use super::sign::Signatures;
use super::target_tokens::{ExcessScopes, GrantType, TargetUser, TokenRequestBody, TokenSigning};
use super::topics::TargetTopics;

/// Path of the WebSocket endpoint, unless the rules say otherwise.
const EVENTS_PATH: &str = "/api/v2/analytics/events";
const PLACES: &str = "one or more of \"header\", \"query\", \"subprotocol\", \"path\", \"cookie\" are needed";
/// The name of a cookie (RFC 6265 §4.1.1).
const COOKIE_NAME: TextRule = TextRule {
    name: "cookie_name",
    patterns: &["^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$"],
    except: None,
    allowed: "letters, digits, `-` and `_` are allowed",
    examples: &["sessionid"],
};
const GRANTS: &str = "one or more of \"client_credentials\", \"refresh_token\", \"password\", \"jwt_bearer\", \"token_exchange\" are needed";
const LOOPBACK: &str = "write loopback addresses, each once, as [\"127.0.0.1\", \"127.0.0.2\"]";
/// A path of the embedded target's that is not taken.
const ENDPOINT_PATH: TextRule = TextRule {
    name: "endpoint_path",
    patterns: &["^/[^\\x00-\\x20\\x7f?]*$"],
    except: Some("^/(_resurge|oauth/)"),
    allowed: "a path begins with `/` and holds no spaces and no `?`; `*` may end it; /_resurge and /oauth/ are taken: choose another path",
    examples: &["/api/v2/analytics/events", "/channels/*"],
};

/// An origin that may connect, or any.
const ALLOWED_ORIGIN: TextRule = TextRule {
    name: "allowed_origin",
    patterns: &["^(\\*|null|[a-z][a-z0-9+.-]*://[^\\x00-\\x20\\x7f/?#@]+)$"],
    except: None,
    allowed: "an origin is a scheme, a host and perhaps a port, as \"https://app.example.com\", or \"null\"; \"*\" is any",
    examples: &["https://app.example.com", "*"],
};
const ORIGINS: &str = "a list of origins is needed, as [\"https://app.example.com\"]";

table! {
    /// The rules of the embedded target. The defaults are the profile `forum`.
    #[derive(PartialEq)]
    default pub struct TargetRules {
        /// A session without traffic for this long is closed.
        idle_timeout: Option<Duration> = Some(Duration::from_secs(60)) => or_never();
        /// Which traffic counts.
        idle_counts: IdleCounts = IdleCounts::Client;
        /// Whether control frames (RFC 6455 §5.5) count as traffic, too.
        idle_control_frames: bool = true;
        /// What becomes of an idle session.
        idle_action: IdleAction = IdleAction::Close;
        /// The code of the idle close.
        idle_close_code: u16 = 1001 => sent_code();
        /// The life of a token.
        token_life: Duration = Duration::from_secs(24 * 60 * 60) => above_zero();
        /// How tokens are written.
        token_format: TokenFormat = TokenFormat::Opaque;
        /// With `token_format = "jwt"`: how they are signed. Without it: by HS256, with a key that nobody is told.
        token_signing: Option<TokenSigning> = None => of::<TokenSigning>();
        /// Tokens that are bound to a client's key (DPoP, RFC 9449): `true`, or a table. Without it: proofs are not looked at.
        dpop: Option<TargetDpop> = None => switch("true, false or a table is needed, as { nonce = \"both\" }");
        /// With `tls`: the certificates that it asks clients for (RFC 8705). Without it: none.
        client_certificates: Option<TargetCertificates> = None => of::<TargetCertificates>();
        /// Refresh tokens. Without it: none are issued.
        refresh_tokens: Option<RefreshTokens> = None => of::<RefreshTokens>();
        /// What ends a token's life early.
        invalidation: Invalidation = Invalidation::OnDisconnect;
        /// The end of a token ends the session that it opened. Without it: a token is looked at in the handshake only.
        token_end: Option<TokenEnd> = None => of::<TokenEnd>();
        /// How many tokens a client id may ask for in a window. Without it: any number.
        token_limit: Option<WindowLimit> = None => of::<WindowLimit>();
        /// Scopes that the WebSocket endpoint requires.
        required_scopes: Vec<String> = vec!["analytics:events:read".to_owned()] => strings();
        /// Status of a refused handshake.
        refusal_status: RefusalStatus = RefusalStatus::Always(403);
        /// How much a refusal says.
        refusal_detail: RefusalDetail = RefusalDetail::Full;
        /// In which way a handshake is refused.
        refusal_manner: RefusalManner = RefusalManner::Status;
        /// Body of a full refusal, in place of our own; `{status}`, `{code}`, `{message}`, `{cause}` and `{request}` are filled in.
        refusal_body: Option<Template> = None => target_text(&REFUSED);
        /// Headers that every answer of a route, and every refusal over HTTP, has beside its own; `{request}` and `{unix_ms}` are filled in.
        answer_headers: Vec<(String, Template)> = Vec::new() => map(HEADER_NAME, target_header(&["request", "unix_ms"]));
        /// Body of the token endpoint's errors, in place of that of RFC 6749 §5.2; `{error}`, `{message}` and `{request}` are filled in.
        token_error_body: Option<Template> = None => target_text(&["error", "message", "request"]);
        /// Path of the WebSocket endpoint; a `*` at its end stands for anything.
        path: String = EVENTS_PATH.to_owned() => ruled(ENDPOINT_PATH);
        /// Name of the query parameter that carries a token or a ticket.
        query_parameter: String = "access_token".to_owned();
        /// Name of the cookie that carries a token or a ticket.
        cookie: String = "session".to_owned() => ruled(COOKIE_NAME);
        /// HTTP requests that it answers.
        routes: Vec<Route> = Vec::new();
        /// How many of those requests a token or a client id may make in a window, over all routes.
        request_limits: Vec<RequestLimit> = Vec::new();
        /// What routes issue and handshakes show instead of a token. Without it: handshakes show tokens.
        tickets: Option<Tickets> = None => of::<Tickets>();
        /// What the session of a ticket is told when the ticket ends. Without it: nothing.
        ticket_end: TicketEnd = TicketEnd::default();
        /// What it says in a session.
        script: Vec<ScriptRule> = Vec::new();
        /// What stands between the messages of a client's frame, for `script` and `message_token`: "\n" for Centrifugo. Without it: a frame is a message.
        split: Option<String> = None => ruled(NOT_EMPTY);
        /// A token that comes in a message. Without it: it comes in the handshake.
        message_token: Option<MessageToken> = None => of::<MessageToken>();
        /// What a full refusal writes as its code, by cause, where not our own words.
        refusal_codes: Vec<(Cause, String)> = Vec::new() => Codes;
        /// Where it looks for a token in a handshake, in this order.
        accepts_token_in: Vec<TokenPlace> = vec![TokenPlace::Header, TokenPlace::Query, TokenPlace::Subprotocol]
            => list(of(), PLACES).least(1);
        /// Pages that may connect, by their origin; `"*"`: any. Empty: the `Origin` of a handshake is not looked at.
        allowed_origins: Vec<String> = Vec::new() => list(ruled(ALLOWED_ORIGIN), ORIGINS);
        /// With `allowed_origins`: whether a handshake without an `Origin` is refused, too.
        origin_required: bool = false;
        /// A client id is refused for this long after a session of it has ended.
        client_lock: Option<Duration> = None => or_never();
        /// Sessions that a client id may have at once. Without it: any number.
        sessions_per_client: Option<u32> = None => int::<u32>(1..=1_000_000);
        /// What happens to the handshake beyond that.
        at_session_limit: AtSessionLimit = AtSessionLimit::Refuse;
        /// With `at_session_limit = "displace"`, and for tickets that displace: the code with which the oldest session is closed.
        displaced_code: u16 = 4001 => sent_code();
        /// How many handshakes a client id may make in a window. Without it: any number.
        handshake_limit: Option<WindowLimit> = None => of::<WindowLimit>();
        /// How a token request is to be written.
        token_request: TokenRequestBody = TokenRequestBody::Form;
        /// Parameters that a token request must have beside those of RFC 6749, and what they must say: `{ audience = "https://api.example.com" }`.
        token_params: Vec<(String, String)> = Vec::new() => map(NOT_EMPTY, string());
        /// Body of the token endpoint's answers, in place of that of RFC 6749 §5.1; `{token}`, `{expires_in}` (seconds), `{expires_at}` (seconds since 1970), `{scope}` and
        /// `{refresh_token}` are filled in.
        token_body: Option<Template> = None => target_text(&["token", "expires_in", "expires_at", "scope", "refresh_token"]);
        /// The grants that it gives.
        grants: Vec<GrantType> = vec![GrantType::ClientCredentials, GrantType::RefreshToken] => list(of(), GRANTS).least(1);
        /// What is done about scopes that a client is not registered with.
        excess_scopes: ExcessScopes = ExcessScopes::Refuse;
        /// The users that it knows; empty: any name and password will do.
        users: Vec<TargetUser> = Vec::new();
        /// JWTs that others signed, and that it takes: as tokens in handshakes, as assertions of grants and of clients. Without it: none.
        trusted: Option<Trusted> = None => of::<Trusted>();
        /// Signatures that handshakes must bear, instead of tokens. Without it: none are looked at.
        signatures: Option<Signatures> = None => of::<Signatures>();
        /// The clients that it knows; empty: any id and secret will do.
        clients: Vec<TargetClient> = Vec::new();
        /// Each session gets a message this often.
        messages_every: Option<Duration> = None => or_never();
        /// The messages of `messages_every` as numbered streams of several topics, with numbers that are lost, repeated or moved. Without it: one stream, and whole.
        topics: Option<TargetTopics> = None => of::<TargetTopics>();
        /// Bytes of padding in each message.
        message_padding: usize = 0 => int::<usize>(0..=65_536);
        /// How long the upgrade's answer is held back.
        upgrade_delay: Delay = Delay::None;
        /// How long the token's answer is held back.
        token_delay: Delay = Delay::None;
        /// How many token requests it works on at once, and how long each takes. Without it: any number, in no time.
        token_capacity: Option<Capacity> = None => of::<Capacity>();
        /// How many upgrade requests it works on at once, and how long each takes. Without it: any number, in no time.
        upgrade_capacity: Option<Capacity> = None => of::<Capacity>();
        /// A probe that waits behind the upgrade requests, and restarts the service where it fails. Without it: none.
        probe: Option<Probe> = None => of::<Probe>();
        /// permessage-deflate (RFC 7692) for clients that offer it: `true`, or a table with what it asks for. Without it: it is declined.
        compression: Option<Compression> = None => compression();
        /// How long the target waits for the answer to its close frame before it drops the connection.
        close_timeout: Duration = Duration::from_secs(5) => above_zero();
        /// Whether it speaks TLS, by a certificate made at its start.
        tls: bool = false;
        /// Loopback addresses that a run's own target listens on; clients spread over them by their number. `resurge serve` listens where `--listen` says.
        addresses: Vec<IpAddr> = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)] => list(loopback(), LOOPBACK).least(1).unique();
        /// What goes wrong, and when; of several that strike one request, the first does.
        faults: Vec<TargetFault> = Vec::new();
        /// When it closes many sessions at one moment, by itself.
        storms: Vec<TargetStorm> = Vec::new();
    }
    check: check_probe;
}

fn check_probe(rules: TargetRules, table: &Table<'_>) -> Option<TargetRules> {
    if rules.origin_required && rules.allowed_origins.is_empty() {
        let message = format!("`{}` is for a target that looks at origins", table.path_of("origin_required"));
        table.between(
            Some("origin_required"),
            message,
            "name the origins that may connect (allowed_origins), or take it away",
        );
    }
    let other = [("tickets", rules.tickets.is_some()), ("message_token", rules.message_token.is_some())];
    if let Some((key, _)) = other.iter().find(|(_, is_there)| *is_there && rules.signatures.is_some()) {
        let message = format!("`{}` stands beside {key}", table.path_of("signatures"));
        table.between(Some("signatures"), message, "a handshake shows one of them: take one away");
    }
    if rules.token_signing.is_some() && rules.token_format == TokenFormat::Opaque {
        let message = format!("`{}` is for tokens that are JWTs", table.path_of("token_signing"));
        table.between(Some("token_signing"), message, "write token_format = \"jwt\", or take it away");
    }
    if rules.client_certificates.is_some() && !rules.tls {
        let message = format!("`{}` is for a target with TLS", table.path_of("client_certificates"));
        table.between(Some("client_certificates"), message, "write tls = true, or take it away");
    }
    if rules.topics.is_some() && rules.messages_every.is_none() {
        let message = format!("`{}` is for a target that sends messages", table.path_of("topics"));
        table.between(Some("topics"), message, "say how often: messages_every = \"1s\", or take it away");
    }
    if rules.probe.is_some() && rules.upgrade_capacity.is_none() {
        let message = format!("`{}` would never fail", table.path_of("probe"));
        let help = "without `upgrade_capacity` no upgrade request waits: give it one, or take the probe away";
        table.between(Some("probe"), message, help);
    }
    Some(rules)
}

words! {
    /// Which traffic resets the idle clock.
    pub enum IdleCounts {
        /// What the client sends.
        Client = "client",
        /// What the target sends.
        Target = "target",
        /// What either side sends.
        Either = "either",
    }
}

impl IdleCounts {
    /// Whether what the client sends counts.
    #[must_use]
    pub const fn counts_client(self) -> bool {
        matches!(self, Self::Client | Self::Either)
    }

    /// Whether what the target sends counts.
    #[must_use]
    pub const fn counts_target(self) -> bool {
        matches!(self, Self::Target | Self::Either)
    }
}

words! {
    /// What becomes of an idle session.
    pub enum IdleAction {
        /// A close frame with `idle_close_code`.
        Close = "close",
        /// The connection ends without a close frame, as behind a proxy.
        Drop = "drop",
        /// The session falls silent, and nobody is told.
        Silence = "silence",
    }
}

table! {
    /// The end of a token ends the session that it opened.
    #[derive(Copy, PartialEq, Eq)]
    pub struct TokenEnd {
        /// The close code.
        code: u16 = 3000 => sent_code();
        /// How long after its expiry.
        grace: Duration = Duration::ZERO => duration();
        /// Whether a token that is invalidated or revoked ends it at once.
        at_revocation: bool = true;
    }
}

words! {
    /// How tokens are written.
    pub enum TokenFormat {
        /// 32 hexadecimal digits.
        Opaque = "opaque",
        /// A signed JWT (RFC 7519, RFC 9068).
        Jwt = "jwt",
    }
}

table! {
    /// Refresh tokens (RFC 6749 §6).
    #[derive(Copy, PartialEq, Eq)]
    pub struct RefreshTokens {
        /// How long one is good.
        life: Duration = Duration::from_secs(30 * 24 * 60 * 60) => above_zero();
        /// Whether each use brings a new one and ends the old one's life.
        rotate: bool = true;
        /// With `rotate = true`: what happens when one is shown that was used before (RFC 9700 §4.14.2).
        on_reuse: OnReuse = OnReuse::Refuse;
    }
    check: check_reuse;
}

fn check_reuse(tokens: RefreshTokens, table: &Table<'_>) -> Option<RefreshTokens> {
    if !tokens.rotate && tokens.on_reuse != OnReuse::Refuse {
        let message = format!("`{}` is for refresh tokens that rotate", table.path_of("on_reuse"));
        table.between(Some("on_reuse"), message, "write rotate = true, or take on_reuse away");
    }
    Some(tokens)
}

words! {
    /// What happens when a refresh token is shown that was used before.
    pub enum OnReuse {
        /// It is refused with `invalid_grant`, and that is all.
        Refuse = "refuse",
        /// The refresh tokens that descend from the same grant end as well.
        EndFamily = "end-family",
        /// The refresh tokens and the access tokens that descend from the same grant end.
        EndFamilyAndTokens = "end-family-and-tokens",
    }
}

words! {
    /// What ends a token's life early.
    pub enum Invalidation {
        /// Nothing.
        Never = "never",
        /// The end of the session that it opened, by whatever end.
        OnDisconnect = "on-disconnect",
        /// The issue of a newer token to the same client id.
        OnNewToken = "on-new-token",
        /// The handshake that it opens: a ticket for one use.
        OnUse = "on-use",
    }
}

words! {
    /// A place of a token in a handshake.
    pub enum TokenPlace {
        /// A cookie: `session`, or another.
        Cookie = "cookie",
        /// `Authorization: Bearer …` (RFC 6750 §2.1).
        Header = "header",
        /// The last segment of the path.
        Path = "path",
        /// A query parameter: `access_token` (RFC 6750 §2.3), or another.
        Query = "query",
        /// An offered subprotocol that begins with `bearer.`.
        Subprotocol = "subprotocol",
    }
}

words! {
    /// What happens to a handshake when its client id has all the sessions that it may have.
    pub enum AtSessionLimit {
        /// It is refused.
        Refuse = "refuse",
        /// It is admitted, and the oldest session is closed.
        Displace = "displace",
    }
}

table! {
    /// A client that the embedded target knows.
    pub struct TargetClient {
        /// Its id.
        id: String, needed "a client of the target has id, secret and scopes" => string();
        /// Its secret.
        secret: SecretString = SecretString::default() => secret();
        /// The certificate that it is known by, instead of a secret, as `{ file = "client.pem" }`.
        certificate: Option<Fingerprint> = None => of::<Fingerprint>();
        /// The scopes that it may have.
        scopes: Vec<String> = Vec::new() => strings();
    }
    needs: [any_of(&[&["secret"], &["certificate"]], "a client of the target has id, secret and scopes")];
}

impl PartialEq for TargetClient {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
            && self.scopes == other.scopes
            && self.certificate == other.certificate
            && self.secret.expose_secret() == other.secret.expose_secret()
    }
}
