//! Asking a token endpoint over HTTP.
//!
//! In: credentials, a refresh token where there is one. Out: a grant, or why there is none. One HTTP client serves the group; a token is
//! never logged, and a refusal's text is not kept.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use crate::lifecycle::TokenFailure;
use crate::sample::{Counter, Sample};
use crate::scenario::model::{ClientAuth, ClientCredentials, Grant, TokenConnection, TokenRules};

use super::address::AddressPolicy;
use super::context::{GroupContext, PRODUCT, RunShared, Token};
use super::local::is_caused_by_local_limit;
use super::proxy::Proxy;
use super::retry_after::parse_retry_after;
use super::token::Refusal;

/// The most that is read of a token endpoint's answer.
const ANSWER_CAP: usize = 64 * 1024;
/// How long an unused connection to the token endpoint is kept. Short, so that a storm's descriptors come back.
const POOL_IDLE: Duration = Duration::from_secs(5);

/// A token endpoint, and how it is asked.
#[derive(Debug)]
pub(super) struct TokenHttp {
    client: reqwest::Client,
    url: Url,
    credentials: ClientCredentials,
    is_pooled: bool,
    /// Headers and form of every request, where all clients show the same credentials.
    common: Option<(HeaderMap, Bytes)>,
    refreshes: bool,
    /// The refresh token that is given, as the first.
    initial: Option<Token>,
}

impl TokenHttp {
    pub(super) fn new(
        run: &RunShared,
        url: Url,
        credentials: &ClientCredentials,
        rules: &TokenRules,
        proxy: Option<&Proxy>,
    ) -> Result<Self, reqwest::Error> {
        let is_pooled = rules.connection == TokenConnection::Pooled;
        let initial = match &rules.grant {
            Grant::RefreshToken { initial, .. } => initial.clone().map(Arc::new),
            _ => None,
        };
        let common = credentials.feeder.is_none().then(|| {
            let who = Who { id: &credentials.client_id, secret: &credentials.client_secret };
            (request_headers(credentials.auth, who, is_pooled), form(credentials, who, None))
        });
        Ok(Self {
            client: http_client(run, is_pooled, proxy)?,
            url,
            credentials: credentials.clone(),
            is_pooled,
            common,
            refreshes: matches!(rules.grant, Grant::RefreshToken { .. }),
            initial,
        })
    }

    /// Asks for a token for the group's client `index`, which holds this refresh token. A refresh token that is refused is given up for
    /// the credentials.
    pub(super) async fn ask(
        &self,
        context: &GroupContext,
        index: u32,
        held: Option<&Token>,
    ) -> Result<TokenGrant, Refusal> {
        let refresh = held.or(self.initial.as_ref()).filter(|_| self.refreshes);
        if let Some(refresh) = refresh {
            match self.post(context, index, Some(refresh)).await {
                Err(Refusal { code: Some("invalid_grant"), .. }) => {
                    context.send(context.now(), Sample::Count(Counter::RefreshTokensRefused, 1)).await;
                }
                answered => return answered,
            }
        }
        self.post(context, index, None).await
    }

    async fn post(
        &self,
        context: &GroupContext,
        index: u32,
        refresh: Option<&Token>,
    ) -> Result<TokenGrant, Refusal> {
        let fed = self.credentials.feeder.as_ref().and_then(|feeder| feeder.row(index));
        let who = match fed {
            Some((id, secret)) => Who { id, secret },
            None => Who { id: &self.credentials.client_id, secret: &self.credentials.client_secret },
        };
        let (headers, body) = match &self.common {
            Some(common) if refresh.is_none() => common.clone(),
            _ => (
                request_headers(self.credentials.auth, who, self.is_pooled),
                form(&self.credentials, who, refresh),
            ),
        };
        let request = self.client.post(self.url.clone()).headers(headers).body(body).send();
        let mut response = request.await.map_err(|error| classify(&error))?;
        let status = response.status();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|text| parse_retry_after(text, context.run.unix_us()));
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| classify(&error))? {
            body.extend_from_slice(&chunk);
            if body.len() > ANSWER_CAP {
                return Err(TokenFailure::Error.into());
            }
        }
        let status = status.as_u16();
        read_answer(status, &body).map_err(|failure| Refusal {
            failure,
            retry_after,
            status: Some(status),
            code: standard_code(&body),
        })
    }
}

/// Whose credentials a request shows.
#[derive(Clone, Copy)]
struct Who<'a> {
    id: &'a str,
    secret: &'a SecretString,
}

pub(super) fn http_client(
    run: &RunShared,
    is_pooled: bool,
    proxy: Option<&Proxy>,
) -> Result<reqwest::Client, reqwest::Error> {
    let tls = run.tls().map_or_else(no_tls, |config| Some(config.as_ref().clone()));
    let builder = reqwest::Client::builder()
        .user_agent(PRODUCT)
        .redirect(reqwest::redirect::Policy::none())
        .http1_only()
        .tcp_nodelay(true)
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(if is_pooled { usize::MAX } else { 0 })
        .dns_resolver(PolicedResolver { policy: Arc::clone(run.policy()) });
    let builder = match proxy {
        Some(proxy) => builder.proxy(proxy.for_http()?),
        None => builder.no_proxy(),
    };
    match tls {
        Some(config) => builder.tls_backend_preconfigured(config).build(),
        None => builder.build(),
    }
}

/// A configuration that trusts nobody, for runs without TLS: without one, the HTTP client would load the system's store
/// for nothing.
fn no_tls() -> Option<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    Some(builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
}

fn request_headers(auth: ClientAuth, who: Who<'_>, is_pooled: bool) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    if !is_pooled {
        // The endpoint then closes first, and its side keeps TIME_WAIT: ports here stay free.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if auth == ClientAuth::Basic {
        let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        // RFC 6749 §2.3.1: both are form-encoded before they are joined.
        let (id, secret) = (encode(who.id), encode(who.secret.expose_secret()));
        let joined = base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}"));
        if let Ok(mut value) = HeaderValue::try_from(format!("Basic {joined}")) {
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
    }
    headers
}

/// The request's form (RFC 6749 §4.4.2; §6 with a refresh token).
fn form(credentials: &ClientCredentials, who: Who<'_>, refresh: Option<&Token>) -> Bytes {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    match refresh {
        Some(token) => {
            form.append_pair("grant_type", "refresh_token");
            form.append_pair("refresh_token", token.expose_secret());
        }
        None => {
            form.append_pair("grant_type", "client_credentials");
        }
    }
    if credentials.auth == ClientAuth::Body {
        form.append_pair("client_id", who.id);
        form.append_pair("client_secret", who.secret.expose_secret());
    }
    if !credentials.scopes.is_empty() {
        form.append_pair("scope", &credentials.scopes.join(" "));
    }
    Bytes::from(form.finish())
}

/// What a token endpoint grants (RFC 6749 §5.1).
#[derive(Debug, Deserialize)]
pub(super) struct TokenGrant {
    pub(super) access_token: SecretString,
    /// Seconds.
    #[serde(default)]
    pub(super) expires_in: Option<f64>,
    #[serde(default)]
    pub(super) refresh_token: Option<SecretString>,
}

/// A token endpoint's refusal (RFC 6749 §5.2).
#[derive(Deserialize)]
struct OAuthError {
    error: String,
}

/// The codes of RFC 6749 §5.2.
const STANDARD_CODES: [&str; 6] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
];

/// The code of a refusal, where it is a standard one: any other text may hold what must not be shown.
fn standard_code(body: &[u8]) -> Option<&'static str> {
    let said: OAuthError = serde_json::from_slice(body).ok()?;
    STANDARD_CODES.into_iter().find(|code| *code == said.error)
}

/// Reads an answer: a grant, an OAuth error (RFC 6749 §5.2), or neither.
pub(super) fn read_answer(status: u16, body: &[u8]) -> Result<TokenGrant, TokenFailure> {
    if (200..300).contains(&status) {
        let grant: TokenGrant = serde_json::from_slice(body).map_err(|_| TokenFailure::Error)?;
        let is_empty = grant.access_token.expose_secret().is_empty();
        return if is_empty { Err(TokenFailure::Error) } else { Ok(grant) };
    }
    match serde_json::from_slice::<OAuthError>(body) {
        Ok(error) if (400..500).contains(&status) && status != 429 && !error.error.is_empty() => {
            Err(TokenFailure::Refused)
        }
        _ => Err(TokenFailure::Error),
    }
}

fn classify(error: &reqwest::Error) -> TokenFailure {
    let error: &(dyn Error + 'static) = error;
    if is_caused_by_local_limit(error) { TokenFailure::LocalLimit } else { TokenFailure::Error }
}

/// Resolves as the system does, and lets only addresses pass that may be hit.
#[derive(Debug)]
struct PolicedResolver {
    policy: Arc<AddressPolicy>,
}

impl reqwest::dns::Resolve for PolicedResolver {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let policy = Arc::clone(&self.policy);
        Box::pin(async move {
            let host = name.as_str();
            let mut allowed = Vec::new();
            for address in tokio::net::lookup_host((host, 0)).await? {
                policy.check(host, address.ip())?;
                allowed.push(address);
            }
            Ok(Box::new(allowed.into_iter()) as reqwest::dns::Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_as_rfc_6749_has_them() {
        let html = b"<html>502 Bad Gateway</html>".as_slice();
        // (status, body, failure; None: a grant)
        let rows: &[(u16, &[u8], Option<TokenFailure>)] = &[
            (200, br#"{"access_token":"t","token_type":"bearer","expires_in":60}"#, None),
            (200, br#"{"access_token":"t"}"#, None),
            (200, br#"{"access_token":""}"#, Some(TokenFailure::Error)),
            (200, br#"{"token":"t"}"#, Some(TokenFailure::Error)),
            (200, br#"{"access_token":"t","expires_in":"#, Some(TokenFailure::Error)),
            (200, html, Some(TokenFailure::Error)),
            (400, br#"{"error":"invalid_scope"}"#, Some(TokenFailure::Refused)),
            (401, br#"{"error":"invalid_client"}"#, Some(TokenFailure::Refused)),
            (403, html, Some(TokenFailure::Error)),
            (429, br#"{"error":"slow_down"}"#, Some(TokenFailure::Error)),
            (502, html, Some(TokenFailure::Error)),
            (500, br#"{"error":"server_error"}"#, Some(TokenFailure::Error)),
        ];
        for (status, body, failure) in rows {
            let answer = read_answer(*status, body);
            assert_eq!(answer.as_ref().err(), failure.as_ref(), "{status} {}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn credentials_go_where_the_scenario_puts_them() {
        let mut credentials = ClientCredentials {
            client_id: "a b".into(),
            client_secret: SecretString::from("p&ss:word"),
            auth: ClientAuth::Body,
            scopes: vec!["x:read".into(), "y".into()],
            feeder: None,
        };
        let secret = credentials.client_secret.clone();
        let who = Who { id: "a b", secret: &secret };
        let body = String::from_utf8(form(&credentials, who, None).to_vec()).unwrap();
        assert_eq!(
            body,
            "grant_type=client_credentials&client_id=a+b&client_secret=p%26ss%3Aword&scope=x%3Aread+y"
        );
        assert!(request_headers(ClientAuth::Body, who, true).get(AUTHORIZATION).is_none());
        credentials.auth = ClientAuth::Basic;
        credentials.scopes.clear();
        assert_eq!(form(&credentials, who, None), "grant_type=client_credentials");
        let refresh = Arc::new(SecretString::from("r+1"));
        assert_eq!(form(&credentials, who, Some(&refresh)), "grant_type=refresh_token&refresh_token=r%2B1");
        let headers = request_headers(ClientAuth::Basic, who, false);
        assert_eq!(headers[AUTHORIZATION], "Basic YStiOnAlMjZzcyUzQXdvcmQ=");
        assert!(headers[AUTHORIZATION].is_sensitive());
        assert_eq!(headers[CONNECTION], "close");
    }

    #[test]
    fn a_token_never_shows() {
        let grant = read_answer(200, br#"{"access_token":"very-secret"}"#).unwrap();
        assert!(!format!("{grant:?}").contains("very-secret"));
    }
}
