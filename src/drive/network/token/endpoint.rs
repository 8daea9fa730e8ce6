//! Asking a token endpoint over HTTP.
//!
//! In: credentials, a refresh token where there is one. Out: a grant, or why there is none. The group's connections serve all its clients;
//! a token is never logged, and a refusal's text is not kept.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use bytes::Bytes;
use http::Method;
use http::header::{
    ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, COOKIE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
    USER_AGENT,
};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::clock::{Clock, Moment};
use crate::drive::network::cookies::Jar;
use crate::drive::network::endpoint::PRODUCT;
use crate::drive::network::group_sink::GroupSink;
use crate::drive::network::http::{HttpClient, HttpFailure, HttpRequest, HttpTarget};
use crate::drive::network::retry_after::parse_retry_after;
use crate::drive::network::saving::cookie_lines;
use crate::lifecycle::{ConnectFailure, TokenFailure, oauth_code};
use crate::sample::{Counter, Request};
use crate::scenario::keys::{ClientAuth, ClientCredentials, Grant, TokenConnection, TokenRules};

use super::answer::{Refusal, Token, TokenGrant, read_answer};
use super::watched::watched;

/// The most that is read of a token endpoint's answer.
const ANSWER_CAP: usize = 64 * 1024;

/// A token endpoint, and how it is asked.
pub(in crate::drive::network) struct TokenEndpoint {
    clock: Clock,
    sink: GroupSink,
    http: Arc<HttpClient>,
    target: HttpTarget,
    /// Number of the group's first client.
    first: u32,
    credentials: ClientCredentials,
    is_pooled: bool,
    /// Headers and form of every request, where all clients show the same credentials.
    common: Option<(HeaderMap, Bytes)>,
    refreshes: bool,
    /// The refresh token that is given, as the first.
    initial: Option<Token>,
}

impl fmt::Debug for TokenEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers and forms hold credentials.
        f.debug_struct("TokenEndpoint").field("target", &self.target).finish_non_exhaustive()
    }
}

impl TokenEndpoint {
    /// The endpoint at `url`, asked over `http` for a group whose first client has the number `first`; `None` where nobody can be asked
    /// there.
    pub(in crate::drive::network) fn new(
        (clock, sink): (Clock, GroupSink),
        http: Arc<HttpClient>,
        url: &Url,
        first: u32,
        credentials: &ClientCredentials,
        rules: &TokenRules,
    ) -> Option<Self> {
        let is_pooled = rules.connection == TokenConnection::Pooled;
        let initial = match &rules.grant {
            Grant::RefreshToken { initial, .. } => initial.clone().map(Arc::new),
            _ => None,
        };
        let is_reachable = url.scheme() != "https" || http.has_tls();
        let target = http.target(url.clone()).filter(|_| is_reachable)?;
        let common = credentials.feeder.is_none().then(|| {
            let who = Who { id: &credentials.client_id, secret: &credentials.client_secret };
            let headers = request_headers(target.headers(), credentials, who, is_pooled);
            (headers, form(credentials, who, None))
        });
        Some(Self {
            clock,
            sink,
            http,
            target,
            first,
            credentials: credentials.clone(),
            is_pooled,
            common,
            refreshes: matches!(rules.grant, Grant::RefreshToken { .. }),
            initial,
        })
    }

    /// Asks for a token for the group's client `index`, which holds this refresh token, and gives up at `deadline`. A refresh token that is
    /// refused is given up for the credentials.
    pub(super) async fn ask(
        &self,
        index: u32,
        held: Option<&Token>,
        jar: Option<&Jar>,
        deadline: Moment,
    ) -> Result<TokenGrant, Refusal> {
        let refresh = held.or(self.initial.as_ref()).filter(|_| self.refreshes);
        if let Some(refresh) = refresh {
            let asking = Box::pin(self.post(index, Some(refresh), jar));
            match watched(&self.sink, Request::Refresh, deadline, asking).await {
                Err(Refusal { code: Some("invalid_grant"), .. }) => {
                    self.sink.count(Counter::RefreshTokensRefused).await;
                }
                answered => return answered,
            }
        }
        watched(&self.sink, Request::Credentials, deadline, Box::pin(self.post(index, None, jar))).await
    }

    async fn post(
        &self,
        index: u32,
        refresh: Option<&Token>,
        jar: Option<&Jar>,
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
                let headers = request_headers(self.target.headers(), &self.credentials, who, self.is_pooled);
                own = (headers, form(&self.credentials, who, refresh));
                &own
            }
        };
        let with_cookies = jar.and_then(|jar| self.with_cookies(headers, jar));
        let headers = with_cookies.as_ref().unwrap_or(headers);
        let request = HttpRequest::new(Method::POST, headers, body, ANSWER_CAP).alone(!self.is_pooled);
        let sending = self.http.send(&self.target, self.first.saturating_add(index), request);
        let (head, body) = sending.await.map_err(|failure| failed(&failure))?;
        if let Some(jar) = jar {
            let now_s = self.clock.unix_us_now() / 1_000_000;
            cookie_lines(&head.headers).for_each(|line| jar.take(self.target.url(), line, now_s));
        }
        let retry_after = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|text| parse_retry_after(text, self.clock.unix_us_now()));
        let status = head.status.as_u16();
        read_answer(status, &body)
            .map_err(|wrong| Refusal::said(wrong, status, oauth_code(&body), retry_after))
    }
}

impl TokenEndpoint {
    /// The headers of a request whose client has cookies for it.
    fn with_cookies(&self, headers: &HeaderMap, jar: &Jar) -> Option<HeaderMap> {
        let cookies = jar.header(self.target.url(), self.clock.unix_us_now() / 1_000_000)?;
        let mut value = HeaderValue::try_from(cookies).ok()?;
        value.set_sensitive(true);
        let mut headers = headers.clone();
        headers.entry(COOKIE).or_insert(value);
        Some(headers)
    }
}

/// Whose credentials a request shows.
#[derive(Clone, Copy)]
struct Who<'a> {
    id: &'a str,
    secret: &'a SecretString,
}

fn request_headers(
    to: &HeaderMap,
    credentials: &ClientCredentials,
    who: Who<'_>,
    is_pooled: bool,
) -> HeaderMap {
    let mut headers = to.clone();
    headers.insert(USER_AGENT, HeaderValue::from_static(PRODUCT));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    if !is_pooled {
        // The endpoint then closes first, and its side keeps TIME_WAIT: ports here stay free.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    for (name, value) in &credentials.headers {
        if let (Ok(name), Ok(mut value)) = (HeaderName::try_from(name), HeaderValue::try_from(value.as_str()))
        {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }
    if credentials.auth == ClientAuth::Basic {
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

fn failed(failure: &HttpFailure) -> Refusal {
    match failure {
        HttpFailure::LocalLimit | HttpFailure::Connect(ConnectFailure::LocalLimit) => {
            TokenFailure::LocalLimit.into()
        }
        HttpFailure::Connect(failed) => Refusal::of_connection(failed.outcome(), failure.answer()),
        HttpFailure::Broken | HttpFailure::TooLarge => Refusal::of(TokenFailure::Error, failure.answer()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_go_where_the_scenario_puts_them() {
        let mut credentials = ClientCredentials {
            client_id: "a b".into(),
            client_secret: SecretString::from("p&ss:word"),
            auth: ClientAuth::Body,
            headers: vec![("X-Api-Key".into(), "k3y".to_owned().into())],
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
        assert!(request_headers(&HeaderMap::new(), &credentials, who, true).get(AUTHORIZATION).is_none());
        credentials.auth = ClientAuth::Basic;
        credentials.scopes.clear();
        assert_eq!(form(&credentials, who, None), "grant_type=client_credentials");
        let refresh = Arc::new(SecretString::from("r+1"));
        assert_eq!(form(&credentials, who, Some(&refresh)), "grant_type=refresh_token&refresh_token=r%2B1");
        let headers = request_headers(&HeaderMap::new(), &credentials, who, false);
        assert_eq!(headers[AUTHORIZATION], "Basic YStiOnAlMjZzcyUzQXdvcmQ=");
        assert!(headers[AUTHORIZATION].is_sensitive());
        assert_eq!(headers[CONNECTION], "close");
        assert_eq!(headers["x-api-key"], "k3y");
        assert!(headers["x-api-key"].is_sensitive());
    }
}
