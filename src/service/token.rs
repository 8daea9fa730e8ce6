//! The token endpoint's decisions (RFC 6749 §4.4, §5): which client gets which scopes.
//!
//! In: a request as read from form and headers. Out: the scopes granted, or the refusal. Never issues a token itself.

use std::sync::Arc;

use secrecy::ExposeSecret as _;

use crate::jose::{Algorithm, VerifyingKey};
use crate::scenario::keys::{ExcessScopes, GrantType, TargetClient, TargetRules, TargetUser, Trusted};

use super::assertion;
use super::holder::Holder;
use super::jwt::TokenText;
use super::refusal::HandshakeRefusal;

/// A token request. It carries secrets, so it cannot be printed.
#[derive(Clone, Copy, Default)]
pub struct TokenRequest<'a> {
    /// `grant_type`.
    pub grant_type: Option<&'a str>,
    /// `client_id`, from the form or from HTTP Basic.
    pub client_id: Option<&'a str>,
    /// `client_secret`, from the form or from HTTP Basic.
    pub client_secret: Option<&'a str>,
    /// Whether the credentials came by HTTP Basic.
    pub used_basic: bool,
    /// `scope`: names separated by spaces.
    pub scope: Option<&'a str>,
    /// `refresh_token`.
    pub refresh_token: Option<&'a str>,
    /// Whatever else it has, by name.
    pub params: &'a [(String, String)],
    /// What the request shows of who holds the token.
    pub holder: Holder<'a>,
}

impl<'a> TokenRequest<'a> {
    /// A parameter of those that not every grant has.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&'a str> {
        self.params.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

/// The answer to a token request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenAnswer {
    /// A token.
    Issued(Issued),
    /// None.
    Refused(TokenRefusal),
    /// None: there were too many requests.
    Limited(HandshakeRefusal),
}

/// A token as the client gets it.
#[derive(Clone, PartialEq, Eq)]
pub struct Issued {
    /// The token: opaque, 128 bits, or a JWT that is yet to be signed.
    pub access_token: TokenText,
    /// Its life.
    pub expires_in: std::time::Duration,
    /// Its scopes, where they are not the ones asked for (RFC 6749 §5.1).
    pub scope: Option<String>,
    /// A refresh token (RFC 6749 §6).
    pub refresh_token: Option<String>,
    /// Whether it is bound to the client's key.
    pub is_dpop: bool,
}

impl Issued {
    /// `token_type` of the answer.
    #[must_use]
    pub const fn token_type(&self) -> &'static str {
        if self.is_dpop { "DPoP" } else { "bearer" }
    }
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { access_token: _, refresh_token: _, expires_in, scope, is_dpop: _ } = self;
        f.debug_struct("Issued").field("expires_in", expires_in).field("scope", scope).finish_non_exhaustive()
    }
}

/// A refusal of the token endpoint (RFC 6749 §5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenRefusal {
    /// What is wrong.
    pub error: TokenError,
    /// The same in words.
    pub description: &'static str,
    /// Whether the client used HTTP Basic, and so must be challenged.
    pub used_basic: bool,
}

impl TokenRefusal {
    /// The HTTP status: 401 where the client's HTTP Basic credentials failed, else 400.
    #[must_use]
    pub const fn status(&self) -> u16 {
        if self.is_challenge() { 401 } else { 400 }
    }

    /// Whether the answer carries `WWW-Authenticate: Basic`.
    #[must_use]
    pub const fn is_challenge(&self) -> bool {
        matches!(self.error, TokenError::InvalidClient) && self.used_basic
    }
}

/// The error codes of RFC 6749 §5.2 that a client-credentials endpoint can give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TokenError {
    /// The request lacks something, repeats something, or uses two ways to authenticate.
    InvalidRequest,
    /// Unknown client, wrong secret, or no credentials.
    InvalidClient,
    /// The client may not use this grant: it is public, registered without a secret (RFC 6749 §4.4).
    UnauthorizedClient,
    /// Not `client_credentials`.
    UnsupportedGrantType,
    /// Malformed, or more than the client is registered with.
    InvalidScope,
    /// The refresh token is unknown, was used before, or expired; user, password, assertion or subject token are not good.
    InvalidGrant,
    /// The audience or the resource is none of this service's (RFC 8707 §2, RFC 8693 §2.2.2).
    InvalidTarget,
    /// The proof of the client's key is not good (RFC 9449 §5).
    InvalidDpopProof,
    /// It lacks the server's nonce (RFC 9449 §8).
    UseDpopNonce,
}

impl TokenError {
    /// The code on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidGrant => "invalid_grant",
            Self::InvalidTarget => "invalid_target",
            Self::InvalidDpopProof => "invalid_dpop_proof",
            Self::UseDpopNonce => "use_dpop_nonce",
        }
    }
}

/// What a request is granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Grant {
    /// Whether it covers what the WebSocket endpoint requires.
    pub(super) is_sufficient: bool,
    /// What the answer says about scopes.
    pub(super) scope: Option<String>,
}

impl Grant {
    /// Whether it says that fewer scopes are granted than these.
    pub(super) fn lacks(&self, asked: Option<&str>) -> bool {
        let (Some(granted), Some(asked)) = (&self.scope, asked) else { return false };
        asked.split(' ').any(|scope| !scope.is_empty() && granted.split(' ').all(|other| other != scope))
    }
}

/// What is known beside the request.
#[derive(Clone, Copy)]
pub(super) struct Known {
    /// Whether it brought a refresh token.
    pub(super) shows_refresh: bool,
    /// Whether its subject token is a good one of this target.
    pub(super) subject_is_ours: bool,
    /// Calendar time, in seconds since 1970.
    pub(super) unix_s: u64,
}

/// Decides on `request` by `rules`.
pub(super) fn decide(
    rules: &TargetRules,
    request: &TokenRequest<'_>,
    known: Known,
) -> Result<Grant, TokenRefusal> {
    let refuse = |error, description| TokenRefusal { error, description, used_basic: request.used_basic };
    let name = request
        .grant_type
        .ok_or_else(|| refuse(TokenError::InvalidRequest, "the parameter grant_type is missing"))?;
    let grant = grant_type(name);
    let client = authenticate(rules, request, grant, known).map_err(|(error, why)| refuse(error, why))?;
    let is_given = |grant: &GrantType| {
        rules.grants.contains(grant) && (*grant != GrantType::RefreshToken || rules.refresh_tokens.is_some())
    };
    let grant = grant
        .filter(is_given)
        .ok_or_else(|| refuse(TokenError::UnsupportedGrantType, "the grant type is not supported"))?;
    show(rules, request, grant, known).map_err(|(error, why)| refuse(error, why))?;
    for (name, value) in &rules.token_params {
        if request.param(name) != Some(value) {
            let is_target = matches!(name.as_str(), "audience" | "resource");
            let error = if is_target { TokenError::InvalidTarget } else { TokenError::InvalidRequest };
            return Err(refuse(error, "a parameter is missing, or says something else than it must"));
        }
    }
    let requested = requested_scopes(request.scope).map_err(|why| refuse(TokenError::InvalidScope, why))?;
    let registered = client.map_or(&rules.required_scopes, |client| &client.scopes);
    let Some(requested) = requested else {
        let is_sufficient = rules.required_scopes.iter().all(|scope| registered.contains(scope));
        return Ok(Grant { is_sufficient, scope: Some(registered.join(" ")) });
    };
    let is_registered = |scope: &&str| client.is_none() || registered.iter().any(|known| known == scope);
    let granted: Vec<&str> = requested.iter().copied().filter(is_registered).collect();
    let drops = granted.len() < requested.len();
    if drops && (rules.excess_scopes == ExcessScopes::Refuse || granted.is_empty()) {
        return Err(refuse(TokenError::InvalidScope, "the client is not registered with that scope"));
    }
    let is_sufficient = rules.required_scopes.iter().all(|scope| granted.contains(&scope.as_str()));
    Ok(Grant { is_sufficient, scope: drops.then(|| granted.join(" ")) })
}

/// The grant of that name on the wire.
fn grant_type(name: &str) -> Option<GrantType> {
    GrantType::ALL.into_iter().find(|grant| grant.on_the_wire() == name)
}

type Wrong = (TokenError, &'static str);

/// Whether a request shows what its grant needs.
fn show(
    rules: &TargetRules,
    request: &TokenRequest<'_>,
    grant: GrantType,
    known: Known,
) -> Result<(), Wrong> {
    let given = |name: &str, why: &'static str| {
        request.param(name).filter(|text| !text.is_empty()).ok_or((TokenError::InvalidRequest, why))
    };
    let good =
        |is_good: bool, why: &'static str| is_good.then_some(()).ok_or((TokenError::InvalidGrant, why));
    match grant {
        GrantType::ClientCredentials => Ok(()),
        GrantType::RefreshToken if known.shows_refresh => Ok(()),
        GrantType::RefreshToken => {
            Err((TokenError::InvalidRequest, "the parameter refresh_token is missing"))
        }
        GrantType::Password => {
            let name = given("username", "the parameter username is missing")?;
            let password = given("password", "the parameter password is missing")?;
            let is_right = |user: &TargetUser| user.name == name && user.password.expose_secret() == password;
            good(
                rules.users.is_empty() || rules.users.iter().any(is_right),
                "unknown user, or wrong password",
            )
        }
        GrantType::JwtBearer => {
            let text = given("assertion", "the parameter assertion is missing")?;
            good(is_trusted(rules, text, known), "the assertion is not good, or its time is over")
        }
        GrantType::TokenExchange => {
            let text = given("subject_token", "the parameter subject_token is missing")?;
            given("subject_token_type", "the parameter subject_token_type is missing")?;
            let is_good = known.subject_is_ours || is_trusted(rules, text, known);
            good(is_good, "the subject token is not good, or its time is over")
        }
    }
}

/// Whether a JWT is one of those that are trusted, and its time is not over.
fn is_trusted(rules: &TargetRules, text: &str, known: Known) -> bool {
    let said = rules.trusted.as_ref().and_then(|trusted| assertion::read(text, trusted).ok());
    said.is_some_and(|said| said.holds_at(known.unix_s))
}

/// The client of that id and secret; `Ok(None)` where any will do. A grant whose proof says who asks needs no client.
fn authenticate<'a>(
    rules: &'a TargetRules,
    request: &TokenRequest<'_>,
    grant: Option<GrantType>,
    known: Known,
) -> Result<Option<&'a TargetClient>, Wrong> {
    let missing = (TokenError::InvalidClient, "client credentials are missing");
    let names_client =
        matches!(grant, Some(GrantType::JwtBearer | GrantType::TokenExchange | GrantType::Password));
    let id = match request.client_id.filter(|id| !id.is_empty()) {
        Some(id) => id,
        None if names_client && rules.clients.is_empty() => return Ok(None),
        None => return Err(missing),
    };
    if let Some(assertion) = request.param("client_assertion") {
        return by_assertion(rules, id, assertion, known);
    }
    if rules.clients.is_empty() {
        // One of an authority that is trusted, or any, will do as any secret does.
        if !names_client && request.holder.certificate.is_none() {
            request.client_secret.filter(|secret| !secret.is_empty()).ok_or(missing)?;
        }
        return Ok(None);
    }
    let wrong = (TokenError::InvalidClient, "unknown client, or wrong secret");
    let client = rules.clients.iter().find(|client| client.id == id).ok_or(wrong)?;
    if let Some(certificate) = client.certificate {
        let other = (TokenError::InvalidClient, "the certificate is not the one that the client is known by");
        return if request.holder.certificate == Some(certificate.0) { Ok(Some(client)) } else { Err(other) };
    }
    let secret = client.secret.expose_secret();
    if secret.is_empty() {
        return Err((TokenError::UnauthorizedClient, "a client without a secret may not use this grant"));
    }
    if request.client_secret.ok_or(missing)? == secret { Ok(Some(client)) } else { Err(wrong) }
}

/// The client that a JWT says it is (RFC 7523 §2.2): signed by a key that is trusted, or by its secret.
fn by_assertion<'a>(
    rules: &'a TargetRules,
    id: &str,
    text: &str,
    known: Known,
) -> Result<Option<&'a TargetClient>, Wrong> {
    let wrong = (TokenError::InvalidClient, "the client assertion is not good, or its time is over");
    let client = rules.clients.iter().find(|client| client.id == id);
    if client.is_none() && !rules.clients.is_empty() {
        return Err(wrong);
    }
    let own = |client: &TargetClient| {
        let shared = Algorithm::ALL.into_iter().filter(|algorithm| algorithm.is_shared());
        shared
            .filter_map(|algorithm| VerifyingKey::read(algorithm, client.secret.expose_secret()).ok())
            .find_map(|key| {
                let keys = Arc::new(key.into());
                assertion::read(text, &Trusted { keys, audience: None, issuer: None }).ok()
            })
    };
    let trusted = rules.trusted.as_ref().and_then(|trusted| {
        // Its audience is this endpoint, whatever that of tokens is.
        assertion::read(text, &Trusted { audience: None, issuer: None, ..trusted.clone() }).ok()
    });
    let said = trusted.or_else(|| client.and_then(own)).ok_or(wrong)?;
    if said.client == id && said.holds_at(known.unix_s) { Ok(client) } else { Err(wrong) }
}

/// The scopes asked for; `None` where none are (an empty `scope` counts as omitted, RFC 6749 §3.2).
fn requested_scopes(scope: Option<&str>) -> Result<Option<Vec<&str>>, &'static str> {
    let Some(scope) = scope.filter(|scope| !scope.is_empty()) else { return Ok(None) };
    let names: Vec<&str> = scope.split(' ').collect();
    // RFC 6749 §3.3: scope-token = 1*( %x21 / %x23-5B / %x5D-7E ), separated by one space.
    let is_token = |name: &&str| {
        !name.is_empty() && name.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
    };
    if names.iter().all(is_token) { Ok(Some(names)) } else { Err("the scope is malformed") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::SecretString;

    fn client(id: &str, secret: &str, scopes: &[&str]) -> TargetClient {
        let scopes = scopes.iter().map(|&scope| scope.to_owned()).collect();
        TargetClient { id: id.to_owned(), secret: SecretString::from(secret), certificate: None, scopes }
    }

    fn listed() -> TargetRules {
        let reader = client("reader", "s3", &["analytics:events:read", "users:read"]);
        let outsider = client("outsider", "s3", &["users:read"]);
        let bare = client("bare", "s3", &[]);
        let public = client("public", "", &["analytics:events:read"]);
        TargetRules { clients: vec![reader, outsider, bare, public], ..TargetRules::default() }
    }

    fn answer(rules: &TargetRules, fields: [Option<&str>; 4], used_basic: bool) -> String {
        let [grant_type, client_id, client_secret, scope] = fields;
        match decide(
            rules,
            &TokenRequest {
                grant_type,
                client_id,
                client_secret,
                used_basic,
                scope,
                ..TokenRequest::default()
            },
            Known { shows_refresh: false, subject_is_ours: false, unix_s: 0 },
        ) {
            Ok(grant) => {
                let enough = if grant.is_sufficient { "enough" } else { "too little" };
                format!("{enough}, says {:?}", grant.scope)
            }
            Err(refusal) => format!("{} {}", refusal.status(), refusal.error.name()),
        }
    }

    #[test]
    fn requests_and_their_answers() {
        const GRANT: Option<&str> = Some("client_credentials");
        let (open, listed) = (TargetRules::default(), listed());
        let all = r#"enough, says Some("analytics:events:read")"#;
        let table: &[(&TargetRules, [Option<&str>; 4], bool, &str)] = &[
            (&open, [GRANT, Some("any"), Some("thing"), None], false, all),
            (&open, [GRANT, Some("any"), Some("thing"), Some("")], false, all),
            (&open, [GRANT, Some("a"), Some("b"), Some("users:read")], false, "too little, says None"),
            (
                &open,
                [GRANT, Some("a"), Some("b"), Some("analytics:events:read x")],
                false,
                "enough, says None",
            ),
            (&open, [GRANT, None, None, None], false, "400 invalid_client"),
            (&open, [GRANT, Some("a"), Some(""), None], true, "401 invalid_client"),
            (&open, [None, Some("a"), Some("b"), None], false, "400 invalid_request"),
            (&open, [Some("password"), Some("a"), Some("b"), None], false, "400 unsupported_grant_type"),
            (&open, [GRANT, Some("a"), Some("b"), Some("a  b")], false, "400 invalid_scope"),
            (&open, [GRANT, Some("a"), Some("b"), Some("a\"b")], false, "400 invalid_scope"),
            (
                &listed,
                [GRANT, Some("reader"), Some("s3"), None],
                true,
                r#"enough, says Some("analytics:events:read users:read")"#,
            ),
            (&listed, [GRANT, Some("reader"), Some("s3"), Some("users:read")], true, "too little, says None"),
            (
                &listed,
                [GRANT, Some("outsider"), Some("s3"), None],
                false,
                r#"too little, says Some("users:read")"#,
            ),
            (&listed, [GRANT, Some("bare"), Some("s3"), None], false, r#"too little, says Some("")"#),
            (
                &listed,
                [GRANT, Some("outsider"), Some("s3"), Some("analytics:events:read")],
                false,
                "400 invalid_scope",
            ),
            (&listed, [GRANT, Some("reader"), Some("wrong"), None], true, "401 invalid_client"),
            (&listed, [GRANT, Some("reader"), Some("wrong"), None], false, "400 invalid_client"),
            (&listed, [GRANT, Some("reader"), None, None], false, "400 invalid_client"),
            (&listed, [GRANT, Some("nobody"), Some("s3"), None], false, "400 invalid_client"),
            (&listed, [GRANT, Some("public"), Some(""), None], false, "400 unauthorized_client"),
        ];
        for (rules, fields, used_basic, expected) in table {
            assert_eq!(answer(rules, *fields, *used_basic), *expected, "{fields:?}");
        }
    }
}
