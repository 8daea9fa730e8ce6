//! Asking a token endpoint over HTTP.
//!
//! In: credentials, a refresh token where there is one. Out: a grant, or why there is none. The group's connections serve all its clients;
//! a token is never logged, and a refusal's text is not kept.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use bytes::Bytes;
use http::header::{
    ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT,
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use crate::lifecycle::{ConnectFailure, TokenFailure};
use crate::sample::{Counter, Sample};
use crate::scenario::keys::{ClientAuth, ClientCredentials, Grant, TokenConnection, TokenRules};

use super::context::{ContextError, GroupContext, PRODUCT, Token};
use super::http::{HttpFailure, HttpPeer, PeerSetup};
use super::retry_after::parse_retry_after;
use super::token::Refusal;

/// The most that is read of a token endpoint's answer.
const ANSWER_CAP: usize = 64 * 1024;

/// A token endpoint, and how it is asked.
pub(super) struct TokenHttp {
    peer: HttpPeer,
    credentials: ClientCredentials,
    is_pooled: bool,
    /// Headers and form of every request, where all clients show the same credentials.
    common: Option<(HeaderMap, Bytes)>,
    refreshes: bool,
    /// The refresh token that is given, as the first.
    initial: Option<Token>,
}

impl fmt::Debug for TokenHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers and forms hold credentials.
        f.debug_struct("TokenHttp").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl TokenHttp {
    pub(super) fn new(
        setup: &PeerSetup<'_>,
        url: &Url,
        credentials: &ClientCredentials,
        rules: &TokenRules,
    ) -> Result<Self, ContextError> {
        let is_pooled = rules.connection == TokenConnection::Pooled;
        let initial = match &rules.grant {
            Grant::RefreshToken { initial, .. } => initial.clone().map(Arc::new),
            _ => None,
        };
        let peer = HttpPeer::new(setup, url, is_pooled)?;
        let common = credentials.feeder.is_none().then(|| {
            let who = Who { id: &credentials.client_id, secret: &credentials.client_secret };
            let headers = request_headers(peer.headers(), credentials.auth, who, is_pooled);
            (headers, form(credentials, who, None))
        });
        Ok(Self {
            peer,
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
        let own;
        let (headers, body) = match &self.common {
            Some(common) if refresh.is_none() => common,
            _ => {
                let headers =
                    request_headers(self.peer.headers(), self.credentials.auth, who, self.is_pooled);
                own = (headers, form(&self.credentials, who, refresh));
                &own
            }
        };
        let number = context.rules.first.saturating_add(index);
        let posting = self.peer.post(context, number, headers, body.clone(), ANSWER_CAP);
        let (head, body) = posting.await.map_err(|failure| failed(&failure))?;
        let retry_after = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|text| parse_retry_after(text, context.run.unix_us()));
        let status = head.status.as_u16();
        read_answer(status, &body).map_err(|failure| Refusal {
            failure,
            retry_after,
            connection: None,
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

fn request_headers(to: &HeaderMap, auth: ClientAuth, who: Who<'_>, is_pooled: bool) -> HeaderMap {
    let mut headers = to.clone();
    headers.insert(USER_AGENT, HeaderValue::from_static(PRODUCT));
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
pub(super) fn standard_code(body: &[u8]) -> Option<&'static str> {
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

fn failed(failure: &HttpFailure) -> Refusal {
    match failure {
        HttpFailure::LocalLimit | HttpFailure::Connect(ConnectFailure::LocalLimit) => {
            TokenFailure::LocalLimit.into()
        }
        HttpFailure::Connect(failure) => Refusal::of_connection(TokenFailure::Error, failure.outcome()),
        HttpFailure::Broken => TokenFailure::Error.into(),
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
        assert!(request_headers(&HeaderMap::new(), ClientAuth::Body, who, true).get(AUTHORIZATION).is_none());
        credentials.auth = ClientAuth::Basic;
        credentials.scopes.clear();
        assert_eq!(form(&credentials, who, None), "grant_type=client_credentials");
        let refresh = Arc::new(SecretString::from("r+1"));
        assert_eq!(form(&credentials, who, Some(&refresh)), "grant_type=refresh_token&refresh_token=r%2B1");
        let headers = request_headers(&HeaderMap::new(), ClientAuth::Basic, who, false);
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
